//! One file: its bytes in, its findings out.

use std::collections::BTreeMap;
use std::ops::Range;

use gateway_core::secret::Secret;

use crate::document::{Node, Scalar, Syntax};
use crate::finding::{Finding, Note, Place, Rule, Slot};
use crate::servers::{ServerEntry, named, walk};
use crate::source::{Hit, Reading, hits, netrc};
use crate::text::{Text, Unreadable};
use crate::value::is_strong;

/// What was found in one file or in many.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The loose keys, by file and place.
    pub findings: Vec<Finding>,
    /// The servers of clients' configurations.
    pub servers: Vec<ServerEntry>,
    /// What was not looked at, or not as it should be.
    pub notes: Vec<Note>,
}

impl Scanned {
    /// Takes over what another file holds.
    pub fn absorb(&mut self, other: Self) {
        let by = self.servers.len();
        self.findings.extend(other.findings.into_iter().map(|mut finding| {
            finding.place.server = finding.place.server.map(|server| server.saturating_add(by));
            finding
        }));
        self.servers.extend(other.servers);
        self.notes.extend(other.notes);
    }
}

/// Looks through one file. `file` is its path relative to what is scanned, with `/` between its parts: it
/// says which client and which syntax.
#[must_use]
pub fn scan(file: &str, bytes: &[u8]) -> Scanned {
    let note = |at, what: String| Note { file: file.to_owned(), at, what };
    let (text, substituted) = match Text::read(bytes) {
        Ok(read) => read,
        Err(why) => {
            let what = match why {
                Unreadable::Binary => "binary: not looked at",
                Unreadable::Wide => "UTF-16: not looked at; save it as UTF-8",
            };
            return Scanned { notes: vec![note(None, what.to_owned())], ..Scanned::default() };
        }
    };
    let mut notes = Vec::new();
    if substituted {
        notes.push(note(None, "some bytes are no UTF-8: read around them".to_owned()));
    }
    let mut collector = Collector {
        text: &text,
        file,
        found: Vec::new(),
        servers: Vec::new(),
        inside: None,
        keys: Vec::new(),
    };
    let reading = reading(file);
    let name = file.rsplit('/').next().unwrap_or_default();
    if let Some(syntax) = Syntax::of(name).filter(|_| reading != Reading::Formats) {
        match syntax.parse(text.as_str(), text.begin()) {
            Ok(documents) => {
                documents.iter().for_each(|document| structured(document, syntax, &mut collector))
            }
            Err(fault) => {
                let what = format!("not read as {}: {}; searched as text", syntax.word(), fault.what);
                notes.push(note(Some(text.position(fault.at)), what));
            }
        }
    }
    for hit in hits(text.as_str(), reading) {
        collector.raw(hit);
    }
    if matches!(name, ".netrc" | "_netrc" | "netrc" | ".authinfo") {
        netrc(text.as_str()).into_iter().for_each(|hit| collector.raw(hit));
    }
    Scanned { findings: without_overlaps(collector.found), servers: collector.servers, notes }
}

fn structured(document: &Node, syntax: Syntax, collector: &mut Collector<'_>) {
    if syntax != Syntax::Env {
        return walk(document, "", collector);
    }
    for entry in document.entries() {
        if let Some(scalar) = entry.node.scalar() {
            named(scalar, &entry.key, &entry.key, Rule::EnvFile, collector);
        }
    }
}

/// How a file is read as text, by its name.
fn reading(file: &str) -> Reading {
    const LOCKS: [&str; 6] = [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "go.sum",
        "bun.lockb",
        ".terraform.lock.hcl",
    ];
    const SOURCE: [&str; 42] = [
        "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "go", "rs", "java", "kt", "kts", "scala",
        "rb", "php", "cs", "fs", "swift", "m", "c", "cc", "cpp", "h", "hpp", "ex", "exs", "clj", "lua", "pl",
        "r", "jl", "dart", "vue", "svelte", "sql", "tf", "hcl", "groovy", "gradle", "zig",
    ];
    let name = file.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let made = name.contains(".min.") || matches!(ending, "lock" | "map" | "svg" | "csv" | "sum");
    if LOCKS.contains(&name.as_str()) || made {
        Reading::Formats
    } else if SOURCE.contains(&ending) {
        Reading::Source
    } else {
        Reading::Loose
    }
}

/// What is found in one file on the way.
pub(crate) struct Collector<'t> {
    text: &'t Text,
    file: &'t str,
    found: Vec<Finding>,
    servers: Vec<ServerEntry>,
    inside: Option<usize>,
    keys: Vec<String>,
}

impl<'t> Collector<'t> {
    /// The file's path.
    pub(crate) const fn file(&self) -> &'t str {
        self.file
    }

    /// What follows stands below this key.
    pub(crate) fn step_into(&mut self, key: &str) {
        self.keys.push(key.to_owned());
    }

    /// What follows stands beside it.
    pub(crate) fn step_out(&mut self) {
        self.keys.pop();
    }

    /// The keys that lead to `last`.
    pub(crate) fn keys(&self, last: &str) -> Vec<String> {
        self.keys.iter().map(String::as_str).chain([last]).map(str::to_owned).collect()
    }

    /// What follows belongs to this server.
    pub(crate) fn enter(&mut self, server: ServerEntry) {
        self.inside = Some(self.servers.len());
        self.servers.push(server);
    }

    /// What follows belongs to no server.
    pub(crate) const fn leave(&mut self) {
        self.inside = None;
    }

    /// A part of a text of the document.
    #[expect(clippy::too_many_arguments, reason = "every part of a finding, once")]
    pub(crate) fn part(
        &mut self,
        scalar: &Scalar,
        part: Range<usize>,
        rule: Rule,
        kind: &'static str,
        slot: Slot,
        path: &str,
        value: &str,
    ) {
        let (span, exact) = scalar.span_of(&part);
        let place = Place { slot, path: path.to_owned(), server: self.inside };
        self.add(span, exact, rule, kind, place, value);
    }

    /// A part of the file's text.
    fn raw(&mut self, hit: Hit) {
        let stands = self.text.as_str().get(hit.range.clone()).unwrap_or_default();
        let exact = hit.value.as_deref().is_none_or(|value| value == stands);
        let value = hit.value.unwrap_or_else(|| zeroize::Zeroizing::new(stands.to_owned()));
        let place = Place { slot: hit.slot, path: String::new(), server: None };
        self.add(hit.range, exact, hit.rule, hit.kind, place, &value);
    }

    fn add(
        &mut self,
        span: Range<usize>,
        exact: bool,
        rule: Rule,
        kind: &'static str,
        place: Place,
        value: &str,
    ) {
        if value.is_empty() || span.is_empty() {
            return;
        }
        let client = place.server.and_then(|server| self.servers.get(server)).map(|server| server.client);
        self.found.push(Finding {
            file: self.file.to_owned(),
            start: self.text.position(span.start),
            end: self.text.position(span.end),
            span,
            exact,
            rule,
            kind,
            place,
            client,
            strong: is_strong(value),
            secret: Secret::copy_from(value.as_bytes()),
        });
    }
}

/// Of findings that overlap, the one of the first rule stays; of the same rule, the first.
fn without_overlaps(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| (finding.rule, finding.span.start));
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    found.retain(|finding| {
        let before = taken.range(..finding.span.end).next_back();
        let free = before.is_none_or(|(_, end)| *end <= finding.span.start);
        if free {
            taken.insert(finding.span.start, finding.span.end);
        }
        free
    });
    found.sort_by_key(|finding| finding.span.start);
    found
}

#[cfg(test)]
mod tests;
