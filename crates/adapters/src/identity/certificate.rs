//! What a certificate says beyond what the TLS library tells: its end, its URIs, and what its key is for
//! (RFC 5280, section 4). Every certificate is verified by the TLS library as well; here, one that the
//! parser cannot read in every part is none.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, X509Extension};
use x509_parser::prelude::FromDer as _;

/// What a certificate says. Worth nothing before its chain is verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Its last second, in seconds since the Unix epoch.
    pub(super) not_after: i64,
    /// Every URI among its names.
    pub(super) uris: Vec<&'a str>,
    /// Whether it says that it is an authority.
    pub(super) authority: bool,
    /// Whether its key may sign; not, where nothing is said (section 4.2.1.3).
    pub(super) signs: bool,
    /// Whether its key may sign certificates or lists of revoked ones.
    pub(super) signs_certificates: bool,
}

/// Reads a certificate; nothing where it is none, or where one extension is there twice.
pub(super) fn read(der: &[u8]) -> Option<Said<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let unreadable = |extension: &X509Extension<'_>| extension.parsed_extension().error().is_some();
    let twice = certificate.extensions_map().is_err();
    if !rest.is_empty() || twice || certificate.extensions().iter().any(unreadable) {
        return None;
    }
    let usage = certificate.key_usage().ok()?.map(|usage| usage.value);
    let names = certificate.subject_alternative_name().ok()?.map(|names| names.value);
    let mut uris = Vec::new();
    for name in names.into_iter().flat_map(|names| &names.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return None,
            _ => {}
        }
    }
    Some(Said {
        not_after: certificate.validity().not_after.timestamp(),
        uris,
        authority: certificate.basic_constraints().ok()?.is_some_and(|constraints| constraints.value.ca),
        signs: usage.is_some_and(|usage| usage.digital_signature()),
        signs_certificates: usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign()),
    })
}

#[cfg(test)]
mod tests {
    use gateway_testkit::trust_domain::{Authority, Order};
    use proptest::prelude::*;

    use super::*;

    fn order() -> Order {
        Order { dns: vec!["a.example".into()], until: 2_000_000_000, ..Order::svid("spiffe://example.org/a") }
    }

    #[test]
    fn reads_what_the_certificate_says() {
        let authority = Authority::new();
        let chain = authority.sign(&order()).chain();
        let said = read(&chain[0]).unwrap();
        let expected = Said {
            not_after: 2_000_000_000,
            uris: vec!["spiffe://example.org/a"],
            authority: false,
            signs: true,
            signs_certificates: false,
        };
        assert_eq!(said, expected);
        let own = authority.der();
        let said = read(&own).unwrap();
        assert!(said.authority && said.uris.is_empty());
        assert!(!said.signs && said.signs_certificates);
        let late = Order { until: 4_000_000_000, ..order() };
        assert_eq!(read(&authority.sign(&late).chain()[0]).unwrap().not_after, 4_000_000_000, "past 2049");
    }

    /// The end of a certificate in which the text of that end was replaced by another of the same length.
    fn ends(until: i64, written: &str, instead: &str) -> Option<i64> {
        assert_eq!(written.len(), instead.len());
        let mut der = Authority::new().sign(&Order { until, ..order() }).chain().remove(0);
        let windows = der.windows(written.len());
        let at = windows.enumerate().find(|(_, window)| *window == written.as_bytes()).unwrap().0;
        der[at..at + instead.len()].copy_from_slice(instead.as_bytes());
        read(&der).map(|said| said.not_after)
    }

    #[test]
    fn reads_times_as_certificates_have_them_and_no_others() {
        let utc = |instead: &str| ends(2_000_000_000, "330518033320Z", instead);
        assert_eq!(utc("700101000001Z"), Some(1));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000), "1950");
        assert_eq!(ends(4_000_000_000, "20961002070640Z", "20500101000000Z"), Some(2_524_608_000));
        for bad in ["             ", "7001010000001", "701301000000Z", "70010100000aZ", "700132000000Z"] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_extension_twice_or_one_that_cannot_be_read_is_no_certificate() {
        let der = Authority::new().sign(&order()).chain().remove(0);
        // The object ids of key usage, alternative names and basic constraints differ in their last byte.
        let of = |last: u8| [0x06, 0x03, 0x55, 0x1d, last];
        let at = |last: u8| der.windows(5).position(|window| window == of(last)).unwrap();
        let mut twice = der.clone();
        twice[at(0x11) + 4] = 0x0f;
        assert!(read(&twice).is_none());
        // The list of names becomes a string, which has none.
        let mut other = der.clone();
        let names = at(0x11) + 5 + 2;
        assert_eq!(other[names], 0x30);
        other[names] = 0x04;
        assert!(read(&other).is_none());
    }

    proptest! {
        #[test]
        fn never_panics_whatever_was_changed_or_cut(
            at in 0_usize..600, byte in any::<u8>(), length in 0_usize..600
        ) {
            thread_local!(static DER: Vec<u8> = Authority::new().sign(&order()).chain().remove(0));
            let mut der = DER.with(Clone::clone);
            if let Some(changed) = der.get_mut(at) {
                *changed = byte;
            }
            der.truncate(length);
            drop(read(&der));
        }

        #[test]
        fn takes_no_shorter_and_no_longer_text(extra in proptest::collection::vec(any::<u8>(), 1..4)) {
            let mut der = Authority::new().sign(&order()).chain().remove(0);
            prop_assert!(read(&der[..der.len() - 1]).is_none());
            der.extend(extra);
            prop_assert!(read(&der).is_none());
        }
    }
}
