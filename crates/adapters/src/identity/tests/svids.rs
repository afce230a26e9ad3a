//! JWT-SVIDs, honest and not, and the bundles that verify them.

use gateway_testkit::issuer::KeyKind;
use gateway_testkit::trust_domain::TestTrustDomain;

use super::super::TrustDomainConfig;
use super::*;

const OURS: &str = "http://127.0.0.1:8080/mcp/dev";

pub(super) fn domain_config(name: &str, place: Value) -> TrustDomainConfig {
    let mut fields = json!({"trust_domain": name, "audiences": [{"value": OURS, "environment": "dev"}]});
    fields.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
    serde_json::from_value(fields).unwrap()
}

pub(super) fn by_file(name: &str, domain: &TestTrustDomain) -> TrustDomainConfig {
    domain_config(name, json!({"bundle_file": domain.file()}))
}

pub(super) fn taking(domains: &[TrustDomainConfig]) -> OidcVerifier {
    verifier(&[]).with_trust_domains(domains, &[], &public_url()).unwrap()
}

async fn judge(verifier: &OidcVerifier, token: &str, seconds: i64) -> Result<String, IdentityError> {
    let identity = verifier.verify(&presented(token), at(seconds)).await?;
    let claims = identity.claims();
    assert_eq!((&claims.user, &claims.client), (&None, &None), "a runtime is nobody");
    let attested = claims.attested.as_ref().unwrap();
    Ok(format!("{} {}", attested.issuer, attested.subject))
}

#[tokio::test]
async fn a_jwt_svid_is_its_spiffe_id() {
    let domain = TestTrustDomain::start("example.org").await;
    let verifier = taking(&[by_file("example.org", &domain)]);
    for kid in ["rs256", "es256"] {
        let token = domain.sign(kid, &domain.claims("/ns/billing/sa/runner", OURS, NOW));
        let told = judge(&verifier, &token, 0).await.unwrap();
        assert_eq!(told, "spiffe://example.org spiffe://example.org/ns/billing/sa/runner");
    }
    // Whether it has an `iss` that nobody configured makes no difference (section 3).
    let mut claims = domain.claims("/a", OURS, NOW);
    claims["iss"] = json!("https://oidc.example.org");
    assert!(judge(&verifier, &domain.sign("es256", &claims), 0).await.is_ok());
    for kind in [json!("JOSE"), Value::Null] {
        let token = domain.issuer.sign_with("es256", &json!({"typ": kind}), &domain.claims("/a", OURS, NOW));
        assert!(judge(&verifier, &token, 0).await.is_ok(), "{kind}");
    }
}

#[tokio::test]
async fn refuses_svids_that_break_the_specification() {
    let domain = TestTrustDomain::start("example.org").await;
    let verifier = taking(&[by_file("example.org", &domain)]);
    let changed = |changes: Value| {
        let mut claims = domain.claims("/a", OURS, NOW);
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        domain.sign("es256", &claims)
    };
    for (changes, why) in [
        (json!({"aud": null}), IdentityError::Claims),
        (json!({"aud": []}), IdentityError::Audience),
        (json!({"aud": ["spiffe://example.org/other"]}), IdentityError::Audience),
        (json!({"exp": null}), IdentityError::Claims),
        (json!({"exp": NOW - 6}), IdentityError::Expired),
        (json!({"sub": null}), IdentityError::Claims),
        (json!({"sub": "alice"}), IdentityError::Claims),
        (json!({"sub": "spiffe://example.org"}), IdentityError::Claims),
        (json!({"sub": "spiffe://example.org/a%2Fb"}), IdentityError::Claims),
        (json!({"sub": "spiffe://example.org/a/../b"}), IdentityError::Claims),
        (json!({"sub": "spiffe://Example.org/a"}), IdentityError::Claims),
        (json!({"sub": "spiffe://other.example/a"}), IdentityError::UnknownIssuer),
        (json!({"sub": "spiffe://example.org.evil.example/a"}), IdentityError::UnknownIssuer),
        (json!({"cnf": {"jkt": "thumbprint"}}), IdentityError::Claims),
    ] {
        let outcome = judge(&verifier, &changed(changes.clone()), 0).await;
        assert_eq!(outcome.unwrap_err(), why, "{changes}");
    }
    let claims = domain.claims("/a", OURS, NOW);
    let eddsa = judge(&verifier, &domain.sign("eddsa", &claims), 0).await;
    assert_eq!(eddsa.unwrap_err(), IdentityError::Algorithm, "the specification does not list it");
    let access = domain.issuer.sign_with("es256", &json!({"typ": "at+jwt"}), &claims);
    assert_eq!(judge(&verifier, &access, 0).await.unwrap_err(), IdentityError::Claims, "another type");
    let stranger = TestTrustDomain::start("example.org").await;
    let forged = stranger.sign("es256", &claims);
    assert_eq!(judge(&verifier, &forged, 0).await.unwrap_err(), IdentityError::Signature);
}

#[tokio::test]
async fn a_trust_domain_signs_for_itself_alone() {
    let (one, other) =
        (TestTrustDomain::start("one.example").await, TestTrustDomain::start("two.example").await);
    let verifier = taking(&[by_file("one.example", &one), by_file("two.example", &other)]);
    assert!(judge(&verifier, &one.sign("es256", &one.claims("/a", OURS, NOW)), 0).await.is_ok());
    assert!(judge(&verifier, &other.sign("es256", &other.claims("/a", OURS, NOW)), 0).await.is_ok());
    // The key of one for an ID of the other, also under an `iss` that names the signer's own bundle.
    let forged = one.sign("es256", &other.claims("/a", OURS, NOW));
    assert_eq!(judge(&verifier, &forged, 0).await.unwrap_err(), IdentityError::Signature);
    let mut claims = other.claims("/a", OURS, NOW);
    claims["iss"] = json!("spiffe://one.example");
    let forged = one.sign("es256", &claims);
    assert_eq!(judge(&verifier, &forged, 0).await.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn only_keys_of_jwt_svids_with_an_id_verify() {
    let domain = TestTrustDomain::start("example.org").await;
    for (change, usable) in [
        (json!({"use": "jwt-svid"}), true),
        (json!({"use": "sig"}), false),
        (json!({"use": "x509-svid"}), false),
        (json!({"use": null}), false),
        (json!({"kid": null}), false),
    ] {
        let mut bundle = domain.bundle();
        for key in bundle["keys"].as_array_mut().unwrap() {
            if key["kid"] == "es256" {
                for (name, value) in change.as_object().unwrap() {
                    if value.is_null() {
                        key.as_object_mut().unwrap().remove(name);
                    } else {
                        key[name] = value.clone();
                    }
                }
            }
        }
        domain.write(&bundle);
        let verifier = taking(&[by_file("example.org", &domain)]);
        let outcome = judge(&verifier, &domain.sign("es256", &domain.claims("/a", OURS, NOW)), 0).await;
        assert_eq!(outcome.is_ok(), usable, "{change}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_bundle_is_fetched_anew_as_often_as_it_hints_and_serves_through_an_outage() {
    let domain = TestTrustDomain::start("example.org").await;
    let url = domain.issuer.serve_bundle(domain.bundle());
    let verifier = taking(&[domain_config("example.org", json!({"bundle_url": url}))]);
    let fetched = || domain.issuer.jwks_requests();
    verifier.refresh_bundles(at(0)).await;
    assert_eq!(fetched(), 1);
    verifier.refresh_bundles(at(59)).await;
    assert_eq!(fetched(), 1, "the hint is 60 seconds");
    verifier.refresh_bundles(at(60)).await;
    assert_eq!(fetched(), 2);
    domain.issuer.set_outage(true);
    let mut claims = domain.claims("/a", OURS, NOW);
    claims["exp"] = json!(NOW + 100_000);
    let token = domain.sign("es256", &claims);
    verifier.refresh_bundles(at(200)).await;
    assert!(judge(&verifier, &token, 201).await.is_ok(), "known keys serve");
    let day = 24 * 3600;
    assert_eq!(judge(&verifier, &token, 61 + day).await.unwrap_err(), IdentityError::KeysUnavailable);
    // A key that is gone ends the tokens it signed.
    domain.issuer.set_outage(false);
    let mut bundle = domain.bundle();
    bundle["keys"].as_array_mut().unwrap().retain(|key| key["kid"] != "es256");
    domain.issuer.serve_bundle(bundle);
    verifier.refresh_bundles(at(300)).await;
    assert_eq!(judge(&verifier, &token, 301).await.unwrap_err(), IdentityError::UnknownKey);
}

#[tokio::test]
async fn a_bundle_file_is_read_again_and_a_broken_one_changes_nothing() {
    let domain = TestTrustDomain::start("example.org").await;
    let verifier = taking(&[by_file("example.org", &domain)]);
    verifier.refresh_bundles(at(0)).await;
    let token = |kid: &str, jti: i64| {
        let mut claims = domain.claims("/a", OURS, NOW);
        claims["jti"] = json!(jti);
        domain.sign(kid, &claims)
    };
    std::fs::write(domain.file(), "not JSON").unwrap();
    verifier.refresh_bundles(at(20)).await;
    assert!(judge(&verifier, &token("es256", 1), 21).await.is_ok());
    domain.issuer.add_key(KeyKind::Es256, "next");
    let mut bundle = domain.bundle();
    let mut key = domain.issuer.public_jwk("next");
    key["use"] = json!("jwt-svid");
    bundle["keys"].as_array_mut().unwrap().push(key);
    domain.write(&bundle);
    verifier.refresh_bundles(at(40)).await;
    assert!(judge(&verifier, &token("next", 2), 41).await.is_ok());
}

#[tokio::test]
async fn wrong_statements_about_trust_domains_are_told() {
    let domain = TestTrustDomain::start("example.org").await;
    let fields = |configs: &[TrustDomainConfig]| {
        let made = verifier(&[]).with_trust_domains(configs, &[], &public_url());
        made.err().into_iter().flatten().map(|issue| issue.field).collect::<Vec<_>>()
    };
    let file = json!({"bundle_file": domain.file()});
    assert!(fields(&[domain_config("example.org", file.clone())]).is_empty());
    assert_eq!(fields(&[domain_config("spiffe://example.org", file.clone())]), ["trust_domain"]);
    assert_eq!(fields(&[domain_config("Example.org", file.clone())]), ["trust_domain"]);
    assert_eq!(fields(&[domain_config("example.org", json!({}))]), ["bundle_file"]);
    let both = json!({"bundle_file": domain.file(), "bundle_url": "https://spire.example/bundle"});
    assert_eq!(fields(&[domain_config("example.org", both)]), ["bundle_file"]);
    assert_eq!(
        fields(&[domain_config("example.org", json!({"bundle_url": "http://spire.example/"}))]),
        ["bundle_url"]
    );
    let twice = [domain_config("example.org", file.clone()), domain_config("example.org", file.clone())];
    assert_eq!(fields(&twice), ["trust_domain"]);
    let spanning =
        json!({"bundle_file": domain.file(), "audiences": [{"value": OURS, "environment": "production"}]});
    let spanning = [domain_config("example.org", file.clone()), domain_config("two.example", spanning)];
    assert_eq!(fields(&spanning), ["audiences"]);
    domain.write(&json!({"no keys": []}));
    assert_eq!(fields(&[domain_config("example.org", file)]), ["bundle_file"]);
    assert_eq!(
        fields(&[domain_config("example.org", json!({"bundle_file": "/nonexistent/bundle"}))]),
        ["bundle_file"]
    );
}
