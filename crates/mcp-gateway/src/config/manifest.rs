//! Manifests: several YAML documents a file, each one object.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_adapters::store::StoreConfig;
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::manifest::{AgentSpec, BindingSpec, Kind, ObjectKey, ServerSpec, Spec};

use super::issue::{Findings, Issue, IssueCode, Place, Problems, unless_wrong};
use super::nearest::nearest;
use super::yaml::{Node, Value, documents, read};
use super::{MAX_FILE, literal};

/// A text and the name of its file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name, as it appears in issues.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// Reads one file of at most 8 MiB.
    ///
    /// # Errors
    /// One issue that says why it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let mut text = String::new();
        let outcome = fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
        let problem = match outcome {
            Ok(read) if u64::try_from(read).is_ok_and(|read| read <= MAX_FILE) => {
                return Ok(Self { name, text });
            }
            Ok(_) => "the file is larger than 8 MiB".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        let mut findings = Findings::new(&name);
        findings.add(Place::default(), IssueCode::File, problem);
        unless_wrong(None, findings.into_issues())
    }

    /// Reads every file; of a directory, every `.yaml` and `.yml` in it, by name.
    ///
    /// # Errors
    /// One issue for each that cannot be read, and for a directory without any.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, Problems> {
        let mut sources = Vec::new();
        let mut issues = Vec::new();
        for path in paths {
            let files = if path.is_dir() { yaml_files(path, &mut issues) } else { vec![path.clone()] };
            for file in files {
                match Self::read(&file) {
                    Ok(source) => sources.push(source),
                    Err(problems) => issues.extend_from_slice(problems.issues()),
                }
            }
        }
        unless_wrong(Some(sources), issues)
    }
}

fn yaml_files(directory: &Path, issues: &mut Vec<Issue>) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut files: Vec<_> = entries.filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        let mut findings = Findings::new(&directory.display().to_string());
        findings.add(Place::default(), IssueCode::File, "no `.yaml` or `.yml` file is in this directory");
        issues.extend(findings.into_issues());
    }
    files
}

/// One object as written, with the places of its fields.
pub struct Manifest {
    /// What it says.
    pub spec: Spec,
    /// How the object stood when its author read it, as an export says.
    pub etag: Option<String>,
    file: Arc<str>,
    node: Node,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} at {}:{})", self.spec.key(), self.file, self.node.place.line)
    }
}

impl Manifest {
    /// An issue about one of its fields, such as `route.url`; about the whole where there is none.
    pub fn issue(&self, field: &str, code: IssueCode, message: impl Into<String>) -> Issue {
        let place = self.node.place_of(field);
        Issue { file: self.file.clone(), place, code, message: message.into(), hint: None }
    }
}

/// Reads every manifest of every source, in order.
///
/// # Errors
/// Every problem in every document, each with its place.
pub fn parse(sources: &[Source]) -> Result<Vec<Manifest>, Problems> {
    let mut manifests = Vec::new();
    let mut issues = Vec::new();
    for source in sources {
        let mut findings = Findings::new(&source.name);
        let file: Arc<str> = Arc::from(source.name.as_str());
        for node in documents(&source.text, &mut findings) {
            let spec = read_spec(&node, &mut findings);
            literal::find(&node, &mut findings);
            if let Some(spec) = spec {
                judge(&spec, &node, &mut findings);
                let etag = read_etag(&node, &mut findings);
                manifests.push(Manifest { spec, etag, file: file.clone(), node });
            }
        }
        issues.extend(findings.into_issues());
    }
    issues.extend(duplicates(&manifests));
    unless_wrong(Some(manifests), issues)
}

/// What the manifests say that the configuration contradicts: stores that are not configured or not
/// for the environment, and environments that this process does not serve.
pub fn against_config(
    manifests: &[Manifest],
    stores: &BTreeMap<StoreName, StoreConfig>,
    served: Option<&[EnvironmentName]>,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    for manifest in manifests {
        let key = manifest.spec.key();
        if let (Some(served), Some(environment)) = (served, &key.environment)
            && !served.contains(environment)
        {
            let message = "this gateway does not serve the environment";
            issues.push(manifest.issue("environment", IssueCode::EnvironmentMismatch, message));
        }
        let Spec::Binding(BindingSpec { secret: Some(secret), environment, .. }) = &manifest.spec else {
            continue;
        };
        match stores.get(secret.store()) {
            None => {
                let known: Vec<_> = stores.keys().map(StoreName::as_str).collect();
                let message = "the reference names a store that is not configured";
                let mut issue = manifest.issue("secret", IssueCode::UnknownStore, message);
                issue.hint = Some(nearest(secret.store().as_str(), &known));
                issues.push(issue);
            }
            Some(store) if !store.environments().contains(environment) => {
                let message = "the store does not serve the binding's environment";
                issues.push(manifest.issue("secret", IssueCode::EnvironmentMismatch, message));
            }
            Some(_) => {}
        }
    }
    issues
}

fn read_etag(node: &Node, findings: &mut Findings) -> Option<String> {
    let etag = node.get("etag")?;
    let text = etag.text().map(str::to_owned);
    if text.is_none() {
        findings.add(
            etag.place,
            IssueCode::WrongType,
            "`etag` is the text that `export --etags` writes, or `none`",
        );
    }
    text
}

/// What stands in a manifest beside the object's own fields.
const BESIDE: [&str; 2] = ["kind", "etag"];

fn read_spec(node: &Node, findings: &mut Findings) -> Option<Spec> {
    let words = Kind::ALL.map(Kind::word);
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("a manifest is a mapping, not {}", node.value.type_word());
        findings.add(node.place, IssueCode::WrongType, message);
        return None;
    }
    let Some(kind) = node.get("kind") else {
        findings.add(node.place, IssueCode::MissingField, "`kind` is missing").hint(nearest("", &words));
        return None;
    };
    let word = kind.text().unwrap_or_default();
    match Kind::from_word(word).filter(|kind| kind.word() == word) {
        Some(Kind::Environment) => read(node, &BESIDE, findings).map(Spec::Environment),
        Some(Kind::Server) => read(node, &BESIDE, findings).map(Spec::Server),
        Some(Kind::Provider) => read(node, &BESIDE, findings).map(Spec::Provider),
        Some(Kind::Workload) => read(node, &BESIDE, findings).map(Spec::Workload),
        Some(Kind::Agent) => read(node, &BESIDE, findings).map(Spec::Agent),
        Some(Kind::Policy) => read(node, &BESIDE, findings).map(Spec::Policy),
        Some(Kind::Binding) => read(node, &BESIDE, findings).map(Spec::Binding),
        None => {
            let hint = nearest(word, &words);
            findings.add(kind.place, IssueCode::UnknownKind, "no such kind of object").hint(hint);
            None
        }
    }
}

/// What a manifest can contradict by itself.
fn judge(spec: &Spec, node: &Node, findings: &mut Findings) {
    match spec {
        Spec::Server(server) => judge_server(server, node, findings),
        Spec::Agent(agent) => judge_agent(agent, node, findings),
        Spec::Binding(binding) => judge_binding(binding, node, findings),
        Spec::Environment(_) | Spec::Policy(_) | Spec::Provider(_) | Spec::Workload(_) => {}
    }
}

fn judge_server(server: &ServerSpec, node: &Node, findings: &mut Findings) {
    if let Err(error) = server.route.check() {
        findings.add(node.place_of("route"), IssueCode::InvalidValue, error.to_string());
    }
}

fn judge_agent(agent: &AgentSpec, node: &Node, findings: &mut Findings) {
    if agent.environments.is_empty() {
        let place = node.place_of("environments");
        findings.add(place, IssueCode::ManifestInconsistent, "the agent may enter no environment");
    }
    if agent.proofs.is_empty() {
        findings
            .add(
                node.place_of("proofs"),
                IssueCode::ManifestInconsistent,
                "nothing proves that a caller is this agent",
            )
            .hint("such as `proofs: [agent_token]`");
    }
}

fn judge_binding(binding: &BindingSpec, node: &Node, findings: &mut Findings) {
    match (binding.names_material(), &binding.inject) {
        (true, None) => {
            findings
                .add(
                    node.place_of("secret"),
                    IssueCode::ManifestInconsistent,
                    "nothing says where the secret goes",
                )
                .hint("such as `inject: { header: Authorization, format: \"Bearer {secret}\" }`");
        }
        (false, Some(_)) => {
            let message = "there is an injection point, and no secret for it";
            findings.add(node.place_of("inject"), IssueCode::ManifestInconsistent, message);
        }
        _ => {}
    }
    if binding.actor.is_empty() {
        findings
            .add(node.place_of("actor"), IssueCode::ManifestInconsistent, "selects nobody")
            .hint("name `agents`, `groups`, `users` or `workloads`");
    }
    if binding.review_by.as_deref().is_some_and(|date| !is_date(date)) {
        let message = "`review_by` is a day such as `2027-03-01`";
        findings.add(node.place_of("review_by"), IssueCode::InvalidValue, message);
    }
}

fn is_date(text: &str) -> bool {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, format).is_ok()
}

fn duplicates(manifests: &[Manifest]) -> Vec<Issue> {
    let mut first: HashMap<ObjectKey, &Manifest> = HashMap::new();
    let mut issues = Vec::new();
    for manifest in manifests {
        let key = manifest.spec.key();
        if let Some(earlier) = first.get(&key) {
            let message = format!("a {} of this name was described before", key.kind.word());
            let mut issue = manifest.issue("name", IssueCode::ManifestDuplicate, message);
            let place = earlier.node.place_of("name");
            issue.hint = Some(format!("the other is at {}:{}:{}", earlier.file, place.line, place.column));
            issues.push(issue);
        } else {
            first.insert(key, manifest);
        }
    }
    issues
}
