//! What every store that takes values must do.

#![allow(clippy::unwrap_used, reason = "a failed expectation is the result")]

use gateway_core::id::StoreName;
use gateway_core::lease::VersionId;
use gateway_core::ports::{SecretStore, SecretWriter, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_795_683_600_000_000);
const FIELD: &str = "grant";
/// Everything that JSON must escape, and what it must not.
const TEXT: &str = "{\"access_token\":\"a\\\\b\"}\n\u{1}ü🦀";

fn place(path: &str) -> ResolvedReference {
    let store = StoreName::parse("store").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some(FIELD.to_owned()), version: None }
}

#[expect(clippy::disallowed_methods, reason = "the battery compares values")]
async fn read(store: &dyn SecretStore, path: &str) -> Result<(String, VersionId), StoreErrorKind> {
    let found = store.fetch(&place(path)).await.map_err(|error| error.kind)?;
    Ok((String::from_utf8(found.secret.expose().to_vec()).unwrap(), found.version.clone()))
}

/// Plays the battery below a path of this prefix, where the writer takes values.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn battery(store: &dyn SecretStore, writer: &dyn SecretWriter, prefix: &str) {
    let path = format!("{prefix}one");
    assert!(writer.takes(&path));
    let put = |text: &str| writer.put(&path, FIELD, Secret::copy_from(text.as_bytes()), NOW);
    let first = put(TEXT).await.unwrap();
    assert_eq!(read(store, &path).await, Ok((TEXT.to_owned(), first.clone())));
    let second = put("second value").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(read(store, &path).await, Ok(("second value".to_owned(), second.clone())));
    let replace = |text: &str, expected: &VersionId| {
        let (value, expected) = (Secret::copy_from(text.as_bytes()), expected.clone());
        let path = path.clone();
        async move { writer.replace(&path, FIELD, value, &expected, NOW).await }
    };
    assert_eq!(replace("late", &first).await.unwrap(), None, "another version is the newest");
    assert_eq!(read(store, &path).await, Ok(("second value".to_owned(), second.clone())));
    let third = replace("third value", &second).await.unwrap().unwrap();
    assert_eq!(read(store, &path).await, Ok(("third value".to_owned(), third.clone())));
    assert_eq!(replace("twice", &second).await.unwrap(), None);
    let empty = writer.put(&path, FIELD, Secret::new(Vec::new()), NOW).await;
    assert_eq!(empty.map_err(|error| error.kind), Err(StoreErrorKind::Empty));
    let other = format!("{prefix}two");
    writer.put(&other, FIELD, Secret::copy_from(b"stays"), NOW).await.unwrap();
    writer.delete(&path).await.unwrap();
    assert_eq!(read(store, &path).await, Err(StoreErrorKind::NotFound));
    assert_eq!(read(store, &other).await.map(|found| found.0), Ok("stays".to_owned()));
    writer.delete(&path).await.unwrap();
    assert_eq!(replace("after the end", &third).await.unwrap(), None, "what was deleted is not revived");
    assert_eq!(read(store, &path).await, Err(StoreErrorKind::NotFound));
}
