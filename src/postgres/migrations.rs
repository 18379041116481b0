//! The migrations of both databases, in the order in which they run.

use super::settings::Kind;

/// Number, name and text of a migration.
pub(super) type Source = (i64, &'static str, &'static str);

const OUTBOX: Source = (
    1,
    "outbox",
    include_str!("../../migrations/shared/0001_outbox.sql"),
);

const OUTBOX_SEQUENCE: Source = (
    6,
    "outbox sequence",
    include_str!("../../migrations/shared/0006_outbox_sequence.sql"),
);

const OUTBOX_EXCHANGE: Source = (
    8,
    "outbox exchange",
    include_str!("../../migrations/shared/0008_outbox_exchange.sql"),
);

const MAINTENANCE: Source = (
    13,
    "maintenance",
    include_str!("../../migrations/shared/0013_maintenance.sql"),
);

const ORDERS: [Source; 12] = [
    OUTBOX,
    (
        2,
        "orders",
        include_str!("../../migrations/orders/0002_orders.sql"),
    ),
    (
        3,
        "append orders",
        include_str!("../../migrations/orders/0003_append_orders.sql"),
    ),
    (
        4,
        "claim shards",
        include_str!("../../migrations/orders/0004_claim_shards.sql"),
    ),
    (
        5,
        "cluster",
        include_str!("../../migrations/orders/0005_cluster.sql"),
    ),
    OUTBOX_SEQUENCE,
    OUTBOX_EXCHANGE,
    (
        10,
        "release deadlines",
        include_str!("../../migrations/orders/0010_release_deadlines.sql"),
    ),
    MAINTENANCE,
    (
        14,
        "drop unused functions",
        include_str!("../../migrations/orders/0014_drop_unused_functions.sql"),
    ),
    (
        15,
        "order shops",
        include_str!("../../migrations/orders/0015_order_shops.sql"),
    ),
    (
        16,
        "access",
        include_str!("../../migrations/orders/0016_access.sql"),
    ),
];

// A migration that both databases share has the same number in both, so the numbers of one may have gaps.
const INVENTORY: [Source; 7] = [
    OUTBOX,
    (
        2,
        "inventory",
        include_str!("../../migrations/inventory/0002_inventory.sql"),
    ),
    OUTBOX_SEQUENCE,
    (
        7,
        "stock key answers",
        include_str!("../../migrations/inventory/0007_stock_key_answers.sql"),
    ),
    OUTBOX_EXCHANGE,
    (
        9,
        "stock versions",
        include_str!("../../migrations/inventory/0009_stock_versions.sql"),
    ),
    MAINTENANCE,
];

/// Every migration of a database, in order.
pub(super) fn sources(kind: Kind) -> &'static [Source] {
    match kind {
        Kind::Orders => &ORDERS,
        Kind::Inventory => &INVENTORY,
    }
}
