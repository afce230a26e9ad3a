//! What every secret store promises. Each adapter brings a [`StoreWorld`] and runs [`battery`].

#![allow(clippy::expect_used, clippy::panic, reason = "a claim that does not hold fails the test")]

mod pressure;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};

use crate::gate::{Answer, Mode};

pub use self::pressure::pressure;

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

    /// Whether a version can be pinned at all.
    fn pins(&self) -> bool {
        true
    }

    /// How many requests have reached the server so far; absent where that cannot be counted.
    fn requests(&self) -> Option<u32> {
        None
    }

    /// Whether a value can change while the store is open.
    fn changes(&self) -> bool {
        true
    }

    /// A reference to something that is there and that the store does not show us; absent where the
    /// world cannot bring that about.
    async fn denied(&self) -> Option<ResolvedReference> {
        None
    }

    /// Deletes what is at the reference; `false` where that cannot be done.
    async fn delete(&self, _wanted: &ResolvedReference) -> bool {
        false
    }

    /// Deletes the one version at the pinned reference; `false` where that cannot be done.
    async fn delete_version(&self, _pinned: &ResolvedReference) -> bool {
        false
    }

    /// Lets the server's answers come in this way until [`Trouble::None`] is brought; `false` where that
    /// cannot be done.
    async fn misbehave(&self, _how: Misbehaviour) -> bool {
        false
    }

    /// Brings the trouble about, or ends it; `false` where that cannot be done.
    async fn bring(&self, _trouble: Trouble) -> bool {
        false
    }
}

/// What can befall a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// None: the store is well again.
    None,
    /// It takes requests and answers none.
    Slow,
    /// It asks everybody to come back after [`RETRY_AFTER`].
    Throttled,
    /// It cannot be reached.
    Down,
    /// It has forgotten our session; a new login is all it takes.
    SessionOver,
    /// It refuses our session and our login.
    LoginRefused,
}

/// How an answer can come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misbehaviour {
    /// The server's own answer ends in its middle.
    CutShort,
    /// A page of somebody in between, with the status of a success.
    SomethingElse,
    /// A redirect to another server.
    Elsewhere,
    /// The server's own answer, after a moment.
    Late,
}

impl Misbehaviour {
    /// The gate that brings it about, in front of a real server.
    pub fn as_mode(self) -> Mode {
        let answer = |status, headers: &str, body: &str| {
            Mode::Answer(Answer { status, headers: headers.to_owned(), body: body.to_owned() })
        };
        match self {
            Self::CutShort => Mode::Cut,
            Self::SomethingElse => {
                answer(200, "Content-Type: text/html\r\n", "<html><body>Please log in: canary</body></html>")
            }
            // Nobody is there: who follows it fails otherwise than who does not.
            Self::Elsewhere => answer(302, "Location: http://127.0.0.1:1/elsewhere\r\n", "canary"),
            Self::Late => Mode::Late(Duration::from_millis(300)),
        }
    }
}

/// When a throttled world asks to come back.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a slow store is waited for.
const SLOW: Duration = Duration::from_millis(500);
/// How long any other may take on a busy machine.
const BUSY: Duration = Duration::from_secs(30);

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
    shows_nothing_it_is_denied(world).await;
    misses_what_was_deleted(world).await;
    comes_through_trouble(world).await;
}

/// Plays what a decorated store promises: a thousand callers of one cold place make one fetch, and while
/// the value is fresh nobody makes another. `decorate` puts the cache in front of the store it is given.
///
/// # Panics
/// Where it does not hold.
pub async fn one_fetch_for_a_thousand(
    store: Arc<dyn SecretStore>,
    wanted: &ResolvedReference,
    decorate: impl FnOnce(Arc<dyn SecretStore>) -> Arc<dyn SecretStore>,
) {
    let counting = Arc::new(Counting { inner: store, fetches: AtomicU32::new(0) });
    let decorated = decorate(counting.clone());
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (decorated, wanted) = (decorated.clone(), wanted.clone());
            tokio::spawn(async move { decorated.fetch(&wanted).await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller ends").expect("every caller gets the value");
    }
    assert_eq!(counting.fetches.load(Ordering::SeqCst), 1, "a thousand callers share one fetch");
    for _ in 0..1_000 {
        decorated.fetch(wanted).await.expect("a fresh value");
    }
    assert_eq!(counting.fetches.load(Ordering::SeqCst), 1, "no fetch while the value is fresh");
}

/// Counts the fetches that reach the store.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn SecretStore>,
    fetches: AtomicU32,
}

#[async_trait]
impl SecretStore for Counting {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.inner.fetch(reference).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }
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
    let kinds = if world.pins() { StoreErrorKind::NotFound } else { StoreErrorKind::Malformed };
    refused(world, &version, &[kinds], "a missing version").await;
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
    if !world.pins() {
        refused(world, &pinned, &[StoreErrorKind::Malformed], "a pin where there are no versions").await;
        put(world, "pinned", SECOND).await;
        let second = world.store().fetch(&wanted).await.expect("the second value");
        assert_eq!(bytes(&second), SECOND, "the newest");
        assert_ne!(second.version, first.version, "another value has another name");
        return;
    }
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

async fn shows_nothing_it_is_denied(world: &dyn StoreWorld) {
    if let Some(wanted) = world.denied().await {
        refused(world, &wanted, &[StoreErrorKind::Denied], "what the store does not show us").await;
    }
}

async fn misses_what_was_deleted(world: &dyn StoreWorld) {
    let wanted = put(world, "deleted", FIRST).await;
    let found = world.store().fetch(&wanted).await.expect("not deleted yet");
    let pinned = pin(&wanted, found.version.as_str());
    if world.delete(&wanted).await {
        refused(world, &wanted, &[StoreErrorKind::NotFound], "what was deleted").await;
        let kind = if world.pins() { StoreErrorKind::NotFound } else { StoreErrorKind::Malformed };
        refused(world, &pinned, &[kind], "a version that was deleted").await;
    }
}

async fn comes_through_trouble(world: &dyn StoreWorld) {
    let wanted = put(world, "troubled", FIRST).await;
    for trouble in
        [Trouble::Slow, Trouble::Throttled, Trouble::Down, Trouble::SessionOver, Trouble::LoginRefused]
    {
        if !world.bring(trouble).await {
            continue;
        }
        let patience = if trouble == Trouble::Slow { SLOW } else { BUSY };
        let asked = tokio::time::timeout(patience, world.store().fetch(&wanted)).await;
        match trouble {
            Trouble::Slow => assert!(asked.is_err(), "{trouble:?}: {asked:?}"),
            _ => judge(trouble, asked.unwrap_or_else(|_| panic!("{trouble:?}: no answer in time"))),
        }
        assert!(world.bring(Trouble::None).await, "{trouble:?} ends");
        let found = world.store().fetch(&wanted).await;
        let found = found.unwrap_or_else(|error| panic!("no recovery from {trouble:?}: {error}"));
        assert_eq!(bytes(&found), FIRST);
    }
}

fn judge(trouble: Trouble, outcome: Result<Arc<SecretVersion>, StoreError>) {
    match (trouble, outcome) {
        (Trouble::SessionOver, Ok(found)) => assert_eq!(bytes(&found), FIRST),
        (_, Ok(_)) => panic!("{trouble:?}: the value was found"),
        (_, Err(error)) => {
            let kinds: &[StoreErrorKind] = match trouble {
                Trouble::Throttled => &[StoreErrorKind::Throttled],
                Trouble::Down => &[StoreErrorKind::Unavailable, StoreErrorKind::Timeout],
                Trouble::LoginRefused => &[StoreErrorKind::Denied],
                Trouble::None | Trouble::Slow | Trouble::SessionOver => &[],
            };
            assert!(kinds.contains(&error.kind), "{trouble:?}: {error}");
            let wait = (trouble == Trouble::Throttled).then_some(RETRY_AFTER);
            assert_eq!(error.retry_after, wait, "{trouble:?}: when to come back");
            assert!(!format!("{error} {error:?}").contains("canary"), "{trouble:?}: a value in the error");
        }
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
