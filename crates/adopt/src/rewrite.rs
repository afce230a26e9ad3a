//! Changes of a file in place: the bytes of a value, and not one byte beside them.

mod entry;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::document::{Entry, Node, Scalar, Syntax};
use crate::finding::{Finding, Slot};
use crate::servers::ServerEntry;
use crate::text::Text;

/// New text in the place of some bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The bytes.
    pub span: Range<usize>,
    /// What takes their place.
    pub text: String,
    /// What stood there, with a reference in the place of the value.
    pub before: String,
}

/// The way back from one change, in the changed file. Holds no value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reverse {
    at: usize,
    length: usize,
    text: String,
}

/// Why an entry cannot be changed by a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stuck {
    /// The file is not what it was, or its syntax is broken.
    #[error("the file cannot be read as it was")]
    Unreadable,
    /// Address or header are written in a way that has no place of its own.
    #[error("the entry is written in a way that cannot be changed in place")]
    Form,
    /// The client expands no variable in a header.
    #[error("this client takes no token from a variable: `client-config` says what to write instead")]
    Client,
    /// The key is not in a header of a server over HTTP.
    #[error("the key is not in a header of a server over HTTP: `client-config` says what to write instead")]
    Place,
    /// The new entry could not send every header of the old one.
    #[error(
        "the entry sends further headers, which the new one would not: `client-config` says what to write"
    )]
    Headers,
    /// Something else that looks like a key stands within what would be replaced.
    #[error("a further key stands within the entry, in a comment perhaps: take it out first")]
    Further,
}

/// The changes that point an entry at the gateway: its address, and the one header with its key, where the
/// client takes a token from a variable there; else the whole entry. Every byte around them stays.
///
/// `ours` are the findings of the entry's value, `all` those of the scan.
///
/// # Errors
/// The entry is none that can be changed by a program.
pub fn redirect(
    bytes: &[u8],
    server: &ServerEntry,
    ours: &[&Finding],
    all: &[Finding],
    reference: &str,
    door: &Url,
) -> Result<Vec<Change>, Stuck> {
    let (text, _) = Text::read(bytes).map_err(|_| Stuck::Unreadable)?;
    let file = server.file.rsplit('/').next().unwrap_or_default();
    let syntax = Syntax::of(file).ok_or(Stuck::Unreadable)?;
    let documents = syntax.parse(text.as_str(), text.begin()).map_err(|_| Stuck::Unreadable)?;
    let entry = documents.iter().find_map(|document| descend(document, &server.keys)).ok_or(Stuck::Form)?;
    let site = Site { text: text.as_str(), syntax, entry, ours, all, reference };
    match in_place(&site, server.client, door) {
        Ok(changes) => Ok(changes),
        Err(_) if syntax == Syntax::Json => entry::replaced(&site, server.client, door),
        Err(_) if server.client == Client::Codex => entry::codex(&site, door),
        Err(why) => Err(why),
    }
}

/// An entry in its file, and what is found there.
struct Site<'a> {
    text: &'a str,
    syntax: Syntax,
    entry: &'a Node,
    ours: &'a [&'a Finding],
    all: &'a [Finding],
    reference: &'a str,
}

impl Site<'_> {
    fn cut(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The bytes of the entry's address.
    fn address(&self) -> Result<Range<usize>, Stuck> {
        let address = ["url", "serverUrl", "httpUrl"].iter().find_map(|key| self.entry.get(key)?.scalar());
        whole(address.ok_or(Stuck::Form)?)
    }

    /// The white space at the beginning of the line on which this byte stands.
    fn indent(&self, at: usize) -> &str {
        let start =
            self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end.saturating_add(1));
        let line = self.cut(&(start..at)).trim_start_matches('\u{feff}');
        line.get(..line.len().saturating_sub(line.trim_start().len())).unwrap_or_default()
    }

    /// The text of a span with the reference wherever its value stands, and nothing else that is a key.
    fn masked(&self, span: &Range<usize>) -> Result<String, Stuck> {
        let ours: Vec<&Range<usize>> = self.ours.iter().map(|finding| &finding.span).collect();
        let held = self.ours.iter().all(|finding| finding.exact && contains(span, &finding.span));
        if !held {
            return Err(Stuck::Form);
        }
        let file = self.ours.first().map(|finding| finding.file.as_str());
        let further = self.all.iter().any(|finding| {
            Some(finding.file.as_str()) == file
                && finding.span.start < span.end
                && span.start < finding.span.end
                && !ours.contains(&&finding.span)
        });
        if further {
            return Err(Stuck::Further);
        }
        let mut spans = ours;
        spans.sort_by_key(|one| one.start);
        let mut masked = String::with_capacity(span.len());
        let mut at = span.start;
        for one in spans {
            masked.push_str(self.cut(&(at..one.start)));
            masked.push_str(self.reference);
            at = one.end;
        }
        masked.push_str(self.cut(&(at..span.end)));
        Ok(masked)
    }
}

/// Address and header alone: comments, order, spacing and every other field stay.
fn in_place(site: &Site<'_>, client: Client, door: &Url) -> Result<Vec<Change>, Stuck> {
    let placeholder = client.variable().ok_or(Stuck::Client)?;
    let [finding] = site.ours else { return Err(Stuck::Form) };
    let Slot::Header { name, before } = &finding.place.slot else { return Err(Stuck::Place) };
    let address = site.address()?;
    let headers = site.entry.get("headers").map(Node::entries).unwrap_or_default();
    let header = headers.iter().find(|header| header.key == *name).ok_or(Stuck::Place)?;
    let taken = |one: &Entry| one.key != *name && one.key.eq_ignore_ascii_case("authorization");
    if headers.iter().any(taken) {
        return Err(Stuck::Headers);
    }
    let value = whole(header.node.scalar().ok_or(Stuck::Form)?)?;
    let quoted = |span: &Range<usize>| {
        let byte = span.start.checked_sub(1).and_then(|at| site.text.as_bytes().get(at)).copied();
        matches!(byte, Some(b'"' | b'\''))
    };
    // `{` begins a mapping in YAML's flow style: only where quotes hold it, or on a line of its own.
    let plain = site.syntax == Syntax::Yaml && !quoted(&value) && site.text.contains("headers: {");
    if plain || !finding.exact || !contains(&value, &finding.span) {
        return Err(Stuck::Form);
    }
    let cut = |span: &Range<usize>| site.cut(span).to_owned();
    let stands = format!("{before}{}", site.reference);
    let mut changes = vec![
        Change { text: door.to_string(), before: cut(&address), span: address },
        Change { text: format!("Bearer {placeholder}"), before: stands, span: value },
    ];
    if !name.eq_ignore_ascii_case("authorization") {
        let span = header.key_span.clone();
        changes.push(Change { text: "Authorization".to_owned(), before: cut(&span), span });
    }
    Ok(changes)
}

fn descend<'n>(node: &'n Node, keys: &[String]) -> Option<&'n Node> {
    keys.iter().try_fold(node, |node, key| node.get(key))
}

/// The bytes of a text, where they are the text and nothing else.
fn whole(scalar: &Scalar) -> Result<Range<usize>, Stuck> {
    let (_, exact) = scalar.span_of(&(0..scalar.text().len()));
    if exact && !scalar.text().is_empty() { Ok(scalar.content()) } else { Err(Stuck::Form) }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The bytes with the changes made, and the way back; none where changes overlap or lie outside.
#[must_use]
pub fn rewritten(bytes: &[u8], changes: &[Change]) -> Option<(Zeroizing<Vec<u8>>, Vec<Reverse>)> {
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by_key(|change| change.span.start);
    let mut made = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut back = Vec::with_capacity(changes.len());
    let mut at = 0;
    for change in changes {
        made.extend_from_slice(bytes.get(at..change.span.start)?);
        back.push(Reverse { at: made.len(), length: change.text.len(), text: change.before.clone() });
        made.extend_from_slice(change.text.as_bytes());
        at = change.span.end;
    }
    made.extend_from_slice(bytes.get(at..)?);
    Some((made, back))
}

/// The bytes before [`rewritten`], with references in the place of the values; none where these are not the
/// bytes that it made. `stands` says what a text with references becomes: it may put values back.
#[must_use]
pub fn reversed(
    bytes: &[u8],
    back: &[Reverse],
    stands: impl Fn(&str) -> Zeroizing<String>,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut made = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    for one in back {
        made.extend_from_slice(bytes.get(at..one.at)?);
        made.extend_from_slice(stands(&one.text).as_bytes());
        at = one.at.checked_add(one.length)?;
    }
    made.extend_from_slice(bytes.get(at..)?);
    Some(made)
}

#[cfg(test)]
mod tests;
