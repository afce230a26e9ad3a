//! Servers behind TLS: whom the gateway trusts, as whom it presents itself, and what it says when that
//! does not fit.

use std::os::unix::fs::PermissionsExt;

use gateway_core::manifest::HttpRoute;
use gateway_core::refusal::Refusal;
use gateway_proxy::upstream::Upstreams;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::broker::TestBroker;
use crate::certificates::{Authority, Files, Tls, ask, ask_until, http_route};
use crate::upstream::Attendant;

fn route(url: &str, more: Value) -> HttpRoute {
    http_route(written(url, more))
}

fn written(url: &str, more: Value) -> Value {
    let mut route = json!({"url": url, "addresses": ["loopback"], "timeout_seconds": 5});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    route
}

fn told(outcome: Result<u16, Refusal>) -> (String, String) {
    let refusal = outcome.unwrap_err();
    (refusal.code().to_string(), refusal.inside().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_server_is_trusted_by_the_routes_own_authority_alone() {
    let (ours, foreign, files, attendant) =
        (Authority::new(), Authority::new(), Files::new(), Attendant::agreeable());
    let good = files.authority("ours.pem", &ours);
    let wrong = files.authority("foreign.pem", &foreign);
    let upstreams = Upstreams::default();
    let cases = [
        (ours.leaf("localhost"), json!({"ca_file": good}), None),
        (ours.leaf("localhost"), json!({"ca_file": wrong}), Some("UnknownIssuer")),
        (ours.leaf("localhost"), json!({}), Some("UnknownIssuer")),
        (ours.leaf("elsewhere.example"), json!({"ca_file": good}), Some("not valid for name")),
        (ours.leaf_until("localhost", 2001), json!({"ca_file": good}), Some("expired")),
    ];
    for version in [&TLS12, &TLS13] {
        for (number, (leaf, more, why)) in cases.iter().enumerate() {
            let url = Tls { leaf, clients: None, version }.serve(&attendant).await;
            let outcome = ask(&upstreams, &route(&url, more.clone())).await;
            let Some(why) = why else {
                assert_eq!(outcome.unwrap(), 200);
                continue;
            };
            let (code, story) = told(outcome);
            assert_eq!(code, "upstream.tls_untrusted", "{number}: {story}");
            assert!(story.contains(why), "{number}: {story}");
        }
    }
    assert_eq!(attendant.count(), 2, "nothing is sent to a server that is not trusted");
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_ours_or_its_refusal_is_told_apart() {
    let (ours, foreign, files, attendant) =
        (Authority::new(), Authority::new(), Files::new(), Attendant::agreeable());
    let ca_file = files.authority("ours.pem", &ours);
    let (known, stranger) = (Files::new(), Files::new());
    let pair = known.pair(&ours.leaf("gateway"));
    let strange = stranger.pair(&foreign.leaf("gateway"));
    let outdated = Files::new();
    let expired = outdated.pair(&ours.leaf_until("gateway", 2001));
    let upstreams = Upstreams::default();
    let leaf = ours.leaf("localhost");
    for version in [&TLS12, &TLS13] {
        let url = Tls { leaf: &leaf, clients: Some(&ours), version }.serve(&attendant).await;
        let with = |own: &Value| route(&url, json!({"ca_file": ca_file, "client_certificate": own}));
        assert_eq!(ask(&upstreams, &with(&pair)).await.unwrap(), 200);
        // A server may refuse only after the handshake, while the request is on its way: many times.
        for _ in 0..20 {
            for refused in [with(&strange), with(&expired), route(&url, json!({"ca_file": ca_file}))] {
                let (code, story) = told(ask(&upstreams, &refused).await);
                assert_eq!(code, "upstream.tls_certificate_refused", "{story}");
            }
        }
        assert_eq!(ask(&upstreams, &with(&pair)).await.unwrap(), 200, "each identity has its own pool");
    }
    assert_eq!(attendant.count(), 4);
}

#[tokio::test]
async fn a_plain_server_behind_an_https_url_is_no_trust_problem() {
    let upstream = crate::upstream::Upstream::start(|_| async { crate::upstream::json("{}") }).await;
    let url = format!("https://localhost:{}/mcp", upstream.address.port());
    let (code, story) = told(ask(&Upstreams::default(), &route(&url, json!({}))).await);
    assert_eq!(code, "upstream.tls", "{story}");
    let nobody = format!("https://localhost:{}/mcp", free_port());
    let (code, story) = told(ask(&Upstreams::default(), &route(&nobody, json!({}))).await);
    assert_eq!(code, "upstream.unreachable", "{story}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_in_the_log_and_nothing_is_dialled() {
    let (ours, files) = (Authority::new(), Files::new());
    let pair = files.pair(&ours.leaf("gateway"));
    let other = Files::new();
    let foreign = other.pair(&ours.leaf("gateway"));
    let empty = files.write("empty.pem", "", 0o600);
    let nonsense =
        files.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600);
    let key_text = std::fs::read_to_string(files.path("own.key")).unwrap();
    let shown = files.write("shown.key", &key_text, 0o640);
    let everybody = files.write("everybody.key", &key_text, 0o604);
    let own = |certificate: &Value, key: &Value| json!({"client_certificate": {"certificate_file": certificate, "key_file": key}});
    let cases = [
        (json!({"ca_file": files.path("absent.pem")}), "absent.pem"),
        (json!({"ca_file": empty}), "no certificate in PEM"),
        (json!({"ca_file": nonsense}), "no certificate authority"),
        (json!({"ca_file": files.path("")}), "no regular file"),
        (own(&pair["certificate_file"], &json!(files.path("absent.key"))), "absent.key"),
        (own(&pair["certificate_file"], &pair["certificate_file"]), "may be read by others"),
        (own(&pair["certificate_file"], &json!(empty)), "no private key in PEM"),
        (own(&pair["certificate_file"], &json!(shown)), "may be read by others"),
        (own(&pair["certificate_file"], &json!(everybody)), "may be read by others"),
        (own(&pair["certificate_file"], &foreign["key_file"]), "are no pair"),
        (own(&pair["key_file"], &pair["key_file"]), "no certificate in PEM"),
    ];
    for (more, why) in cases {
        let (code, story) = told(ask(&Upstreams::default(), &route("https://127.0.0.1:1/mcp", more)).await);
        assert_eq!(code, "upstream.tls_files", "{story}");
        assert!(story.contains(why), "{why}: {story}");
        assert!(!story.contains("BEGIN"), "{story}");
    }
}

#[tokio::test]
async fn renewed_files_are_taken_over_without_a_restart() {
    let (old, new, files, attendant) =
        (Authority::new(), Authority::new(), Files::new(), Attendant::agreeable());
    let ca_file = files.authority("ca.pem", &old);
    let own = files.pair(&old.leaf("gateway"));
    let leaf = new.leaf("localhost");
    let url = Tls { leaf: &leaf, clients: Some(&new), version: &TLS13 }.serve(&attendant).await;
    let (upstreams, route) =
        (Upstreams::default(), route(&url, json!({"ca_file": ca_file, "client_certificate": own})));
    assert_eq!(told(ask(&upstreams, &route).await).0, "upstream.tls_untrusted");
    files.authority("ca.pem", &new);
    ask_until(&upstreams, &route, "upstream.tls_certificate_refused").await;
    files.pair(&new.leaf("gateway"));
    ask_until(&upstreams, &route, "200").await;
    std::fs::set_permissions(files.path("own.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    ask_until(&upstreams, &route, "upstream.tls_files").await;
}

#[tokio::test]
async fn the_caller_learns_the_code_and_no_file_name_or_address() {
    let (ours, files, attendant) = (Authority::new(), Files::new(), Attendant::agreeable());
    let ca_file = files.authority("ours.pem", &ours);
    let leaf = ours.leaf("localhost");
    let url = Tls { leaf: &leaf, clients: Some(&ours), version: &TLS13 }.serve(&attendant).await;
    let mut broker = TestBroker::start("127.0.0.1:1".parse().unwrap()).await;
    let absent = files.path("absent.pem");
    let pair = files.pair(&ours.leaf("gateway"));
    let cases = [
        (json!({}), 502, "upstream.tls_untrusted"),
        (json!({"ca_file": ca_file}), 502, "upstream.tls_certificate_refused"),
        (json!({"ca_file": absent}), 503, "upstream.tls_files"),
        (json!({"ca_file": ca_file, "client_certificate": pair}), 200, ""),
    ];
    for (more, status, code) in cases {
        broker.reroute(written(&url, more));
        let answer = broker.call("echo").await;
        if status != 200 {
            assert_eq!(answer.code(), code);
        }
        assert_eq!(answer.status, status);
        let shown = format!("{:?} {}", answer.headers, answer.text);
        assert!(!shown.contains(".pem") && !shown.contains("localhost"), "{shown}");
    }
    assert_eq!(attendant.count(), 1);
}
