//! How many strangers each address may bring at once.
//! Holds: an address is listed only while it has a connection whose client is not known.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
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
        let here = strangers.entry(ip).or_insert(0);
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
        if let Entry::Occupied(mut here) = self.peers.lock().entry(self.ip) {
            *here.get_mut() -= 1;
            if *here.get() == 0 {
                here.remove();
            }
        }
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
}
