//! What a certificate says beyond what the TLS library tells: its end, its URIs, and what its key is for
//! (RFC 5280, section 4). It reads forward through a bounded buffer, never recursively, and refuses
//! whatever it does not expect: every certificate is verified by the TLS library as well.

use time::{Date, Month, PrimitiveDateTime, Time};

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version.
const VERSION: u8 = 0xa0;
/// `[3] EXPLICIT`: the extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[6] IMPLICIT IA5String`: a URI among the general names (section 4.2.1.6).
const URI: u8 = 0x86;

const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// What a certificate says. Worth nothing before its chain is verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Its last second, in seconds since the Unix epoch.
    pub(super) not_after: i64,
    /// Every URI among its names.
    pub(super) uris: Vec<&'a str>,
    /// Whether it says that it is an authority.
    pub(super) authority: bool,
    /// The first byte of the key usage (section 4.2.1.3); absent where nothing is said.
    pub(super) key_usage: Option<u8>,
}

/// The bits of the key usage.
pub(super) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(super) const KEY_CERT_SIGN: u8 = 0x04;
pub(super) const CRL_SIGN: u8 = 0x02;

/// Reads a certificate; nothing where it is none, or where one extension is there twice.
pub(super) fn read(der: &[u8]) -> Option<Said<'_>> {
    let mut whole = Reader(der);
    let mut certificate = Reader(whole.take(SEQUENCE)?);
    let mut content = Reader(certificate.take(SEQUENCE)?);
    let (signed_with, signature) = (certificate.take(SEQUENCE), certificate.take(BIT_STRING));
    if !whole.0.is_empty() || !certificate.0.is_empty() || signed_with.is_none() || signature.is_none() {
        return None;
    }
    if content.peek() == Some(VERSION) {
        content.take(VERSION)?;
    }
    // Serial number, algorithm and issuer are the TLS library's affair.
    content.any()?;
    content.take(SEQUENCE)?;
    content.take(SEQUENCE)?;
    let mut validity = Reader(content.take(SEQUENCE)?);
    validity.any()?;
    let mut said = Said { not_after: moment(validity.any()?)?, ..Said::default() };
    let mut listed = &[][..];
    while let Some((tag, value)) = content.any() {
        if tag == EXTENSIONS {
            listed = value;
        }
    }
    if !content.0.is_empty() {
        return None;
    }
    if !listed.is_empty() {
        extensions(listed, &mut said)?;
    }
    Some(said)
}

fn extensions<'a>(listed: &'a [u8], said: &mut Said<'a>) -> Option<()> {
    let mut list = Reader(Reader(listed).take(SEQUENCE)?);
    let mut seen: Vec<&[u8]> = Vec::new();
    while !list.0.is_empty() {
        let mut extension = Reader(list.take(SEQUENCE)?);
        let id = extension.take(OBJECT_ID)?;
        if extension.peek() == Some(BOOLEAN) {
            extension.take(BOOLEAN)?;
        }
        let mut value = Reader(extension.take(OCTET_STRING)?);
        if seen.contains(&id) {
            return None;
        }
        seen.push(id);
        match id {
            KEY_USAGE => match value.take(BIT_STRING)? {
                [_, first, ..] => said.key_usage = Some(*first),
                _ => said.key_usage = Some(0),
            },
            BASIC_CONSTRAINTS => {
                let mut constraints = Reader(value.take(SEQUENCE)?);
                said.authority = constraints.peek() == Some(BOOLEAN)
                    && constraints.take(BOOLEAN)?.iter().any(|byte| *byte != 0);
            }
            ALTERNATIVE_NAMES => {
                let mut names = Reader(value.take(SEQUENCE)?);
                while !names.0.is_empty() {
                    if let (URI, uri) = names.any()? {
                        said.uris.push(std::str::from_utf8(uri).ok()?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// `UTCTime` or `GeneralizedTime` as certificates have them (section 4.1.2.5): seconds, and UTC.
fn moment((tag, text): (u8, &[u8])) -> Option<i64> {
    let (digits, [b'Z']) = text.split_last_chunk::<1>()? else { return None };
    let (century, rest) = match tag {
        UTC_TIME => (None, digits),
        GENERALIZED_TIME => {
            let (century, rest) = digits.split_at_checked(2)?;
            (Some(pair(century)?), rest)
        }
        _ => return None,
    };
    let parts: Vec<u8> = rest.chunks(2).map(pair).collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second] = *parts.as_slice() else { return None };
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let year = i32::from(century) * 100 + i32::from(year);
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

fn pair(digits: &[u8]) -> Option<u8> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// Elements one after another: a tag, a definite length, the content.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which must have this tag.
    fn take(&mut self, expected: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.any()?;
        (tag == expected).then_some(content)
    }

    /// The next element.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
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
            key_usage: Some(DIGITAL_SIGNATURE),
        };
        assert_eq!(said, expected);
        let own = authority.der();
        let said = read(&own).unwrap();
        assert!(said.authority && said.uris.is_empty());
        assert_eq!(said.key_usage, Some(KEY_CERT_SIGN | CRL_SIGN));
        let late = Order { until: 4_000_000_000, ..order() };
        assert_eq!(read(&authority.sign(&late).chain()[0]).unwrap().not_after, 4_000_000_000, "past 2049");
    }

    #[test]
    fn reads_times_as_certificates_have_them_and_no_others() {
        assert_eq!(moment((UTC_TIME, b"700101000001Z")), Some(1));
        assert_eq!(moment((UTC_TIME, b"500101000000Z")), Some(-631_152_000), "1950");
        assert_eq!(moment((GENERALIZED_TIME, b"20500101000000Z")), Some(2_524_608_000));
        for bad in
            ["", "Z", "7001010000Z", "700101000001", "701301000000Z", "700101000001+0100", "70010100000aZ"]
        {
            assert_eq!(moment((UTC_TIME, bad.as_bytes())), None, "{bad}");
        }
        assert_eq!(moment((BOOLEAN, b"700101000001Z")), None);
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
