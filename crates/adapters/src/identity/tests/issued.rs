//! Tokens of our own.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::super::TokenKind;
use super::*;

#[expect(clippy::disallowed_methods, reason = "the test looks at the form of a token it made")]
fn text(kind: TokenKind, random: [u8; 32]) -> String {
    let minted = kind.mint(&Zeroizing::new(random));
    let shown = minted.token.expose().to_vec();
    assert_eq!(presented(std::str::from_utf8(&shown).unwrap()).digest(), minted.digest);
    String::from_utf8(shown).unwrap()
}

fn kind_of(text: &str) -> Result<TokenKind, IdentityError> {
    TokenKind::of(&Secret::new(text.as_bytes().to_vec()))
}

#[test]
fn a_token_has_a_fixed_form() {
    let zero = text(TokenKind::Agent, [0; 32]);
    assert_eq!(zero.len(), 6 + 43 + 6);
    assert!(zero.starts_with(&format!("mcpgw_{}", "0".repeat(43))), "{zero}");
    assert!(text(TokenKind::Operator, [7; 32]).starts_with("mcpgo_"));
    assert!(text(TokenKind::Bootstrap, [7; 32]).starts_with("mcpgb_"));
    assert!(presented(&zero).is_agent_token());
}

#[test]
fn every_changed_character_is_noticed() {
    let good = text(TokenKind::Agent, [0x5a; 32]);
    assert_eq!(kind_of(&good), Ok(TokenKind::Agent));
    for place in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        assert!(kind_of(std::str::from_utf8(&bytes).unwrap()).is_err(), "{place}");
    }
    for wrong in [
        "",
        "mcpgw_",
        good.strip_suffix(char::is_alphanumeric).unwrap(),
        &format!("{good}0"),
        &good.replace("mcpgw", "mcpgo"),
    ] {
        assert!(kind_of(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn different_randomness_gives_different_tokens(one in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        prop_assert_eq!(kind_of(&text(TokenKind::Agent, one)), Ok(TokenKind::Agent));
        prop_assert_eq!(one == other, text(TokenKind::Agent, one) == text(TokenKind::Agent, other));
    }

    #[test]
    fn no_text_upsets_the_reader(text in ".{0,80}") {
        prop_assert!(kind_of(&text).is_err());
    }
}
