use std::sync::Mutex;

use gateway_core::id::StoreName;
use gateway_core::reference::VersionSelector;
use gateway_testkit::clock::ManualClock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A node that answers by path, and remembers what it was asked. Stands in only for what the real
/// server cannot be brought to do here: standbys, throttling, Kubernetes.
struct Node {
    url: Url,
    asked: Arc<Mutex<Vec<String>>>,
}

type Script = Arc<dyn Fn(&str) -> (u16, String, Value) + Send + Sync>;

async fn node(script: Script) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (script, log) = (script.clone(), log.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !complete(&request) {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let (status, headers, body) = script(&request);
                log.lock().unwrap().push(request);
                let body = body.to_string();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Node { url, asked }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn answers(script: impl Fn(&str) -> (u16, String, Value) + Send + Sync + 'static) -> Script {
    Arc::new(move |request| {
        if request.starts_with("GET /v1/auth/token/lookup-self") {
            return (200, String::new(), json!({ "data": { "ttl": 0 } }));
        }
        script(request)
    })
}

fn found() -> (u16, String, Value) {
    let metadata = json!({ "version": 3, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false });
    let body = json!({ "request_id": "r-1", "data": { "data": { "token": "v" }, "metadata": metadata } });
    (200, String::new(), body)
}

struct Setup {
    store: VaultStore,
    _token: tempfile::NamedTempFile,
}

fn setup(addresses: Vec<Url>, change: impl FnOnce(&mut VaultSettings)) -> Setup {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "the-token\n").unwrap();
    let mut settings = VaultSettings {
        addresses,
        login: VaultLogin::TokenFile(token.path().to_owned()),
        namespace: None,
        mounts: Vec::new(),
        kv: KvVersion::V2,
        ca_file: None,
        proxy: None,
        timeout: Duration::from_secs(5),
    };
    change(&mut settings);
    Setup { store: VaultStore::new(settings, Arc::new(ManualClock::default())).unwrap(), _token: token }
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("vault-prod").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

async fn kind(store: &VaultStore, path: &str) -> StoreErrorKind {
    store.fetch(&reference(path)).await.unwrap_err().kind
}

#[tokio::test]
async fn sends_namespace_token_and_request_header() {
    let node = node(answers(|_| found())).await;
    let setup = setup(vec![node.url.clone()], |settings| settings.namespace = Some("team/a".to_owned()));
    let version = setup.store.fetch(&reference("kv/a b/c")).await.unwrap();
    assert_eq!(version.version.as_str(), "3");
    assert_eq!(version.store_request_id.as_ref().unwrap().as_str(), "r-1");
    assert_eq!(version.created_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
    for request in node.asked.lock().unwrap().iter() {
        assert!(request.contains("x-vault-namespace: team/a\r\n"), "{request}");
        assert!(request.contains("x-vault-request: true\r\n"), "{request}");
        assert!(request.contains("x-vault-token: the-token\r\n"), "{request}");
    }
    assert!(node.asked.lock().unwrap()[1].starts_with("GET /v1/kv/data/a%20b/c HTTP/1.1"));
}

#[tokio::test]
async fn follows_a_standby_to_a_configured_node_only() {
    let active = node(answers(|_| found())).await;
    let location = format!("Location: {}v1/kv/data/a\r\n", active.url);
    let standby = node(answers(move |_| (307, location.clone(), json!({})))).await;
    let setup_both = setup(vec![standby.url.clone(), active.url.clone()], |_| {});
    assert!(setup_both.store.fetch(&reference("kv/a")).await.is_ok());
    let asked = standby.asked.lock().unwrap().len();
    assert!(setup_both.store.fetch(&reference("kv/a")).await.is_ok());
    assert_eq!(standby.asked.lock().unwrap().len(), asked, "the active node is remembered");
    let before = active.asked.lock().unwrap().len();
    let setup_one = setup(vec![standby.url.clone()], |_| {});
    assert_eq!(kind(&setup_one.store, "kv/a").await, StoreErrorKind::Unavailable);
    assert_eq!(active.asked.lock().unwrap().len(), before, "no token went to an address nobody configured");
}

#[tokio::test]
async fn a_node_that_is_gone_is_passed_over() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Url::parse(&format!("http://{}", gone.local_addr().unwrap())).unwrap();
    drop(gone);
    let node = node(answers(|_| found())).await;
    let both = setup(vec![address.clone(), node.url.clone()], |_| {});
    assert!(both.store.fetch(&reference("kv/a")).await.is_ok());
    let alone = setup(vec![address], |_| {});
    assert_eq!(kind(&alone.store, "kv/a").await, StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn statuses_have_their_kinds() {
    let node = node(answers(|request| {
        let path = request.split_whitespace().nth(1).unwrap();
        let status = path.rsplit('/').next().unwrap().parse().unwrap();
        (status, "Retry-After: 7\r\n".to_owned(), json!({ "errors": ["canary"], "request_id": "r-9" }))
    }))
    .await;
    let setup = setup(vec![node.url.clone()], |_| {});
    for (status, expected) in [
        (400, StoreErrorKind::Malformed),
        (403, StoreErrorKind::Denied),
        (404, StoreErrorKind::NotFound),
        (412, StoreErrorKind::Unavailable),
        (429, StoreErrorKind::Throttled),
        (473, StoreErrorKind::Unavailable),
        (500, StoreErrorKind::Unavailable),
        (503, StoreErrorKind::Unavailable),
    ] {
        let error = setup.store.fetch(&reference(&format!("kv/{status}"))).await.unwrap_err();
        assert_eq!(error.kind, expected, "{status}");
        assert!(error.inside.contains("r-9") && !error.inside.contains("canary"), "{error}");
        let wait = (status == 429).then(|| Duration::from_secs(7));
        assert_eq!(error.retry_after, wait, "{status}");
    }
}

#[tokio::test]
async fn mounts_are_the_first_segment_or_the_longest_configured_one() {
    let node = node(answers(|_| found())).await;
    let setup = setup(vec![node.url.clone()], |settings| {
        let mount = |mount: &str| Mount { mount: mount.to_owned(), kv: None };
        settings.mounts = vec![mount("teams"), mount("teams/kv")];
    });
    assert!(setup.store.fetch(&reference("teams/kv/a")).await.is_ok());
    assert!(node.asked.lock().unwrap().last().unwrap().starts_with("GET /v1/teams/kv/data/a HTTP"));
    assert_eq!(kind(&setup.store, "kv/a").await, StoreErrorKind::Malformed);
    assert_eq!(kind(&setup.store, "teamskv/a").await, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn refuses_versions_that_are_no_number_from_one() {
    let node = node(answers(|_| found())).await;
    let setup = setup(vec![node.url.clone()], |_| {});
    for version in ["0", "-1", "latest", "01", "3.0"] {
        let version = Some(VersionSelector::Version(version.to_owned()));
        let wanted = ResolvedReference { version, ..reference("kv/a") };
        assert_eq!(setup.store.fetch(&wanted).await.unwrap_err().kind, StoreErrorKind::Malformed);
    }
    let version = Some(VersionSelector::Version("2".to_owned()));
    let wanted = ResolvedReference { version, ..reference("kv/a") };
    let error = setup.store.fetch(&wanted).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed, "the node answered with version 3");
}

/// A stub: no Kubernetes API server can be run here. It shows the request, not that a cluster takes it.
#[tokio::test]
async fn logs_in_with_the_pods_service_account() {
    let node = node(Arc::new(|request: &str| {
        if request.starts_with("POST /v1/auth/kubernetes/login") {
            assert!(request.ends_with(r#"{"role":"gateway","jwt":"pod-token"}"#), "{request}");
            let auth = json!({ "client_token": "issued", "lease_duration": 3600, "renewable": true });
            return (200, String::new(), json!({ "auth": auth }));
        }
        assert!(request.contains("x-vault-token: issued\r\n"), "{request}");
        found()
    }))
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pod-token").unwrap();
    let setup = setup(vec![node.url.clone()], |settings| {
        settings.login = VaultLogin::Kubernetes(KubernetesLogin {
            mount: "kubernetes".to_owned(),
            role: "gateway".to_owned(),
            token_file: file.path().to_owned(),
        });
    });
    assert!(setup.store.fetch(&reference("kv/a")).await.is_ok());
    assert!(setup.store.fetch(&reference("kv/b")).await.is_ok());
    assert_eq!(node.asked.lock().unwrap().len(), 3, "one login, two reads");
}

#[tokio::test]
async fn a_token_file_that_everybody_reads_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let node = node(answers(|_| found())).await;
    let setup = setup(vec![node.url.clone()], |_| {});
    std::fs::set_permissions(setup._token.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(kind(&setup.store, "kv/a").await, StoreErrorKind::Denied);
    assert!(node.asked.lock().unwrap().is_empty());
}
