//! How many strangers each address may bring at once.
//! Holds: an address is listed only while it has a connection whose client is not known. All of an IPv6 network is one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Strangers by address.
#[derive(Debug)]
pub(crate) struct Peers {
    most: usize,
    strangers: Mutex<HashMap<IpAddr, usize>>,
}

/// A place of an address; given back when it drops.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Arc<Peers>,
    ip: IpAddr,
}

impl Peers {
    /// At most `most` strangers from one address.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, strangers: Mutex::default() }
    }

    /// A place for one more, if there is one.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let mut strangers = self.lock();
        let here = strangers.entry(network(ip)).or_insert(0);
        if *here >= self.most {
            return None;
        }
        *here += 1;
        Some(Place { peers: Arc::clone(self), ip })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The address.
    pub(super) const fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut here) = self.peers.lock().entry(network(self.ip)) {
            *here.get_mut() -= 1;
            if *here.get() == 0 {
                here.remove();
            }
        }
    }
}

/// What counts as one address: with IPv6 a host may take any of its network's, which is a /64 (RFC 4291 §2.5.4).
const fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !(u64::MAX as u128))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_no_other_ones() {
        let peers = Arc::new(Peers::new(2));
        let (one, two) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let places = [peers.admit(one).unwrap(), peers.admit(one).unwrap()];
        assert!(peers.admit(one).is_none());
        assert!(peers.admit(two).is_some());
        drop(places);
        assert!(peers.admit(one).is_some());
        assert!(peers.lock().is_empty());
    }

    #[test]
    fn a_host_with_many_ipv6_addresses_has_the_places_of_one() {
        let peers = Arc::new(Peers::new(1));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let place = peers.admit(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(place.ip(), ip("2001:db8:1:2::1"));
        assert!(peers.admit(ip("2001:db8:1:2:ffff::2")).is_none());
        assert!(peers.admit(ip("2001:db8:1:3::1")).is_some());
        drop(place);
        assert!(peers.lock().is_empty());
    }
}
