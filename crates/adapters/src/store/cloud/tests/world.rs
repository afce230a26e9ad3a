//! The contract's world around a stub, and what every such service can misbehave in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::id::StoreName;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::contract::store::{RETRY_AFTER, StoreWorld, Trouble, one_fetch_for_a_thousand};
use gateway_testkit::gate::{Answer, Mode};
use gateway_testkit::stubs::CloudStub;

use crate::store::cloud::Reach;
use crate::store::{CacheLimits, Cached};

/// A store on a stub.
pub(in crate::store) struct World<S> {
    pub(in crate::store) stub: S,
    pub(in crate::store) store: Arc<dyn SecretStore>,
    pub(in crate::store) clock: Arc<ManualClock>,
    /// What every path of it begins with, without a slash.
    pub(in crate::store) root: &'static str,
    pub(in crate::store) keeps_versions: bool,
}

/// The real time: tokens end by it.
pub(in crate::store) fn real_clock() -> Arc<ManualClock> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    Arc::new(ManualClock::at(Timestamp::from_seconds(now)))
}

pub(in crate::store) fn reach() -> Reach {
    Reach { ca_file: None, proxy: None, timeout: Duration::from_secs(30) }
}

pub(in crate::store) fn reference(path: &str, field: Option<&str>) -> ResolvedReference {
    let store = StoreName::parse("cloud").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: field.map(str::to_owned), version: None }
}

pub(in crate::store) fn pinned(wanted: &ResolvedReference, version: &str) -> ResolvedReference {
    ResolvedReference { version: Some(VersionSelector::Version(version.to_owned())), ..wanted.clone() }
}

pub(in crate::store) fn staged(wanted: &ResolvedReference, stage: &str) -> ResolvedReference {
    ResolvedReference { version: Some(VersionSelector::Stage(stage.to_owned())), ..wanted.clone() }
}

#[expect(clippy::disallowed_methods, reason = "the tests compare values")]
pub(in crate::store) fn text(version: &SecretVersion) -> &str {
    std::str::from_utf8(version.secret.expose()).unwrap()
}

impl<S: CloudStub> World<S> {
    pub(in crate::store) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// A value that is there.
    pub(in crate::store) async fn there(&self, name: &str, value: &str) -> ResolvedReference {
        self.put(name, value.as_bytes()).await.unwrap()
    }

    /// The value that a reference leads to now.
    pub(in crate::store) async fn value(&self, wanted: &ResolvedReference) -> String {
        text(&self.store.fetch(wanted).await.unwrap()).to_owned()
    }

    /// The refusal, which never holds what a service said or kept.
    pub(in crate::store) async fn refused(&self, wanted: &ResolvedReference) -> StoreError {
        let error = self.store.fetch(wanted).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        error
    }

    pub(in crate::store) async fn kind(&self, wanted: &ResolvedReference) -> StoreErrorKind {
        self.refused(wanted).await.kind
    }

    /// The kind of refusal where the service answers every request so.
    pub(in crate::store) async fn answered(
        &self,
        wanted: &ResolvedReference,
        status: u16,
        headers: &str,
        body: &str,
    ) -> StoreError {
        let answer = Answer { status, headers: headers.to_owned(), body: body.to_owned() };
        self.stub.gate().set(Mode::Answer(answer));
        let error = self.refused(wanted).await;
        self.stub.gate().set(Mode::Open);
        error
    }

    /// None of these is anything but a refusal, and nothing is asked twice or elsewhere.
    pub(in crate::store) async fn survives_misbehaviour(&self) {
        let wanted = self.there("misbehaves", "canary-value").await;
        self.value(&wanted).await;
        let html = "<html>canary: sign in to continue</html>";
        let huge = format!("{{\"value\":\"{}\"}}", "canary".repeat(700_000));
        let elsewhere = "Location: http://127.0.0.1:1/canary\r\n";
        let document = |status: u16| self.stub.error(status);
        for (status, headers, body, expected) in [
            (200, "", html, StoreErrorKind::Malformed),
            (200, "", "", StoreErrorKind::Malformed),
            (200, "", "{}", StoreErrorKind::Malformed),
            (200, "", "{\"canary\":", StoreErrorKind::Malformed),
            (200, "", huge.as_str(), StoreErrorKind::Malformed),
            (404, "", huge.as_str(), StoreErrorKind::Malformed),
            (404, "", html, StoreErrorKind::Malformed),
            (302, elsewhere, html, StoreErrorKind::Malformed),
            (307, elsewhere, "", StoreErrorKind::Malformed),
            (400, "", &document(400), StoreErrorKind::Malformed),
            (403, "", html, StoreErrorKind::Denied),
            (403, "", &document(403), StoreErrorKind::Denied),
            (404, "", &document(404), StoreErrorKind::NotFound),
            (408, "", "", StoreErrorKind::Unavailable),
            (500, "", &document(500), StoreErrorKind::Unavailable),
            (502, "", html, StoreErrorKind::Unavailable),
            (503, "Retry-After: 9\r\n", "", StoreErrorKind::Unavailable),
            (429, "", &document(429), StoreErrorKind::Throttled),
        ] {
            let before = self.stub.gate().count();
            let error = self.answered(&wanted, status, headers, body).await;
            assert_eq!((error.kind, error.retry_after), (expected, None), "{status}: {error}");
            assert_eq!(self.stub.gate().count(), before + 1, "{status}: once, and not followed");
        }
        let error = self.answered(&wanted, 429, "Retry-After: 7\r\n", "").await;
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)), "{error}");
        assert_eq!(self.value(&wanted).await, "canary-value");
    }

    /// A thousand callers, one fetch; and many at once share one login.
    pub(in crate::store) async fn shares_what_it_fetches(&self, requests: u32, tokens: u32) {
        let wanted = self.there("shared", "canary-shared").await;
        one_fetch_for_a_thousand(self.store.clone(), &wanted, |store| {
            Arc::new(Cached::new(store, CacheLimits::default(), self.clock.clone()))
        })
        .await;
        assert_eq!((self.stub.gate().count(), self.stub.logins()), (requests, tokens), "on the wire too");
        // Each of these comes back from a refused token at the same time.
        self.stub.end_sessions();
        let many = futures::future::join_all((0..8).map(|_| self.store.fetch(&wanted))).await;
        assert!(many.iter().all(Result::is_ok), "{many:?}");
        assert_eq!(self.stub.logins(), 2 * tokens, "one login for all of them");
    }
}

#[async_trait]
impl<S: CloudStub> StoreWorld for World<S> {
    fn store(&self) -> &dyn SecretStore {
        self.store.as_ref()
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        let path = self.path(name);
        if self.stub.put(&path, Some("token"), value).is_some() {
            return Some(reference(&path, Some("token")));
        }
        self.stub.put(&path, None, value).map(|_| reference(&path, None))
    }

    fn absent(&self) -> ResolvedReference {
        reference(&self.path("absent"), Some("token"))
    }

    fn keeps_versions(&self) -> bool {
        self.keeps_versions
    }

    async fn denied(&self) -> Option<ResolvedReference> {
        let wanted = self.put("hidden", b"canary-hidden").await?;
        self.stub.hide(&wanted.path);
        Some(wanted)
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        self.stub.delete(&wanted.path);
        true
    }

    async fn bring(&self, trouble: Trouble) -> bool {
        let gate = self.stub.gate();
        match trouble {
            Trouble::None => {
                gate.set(Mode::Open);
                self.stub.refuse_logins(false);
            }
            Trouble::Slow => gate.set(Mode::Stuck),
            Trouble::Down => gate.set(Mode::Shut),
            Trouble::Throttled => gate.set(Mode::Answer(Answer {
                status: 429,
                headers: format!("Retry-After: {}\r\n", RETRY_AFTER.as_secs()),
                body: self.stub.error(429),
            })),
            Trouble::SessionOver => self.stub.end_sessions(),
            Trouble::LoginRefused => self.stub.refuse_logins(true),
        }
        true
    }
}
