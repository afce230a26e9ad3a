use proptest::prelude::*;

use super::*;

fn resolve(text: &str, agent: Option<&str>) -> Result<ResolvedReference, ReferenceError> {
    let environment = EnvironmentName::parse("dev").unwrap();
    SecretReference::parse(text)?.resolve(&TemplateValues { agent, user: None, environment: &environment })
}

#[test]
fn reads_every_part() {
    let it = resolve("vault-prod://kv/github/bot#token?version=3", None).unwrap();
    assert_eq!(it.store.as_str(), "vault-prod");
    assert_eq!(it.path, "kv/github/bot");
    assert_eq!(it.field.as_deref(), Some("token"));
    assert_eq!(it.version, Some(VersionSelector::Version("3".into())));
    assert_eq!(resolve("file:///run/secrets/x", None).unwrap().path, "/run/secrets/x");
    assert_eq!(resolve("s://a%23b%3Fc#d%25", None).unwrap().path, "a#b?c");
}

#[test]
fn refuses_what_walks_or_expands() {
    for (text, error) in [
        ("ghp_literalvalue", ReferenceError::NotAReference),
        ("$HOME/x", ReferenceError::NotAReference),
        ("https://vault:8200/x?token=abc", ReferenceError::Selector),
        ("s://a/../b", ReferenceError::Path),
        ("s://a/%2e%2e/b", ReferenceError::Path),
        ("s://a//b", ReferenceError::Path),
        ("s://", ReferenceError::Path),
        ("s:///", ReferenceError::Path),
        ("s://a#", ReferenceError::Field),
        ("s://a?role=admin", ReferenceError::Selector),
        ("s://a?version=", ReferenceError::Selector),
        ("s://{env.HOME}", ReferenceError::Template),
        ("s://{agent.id", ReferenceError::Template),
        ("S://a", ReferenceError::Store),
        ("s://a%0ab", ReferenceError::Path),
    ] {
        assert_eq!(SecretReference::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn templates_take_only_plain_values_that_are_there() {
    assert_eq!(resolve("s://a/{agent.id}", Some("bot")).unwrap().path, "a/bot");
    for bad in [None, Some(""), Some(".."), Some("a/b"), Some("a b"), Some("a#b")] {
        assert_eq!(resolve("s://a/{agent.id}", bad).unwrap_err(), ReferenceError::TemplateValue, "{bad:?}");
    }
}

#[test]
fn another_version_is_the_same_place_and_another_field_is_not() {
    let at = |text| SecretReference::parse(text).unwrap();
    assert!(at("s://a#f?version=1").same_place(&at("s://a#f?version=2")));
    assert!(!at("s://a#f").same_place(&at("s://a#g")));
    assert!(!at("s://a#f").same_place(&at("t://a#f")));
}

proptest! {
    #[test]
    fn never_panics_and_shows_what_it_read(text in "\\PC{0,60}|[a-z]{1,8}://[a-z/{}#?=%0-9.]{0,30}") {
        if let Ok(reference) = SecretReference::parse(&text) {
            prop_assert_eq!(SecretReference::parse(&reference.to_string()).unwrap(), reference);
        }
    }
}
