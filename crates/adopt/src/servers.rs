//! The servers of clients' configurations, and the places in their entries that hold keys.

use std::ops::Range;

use url::Url;

use crate::client::Client;
use crate::document::{Node, Scalar, Value};
use crate::finding::{Rule, Slot};
use crate::formats;
use crate::names::{self, Telling, is_harmless, telling};
use crate::scan::Collector;
use crate::source::{Reading, hits, is_entropic, judged, split_scheme};
use crate::urls;
use crate::value::{is_keylike, is_path, is_plausible, is_random};

/// A server in a client's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerEntry {
    /// The file, relative to what was scanned.
    pub file: String,
    /// The client.
    pub client: Client,
    /// Its name there.
    pub name: String,
    /// The keys that lead to its entry.
    pub keys: Vec<String>,
    /// How the client reaches it.
    pub way: Way,
}

/// How a client reaches a server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// Over HTTP.
    Http {
        /// Without user information, query and fragment; a part of the path that looks like a key is
        /// `…`, and `whole` is then `false`.
        url: Option<Url>,
        /// Whether nothing had to be left out but what is a key: no part of the path, no parameter.
        whole: bool,
    },
    /// As a process.
    Process {
        /// The program.
        command: String,
        /// Its arguments; those that are not plainly harmless are left out.
        arguments: Vec<Option<String>>,
        /// The names of its variables.
        variables: Vec<String>,
    },
    /// Neither.
    Unknown,
}

impl Way {
    /// Whether a manifest can say all of it: a whole address; or a program by its absolute path, with every
    /// argument and no variable but the one that holds the key.
    pub fn is_declarable(&self) -> bool {
        match self {
            Self::Http { url, whole } => *whole && url.is_some(),
            Self::Process { command, arguments, variables } => {
                command.starts_with('/') && arguments.iter().all(Option::is_some) && variables.len() == 1
            }
            Self::Unknown => false,
        }
    }
}

/// The keys under which clients keep their servers.
const KEYS: [&str; 4] = ["mcpServers", "context_servers", "mcp_servers", "mcp.servers"];

/// Looks through the whole document: entries of servers by their places, everything else by names.
pub(crate) fn walk(node: &Node, path: &str, collector: &mut Collector<'_>) {
    for item in node.items() {
        walk_value(item, "", path, collector);
    }
    for entry in node.entries() {
        let below = joined(path, &entry.key);
        let vscode = entry.key == "servers" && is_vscode(collector.file(), path);
        collector.step_into(&entry.key);
        if (KEYS.contains(&entry.key.as_str()) || vscode) && !entry.node.entries().is_empty() {
            let key = if vscode || entry.key == "mcp.servers" { "servers" } else { entry.key.as_str() };
            let client = Client::of(collector.file(), key);
            for server in entry.node.entries() {
                server_entry(&server.node, client, &server.key, &joined(&below, &server.key), collector);
            }
        } else {
            walk_value(&entry.node, &entry.key, &below, collector);
        }
        collector.step_out();
    }
}

/// `servers` is too common a word to count anywhere.
fn is_vscode(file: &str, path: &str) -> bool {
    let named = file.rsplit('/').next() == Some("mcp.json") && path.is_empty();
    named || path == "mcp" || path.ends_with(".mcp")
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn walk_value(node: &Node, name: &str, path: &str, collector: &mut Collector<'_>) {
    match &node.value {
        Value::Text(scalar) => named(scalar, name, path, Rule::NamedValue, collector),
        Value::Other => {}
        Value::List(_) | Value::Map(_) => {
            if let Some((label, scalar)) =
                pair(node).and_then(|(label, value)| Some((label, value.scalar()?)))
            {
                named(scalar, label, &joined(path, label), Rule::NamedValue, collector);
            }
            walk(node, path, collector);
        }
    }
}

/// The name and the value of an item in a list of pairs, as Kubernetes and some clients write variables and headers.
pub(crate) fn pair(node: &Node) -> Option<(&str, &Node)> {
    const LABELS: [&str; 4] = ["name", "key", "header", "variable"];
    let label = LABELS.iter().find_map(|label| node.get(label)?.text())?;
    Some((label, node.get("value")?))
}

/// A text under a name: by the name, else by what stands in it, else by its randomness.
pub(crate) fn named(scalar: &Scalar, name: &str, path: &str, rule: Rule, collector: &mut Collector<'_>) {
    named_from(scalar, 0, name, path, rule, collector);
}

/// The same for what stands behind so many bytes of the text.
fn named_from(scalar: &Scalar, at: usize, name: &str, path: &str, rule: Rule, collector: &mut Collector<'_>) {
    // A block of YAML or an escape may end a key with a line break.
    let (before, value) = split_scheme(scalar.text().get(at..).unwrap_or_default().trim_end());
    let start = at.saturating_add(before.len());
    let range = start..start.saturating_add(value.len());
    let slot = match rule {
        Rule::ServerEnvironment => Slot::Environment(name.to_owned()),
        _ => Slot::Named(name.to_owned()),
    };
    if let Some(kind) = judged(name, value) {
        collector.part(scalar, range, rule, kind, slot, path, value);
    } else if is_entropic(value) && !is_harmless(name) && !is_path(value) {
        let rule = if rule == Rule::ServerEnvironment { rule } else { Rule::Entropy };
        collector.part(scalar, range, rule, "random string", slot, path, value);
    }
    within(scalar, path, collector);
}

/// Keys inside a longer text.
fn within(scalar: &Scalar, path: &str, collector: &mut Collector<'_>) {
    for hit in hits(scalar.text(), Reading::Loose) {
        let found = scalar.text().get(hit.range.clone()).unwrap_or_default().to_owned();
        let value = hit.value.unwrap_or_else(|| zeroize::Zeroizing::new(found));
        collector.part(scalar, hit.range, hit.rule, hit.kind, hit.slot, path, &value);
    }
}

fn server_entry(node: &Node, client: Client, name: &str, path: &str, collector: &mut Collector<'_>) {
    let way = way(node);
    let keys = collector.keys(name);
    let file = collector.file().to_owned();
    collector.enter(ServerEntry { file, client, name: name.to_owned(), keys, way });
    fields(node, path, collector);
    collector.leave();
}

fn fields(node: &Node, path: &str, collector: &mut Collector<'_>) {
    for entry in node.entries() {
        let below = joined(path, &entry.key);
        match (entry.key.as_str(), &entry.node.value) {
            ("env" | "environment", Value::List(items)) => variables(items, &below, collector),
            ("env" | "environment", _) => {
                for variable in entry.node.entries() {
                    if let Some(scalar) = variable.node.scalar() {
                        let path = joined(&below, &variable.key);
                        named(scalar, &variable.key, &path, Rule::ServerEnvironment, collector);
                    }
                }
            }
            ("headers" | "http_headers", Value::List(items)) => headers(items, &below, collector),
            ("headers" | "http_headers", _) => {
                for header in entry.node.entries() {
                    if let Some(scalar) = header.node.scalar() {
                        let text = 0..scalar.text().len();
                        headed(scalar, text, &header.key, &joined(&below, &header.key), collector);
                    }
                }
            }
            // These hold the names of variables, not values.
            ("env_http_headers" | "bearer_token_env_var" | "env_vars", _) => {}
            ("args", Value::List(items)) => arguments(items, &below, collector),
            ("url" | "serverUrl" | "httpUrl", Value::Text(scalar)) => address(scalar, &below, collector),
            (_, Value::Map(_)) => fields(&entry.node, &below, collector),
            _ => walk_value(&entry.node, &entry.key, &below, collector),
        }
    }
}

/// Variables in a list: pairs, or `NAME=value` as containers take them.
fn variables(items: &[Node], path: &str, collector: &mut Collector<'_>) {
    for (index, item) in items.iter().enumerate() {
        let rule = Rule::ServerEnvironment;
        if let Some((name, value)) = pair(item) {
            let path = joined(path, name);
            match value.scalar() {
                Some(scalar) => named(scalar, name, &path, rule, collector),
                None => walk(value, &path, collector),
            }
        } else if let Some(scalar) = item.scalar() {
            let (name, _) = scalar.text().split_once('=').unwrap_or_default();
            let at = if name.is_empty() { 0 } else { name.len().saturating_add(1) };
            named_from(scalar, at, name, &format!("{path}[{index}]"), rule, collector);
        } else {
            walk(item, &format!("{path}[{index}]"), collector);
        }
    }
}

/// Headers in a list: pairs, or lines.
fn headers(items: &[Node], path: &str, collector: &mut Collector<'_>) {
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match pair(item) {
            Some((name, value)) => match value.scalar() {
                Some(scalar) => headed(scalar, 0..scalar.text().len(), name, &path, collector),
                None => walk(value, &path, collector),
            },
            None => match item.scalar() {
                Some(scalar) => header_argument(scalar, 0..scalar.text().len(), &path, collector),
                None => walk(item, &path, collector),
            },
        }
    }
}

/// The value of a header, in a part of a text.
fn headed(scalar: &Scalar, part: Range<usize>, name: &str, path: &str, collector: &mut Collector<'_>) {
    let text = scalar.text().get(part.clone()).unwrap_or_default();
    let (before, value) = split_scheme(text);
    let format = formats::kind(value);
    let tells = match telling(name) {
        Telling::No => is_random(value) && !is_harmless(name),
        _ => is_plausible(value) || is_cookie(name, value),
    };
    if tells || format.is_some() {
        let slot = Slot::Header { name: name.to_owned(), before: before.to_owned() };
        let start = part.start.saturating_add(before.len());
        let kind = format.unwrap_or_else(|| match names::kind(name) {
            "credential" if before.is_empty() => "credential",
            "credential" => "HTTP credential",
            kind => kind,
        });
        collector.part(scalar, start..part.end, Rule::Header, kind, slot, path, value);
    } else {
        within(scalar, path, collector);
    }
}

fn is_cookie(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("cookie") && value.split(['=', ';', ' ']).any(is_keylike)
}

fn arguments(items: &[Node], path: &str, collector: &mut Collector<'_>) {
    let mut flag: Option<&str> = None;
    for (index, item) in items.iter().enumerate() {
        let Some(scalar) = item.scalar() else {
            flag = None;
            continue;
        };
        let text = scalar.text();
        let path = format!("{path}[{index}]");
        let all = 0..text.len();
        let before = flag.take();
        match before {
            Some("-H" | "--header") => header_argument(scalar, all, &path, collector),
            Some(name) if !text.starts_with('-') && !name.starts_with("-e") && name != "--env" => {
                argument(scalar, all, name, index, &path, collector);
            }
            _ => match text.split_once('=') {
                Some((name @ ("-H" | "--header"), _)) => {
                    header_argument(scalar, name.len().saturating_add(1)..text.len(), &path, collector);
                }
                // `--env=NAME=value`, as containers take it: the name is the variable's.
                Some((flag @ ("--env" | "-e"), rest)) if rest.contains('=') => {
                    let name = rest.split('=').next().unwrap_or_default();
                    let at = flag.len().saturating_add(name.len()).saturating_add(2);
                    argument(scalar, at..text.len(), name, index, &path, collector);
                }
                Some((name, _)) if !name.contains([' ', '{', '/']) => {
                    argument(scalar, name.len().saturating_add(1)..text.len(), name, index, &path, collector);
                }
                _ => argument(scalar, all, "", index, &path, collector),
            },
        }
        if text.starts_with('-') && !text.contains(['=', ' ']) {
            flag = Some(text);
        }
    }
}

fn header_argument(scalar: &Scalar, part: Range<usize>, path: &str, collector: &mut Collector<'_>) {
    let text = scalar.text().get(part.clone()).unwrap_or_default();
    let Some((name, value)) = text.split_once(':') else { return within(scalar, path, collector) };
    let value = value.trim_start();
    let start = part.end.saturating_sub(value.len());
    headed(scalar, start..part.end, name.trim(), path, collector);
}

fn argument(
    scalar: &Scalar,
    part: Range<usize>,
    name: &str,
    index: usize,
    path: &str,
    collector: &mut Collector<'_>,
) {
    let value = scalar.text().get(part.clone()).unwrap_or_default();
    let kind = judged(name, value).or_else(|| {
        let random = is_random(value) && !is_harmless(name) && !is_path(value);
        let key = matches!(name, "--key" | "-k") && is_keylike(value);
        (random || key).then_some("random string")
    });
    match kind {
        Some(kind) => {
            collector.part(scalar, part, Rule::Argument, kind, Slot::Argument(index), path, value);
        }
        None => within(scalar, path, collector),
    }
}

/// The address of the server itself.
fn address(scalar: &Scalar, path: &str, collector: &mut Collector<'_>) {
    for part in urls::parts(scalar.text(), true) {
        let kind = formats::kind(&part.value).unwrap_or("key in a URL");
        collector.part(scalar, part.range, part.rule, kind, part.slot, path, &part.value);
    }
}

fn way(node: &Node) -> Way {
    let address = ["url", "serverUrl", "httpUrl"].iter().find_map(|key| node.get(key)?.text());
    if let Some(address) = address {
        let (url, whole) = shown_url(address);
        return Way::Http { url, whole };
    }
    // Zed once wrote the whole command as an object.
    let inner = node.get("command").filter(|command| !command.entries().is_empty());
    let holder = inner.unwrap_or(node);
    let command = holder.get("path").or_else(|| node.get("command")).and_then(Node::text);
    let items = holder.get("args").map(Node::items).unwrap_or_default();
    if let Some(address) = bridged(command.unwrap_or_default(), items) {
        let (url, whole) = shown_url(address);
        return Way::Http { url, whole };
    }
    let Some(command) = command.filter(|command| is_harmless_argument(command)) else { return Way::Unknown };
    let shown = |item: &Node| item.text().filter(|text| is_harmless_argument(text)).map(str::to_owned);
    Way::Process {
        command: command.to_owned(),
        arguments: items.iter().map(shown).collect(),
        variables: holder.get("env").map(variable_names).unwrap_or_default(),
    }
}

/// The names of the variables, however they are written; never a value.
fn variable_names(node: &Node) -> Vec<String> {
    let listed = node.items().iter().map(|item| {
        let named = pair(item).map(|(name, _)| name);
        let name = named.or_else(|| item.text()?.split_once('=').map(|(name, _)| name));
        name.unwrap_or("?").to_owned()
    });
    node.entries().iter().map(|entry| entry.key.clone()).chain(listed).collect()
}

/// The address that `mcp-remote` speaks to for a client that starts programs only.
fn bridged<'n>(command: &str, items: &'n [Node]) -> Option<&'n str> {
    let remote = |text: &str| {
        let name = text.rsplit('/').next().unwrap_or_default();
        name == "mcp-remote" || name.starts_with("mcp-remote@")
    };
    let texts = || items.iter().filter_map(Node::text);
    let bridge = remote(command) || texts().any(remote);
    let web = |text: &&str| text.starts_with("https://") || text.starts_with("http://");
    texts().find(web).filter(|_| bridge)
}

/// A URL that can be shown: what may hold a key is left out, found or not.
fn shown_url(address: &str) -> (Option<Url>, bool) {
    let Ok(mut url) = Url::parse(address) else { return (None, false) };
    let plain = url.set_username("").is_ok() && url.set_password(None).is_ok();
    // A route has no query: where one holds more than the key, the server would get less than before.
    let pairs = url.query_pairs().count();
    let keys = urls::parts(address, true).iter().filter(|part| part.rule == Rule::UrlQuery).count();
    url.set_query(None);
    url.set_fragment(None);
    let masked: Vec<String> = url
        .path()
        .split('/')
        .map(|part| if part.len() < 16 || is_word_like(part) { part.to_owned() } else { "…".to_owned() })
        .collect();
    let path = masked.join("/");
    let shown = path == url.path();
    if !shown {
        url.set_path(&path);
    }
    let whole = shown && pairs <= keys;
    (Some(url).filter(|url| plain && matches!(url.scheme(), "http" | "https")), whole)
}

/// Words joined by dashes: nothing that could be a key, found or not.
fn is_word_like(part: &str) -> bool {
    let words = part.split(['-', '_', '.', '@']);
    // Longer than any other word of a package's name, and in the names of most servers.
    let known = |word: &str| word == "modelcontextprotocol";
    part.is_ascii() && words.clone().all(|word| known(word) || word.len() <= 14 && !mixes(word))
}

fn mixes(word: &str) -> bool {
    // `python3` and `node22`; a word of another kind with a number could be a password.
    let stem = word.trim_end_matches(|character: char| character.is_ascii_digit());
    if matches!(stem, "python" | "node" | "nodejs" | "java" | "ruby" | "php") {
        return false;
    }
    let digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    digit && letter && word.len() > 4
}

/// Flags, packages and paths of plain words: whatever else stands in an argument is not shown.
fn is_harmless_argument(text: &str) -> bool {
    let text = text.trim_start_matches('-');
    text.len() <= 200 && text.split('/').all(is_word_like) && !text.contains(['=', ':', '?'])
}
