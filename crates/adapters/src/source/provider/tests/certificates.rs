use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn signed(by: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, by).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A provider that speaks with clients of the authority alone.
async fn demanding(authority: &CertifiedIssuer<'static, KeyPair>) -> FakeProvider {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let library = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), library.clone());
    let (certificate, key) = signed(authority, "127.0.0.1");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(library)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    FakeProvider::start_tls(Arc::new(config)).await
}

#[tokio::test]
async fn a_certificate_proves_the_client_and_is_read_anew_when_it_is_renewed() {
    let (ours, theirs) = (authority(), authority());
    let provider = demanding(&ours).await;
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("ca.pem"), &ours.pem(), 0o644);
    let (foreign, foreign_key) = signed(&theirs, "gateway");
    write(&path("client.pem"), &foreign, 0o644);
    write(&path("client.key"), &foreign_key, 0o600);
    let spec = world.spec(|spec| {
        spec["issuer"] = provider.issuer().into();
        spec["ca_file"] = json!(path("ca.pem"));
        let files = json!({"certificate_file": path("client.pem"), "key_file": path("client.key")});
        spec["client"]["authentication"] = json!({"tls_client_auth": {"certificate": files}});
    });
    assert_eq!(code(world.ask(&spec).await), Code::ProviderUnavailable, "a stranger's certificate");
    assert!(provider.asked(METADATA).is_empty());

    let (own, own_key) = signed(&ours, "gateway");
    write(&path("client.pem"), &own, 0o644);
    write(&path("client.key"), &own_key, 0o600);
    world.clock.advance(Duration::from_secs(1));
    world.ask(&spec).await.unwrap();
    let asked = &provider.asked("/token")[0];
    assert_eq!(asked.parameter("client_id"), Some("the gateway"), "RFC 8705, section 2");
    assert_eq!(asked.parameter("client_secret"), None);

    write(&path("client.key"), &own_key, 0o644);
    let error = world.ask(&spec).await.unwrap_err();
    assert_eq!(error.refusal().code(), Code::ProviderUnavailable);
    assert!(error.refusal().inside().unwrap().contains("may be read by others"), "{error:?}");
    write(&path("client.key"), &foreign_key, 0o600);
    let error = world.ask(&spec).await.unwrap_err();
    assert!(error.refusal().inside().unwrap().contains("are no pair"), "{error:?}");
}

#[tokio::test]
async fn the_endpoints_for_certificates_are_asked_where_the_metadata_names_them() {
    let ours = authority();
    let (provider, other) = (demanding(&ours).await, demanding(&ours).await);
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (own, own_key) = signed(&ours, "gateway");
    write(&path("ca.pem"), &ours.pem(), 0o644);
    write(&path("client.pem"), &own, 0o644);
    write(&path("client.key"), &own_key, 0o600);
    let mut document = provider.metadata();
    document["mtls_endpoint_aliases"] = json!({
        "token_endpoint": format!("{}/token", other.issuer()),
        "revocation_endpoint": format!("{}/revoke", other.issuer()),
    });
    provider.answer(METADATA, 200, &[], &document.to_string());
    let spec = world.spec(|spec| {
        spec["issuer"] = provider.issuer().into();
        spec["origins"] = json!([other.issuer()]);
        spec["ca_file"] = json!(path("ca.pem"));
        let files = json!({"certificate_file": path("client.pem"), "key_file": path("client.key")});
        spec["client"]["authentication"] = json!({"tls_client_auth": {"certificate": files}});
    });
    let tokens = world.ask(&spec).await.unwrap();
    assert!(world.client.revoke(&spec, &tokens.access_token, TokenHint::AccessToken).await.is_revoked());
    assert_eq!((other.asked("/token").len(), other.asked("/revoke").len()), (1, 1));
    assert!(provider.asked("/token").is_empty() && provider.asked("/revoke").is_empty());
}
