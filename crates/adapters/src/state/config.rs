//! Where the state is, as `gateway.yaml` says it: `sqlite://PATH` or `postgres://USER@HOST/DATABASE`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

/// Where the state is. Holds no password: that stays in its file until a connection is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateConfig {
    /// A SQLite file on this machine.
    Sqlite {
        /// The file; made with mode 0600 where it does not exist.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Host, port, user, database and the `ssl…` parameters.
        url: Url,
        /// The file with the password; absent where the server asks for none.
        password_file: Option<PathBuf>,
    },
}

/// Why the text says no usable place. Never repeats the text: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateConfigError {
    /// Neither of the two schemes.
    #[error("`state` is `sqlite://PATH` or `postgres://USER@HOST/DATABASE`")]
    Scheme,
    /// No path after `sqlite://`, or one with parameters.
    #[error("`sqlite://` needs the path of a file, without parameters")]
    Path,
    /// The URL holds a password.
    #[error("`state` holds a literal password: put it into a file and name that in `state_password_file`")]
    LiteralPassword,
    /// Host, user or database is missing.
    #[error(
        "`postgres://` needs a user, a host and exactly one database name: `postgres://USER@HOST/DATABASE`"
    )]
    Incomplete,
    /// A parameter other than the four.
    #[error("a `postgres://` URL takes only `sslmode`, `sslrootcert`, `sslcert` and `sslkey`")]
    Parameter,
    /// A mode that may end up without verified encryption.
    #[error("`sslmode` is `verify-full` (the default) or `verify-ca`; `disable` only for a loopback host")]
    TlsMode,
    /// SQLite has no password.
    #[error("`state_password_file` is for `postgres://` only")]
    PasswordFile,
}

impl StateConfig {
    /// Reads the two configuration values; relative paths are taken from `directory`.
    ///
    /// # Errors
    /// Says which rule is broken, without repeating the text.
    pub fn parse(
        state: &str,
        password_file: Option<&Path>,
        directory: &Path,
    ) -> Result<Self, StateConfigError> {
        if let Some(path) = state.strip_prefix("sqlite://") {
            if password_file.is_some() {
                return Err(StateConfigError::PasswordFile);
            }
            if path.is_empty() || path.ends_with('/') || path.contains(['?', '#', '\0']) {
                return Err(StateConfigError::Path);
            }
            return Ok(Self::Sqlite { path: directory.join(path) });
        }
        if !state.starts_with("postgres://") && !state.starts_with("postgresql://") {
            return Err(StateConfigError::Scheme);
        }
        let url = Url::parse(state).map_err(|_| StateConfigError::Incomplete)?;
        check_postgres(&url)?;
        Ok(Self::Postgres { url, password_file: password_file.map(|file| directory.join(file)) })
    }
}

fn check_postgres(url: &Url) -> Result<(), StateConfigError> {
    if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") {
        return Err(StateConfigError::LiteralPassword);
    }
    let database = url.path().strip_prefix('/').unwrap_or_default();
    let named =
        !database.is_empty() && plain(database) && !url.username().is_empty() && plain(url.username());
    let host = url.host_str().is_some_and(|host| !host.is_empty() && !host.contains('%'));
    if !named || !host || url.fragment().is_some() {
        return Err(StateConfigError::Incomplete);
    }
    for (name, value) in url.query_pairs() {
        match &*name {
            "sslrootcert" | "sslcert" | "sslkey" => {}
            "sslmode" => match &*value {
                "verify-full" | "verify-ca" => {}
                "disable" if is_loopback(url) => {}
                _ => return Err(StateConfigError::TlsMode),
            },
            _ => return Err(StateConfigError::Parameter),
        }
    }
    Ok(())
}

/// Names are taken as they stand; what would need escaping is refused.
fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The host without the brackets of an IPv6 address.
pub(super) fn bare_host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Whether the bytes never leave this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = bare_host(url);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
