//! The text that `trackops dev` prints at its start: addresses to open, and commands to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::place_args::DEFAULT_SKU;
use super::program::{path, quoted};
use super::target::DEFAULT_URL;

/// A `dev` that runs.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where operations have an address of their own.
    pub management: Option<SocketAddr>,
    /// Where its data is.
    pub data_dir: &'a Path,
    /// Whether the shop is at work.
    pub demo: bool,
    /// Whether `/docs` is there.
    pub has_docs: bool,
    /// Whether everybody needs a key.
    pub needs_key: bool,
}

/// The text.
pub fn banner(running: Running<'_>) -> String {
    let operations = running.management.map_or_else(String::new, |addr| {
        format!("  operations                 {}/admin/v1\n", url(addr))
    });
    let demo = running.demo;
    let url = url(running.listen);
    let page = if running.has_docs {
        format!("page                       {url}/docs")
    } else {
        format!("document                   {url}/api/v1/openapi.json")
    };
    let program = path();
    let target = if url == DEFAULT_URL {
        String::new()
    } else {
        format!(" --url {url}")
    };
    let data_dir =
        std::path::absolute(running.data_dir).unwrap_or_else(|_| running.data_dir.into());
    let rest = if running.needs_key {
        let data_dir = quoted(&data_dir.display().to_string());
        format!(
            "  use a key                  export TRACKOPS_API_KEY=tk_…\n  \
             place an order             {program} place{target}\n\n\
             Everybody needs a key here. The first one is made while dev is stopped:\n\n  \
             {program} keys create --name me --role operator --data-dir {data_dir}\n\n\
             It may do everything, and make keys for others at {url}/admin/v1/keys.\n",
        )
    } else if demo {
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
         {page}\n\
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
        banner(Running {
            listen,
            demo,
            ..dev()
        })
    }

    fn dev() -> Running<'static> {
        Running {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            management: None,
            data_dir: Path::new("data"),
            demo: false,
            has_docs: true,
            needs_key: false,
        }
    }

    #[test]
    fn where_keys_are_needed_it_says_how_to_get_one() {
        let text = banner(Running {
            needs_key: true,
            has_docs: false,
            ..dev()
        });
        assert!(
            text.contains("keys create --name me --role operator --data-dir "),
            "{text}"
        );
        assert!(text.contains("TRACKOPS_API_KEY"), "{text}");
        assert!(
            text.contains("http://127.0.0.1:8080/api/v1/openapi.json\n"),
            "{text}"
        );
        assert!(!text.contains("/docs"), "{text}");
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
        let text = banner(Running {
            management: Some("127.0.0.1:9080".parse().expect("an address")),
            ..dev()
        });
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
