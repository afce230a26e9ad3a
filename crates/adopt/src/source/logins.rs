//! Logins on command lines and in files of logins: passwords that stand where a program takes them, under no
//! name of their own.

use std::ops::Range;

use super::{Hit, judged, run, shifted};
use crate::finding::{Rule, Slot};
use crate::formats;
use crate::value::{is_plausible_password, is_word};

/// A program, and the flag behind which it takes a password.
const FLAGS: [(&str, &str); 8] = [
    ("docker login", " -p "),
    ("docker login", " --password "),
    ("podman login", " -p "),
    ("sshpass", " -p "),
    ("sshpass", " -p"),
    ("redis-cli", " -a "),
    ("mysql", " -p"),
    ("mysqldump", " -p"),
];

/// The passwords of one line, which begins at `offset`.
pub(super) fn in_line(line: &str, offset: usize) -> Vec<Hit> {
    let mut found = Vec::new();
    if ["curl", "http", "wget"].iter().any(|program| line.contains(program)) {
        pairs(line, &mut found);
    }
    for (program, flag) in FLAGS {
        if !line.contains(program) {
            continue;
        }
        for (at, _) in line.match_indices(flag) {
            let start = at.saturating_add(flag.len());
            found.extend(word(line, start).filter(|range| is_password(line, range)));
        }
    }
    calls(line, &mut found);
    let mut hits: Vec<Hit> = found.into_iter().map(|range| hit(line, &range, "password", offset)).collect();
    hits.extend(variables(line, offset));
    hits
}

fn hit(text: &str, range: &Range<usize>, name: &str, offset: usize) -> Hit {
    let kind = formats::kind(text.get(range.clone()).unwrap_or_default()).unwrap_or("password");
    let slot = Slot::Named(name.to_owned());
    Hit { range: shifted(range, offset), rule: Rule::NamedValue, slot, kind, value: None }
}

fn is_password(line: &str, range: &Range<usize>) -> bool {
    let value = line.get(range.clone()).unwrap_or_default();
    is_plausible_password(value) && !value.starts_with('-')
}

/// The word of a command line at `at`, without quotes around it.
fn word(line: &str, at: usize) -> Option<Range<usize>> {
    let rest = line.get(at..)?;
    let inner = rest.trim_start_matches(['"', '\'']);
    let value = run(inner, |byte| byte > b' ' && !b"\"'`;|<>&".contains(&byte));
    let start = at.saturating_add(rest.len().saturating_sub(inner.len()));
    Some(start..start.saturating_add(value.len())).filter(|range| !range.is_empty())
}

/// `curl -u user:password`, as people type it and scripts keep it.
fn pairs(line: &str, found: &mut Vec<Range<usize>>) {
    for flag in [" -u ", " -u", " --user ", " --user="] {
        for (at, _) in line.match_indices(flag) {
            let Some(pair) = word(line, at.saturating_add(flag.len())) else { continue };
            let Some((user, _)) = line.get(pair.clone()).and_then(|text| text.split_once(':')) else {
                continue;
            };
            let named = !user.is_empty() && user.bytes().all(|byte| is_word(byte) || b"-.@+".contains(&byte));
            let password = pair.start.saturating_add(user.len()).saturating_add(1)..pair.end;
            if named && is_password(line, &password) && !found.contains(&password) {
                found.push(password);
            }
        }
    }
}

/// `auth=("user", "password")` and `HTTPBasicAuth("user", "password")`.
fn calls(line: &str, found: &mut Vec<Range<usize>>) {
    for call in ["auth=(", "BasicAuth("] {
        for (at, _) in line.match_indices(call) {
            let start = at.saturating_add(call.len());
            let inside = line.get(start..).and_then(|rest| rest.split(')').next()).unwrap_or_default();
            let Some((first, _)) = inside.split_once(',') else { continue };
            let second = start.saturating_add(first.len()).saturating_add(1);
            let rest = line.get(second..).unwrap_or_default();
            let quoted = rest.trim_start();
            if first.trim().starts_with(['"', '\'']) && quoted.starts_with(['"', '\'']) {
                let at = second.saturating_add(rest.len().saturating_sub(quoted.len()));
                found.extend(word(line, at).filter(|range| is_password(line, range)));
            }
        }
    }
}

/// `setx NAME value`, as Windows keeps variables.
fn variables(line: &str, offset: usize) -> Option<Hit> {
    let name = word(line, line.find("setx ")?.saturating_add(5))?;
    let value = word(line, name.end.saturating_add(1))?;
    let kind = judged(line.get(name.clone())?, line.get(value.clone())?)?;
    Some(Hit { kind, ..hit(line, &value, line.get(name)?, offset) })
}

/// The logins of a `.netrc` (`machine h login u password p`, on one line or on many).
pub(crate) fn netrc(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut before = "";
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let word = run(rest, |byte| byte > b' ');
        let value = word.trim_matches('"');
        if matches!(before, "password" | "account") && is_plausible_password(value) {
            let start = at.saturating_add(word.find(value).unwrap_or(0));
            hits.push(hit(text, &(start..start.saturating_add(value.len())), before, 0));
        }
        if !word.is_empty() {
            before = word;
        }
        let step = rest.chars().next().map_or(1, char::len_utf8);
        at = at.saturating_add(word.len().max(step));
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";

    fn found(line: &str) -> Vec<&str> {
        let mut found: Vec<Range<usize>> = in_line(line, 0).into_iter().map(|hit| hit.range).collect();
        found.dedup();
        found.into_iter().map(|range| line.get(range).unwrap()).collect()
    }

    #[test]
    fn passwords_are_found_where_a_program_takes_them() {
        for line in [
            "curl -u anna:@ https://h",
            "curl --user='anna:@' https://h",
            "docker login -u anna -p @ registry.example.com",
            "sshpass -p '@' ssh h",
            "redis-cli -a @ ping",
            "mysql -h db -uroot -p@ shop",
            "requests.get(url, auth=(\"anna\", \"@\"))",
            "requests.get(url, auth=HTTPBasicAuth('anna', '@'))",
            "setx SECRET_KEY @",
        ] {
            let text = line.replace('@', KEY);
            assert_eq!(found(&text), [KEY], "{line}");
        }
    }

    #[test]
    fn flags_of_other_programs_take_no_password() {
        for line in [
            "curl -u anna https://h",
            "curl -u $USER:$PASSWORD https://h",
            "sort -u a:b1234567",
            "mkdir -p releases/2026",
            "ssh -p 22222222 h",
            "docker run -p 8080:8080 image",
            "docker login -u anna --password-stdin",
            "mysql -p shop",
            "redis-cli -a $REDIS_PASSWORD",
            "requests.get(url, auth=(user, password))",
            "setx JAVA_HOME C:\\Java\\jdk21",
        ] {
            assert_eq!(found(line), Vec::<&str>::new(), "{line}");
        }
    }

    #[test]
    fn logins_of_a_netrc_are_found_on_one_line_and_on_many() {
        let text = format!("machine a login b password {KEY}\nmachine ä\n  login d\n  password \"{KEY}\"\n");
        let found: Vec<&str> = netrc(&text).iter().map(|hit| text.get(hit.range.clone()).unwrap()).collect();
        assert_eq!(found, [KEY, KEY]);
        assert!(netrc("machine a login anonymous password\n").is_empty());
        assert!(netrc("# the password is in the vault\nmachine a login b password ${TOKEN}\n").is_empty());
    }
}
