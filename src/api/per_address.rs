//! How many connections each address has open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::Address;

/// The open connections of each address. Addresses without one are not kept, so there are no more than connections.
pub struct PerAddress {
    /// 0 for any number.
    max: usize,
    counts_loopback: bool,
    open: Mutex<HashMap<Address, usize>>,
}

/// A place for one connection of an address.
pub struct AddressPermit(Option<(Arc<PerAddress>, Address)>);

impl PerAddress {
    /// `max` for each address, 0 for any number. Loopback has a bound only if it `counts_loopback`.
    pub fn new(max: usize, counts_loopback: bool) -> Arc<Self> {
        Arc::new(Self {
            max,
            counts_loopback,
            open: Mutex::default(),
        })
    }

    /// A place for a connection of `peer`; `None` if it has as many as it may.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<AddressPermit> {
        let is_spared = !self.counts_loopback && peer.to_canonical().is_loopback();
        if self.max == 0 || is_spared {
            return Some(AddressPermit(None));
        }
        let address = Address::from(peer);
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPermit(Some((Arc::clone(self), address))))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some((places, address)) = self.0.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = places.open.lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_nobody_else_fewer() {
        let places = PerAddress::new(2, false);
        let admit = |peer: &str| places.admit(peer.parse().expect(peer));
        let (first, second) = (admit("192.0.2.7"), admit("::ffff:192.0.2.7"));
        assert!(first.is_some() && second.is_some());
        assert!(admit("192.0.2.7").is_none());
        assert!(admit("192.0.2.8").is_some());
        drop(first);
        let third = admit("192.0.2.7");
        assert!(third.is_some());
        let of_a_64 = [admit("2001:db8::1"), admit("2001:db8::2")];
        assert!(admit("2001:db8::3").is_none() && admit("2001:db8:0:1::1").is_some());
        drop((second, third, of_a_64));
        assert!(places.open.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn loopback_and_zero_have_no_bound() {
        for (max, peer) in [
            (1, "127.0.0.1"),
            (1, "::1"),
            (1, "::ffff:127.0.0.1"),
            (0, "192.0.2.7"),
        ] {
            let places = PerAddress::new(max, false);
            let peer = peer.parse().expect(peer);
            let all: Vec<_> = (0..10).map(|_| places.admit(peer)).collect();
            assert!(all.iter().all(Option::is_some), "{peer}");
        }
    }
}
