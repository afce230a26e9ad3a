use gateway_core::manifest::{Registration, Spec};

use super::*;
use crate::config::manifest::{Source, parse};

fn server() -> AuthorizationServer {
    AuthorizationServer {
        issuer: "https://auth.notes.example".to_owned(),
        origins: Vec::new(),
        reads_documents: true,
        registers: true,
        offers_s256: true,
        sends_issuer: true,
        revokes: true,
    }
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: DiscoverArguments,
}

fn parsed(line: &[&str]) -> Option<DiscoverArguments> {
    let line = ["discover"].iter().chain(line);
    <Line as clap::Parser>::try_parse_from(line).ok().map(|line| line.arguments)
}

fn arguments(more: &[&str]) -> Option<DiscoverArguments> {
    parsed(&[&["--server", "dev/notes"], more].concat())
}

fn drafted(more: &[&str], change: impl FnOnce(&mut AuthorizationServer)) -> Draft {
    let mut server = server();
    change(&mut server);
    let arguments = arguments(more).unwrap();
    let asked = Asked {
        url: "https://notes.example/mcp".parse().unwrap(),
        environment: "dev".to_owned(),
        owner: "platform".to_owned(),
        addresses: Vec::new(),
    };
    let asked = asked.overridden(&arguments);
    let told = Advertised {
        resource: "https://notes.example/mcp".to_owned(),
        scopes: vec!["notes.read".to_owned(), "notes.write".to_owned()],
        authorization_servers: vec![(server.issuer.clone(), Ok(server))],
    };
    Draft::all(&asked, &arguments, &told).remove(0)
}

fn provider(draft: &Draft) -> gateway_core::manifest::ProviderSpec {
    let source = Source { name: "draft".to_owned(), text: draft.manifest().unwrap() };
    let parsed = parse(&[source]).unwrap().remove(0);
    match parsed.spec {
        Spec::Provider(provider) => provider,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_draft_is_a_manifest_with_the_first_registration_that_is_possible() {
    let by_hand = provider(&drafted(&["--client-id", "gateway-1"], |_| {}));
    assert_eq!(
        (by_hand.client.registration, by_hand.client.id.as_deref()),
        (Registration::Registered, Some("gateway-1"))
    );
    assert_eq!((by_hand.name.as_str(), by_hand.owner.as_str()), ("auth-notes-example", "platform"));
    assert_eq!(by_hand.issuer, "https://auth.notes.example");
    let document = provider(&drafted(&["--name", "notes"], |_| {}));
    assert_eq!(document.client.registration, Registration::MetadataDocument);
    assert_eq!(document.name.as_str(), "notes");
    let dynamic = provider(&drafted(&[], |server| server.reads_documents = false));
    assert_eq!(dynamic.client.registration, Registration::Dynamic);
    let none = drafted(&[], |server| (server.reads_documents, server.registers) = (false, false));
    assert_eq!(provider(&none).client.registration, Registration::Registered);
    assert!(none.manifest().unwrap().contains("by hand, with the redirect URI PUBLIC_URL/connect/callback"));
}

#[test]
fn what_a_reviewer_must_look_at_is_said() {
    let draft = drafted(&["--addresses", "private"], |server| {
        server.origins = vec!["https://login.example".to_owned()];
        (server.offers_s256, server.sends_issuer, server.revokes) = (false, false, false);
    });
    let manifest = draft.manifest().unwrap();
    for words in [
        "Nobody has approved it",
        "no PKCE",
        "RFC 9207",
        "RFC 7009",
        "Is each of these its own?",
        "scopes: [notes.read, notes.write], resource: \"https://notes.example/mcp\"",
    ] {
        assert!(manifest.contains(words), "{words}: {manifest}");
    }
    let provider = provider(&draft);
    assert_eq!(provider.origins, ["https://login.example"]);
    assert_eq!(provider.addresses, [AddressScope::Private]);
}

#[test]
fn a_servers_words_stay_in_their_line() {
    let mut draft = drafted(&[], |_| {});
    draft.notes.push("a\nkind: Policy\r\n---".to_owned());
    draft.spec["issuer"] = "https://auth.example\nkind: Policy".into();
    assert!(draft.manifest().unwrap().lines().all(|line| !line.starts_with("kind: Policy")));
    assert_eq!(provider(&draft).issuer, "https://auth.example\nkind: Policy");
}

#[test]
fn names_are_made_of_hosts() {
    for (issuer, name) in [
        ("https://auth.notes.example:8443/realm", "auth-notes-example"),
        ("http://127.0.0.1:9000", "provider"),
        ("nonsense", "provider"),
    ] {
        assert_eq!(name_of(issuer), name, "{issuer}");
    }
}

#[test]
fn a_server_is_named_once_and_one_that_is_not_registered_with_all_that_is_unknown_of_it() {
    let url = ["--url", "https://notes.example/mcp"];
    assert!(arguments(&[]).is_some());
    let half = [&url[..], &["--environment", "dev"]].concat();
    let bad: [&[&str]; 3] = [&[], &url, &half];
    for bad in bad {
        assert!(parsed(bad).is_none(), "{bad:?}");
    }
    let whole = [&url[..], &["--environment", "dev", "--owner", "platform"]].concat();
    assert!(parsed(&whole).is_some());
    assert!(parsed(&[&whole[..], &["--server", "dev/notes"]].concat()).is_none());
}

#[test]
fn only_known_kinds_of_address_are_taken() {
    assert_eq!(scope("link-local"), Ok(AddressScope::LinkLocal));
    assert!(scope("public").is_err() && scope("").is_err());
}
