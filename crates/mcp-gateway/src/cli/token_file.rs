//! The operator's token: always in a file that only its owner may read, never on the command line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gateway_core::secret::Secret;
use url::Url;

use super::failure::Failure;

/// Larger than any token.
const LARGEST: u64 = 64 * 1024;

/// Where the token for one control address is kept: under the user's configuration directory (XDG Base
/// Directory), a file for each address, so that one gateway is never shown another gateway's token.
pub(super) fn default_path(control: &Url) -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let base = base.ok_or_else(|| {
        Failure::usage("there is no home directory to keep the operator token in").hint("use `--token-file`")
    })?;
    Ok(base.join("mcp-gateway").join(file_name(control)))
}

fn file_name(control: &Url) -> String {
    let origin = control.origin().ascii_serialization();
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || ".-".contains(character) { character } else { '_' }
    };
    format!("operator-{}.token", origin.replace("://", "-").chars().map(plain).collect::<String>())
}

/// Reads a token. A file that others may read is refused: the token in it counts as seen.
pub(super) fn read(path: &Path) -> Result<Secret, Failure> {
    let shown = path.display();
    let unusable = |what: &str| Failure::usage(format!("the token file `{shown}` {what}"));
    let file = File::open(path).map_err(|error| {
        let hint = "log in with `mcp-gateway login`, or name a file that holds a token with `--token-file`";
        unusable("cannot be read").because(&error).hint(hint)
    })?;
    let about = file.metadata().map_err(|error| unusable("cannot be read").because(&error))?;
    if !about.is_file() {
        return Err(unusable("is no ordinary file"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(unusable("may be read or written by others").hint(format!("chmod 600 {shown}")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| unusable("cannot be read").because(&error))?;
    let ends =
        bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last.saturating_add(1));
    bytes.truncate(ends);
    let token = Secret::new(bytes);
    if token.is_empty() || !token.is_header_safe() {
        return Err(unusable("holds no token"));
    }
    Ok(token)
}

/// Writes a secret text to a file of mode 0600, whole or not at all. `replace` says whether a file that
/// is there may go.
pub(super) fn write(path: &Path, token: &Secret, replace: bool) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        Failure::usage(format!("the token file `{}` cannot be written", path.display())).because(error)
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed(&error))?;
    }
    if !replace {
        return write_new(path, token).map_err(|error| failed(&error));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_new(&beside, token).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        drop(fs::remove_file(&beside));
        failed(&error)
    })
}

#[expect(clippy::disallowed_methods, reason = "a token that was asked for goes into its owner's file")]
fn write_new(path: &Path, token: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.expose())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_file_is_private_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/token");
        write(&path, &Secret::copy_from(b"mcpgwop_abc"), true).unwrap();
        write(&path, &Secret::copy_from(b"mcpgwop_def"), true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().len(), "mcpgwop_def".len());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert!(write(&path, &Secret::copy_from(b"other"), false).is_err(), "a file that is there stays");
    }

    #[test]
    fn refuses_a_token_that_others_may_read_or_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "mcpgwop_abc").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = read(&path).unwrap_err();
        assert!(failure.message.contains("others") && !failure.message.contains("abc"), "{failure:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "\n", "two\nlines"] {
            fs::write(&path, bad).unwrap();
            assert!(read(&path).unwrap_err().message.contains("holds no token"), "{bad:?}");
        }
    }

    #[test]
    fn each_gateway_has_a_token_file_of_its_own() {
        let name = |url: &str| file_name(&Url::parse(url).unwrap());
        assert_eq!(name("http://127.0.0.1:8081"), "operator-http-127.0.0.1_8081.token");
        assert_ne!(name("https://gateway.internal"), name("https://gateway.internal:8443"));
        assert!(!name("http://[::1]:8081/../../etc").contains('/'));
    }
}
