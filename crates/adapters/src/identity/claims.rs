//! From signed claims to an identity, by the rules of their issuer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::actor::{Groups, UserIdentity};
use gateway_core::id::GroupName;
use gateway_core::identity::{Attested, Entry, IdentityError, ProofKind, VerifiedClaims};
use gateway_core::login::{Assertion, Person};
use gateway_core::time::Timestamp;
use serde_json::Value;

use super::attest::{Vouches, attested};
use super::config::Preset;
use super::rules::IssuerRules;
use super::svid::Leaf;
use super::token::SignedClaims;

/// An assertion that lasts longer is no statement about a moment.
const ASSERTED_FOR: Duration = Duration::from_secs(600);
/// A token from further in the future than this was not issued by a sane clock.
const ISSUED_AHEAD: Duration = Duration::from_secs(60);

impl IssuerRules {
    /// Judges times and audience, and reads who it is. The signature, `iss`, `alg` and `typ` were
    /// judged before.
    pub(super) fn accept(
        &self,
        claims: &SignedClaims,
        now: Timestamp,
    ) -> Result<VerifiedClaims, IdentityError> {
        let expires_at = self.times(claims, now)?;
        let entries = self.entries(claims)?;
        // A token bound to a key of its holder (RFC 7800) proves nothing without that key.
        if claims.value("cnf").is_some() {
            return Err(IdentityError::Claims);
        }
        if self.vouches != Vouches::Callers {
            return self.runtime(claims, entries, expires_at);
        }
        let client = self.client(claims)?;
        let (subject, is_person) = self.subject(claims, client)?;
        let subject: Arc<str> = Arc::from(subject.as_str());
        let user = is_person
            .then(|| UserIdentity { issuer: Arc::clone(&self.issuer), subject: Arc::clone(&subject) });
        let groups = if user.is_some() { self.groups(claims) } else { Groups::Unknown };
        Ok(VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: Arc::clone(&self.issuer),
            subject,
            user,
            groups,
            client: client.map(Arc::from),
            act_subject: self.actor(claims)?,
            agent: None,
            attested: None,
            entries,
            expires_at,
        })
    }

    /// The person of an ID token (OpenID Connect Core, section 3.1.3.7); its signature, `iss`, `alg` and
    /// nonce were judged before. It is the same person that the issuer's access tokens speak for.
    pub(super) fn person(
        &self,
        claims: &SignedClaims,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Person, IdentityError> {
        self.times(claims, now)?;
        date(claims, "iat")?.ok_or(IdentityError::Claims)?;
        self.entries(claims)?;
        let several = claims.value("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1);
        match claims.text("azp")? {
            Some(party) if party != client_id => return Err(IdentityError::Audience),
            None if several => return Err(IdentityError::Audience),
            _ => {}
        }
        self.speaks_for(claims)
    }

    /// The person and client of an ID-JAG; its signature, `iss`, `alg` and type were judged before.
    pub(super) fn assertion(
        &self,
        claims: &SignedClaims,
        audience: &str,
        now: Timestamp,
    ) -> Result<Assertion, IdentityError> {
        let expires_at = self.times(claims, now)?;
        let issued = date(claims, "iat")?.ok_or(IdentityError::Claims)?;
        if expires_at.since(issued) > ASSERTED_FOR.saturating_add(self.leeway) {
            return Err(IdentityError::Claims);
        }
        // One audience alone: an assertion for two servers could be used at each.
        if claims.text("aud")? != Some(audience) {
            return Err(IdentityError::Audience);
        }
        Ok(Assertion {
            person: self.speaks_for(claims)?,
            client: claims.required("client_id")?.to_owned(),
            resource: claims.text("resource")?.map(str::to_owned),
            id: claims.required("jti")?.to_owned(),
            expires_at,
        })
    }

    /// The person that a statement of the provider's to its client is about.
    fn speaks_for(&self, claims: &SignedClaims) -> Result<Person, IdentityError> {
        if self.vouches != Vouches::Callers {
            return Err(IdentityError::Claims);
        }
        let subject = match self.preset {
            Some(Preset::Entra) => format!("{}/{}", claims.required("tid")?, claims.required("oid")?),
            // What access tokens carry as `uid` is the `sub` of ID tokens.
            Some(Preset::Okta) => claims.required("sub")?.to_owned(),
            _ => claims.required(&self.subject_claim)?.to_owned(),
        };
        let user = UserIdentity { issuer: Arc::clone(&self.issuer), subject: Arc::from(subject) };
        Ok(Person { user, groups: self.groups(claims) })
    }

    /// A runtime's identity: no user and no groups, whatever the claims say.
    fn runtime(
        &self,
        claims: &SignedClaims,
        entries: Vec<Entry>,
        expires_at: Timestamp,
    ) -> Result<VerifiedClaims, IdentityError> {
        let attested = attested(&self.issuer, &self.vouches, self.preset, &self.subject_claim, claims)?;
        Ok(VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: Arc::clone(&self.issuer),
            subject: Arc::clone(&attested.subject),
            user: None,
            groups: Groups::Unknown,
            client: self.client(claims)?.map(Arc::from),
            act_subject: self.actor(claims)?,
            agent: None,
            attested: Some(Arc::new(attested)),
            entries,
            expires_at,
        })
    }

    /// What a verified X.509-SVID says: its ID, and every door of the trust domain.
    pub(super) fn certified(&self, leaf: &Leaf) -> VerifiedClaims {
        let subject = leaf.id.text();
        let attested = Attested {
            issuer: Arc::clone(&self.issuer),
            subject: Arc::clone(subject),
            claims: BTreeMap::new(),
        };
        VerifiedClaims {
            proof: ProofKind::Certificate,
            issuer: Arc::clone(&self.issuer),
            subject: Arc::clone(subject),
            user: None,
            groups: Groups::Unknown,
            client: None,
            act_subject: None,
            agent: None,
            attested: Some(Arc::new(attested)),
            entries: self.audiences.values().flatten().cloned().collect(),
            expires_at: leaf.not_after,
        }
    }

    /// When the token ends for us, the leeway included.
    pub(super) fn times(&self, claims: &SignedClaims, now: Timestamp) -> Result<Timestamp, IdentityError> {
        let end = date(claims, "exp")?.ok_or(IdentityError::Claims)?.plus(self.leeway);
        if now >= end {
            return Err(IdentityError::Expired);
        }
        if date(claims, "nbf")?.is_some_and(|start| now.plus(self.leeway) < start) {
            return Err(IdentityError::NotYetValid);
        }
        if date(claims, "iat")?.is_some_and(|issued| now.plus(self.leeway).plus(ISSUED_AHEAD) < issued) {
            return Err(IdentityError::NotYetValid);
        }
        Ok(end)
    }

    /// The doors of every audience that is ours; at least one must be.
    fn entries(&self, claims: &SignedClaims) -> Result<Vec<Entry>, IdentityError> {
        let values: Vec<&str> = match claims.value("aud") {
            Some(Value::String(value)) => vec![value],
            Some(Value::Array(list)) => {
                list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(IdentityError::Claims)?
            }
            None | Some(_) => return Err(IdentityError::Claims),
        };
        let mut ours = values.iter().filter_map(|value| self.audiences.get(*value)).peekable();
        if ours.peek().is_none() {
            return Err(IdentityError::Audience);
        }
        Ok(ours.flatten().cloned().collect())
    }

    /// The client application. Two claims that name different ones are refused: either could be it.
    fn client<'a>(&self, claims: &'a SignedClaims) -> Result<Option<&'a str>, IdentityError> {
        let (first, second) = match self.preset {
            Some(Preset::Entra | Preset::Azure) => ("azp", "appid"),
            Some(Preset::Okta) => ("cid", "client_id"),
            _ => ("client_id", "azp"),
        };
        match (claims.text(first)?, claims.text(second)?) {
            (Some(one), Some(other)) if one != other => Err(IdentityError::Claims),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// The subject, and whether it is a person.
    fn subject(&self, claims: &SignedClaims, client: Option<&str>) -> Result<(String, bool), IdentityError> {
        match self.preset {
            Some(Preset::Entra) => {
                let subject = format!("{}/{}", claims.required("tid")?, claims.required("oid")?);
                let for_app = claims.text("idtyp")? == Some("app") || claims.text("scp")?.is_none();
                Ok((subject, !for_app))
            }
            Some(Preset::Okta) => match claims.text("uid")? {
                Some(uid) => Ok((uid.to_owned(), true)),
                None => Ok((claims.required("sub")?.to_owned(), false)),
            },
            _ => {
                let subject = claims.required(&self.subject_claim)?;
                Ok((subject.to_owned(), !is_client_itself(claims, client)?))
            }
        }
    }

    /// The person's groups. Not told, told elsewhere (Entra's overage), or in a form we do not know:
    /// unknown. A name that no group of ours can have is left out: it could match nothing.
    pub(super) fn groups(&self, claims: &SignedClaims) -> Groups {
        let Some(name) = &self.groups_claim else { return Groups::Unknown };
        let overage = claims.value("hasgroups").is_some()
            || claims.value("_claim_names").is_some_and(|names| names.get(name).is_some());
        let list = match claims.value(name) {
            Some(Value::Array(list)) if !overage => list,
            _ => return Groups::Unknown,
        };
        let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        match names {
            Some(names) => Groups::Known(
                names.into_iter().filter_map(|name| GroupName::parse(name).ok()).collect::<BTreeSet<_>>(),
            ),
            None => Groups::Unknown,
        }
    }

    /// The outermost actor (RFC 8693, section 4.1). An actor of another issuer's names is none of ours.
    fn actor(&self, claims: &SignedClaims) -> Result<Option<Arc<str>>, IdentityError> {
        let Some(actor) = claims.value("act") else { return Ok(None) };
        let actor = actor.as_object().ok_or(IdentityError::Claims)?;
        let issuer = actor.get("iss").map_or(Some(&*self.issuer), Value::as_str);
        if issuer != Some(&*self.issuer) {
            return Ok(None);
        }
        let subject = actor.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        subject.map(|subject| Some(Arc::from(subject))).ok_or(IdentityError::Claims)
    }
}

/// Whether the token speaks for the client alone (RFC 9068, section 5, and what providers do instead).
fn is_client_itself(claims: &SignedClaims, client: Option<&str>) -> Result<bool, IdentityError> {
    let says = |name: &str, word: &str| claims.text(name).map(|text| text == Some(word));
    if says("gty", "client-credentials")? || says("gty", "client_credentials")? || says("idtyp", "app")? {
        return Ok(true);
    }
    let Some(client) = client else { return Ok(false) };
    let subject = claims.text("sub")?;
    // Auth0 appends `@clients`; Keycloak makes a user of its own for each client.
    let service_user = format!("service-account-{}", client.to_ascii_lowercase());
    Ok(subject == Some(client)
        || subject.and_then(|subject| subject.strip_suffix("@clients")) == Some(client)
        || matches!(claims.value("preferred_username"), Some(Value::String(name)) if *name == service_user))
}

/// A `NumericDate` (RFC 7519, section 2), rounded down to whole seconds.
fn date(claims: &SignedClaims, name: &str) -> Result<Option<Timestamp>, IdentityError> {
    let Some(value) = claims.value(name) else { return Ok(None) };
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(seconds), _) => seconds,
        (None, Some(seconds)) if (0.0..1e11).contains(&seconds) => seconds.floor() as i64,
        _ => return Err(IdentityError::Claims),
    };
    Ok(Some(Timestamp::from_seconds(seconds)))
}
