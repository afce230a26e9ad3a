//! Changes of a file in place: the bytes of a value, and not one byte beside them.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::document::{Node, Scalar, Syntax};
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
}

/// The changes that point an entry at the gateway: its address, and the one header with its key. Comments,
/// order, spacing and every other field stay.
///
/// # Errors
/// The entry is none that can be changed in place.
pub fn redirect(
    bytes: &[u8],
    server: &ServerEntry,
    finding: &Finding,
    reference: &str,
    door: &Url,
) -> Result<Vec<Change>, Stuck> {
    let placeholder = server.client.variable().ok_or(Stuck::Client)?;
    let Slot::Header { name, before } = &finding.place.slot else { return Err(Stuck::Place) };
    let (text, _) = Text::read(bytes).map_err(|_| Stuck::Unreadable)?;
    let file = server.file.rsplit('/').next().unwrap_or_default();
    let syntax = Syntax::of(file).ok_or(Stuck::Unreadable)?;
    let documents = syntax.parse(text.as_str(), text.begin()).map_err(|_| Stuck::Unreadable)?;
    let entry = documents.iter().find_map(|document| descend(document, &server.keys)).ok_or(Stuck::Form)?;
    let address = ["url", "serverUrl", "httpUrl"].iter().find_map(|key| entry.get(key)?.scalar());
    let address = whole(address.ok_or(Stuck::Form)?)?;
    let headers = entry.get("headers").map(Node::entries).unwrap_or_default();
    let header = headers.iter().find(|header| header.key == *name).ok_or(Stuck::Place)?;
    let value = whole(header.node.scalar().ok_or(Stuck::Form)?)?;
    let quoted = |span: &Range<usize>| {
        let byte = span.start.checked_sub(1).and_then(|at| text.as_str().as_bytes().get(at)).copied();
        matches!(byte, Some(b'"' | b'\''))
    };
    // `{` begins a mapping in YAML's flow style: only where quotes hold it, or on a line of its own.
    let plain = syntax == Syntax::Yaml && !quoted(&value) && text.as_str().contains("headers: {");
    if plain || !finding.exact || !contains(&value, &finding.span) {
        return Err(Stuck::Form);
    }
    let cut = |span: &Range<usize>| text.as_str().get(span.clone()).unwrap_or_default().to_owned();
    let mut changes = vec![
        Change { text: door.to_string(), before: cut(&address), span: address },
        Change { text: format!("Bearer {placeholder}"), before: format!("{before}{reference}"), span: value },
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
/// bytes that it made.
#[must_use]
pub fn reversed(bytes: &[u8], back: &[Reverse]) -> Option<Vec<u8>> {
    let mut made = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for one in back {
        made.extend_from_slice(bytes.get(at..one.at)?);
        made.extend_from_slice(one.text.as_bytes());
        at = one.at.checked_add(one.length)?;
    }
    made.extend_from_slice(bytes.get(at..)?);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
    const REFERENCE: &str = "local://adopted/issues#authorization";

    fn door() -> Url {
        Url::parse("https://mcp.example.com/mcp/dev/issues").unwrap()
    }

    fn changed(file: &str, text: &str) -> Result<(String, String), Stuck> {
        let scanned = scan(file, text.as_bytes());
        let finding = &scanned.findings[0];
        let server = &scanned.servers[finding.place.server.unwrap()];
        let changes = redirect(text.as_bytes(), server, finding, REFERENCE, &door())?;
        let (made, back) = rewritten(text.as_bytes(), &changes).unwrap();
        let undone = String::from_utf8(reversed(&made, &back).unwrap()).unwrap();
        assert!(!format!("{changes:?} {back:?}").contains(KEY));
        Ok((String::from_utf8(made.to_vec()).unwrap(), undone))
    }

    #[test]
    fn only_address_and_header_change_and_undoing_restores_every_other_byte() {
        let text = format!(
            "// mine\r\n{{ \"mcpServers\" : {{\r\n  \"issues\": {{ \"url\":\"https://issues.example.com/mcp\", // old\r\n    \
             \"timeout\": 5, \"headers\": {{\"X-Api-Key\": \"{KEY}\",}} }},\r\n}} }}\r\n"
        );
        let (made, undone) = changed(".cursor/mcp.json", &text).unwrap();
        let wanted = text
            .replace("https://issues.example.com/mcp", "https://mcp.example.com/mcp/dev/issues")
            .replace("X-Api-Key", "Authorization")
            .replace(KEY, "Bearer ${env:MCP_GATEWAY_TOKEN}");
        assert_eq!(made, wanted);
        assert_eq!(undone, text.replace(KEY, REFERENCE));
        assert!(scan(".cursor/mcp.json", made.as_bytes()).findings.is_empty());
    }

    #[test]
    fn yaml_is_changed_in_place_too() {
        let text = format!(
            "mcpServers:\n  issues: # the tracker\n    url: https://issues.example.com/mcp\n    headers:\n      Authorization: 'Bearer {KEY}'\n"
        );
        let (made, undone) = changed("librechat.yaml", &text).unwrap();
        assert!(made.contains("'Bearer ${MCP_GATEWAY_TOKEN}'") && made.contains("# the tracker"));
        assert_eq!(undone, text.replace(KEY, REFERENCE));
    }

    #[test]
    fn entries_that_a_program_cannot_change_are_left_alone() {
        let http = format!(
            r#"{{"context_servers": {{"a": {{"url": "https://h/mcp", "headers": {{"X-Api-Key": "{KEY}"}}}}}}}}"#
        );
        assert_eq!(changed("settings.json", &http).unwrap_err(), Stuck::Client);
        let env = format!(r#"{{"mcpServers": {{"a": {{"command": "x", "env": {{"API_KEY": "{KEY}"}}}}}}}}"#);
        assert_eq!(changed("mcp.json", &env).unwrap_err(), Stuck::Place);
        let flow = format!("mcpServers: {{a: {{url: 'https://h/mcp', headers: {{X-Api-Key: {KEY}}}}}}}\n");
        assert_eq!(changed("librechat.yaml", &flow).unwrap_err(), Stuck::Form);
    }

    #[test]
    fn changes_that_overlap_or_lie_outside_are_refused() {
        let change = |span: Range<usize>| Change { span, text: "x".to_owned(), before: "y".to_owned() };
        assert!(rewritten(b"abcd", &[change(0..2), change(1..3)]).is_none());
        assert!(rewritten(b"abcd", &[change(3..9)]).is_none());
        let (made, back) = rewritten(b"abcd", &[change(2..3), change(0..1)]).unwrap();
        assert_eq!((made.as_slice(), reversed(&made, &back)), (&b"xbxd"[..], Some(b"ybyd".to_vec())));
        assert_eq!(reversed(b"x", &back), None);
    }
}
