//! Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13.1): nobody overwrites what he has not seen.
//!
//! A tag speaks of what the state holds about a thing: its revisions with their statuses, signatures and pins, the
//! versions of its secret, its reviews and the locks on it. What is only observed (ages, health) changes no tag.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use gateway_core::lifecycle::rule;
use gateway_core::lock::LockRecord;
use gateway_core::manifest::{ObjectKey, Spec};
use gateway_core::state::{GrantRecord, RevisionRecord, State};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// What a manifest says in place of a tag where the object must not exist yet.
pub(crate) const NONE_YET: &str = "none";

/// The tag of a thing as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct EntityTag(String);

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl EntityTag {
    /// Of an object, by everything that the state holds about it; absent where there is none.
    pub(crate) fn of_object(state: &State, key: &ObjectKey) -> Option<Self> {
        let history: Vec<&RevisionRecord> = state.history(key).collect();
        let newest = history.last()?;
        let mut hash = Sha256::new();
        for one in &history {
            let standing = (one.revision, one.status, one.changed_at, one.content);
            mix(&mut hash, &(standing, &one.approvals, &one.pins));
        }
        if let Spec::Binding(spec) = &newest.spec {
            mix(&mut hash, state.versions_of(&spec.environment, &spec.name));
            let review = state.review_of(&spec.environment, spec.name.as_str());
            mix(&mut hash, &review.map(|review| (&review.last, &review.signatures, &review.disabled_at)));
            let stops = |lock: &&LockRecord| lock.ended.is_none() && lock.selector.may_concern(spec);
            for lock in state.locks.iter().filter(stops) {
                mix(&mut hash, &lock.id);
            }
        }
        Some(Self::made(&format!("{}-", newest.revision), hash))
    }

    /// Of a grant.
    pub(crate) fn of_grant(grant: &GrantRecord) -> Self {
        let mut hash = Sha256::new();
        mix(&mut hash, &(&grant.id, &grant.scopes, &grant.ended));
        Self::made("", hash)
    }

    /// Of a lock.
    pub(crate) fn of_lock(lock: &LockRecord) -> Self {
        let mut hash = Sha256::new();
        mix(&mut hash, &(&lock.id, lock.until, &lock.ended));
        Self::made("", hash)
    }

    fn made(start: &str, hash: Sha256) -> Self {
        let digest = hash.finalize();
        Self(format!("{start}{}", hex::encode(digest.get(..8).unwrap_or_default())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header's value.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("\"{}\"", self.0)).ok()
    }

    /// The answer to a read: with the tag, and without a body where the reader has it already.
    pub(crate) fn answer<T: Serialize>(&self, wanted: &IfNoneMatch, shown: &T) -> Response {
        let mut response = if wanted.0.names(self) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            crate::routes::json(&Tagged { etag: self, shown })
        };
        response.headers_mut().extend(self.header().map(|value| (header::ETAG, value)));
        response
    }
}

fn mix<T: Serialize + ?Sized>(hash: &mut Sha256, part: &T) {
    // Fields serialise in the order of their declaration: the same facts give the same bytes on every replica.
    let bytes = serde_json::to_vec(part).unwrap_or_default();
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(&bytes);
}

/// A thing with its tag.
#[derive(Serialize)]
pub(crate) struct Tagged<'a, T> {
    pub(crate) etag: &'a EntityTag,
    #[serde(flatten)]
    pub(crate) shown: T,
}

/// The tags that a header names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Tags {
    #[default]
    Unsaid,
    Any,
    These(Vec<String>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Self, Problem> {
        let wrong = || Problem::malformed(format!("`{name}` takes `*` or entity tags in double quotes"));
        let mut tags = Vec::new();
        for value in headers.get_all(name) {
            let text = value.to_str().map_err(|_| wrong())?;
            for one in text.split(',').map(str::trim) {
                if one == "*" {
                    return Ok(Self::Any);
                }
                // None of ours is weak: one that is matches nothing.
                let quoted = one.strip_prefix("W/").unwrap_or(one);
                let tag = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let tag =
                    tag.filter(|tag| tag.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte)));
                tags.push(if quoted == one { tag.ok_or_else(wrong)?.to_owned() } else { one.to_owned() });
            }
        }
        Ok(if tags.is_empty() { Self::Unsaid } else { Self::These(tags) })
    }

    fn names(&self, tag: &EntityTag) -> bool {
        match self {
            Self::Unsaid => false,
            Self::Any => true,
            Self::These(tags) => tags.contains(&tag.0),
        }
    }
}

/// `If-Match`: act only on what the caller has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct IfMatch(Tags);

/// `If-None-Match`: answer only with what the caller does not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct IfNoneMatch(Tags);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Tags::read(&parts.headers, &header::IF_MATCH).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Tags::read(&parts.headers, &header::IF_NONE_MATCH).map(Self)
    }
}

impl IfMatch {
    /// Refuses the act where the thing is not as the caller has seen it.
    pub(crate) fn check(&self, current: &EntityTag) -> Result<(), Problem> {
        if self.0 == Tags::Unsaid || self.0.names(current) {
            return Ok(());
        }
        let what = format!("it has changed since it was read: it is at `{current}` now");
        Err(Problem::new(&rule::OBJECT_CHANGED, what).at(current))
    }

    /// The same for an object of the state.
    pub(crate) fn check_object(&self, state: &State, key: &ObjectKey) -> Result<(), Problem> {
        if self.0 == Tags::Unsaid {
            return Ok(());
        }
        match EntityTag::of_object(state, key) {
            Some(current) => self.check(&current),
            None => Err(Problem::about(&rule::OBJECT_UNKNOWN, key, "no such object")),
        }
    }
}
