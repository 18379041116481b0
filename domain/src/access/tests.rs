//! The table of roles, cell by cell.

use std::sync::Arc;

use uuid::Uuid;

use super::{Action, Caller, Credential, Facts, KEY_ISSUER, Principal, Role, Subject};
use crate::ids::{CourierId, CustomerId, ShopId};
use crate::status::Status;

fn shop(name: &str) -> ShopId {
    ShopId::parse(name).expect("visible characters")
}

fn courier(name: &str) -> CourierId {
    CourierId::parse(name).expect("visible characters")
}

fn customer(number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(number))
}

fn roles() -> [Role; 6] {
    [
        Role::Customer(customer(1)),
        Role::Kitchen([shop("north"), shop("south")].into()),
        Role::Courier(courier("c1")),
        Role::Service,
        Role::Operator,
        Role::Viewer,
    ]
}

fn caller(role: Role) -> Caller {
    let subject = Subject {
        issuer: "test".into(),
        name: "ann".into(),
    };
    Principal::new(subject, role).into()
}

#[test]
fn each_role_may_try_what_its_row_says() {
    let table = roles().map(|role| {
        let may = Action::ALL.into_iter().filter(|action| role.may(*action));
        let may: Vec<_> = may.map(Action::as_str).collect();
        (role.name(), may.join(" "))
    });
    let expected = [
        ("customer", "place read-orders advance cancel"),
        ("kitchen", "read-orders advance cancel read-stock"),
        ("courier", "read-orders advance locate"),
        (
            "service",
            "place read-orders advance cancel locate read-stock write-stock read-reservations",
        ),
        (
            "operator",
            "place read-orders advance cancel locate read-stock write-stock read-reservations read-admin \
             write-admin",
        ),
        (
            "viewer",
            "read-orders read-stock read-reservations read-admin",
        ),
    ];
    for (row, (name, may)) in table.iter().zip(expected) {
        assert_eq!((row.0, row.1.as_str()), (name, may));
    }
}

#[test]
fn a_scoped_role_sees_its_own_orders_only() {
    let (north, east) = (shop("north"), shop("east"));
    let (mine, other) = (courier("c1"), courier("c2"));
    let facts = |owner, shop, courier| Facts {
        customer: customer(owner),
        shop,
        courier,
    };
    let cases = [
        (facts(1, None, None), [true, false, false, true, true, true]),
        (
            facts(2, Some(&north), None),
            [false, true, false, true, true, true],
        ),
        (
            facts(2, Some(&east), Some(&mine)),
            [false, false, true, true, true, true],
        ),
        (
            facts(2, Some(&east), Some(&other)),
            [false, false, false, true, true, true],
        ),
    ];
    for (facts, expected) in cases {
        assert_eq!(roles().map(|role| role.sees(facts)), expected, "{facts:?}");
    }
}

#[test]
fn each_role_takes_its_own_steps_only() {
    let steps_of = |role: Role| {
        let caller = caller(role);
        let steps = Status::ALL.into_iter().flat_map(|from| {
            let to = caller.steps_from(from);
            to.into_iter().map(move |to| format!("{from}>{to}"))
        });
        steps.collect::<Vec<_>>().join(" ")
    };
    let all = "PENDING>CANCELLED CONFIRMED>PREPARING CONFIRMED>CANCELLED PREPARING>IN_TRANSIT \
               PREPARING>CANCELLED IN_TRANSIT>DELIVERED";
    let kitchen = "PENDING>CANCELLED CONFIRMED>PREPARING CONFIRMED>CANCELLED PREPARING>IN_TRANSIT \
                   PREPARING>CANCELLED";
    let expected = [
        "PENDING>CANCELLED CONFIRMED>CANCELLED",
        kitchen,
        "PREPARING>IN_TRANSIT IN_TRANSIT>DELIVERED",
        all,
        all,
        "",
    ];
    assert_eq!(roles().map(steps_of), expected);
}

#[test]
fn a_courier_names_nobody_but_itself() {
    let names = roles().map(|role| role.may_name(&courier("c2")));
    assert_eq!(names, [true, true, false, true, true, true]);
    assert!(Role::Courier(courier("c2")).may_name(&courier("c2")));
}

#[test]
fn an_internal_caller_may_everything_and_has_a_bare_name() {
    let inventory = Caller::Internal(Arc::from("inventory"));
    assert!(Action::ALL.into_iter().all(|action| inventory.may(action)));
    assert!(inventory.may_step(Status::Pending, Status::Confirmed));
    assert_eq!(&**inventory.by(), "inventory");
    let anonymous = Caller::anonymous();
    assert_eq!(&**anonymous.by(), "service:anonymous");
    assert!(!anonymous.is_scoped());
    assert!(Action::ALL.into_iter().all(|action| anonymous.may(action)));
}

#[test]
fn the_issuer_says_by_which_credential_somebody_was_proven() {
    let of = |issuer: &str| {
        let subject = Subject {
            issuer: issuer.into(),
            name: "ann".into(),
        };
        Caller::from(Principal::new(subject, Role::Viewer))
    };
    let kind = |issuer: &str| of(issuer).credential();
    assert_eq!(kind(""), Some(Credential::None));
    assert_eq!(kind(KEY_ISSUER), Some(Credential::ApiKey));
    let issuer = "https://id.example";
    assert_eq!(kind(issuer), Some(Credential::AccessToken));
    assert_eq!(Caller::Internal("relay".into()).credential(), None);
    // Two issuers may give the same name, so the audit tells them apart.
    assert_eq!(of(issuer).audited(), "viewer:ann (https://id.example)");
    assert_eq!(of(KEY_ISSUER).audited(), "viewer:ann");
}
