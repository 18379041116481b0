//! `trackops show`: an order as it stands, for a person or as JSON.

use serde_json::Value;
use trackops_client::{Answer, HistoryEntry, OrderView};

use super::client_args::ShowArgs;
use super::failure::CliError;
use super::output::Output;
use super::server::Server;
use super::text::{json_line, money, printable, table, with_courier};

/// Prints an order.
pub async fn show(args: &ShowArgs, output: &mut Output) -> Result<(), CliError> {
    let server = Server::orders(&args.target)?;
    let answer = server.ask(server.client.order(args.id)).await?;
    let history = if args.history {
        Some(server.ask(server.client.history(args.id)).await?)
    } else {
        None
    };
    if args.json {
        let Some(history) = history else {
            return output.line(&json_line(answer.body()));
        };
        let mut view = parsed(answer.body());
        view["history"] = parsed(history.body())["items"].take();
        return output.line(&view.to_string());
    }
    let mut text = render(&answer.value);
    if let Some(history) = history {
        text.push_str(&render_history(&history.value.items));
    }
    output.text(&text)
}

/// Prints the view that a command was answered with: the line of its status, or JSON.
pub fn print_changed(
    answer: &Answer<OrderView>,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if json {
        return output.line(&json_line(answer.body()));
    }
    let view = &answer.value;
    let reason = view.reason.as_deref().map(printable);
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let again = if answer.is_replay() {
        ", as before"
    } else {
        ""
    };
    output.line(&format!(
        "{} is {} (version {}{again}){reason}",
        view.id, view.status, view.version
    ))
}

/// A body that was read as JSON, with every field that the server sent.
fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn render(view: &OrderView) -> String {
    let content = &view.content;
    let currency = content.currency.as_str();
    let mut rows: Vec<(&str, String)> = vec![
        ("order", view.id.to_string()),
        (
            "status",
            format!("{} (version {})", view.status, view.version),
        ),
    ];
    rows.extend(view.reason.clone().map(|reason| ("reason", reason)));
    rows.push(("placed", view.created_at.to_string()));
    rows.push(("changed", view.updated_at.to_string()));
    rows.push(("customer", content.customer_id.to_string()));
    rows.extend(content.shop_id.clone().map(|shop| ("shop", shop)));
    for (item, label) in content
        .items
        .iter()
        .zip(["items"].into_iter().chain(std::iter::repeat("")))
    {
        let price = money(item.unit_price, currency);
        rows.push((
            label,
            format!("{} × {} at {price}", item.quantity, item.sku),
        ));
    }
    rows.push(("total", money(view.total_amount, currency)));
    let to = &content.address;
    rows.push((
        "to",
        format!(
            "{}, {} {}, {}",
            to.street, to.postal_code, to.city, to.country
        ),
    ));
    rows.extend(to.phone.clone().map(|phone| ("phone", phone)));
    rows.extend(
        content
            .delivery_instructions
            .clone()
            .map(|text| ("note", text)),
    );
    let place = view.courier.as_ref();
    let place = place.map(|at| format!("{:.5}, {:.5} at {}", at.lat, at.lon, at.at));
    let courier: Vec<String> = view.courier_id.iter().cloned().chain(place).collect();
    if !courier.is_empty() {
        rows.push(("courier", courier.join(", ")));
    }
    table(&rows, 9)
}

fn render_history(items: &[HistoryEntry]) -> String {
    let mut text = String::from("history\n");
    for entry in items {
        let reason = entry.reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let line = format!(
            "v{:<3} {}  {:<10}  by {}{}{reason}",
            entry.version,
            entry.at,
            entry.status,
            entry.by,
            with_courier(entry.courier_id.as_deref()),
        );
        text.extend(["  ", &printable(&line), "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_order_is_told_in_lines() {
        let view = json!({
            "id": Uuid::from_u128(7), "status": "CANCELLED", "version": 3,
            "customerId": Uuid::from_u128(1), "currency": "EUR",
            "items": [{"sku": "A", "quantity": 2, "unitPrice": 950},
                      {"sku": "B", "quantity": 1, "unitPrice": 5}],
            "address": {"street": "S\u{1b}[2J 1", "city": "C", "postalCode": "1", "country": "DE"},
            "totalAmount": 1905, "createdAt": "2026-01-31T12:00:00.000Z",
            "updatedAt": "2026-01-31T12:00:05.000Z", "reason": "changed my mind",
            "shopId": "north", "courierId": "anna",
            "courier": {"lat": 52.5, "lon": 13.4, "at": "2026-01-31T12:00:04.000Z"},
        });
        let text = render(&serde_json::from_value(view).expect("a view"));
        insta::assert_snapshot!(text, @"
        order     00000000-0000-0000-0000-000000000007
        status    CANCELLED (version 3)
        reason    changed my mind
        placed    2026-01-31T12:00:00.000Z
        changed   2026-01-31T12:00:05.000Z
        customer  00000000-0000-0000-0000-000000000001
        shop      north
        items     2 × A at 9.50 EUR
                  1 × B at 0.05 EUR
        total     19.05 EUR
        to        S [2J 1, 1 C, DE
        courier   anna, 52.50000, 13.40000 at 2026-01-31T12:00:04.000Z
        ");
    }

    #[test]
    fn history_has_a_line_for_each_version() {
        let items = json!([
            {"version": 1, "previousStatus": null, "status": "PENDING", "by": "client",
             "at": "2026-01-31T12:00:00.000Z", "commandId": Uuid::nil()},
            {"version": 2, "previousStatus": "PENDING", "status": "REJECTED", "by": "inventory",
             "at": "2026-01-31T12:00:01.000Z", "commandId": Uuid::nil(), "reason": "no A", "courierId": "anna"},
        ]);
        let items: Vec<HistoryEntry> = serde_json::from_value(items).expect("entries");
        insta::assert_snapshot!(render_history(&items), @"
        history
          v1   2026-01-31T12:00:00.000Z  PENDING     by client
          v2   2026-01-31T12:00:01.000Z  REJECTED    by inventory, courier anna: no A
        ");
    }
}
