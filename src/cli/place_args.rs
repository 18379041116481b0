//! The flags of `trackops place`, and the order that they describe.

use clap::Args;
use trackops_client::{Address, OrderContent, OrderItem};
use uuid::Uuid;

use super::target::Target;

/// The text after the flags in `trackops place --help`.
pub const HELP: &str = "\
Examples:
  trackops place                    one PIZZA-MARGHERITA to an address in Berlin
  trackops place --watch            and follow it to its end
  trackops place --sku RAMEN-MISO --quantity 2 --price 1350
  trackops place --item PIZZA-MARGHERITA:2:950 --item COLA-330:1:290
  trackops place --body order.json --key checkout-4711
  curl -s … | trackops place --body -

Prices are in minor units (cents). With --key, a repeat is the same order.";

/// An item of the demo's catalogue.
pub const DEFAULT_SKU: &str = "PIZZA-MARGHERITA";
/// Its price there, in minor units.
pub const DEFAULT_PRICE: i64 = 950;
/// The customer of orders that are placed by hand without `--customer`.
const DEFAULT_CUSTOMER: &str = "7f6c1b52-41f7-4c57-9a0e-2f0d6c1f5a11";

/// `trackops place`.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// What to order
    #[arg(long, default_value = DEFAULT_SKU, conflicts_with = "item")]
    pub sku: String,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "item")]
    #[arg(allow_negative_numbers = true)]
    pub quantity: i64,
    /// Price of one in minor units
    #[arg(long, value_name = "CENTS", default_value_t = DEFAULT_PRICE, conflicts_with = "item")]
    #[arg(allow_negative_numbers = true)]
    pub price: i64,
    /// A line of the order instead of --sku, --quantity and --price; may be given again
    #[arg(long, value_name = "SKU:QTY:PRICE", value_parser = parse_item)]
    pub item: Vec<OrderItem>,
    /// Who orders
    #[arg(long, value_name = "UUID", default_value = DEFAULT_CUSTOMER)]
    pub customer: Uuid,
    /// ISO 4217 code
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    pub currency: String,
    /// The shop that prepares it
    #[arg(long, value_name = "ID")]
    pub shop: Option<String>,
    /// Street and number
    #[arg(long, default_value = "Oranienstraße 25", help_heading = "Where to")]
    pub street: String,
    /// City
    #[arg(long, default_value = "Berlin", help_heading = "Where to")]
    pub city: String,
    /// Postal code
    #[arg(
        long,
        value_name = "CODE",
        default_value = "10999",
        help_heading = "Where to"
    )]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2 code
    #[arg(
        long,
        value_name = "CODE",
        default_value = "DE",
        help_heading = "Where to"
    )]
    pub country: String,
    /// Latitude in degrees; of the default street unless given
    #[arg(
        long,
        value_name = "DEGREES",
        requires = "lon",
        help_heading = "Where to"
    )]
    #[arg(allow_negative_numbers = true)]
    pub lat: Option<f64>,
    /// Longitude in degrees
    #[arg(
        long,
        value_name = "DEGREES",
        requires = "lat",
        help_heading = "Where to"
    )]
    #[arg(allow_negative_numbers = true)]
    pub lon: Option<f64>,
    /// Phone of the recipient
    #[arg(long, help_heading = "Where to")]
    pub phone: Option<String>,
    /// For the courier
    #[arg(long, value_name = "TEXT", help_heading = "Where to")]
    pub instructions: Option<String>,
    /// Send this JSON as it is; - reads standard input
    #[arg(long, value_name = "FILE|-")]
    #[arg(conflicts_with_all = ["sku", "quantity", "price", "item", "customer", "currency",
        "shop", "street", "city", "postal_code", "country", "lat", "lon", "phone", "instructions"])]
    pub body: Option<String>,
    /// Idempotency-Key: a repeat with the same key is the same order
    #[arg(long)]
    pub key: Option<String>,
    /// Print the view as JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print nothing but the id
    #[arg(long, short)]
    pub quiet: bool,
    /// Follow the order until it is DELIVERED, REJECTED or CANCELLED
    #[arg(long, conflicts_with = "quiet")]
    pub watch: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub target: Target,
}

impl PlaceArgs {
    /// The order that the flags describe. The server checks its rules.
    pub fn content(&self) -> OrderContent {
        let items = if self.item.is_empty() {
            vec![OrderItem {
                sku: self.sku.clone(),
                quantity: self.quantity,
                unit_price: self.price,
            }]
        } else {
            self.item.clone()
        };
        OrderContent {
            customer_id: self.customer,
            currency: self.currency.clone(),
            items,
            address: Address {
                street: self.street.clone(),
                city: self.city.clone(),
                postal_code: self.postal_code.clone(),
                country: self.country.clone(),
                lat: self.lat.or_else(|| self.default_position(52.50003)),
                lon: self.lon.or_else(|| self.default_position(13.42235)),
                phone: self.phone.clone(),
            },
            delivery_instructions: self.instructions.clone(),
            shop_id: self.shop.clone(),
        }
    }

    /// The default street's coordinate, if the address is the default one. The coordinates of another address
    /// aren't known.
    fn default_position(&self, degrees: f64) -> Option<f64> {
        let is_default = self.city == "Berlin" && self.street == "Oranienstraße 25";
        (is_default && self.lat.is_none()).then_some(degrees)
    }
}

/// Reads `SKU:QTY:PRICE`; the SKU itself may contain colons.
fn parse_item(text: &str) -> Result<OrderItem, String> {
    let form = || "must be SKU:QTY:PRICE, e.g. COLA-330:2:290 (price in minor units)".to_owned();
    let mut parts = text.rsplitn(3, ':');
    let unit_price = parts.next().and_then(|part| part.parse().ok());
    let quantity = parts.next().and_then(|part| part.parse().ok());
    let sku = parts.next().filter(|sku| !sku.is_empty());
    Ok(OrderItem {
        sku: sku.ok_or_else(form)?.to_owned(),
        quantity: quantity.ok_or_else(form)?,
        unit_price: unit_price.ok_or_else(form)?,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::super::client_args::ClientCommand;
    use super::*;
    use crate::codec::content::ContentV1;

    fn parse(flags: &[&str]) -> Result<PlaceArgs, clap::Error> {
        let words = ["trackops", "place"].iter().chain(flags);
        let Command::Client(ClientCommand::Place(args)) = Cli::try_parse_from(words)?.command
        else {
            panic!("another command");
        };
        Ok(*args)
    }

    #[test]
    fn a_bare_place_is_an_order_that_the_rules_accept() {
        let content = serde_json::to_value(parse(&[]).expect("valid").content());
        let content: ContentV1 = serde_json::from_value(content.expect("JSON")).expect("the form");
        let placed = content.check().expect("keeps every rule");
        assert_eq!(placed.total.0, DEFAULT_PRICE);
        assert!(placed.address.lat.is_some(), "couriers need a place");
    }

    #[test]
    fn items_replace_the_single_one() {
        let args = parse(&["--item", "A:B:2:950", "--item", "C:1:0"]).expect("valid");
        let items = args.content().items;
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].sku.as_str(), items[0].quantity), ("A:B", 2));
        assert!(parse(&["--item", "A:1:1", "--sku", "B"]).is_err());
        assert!(parse(&["--item", "A:1"]).is_err());
        assert!(parse(&["--body", "-", "--sku", "B"]).is_err());
        assert!(parse(&["--body", "-", "--shop", "B"]).is_err());
    }

    #[test]
    fn another_address_has_no_invented_place() {
        let args = parse(&["--street", "Rua Augusta 1", "--city", "Lisboa"]).expect("valid");
        let address = args.content().address;
        assert_eq!((address.lat, address.lon), (None, None));
    }
}
