//! What adopting would do: which value goes where, which objects would be declared, what changes in which
//! file, and what is left for a person. A plan holds no value, and no text of a file beyond names and
//! addresses that cannot be keys.

mod draft;

use std::collections::{HashMap, HashSet};

use gateway_core::secret::{Fingerprint, FingerprintKey};
use url::Url;

use crate::client::Door;
use crate::finding::{Finding, Position, Rule, Slot};
use crate::names::words;
use crate::scan::Scanned;
use crate::servers::{ServerEntry, Way};

/// Into what the keys are adopted.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The environment of servers and bindings.
    pub environment: String,
    /// The store that takes the values.
    pub store: String,
    /// The path in the store below which values go, such as `kv/adopted` for a mount `kv`.
    pub below: String,
    /// The team that owns servers, bindings and the policy.
    pub owner: String,
    /// The agent that the bindings serve.
    pub agent: String,
    /// The gateway's public URL.
    pub gateway: Url,
}

/// A value that goes into the store. The same value in several places is one move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The findings, by their index.
    pub findings: Vec<usize>,
    /// What it is.
    pub kind: &'static str,
    /// The path in the store.
    pub path: String,
    /// The field.
    pub field: String,
    /// The reference that stands for it from then on.
    pub reference: String,
}

/// A server's entry that would point at the gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adoption {
    /// The server, by its index in [`Scanned::servers`].
    pub server: usize,
    /// The finding whose value the binding carries.
    pub finding: usize,
    /// Every finding of the entry that holds this value, by its index.
    pub places: Vec<usize>,
    /// The server's name at the gateway; entries of one server and one key share it.
    pub name: String,
    /// The reference that stands for the value.
    pub reference: String,
    /// Whether the entry holds no other value.
    pub complete: bool,
}

/// An object that would be declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// `Kind/environment/name`.
    pub object: String,
    /// Its manifest, YAML.
    pub manifest: String,
}

/// A change of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The file.
    pub file: String,
    /// Where.
    pub at: Position,
    /// Which field or name.
    pub field: String,
    /// What stands there, with the value masked.
    pub before: String,
    /// What would stand there.
    pub after: String,
}

/// What needs a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// The file.
    pub file: String,
    /// Where.
    pub at: Option<Position>,
    /// What, and why.
    pub what: String,
}

/// What adopting would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Values into the store.
    pub moves: Vec<Move>,
    /// Entries that would point at the gateway.
    pub adoptions: Vec<Adoption>,
    /// Objects.
    pub drafts: Vec<Draft>,
    /// Changes of files.
    pub edits: Vec<Edit>,
    /// What is left.
    pub open: Vec<Open>,
}

impl Plan {
    /// The manifests as one file for `apply`.
    #[must_use]
    pub fn manifests(&self) -> String {
        let texts: Vec<&str> = self.drafts.iter().map(|draft| draft.manifest.as_str()).collect();
        texts.join("---\n")
    }
}

/// Plans the adoption of everything that was found. `key` tells equal values; it is thrown away with the
/// plan.
#[must_use]
pub fn plan(scanned: &Scanned, options: &PlanOptions, key: &FingerprintKey) -> Plan {
    let mut planner = Planner {
        scanned,
        options,
        plan: Plan::default(),
        by_value: HashMap::new(),
        by_server: HashMap::new(),
        taken: HashSet::new(),
    };
    for (index, server) in scanned.servers.iter().enumerate() {
        planner.server(index, server, key);
    }
    for (index, finding) in scanned.findings.iter().enumerate() {
        if finding.place.server.is_none() {
            planner.loose(index, finding, key);
        }
    }
    if !planner.plan.drafts.is_empty() {
        planner.plan.drafts.insert(0, draft::policy(options));
    }
    planner.plan
}

struct Planner<'a> {
    scanned: &'a Scanned,
    options: &'a PlanOptions,
    plan: Plan,
    by_value: HashMap<Fingerprint, usize>,
    /// Names of servers that several clients share: by way, place and value.
    by_server: HashMap<(Way, Slot, Fingerprint), String>,
    taken: HashSet<String>,
}

impl Planner<'_> {
    fn server(&mut self, index: usize, server: &ServerEntry, key: &FingerprintKey) {
        let found: Vec<usize> = self
            .scanned
            .findings
            .iter()
            .enumerate()
            .filter(|(_, finding)| finding.place.server == Some(index))
            .map(|(at, _)| at)
            .collect();
        let Some(first) = found.iter().copied().find(|at| self.injectable(*at, server)) else {
            return found.iter().for_each(|at| self.uninjectable(*at, server));
        };
        let Some(finding) = self.scanned.findings.get(first) else { return };
        let shared = (server.way.clone(), finding.place.slot.clone(), finding.secret.fingerprint(key));
        let known = self.by_server.get(&shared).cloned();
        let name = known.clone().unwrap_or_else(|| self.free("server", &slug(&server.name)));
        let reference = self.moved(first, &format!("{}/{name}", self.options.below), key);
        let mut places = vec![first];
        for other in found.iter().copied().filter(|at| *at != first) {
            if self.same_value(first, other, key) {
                drop(self.moved(other, "", key));
                places.push(other);
            } else {
                self.second(other, server);
            }
        }
        let complete = places.len() == found.len();
        if known.is_none() {
            match draft::objects(&name, server, finding, &reference, self.options) {
                Ok(drafts) => self.plan.drafts.extend(drafts),
                Err(why) => self.open(finding, why.to_owned()),
            }
            self.by_server.insert(shared, name.clone());
        }
        self.edits(&name, server, &found);
        let adoption = Adoption { server: index, finding: first, places, name, reference, complete };
        self.plan.adoptions.push(adoption);
    }

    /// Whether a binding can put the value where it stands.
    fn injectable(&self, at: usize, server: &ServerEntry) -> bool {
        let Some(finding) = self.scanned.findings.get(at) else { return false };
        let http = matches!(server.way, Way::Http { .. });
        match &finding.place.slot {
            Slot::Header { .. } | Slot::Query(_) => http,
            Slot::UrlPassword => http && finding.rule == Rule::UrlUser,
            Slot::Environment(_) => matches!(server.way, Way::Process { .. }),
            _ => false,
        }
    }

    fn uninjectable(&mut self, at: usize, server: &ServerEntry) {
        let Some(finding) = self.scanned.findings.get(at) else { return };
        let what = match finding.place.slot {
            Slot::Argument(_) => {
                "its server takes the key as an argument, which every process on the machine can read: \
                                  let it take the key from a variable"
            }
            Slot::UrlPath => {
                "the key is a part of the address itself, where no gateway can put it: ask the server's \
                              owner for a header"
            }
            _ => "no binding can put the value where it stands",
        };
        self.open(finding, format!("server `{}`: {what}", server.name));
    }

    fn second(&mut self, at: usize, server: &ServerEntry) {
        let Some(finding) = self.scanned.findings.get(at) else { return };
        let what =
            "a binding carries one credential, and this is a second one: see what the server needs it for";
        self.open(finding, format!("server `{}`: {what}", server.name));
    }

    /// A value outside of servers' entries.
    fn loose(&mut self, index: usize, finding: &Finding, key: &FingerprintKey) {
        let known = self.by_value.contains_key(&finding.secret.fingerprint(key));
        let what = match finding.rule {
            _ if known => {
                drop(self.moved(index, "", key));
                "the same value as one that is adopted: take it out here as well"
            }
            Rule::EnvFile => {
                let folder = finding.file.rsplit('/').nth(1).unwrap_or("env");
                drop(self.moved(index, &format!("{}/{}", self.options.below, slug(folder)), key));
                "goes into the store; let the program that reads this file fetch it from there"
            }
            _ => "replace the key where it was issued, and let the program take it from a store",
        };
        self.open(finding, what.to_owned());
    }

    fn same_value(&self, one: usize, other: usize, key: &FingerprintKey) -> bool {
        let print = |at: usize| self.scanned.findings.get(at).map(|found| found.secret.fingerprint(key));
        print(one) == print(other)
    }

    /// Moves the value of a finding, or finds the move that another place of it made; the reference.
    fn moved(&mut self, at: usize, path: &str, key: &FingerprintKey) -> String {
        let Some(finding) = self.scanned.findings.get(at) else { return String::new() };
        let print = finding.secret.fingerprint(key);
        if let Some(known) = self.by_value.get(&print).and_then(|known| self.plan.moves.get_mut(*known)) {
            known.findings.push(at);
            return known.reference.clone();
        }
        let name = finding.place.slot.name().unwrap_or("key");
        let field = self.free(path, &slug(name));
        let reference = format!("{}://{path}#{field}", self.options.store);
        self.by_value.insert(print, self.plan.moves.len());
        self.plan.moves.push(Move {
            findings: vec![at],
            kind: finding.kind,
            path: path.to_owned(),
            field,
            reference: reference.clone(),
        });
        reference
    }

    /// A name that nothing else in the plan has.
    fn free(&mut self, within: &str, name: &str) -> String {
        let mut free = name.to_owned();
        let mut number = 2_u32;
        while !self.taken.insert(format!("{within}\0{free}")) {
            free = format!("{name}-{number}");
            number = number.saturating_add(1);
        }
        free
    }

    fn open(&mut self, finding: &Finding, what: String) {
        self.plan.open.push(Open { file: finding.file.clone(), at: Some(finding.start), what });
    }

    /// The client's entry points at the gateway, and its keys are gone.
    fn edits(&mut self, name: &str, server: &ServerEntry, found: &[usize]) {
        let url = door(name, self.options).url;
        let header =
            server.client.variable().map(|placeholder| format!("Authorization: Bearer {placeholder}"));
        let findings = found.iter().filter_map(|at| self.scanned.findings.get(*at));
        let mut edits: Vec<Edit> = findings
            .map(|finding| {
                let after = match (&finding.place.slot, &header) {
                    (Slot::Header { .. }, Some(header)) => header.clone(),
                    (Slot::UrlPassword | Slot::Query(_) | Slot::UrlPath, _) => format!("url: {url}"),
                    _ => format!("taken out; `client-config --for {}` says what stands there", server.client),
                };
                Edit {
                    file: finding.file.clone(),
                    at: finding.start,
                    field: finding.place.path.clone(),
                    before: masked(finding),
                    after,
                }
            })
            .collect();
        if let Some(first) = edits.first().cloned() {
            let before = match &server.way {
                Way::Http { url: Some(url), .. } => format!("url: {url}"),
                Way::Process { command, .. } => format!("command: {command}"),
                _ => "the way to the server".to_owned(),
            };
            let field = server.name.clone();
            edits.insert(0, Edit { field, before, after: format!("url: {url}"), ..first });
        }
        self.plan.edits.extend(edits);
    }
}

/// Where agents reach the server behind the gateway.
fn door(name: &str, options: &PlanOptions) -> Door {
    let mut url = options.gateway.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["mcp", options.environment.as_str(), name]);
    }
    Door { url, name: name.to_owned() }
}

/// The text around a value, with a word in its place.
fn masked(finding: &Finding) -> String {
    match &finding.place.slot {
        Slot::Header { name, before } => format!("{name}: {before}‹{}›", finding.kind),
        Slot::Environment(name) | Slot::Named(name) | Slot::Query(name) => {
            format!("{name}=‹{}›", finding.kind)
        }
        _ => format!("‹{}›", finding.kind),
    }
}

/// A name that manifests and stores take: `a-z`, `0-9` and `-`, beginning with a letter.
fn slug(text: &str) -> String {
    let joined: String =
        words(text).join("-").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let short: String = joined.chars().take(40).collect();
    let trimmed = short.trim_matches('-');
    match trimmed.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => trimmed.to_owned(),
        Some(_) => format!("x-{trimmed}"),
        None => "server".to_owned(),
    }
}

#[cfg(test)]
mod tests;
