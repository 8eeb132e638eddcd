//! Who comes from one network address with one wrong password after the other is slowed down there, whatever account it is
//! tried on. (How often one account is tried is for the decider to know.) Each gateway counts for itself.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

/// How many failures an address has for nothing, in [`WINDOW`].
const FAILURES_MAX: u32 = 50;
/// How long they count.
const WINDOW: Duration = Duration::from_secs(300);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 100_000;

/// Failed log-ins, by address.
#[derive(Debug)]
pub(crate) struct Attempts(Cache<IpAddr, Failures>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    number: u32,
    since: Instant,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self(Cache::new(ADDRESSES_MAX))
    }

    /// How long this address still has to wait; `None` when it need not.
    pub(crate) fn wait_of(&self, address: IpAddr) -> Option<Duration> {
        let failures = self.0.get(&whole(address)).filter(|failures| failures.number >= FAILURES_MAX)?;
        WINDOW.checked_sub(failures.since.elapsed())
    }

    /// It had a wrong password.
    pub(crate) fn failed(&self, address: IpAddr) {
        let address = whole(address);
        let before = self.0.get(&address).filter(|failures| failures.since.elapsed() < WINDOW);
        let failures = before.map_or(Failures { number: 1, since: Instant::now() }, |before| Failures {
            number: before.number.saturating_add(1),
            ..before
        });
        self.0.insert(address, failures);
    }
}

/// Whoever has one address of IPv6 has all of its network: 64 bits of it count.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_failures_and_no_more() {
        let attempts = Attempts::new();
        let [one, neighbour, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| text.parse().expect("an address"));
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempts.wait_of(one), None);
            attempts.failed(one);
        }
        assert!(attempts.wait_of(one).is_some() && attempts.wait_of(neighbour).is_some());
        assert_eq!(attempts.wait_of(other), None);
    }
}
