//! A SPIFFE trust domain in this process: JWT-SVIDs, X.509-SVIDs by an authority of its own, and its
//! bundle, by file or by endpoint. No SPIRE is behind it: it signs whatever a test asks for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "development only: a broken fixture must stop the test where it breaks"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::issuer::TestIssuer;

static AUTHORITIES: AtomicU32 = AtomicU32::new(1);

/// An authority for X.509-SVIDs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A root of its own name and key.
    pub fn new() -> Self {
        let params = Self::params();
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority beneath this one.
    pub fn intermediate(&self) -> Self {
        Self(CertifiedIssuer::signed_by(Self::params(), KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // One name for two authorities would be a forgery, not a foreigner.
        let number = AUTHORITIES.fetch_add(1, Ordering::SeqCst);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Its certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        let certificate: &Certificate = self.0.as_ref();
        certificate.der().to_vec()
    }

    /// Signs what the order asks for.
    pub fn sign(&self, order: &Order) -> Svid {
        let mut params = CertificateParams::new(order.dns.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "workload");
        let uris = order.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.is_ca = if order.ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages.clone_from(&order.usages);
        params.extended_key_usages.clone_from(&order.purposes);
        params.not_before = OffsetDateTime::from_unix_timestamp(order.from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(order.until).unwrap();
        let key = KeyPair::generate().unwrap();
        Svid { certificate: params.signed_by(&key, &self.0).unwrap(), key, above: Vec::new() }
    }
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its URIs.
    pub uris: Vec<String>,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// Whether it says that it is an authority.
    pub ca: bool,
    /// What its key is for.
    pub usages: Vec<KeyUsagePurpose>,
    /// What it is for.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// When it begins, in seconds since the epoch.
    pub from: i64,
    /// When it ends.
    pub until: i64,
}

impl Order {
    /// An SVID as the specification wants it, good for ever.
    pub fn svid(id: &str) -> Self {
        Self {
            uris: vec![id.to_owned()],
            dns: Vec::new(),
            ca: false,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            purposes: vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
            from: 0,
            until: 4_000_000_000,
        }
    }
}

/// A certificate with its key.
pub struct Svid {
    certificate: Certificate,
    key: KeyPair,
    above: Vec<Vec<u8>>,
}

impl Svid {
    /// The same, shown with this authority's certificate.
    #[must_use]
    pub fn with(mut self, authority: &Authority) -> Self {
        self.above.push(authority.der());
        self
    }

    /// The chain in DER, leaf first.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        std::iter::once(self.certificate.der().to_vec()).chain(self.above.iter().cloned()).collect()
    }

    /// The key in PKCS#8.
    pub fn key(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// Certificate and key in PEM.
    pub fn pem(&self) -> String {
        format!("{}{}", self.certificate.pem(), self.key.serialize_pem())
    }
}

/// The trust domain. Its JWT keys are those of a [`TestIssuer`], named `rs256`, `es256` and `eddsa`.
pub struct TestTrustDomain {
    name: String,
    /// Signs JWT-SVIDs.
    pub issuer: TestIssuer,
    /// Signs X.509-SVIDs.
    pub authority: Authority,
    folder: TempDir,
}

impl TestTrustDomain {
    /// A trust domain with one authority and three JWT keys; its bundle is in its file.
    pub async fn start(name: &str) -> Self {
        let domain = Self {
            name: name.to_owned(),
            issuer: TestIssuer::start().await,
            authority: Authority::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        domain.write(&domain.bundle());
        domain
    }

    /// An ID in it.
    pub fn id(&self, path: &str) -> String {
        format!("spiffe://{}{path}", self.name)
    }

    /// Its bundle as it should be.
    pub fn bundle(&self) -> Value {
        let keys = ["rs256", "es256", "eddsa"].map(|kid| {
            let mut key = self.issuer.public_jwk(kid);
            key["use"] = json!("jwt-svid");
            key.as_object_mut().unwrap().remove("alg");
            key
        });
        let mut entries = keys.to_vec();
        entries.push(authority_entry(&self.authority));
        json!({"keys": entries, "spiffe_sequence": 1, "spiffe_refresh_hint": 60})
    }

    /// Where its bundle file is.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("bundle.json")
    }

    /// Writes the bundle file, as renewals do: complete before it has the name.
    pub fn write(&self, bundle: &Value) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, bundle.to_string()).unwrap();
        std::fs::rename(&fresh, self.file()).unwrap();
    }

    /// Claims of a JWT-SVID that holds for five minutes.
    pub fn claims(&self, path: &str, audience: &str, now_seconds: i64) -> Value {
        json!({"sub": self.id(path), "aud": [audience], "iat": now_seconds, "exp": now_seconds + 300})
    }

    /// A JWT-SVID over these claims.
    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        self.issuer.sign_with(kid, &json!({"typ": "JWT"}), claims)
    }
}

/// An authority as a bundle has it.
pub fn authority_entry(authority: &Authority) -> Value {
    // The parameters of the key are there too in a real bundle; whoever reads `x5c` needs none of them.
    json!({"use": "x509-svid", "kty": "EC", "crv": "P-256", "x5c": [STANDARD.encode(authority.der())]})
}
