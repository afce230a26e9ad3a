//! What every secret store promises. Each adapter brings a [`StoreWorld`] and runs [`battery`].

#![allow(clippy::expect_used, clippy::panic, reason = "a claim that does not hold fails the test")]

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};

/// A store under test, and a door beside it through which values get in.
#[async_trait]
pub trait StoreWorld: Send + Sync {
    /// The store under test.
    fn store(&self) -> &dyn SecretStore;

    /// Puts the value under the name and says how to refer to it; absent where such a store cannot
    /// hold such a value at all.
    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference>;

    /// A well-formed reference to something that was never put.
    fn absent(&self) -> ResolvedReference;

    /// Whether an older version can still be fetched by its pin.
    fn keeps_versions(&self) -> bool;

    /// Whether a value can change while the store is open.
    fn changes(&self) -> bool {
        true
    }
}

const FIRST: &[u8] = b"canary-first-7f3a9c";
const SECOND: &[u8] = b"canary-second-51be02";

/// Runs every claim of the contract.
///
/// # Panics
/// Where a claim does not hold.
pub async fn battery(world: &dyn StoreWorld) {
    world.store().probe().await.expect("the store answers");
    finds_what_was_put(world).await;
    misses_by_name(world).await;
    refuses_what_is_empty(world).await;
    pins_versions(world).await;
    never_truncates(world).await;
    keeps_bytes(world).await;
}

async fn finds_what_was_put(world: &dyn StoreWorld) {
    let wanted = put(world, "found", FIRST).await;
    let found = world.store().fetch(&wanted).await.expect("what was put is found");
    assert_eq!(bytes(&found), FIRST);
    assert!(!found.version.as_str().is_empty(), "a version has a name");
    assert!(!format!("{found:?}").contains("canary"), "a version cannot be printed");
    let again = world.store().fetch(&wanted).await.expect("found again");
    assert_eq!(found.version, again.version, "the same version has the same name");
}

async fn misses_by_name(world: &dyn StoreWorld) {
    refused(world, &world.absent(), &[StoreErrorKind::NotFound], "a missing path").await;
    let wanted = put(world, "misses", FIRST).await;
    if wanted.field.is_some() {
        let field = ResolvedReference { field: Some("no-such-field".to_owned()), ..wanted.clone() };
        refused(world, &field, &[StoreErrorKind::NotFound], "a missing field").await;
    }
    let version = pin(&wanted, "999999");
    refused(world, &version, &[StoreErrorKind::NotFound], "a missing version").await;
    let stage = ResolvedReference { version: Some(VersionSelector::Stage("LATEST".to_owned())), ..wanted };
    let kinds = [StoreErrorKind::NotFound, StoreErrorKind::Malformed];
    refused(world, &stage, &kinds, "a stage that does not exist").await;
}

async fn refuses_what_is_empty(world: &dyn StoreWorld) {
    if let Some(wanted) = world.put("empty", b"").await {
        refused(world, &wanted, &[StoreErrorKind::Empty], "an empty value").await;
    }
}

async fn pins_versions(world: &dyn StoreWorld) {
    let wanted = put(world, "pinned", FIRST).await;
    let first = world.store().fetch(&wanted).await.expect("the first version");
    let pinned = pin(&wanted, first.version.as_str());
    let found = world.store().fetch(&pinned).await.expect("the current version by its pin");
    assert_eq!((bytes(&found), &found.version), (FIRST, &first.version));
    if !world.changes() {
        return;
    }
    put(world, "pinned", SECOND).await;
    let second = world.store().fetch(&wanted).await.expect("the second version");
    assert_eq!(bytes(&second), SECOND, "unpinned is the newest");
    assert_ne!(second.version, first.version, "another value is another version");
    if world.keeps_versions() {
        let found = world.store().fetch(&pinned).await.expect("the older version by its pin");
        assert_eq!((bytes(&found), &found.version), (FIRST, &first.version));
    } else {
        refused(world, &pinned, &[StoreErrorKind::NotFound], "a version that is not kept").await;
    }
}

async fn never_truncates(world: &dyn StoreWorld) {
    let huge = b"canary-huge.".repeat(20_000);
    let Some(wanted) = world.put("huge", &huge).await else { return };
    match world.store().fetch(&wanted).await {
        Ok(found) => assert!(bytes(&found) == huge, "a huge value comes whole"),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Malformed, "or is refused by name"),
    }
}

async fn keeps_bytes(world: &dyn StoreWorld) {
    let binary = [0xff, 0x00, 0xfe, 0x80, b'\n', b'x'];
    if let Some(wanted) = world.put("binary", &binary).await {
        let found = world.store().fetch(&wanted).await.expect("bytes that are no text");
        assert_eq!(bytes(&found), binary);
    }
    let text = "ü€😀 \"quoted\" \\ / \t\u{1}".as_bytes();
    if let Some(wanted) = world.put("text", text).await {
        let found = world.store().fetch(&wanted).await.expect("text of all kinds");
        assert_eq!(bytes(&found), text);
    }
}

async fn put(world: &dyn StoreWorld, name: &str, value: &[u8]) -> ResolvedReference {
    world.put(name, value).await.expect("every store holds plain text")
}

fn pin(wanted: &ResolvedReference, version: &str) -> ResolvedReference {
    ResolvedReference { version: Some(VersionSelector::Version(version.to_owned())), ..wanted.clone() }
}

async fn refused(world: &dyn StoreWorld, wanted: &ResolvedReference, kinds: &[StoreErrorKind], what: &str) {
    let error: StoreError = match world.store().fetch(wanted).await {
        Ok(_) => panic!("{what} was found"),
        Err(error) => error,
    };
    assert!(kinds.contains(&error.kind), "{what}: {error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{what}: the error holds a value");
}

#[expect(clippy::disallowed_methods, reason = "the battery compares what a store handed out")]
fn bytes(version: &SecretVersion) -> &[u8] {
    version.secret.expose()
}
