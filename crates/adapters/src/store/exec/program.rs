//! Which files may be run as a store's program.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a program may not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecProgramError {
    /// There is no such file, or it cannot be looked at.
    #[error("`{program}`: {reason}")]
    Missing {
        /// The program.
        program: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// No regular file, or nobody may execute it.
    #[error("`{0}` is no program: not a regular file, or not executable")]
    NotExecutable(PathBuf),
    /// Neither root's nor the gateway's own.
    #[error("`{0}` belongs to another user")]
    ForeignOwner(PathBuf),
    /// Somebody else may change what it does.
    #[error("`{0}` may be written by its group or by others: chmod go-w")]
    WritableByOthers(PathBuf),
    /// Somebody else may put another file in its place.
    #[error("`{0}` is a directory on the way to the program, and everybody may write to it: chmod o-w")]
    OpenDirectory(PathBuf),
}

/// Judges the file that the path leads to, and the directories above it.
pub(super) fn check(program: &Path) -> Result<(), ExecProgramError> {
    let missing = |error: std::io::Error| ExecProgramError::Missing {
        program: program.to_owned(),
        reason: error.to_string(),
    };
    let real = program.canonicalize().map_err(missing)?;
    let file = std::fs::metadata(&real).map_err(missing)?;
    if !file.is_file() || file.mode() & 0o111 == 0 {
        return Err(ExecProgramError::NotExecutable(program.to_owned()));
    }
    if !is_trusted(&file) {
        return Err(ExecProgramError::ForeignOwner(program.to_owned()));
    }
    if file.mode() & 0o022 != 0 {
        return Err(ExecProgramError::WritableByOthers(program.to_owned()));
    }
    // The path that was named may lead over links whose directories differ from the real ones.
    for directory in program.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let found = std::fs::metadata(directory).map_err(missing)?;
        // With the sticky bit nobody can rename what is another's.
        if found.mode() & 0o1002 == 0o0002 {
            return Err(ExecProgramError::OpenDirectory(directory.to_owned()));
        }
    }
    Ok(())
}

fn is_trusted(file: &Metadata) -> bool {
    file.uid() == 0 || file.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(directory: &Path, mode: u32) -> PathBuf {
        let path = directory.join("helper");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn takes_a_program_that_only_its_owner_may_write() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o755, 0o555] {
            assert_eq!(check(&file(directory.path(), mode)), Ok(()), "{mode:o}");
            std::fs::remove_file(directory.path().join("helper")).unwrap();
        }
    }

    #[test]
    fn refuses_what_others_may_change() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o775, 0o757, 0o777] {
            let path = file(directory.path(), mode);
            assert_eq!(check(&path), Err(ExecProgramError::WritableByOthers(path)), "{mode:o}");
        }
        let path = file(directory.path(), 0o755);
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(check(&path), Err(ExecProgramError::OpenDirectory(directory.path().to_owned())));
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(check(&link), Err(ExecProgramError::OpenDirectory(_))), "a link leads there too");
    }

    #[test]
    fn refuses_what_is_no_program() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), 0o644);
        assert_eq!(check(&path), Err(ExecProgramError::NotExecutable(path)));
        let path = directory.path().to_owned();
        assert_eq!(check(&path), Err(ExecProgramError::NotExecutable(path)));
        let absent = check(&directory.path().join("absent"));
        assert!(matches!(absent, Err(ExecProgramError::Missing { .. })), "{absent:?}");
    }
}
