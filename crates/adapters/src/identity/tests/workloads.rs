//! Issuers that vouch for runtimes: what each vendor's tokens look like, with invented values, and which
//! of its tokens are none of a runtime.

use gateway_core::identity::Attested;
use gateway_core::manifest::WorkloadIdentity;

use super::*;

const WORKLOAD_AUDIENCE: &str = "http://127.0.0.1:8080/mcp/dev";

async fn vouching(preset: &str) -> World {
    World::with(&json!({"audience": WORKLOAD_AUDIENCE, "preset": preset, "groups_claim": null})).await
}

impl World {
    /// What becomes of these claims in a token of this issuer's.
    async fn attest(&self, claims: Value) -> Result<Arc<Attested>, IdentityError> {
        let mut all = json!({
            "iss": self.issuer.issuer(), "aud": [WORKLOAD_AUDIENCE],
            "iat": NOW, "nbf": NOW, "exp": NOW + 300
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let identity = self.verify(&self.issuer.sign_with("rs256", &json!({"typ": "JWT"}), &all), 0).await?;
        assert_eq!(identity.claims().user, None, "a runtime is nobody");
        assert_eq!(identity.claims().groups, gateway_core::actor::Groups::Unknown);
        Ok(identity.claims().attested.clone().unwrap())
    }
}

fn changed(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn kubernetes() -> Value {
    json!({
        "sub": "system:serviceaccount:billing:runner", "jti": "0e0a7c5e",
        "kubernetes.io": {
            "namespace": "billing",
            "node": {"name": "node-1", "uid": "646e7c5e"},
            "pod": {"name": "runner-6d5f", "uid": "eb4ea0a8"},
            "serviceaccount": {"name": "runner", "uid": "14ee3fa4"},
            "warnafter": NOW + 100
        }
    })
}

fn github() -> Value {
    json!({
        "sub": "repo:acme/api:ref:refs/heads/main", "repository": "acme/api", "repository_owner": "acme",
        "repository_id": "74", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
        "event_name": "push", "actor": "alice", "runner_environment": "github-hosted", "run_attempt": "2",
        "job_workflow_ref": "acme/ci/.github/workflows/deploy.yml@refs/heads/main"
    })
}

#[tokio::test]
async fn a_kubernetes_token_is_its_service_account() {
    let world = vouching("kubernetes").await;
    let attested = world.attest(kubernetes()).await.unwrap();
    assert_eq!(&*attested.issuer, world.issuer.issuer());
    assert_eq!(&*attested.subject, "system:serviceaccount:billing:runner");
    assert_eq!(attested.claims["kubernetes.io/namespace"], "billing");
    assert_eq!(attested.claims["kubernetes.io/serviceaccount/name"], "runner");
    assert_eq!(attested.claims["kubernetes.io/pod/name"], "runner-6d5f");
    assert!(!attested.claims.contains_key("aud"), "arrays are left out");
}

#[tokio::test]
async fn refuses_kubernetes_tokens_that_contradict_themselves_or_are_no_service_accounts() {
    let world = vouching("kubernetes").await;
    for wrong in [
        json!({"sub": "system:node:node-1"}),
        json!({"sub": "system:serviceaccount:billing"}),
        json!({"sub": "system:serviceaccount:payroll:runner"}),
        json!({"sub": "system:serviceaccount:billing:admin"}),
        json!({"kubernetes.io": null}),
        json!({"kubernetes.io": "billing"}),
        json!({"kubernetes.io": {"namespace": "billing"}}),
    ] {
        let outcome = world.attest(changed(kubernetes(), wrong.clone())).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Claims, "{wrong}");
    }
}

#[tokio::test]
async fn a_github_token_is_its_workflow_and_shows_what_started_it() {
    let world = vouching("github_actions").await;
    let attested = world.attest(github()).await.unwrap();
    assert_eq!(&*attested.subject, "repo:acme/api:ref:refs/heads/main");
    assert_eq!(attested.claims["repository"], "acme/api");
    // Not refused, so that a mapping can say what it takes: the event is a claim like any other.
    let target = changed(github(), json!({"event_name": "pull_request_target"}));
    let attested = world.attest(target).await.unwrap();
    assert_eq!(attested.claims["event_name"], "pull_request_target");
    let mapping: WorkloadIdentity = serde_json::from_value(json!({
        "issuer": world.issuer.issuer(), "subject": "repo:acme/api:ref:refs/heads/main", "claims": {"event_name": "push"}
    }))
    .unwrap();
    assert_eq!(mapping.differences(&attested), ["claims.event_name"]);
    let outcome = world.attest(changed(github(), json!({"repository": null}))).await;
    assert_eq!(outcome.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn a_gitlab_job_is_a_runtime_and_a_person_of_the_same_issuer_is_refused() {
    let world = vouching("gitlab").await;
    let job = json!({
        "sub": "project_path:acme/api:ref_type:branch:ref:main", "project_path": "acme/api", "project_id": "22",
        "namespace_path": "acme", "ref": "main", "ref_protected": "true", "pipeline_source": "push",
        "user_login": "alice", "user_email": "alice@example.com"
    });
    let attested = world.attest(job).await.unwrap();
    assert_eq!(attested.claims["project_path"], "acme/api");
    let person = json!({"sub": "4711", "name": "Alice", "email": "alice@example.com", "auth_time": NOW});
    assert_eq!(world.attest(person).await.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn a_google_service_account_is_its_unique_id_and_people_are_refused() {
    let world = vouching("google").await;
    let account = json!({
        "sub": "112233445566778899000", "azp": "112233445566778899000", "email_verified": true,
        "email": "runner@acme.iam.gserviceaccount.com",
        "google": {"compute_engine": {"project_id": "acme", "zone": "europe-west1-b", "instance_id": "81"}}
    });
    let attested = world.attest(account.clone()).await.unwrap();
    assert_eq!(&*attested.subject, "112233445566778899000");
    assert_eq!(attested.claims["google/compute_engine/project_id"], "acme");
    assert!(
        world.attest(changed(account.clone(), json!({"email": null, "email_verified": null}))).await.is_ok()
    );
    for wrong in [
        json!({"azp": "77.apps.googleusercontent.com", "email": "alice@acme.example"}),
        json!({"azp": "77.apps.googleusercontent.com", "email": null}),
        json!({"hd": "acme.example"}),
        json!({"email": "evil@gserviceaccount.com.example"}),
        json!({"azp": "77.apps.googleusercontent.com", "email_verified": false}),
    ] {
        let outcome = world.attest(changed(account.clone(), wrong.clone())).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Claims, "{wrong}");
    }
}

#[tokio::test]
async fn amazon_vouches_for_service_accounts_and_for_roles() {
    let world = vouching("aws").await;
    let attested = world.attest(kubernetes()).await.unwrap();
    assert_eq!(&*attested.subject, "system:serviceaccount:billing:runner");
    let role = json!({
        "sub": "arn:aws:iam::123456789012:role/runner",
        "https://sts.amazonaws.com/": {"aws_account": "123456789012", "org_id": "o-1", "source_region": "eu-west-1"}
    });
    let attested = world.attest(role.clone()).await.unwrap();
    assert_eq!(&*attested.subject, "arn:aws:iam::123456789012:role/runner");
    assert_eq!(attested.claims["https://sts.amazonaws.com/aws_account"], "123456789012");
    for wrong in [json!({"https://sts.amazonaws.com/": null}), json!({"sub": "alice"})] {
        let outcome = world.attest(changed(role.clone(), wrong.clone())).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Claims, "{wrong}");
    }
}

#[tokio::test]
async fn azure_vouches_for_apps_alone() {
    let world = vouching("azure").await;
    let identity = json!({
        "tid": "72f988bf", "oid": "a1b2c3d4", "sub": "a1b2c3d4", "appid": "c44b4083", "idtyp": "app",
        "xms_mirid": "/subscriptions/1/resourcegroups/acme/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner"
    });
    let attested = world.attest(identity.clone()).await.unwrap();
    assert_eq!(&*attested.subject, "72f988bf/a1b2c3d4");
    assert!(attested.claims["xms_mirid"].ends_with("/runner"));
    assert!(world.attest(changed(identity.clone(), json!({"idtyp": null}))).await.is_ok());
    for wrong in [
        json!({"scp": "Files.Read"}),
        json!({"idtyp": "user"}),
        json!({"idtyp": null, "sub": "pairwise"}),
        json!({"oid": null}),
        json!({"tid": null}),
    ] {
        let outcome = world.attest(changed(identity.clone(), wrong.clone())).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Claims, "{wrong}");
    }
}

#[tokio::test]
async fn any_issuer_may_be_said_to_vouch_for_runtimes() {
    let world = World::with(&json!({
        "audience": WORKLOAD_AUDIENCE, "workloads": true, "groups_claim": null, "subject_claim": "job"
    }))
    .await;
    let attested = world.attest(json!({"sub": "x", "job": "nightly", "groups": ["admins"]})).await.unwrap();
    assert_eq!(&*attested.subject, "nightly");
    assert_eq!(world.attest(json!({"sub": "x"})).await.unwrap_err(), IdentityError::Claims);
    let other = json!({"job": "nightly", "aud": "https://another.example"});
    assert_eq!(world.attest(other).await.unwrap_err(), IdentityError::Audience);
    assert_eq!(world.attest(json!({"job": "n", "exp": NOW - 60})).await.unwrap_err(), IdentityError::Expired);
}

#[tokio::test]
async fn a_glob_that_almost_matches_does_not() {
    let world = vouching("github_actions").await;
    let attested = world.attest(github()).await.unwrap();
    let differs = |subject: &str, repository: &str| {
        let mapping: WorkloadIdentity = serde_json::from_value(json!({
            "issuer": world.issuer.issuer(), "subject": subject, "claims": {"repository": repository}
        }))
        .unwrap();
        mapping.differences(&attested)
    };
    assert!(differs("repo:acme/*:ref:refs/heads/main", "acme/*").is_empty());
    assert_eq!(differs("repo:acme/*:ref:refs/heads/mai", "acme/*"), ["subject"]);
    assert_eq!(differs("repo:*:ref:refs/heads/main", "acme/api"), ["subject"], "one star stays in a segment");
    assert_eq!(differs("repo:acme/api:*", "acme/ap"), ["subject", "claims.repository"]);
}

#[test]
fn wrong_statements_about_issuers_of_workloads_are_told() {
    let issues = |changes: Value| {
        let mut fields = json!({"issuer": "https://k8s.example", "audience": WORKLOAD_AUDIENCE});
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let config: IssuerConfig = serde_json::from_value(fields).unwrap();
        let found = super::super::validate_issuers(&[config], &public_url());
        found.into_iter().map(|issue| issue.field).collect::<Vec<_>>()
    };
    assert!(issues(json!({"preset": "kubernetes"})).is_empty());
    assert!(issues(json!({"workloads": true})).is_empty());
    assert_eq!(issues(json!({"preset": "kubernetes", "groups_claim": "groups"})), ["groups_claim"]);
    assert_eq!(issues(json!({"preset": "kubernetes", "subject_claim": "sub"})), ["subject_claim"]);
    assert_eq!(issues(json!({"preset": "entra", "workloads": true})), ["workloads"]);
    for preset in ["github_actions", "google", "aws", "azure"] {
        assert_eq!(issues(json!({"preset": preset})), ["issuer"], "{preset}");
    }
    for (preset, issuer) in [
        ("github_actions", "https://token.actions.githubusercontent.com"),
        ("github_actions", "https://token.actions.githubusercontent.com/acme"),
        ("github_actions", "https://git.acme.example/_services/token"),
        ("google", "https://accounts.google.com"),
        ("aws", "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF"),
        ("aws", "https://0123.tokens.sts.global.api.aws"),
        ("azure", "https://login.microsoftonline.com/72f988bf/v2.0"),
        ("azure", "https://sts.windows.net/72f988bf/"),
        ("gitlab", "https://gitlab.acme.example"),
    ] {
        assert!(issues(json!({"preset": preset, "issuer": issuer})).is_empty(), "{preset} {issuer}");
    }
    for (preset, issuer) in [
        ("google", "https://accounts.google.com.evil.example"),
        ("aws", "https://oidc.eks.eu-west-1.evilamazonaws.com/id/0"),
        ("azure", "https://evilmicrosoftonline.com/72f988bf/v2.0"),
        ("github_actions", "https://token.actions.evil.example"),
    ] {
        assert_eq!(issues(json!({"preset": preset, "issuer": issuer})), ["issuer"], "{preset} {issuer}");
    }
}
