mod corpus;
mod keys;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use self::keys::{Noise, key};
use crate::cli::print::Output;
use crate::cli::tests::play;

/// A corpus on the disk.
struct Corpus {
    root: TempDir,
    planted: Vec<Planted>,
    /// Words of eight and more characters that are no part of a planted key.
    clean: usize,
}

/// A key, and where it was put.
struct Planted {
    file: &'static str,
    line: usize,
    column: usize,
    value: String,
    written: String,
}

impl Corpus {
    fn plant(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let mut corpus = Self { root: tempfile::tempdir().unwrap(), planted: Vec::new(), clean: 0 };
        for (file, template) in corpus::samples() {
            let text = corpus.filled(file, template, &mut noise);
            let path = corpus.root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        corpus
    }

    fn filled(&mut self, file: &'static str, template: &str, noise: &mut Noise) -> String {
        let mut text = String::new();
        for (at, piece) in template.split("@{").enumerate() {
            let Some((kind, rest)) = piece.split_once('}').filter(|_| at > 0) else {
                text.push_str(piece);
                continue;
            };
            let value = key(kind.strip_prefix("json:").unwrap_or(kind), noise);
            let written = match kind.starts_with("json:") {
                true => serde_json::to_string(&value).unwrap().trim_matches('"').to_owned(),
                false => value.clone(),
            };
            let line = text.matches('\n').count() + 1;
            let column = text.rsplit('\n').next().unwrap().chars().count() + 1;
            text.push_str(&written);
            self.planted.push(Planted { file, line, column, value, written });
            text.push_str(rest);
        }
        let is_planted = |word: &&str| self.planted.iter().any(|one| one.written.contains(*word));
        let separators =
            |character: char| character.is_whitespace() || "\"'`=,;:()[]{}<>".contains(character);
        let words = text.split(separators).filter(|word| word.len() >= 8);
        self.clean += words.filter(|word| !is_planted(word)).count();
        text
    }

    fn path(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// Whatever is shown, no planted key is in it, nor the first half of one.
    fn assert_silent(&self, shown: &str, of: &str) {
        for one in &self.planted {
            let half = one.value.get(..one.value.len() / 2).filter(|half| half.len() >= 14);
            let leaks = [Some(one.value.as_str()), Some(one.written.as_str()), half]
                .into_iter()
                .flatten()
                .any(|text| shown.contains(text));
            assert!(!leaks, "{of} shows the key of {}:{}", one.file, one.line);
        }
    }

    fn report(&self) -> Value {
        let (exit, out, error) = play(&["adopt", self.path()], Output::Json);
        assert_eq!(exit, 0, "{error}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn every_planted_key_is_found_and_hardly_anything_else() {
    let (mut flagged, mut clean) = (BTreeSet::new(), 0);
    for seed in 0..20 {
        let corpus = Corpus::plant(seed);
        let report = corpus.report();
        let findings = report["findings"].as_array().unwrap();
        let spot = |one: &Value| {
            let number = |name: &str| usize::try_from(one[name].as_u64().unwrap()).unwrap();
            (one["file"].as_str().unwrap().to_owned(), number("line"), number("column"))
        };
        let found: BTreeSet<_> = findings.iter().map(spot).collect();
        let planted: BTreeSet<_> =
            corpus.planted.iter().map(|one| (one.file.to_owned(), one.line, one.column)).collect();
        let missed: Vec<_> = planted.difference(&found).collect();
        assert!(missed.is_empty(), "seed {seed}: {missed:?} of {}", planted.len());
        flagged.extend(found.difference(&planted).cloned().map(|spot| (seed, spot)));
        clean += corpus.clean;
    }
    let share = flagged.len() * 10_000 / clean;
    println!("flagged {} of {clean} clean values: {flagged:?}", flagged.len());
    assert!(share <= 200, "{share} of 10,000 clean values flagged: {flagged:?}");
    assert!(corpus::samples().count() >= 40);
}

#[test]
fn no_output_of_any_kind_shows_a_planted_key() {
    let corpus = Corpus::plant(7);
    let path = corpus.path();
    let baseline = corpus.root.path().join("baseline.json");
    let (baseline, plan) =
        (baseline.to_str().unwrap(), ["--plan", "--owner", "support", "--agent", "triage-bot"]);
    let runs: [&[&str]; 6] = [
        &["adopt", path],
        &["adopt", path, "--check"],
        &["adopt", path, "--check", "--format", "sarif"],
        &["adopt", path, "--baseline", baseline, "--write-baseline"],
        &["adopt", path, "--check", "--baseline", baseline],
        &[&["adopt", path], &plan[..]].concat(),
    ];
    for run in runs {
        for output in [Output::Table, Output::Json, Output::Markdown] {
            let (_, out, error) = play(run, output);
            corpus.assert_silent(&out, &format!("{run:?} to standard output"));
            corpus.assert_silent(&error, &format!("{run:?} to standard error"));
        }
    }
    corpus.assert_silent(&fs::read_to_string(baseline).unwrap(), "the baseline");
}

#[test]
fn a_check_fails_for_new_keys_and_not_for_known_ones() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_str().unwrap();
    let mut noise = Noise::new(1);
    let put =
        |name: &str, value: &str| fs::write(root.path().join(name), format!("API_KEY={value}\n")).unwrap();
    let baseline = root.path().join("adopt-baseline.json");
    let baseline = baseline.to_str().unwrap();
    assert_eq!(play(&["adopt", path, "--check"], Output::Table).0, 0);
    put("one.env", &key("base62", &mut noise));
    assert_eq!(play(&["adopt", path, "--check"], Output::Table).0, 1);
    let (exit, _, error) = play(&["adopt", path, "--baseline", baseline, "--write-baseline"], Output::Table);
    assert!(exit == 0 && error.contains("1 known finding."), "{error}");
    let check = ["adopt", path, "--check", "--baseline", baseline];
    assert_eq!(play(&check, Output::Table).0, 0);
    put("two.env", &key("base62", &mut noise));
    let (exit, out, _) = play(&check, Output::Table);
    assert!(exit == 1 && out.contains("two.env:1:9") && !out.contains("one.env:1:9"), "{out}");
    put("one.env", &key("base62", &mut noise));
    fs::remove_file(root.path().join("two.env")).unwrap();
    let (exit, out, _) = play(&check, Output::Table);
    assert!(
        exit == 1 && out.contains("1 of the baseline are gone"),
        "a new value at a known place is new: {out}"
    );
    fs::write(baseline, "{}").unwrap();
    assert_eq!(play(&check, Output::Table).0, 2);
}

#[test]
fn a_report_reads_well() {
    let root = tempfile::tempdir().unwrap();
    let mut noise = Noise::new(3);
    let value = key("base62", &mut noise);
    fs::write(root.path().join(".mcp.json"), format!(
        "{{\"mcpServers\": {{\"issues\": {{\"url\": \"https://issues.example.com/mcp\",\n  \"headers\": {{\"Authorization\": \"Bearer {value}\"}}}}}}}}\n"
    )).unwrap();
    fs::write(root.path().join(".env"), format!("ISSUES_TOKEN={value}\n")).unwrap();
    fs::write(root.path().join("bad.json"), "{\n").unwrap();
    let shown = |arguments: &[&str]| {
        let all = [&["adopt", root.path().to_str().unwrap()], arguments].concat();
        let (exit, out, error) = play(&all, Output::Table);
        assert_eq!(exit, 0, "{error}");
        without_fingerprints(&out)
    };
    insta::assert_snapshot!("report", shown(&[]));
    insta::assert_snapshot!("plan", shown(&["--plan", "--owner", "support", "--agent", "triage-bot"]));
}

/// Fingerprints are new in each run.
fn without_fingerprints(text: &str) -> String {
    let is_one = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive([' ', '\n']);
    let shown = |word: &str| match is_one(word.trim_end()) {
        true => word.replace(|character: char| character.is_ascii_hexdigit(), "x"),
        false => word.to_owned(),
    };
    words.map(shown).collect()
}

#[test]
fn the_manifests_of_a_plan_are_ones_that_apply_takes() {
    let corpus = Corpus::plant(11);
    let file = corpus.root.path().join("adopted.yaml");
    let plan =
        ["adopt", corpus.path(), "--plan", "--owner", "support", "--agent", "triage-bot", "--manifests"];
    let (exit, _, error) = play(&[&plan[..], &[file.to_str().unwrap()]].concat(), Output::Json);
    assert_eq!(exit, 0, "{error}");
    let source = crate::config::manifest::Source::read(Path::new(&file)).unwrap();
    let manifests = crate::config::manifest::parse(&[source]);
    let manifests = manifests.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(manifests.len() > 20, "{}", manifests.len());
    let again = play(&[&plan[..], &[file.to_str().unwrap()]].concat(), Output::Json);
    assert_eq!(again.0, 2, "a file that is there stays");
}

#[test]
fn a_plan_says_what_it_needs() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_str().unwrap();
    for (arguments, what) in [(&["--plan"][..], "--owner"), (&["--plan", "--owner", "support"], "--agent")] {
        let (exit, _, error) = play(&[&["adopt", path], arguments].concat(), Output::Table);
        assert!(exit == 2 && error.contains(what), "{error}");
    }
    let gateway = ["--plan", "--owner", "a", "--agent", "b", "--gateway", "https://u:p@h"];
    assert_eq!(play(&[&["adopt", path], &gateway[..]].concat(), Output::Table).0, 2);
    let (exit, _, error) = play(&["adopt", "/nowhere/at/all"], Output::Table);
    assert!(exit == 2 && error.contains("cannot be read"), "{error}");
}

#[test]
fn a_client_configuration_follows_what_the_gateway_offers() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("gateway.yaml");
    let text = "listen: 127.0.0.1:8080\npublic_url: https://mcp.example.com\ncontrol: { listen: 127.0.0.1:8081 }\n\
                state: sqlite://state.db\naudit: { directory: audit }\n";
    let login = "login:\n  issuer: https://idp.example.com\n  client_id: mcp-gateway\n  key_file: ./login.key\n  clients: { registration: true }\n";
    let show = |arguments: &[&str]| {
        play(&[&["client-config", "--for", "cursor", "dev/github"], arguments].concat(), Output::Table)
    };
    let config = ["--config", file.to_str().unwrap()];
    fs::write(&file, text).unwrap();
    let (exit, out, error) = show(&config);
    assert!(
        exit == 0 && out.contains("${env:MCP_GATEWAY_TOKEN}") && error.contains(".cursor/mcp.json"),
        "{error}"
    );
    assert_eq!(show(&[&config[..], &["--login", "browser"]].concat()).0, 2, "it offers no login");
    fs::write(&file, format!("{text}{login}")).unwrap();
    let (exit, out, error) = show(&config);
    assert!(
        exit == 0 && !out.contains("headers") && out.contains("https://mcp.example.com/mcp/dev/github"),
        "{error}"
    );
    assert!(show(&[&config[..], &["--login", "token"]].concat()).1.contains("headers"));
    let (exit, out, _) = show(&["--gateway", "https://h", "--login", "token", "--name", "tracker"]);
    assert!(exit == 0 && out.contains("\"tracker\""), "{out}");
    assert_eq!(show(&[]).0, 2);
}
