use std::os::unix::fs::PermissionsExt;

use gateway_core::id::StoreName;
use gateway_testkit::contract::store::{StoreWorld, battery};
use tempfile::TempDir;

use super::*;

struct World {
    directory: TempDir,
    store: SealedStore,
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn open(directory: &Path, name: &str) -> Result<SealedStore, SealedError> {
    SealedStore::open(name, &directory.join("data/sealed.db"), &directory.join("data/sealed.key"))
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), "local").unwrap();
    World { directory, store }
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("local").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

async fn put(store: &SealedStore, path: &str, value: &[u8]) -> String {
    store.put(path, "token", Secret::copy_from(value), NOW).await.unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "the tests compare values")]
async fn value(store: &SealedStore, path: &str) -> Vec<u8> {
    store.fetch(&reference(path)).await.unwrap().secret.expose().to_vec()
}

impl World {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        if value.is_empty() {
            let refused = self.store.put(name, "token", Secret::new(Vec::new()), NOW).await;
            assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Empty);
            return None;
        }
        put(&self.store, name, value).await;
        Some(reference(name))
    }

    fn absent(&self) -> ResolvedReference {
        reference("absent")
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        self.store.delete(&wanted.path).await.unwrap();
        true
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    battery(&world()).await;
}

#[tokio::test]
async fn no_file_holds_the_value_in_any_plain_form() {
    let world = world();
    let value = b"canary-8d1f60-canary";
    put(&world.store, "kv/a", value).await;
    put(&world.store, "kv/a", b"canary-another-value").await;
    for entry in std::fs::read_dir(world.directory.path().join("data")).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&content).to_lowercase();
        assert!(!text.contains("canary") && !text.contains(&hex::encode("canary")));
        assert!(!text.contains("y2fuyxj5"), "base64");
    }
}

#[tokio::test]
async fn files_are_for_the_owner_alone() {
    let world = world();
    put(&world.store, "a", b"x").await;
    for name in ["sealed.db", "sealed.key", "sealed.db.lock"] {
        assert_eq!(
            std::fs::metadata(world.file(name)).unwrap().permissions().mode() & 0o777,
            0o600,
            "{name}"
        );
    }
}

#[tokio::test]
async fn survives_being_reopened_and_counts_on() {
    let world = world();
    assert_eq!(put(&world.store, "a", b"one").await, "1");
    let again = open(world.directory.path(), "local").unwrap();
    assert_eq!(value(&again, "a").await, b"one");
    assert_eq!(put(&again, "a", b"two").await, "2");
    assert_eq!(value(&world.store, "a").await, b"two", "the other handle sees it at once");
}

#[tokio::test]
async fn what_a_crash_leaves_beside_the_file_does_no_harm() {
    let world = world();
    put(&world.store, "a", b"one").await;
    std::fs::write(world.file("sealed.db.next"), "{\"format\":\"mcp-ga").unwrap();
    let again = open(world.directory.path(), "local").unwrap();
    assert_eq!(value(&again, "a").await, b"one");
    assert_eq!(put(&again, "a", b"two").await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_take_turns_and_lose_nothing() {
    let world = world();
    let writers = (0..4).map(|writer| {
        // An open of its own each time, as another process would have.
        let store = open(world.directory.path(), "local").unwrap();
        tokio::spawn(async move {
            for number in 0..5 {
                put(&store, "shared", format!("{writer}-{number}").as_bytes()).await;
                put(&store, &format!("own/{writer}/{number}"), b"x").await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(world.store.fetch(&reference("shared")).await.unwrap().version.as_str(), "20");
    for (writer, number) in (0..4).flat_map(|writer| (0..5).map(move |number| (writer, number))) {
        assert_eq!(value(&world.store, &format!("own/{writer}/{number}")).await, b"x");
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_when_the_store_opens() {
    let world = world();
    put(&world.store, "a", b"one").await;
    std::fs::write(world.file("sealed.key"), format!("{}\n", "ab".repeat(32))).unwrap();
    let error = open(world.directory.path(), "local").unwrap_err().to_string();
    assert!(error.contains("sealed with key") && error.contains("but the key file holds key"), "{error}");
}

#[tokio::test]
async fn a_lost_key_file_is_not_replaced_by_a_new_key() {
    let world = world();
    std::fs::remove_file(world.file("sealed.key")).unwrap();
    assert!(open(world.directory.path(), "local").is_err());
    assert!(!world.file("sealed.key").exists());
}

#[test]
fn key_files_that_others_may_read_or_that_hold_no_key_are_refused() {
    let world = world();
    let key = world.file("sealed.key");
    let good = std::fs::read(&key).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = open(world.directory.path(), "local").unwrap_err().to_string();
        assert!(error.contains("chmod"), "{error}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(open(world.directory.path(), "local").is_ok());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    for bad in ["", "x", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
        std::fs::write(&key, bad).unwrap();
        assert!(open(world.directory.path(), "local").is_err(), "{bad}");
    }
    std::fs::write(&key, good).unwrap();
    assert!(open(world.directory.path(), "local").is_ok());
}

/// Moves the sealed parts of one record into another: every part of the place is bound.
#[tokio::test]
async fn an_envelope_opens_only_in_its_own_place() {
    let world = world();
    put(&world.store, "a", b"one").await;
    put(&world.store, "b", b"two").await;
    put(&world.store, "b", b"three").await;
    let file = world.file("sealed.db");
    let original = std::fs::read_to_string(&file).unwrap();
    let document: serde_json::Value = serde_json::from_str(&original).unwrap();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let mut changed = document.clone();
        changed["records"][to]["envelope"] = document["records"][from]["envelope"].clone();
        std::fs::write(&file, changed.to_string()).unwrap();
        let record = &document["records"][to];
        let version = record["version"].to_string();
        let wanted = ResolvedReference {
            version: Some(VersionSelector::Version(version)),
            ..reference(record["path"].as_str().unwrap())
        };
        assert_eq!(world.store.fetch(&wanted).await.unwrap_err().kind, StoreErrorKind::Malformed);
    }
    std::fs::write(&file, &original).unwrap();
    let renamed = open(world.directory.path(), "other").unwrap();
    assert_eq!(renamed.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Malformed);
    assert_eq!(value(&world.store, "a").await, b"one");
}

#[tokio::test]
async fn a_damaged_or_missing_file_is_an_outage_and_never_an_empty_store() {
    let world = world();
    put(&world.store, "a", b"one").await;
    let file = world.file("sealed.db");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(world.store.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    let refused = world.store.put("a", "token", Secret::copy_from(b"x"), NOW).await;
    assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Unavailable);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(world.store.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn keeps_a_bounded_number_of_versions() {
    let world = world();
    for number in 0..=KEPT_VERSIONS {
        put(&world.store, "a", format!("{number}").as_bytes()).await;
    }
    let pin = |version: &str| ResolvedReference {
        version: Some(VersionSelector::Version(version.to_owned())),
        ..reference("a")
    };
    assert_eq!(world.store.fetch(&pin("1")).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert!(world.store.fetch(&pin("2")).await.is_ok());
}

#[tokio::test]
async fn keeps_the_contract_of_writers() {
    let world = world();
    gateway_testkit::contract::writer::battery(&world.store, &world.store, "kv/grants/").await;
    let file = world.directory.path().join("data/sealed.db");
    let before = std::fs::read(&file).unwrap();
    world.store.delete("kv/grants/never-there").await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
