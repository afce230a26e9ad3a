use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;

use gateway_core::id::StoreName;
use gateway_testkit::contract::store::{StoreWorld, battery};

use super::*;

type Variables = Arc<Mutex<HashMap<String, Vec<u8>>>>;

struct World {
    variables: Variables,
    store: EnvStore,
}

fn world() -> World {
    let variables = Variables::default();
    let read = variables.clone();
    let names =
        ["found", "misses", "empty", "pinned", "huge", "binary", "text", "deleted", "troubled", "absent"];
    let store = EnvStore::with_reader(
        names.map(str::to_owned),
        Arc::new(move |name| read.lock().unwrap().get(name).cloned().map(OsString::from_vec)),
    );
    World { variables, store }
}

fn reference(name: &str) -> ResolvedReference {
    let store = StoreName::parse("environment").unwrap();
    ResolvedReference { store, path: name.to_owned(), field: None, version: None }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        if value.contains(&0) {
            return None;
        }
        self.variables.lock().unwrap().insert(name.to_owned(), value.to_vec());
        Some(reference(name))
    }

    fn absent(&self) -> ResolvedReference {
        reference("absent")
    }

    fn keeps_versions(&self) -> bool {
        false
    }

    fn changes(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    battery(&world()).await;
}

#[tokio::test]
async fn reads_only_the_listed_names() {
    let world = world();
    world.variables.lock().unwrap().insert("HOME".to_owned(), b"x".to_vec());
    assert_eq!(world.store.fetch(&reference("HOME")).await.unwrap_err().kind, StoreErrorKind::Denied);
}

#[tokio::test]
async fn has_no_fields() {
    let world = world();
    let wanted =
        ResolvedReference { field: Some("token".to_owned()), ..world.put("found", b"x").await.unwrap() };
    assert_eq!(world.store.fetch(&wanted).await.unwrap_err().kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn reads_the_real_environment() {
    let store = EnvStore::new(["PATH".to_owned()]);
    assert!(store.fetch(&reference("PATH")).await.is_ok());
}
