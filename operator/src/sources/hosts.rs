//! Whom the operator may ask. What it can reach, whoever writes a ModelDeployment need not be able to.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Names of hosts, `*.DOMAIN` for all of a domain, `*` for all; nothing turns requests off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Wherever its name leads.
    ByName,
    /// But not to what is the node's own, or the cloud's.
    ByPattern,
}

impl FromStr for Hosts {
    type Err = Infallible;

    /// Separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hosts = text.split(',').map(|h| plain(h.trim())).filter(|h| !h.is_empty());
        Ok(Self(hosts.collect()))
    }
}

impl Hosts {
    /// `None`: it may not be asked.
    pub fn of(&self, host: &str) -> Option<Allowed> {
        let host = plain(host);
        if self.0.contains(&host) {
            return Some(Allowed::ByName);
        }
        let matches = |pattern: &String| match pattern.strip_prefix('*') {
            Some("") => true,
            Some(domain) => domain.starts_with('.') && host.len() > domain.len() && host.ends_with(domain),
            None => false,
        };
        self.0.iter().any(matches).then_some(Allowed::ByPattern)
    }
}

/// As names are compared.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// Whether it is an address of the machine that asks, of its link, or one where clouds answer their machines with credentials.
pub fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| is_special_v6(v6), is_special_v4),
    }
}

fn is_special_v4(a: Ipv4Addr) -> bool {
    // Of the clouds that do not use a link-local one: Alibaba, Oracle, Azure.
    let clouds = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
    a.octets()[0] == 0
        || a.is_loopback()
        || a.is_link_local()
        || a.is_multicast()
        || a.is_broadcast()
        || clouds.contains(&a.octets())
}

fn is_special_v6(a: Ipv6Addr) -> bool {
    // Of AWS and of Google.
    let clouds = [[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]];
    a.is_loopback()
        || a.is_unspecified()
        || a.is_multicast()
        || a.is_unicast_link_local()
        || clouds.contains(&a.segments())
}

/// The address of version 4 in one of version 6: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match a.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(of(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_by_name_and_by_pattern() {
        use Allowed::{ByName, ByPattern};
        for (list, host, expected) in [
            ("", "a", None),
            (" , ", "a", None),
            ("*", "anything.example", Some(ByPattern)),
            ("*", "10.0.0.1", Some(ByPattern)),
            ("*,10.0.0.1", "10.0.0.1", Some(ByName)),
            ("::1", "[::1]", Some(ByName)),
            ("prometheus.monitoring", "Prometheus.Monitoring.", Some(ByName)),
            ("prometheus.monitoring", "xprometheus.monitoring", None),
            ("*.shop.svc", "gate.shop.svc", Some(ByPattern)),
            ("*.shop.svc", "a.gate.shop.svc", Some(ByPattern)),
            ("*.shop.svc", "shop.svc", None),
            ("*.shop.svc", ".shop.svc", None),
            ("*.shop.svc", "gate.xshop.svc", None),
            ("*shop", "myshop", None),
            ("a, b.c", "b.c", Some(ByName)),
        ] {
            let hosts: Hosts = list.parse().unwrap();
            assert_eq!(hosts.of(host), expected, "{host} of {list:?}");
        }
    }

    #[test]
    fn addresses_of_the_node_and_of_the_cloud() {
        for special in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "fd20:ce::254",
        ] {
            assert!(is_special(special.parse().unwrap()), "{special}");
        }
        for plain in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "1.1.1.1",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_special(plain.parse().unwrap()), "{plain}");
        }
    }
}
