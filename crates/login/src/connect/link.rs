//! Links to the connect page: plain ones, and sealed ones that callers are given when a call lacks a grant.

use std::time::Duration;

use gateway_core::actor::UserIdentity;
use gateway_core::connect::{ConnectPages, ConnectWish, Offer};
use gateway_core::login::{Fault, Person};
use gateway_core::time::Timestamp;
use subtle::ConstantTimeEq;
use url::Url;

use crate::context::Login;
use crate::fields::Fields;
use crate::page::Html;
use crate::seal::Purpose;

/// How long a sealed link is good for.
const GOOD_FOR: Duration = Duration::from_mins(30);

/// What the page is asked for, by its address or by its own form.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) environment: String,
    pub(super) provider: String,
    pub(super) resource: Option<String>,
    seal: Option<Seal>,
}

/// What a sealed link says besides.
#[derive(Debug)]
struct Seal {
    server: String,
    scope: String,
    /// Seconds since 1970.
    until: String,
    /// A mark of the person that it was made for.
    whom: String,
    tag: String,
}

/// What may be asked of the person.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) offer: Offer,
    /// Exactly these.
    pub(super) scopes: Vec<String>,
}

impl Link {
    /// The plain link of an offer.
    pub(super) fn plain(offer: &Offer) -> Self {
        Self {
            environment: offer.provider.environment.to_string(),
            provider: offer.provider.name.to_string(),
            resource: offer.resource.clone(),
            seal: None,
        }
    }

    /// Takes the query of an address or the fields of a form. A link has all marks of a seal or none.
    pub(super) fn read(environment: &str, provider: &str, fields: &Fields) -> Result<Self, Fault> {
        let text = |name: &str| fields.text(name).map(str::to_owned);
        let seal = match (text("server"), text("until"), text("for"), text("seal")) {
            (None, None, None, None) => None,
            (Some(server), Some(until), Some(whom), Some(tag)) => {
                // Providers without scopes have none to ask for.
                Some(Seal { server, scope: text("scope").unwrap_or_default(), until, whom, tag })
            }
            _ => return Err(Fault::ConnectLinkRefused),
        };
        let (environment, provider) = (environment.to_owned(), provider.to_owned());
        Ok(Self { environment, provider, resource: text("resource"), seal })
    }

    /// Whether its seal is ours and holds; needs to know nobody.
    pub(super) fn check(&self, login: &Login) -> Result<(), Fault> {
        let Some(seal) = &self.seal else { return Ok(()) };
        let expected = self.tag(login, seal);
        let ours = bool::from(expected.as_bytes().ct_eq(seal.tag.as_bytes()));
        let until = seal.until.parse().map(Timestamp::from_seconds);
        let holds = until.is_ok_and(|until| login.now() < until);
        if ours && holds { Ok(()) } else { Err(Fault::ConnectLinkRefused) }
    }

    /// What this person may be asked for; a sealed link is for one person alone.
    pub(super) fn judge(&self, login: &Login, person: &Person) -> Result<Asked, Fault> {
        self.check(login)?;
        if let Some(seal) = &self.seal {
            let theirs = mark(login, &person.user);
            if !bool::from(theirs.as_bytes().ct_eq(seal.whom.as_bytes())) {
                return Err(Fault::ConnectOtherUser);
            }
        }
        let offer = self.offer(login, person)?;
        let held = held(login, &offer, &person.user)?;
        let scopes = match &self.seal {
            Some(seal) => {
                let scopes: Vec<String> = seal.scope.split_ascii_whitespace().map(str::to_owned).collect();
                // The bindings may have changed since.
                if !scopes.iter().all(|scope| offer.all_scopes.contains(scope) || held.contains(scope)) {
                    return Err(Fault::ConnectUnknown);
                }
                scopes
            }
            // A new grant replaces the old one, so it asks for what that had as well.
            None => {
                let kept = held.into_iter().filter(|scope| offer.all_scopes.contains(scope));
                let mut scopes: Vec<String> = offer.scopes.iter().cloned().chain(kept).collect();
                scopes.sort_unstable();
                scopes.dedup();
                scopes
            }
        };
        Ok(Asked { offer, scopes })
    }

    fn offer(&self, login: &Login, person: &Person) -> Result<Offer, Fault> {
        let offers = login.connections()?.offers(person)?;
        let mut fitting = offers.into_iter().filter(|offer| {
            let provider = &offer.provider;
            let resource = self.resource.is_none() && self.seal.is_none() || self.resource == offer.resource;
            provider.environment.as_str() == self.environment
                && provider.name.as_str() == self.provider
                && resource
        });
        let first = fitting.next().ok_or(Fault::ConnectUnknown)?;
        // Several resources, and the address names none.
        if fitting.next().is_some() { Err(Fault::RequestMalformed) } else { Ok(first) }
    }

    /// The server whose call led here.
    pub(super) fn server(&self) -> Option<&str> {
        self.seal.as_ref().map(|seal| seal.server.as_str())
    }

    /// The hidden fields of the form, from which [`Link::read`] reads the same link.
    pub(super) fn hidden(&self) -> Html {
        let html = Html::new().hidden("environment", &self.environment).hidden("provider", &self.provider);
        self.pairs().into_iter().fold(html, |html, (name, value)| html.hidden(name, value))
    }

    /// The address of the page for this link.
    pub(super) fn address(&self, login: &Login) -> Option<Url> {
        let mut url = Url::parse(&login.at("/connect")).ok()?;
        url.path_segments_mut().ok()?.push(&self.environment).push(&self.provider);
        let pairs = self.pairs();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Some(url)
    }

    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let mut pairs: Vec<(&'static str, &str)> = Vec::new();
        if let Some(seal) = &self.seal {
            pairs.push(("server", &seal.server));
            pairs.push(("scope", &seal.scope));
        }
        pairs.extend(self.resource.as_deref().map(|resource| ("resource", resource)));
        if let Some(seal) = &self.seal {
            pairs.extend([("until", &*seal.until), ("for", &seal.whom), ("seal", &seal.tag)]);
        }
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    fn tag(&self, login: &Login, seal: &Seal) -> String {
        let resource = self.resource.as_deref().unwrap_or_default();
        let parts =
            [&self.environment, &self.provider, &seal.server, &seal.scope, resource, &seal.until, &seal.whom];
        // None of them can hold a line break unless somebody put it there, and then the lengths differ.
        let text: String = parts.iter().map(|part| format!("{}:{part}\n", part.len())).collect();
        login.key.mark(Purpose::ConnectLink, text.as_bytes())
    }
}

/// The scopes of the person's living grant for the offer.
pub(super) fn held(login: &Login, offer: &Offer, user: &UserIdentity) -> Result<Vec<String>, Fault> {
    let grants = login.connections()?.grants(user)?;
    let same = grants.into_iter().find(|grant| {
        grant.environment == offer.provider.environment && grant.provider == offer.provider.name
    });
    Ok(same.map(|grant| grant.scopes.clone()).unwrap_or_default())
}

/// A mark that tells one person from another and says nothing about either.
fn mark(login: &Login, user: &UserIdentity) -> String {
    login.key.mark(Purpose::ConnectUser, user.to_string().as_bytes())
}

impl ConnectPages for Login {
    fn address(&self, wish: &ConnectWish<'_>) -> Option<Url> {
        let mut link = Link {
            environment: wish.environment.to_string(),
            provider: wish.provider.to_string(),
            resource: wish.resource.map(str::to_owned),
            seal: None,
        };
        let mut seal = Seal {
            server: wish.server.to_string(),
            scope: wish.scopes.join(" "),
            until: wish.now.plus(GOOD_FOR).seconds().to_string(),
            whom: mark(self, wish.user),
            tag: String::new(),
        };
        seal.tag = link.tag(self, &seal);
        link.seal = Some(seal);
        Link::address(&link, self)
    }
}
