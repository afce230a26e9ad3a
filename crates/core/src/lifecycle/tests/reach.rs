use serde_json::{Value, json};

use super::*;
use crate::audit::EventKind;
use crate::identity::{Entry, TokenDigest};
use crate::reference::SecretReference;
use crate::secret::Secret;
use crate::state::{GrantRecord, Operation};

fn delegated(name: &str, server: &str, provider: &str) -> Value {
    let source = json!({"grant": {"provider": provider, "scopes": ["read"]}});
    let mut binding = with(binding("dev", ""), "name", json!(name));
    binding.as_object_mut().unwrap().remove("secret");
    let binding = with(with(binding, "source", source), "server", json!(server));
    with(with(binding, "mode", json!("user_delegated")), "actor", json!({"users": [format!("i|{name}")]}))
}

fn grant(id: &str, provider: &str) -> GrantRecord {
    GrantRecord {
        id: id.to_owned(),
        environment: "dev".parse().unwrap(),
        provider: provider.parse().unwrap(),
        user: format!("i|{id}"),
        account: None,
        scopes: vec!["read".to_owned()],
        reference: SecretReference::parse("sealed://grants/a#grant").unwrap(),
        created_at: Timestamp::from_seconds(1),
        ended: None,
    }
}

/// Two servers in `dev`; `mail` serves both, `notes` only the first.
fn two_servers() -> Bench {
    let mut bench = Bench::dev();
    let alice = operator("i|alice", Role::Editor);
    let second = spec(with(server("dev"), "name", json!("wiki")));
    bench.apply(&alice, &[second]).unwrap();
    // Written straight into the state: what is under test is what ends with them.
    for content in [
        delegated("one", "github", "notes"),
        delegated("two", "github", "mail"),
        delegated("three", "wiki", "mail"),
    ] {
        let content = spec(content);
        let mut record = bench.state.active(&bench.key("Binding/dev/bot-github")).unwrap().clone();
        (record.key, record.content) = (content.key(), content.content_hash());
        record.spec = content;
        let expected = bench.state.epoch;
        let operations = vec![Operation::InsertRevision(Box::new(record))];
        bench.commit(&Change { expected, operations, events: Vec::new() });
    }
    let grants = [grant("g-notes", "notes"), grant("g-mail", "mail"), grant("g-other", "unused")];
    let operations = grants.map(|grant| Operation::InsertGrant(Box::new(grant))).to_vec();
    bench.commit(&Change { expected: bench.state.epoch, operations, events: Vec::new() });
    bench
}

fn tokens(bench: &mut Bench, doors: &[Option<&[&str]>]) {
    let alice = operator("i|alice", Role::Editor);
    let bot = "bot".parse().unwrap();
    for (seed, servers) in doors.iter().enumerate() {
        let servers = servers.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        let entries = [Entry { environment: "dev".parse().unwrap(), servers }];
        let wish =
            TokenWish { agent: &bot, entries: &entries, lifetime: std::time::Duration::from_secs(3_600) };
        let digest = TokenDigest::of(&Secret::copy_from(&[u8::try_from(seed).unwrap() + 1]));
        let minted = MintedToken { id: format!("token-{seed}"), digest };
        let change = issue_agent_token(&bench.context(&alice), &wish, &minted).unwrap().1;
        bench.commit(&change);
    }
}

#[test]
fn a_server_ends_with_its_bindings_its_tokens_and_the_grants_that_nobody_else_serves() {
    let mut bench = two_servers();
    tokens(&mut bench, &[Some(&["github"]), Some(&["github", "wiki"]), None]);
    let alice = operator("i|alice", Role::Editor);
    let switched = revoke(&bench.context(&alice), &bench.key("Server/dev/github")).unwrap();
    let mut ended: Vec<String> = switched.reach.bindings.iter().map(|one| one.binding.to_string()).collect();
    ended.sort();
    assert_eq!(ended, ["bot-github@1", "one@1", "two@1"]);
    let grants: Vec<&str> = switched.reach.grants.iter().map(|(grant, _)| grant.id.as_str()).collect();
    assert_eq!(
        (grants, switched.tokens),
        (vec!["g-notes"], 1),
        "mail and the other tokens serve the wiki too"
    );
    let stored = switched.reach.bindings.iter().filter_map(|one| one.stored_secret.as_deref());
    assert_eq!(stored.collect::<Vec<_>>(), ["sealed://bot#token"]);
    let told = |kind| switched.change.events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((told(EventKind::BindingRevoked), told(EventKind::GrantEnded)), (3, 1));
    bench.commit(&switched.change);
    assert_eq!(bench.status("Binding/dev/three", 1), Lifecycle::Active);
    assert_eq!(bench.apply(&alice, &[spec(server("dev"))]), Err(vec!["binding.revoked_name"]));
    let again = revoke(&bench.context(&alice), &bench.key("Server/dev/github")).unwrap_err();
    assert_eq!(codes(again), ["object.state"]);
}

#[test]
fn an_environment_ends_with_everything_in_it_and_lets_nothing_in_again() {
    let mut bench = two_servers();
    tokens(&mut bench, &[None]);
    let root = operator("i|root", Role::Admin);
    let key = bench.key("Environment/dev");
    let switched = revoke(&bench.context(&root), &key).unwrap();
    assert_eq!((switched.reach.bindings.len(), switched.reach.grants.len(), switched.tokens), (4, 3, 1));
    bench.commit(&switched.change);
    for gone in ["Server/dev/github", "Server/dev/wiki", "Binding/dev/three", "Environment/dev"] {
        assert_eq!(bench.status(gone, 1), Lifecycle::Revoked, "{gone}");
    }
    assert!(bench.state.grants.iter().all(|grant| grant.ended.is_some()));
    let back = bench.apply(&root, &world("dev")).unwrap_err();
    assert!(back.contains(&"binding.revoked_name"), "{back:?}");
    let fresh = spec(with(binding("dev", "sealed://bot#token"), "name", json!("fresh")));
    assert!(bench.apply(&root, &[fresh]).is_err(), "there is no environment to be in");
}

#[test]
fn an_environment_is_an_administrators_to_end_and_policies_and_providers_are_nobodys() {
    let bench = two_servers();
    let alice = operator("i|alice", Role::Editor);
    let refused = |key: &str| codes(revoke(&bench.context(&alice), &bench.key(key)).unwrap_err());
    assert_eq!(refused("Environment/dev"), ["operator.forbidden"]);
    assert_eq!(refused("Policy/dev/triage"), ["object.kind"]);
    assert_eq!(refused("Server/dev/nowhere"), ["object.unknown"]);
    let stranger = scoped("i|eve", Role::Editor, "payments");
    let key = bench.key("Server/dev/github");
    assert_eq!(codes(revoke(&bench.context(&stranger), &key).unwrap_err()), ["operator.forbidden"]);
}
