//! The address guard: which addresses a name may lead to (rule 4): that of a route, of a provider, of a
//! client's metadata document.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::manifest::AddressScope;

/// The name led to an address that is not allowed for it. The address is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name leads to an address of kind `{kind}`, which `addresses` does not name")]
pub struct AddressRefused {
    kind: &'static str,
}

/// Cloud metadata services: never allowed, whatever the manifest says.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Judges one address.
///
/// # Errors
/// Names the kind of address.
pub fn allowed(address: IpAddr, scopes: &[AddressScope]) -> Result<(), AddressRefused> {
    let address = canonical(address);
    let refuse = |kind| Err(AddressRefused { kind });
    if METADATA.contains(&address) {
        return refuse("metadata");
    }
    match kind(address) {
        None => Ok(()),
        Some(("loopback", Some(scope)) | ("private", Some(scope)) | ("link-local", Some(scope)))
            if scopes.contains(&scope) =>
        {
            Ok(())
        }
        Some((word, _)) => refuse(word),
    }
}

/// Looks through every way of writing an IPv4 address as an IPv6 one.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // IPv4-mapped (RFC 4291), NAT64 (RFC 6052) and its local form (RFC 8215), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, _, _, _, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // IPv4-compatible (deprecated), but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => embedded(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// The kind of a non-public address, with the scope that allows it where one does.
fn kind(address: IpAddr) -> Option<(&'static str, Option<AddressScope>)> {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => {
            let first = v6.segments().first().copied().unwrap_or(0);
            if v6.is_loopback() {
                Some(("loopback", Some(AddressScope::Loopback)))
            } else if first & 0xfe00 == 0xfc00 {
                Some(("private", Some(AddressScope::Private)))
            } else if first & 0xffc0 == 0xfe80 {
                Some(("link-local", Some(AddressScope::LinkLocal)))
            } else {
                // Global unicast is 2000::/3, without documentation, Teredo and ORCHID ranges.
                let special = matches!(v6.segments(), [0x2001, 0xdb8 | 0 | 0x10..=0x3f, ..]);
                (special || first & 0xe000 != 0x2000).then_some(("reserved", None))
            }
        }
    }
}

fn kind_v4(v4: Ipv4Addr) -> Option<(&'static str, Option<AddressScope>)> {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let benchmark = a == 198 && b & 0xfe == 18;
    let protocol = a == 192 && b == 0 && c == 0;
    if v4.is_loopback() {
        Some(("loopback", Some(AddressScope::Loopback)))
    } else if v4.is_private() || shared {
        Some(("private", Some(AddressScope::Private)))
    } else if v4.is_link_local() {
        Some(("link-local", Some(AddressScope::LinkLocal)))
    } else if a == 0 || a >= 224 || v4.is_documentation() || benchmark || protocol {
        Some(("reserved", None))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_inner_address_is_refused() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "198.18.0.1",
            "192.0.2.1",
        ] {
            assert!(allowed(text.parse().unwrap(), &[]).is_err(), "{text}");
        }
        for text in ["93.184.216.34", "2606:4700::1111"] {
            assert!(allowed(text.parse().unwrap(), &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_named_scope_opens_its_kind_alone_and_never_metadata() {
        let all = [AddressScope::Loopback, AddressScope::Private, AddressScope::LinkLocal];
        assert!(allowed("127.0.0.1".parse().unwrap(), &[AddressScope::Loopback]).is_ok());
        assert!(allowed("10.0.0.1".parse().unwrap(), &[AddressScope::Loopback]).is_err());
        assert!(allowed("::ffff:10.0.0.1".parse().unwrap(), &[AddressScope::Private]).is_ok());
        for metadata in ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
            assert!(allowed(metadata.parse().unwrap(), &all).is_err(), "{metadata}");
        }
    }
}
