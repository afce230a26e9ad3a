//! X.509-SVIDs, honest and not.

use gateway_core::identity::PresentedCertificates;
use gateway_testkit::trust_domain::{Authority, Order, Svid, TestTrustDomain, authority_entry};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

use super::svids::{by_file, taking};
use super::*;

const ID: &str = "spiffe://example.org/ns/billing/sa/runner";

fn shown(svid: &Svid) -> PresentedCertificates {
    PresentedCertificates::new(svid.chain().into_iter().map(Vec::into_boxed_slice).collect()).unwrap()
}

struct Listener {
    domain: TestTrustDomain,
    verifier: OidcVerifier,
}

impl Listener {
    async fn new() -> Self {
        let domain = TestTrustDomain::start("example.org").await;
        let verifier = taking(&[by_file("example.org", &domain)]);
        verifier.refresh_bundles(at(0)).await;
        Self { domain, verifier }
    }

    fn judge(&self, svid: &Svid, seconds: i64) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        self.verifier.verify_certificates(&shown(svid), at(seconds))
    }

    fn order(&self, change: impl FnOnce(&mut Order)) -> Svid {
        let mut order = Order::svid(ID);
        change(&mut order);
        self.domain.authority.sign(&order)
    }
}

#[tokio::test]
async fn an_x509_svid_is_its_spiffe_id_until_it_ends() {
    let listener = Listener::new().await;
    let svid = listener.order(|order| order.until = NOW + 60);
    let identity = listener.judge(&svid, 0).unwrap();
    let claims = identity.claims();
    let attested = claims.attested.as_ref().unwrap();
    assert_eq!((&*attested.issuer, &*attested.subject), ("spiffe://example.org", ID));
    assert_eq!((&claims.user, claims.expires_at), (&None, at(60)));
    assert_eq!(claims.proof, gateway_core::identity::ProofKind::Certificate);
    assert_eq!(claims.entries.len(), 1);
    assert!(listener.judge(&svid, 59).is_ok());
    assert_eq!(listener.judge(&svid, 61).unwrap_err(), IdentityError::Expired);
}

#[tokio::test]
async fn a_chain_leads_through_intermediates_that_are_shown() {
    let listener = Listener::new().await;
    let between = listener.domain.authority.intermediate();
    let alone = between.sign(&Order::svid(ID));
    assert!(matches!(listener.judge(&alone, 0).unwrap_err(), IdentityError::Certificate(_)));
    assert!(listener.judge(&alone.with(&between), 0).is_ok());
}

#[tokio::test]
async fn names_beside_the_one_uri_are_nothing_to_us() {
    let listener = Listener::new().await;
    assert!(listener.judge(&listener.order(|order| order.dns = vec!["runner.internal".into()]), 0).is_ok());
}

#[tokio::test]
async fn refuses_certificates_that_break_the_specification() {
    let listener = Listener::new().await;
    type Change = fn(&mut Order);
    let changes: [(&str, Change); 11] = [
        ("it has no URI", |order| {
            order.uris.clear();
            order.dns = vec!["runner.internal".into()];
        }),
        ("it has no URI", |order| order.uris.clear()),
        ("it has more than one URI", |order| order.uris.push("spiffe://example.org/admin".into())),
        ("it has more than one URI", |order| order.uris.push("https://example.org".into())),
        ("its URI is no SPIFFE ID", |order| order.uris = vec!["https://example.org/a".into()]),
        ("its URI is no SPIFFE ID", |order| order.uris = vec!["spiffe://example.org/a%2Fb".into()]),
        ("its SPIFFE ID names a trust domain, not a workload", |order| {
            order.uris = vec!["spiffe://example.org".into()]
        }),
        ("it is an authority's, not a workload's", |order| {
            order.ca = true;
            order.usages.push(KeyUsagePurpose::KeyCertSign);
        }),
        ("its key is not for signatures, or for signing certificates", |order| {
            order.usages.push(KeyUsagePurpose::KeyCertSign)
        }),
        ("its key is not for signatures, or for signing certificates", |order| order.usages.clear()),
        ("no authority of its trust domain signed it for a client", |order| {
            order.purposes = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
    ];
    for (why, change) in changes {
        let refusal = listener.judge(&listener.order(change), 0).unwrap_err();
        assert_eq!(refusal, IdentityError::Certificate(why));
    }
    let early = listener.order(|order| order.from = NOW + 3600);
    assert_eq!(listener.judge(&early, 0).unwrap_err(), IdentityError::NotYetValid);
    let late = listener.order(|order| order.until = NOW - 1);
    assert_eq!(listener.judge(&late, 0).unwrap_err(), IdentityError::Expired);
}

#[tokio::test]
async fn refuses_what_is_no_certificate() {
    let listener = Listener::new().await;
    let mut longer = listener.order(|_| {}).chain().remove(0);
    longer.push(0);
    for bytes in [Vec::new(), b"certificate".to_vec(), vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], longer] {
        let presented = PresentedCertificates::new(vec![bytes.into_boxed_slice()]).unwrap();
        let refusal = listener.verifier.verify_certificates(&presented, at(0)).unwrap_err();
        assert_eq!(refusal, IdentityError::Certificate("it is no X.509 certificate"));
    }
    assert!(PresentedCertificates::new(Vec::new()).is_none());
}

#[tokio::test]
async fn an_authority_signs_for_its_own_trust_domain_alone() {
    let (one, other) =
        (TestTrustDomain::start("one.example").await, TestTrustDomain::start("two.example").await);
    let verifier = taking(&[by_file("one.example", &one), by_file("two.example", &other)]);
    verifier.refresh_bundles(at(0)).await;
    let judge = |svid: &Svid| verifier.verify_certificates(&shown(svid), at(0));
    assert!(judge(&one.authority.sign(&Order::svid("spiffe://one.example/a"))).is_ok());
    assert!(judge(&other.authority.sign(&Order::svid("spiffe://two.example/a"))).is_ok());
    let crossed = judge(&one.authority.sign(&Order::svid("spiffe://two.example/a"))).unwrap_err();
    assert_eq!(
        crossed,
        IdentityError::Certificate("no authority of its trust domain signed it for a client")
    );
    let foreign = judge(&one.authority.sign(&Order::svid("spiffe://three.example/a"))).unwrap_err();
    assert_eq!(foreign, IdentityError::UnknownIssuer);
    let stranger = Authority::new().sign(&Order::svid("spiffe://one.example/a"));
    assert!(matches!(judge(&stranger).unwrap_err(), IdentityError::Certificate(_)));
}

#[tokio::test]
async fn an_authority_that_leaves_the_bundle_ends_its_certificates_and_a_new_one_is_taken() {
    let listener = Listener::new().await;
    let old = listener.order(|_| {});
    assert!(listener.judge(&old, 0).is_ok());
    let next = Authority::new();
    let mut bundle = listener.domain.bundle();
    bundle["keys"].as_array_mut().unwrap().push(authority_entry(&next));
    listener.domain.write(&bundle);
    listener.verifier.refresh_bundles(at(20)).await;
    let new = next.sign(&Order::svid(ID));
    assert!(listener.judge(&old, 21).is_ok() && listener.judge(&new, 21).is_ok(), "both while both stand");
    bundle["keys"].as_array_mut().unwrap().retain(|key| *key != authority_entry(&listener.domain.authority));
    listener.domain.write(&bundle);
    listener.verifier.refresh_bundles(at(40)).await;
    assert!(matches!(listener.judge(&old, 41).unwrap_err(), IdentityError::Certificate(_)));
    assert!(listener.judge(&new, 41).is_ok());
}

#[tokio::test]
async fn before_the_bundle_is_known_the_fault_is_ours() {
    let domain = TestTrustDomain::start("example.org").await;
    let verifier = taking(&[by_file("example.org", &domain)]);
    let svid = domain.authority.sign(&Order::svid(ID));
    let refusal = verifier.verify_certificates(&shown(&svid), at(0)).unwrap_err();
    assert_eq!(refusal, IdentityError::KeysUnavailable);
}
