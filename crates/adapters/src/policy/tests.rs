use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::actor::{Actor, Groups, UserIdentity};
use gateway_core::id::{AgentName, Epoch, GroupName, OperatorName, PolicyName, Revision, ToolName};
use gateway_core::manifest::{AgentSpec, Risk, Spec};
use gateway_core::policy::{Action, PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource, Question};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const EXAMPLE: &str = r#"permit (principal, action == Action::"call_tool", resource)
when { principal.agent.owner_team == "support" && context.risk != "destructive" };"#;
const ANYONE: &str = "permit (principal, action, resource);";

/// One environment with one server, one binding and the policies under test.
struct World {
    snapshot: Snapshot,
    agent: AgentSpec,
    sources: Vec<PolicySource>,
}

fn spec(json: serde_json::Value) -> Spec {
    serde_json::from_value(json).unwrap()
}

fn record(spec: Spec, revision: u32, status: Lifecycle) -> RevisionRecord {
    RevisionRecord {
        key: spec.key(),
        revision: Revision(revision),
        content: spec.content_hash(),
        spec,
        status,
        author: OperatorName::parse("iss|author").unwrap(),
        created_at: Timestamp::from_seconds(0),
        changed_at: Timestamp::from_seconds(0),
        approvals: Vec::new(),
        pins: None,
    }
}

impl World {
    /// `named` are the revisions of the policy that the binding names, the last one current; the first
    /// one is pinned. `others` are further current policies.
    fn new(named: &[&str], others: &[&str]) -> Self {
        Self::with_last(named, others, Lifecycle::Active)
    }

    fn with_last(named: &[&str], others: &[&str], last: Lifecycle) -> Self {
        let policy = |name: &str, cedar: &str| {
            spec(json!({"kind": "Policy", "name": name, "environment": "dev", "cedar": cedar}))
        };
        let mut policies = Vec::new();
        for (place, cedar) in named.iter().enumerate() {
            let revision = u32::try_from(place).unwrap() + 1;
            let status = if place + 1 == named.len() { last } else { Lifecycle::Superseded };
            policies.push(record(policy("named", cedar), revision, status));
        }
        for (place, cedar) in others.iter().enumerate() {
            policies.push(record(policy(&format!("other-{place}"), cedar), 1, Lifecycle::Active));
        }
        let sources = policies.iter().map(source).collect();
        let pins = Pins {
            server: Revision(1),
            policy: Revision(1),
            policy_hash: policies[0].content,
            providers: BTreeMap::new(),
        };
        let server = json!({"kind": "Server", "name": "github", "environment": "dev", "owner": "platform",
            "route": {"url": "https://github.internal/mcp"}, "tools": {"default_risk": "write"}});
        let binding = json!({"kind": "Binding", "name": "triage", "environment": "dev", "server": "github",
            "actor": {"any": true}, "mode": "service_account", "policy": "named", "risk": "destructive",
            "owner": "platform", "secret": "local://github#token",
            "inject": {"header": "authorization", "format": "Bearer {secret}"}});
        let mut revisions = vec![
            record(spec(json!({"kind": "Environment", "name": "dev"})), 1, Lifecycle::Active),
            record(spec(server), 1, Lifecycle::Active),
            RevisionRecord { pins: Some(pins), ..record(spec(binding), 1, Lifecycle::Active) },
        ];
        revisions.extend(policies);
        let mut state = State { epoch: Epoch(1), revisions, ..State::default() };
        state.put_in_order();
        let snapshot = Snapshot::build(&state, &CedarCompiler::new().unwrap(), &[]).unwrap();
        let agent = json!({"name": "triage-bot", "environments": ["dev"], "owner": "support",
            "risk_ceiling": "write", "proofs": ["agent_token"]});
        Self { snapshot, agent: serde_json::from_value(agent).unwrap(), sources }
    }

    fn ask<T>(
        &self,
        actor: &Actor,
        risk: Risk,
        action: Action,
        use_it: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        let environment = self.snapshot.environment("dev").unwrap();
        let server = environment.server("github").unwrap();
        let tool = ToolName::parse("add_comment").unwrap();
        let question = Question {
            actor,
            agent: actor.agent.as_ref().map(|_| &self.agent),
            action,
            environment,
            server,
            tool: (action == Action::CallTool).then_some(&tool),
            method: "tools/call",
            risk,
            binding: &server.bindings[0],
        };
        use_it(&question)
    }

    fn decide(&self, actor: &Actor, risk: Risk) -> gateway_core::policy::Verdict {
        self.ask(actor, risk, Action::CallTool, |question| question.environment.engine.decide(question))
    }

    fn allows(&self, actor: &Actor) -> bool {
        self.decide(actor, Risk::Write).allowed
    }
}

fn source(record: &RevisionRecord) -> PolicySource {
    let Spec::Policy(policy) = &record.spec else { panic!("a policy") };
    PolicySource {
        name: policy.name.clone(),
        revision: record.revision,
        cedar: policy.cedar.clone(),
        hash: record.content,
        current: record.status == Lifecycle::Active,
    }
}

fn agent() -> Actor {
    Actor { agent: Some(AgentName::parse("triage-bot").unwrap()), ..Actor::default() }
}

fn user(groups: Groups) -> Actor {
    let user = UserIdentity { issuer: "https://idp".into(), subject: "alice".into() };
    Actor { user: Some(user), groups, surface: Some("cli".into()), ..Actor::default() }
}

fn group(name: &str) -> Groups {
    Groups::Known([GroupName::parse(name).unwrap()].into())
}

fn issues(cedar: &str) -> Vec<PolicyIssue> {
    let source = PolicySource {
        name: PolicyName::parse("named").unwrap(),
        revision: Revision(1),
        cedar: cedar.to_owned(),
        hash: gateway_core::manifest::ContentHash::of(cedar.as_bytes()),
        current: true,
    };
    match CedarCompiler::new().unwrap().compile(&[source]) {
        Ok(_) => Vec::new(),
        Err(issues) => issues,
    }
}

#[test]
fn the_readme_example_validates_and_decides() {
    let world = World::new(&[EXAMPLE], &[]);
    let verdict = world.decide(&agent(), Risk::Write);
    assert!(verdict.allowed, "{verdict:?}");
    assert_eq!(verdict.reasons, ["`named[0]` permits (revision 1)"]);
    assert!(!world.decide(&agent(), Risk::Destructive).allowed);
}

#[test]
fn an_absent_agent_never_matches_the_example_or_its_negation() {
    let negated = r#"permit (principal, action, resource) when { principal.agent.owner_team != "support" };"#;
    for cedar in [EXAMPLE, negated] {
        let verdict = World::new(&[cedar], &[]).decide(&user(group("support")), Risk::Read);
        assert!(!verdict.allowed, "{cedar}");
        assert!(verdict.reasons.iter().any(|reason| reason.contains("cannot be evaluated")), "{verdict:?}");
        assert!(!verdict.reasons.concat().contains("alice"), "no identity in reasons: {verdict:?}");
    }
}

#[test]
fn a_guard_serves_callers_with_and_without_a_part() {
    let guarded = r#"permit (principal, action, resource) when {
        (principal has agent && principal.agent.owner_team == "support")
        || (principal has groups && principal.groups.contains("support")) };"#;
    let world = World::new(&[guarded], &[]);
    assert!(world.allows(&agent()));
    assert!(world.allows(&user(group("support"))));
    assert!(!world.allows(&user(group("sales"))));
    assert!(!world.allows(&user(Groups::Unknown)));
}

#[test]
fn unknown_groups_never_match_even_negated() {
    let world = World::new(
        &[r#"permit (principal, action, resource) when { !principal.groups.contains("contractors") };"#],
        &[],
    );
    assert!(world.allows(&user(group("staff"))));
    assert!(!world.allows(&user(group("contractors"))));
    assert!(!world.allows(&user(Groups::Unknown)));
}

#[test]
fn nothing_is_permitted_by_default() {
    let world = World::new(&[r#"permit (principal, action == Action::"get_prompt", resource);"#], &[]);
    let verdict = world.decide(&agent(), Risk::Read);
    assert!(!verdict.allowed);
    assert_eq!(verdict.reasons, ["`named` (revision 1) does not permit"]);
}

#[test]
fn forbid_wins_within_the_policy_and_from_any_other() {
    let forbid = r#"@id("freeze") forbid (principal, action, resource) when { context.tier == "dev" };"#;
    let both = format!("{ANYONE}\n{forbid}");
    assert!(!World::new(&[&both], &[]).allows(&agent()));
    let world = World::new(&[ANYONE], &["permit (principal, action, resource);", forbid]);
    let verdict = world.decide(&agent(), Risk::Read);
    assert!(!verdict.allowed);
    assert_eq!(verdict.policies, [PolicyName::parse("other-1").unwrap()]);
    assert_eq!(verdict.reasons, [r#"`other-1[0]` (@id "freeze") forbids"#]);
}

#[test]
fn the_named_policy_must_itself_permit() {
    assert!(!World::new(&[EXAMPLE], &[ANYONE]).allows(&user(group("support"))));
}

#[test]
fn errors_deny_where_they_are_consulted_and_only_there() {
    let failing_permit = r#"permit (principal, action, resource) when { principal.workload == "w" };"#;
    let failing_forbid = r#"forbid (principal, action, resource) when { principal.workload == "w" };"#;
    assert!(!World::new(&[&format!("{ANYONE}\n{failing_permit}")], &[]).allows(&agent()));
    assert!(!World::new(&[ANYONE], &[failing_forbid]).allows(&agent()), "a prohibition fails closed");
    assert!(World::new(&[ANYONE], &[failing_permit]).allows(&agent()), "another's permit is not asked");
}

#[test]
fn a_loosened_current_revision_is_not_enough_and_a_tightened_one_acts_at_once() {
    let reads = r#"permit (principal, action, resource) when { context.risk == "read" };"#;
    let loosened = World::new(&[reads, ANYONE], &[]);
    assert!(!loosened.decide(&agent(), Risk::Write).allowed);
    assert!(loosened.decide(&agent(), Risk::Read).allowed);
    let tightened = World::new(&[ANYONE, reads], &[]);
    assert!(!tightened.decide(&agent(), Risk::Write).allowed);
    assert!(tightened.decide(&agent(), Risk::Read).allowed);
}

#[test]
fn a_policy_that_was_switched_off_permits_nothing() {
    let world = World::with_last(&[ANYONE], &[], Lifecycle::Disabled);
    let verdict = world.decide(&agent(), Risk::Read);
    assert!(!verdict.allowed);
    assert!(verdict.reasons[0].contains("no active revision"), "{verdict:?}");
}

#[test]
fn context_and_resource_can_be_judged() {
    for (condition, expected) in [
        ("context.risk_level <= 1", true),
        ("context.risk_level < 1", false),
        (r#"context.mode == "service_account""#, true),
        (r#"context.mode == "user_delegated""#, false),
        (r#"context.binding == "triage" && context.environment == "dev""#, true),
        (r#"context.method == "tools/call""#, true),
        (r#"context has surface && context.surface == "cli""#, true),
        (r#"["read", "write"].contains(context.risk)"#, true),
        (r#"principal.user.id == "https://idp|alice""#, true),
        (r#"resource in Environment::"dev""#, true),
        (r#"resource in Server::"github""#, true),
        (r#"resource in Server::"gitlab""#, false),
        (r#"resource == Tool::"github/add_comment""#, true),
        (r#"resource.name like "add_*" && resource.owner == "platform" && resource.risk == "write""#, true),
    ] {
        let cedar =
            format!("permit (principal, action == Action::\"call_tool\", resource) when {{ {condition} }};");
        let verdict = World::new(&[&cedar], &[]).decide(&user(group("x")), Risk::Write);
        assert_eq!(verdict.allowed, expected, "{condition}: {verdict:?}");
    }
}

#[test]
fn other_actions_are_asked_about_the_server() {
    let world = World::new(
        &[r#"permit (principal, action == Action::"read_resource", resource == Server::"github");"#],
        &[],
    );
    let decide = |action| {
        world.ask(&agent(), Risk::Read, action, |question| {
            question.environment.engine.decide(question).allowed
        })
    };
    assert!(decide(Action::ReadResource));
    assert!(!decide(Action::OtherMethod));
    assert!(!decide(Action::CallTool));
}

#[test]
fn refuses_what_cannot_be_judged() {
    for (cedar, said) in [
        ("", "no statement"),
        ("// nothing\n", "no statement"),
        ("permit (principal == ?principal, action, resource);", "template"),
        (r#"permit (principal == Actor::"x", action, resource);"#, "names an actor"),
        (r#"forbid (principal, action, resource) when { context.risk == "destrutive" };"#, "is never"),
        (
            r#"permit (principal, action, resource) when { principal.agent.risk_ceiling != "high" };"#,
            "is never",
        ),
        (r#"permit (principal, action == Action::"call_tool", resource == Server::"x");"#, ""),
        (r#"permit (principal, action, resource) when { context.surface == "x" };"#, "surface"),
        (r#"permit (principal, action, resource) when { principal.agent.owner == "x" };"#, "owner"),
    ] {
        let issues = issues(cedar);
        assert!(!issues.is_empty(), "{cedar}");
        assert!(issues.iter().any(|issue| issue.message.contains(said)), "{cedar}: {issues:?}");
    }
}

#[test]
fn issues_name_line_and_column_and_help() {
    let found = issues("permit (principal, action, resource)\nwhen { context.risc == \"read\" };");
    assert_eq!((found[0].line, found[0].column), (2, 8), "{found:?}");
    assert!(found[0].hint.as_deref().unwrap_or_default().contains("risk"), "{found:?}");
    let found = issues("permit (principal, action, resource)\nwhen { context.risk = \"read\" };");
    assert_eq!(found[0].line, 2, "{found:?}");
    let found = issues("permit (principal, action, resource)\nwhen { context.risk == \"raed\" };");
    assert_eq!((found[0].line, found[0].column), (2, 24), "{found:?}");
}

#[test]
fn every_text_is_judged_before_refusing() {
    let world = World::new(&[ANYONE], &[]);
    let mut bad = world.sources.clone();
    bad.extend(world.sources.clone());
    bad[0].cedar = "permit".to_owned();
    bad[1].cedar = "forbid".to_owned();
    assert!(CedarCompiler::new().unwrap().compile(&bad).unwrap_err().len() >= 2);
}

#[test]
fn the_version_follows_the_current_texts_and_nothing_else() {
    let version =
        |named: &[&str]| World::new(named, &[]).snapshot.environment("dev").unwrap().engine.version();
    assert_eq!(version(&[ANYONE]), version(&[ANYONE]));
    assert_ne!(version(&[ANYONE]), version(&[EXAMPLE]));
    assert_eq!(version(&[EXAMPLE, ANYONE]), version(&[ANYONE]), "pinned only does not count");
}

#[test]
fn the_trace_shows_every_statement_asked() {
    let world = World::new(
        &[EXAMPLE, ANYONE],
        &[r#"@id("night") forbid (principal, action, resource) when { context.tier == "production" };"#],
    );
    let engine = CedarCompiler::new().unwrap().engine(&world.sources).unwrap();
    let trace =
        world.ask(&user(group("x")), Risk::Read, Action::CallTool, |question| engine.explain(question));
    assert!(!trace.allowed);
    let outcomes: Vec<_> = trace.steps.iter().map(|step| (step.role, step.outcome.clone())).collect();
    assert!(matches!(outcomes[0], (StepRole::Pinned, Outcome::Fails(_))), "{outcomes:?}");
    assert_eq!(outcomes[1], (StepRole::Current, Outcome::Permits));
    assert_eq!(outcomes[2], (StepRole::Environment, Outcome::DoesNotApply));
    assert_eq!(trace.steps[2].id.as_deref(), Some("night"));
    assert!(trace.to_string().contains("named[0]"), "{trace}");
}

#[test]
#[ignore = "a measurement, not a claim"]
fn decision_time() {
    let world = World::new(
        &[EXAMPLE],
        &[r#"forbid (principal, action, resource) when { context.tier == "production" };"#],
    );
    let actor = agent();
    let start = tokio::time::Instant::now();
    for _ in 0..10_000 {
        assert!(world.allows(&actor));
    }
    println!("{:?} a decision", start.elapsed() / 10_000);
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true == true".to_owned()),
        Just(r#"context.risk == "write""#.to_owned()),
        Just(r#"context.risk == "read""#.to_owned()),
        Just(r#"principal.agent.owner_team == "support""#.to_owned()),
        Just(r#"principal has user && principal.user.subject == "alice""#.to_owned()),
        Just(r#"principal.groups.contains("x")"#.to_owned()),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    (prop_oneof![Just("permit"), Just("forbid")], condition()).prop_map(|(effect, condition)| {
        format!("{effect} (principal, action, resource) when {{ {condition} }};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_forbid_never_permits(
        statements in prop::collection::vec(statement(), 1..4),
        added in condition(),
        elsewhere in any::<bool>(),
        with_agent in any::<bool>(),
    ) {
        let actor = if with_agent { agent() } else { user(group("x")) };
        let before = statements.join("\n");
        let forbid = format!("forbid (principal, action, resource) when {{ {added} }};");
        let allowed = World::new(&[&before], &[]).allows(&actor);
        let after = if elsewhere {
            World::new(&[&before], &[&forbid]).allows(&actor)
        } else {
            World::new(&[&format!("{before}\n{forbid}")], &[]).allows(&actor)
        };
        prop_assert!(allowed || !after, "{before}\n+ {forbid}");
    }
}

#[test]
fn compiled_texts_are_kept_by_content() {
    let compiler = CedarCompiler::new().unwrap();
    let world = World::new(&[ANYONE], &[]);
    let first: Arc<dyn PolicyEngine> = compiler.compile(&world.sources).unwrap();
    let mut changed = world.sources.clone();
    changed[0].cedar = EXAMPLE.to_owned();
    let second = compiler.engine(&changed).unwrap();
    assert_eq!(first.version(), second.version(), "the version goes by the spec's hash");
    let verdict =
        world.ask(&user(group("x")), Risk::Read, Action::CallTool, |question| second.decide(question));
    assert!(!verdict.allowed, "the text decides, not what was kept for another");
}
