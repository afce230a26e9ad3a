//! Redirect URIs: nothing but the registered one, or its loopback port, ever matches.

use proptest::prelude::*;
use url::Url;

use crate::oauth::redirect::RedirectUri;

fn registered(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn https_and_loopback_http_are_taken_and_nothing_else() {
    for good in [
        "https://app.example",
        "https://app.example/",
        "https://app.example:8443/a/b?c=d",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:3000/cb",
        "http://[::1]:3000/cb",
        "http://localhost:3000/oauth/callback",
    ] {
        registered(good);
    }
    for bad in [
        "",
        "https://",
        "https:app.example/",
        "https:/app.example/",
        "https:\\\\app.example/",
        "HTTPS://app.example/",
        "https://APP.example/",
        "https://app.example/a/../b",
        "https://app.example/%2e%2e/b",
        "https://app.example:443/",
        "https://app.example/#",
        "https://a@app.example/",
        "https://app.example\\@evil.example/",
        "https://app.example/ b",
        "https://app.example/\u{fc}",
        "http://app.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:+1/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://0.0.0.0/cb",
        "http://10.0.0.1/cb",
        "http://localhost.evil.example/cb",
        "custom:/cb",
        "com.example.app:/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//app.example/",
        "/cb",
    ] {
        assert_eq!(RedirectUri::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_port_of_a_loopback_address_may_differ_and_nothing_else() {
    let own = registered("http://127.0.0.1:3000/cb?a=b");
    for same in ["http://127.0.0.1:3000/cb?a=b", "http://127.0.0.1:1/cb?a=b", "http://127.0.0.1/cb?a=b"] {
        assert!(own.matches(same), "{same}");
    }
    for other in [
        "http://127.0.0.1:3000/cb",
        "http://127.0.0.1:3000/cb?a=b&c=d",
        "http://127.0.0.1:3000/cb/?a=b",
        "http://127.0.0.1:3000/CB?a=b",
        "http://127.0.0.1:3000//cb?a=b",
        "http://127.0.0.1:3000/x/../cb?a=b",
        "http://localhost:3000/cb?a=b",
        "http://[::1]:3000/cb?a=b",
        "https://127.0.0.1:3000/cb?a=b",
        "http://127.0.0.1:3000@evil.example/cb?a=b",
        "http://127.0.0.1:3000\\@evil.example/cb?a=b",
        "http://127.0.0.1:3000.evil.example/cb?a=b",
        "http://127.0.0.1:70000/cb?a=b",
        "http://127.0.0.1:/cb?a=b",
        "http://127.0.0.1:3000/cb?a=b#x",
        "http://127.0.0.1:3000/cb?a=b ",
    ] {
        assert!(!own.matches(other), "{other}");
    }
    let https = registered("https://app.example/cb");
    assert!(!https.matches("https://app.example:444/cb"), "only loopback ports may differ");
}

/// Parts that attacks on redirect URIs are made of.
fn part() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "http",
        "https",
        "://",
        ":",
        "/",
        "//",
        "\\",
        "@",
        "#",
        "?",
        "&",
        "=",
        ".",
        "..",
        "%2f",
        "%00",
        "%5c",
        "[",
        "]",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "app.example",
        "evil.example",
        ":80",
        ":3000",
        ":0",
        "/cb",
        "cb",
        "a=b",
        " ",
        "\t",
        "\r\n",
        "\u{202e}",
        "\u{ff0f}",
        "\u{3002}",
        "0x7f.1",
        "user",
        ";",
        "|",
    ];
    prop_oneof![4 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(part(), 0..12).prop_map(|parts| parts.concat())
}

/// A registered URI with one part put in, or one stretch changed.
fn mutated(base: &'static str) -> impl Strategy<Value = String> {
    (0..=base.len(), 0..=4_usize, part()).prop_map(move |(at, cut, part)| {
        let end = (at + cut).min(base.len());
        format!("{}{part}{}", base.get(..at).unwrap(), base.get(end..).unwrap())
    })
}

const BASES: [&str; 3] =
    ["http://127.0.0.1:3000/cb?a=b", "https://app.example/cb", "http://localhost/oauth/callback"];

fn judge(base: &str, asked: &str) -> Result<(), TestCaseError> {
    let own = registered(base);
    if !own.matches(asked) || base == asked {
        return Ok(());
    }
    // Another text may match for its port alone, read as any browser would read it.
    let (known, seen) = (Url::parse(base).unwrap(), Url::parse(asked).unwrap());
    prop_assert_eq!(known.scheme(), "http");
    prop_assert_eq!(seen.scheme(), "http");
    prop_assert_eq!(known.host(), seen.host());
    prop_assert_eq!(known.path(), seen.path());
    prop_assert_eq!(known.query(), seen.query());
    prop_assert_eq!(seen.fragment(), None);
    prop_assert!(seen.username().is_empty() && seen.password().is_none());
    prop_assert!(asked.is_ascii() && !asked.contains(['\\', '@', '#', ' ', '\t', '\r', '\n']));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_matches_is_the_registered_place(asked in texts()) {
        for base in BASES {
            judge(base, &asked)?;
        }
    }

    #[test]
    fn no_change_of_a_registered_uri_matches_but_its_loopback_port(
        (first, second, third) in (mutated(BASES[0]), mutated(BASES[1]), mutated(BASES[2]))
    ) {
        judge(BASES[0], &first)?;
        judge(BASES[1], &second)?;
        judge(BASES[2], &third)?;
    }

    #[test]
    fn what_is_registered_reads_the_same_everywhere(text in texts()) {
        if let Some(taken) = RedirectUri::parse(&text) {
            let url = Url::parse(taken.as_str()).unwrap();
            prop_assert!(url.scheme() == "https" || matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")));
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            prop_assert_eq!(url.as_str().trim_end_matches('/'), text.trim_end_matches('/'));
        }
    }
}
