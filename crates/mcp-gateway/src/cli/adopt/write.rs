//! `adopt --write`. In this order, so that a file changes last and only for what was proven: the key works
//! (a call with it), the value is in the store, the manifests are in force, the gateway opens the door
//! (a call through it), and then the client's entry points there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gateway_adopt::walk::Report;
use gateway_adopt::{
    Adoption, Change, Client as Editor, Finding, Move, Plan, PlanOptions, ServerEntry, Slot, Way, plan,
    redirect, rewritten,
};
use gateway_core::secret::{FingerprintKey, Secret};
use http::header::{self, HeaderName};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::files;
use super::journal::{Changed, Journal};
use super::knock::{Answer, Knocker, credential};
use super::{Target, random};
use crate::cli::access::take_token;
use crate::cli::client::Client;
use crate::cli::failure::{Exit, Failure};
use crate::cli::pick::{list, text};
use crate::cli::session::Session;
use crate::cli::view::{Table, View};
use crate::config::manifest::{Source, parse};

/// A server whose entry is adopted.
struct Adoptee<'a> {
    server: &'a ServerEntry,
    finding: &'a Finding,
    planned: &'a Adoption,
    door: Url,
    objects: Vec<String>,
    changes: Vec<Change>,
    /// The SHA-256 of the file's bytes that the changes are for.
    read: String,
    before: &'static str,
}

/// What became of one entry.
struct Outcome {
    place: String,
    what: String,
}

/// Adopts what can be adopted, and says what became of the rest.
pub(super) fn run(
    session: &mut Session,
    target: &Target,
    report: &Report,
    key: &FingerprintKey,
) -> Result<Exit, Failure> {
    let options = target.options()?;
    let made = plan(&report.scanned, &options, key);
    let mut left = Vec::new();
    let knocker = Knocker::new(session.globals.plain_http)?;
    let mut adoptees = Vec::new();
    for adoptee in adoptees_of(report, &made, &options, &mut left)? {
        session.printer.progress(&format!("trying the key of `{}` …", adoptee.server.name));
        match tried(&knocker, adoptee) {
            Ok(adoptee) => adoptees.push(adoptee),
            Err(outcome) => left.push(outcome),
        }
    }
    if adoptees.is_empty() {
        show(session, None, &[], &left);
        return Err(Failure::new(Exit::Refused, "nothing here can be adopted by a program")
            .hint("`adopt --plan` says what to do by hand"));
    }
    let client = session.client()?;
    let (adoptees, waiting) = declared(session, &client, &made, adoptees, &mut left)?;
    if waiting > 0 {
        return Err(Failure::new(
            Exit::Pending,
            format!("{waiting} objects wait for approval; no file was changed"),
        )
        .hint("let somebody else approve them (`mcp-gateway object approve`), then run this again"));
    }
    let proven = through_the_gateway(session, &client, &knocker, adoptees, &options, &mut left)?;
    let (journal, proven) = rewrite(session, report, proven, target.journal.as_deref(), &mut left)?;
    show(session, Some(&journal).filter(|_| !proven.is_empty()), &proven, &left);
    Ok(if proven.is_empty() || !left.is_empty() { Exit::Refused } else { Exit::Ok })
}

/// The entries that a program can change, each with its one key.
fn adoptees_of<'a>(
    report: &'a Report,
    made: &'a Plan,
    options: &PlanOptions,
    left: &mut Vec<Outcome>,
) -> Result<Vec<Adoptee<'a>>, Failure> {
    let scanned = &report.scanned;
    let mut adoptees = Vec::new();
    for planned in &made.adoptions {
        let parts = (scanned.servers.get(planned.server), scanned.findings.get(planned.finding));
        let (Some(server), Some(finding)) = parts else { continue };
        let objects: Vec<String> = made
            .drafts
            .iter()
            .map(|draft| draft.object.clone())
            .filter(|object| belongs(object, &planned.name, options))
            .collect();
        let bytes = std::fs::read(report.path_of(&server.file))
            .map_err(|error| Failure::usage(format!("`{}` cannot be read", server.file)).because(&error))?;
        let bytes = Zeroizing::new(bytes);
        let door = door(options, &planned.name);
        let whole = server.way.is_declarable() && objects.len() == 3;
        let ours: Vec<&Finding> = planned.places.iter().filter_map(|at| scanned.findings.get(*at)).collect();
        if !planned.complete {
            left.push(outcome(finding, "its entry holds further keys: see them below"));
            continue;
        }
        match redirect(&bytes, server, &ours, &scanned.findings, &planned.reference, &door) {
            Ok(_) if !whole => {
                left.push(outcome(
                    finding,
                    "its server cannot be declared by a program: write the manifest by hand",
                ));
            }
            Ok(changes) => adoptees.push(Adoptee {
                server,
                finding,
                planned,
                door,
                objects,
                changes,
                read: files::sha256(&bytes),
                before: "",
            }),
            Err(why) => left.push(outcome(finding, &why.to_string())),
        }
    }
    left.extend(made.open.iter().map(|open| Outcome {
        place: open.at.map_or_else(|| open.file.clone(), |at| format!("{}:{at}", open.file)),
        what: open.what.clone(),
    }));
    Ok(adoptees)
}

/// The policy of all, the server, and its binding.
fn belongs(object: &str, name: &str, options: &PlanOptions) -> bool {
    let PlanOptions { environment, agent, .. } = options;
    object == format!("Policy/{environment}/adopted-{agent}")
        || object == format!("Server/{environment}/{name}")
        || object == format!("Binding/{environment}/{name}-{agent}")
}

fn door(options: &PlanOptions, name: &str) -> Url {
    let mut door = options.gateway.clone();
    if let Ok(mut segments) = door.path_segments_mut() {
        segments.pop_if_empty().extend(["mcp", options.environment.as_str(), name]);
    }
    door
}

fn outcome(finding: &Finding, what: &str) -> Outcome {
    Outcome { place: format!("{}:{}", finding.file, finding.start), what: what.to_owned() }
}

/// Calls the server with the key as the client does. A key that opens nothing is not worth a binding.
fn tried<'a>(knocker: &Knocker, mut adoptee: Adoptee<'a>) -> Result<Adoptee<'a>, Outcome> {
    let refused = |what: &str| outcome(adoptee.finding, what);
    let Way::Http { url: Some(url), .. } = &adoptee.server.way else {
        adoptee.before = "not tried: a program of this machine";
        return Ok(adoptee);
    };
    // A key in an address would stand in one more place if it were tried there.
    let Slot::Header { name, before } = &adoptee.finding.place.slot else {
        adoptee.before = "not tried: the key is in the address";
        return Ok(adoptee);
    };
    let header = HeaderName::try_from(name.as_str()).map_err(|_| refused("its header has no usable name"))?;
    let value =
        credential(before, &adoptee.finding.secret).ok_or_else(|| refused("no header can hold the value"))?;
    match knocker.knock(url, &header, &value) {
        Answer::Open => adoptee.before = "works",
        Answer::Closed(status @ (401 | 403)) => {
            return Err(refused(&format!(
                "the server refuses the key (status {status}): take the entry out"
            )));
        }
        Answer::Closed(_) | Answer::Silent(_) => adoptee.before = "not tried: no usable answer",
    }
    Ok(adoptee)
}

/// Values into the store, then the manifests, server by server: what is refused for one is left to a person,
/// and the others go on. Second, how many objects wait for approval.
fn declared<'a>(
    session: &mut Session,
    client: &Client,
    made: &Plan,
    adoptees: Vec<Adoptee<'a>>,
    left: &mut Vec<Outcome>,
) -> Result<(Vec<Adoptee<'a>>, usize), Failure> {
    let mut answers: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut waiting = BTreeSet::new();
    let mut ready = Vec::new();
    for adoptee in adoptees {
        let name = &adoptee.planned.name;
        if !answers.contains_key(name) {
            let refusal = match declare(session, client, made, &adoptee) {
                Ok(objects) => {
                    waiting.extend(objects);
                    None
                }
                Err(failure) if failure.exit == Exit::NoAnswer => return Err(failure),
                Err(failure) => Some(refusal(&failure)),
            };
            answers.insert(name.clone(), refusal);
        }
        match answers.get(name) {
            Some(Some(why)) => left.push(outcome(adoptee.finding, why)),
            _ => ready.push(adoptee),
        }
    }
    Ok((ready, waiting.len()))
}

fn refusal(failure: &Failure) -> String {
    let details = failure.details.iter().map(|detail| detail.message.as_str());
    let parts: Vec<&str> = std::iter::once(failure.message.as_str()).chain(details).collect();
    format!("the gateway refuses it: {}; the file stays as it is", parts.join("; "))
}

/// One server's value and manifests; the objects of them that wait for approval.
fn declare(
    session: &mut Session,
    client: &Client,
    made: &Plan,
    adoptee: &Adoptee<'_>,
) -> Result<Vec<String>, Failure> {
    let drafts = made.drafts.iter().filter(|draft| adoptee.objects.contains(&draft.object));
    let manifests: Vec<&str> = drafts.map(|draft| draft.manifest.as_str()).collect();
    let source = Source { name: "the plan".to_owned(), text: manifests.join("---\n") };
    let manifests = parse(&[source]).map_err(|problems| crate::cli::manifests::wrong(&problems))?;
    let specs: Result<Vec<Value>, _> =
        manifests.iter().map(|manifest| serde_json::to_value(&manifest.spec)).collect();
    let specs = specs.map_err(|error| Failure::usage("a manifest cannot be sent").because(&error))?;
    session.printer.progress(&format!("storing {} …", adoptee.planned.reference));
    let taken = made.moves.iter().find(|one| one.reference == adoptee.planned.reference);
    let taken = taken.ok_or_else(|| Failure::usage("the plan names no place for a value"))?;
    put(client, &adoptee.finding.secret, taken)?;
    session.printer.progress(&format!("declaring `{}` …", adoptee.planned.name));
    let answer = client.post(&["apply"], &json!({"specs": specs}))?;
    let objects = list(&answer, "/objects").iter();
    let waiting = objects.filter(|one| !list(one, "/missing").is_empty());
    Ok(waiting.map(|one| one.to_string()).collect())
}

#[expect(clippy::disallowed_methods, reason = "the found value goes into the request that stores it")]
fn put(client: &Client, secret: &Secret, taken: &Move) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        store: &'a str,
        path: &'a str,
        field: &'a str,
        value: &'a str,
    }
    let unusable = || Failure::usage("a found value is no text in UTF-8");
    let value = std::str::from_utf8(secret.expose()).map_err(|_| unusable())?;
    let Move { path, field, reference, .. } = taken;
    let store = reference.split("://").next().unwrap_or_default();
    // Sized at once, so that growing leaves no copies behind; six bytes are JSON's longest escape.
    let mut bytes = Vec::with_capacity(secret.len().saturating_mul(6).saturating_add(4096));
    serde_json::to_writer(&mut bytes, &Document { store, path, field, value }).map_err(|_| unusable())?;
    client.post_bytes(&["secrets"], bytes).map(drop)
}

/// A call through the gateway to each server, as the agent. Where it fails, the entry stays as it is.
fn through_the_gateway<'a>(
    session: &mut Session,
    client: &Client,
    knocker: &Knocker,
    adoptees: Vec<Adoptee<'a>>,
    options: &PlanOptions,
    left: &mut Vec<Outcome>,
) -> Result<Vec<Adoptee<'a>>, Failure> {
    let wish = json!({"entries": [{"environment": options.environment}], "lifetime_seconds": 300});
    let mut issued = client.post(&["agents", options.agent.as_str(), "tokens"], &wish)?;
    let token: Secret = take_token(&mut issued)?;
    let bearer = credential("Bearer ", &token)
        .ok_or_else(|| Failure::new(Exit::Refused, "the agent's token cannot stand in a header"))?;
    let mut proven = Vec::new();
    for adoptee in adoptees {
        session.printer.progress(&format!("calling {} …", adoptee.door));
        match knocker.knock(&adoptee.door, &header::AUTHORIZATION, &bearer) {
            Answer::Open => proven.push(adoptee),
            Answer::Closed(status) => left.push(outcome(
                adoptee.finding,
                &format!(
                    "the call through the gateway was refused (status {status}): the file stays as it is"
                ),
            )),
            Answer::Silent(why) => left.push(outcome(
                adoptee.finding,
                &format!("no call through the gateway ({why}): the file stays as it is"),
            )),
        }
    }
    // The token was for these calls alone.
    drop(client.delete(&["agents", options.agent.as_str(), "tokens", &text(&issued, "/id")]));
    Ok(proven)
}

/// Changes the files, each whole or not at all, and keeps the way back first. A file that cannot be changed is
/// left with its reason, and the others go on.
fn rewrite<'a>(
    session: &mut Session,
    report: &Report,
    proven: Vec<Adoptee<'a>>,
    kept: Option<&Path>,
    left: &mut Vec<Outcome>,
) -> Result<(Journal, Vec<Adoptee<'a>>), Failure> {
    let mut id = [0_u8; 4];
    random(&mut id)?;
    let mut journal = Journal::new(hex::encode(id));
    let mut files: BTreeMap<PathBuf, Vec<Adoptee<'a>>> = BTreeMap::new();
    for adoptee in proven {
        files.entry(report.path_of(&adoptee.server.file)).or_default().push(adoptee);
    }
    let (mut texts, mut ready) = (Vec::new(), Vec::new());
    for (path, adoptees) in files {
        match prepared(&path, &adoptees) {
            Ok((text, changed)) => {
                journal.take(&adoptees, changed);
                texts.push(text);
                ready.push(adoptees);
            }
            Err(why) => left.extend(adoptees.iter().map(|one| outcome(one.finding, &why))),
        }
    }
    if ready.is_empty() {
        return Ok((journal, Vec::new()));
    }
    journal.keep(kept)?;
    session.printer.progress(&format!("changing files; should this be ended: adopt undo {}", journal.id));
    let mut adopted = Vec::new();
    for (at, (text, adoptees)) in texts.iter().zip(ready).enumerate() {
        let Some(changed) = journal.files.get_mut(at) else { continue };
        let read = adoptees.first().map_or("", |one| one.read.as_str());
        let why = match files::exchange(&changed.path, read, text, &journal.id) {
            Ok(true) => {
                changed.done = true;
                adopted.extend(adoptees);
                journal.keep(kept)?;
                continue;
            }
            Ok(false) => "the file changed while it was adopted: run this again".to_owned(),
            Err(error) => format!("the file cannot be changed: {}", error.kind()),
        };
        left.extend(adoptees.iter().map(|one| outcome(one.finding, &why)));
    }
    Ok((journal, adopted))
}

impl Journal {
    fn take(&mut self, adoptees: &[Adoptee<'_>], changed: Changed) {
        self.files.push(changed);
        for adoptee in adoptees {
            self.references.push(adoptee.planned.reference.clone());
            self.objects.extend(adoptee.objects.iter().cloned());
        }
        self.references.sort();
        self.references.dedup();
        self.objects.sort();
        self.objects.dedup();
    }
}

/// What a file becomes, and the way back; or why it stays.
fn prepared(path: &Path, adoptees: &[Adoptee<'_>]) -> Result<(Zeroizing<Vec<u8>>, Changed), String> {
    let failed = |error: std::io::Error| format!("the file cannot be changed: {}", error.kind());
    if let Some(why) = files::untouchable(path).map_err(failed)? {
        return Err(format!("the file stays as it is: {why}"));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(failed)?);
    let same = adoptees.iter().all(|one| one.read == files::sha256(&bytes));
    let changes: Vec<Change> = adoptees.iter().flat_map(|one| one.changes.iter().cloned()).collect();
    let (made, back) = rewritten(&bytes, &changes)
        .filter(|_| same)
        .ok_or("the file changed while it was adopted: run this again")?;
    let changed = Changed { path: path.to_owned(), sha256: files::sha256(&made), done: false, back };
    Ok((made, changed))
}

fn show(session: &mut Session, journal: Option<&Journal>, proven: &[Adoptee<'_>], left: &[Outcome]) {
    let id = journal.map(|journal| journal.id.clone());
    let adopted: Vec<Value> = proven
        .iter()
        .map(|one| {
            json!({
                "file": one.server.file, "server": one.server.name, "name": one.planned.name,
                "reference": one.planned.reference, "url": one.door.as_str(), "objects": one.objects,
                "before": one.before, "after": "works through the gateway",
            })
        })
        .collect();
    let others: Vec<Value> = left.iter().map(|one| json!({"place": one.place, "what": one.what})).collect();
    let answer = json!({"id": id, "adopted": adopted, "left": others});
    session.printer.show(&answer, |_| {
        let mut table = Table::new(&["server", "reference", "key before", "through the gateway"]);
        for one in proven {
            let server = format!("{} ({})", one.server.name, one.server.file);
            table.row([server, one.planned.reference.clone(), one.before.to_owned(), "works".to_owned()]);
        }
        let mut others = Table::new(&["place", "what"]);
        for one in left {
            others.row([one.place.clone(), one.what.clone()]);
        }
        let view = View::default().table("Adopted", table).table("Left for you", others);
        match (&id, proven.is_empty()) {
            (Some(id), false) => with_token_file(view, proven).text(format!(
                "Clients need {} in their environment now. A key that lay open counts as seen: replace it at its issuer.\n\
                 Undo with: mcp-gateway adopt undo {id}",
                gateway_adopt::VARIABLE
            )),
            _ => view.text("No file was changed."),
        }
    });
}

/// Some clients expand no variable: their entries read the token from a file.
fn with_token_file(view: View, proven: &[Adoptee<'_>]) -> View {
    let reads =
        |one: &Adoptee<'_>| one.server.client.variable().is_none() && one.server.client != Editor::Codex;
    let clients: BTreeSet<&str> =
        proven.iter().filter(|one| reads(one)).map(|one| one.server.client.word()).collect();
    if clients.is_empty() {
        return view;
    }
    let clients: Vec<&str> = clients.into_iter().collect();
    view.text(format!(
        "{} reads the agent's token from a file: mcp-gateway agent token issue AGENT --environment ENVIRONMENT --write \
         ~/.config/mcp-gateway/agent.token",
        clients.join(", ")
    ))
}
