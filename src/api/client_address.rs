//! Where a request comes from. As long as only proxies connect, what a client says of itself in `X-Forwarded-For` counts
//! for nothing: only what the proxies have added.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

use crate::limits::Address;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The two ends of a connection, where they are known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// The address at which the client has reached this process.
    pub local: Option<IpAddr>,
    /// The address of who has connected: the client or a proxy.
    pub peer: Option<IpAddr>,
}

/// The client of a request that came over a connection of `peer` through `proxies` proxies, each of which adds the
/// address of its own client to the end of the header. If the header has fewer addresses, or the one there can't be
/// read, the client is the peer. A client that reaches this process past the proxies can choose its address.
pub fn of(headers: &HeaderMap, peer: Option<IpAddr>, proxies: u32) -> Address {
    let forwarded = proxies
        .checked_sub(1)
        .and_then(|skipped| added(headers, skipped as usize));
    forwarded.or(peer).map_or(Address::UNKNOWN, Address::from)
}

/// The address before the last `skipped` ones.
fn added(headers: &HeaderMap, skipped: usize) -> Option<IpAddr> {
    let values = headers.get_all(X_FORWARDED_FOR);
    // Several header lines are one list (RFC 9110, 5.3).
    let mut from_the_right = values.iter().rev().flat_map(|value| {
        let value = value.as_bytes();
        value.rsplit(|byte| *byte == b',')
    });
    let text = from_the_right.nth(skipped)?;
    parse(str::from_utf8(text).ok()?.trim())
}

/// An address, with or without a port: some proxies add it.
fn parse(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "203.0.113.9";

    fn seen(lines: &[&str], proxies: u32) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a header");
            headers.append(X_FORWARDED_FOR, value);
        }
        let peer = PEER.parse().ok();
        of(&headers, peer, proxies).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_have_added_counts() {
        let chain = ["6.6.6.6, 198.51.100.1", "192.0.2.7,10.0.0.1"];
        for (lines, proxies, client) in [
            // Whatever a client says of itself.
            (&chain[..], 0, PEER),
            (&chain, 1, "10.0.0.1"),
            (&chain, 2, "192.0.2.7"),
            (&chain, 3, "198.51.100.1"),
            // Fewer than there should be: it has gone round a proxy, and may have written the header itself.
            (&chain, 5, PEER),
            (&[], 1, PEER),
            (&["6.6.6.6"], 2, PEER),
            (&["6.6.6.6, nobody"], 1, PEER),
            (&["6.6.6.6, "], 1, PEER),
            (&["6.6.6.6, 300.1.1.1"], 1, PEER),
            (&["6.6.6.6, ü"], 1, PEER),
            (&["192.0.2.7:4711"], 1, "192.0.2.7"),
            (&["[2001:db8::7]:4711"], 1, "2001:db8::/64"),
            (&["[2001:db8::7]"], 1, "2001:db8::/64"),
            (&["2001:db8::7"], 1, "2001:db8::/64"),
            (&["::ffff:192.0.2.7"], 1, "192.0.2.7"),
        ] {
            assert_eq!(seen(lines, proxies), client, "{lines:?} {proxies}");
        }
    }

    proptest! {
        #[test]
        fn a_client_never_chooses_its_address(said in "[ -~]{0,60}", proxies in 1_u32..4) {
            // Its own header comes first, and each proxy adds to it.
            let mut lines = said;
            for hop in 0..proxies {
                let _ = write!(lines, ", 192.0.2.{hop}");
            }
            prop_assert_eq!(seen(&[&lines], proxies), "192.0.2.0");
            prop_assert_eq!(seen(&[&lines], 0), PEER);
        }
    }
}
