//! Files that are replaced whole or not at all, and stay their owner's.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Whose a file is, and who may do what with it.
pub(super) struct Owner {
    mode: u32,
    /// User and group, where they have to be set.
    ids: Option<(u32, u32)>,
}

impl Owner {
    /// This process's own.
    pub(super) const fn mine(mode: u32) -> Self {
        Self { mode, ids: None }
    }

    /// The one of a file that is there.
    fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.permissions().mode() & 0o7777, ids: Some((metadata.uid(), metadata.gid())) }
    }
}

/// How a file's bytes are named.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Why a file is left as it is; fixed words, never a piece of it.
pub(super) fn untouchable(path: &Path) -> io::Result<Option<&'static str>> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(if !metadata.is_file() {
        Some("it is no plain file any more")
    } else if metadata.permissions().mode() & 0o200 == 0 {
        Some("it is read-only: make it writable, then run this again")
    } else if metadata.nlink() > 1 {
        Some("it has a further name (a hard link), under which the key would stay")
    } else {
        None
    })
}

/// Replaces a file that is there, where it is still the one with this digest; `false` where it is not.
pub(super) fn exchange(path: &Path, was: &str, bytes: &[u8], id: &str) -> io::Result<bool> {
    let owner = Owner::of(&fs::symlink_metadata(path)?);
    let beside = beside(path, id);
    let written = write_synced(&beside, bytes, &owner).and_then(|()| {
        // As late as can be: between this and the renaming nothing is waited for.
        let same = sha256(&Zeroizing::new(fs::read(path)?)) == was;
        if same { fs::rename(&beside, path).map(|()| true) } else { Ok(false) }
    });
    if !matches!(written, Ok(true)) {
        drop(fs::remove_file(&beside));
        return written;
    }
    sync_directory(path).map(|()| true)
}

/// Replaces a file, or makes it.
pub(super) fn replace(path: &Path, bytes: &[u8], owner: &Owner, id: &str) -> io::Result<()> {
    let beside = beside(path, id);
    let written = write_synced(&beside, bytes, owner).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written?;
    sync_directory(path)
}

/// The new file's name until it takes the old one's: an ended program leaves it, and undoing takes it away.
pub(super) fn beside(path: &Path, id: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".adopt-{id}.new"));
    PathBuf::from(name)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn write_synced(path: &Path, bytes: &[u8], owner: &Owner) -> io::Result<()> {
    // Of an earlier run that was ended.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if let Some((user, group)) = owner.ids {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (user, group) {
            fchown(&file, Some(user), Some(group))?;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(owner.mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!exchange(&path, &sha256(b"older"), b"new", "00").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(exchange(&path, &sha256(b"old"), b"new", "00").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn read_only_files_links_and_second_names_are_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("plain"), "x").unwrap();
        assert_eq!(untouchable(&at("plain")).unwrap(), None);
        symlink(at("plain"), at("link")).unwrap();
        assert!(untouchable(&at("link")).unwrap().unwrap().contains("no plain file"));
        fs::set_permissions(at("plain"), fs::Permissions::from_mode(0o444)).unwrap();
        assert!(untouchable(&at("plain")).unwrap().unwrap().contains("read-only"));
        fs::write(at("first"), "x").unwrap();
        fs::hard_link(at("first"), at("second")).unwrap();
        assert!(untouchable(&at("first")).unwrap().unwrap().contains("hard link"));
        assert!(untouchable(&at("none")).is_err());
    }

    #[test]
    fn what_an_ended_run_left_beside_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        fs::write(beside(&path, "00"), "half").unwrap();
        replace(&path, b"whole", &Owner::mine(0o600), "00").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(!beside(&path, "00").exists());
    }
}
