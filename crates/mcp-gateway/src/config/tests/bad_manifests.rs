//! Bad manifests and everything that is said about them.

use std::fmt::Write as _;
use std::path::Path;

use gateway_core::id::EnvironmentName;

use crate::config::manifest::{Source, against_config, parse};

const SERVER: &str = "kind: Server
name: github
environment: dev
owner: platform
route: { url: https://github.internal/mcp }
tools: { default_risk: write }
";

const BINDING: &str = "kind: Binding
name: triage
environment: dev
server: github
actor: { agents: [triage-bot] }
mode: service_account
secret: local://github#token
inject: { header: Authorization }
policy: triage
risk: write
owner: support
";

fn cases() -> Vec<(&'static str, String)> {
    let server = |from: &str, to: &str| SERVER.replace(from, to);
    let binding = |from: &str, to: &str| BINDING.replace(from, to);
    vec![
        ("no kind", "name: github\n".to_owned()),
        ("an unknown kind", "kind: binding\n---\nkind: Tenant\n---\nkind: 7\n---\n- kind: Server\n".to_owned()),
        ("a literal secret", binding("local://github#token", "hunter2-hunter2")),
        ("a malformed reference", binding("local://github#token", "local://../hunter2#token")),
        ("a field for the secret", format!("{BINDING}token: hunter2-hunter2\n")),
        ("a known token in a purpose", binding("owner: support", "owner: ghp_hunter2hunter2hunter2")),
        ("names that are none", server("github\n", "GitHub_hunter2\n").replace("platform", "a team")),
        (
            "many problems in one manifest",
            "kind: Binding\nname: triage\nenviroment: dev\nserver: github\ntools: list_issues\nmode: service-account\n\
             secret: local://github\ninject: { heder: X }\npolicy: 7\nrisk: high\nowner: support\n"
                .to_owned(),
        ),
        (
            "every document is looked at",
            format!("{}---\n{SERVER}---\n{}", server("default_risk: write", "list: read"), binding("risk: write", "risk: low")),
        ),
        ("injection into a framing header", binding("Authorization", "Content-Length")),
        ("two injection points", binding("header: Authorization", "header: X-Key, query: key")),
        ("a secret that goes nowhere", binding("inject: { header: Authorization }\n", "")),
        ("an injection of nothing", binding("secret: local://github#token\n", "")),
        ("nobody", binding("{ agents: [triage-bot] }", "{}")),
        ("a date that is none", format!("{BINDING}review_by: 2027-02-30\n")),
        ("a route of another kind", server("https://github.internal/mcp", "ftp://github.internal")),
        ("a route with a user", server("https://github.internal/mcp", "https://me@github.internal/mcp")),
        (
            "a receipt of no kind, and one for a process",
            format!(
                "{}---\n{}",
                server("/mcp }", "/mcp, receipt: meta }"),
                SERVER.replace("name: github", "name: local").replace(
                    "url: https://github.internal/mcp",
                    "command: [/bin/cat], receipt: header"
                )
            ),
        ),
        ("an agent that nothing proves", "kind: Agent\nname: a\nenvironments: []\nowner: t\nrisk_ceiling: read\nproofs: []\n".to_owned()),
        (
            "proofs of many mistakes",
            "kind: Agent\nname: a\nenvironments: [dev]\nowner: t\nrisk_ceiling: read\nproofs: [agent_tokn]\n---\n\
             kind: Agent\nname: b\nenvironments: [dev]\nowner: t\nrisk_ceiling: read\nproofs: [{ act_subject: { issuer: i, sub: s } }]\n"
                .to_owned(),
        ),
        ("the same object twice", format!("{SERVER}---\n{}---\n{SERVER}", server("environment: dev", "environment: staging"))),
        ("good ones before bad YAML", format!("{SERVER}---\n{}---\nname: [\n", server("owner: platform\n", ""))),
    ]
}

#[test]
fn every_bad_manifest_is_told_what_and_where() {
    let mut told = String::new();
    for (name, text) in cases() {
        let problems = parse(&[Source { name: "manifests.yaml".to_owned(), text }]).expect_err(name);
        let shown = problems.to_string();
        assert!(!shown.contains("hunter2"), "{name}: {shown}");
        writeln!(told, "## {name}\n{shown}\n").unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_list_is_no_mapping_although_its_items_would_fit_the_fields() {
    for (text, place) in [
        ("kind: Environment\nname: dev\nreviews: [30, 5]\n".to_owned(), "m:3:10 "),
        (BINDING.replace("{ agents: [triage-bot] }", "[[triage-bot]]"), "m:5:8 "),
        (BINDING.replace("{ header: Authorization }", "{ basic: [svc] }"), "m:8:18 "),
        (SERVER.replace("{ url: https://github.internal/mcp }", "[https://github.internal/mcp]"), "m:5:8 "),
    ] {
        let shown = parse(&[Source { name: "m".to_owned(), text }]).unwrap_err().to_string();
        assert!(shown.starts_with(place) && shown.contains("list"), "{shown}");
    }
}

#[test]
fn the_good_ones_are_good() {
    let text = format!("{SERVER}---\n{BINDING}");
    assert_eq!(parse(&[Source { name: "m".to_owned(), text }]).unwrap().len(), 2);
    for mode in ["off", "header", "pseudonymous"] {
        let text = SERVER.replace("/mcp }", &format!("/mcp, receipt: {mode} }}"));
        assert_eq!(parse(&[Source { name: "m".to_owned(), text }]).unwrap().len(), 1, "{mode}");
    }
}

#[test]
fn duplicates_are_found_across_files() {
    let source = |name: &str| Source { name: name.to_owned(), text: SERVER.to_owned() };
    let problems = parse(&[source("one.yaml"), source("two.yaml")]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "two.yaml:2:7 manifest.duplicate a Server of this name was described before\n  \
         hint: the other is at one.yaml:2:7"
    );
}

#[test]
fn references_must_name_a_configured_store_of_the_environment() {
    let config = "listen: 127.0.0.1:0
public_url: http://127.0.0.1
control: { listen: 127.0.0.1:0 }
state: sqlite://s
audit: { directory: a }
stores: { local: { kind: env, names: [A], environments: [dev] } }
";
    let config = crate::config::parse("g", config, Path::new("")).unwrap();
    let mut told = Vec::new();
    for text in [
        BINDING.to_owned(),
        BINDING.replace("local://", "locla://"),
        BINDING.replace("environment: dev", "environment: production"),
    ] {
        let manifests = parse(&[Source { name: "m".to_owned(), text }]).unwrap();
        let served = [EnvironmentName::parse("dev").unwrap()];
        let issues = against_config(&manifests, &config.stores, Some(&served));
        told.push(issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    assert_eq!(
        told,
        [
            "",
            "m:7:9 config.unknown_store the reference names a store that is not configured\n  \
             hint: did you mean `local`?",
            "m:3:14 config.environment_mismatch this gateway does not serve the environment\n\
             m:7:9 config.environment_mismatch the store does not serve the binding's environment",
        ]
    );
}
