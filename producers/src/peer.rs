//! Where a request comes from. Behind a proxy every connection is the proxy's: then it is the proxy that says for whom it
//! asks, and only a proxy that the settings name is believed.

use std::{net::IpAddr, str::FromStr};

use axum::http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

/// What proxies add to: each the address that it was asked from.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

/// A text that names no networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: name addresses or networks with commas between, as in 10.0.0.0/8, fd00::1")]
pub struct NoNetwork(String);

impl FromStr for Proxies {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let network = |name: &str| name.parse().or_else(|_| name.parse::<IpAddr>().map(IpNet::from));
        names
            .map(|name| network(name).map_err(|_| NoNetwork(name.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Proxies {
    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the last on the way that is none of these. What stands before it, anybody can have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let said = headers.get_all(X_FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
        let said: Vec<_> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut client = peer.to_canonical();
        for before in said.into_iter().rev() {
            match before.parse::<IpAddr>() {
                Ok(before) if self.include(client) => client = before.to_canonical(),
                _ => break,
            }
        }
        client
    }
}

/// The client that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(IpAddr);

impl Peer {
    /// The client of a request that came over a connection from this address.
    pub(crate) fn new(address: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> Self {
        Self(proxies.client(address, headers))
    }

    /// The address from which this request came.
    pub(crate) fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().map(|peer| peer.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(proxies: &str, peer: &str, said: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for said in said {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(said).expect("a header"));
        }
        let proxies: Proxies = proxies.parse().expect("networks");
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_a_proxy_of_ours_says_for_whom_it_asks() {
        assert_eq!(client("", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("fd00::1", "fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_has_written_itself_is_not_believed() {
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &["127.0.0.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &["127.0.0.1", "203.0.113.9, 10.9.9.9"]), "203.0.113.9");
        for nonsense in ["unknown", "203.0.113.9:80", "", "203.0.113.9, "] {
            assert_eq!(client("10.0.0.0/8", "10.1.2.3", &[nonsense]), "10.1.2.3", "{nonsense}");
        }
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        for wrong in ["10.0.0.0/99", "proxy.example.org", "10.0.0.0/8 fd00::/8"] {
            let text = format!("192.0.2.1, {wrong}");
            assert_eq!(text.parse::<Proxies>(), Err(NoNetwork(wrong.to_owned())));
        }
    }
}
