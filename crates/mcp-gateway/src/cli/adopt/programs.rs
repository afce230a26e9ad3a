//! Programs by their names alone, as clients start them, found where this machine has them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use gateway_adopt::{ServerEntry, Way};

/// Puts the absolute path in the place of each name that this search path has a program for.
pub(super) fn resolve(servers: &mut [ServerEntry], search: &OsStr) {
    for server in servers {
        let Way::Process { command, .. } = &mut server.way else { continue };
        if command.contains('/') {
            continue;
        }
        let places = std::env::split_paths(search).filter(|directory| directory.is_absolute());
        let found = places.map(|directory| directory.join(&*command)).find(|path| is_program(path));
        if let Some(path) = found.as_deref().and_then(Path::to_str) {
            path.clone_into(command);
        }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use gateway_adopt::scan;

    use super::*;

    #[test]
    fn names_become_paths_of_programs_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, mode| {
            fs::write(directory.path().join(name), "").unwrap();
            fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        at("issues-mcp", 0o755);
        at("notes", 0o644);
        let text = r#"{"mcpServers": {"a": {"command": "issues-mcp"}, "b": {"command": "notes"},
                       "c": {"command": "/opt/issues-mcp"}, "d": {"url": "https://h/mcp"}}}"#;
        let mut scanned = scan("mcp.json", text.as_bytes());
        resolve(&mut scanned.servers, directory.path().as_os_str());
        let commands: Vec<Option<String>> = scanned
            .servers
            .iter()
            .map(|server| match &server.way {
                Way::Process { command, .. } => Some(command.clone()),
                _ => None,
            })
            .collect();
        let here = directory.path().join("issues-mcp").to_str().unwrap().to_owned();
        let wanted = [Some(here), Some("notes".to_owned()), Some("/opt/issues-mcp".to_owned()), None];
        assert_eq!(commands, wanted);
    }
}
