use std::os::unix::fs::{PermissionsExt, symlink};

use gateway_core::id::StoreName;
use gateway_testkit::contract::store::{StoreWorld, Trouble, battery};
use tempfile::TempDir;

use super::*;

struct World {
    directory: TempDir,
    store: FileStore,
    in_json: bool,
}

fn world(in_json: bool) -> World {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::new(Some(directory.path().to_owned()), false);
    World { directory, store, in_json }
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("files").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: None, version: None }
}

impl World {
    fn write(&self, name: &str, content: &[u8], mode: u32) {
        let next = self.directory.path().join("next");
        std::fs::write(&next, content).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(&next, self.directory.path().join(name)).unwrap();
    }

    async fn refusal(&self, path: &str) -> StoreErrorKind {
        self.store.fetch(&reference(path)).await.unwrap_err().kind
    }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        if !self.in_json {
            self.write(name, value, 0o600);
            return Some(reference(name));
        }
        let text = std::str::from_utf8(value).ok()?;
        self.write(name, serde_json::json!({ "other": 1, "token": text }).to_string().as_bytes(), 0o600);
        Some(ResolvedReference { field: Some("token".to_owned()), ..reference(name) })
    }

    fn absent(&self) -> ResolvedReference {
        reference("absent")
    }

    fn keeps_versions(&self) -> bool {
        false
    }

    async fn denied(&self) -> Option<ResolvedReference> {
        let wanted = self.put("denied", b"canary-denied").await;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(self.directory.path().join("denied"), open).unwrap();
        wanted
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        std::fs::remove_file(self.directory.path().join(&wanted.path)).unwrap();
        true
    }

    async fn bring(&self, trouble: Trouble) -> bool {
        let (there, gone) = (self.directory.path().to_owned(), self.directory.path().with_extension("gone"));
        match trouble {
            Trouble::Down => std::fs::rename(there, gone).unwrap(),
            Trouble::None => std::fs::rename(gone, there).unwrap(),
            Trouble::Slow | Trouble::Throttled | Trouble::SessionOver | Trouble::LoginRefused => {
                return false;
            }
        }
        true
    }
}

#[tokio::test]
async fn keeps_the_contract_as_plain_file() {
    battery(&world(false)).await;
}

#[tokio::test]
async fn keeps_the_contract_as_json_field() {
    battery(&world(true)).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test compares the value")]
async fn takes_exactly_one_line_end_off() {
    let world = world(false);
    for (content, value) in [("a\n", "a"), ("a\n\n", "a\n"), ("a\r\n", "a"), (" a ", " a ")] {
        world.write("secret", content.as_bytes(), 0o600);
        let found = world.store.fetch(&reference("secret")).await.unwrap();
        assert_eq!(found.secret.expose(), value.as_bytes());
    }
    world.write("secret", b"\n", 0o600);
    assert_eq!(world.refusal("secret").await, StoreErrorKind::Empty);
}

#[tokio::test]
async fn refuses_files_that_others_may_read() {
    let world = world(false);
    for mode in [0o604, 0o640, 0o620, 0o644] {
        world.write("secret", b"x", mode);
        assert_eq!(world.refusal("secret").await, StoreErrorKind::Denied, "{mode:o}");
    }
    let lenient = FileStore::new(Some(world.directory.path().to_owned()), true);
    for (mode, allowed) in [(0o640, true), (0o440, true), (0o644, false), (0o660, false)] {
        world.write("secret", b"x", mode);
        assert_eq!(lenient.fetch(&reference("secret")).await.is_ok(), allowed, "{mode:o}");
    }
}

#[tokio::test]
async fn follows_links_within_the_base_only() {
    let world = world(false);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "x").unwrap();
    world.write("real", b"x", 0o600);
    symlink(outside.path(), world.directory.path().join("out")).unwrap();
    symlink("real", world.directory.path().join("in")).unwrap();
    symlink("/", world.directory.path().join("root")).unwrap();
    assert!(world.store.fetch(&reference("in")).await.is_ok());
    assert_eq!(world.refusal("out").await, StoreErrorKind::Denied);
    assert_eq!(world.refusal("root/etc/hostname").await, StoreErrorKind::Denied);
    assert_eq!(world.refusal("../real").await, StoreErrorKind::NotFound);
}

#[tokio::test]
async fn refuses_what_is_too_large_or_no_file() {
    let world = world(false);
    world.write("large", &vec![b'x'; MAX_FILE + 1], 0o600);
    assert_eq!(world.refusal("large").await, StoreErrorKind::Malformed);
    world.write("fits", &vec![b'x'; MAX_FILE], 0o600);
    assert!(world.store.fetch(&reference("fits")).await.is_ok());
    std::fs::create_dir(world.directory.path().join("directory")).unwrap();
    assert_eq!(world.refusal("directory").await, StoreErrorKind::Denied);
    let device = FileStore::new(None, false);
    assert_eq!(device.fetch(&reference("/dev/zero")).await.unwrap_err().kind, StoreErrorKind::Denied);
}

#[tokio::test]
async fn without_a_base_only_absolute_paths_are_read() {
    let world = world(false);
    world.write("real", b"x", 0o600);
    let store = FileStore::new(None, false);
    let absolute = world.directory.path().join("real");
    assert!(store.fetch(&reference(absolute.to_str().unwrap())).await.is_ok());
    assert_eq!(store.fetch(&reference("real")).await.unwrap_err().kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn a_base_that_is_not_there_is_an_outage() {
    let world = world(false);
    let store = FileStore::new(Some(world.directory.path().join("not-mounted")), false);
    assert_eq!(store.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(store.probe().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}
