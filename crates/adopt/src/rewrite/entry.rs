//! A whole entry in the place of another: for clients and servers of which one field alone cannot be changed.

use std::ops::Range;

use serde_json::Value;
use url::Url;

use super::{Change, Site, Stuck, contains};
use crate::client::{Client, VARIABLE, adopted_entry};
use crate::document::{Entry, Node};
use crate::finding::Slot;
use crate::servers::pair;

/// Fields that say how a server is reached; every other field of an entry is kept.
const WAY: [&str; 18] = [
    "type",
    "transport",
    "transportType",
    "source",
    "command",
    "args",
    "env",
    "environment",
    "envFile",
    "cwd",
    "url",
    "serverUrl",
    "httpUrl",
    "headers",
    "http_headers",
    "requestInit",
    "eventSourceInit",
    "oauth",
];

/// The entry anew, as the client's own documentation writes one, with the fields kept that say nothing about
/// the way. Comments within the entry go with it; undoing brings them back.
pub(super) fn replaced(site: &Site<'_>, client: Client, door: &Url) -> Result<Vec<Change>, Stuck> {
    let span = site.entry.span.clone();
    let old = site.cut(&span);
    if !old.starts_with('{') || !old.ends_with('}') {
        return Err(Stuck::Form);
    }
    let before = site.masked(&span)?;
    let mut made = adopted_entry(client, door);
    send_the_other_headers(site, &mut made)?;
    let kept: Vec<(String, &str)> = site
        .entry
        .entries()
        .iter()
        .filter(|entry| !WAY.contains(&entry.key.as_str()) && made.get(&entry.key).is_none())
        // A further copy of the value, in a field of any name: the gateway puts it where the server wants it.
        .filter(|entry| !site.ours.iter().any(|finding| contains(&entry.node.span, &finding.span)))
        .map(|entry| (Value::from(entry.key.as_str()).to_string(), site.cut(&entry.node.span)))
        .collect();
    let text = if old.contains('\n') {
        over_lines(&made, &kept, site.indent(span.start), &Lines::of(old, site.indent(span.start)))
    } else {
        on_one_line(&made, &kept)
    };
    Ok(vec![Change { span, text, before }])
}

/// The headers of the old entry that hold no key: the server may need them, and the gateway passes them on.
fn send_the_other_headers(site: &Site<'_>, made: &mut Value) -> Result<(), Stuck> {
    let arguments = site.entry.get("args").map(Node::items).unwrap_or_default();
    let flag = |item: &&Node| {
        item.text().is_some_and(|text| matches!(text, "-H" | "--header") || text.starts_with("--header="))
    };
    if arguments.iter().filter(flag).count() > 1 {
        return Err(Stuck::Headers);
    }
    let Some(written) = site.entry.get("headers") else { return Ok(()) };
    let mapped = written.entries().iter().map(|header| Some((header.key.as_str(), &header.node)));
    for header in mapped.chain(written.items().iter().map(pair)) {
        let (name, node) = header.ok_or(Stuck::Headers)?;
        if site.ours.iter().any(|finding| contains(&node.span, &finding.span)) {
            continue;
        }
        let text = node.text().ok_or(Stuck::Headers)?;
        // The token's own place.
        if name.eq_ignore_ascii_case("authorization") {
            return Err(Stuck::Headers);
        }
        let headers = made.get_mut("headers").and_then(Value::as_object_mut).ok_or(Stuck::Headers)?;
        headers.insert(name.to_owned(), Value::from(text));
    }
    Ok(())
}

/// How a file breaks and indents its lines.
struct Lines<'t> {
    ending: &'static str,
    unit: &'t str,
}

impl<'t> Lines<'t> {
    fn of(old: &'t str, indent: &str) -> Self {
        let ending = if old.contains("\r\n") { "\r\n" } else { "\n" };
        let second = old.lines().nth(1).unwrap_or_default();
        let margin = second.get(..second.len().saturating_sub(second.trim_start().len())).unwrap_or_default();
        let unit = margin.strip_prefix(indent).filter(|unit| !unit.is_empty()).unwrap_or("  ");
        Self { ending, unit }
    }
}

fn over_lines(made: &Value, kept: &[(String, &str)], indent: &str, lines: &Lines<'_>) -> String {
    let pretty = serde_json::to_string_pretty(made).unwrap_or_default();
    let mut written: Vec<String> = pretty
        .lines()
        .map(|line| {
            let text = line.trim_start_matches(' ');
            let depth = line.len().saturating_sub(text.len()) / 2;
            format!("{}{text}", lines.unit.repeat(depth))
        })
        .collect();
    written.pop();
    for (key, raw) in kept {
        if let Some(last) = written.last_mut() {
            last.push(',');
        }
        written.push(format!("{}{key}: {raw}", lines.unit));
    }
    written.push("}".to_owned());
    written.join(&format!("{}{indent}", lines.ending))
}

fn on_one_line(made: &Value, kept: &[(String, &str)]) -> String {
    let mut text = made.to_string();
    text.pop();
    for (key, raw) in kept {
        text.push_str(&format!(",{key}:{raw}"));
    }
    text.push('}');
    text
}

/// Codex names the variable of the token in a field of its own: it takes the place of the header.
pub(super) fn codex(site: &Site<'_>, door: &Url) -> Result<Vec<Change>, Stuck> {
    let [finding] = site.ours else { return Err(Stuck::Form) };
    let Slot::Header { name, .. } = &finding.place.slot else { return Err(Stuck::Place) };
    let address = site.address()?;
    let field = site.entry.entries().iter().find(|entry| entry.key == "http_headers").ok_or(Stuck::Place)?;
    let table = site.cut(&field.node.span);
    // A table under a heading of its own would need the heading to go too.
    let inline = table.starts_with('{') && table.ends_with('}');
    if !inline || site.entry.get("bearer_token_env_var").is_some() {
        return Err(Stuck::Form);
    }
    let span = key_start(site, field)..field.node.span.end;
    let others: Vec<String> = field
        .node
        .entries()
        .iter()
        .filter(|header| header.key != *name)
        .map(|header| format!("{} = {}", Value::from(header.key.as_str()), site.cut(&header.node.span)))
        .collect();
    let mut text = format!("bearer_token_env_var = \"{VARIABLE}\"");
    if !others.is_empty() {
        let ending = if site.text.contains("\r\n") { "\r\n" } else { "\n" };
        text.push_str(&format!("{ending}http_headers = {{ {} }}", others.join(", ")));
    }
    let before = site.masked(&span)?;
    let address = Change { text: door.to_string(), before: site.cut(&address).to_owned(), span: address };
    Ok(vec![address, Change { span, text, before }])
}

/// Where a key begins, its quotes included.
fn key_start(site: &Site<'_>, field: &Entry) -> usize {
    let Range { start, .. } = field.key_span;
    let before = start.checked_sub(1);
    let quote = before.and_then(|at| site.text.as_bytes().get(at)).is_some_and(|byte| b"\"'".contains(byte));
    if quote { start.saturating_sub(1) } else { start }
}
