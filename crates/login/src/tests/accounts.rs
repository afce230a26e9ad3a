//! The accounts that people connect, as the tests have them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway_core::actor::UserIdentity;
use gateway_core::audit::Event;
use gateway_core::connect::{ConnectArrival, ConnectDeparture, Connections, Offer};
use gateway_core::grant::GivenBack;
use gateway_core::lock::{LockFacts, LockSelector, LockWatch};
use gateway_core::login::{Fault, Person};
use gateway_core::state::GrantRecord;
use gateway_core::time::Timestamp;
use serde_json::json;
use url::Url;

use super::shown;

/// User, code, verifier and scopes.
type Arrived = (String, Option<String>, String, Vec<String>);

/// One provider of notes, which everybody but mallory may connect.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) offers: Mutex<Vec<Offer>>,
    pub(super) grants: Mutex<Vec<Arc<GrantRecord>>>,
    /// State, verifier and scopes.
    pub(super) departures: Mutex<Vec<(String, String, Vec<String>)>>,
    pub(super) arrivals: Mutex<Vec<Arrived>>,
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) fault: Mutex<Option<Fault>>,
    pub(super) down: AtomicBool,
    pub(super) confirms: AtomicBool,
    pub(super) locks: Mutex<Vec<LockSelector>>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            offers: Mutex::new(vec![offer("notes", Some("https://notes.internal"))]),
            grants: Mutex::default(),
            departures: Mutex::default(),
            arrivals: Mutex::default(),
            events: Mutex::default(),
            fault: Mutex::default(),
            down: AtomicBool::new(false),
            confirms: AtomicBool::new(true),
            locks: Mutex::default(),
        }
    }
}

pub(super) fn offer(provider: &str, resource: Option<&str>) -> Offer {
    let spec = json!({"name": provider, "environment": "dev", "owner": "support", "grants": "vault://kv/grants",
        "issuer": format!("https://{provider}.example"), "client": {"id": "gateway"}});
    Offer {
        provider: Arc::new(serde_json::from_value(spec).unwrap()),
        servers: vec![provider.parse().unwrap(), "other".parse().unwrap()],
        scopes: vec!["read".to_owned()],
        all_scopes: vec!["read".to_owned(), "write".to_owned()],
        resource: resource.map(str::to_owned),
        audience: None,
    }
}

pub(super) fn grant(id: &str, user: &UserIdentity, provider: &str, scopes: &[&str]) -> GrantRecord {
    GrantRecord {
        id: id.to_owned(),
        environment: "dev".parse().unwrap(),
        provider: provider.parse().unwrap(),
        user: user.to_string(),
        account: None,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        reference: gateway_core::reference::SecretReference::parse("vault://kv/grants/g#grant").unwrap(),
        created_at: Timestamp::from_seconds(1_000),
        ended: None,
    }
}

impl Accounts {
    fn up(&self) -> Result<(), Fault> {
        if self.down.load(Ordering::SeqCst) { Err(Fault::Unavailable) } else { Ok(()) }
    }
}

impl LockWatch for Accounts {
    fn stopping(&self, facts: &LockFacts<'_>) -> Result<Option<String>, Fault> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Fault::Unavailable);
        }
        let locks = self.locks.lock().unwrap();
        Ok(locks.iter().find(|lock| lock.matches(facts)).map(|_| "lock-1".to_owned()))
    }
}

#[async_trait]
impl Connections for Accounts {
    fn offers(&self, person: &Person) -> Result<Vec<Offer>, Fault> {
        self.up()?;
        let none = &*person.user.subject == "mallory";
        Ok(if none { Vec::new() } else { self.offers.lock().unwrap().clone() })
    }

    fn grants(&self, user: &UserIdentity) -> Result<Vec<Arc<GrantRecord>>, Fault> {
        self.up()?;
        let grants = self.grants.lock().unwrap();
        Ok(grants.iter().filter(|grant| grant.user == user.to_string()).cloned().collect())
    }

    async fn depart(&self, offer: &Offer, departure: &ConnectDeparture<'_>) -> Result<Url, Fault> {
        assert_eq!(departure.redirect_uri, format!("{}/connect/callback", super::ORIGIN));
        if let Some(fault) = *self.fault.lock().unwrap() {
            return Err(fault);
        }
        let state = shown(departure.state);
        let told = (state.clone(), shown(departure.verifier), departure.scopes.to_vec());
        self.departures.lock().unwrap().push(told);
        Ok(Url::parse(&format!("{}/authorize?state={state}", offer.provider.issuer)).unwrap())
    }

    async fn arrive(&self, offer: &Offer, arrival: &ConnectArrival<'_>) -> Result<GrantRecord, Fault> {
        self.arrivals.lock().unwrap().push((
            arrival.user.to_string(),
            arrival.code.map(shown),
            shown(arrival.verifier),
            arrival.scopes.to_vec(),
        ));
        self.events.lock().unwrap().push(arrival.event.clone());
        if let Some(fault) = *self.fault.lock().unwrap() {
            return Err(fault);
        }
        let granted = grant("g-1", arrival.user, offer.provider.name.as_str(), &["read"]);
        self.grants.lock().unwrap().push(Arc::new(granted.clone()));
        Ok(granted)
    }

    async fn end(&self, user: &UserIdentity, id: &str, event: &Event) -> Result<GivenBack, Fault> {
        let mut grants = self.grants.lock().unwrap();
        let before = grants.len();
        grants.retain(|grant| grant.id != id || grant.user != user.to_string());
        if grants.len() == before {
            return Err(Fault::ConnectGrantUnknown);
        }
        self.events.lock().unwrap().push(event.clone());
        let answer = if self.confirms.load(Ordering::SeqCst) { "revoked" } else { "not_offered" };
        let said = Some(answer.to_owned());
        Ok(GivenBack { refresh_token: said.clone(), access_token: said, deleted: true, trouble: None })
    }
}
