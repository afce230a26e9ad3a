//! What the gateway's own configuration allows for servers that are processes. Whoever may write a
//! server's manifest may name a command, so which commands exist at all is not for manifests to say.

/// The commands that may be run, and as whom.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StdioRules {
    /// The beginnings of commands that may be run: a program's absolute path and its first arguments.
    /// None by default.
    pub commands: Vec<Vec<String>>,
    /// Whether each process has a user of its own on this machine.
    pub own_users: bool,
}

impl StdioRules {
    /// Whether the command begins as one of those allowed does, argument for argument.
    pub fn allows(&self, command: &[String]) -> bool {
        self.commands.iter().any(|allowed| !allowed.is_empty() && command.starts_with(allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_beginnings_are_allowed_and_only_whole_arguments_count() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let rules =
            StdioRules { commands: vec![words("/usr/bin/node /opt/files.js"), vec![]], own_users: false };
        assert!(rules.allows(&words("/usr/bin/node /opt/files.js /data")));
        assert!(!rules.allows(&words("/usr/bin/node -e evil")));
        assert!(!rules.allows(&words("/usr/bin/node /opt/files.jsx")));
        assert!(!rules.allows(&words("/usr/bin/node")));
        assert!(!StdioRules::default().allows(&words("/bin/true")));
    }
}
