//! The text that `trackops dev` prints at its start: addresses to open, and commands to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::place_args::DEFAULT_SKU;
use super::program::{path, quoted};
use super::target::DEFAULT_URL;

/// The text for a `dev` that listens on `listen`, on `management` if operations have an address of their own,
/// and keeps its data in `data_dir`.
pub fn banner(
    listen: SocketAddr,
    management: Option<SocketAddr>,
    data_dir: &Path,
    demo: bool,
) -> String {
    let operations = management.map_or_else(String::new, |addr| {
        format!("  operations                 {}/admin/v1\n", url(addr))
    });
    let url = url(listen);
    let program = path();
    let target = if url == DEFAULT_URL {
        String::new()
    } else {
        format!(" --url {url}")
    };
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.into());
    let rest = if demo {
        let list = quoted(&format!("{url}/api/v1/orders?limit=3"));
        format!(
            "  place an order, follow it  {program} place --watch{target}\n  \
             watch the newest order     {program} watch --since 0{target}\n  \
             the same by REST           curl -s {list}\n\n\
             A small shop is at work: customers order, kitchens cook, couriers ride; \
             an order takes about 20 s.\n"
        )
    } else {
        let item = format!("{url}/api/v1/inventory/items/{DEFAULT_SKU}");
        format!(
            "  stock something            curl -s -X PUT {item} -H 'content-type: \
             application/json' -d '{{\"onHand\": 100}}'\n  \
             place an order             {program} place{target}\n  \
             watch the newest order     {program} watch --since 0{target}\n\n\
             Move an order on with `trackops advance ID`, or start again with --demo \
             for a shop at work.\n"
        )
    };
    format!(
        "\nTrackOps is running; Ctrl-C stops it.\n\n  \
         page                       {url}/docs\n\
         {operations}  \
         data                       {}\n\n\
         To paste into another terminal:\n\n{rest}",
        data_dir.display(),
    )
}

/// The address that a client on this machine uses.
fn url(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(listen: &str, demo: bool) -> String {
        let listen = listen.parse().expect("an address");
        banner(listen, None, Path::new("data"), demo)
    }

    #[test]
    fn commands_can_be_pasted() {
        let text = lines("127.0.0.1:8080", true);
        let program = path();
        assert!(text.contains("http://127.0.0.1:8080/docs\n"), "{text}");
        assert!(
            text.contains(&format!("{program} place --watch\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("{program} watch --since 0\n")),
            "{text}"
        );
        assert!(text.contains("curl -s 'http://"), "{text}");
        let here = std::env::current_dir().expect("a directory").join("data");
        assert!(text.contains(&here.display().to_string()), "{text}");
    }

    #[test]
    fn an_address_for_operations_is_named() {
        let addr = |text: &str| text.parse().expect("an address");
        let operations = Some(addr("127.0.0.1:9080"));
        let text = banner(addr("127.0.0.1:8080"), operations, Path::new("data"), true);
        assert!(
            text.contains("\n  operations                 http://127.0.0.1:9080/admin/v1\n  data "),
            "{text}"
        );
        assert!(!lines("127.0.0.1:8080", true).contains("operations"));
    }

    #[test]
    fn another_address_is_named_and_reachable() {
        let text = lines("0.0.0.0:9000", false);
        assert!(
            text.contains("place --url http://127.0.0.1:9000\n"),
            "{text}"
        );
        assert!(
            text.contains("PUT http://127.0.0.1:9000/api/v1/inventory"),
            "{text}"
        );
        assert!(lines("[::]:9000", true).contains("http://[::1]:9000/docs"));
    }
}
