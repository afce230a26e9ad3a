//! How often strangers may do what costs something, within a period of one process.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use gateway_core::time::Timestamp;

/// Counts within one period: those of one address, and all of them.
#[derive(Debug)]
pub(crate) struct Allowance {
    seconds: i64,
    of_one: u32,
    of_all: u32,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    period: i64,
    all: u32,
    by_source: HashMap<Option<IpAddr>, u32>,
}

impl Allowance {
    /// So many in a period of so many seconds.
    pub(crate) fn new(seconds: i64, of_one: u32, of_all: u32) -> Self {
        Self { seconds, of_one, of_all, counted: Mutex::default() }
    }

    /// Whether there may be one more; counts it then.
    pub(crate) fn admit(&self, source: Option<IpAddr>, now: Timestamp) -> bool {
        let period = now.seconds().div_euclid(self.seconds);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.period != period {
            *counted = Counted { period, ..Counted::default() };
        }
        if counted.all >= self.of_all {
            return false;
        }
        let own = counted.by_source.entry(source.map(neighbourhood)).or_default();
        if *own >= self.of_one {
            return false;
        }
        *own = own.saturating_add(1);
        counted.all = counted.all.saturating_add(1);
        true
    }
}

/// One customer has a whole /64 of IPv6 addresses.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_does_not_use_up_what_is_there_for_all() {
        let allowance = Allowance::new(60, 2, 3);
        let admit = |text, seconds| allowance.admit(from(text), at(seconds));
        assert!(admit("192.0.2.1", 0) && admit("192.0.2.1", 1) && !admit("192.0.2.1", 2));
        assert!(admit("192.0.2.2", 3));
        assert!(!admit("192.0.2.3", 4), "all of them together");
        assert!(admit("192.0.2.1", 60), "a new period");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let allowance = Allowance::new(60, 1, 9);
        assert!(allowance.admit(from("2001:db8::1"), at(0)));
        assert!(!allowance.admit(from("2001:db8::2"), at(0)));
        assert!(allowance.admit(from("2001:db8:0:1::1"), at(0)));
        assert!(allowance.admit(None, at(0)) && !allowance.admit(None, at(0)));
    }
}
