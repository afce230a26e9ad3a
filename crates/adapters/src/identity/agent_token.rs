//! Tokens that the gateway issues itself: a prefix that scanners find, 256 random bits, and a checksum
//! that tells a mistyped or invented token from a revoked one without a look-up.

use gateway_core::identity::{AGENT_TOKEN_PREFIX, IdentityError, TokenDigest};
use gateway_core::secret::Secret;
use zeroize::Zeroizing;

/// What a gateway-issued token is for; told by its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// An agent's, on the data plane.
    Agent,
    /// An operator's, on the control plane.
    Operator,
    /// The first operator's; works once.
    Bootstrap,
}

/// A token just made. Its text is shown once; what is stored is the digest.
#[derive(Debug)]
pub struct Minted {
    /// The token.
    pub token: Secret,
    /// What to store in its place.
    pub digest: TokenDigest,
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const BODY_DIGITS: usize = 43;
/// 62^6 > 2^32.
const CHECK_DIGITS: usize = 6;

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Operator, Self::Bootstrap];

    /// The prefix of its tokens.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Agent => AGENT_TOKEN_PREFIX,
            Self::Operator => "mcpgo_",
            Self::Bootstrap => "mcpgb_",
        }
    }

    /// Makes a token of 32 random bytes: prefix, 43 digits in base 62, 6 digits of CRC-32 (the IEEE
    /// polynomial) over both.
    pub fn mint(self, random: &Zeroizing<[u8; 32]>) -> Minted {
        let mut text = Vec::with_capacity(self.prefix().len() + BODY_DIGITS + CHECK_DIGITS);
        text.extend_from_slice(self.prefix().as_bytes());
        push_base62(&mut text, random.to_vec(), BODY_DIGITS);
        let check = crc32(&text);
        push_base62(&mut text, check.to_be_bytes().to_vec(), CHECK_DIGITS);
        let token = Secret::new(text);
        let digest = TokenDigest::of(&token);
        Minted { token, digest }
    }

    /// Tells the kind of a well-formed token whose checksum holds. Whether it was ever issued is
    /// another question.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`].
    #[expect(clippy::disallowed_methods, reason = "the checksum is over the token's text")]
    pub fn of(token: &Secret) -> Result<Self, IdentityError> {
        let text = token.expose();
        let kind = Self::ALL.into_iter().find(|kind| text.starts_with(kind.prefix().as_bytes()));
        let kind = kind.ok_or(IdentityError::Malformed)?;
        let (body, check) = text
            .len()
            .checked_sub(CHECK_DIGITS)
            .and_then(|length| text.split_at_checked(length))
            .ok_or(IdentityError::Malformed)?;
        let mut expected = Vec::with_capacity(CHECK_DIGITS);
        push_base62(&mut expected, crc32(body).to_be_bytes().to_vec(), CHECK_DIGITS);
        let digits = body.get(kind.prefix().len()..).unwrap_or_default();
        let well_formed = digits.len() == BODY_DIGITS && digits.iter().all(u8::is_ascii_alphanumeric);
        if well_formed && expected == check { Ok(kind) } else { Err(IdentityError::Malformed) }
    }
}

/// Appends the big-endian number with exactly so many digits, the lowest last.
fn push_base62(text: &mut Vec<u8>, number: Vec<u8>, digits: usize) {
    let mut number = Zeroizing::new(number);
    let mut reversed = Zeroizing::new(Vec::with_capacity(digits));
    for _ in 0..digits {
        let mut rest = 0_u32;
        for byte in number.iter_mut() {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        let digit = usize::try_from(rest).ok().and_then(|rest| DIGITS.get(rest)).copied();
        reversed.push(digit.unwrap_or(b'0'));
    }
    text.extend(reversed.iter().rev());
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}
