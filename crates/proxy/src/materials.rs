//! What is made of a secret version once and used for many calls: the scrubber's needles and the
//! value in its place. Kept only as long as the binding uses that version.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use gateway_core::account::Account;
use gateway_core::id::AgentName;
use gateway_core::lease::SecretVersion;
use gateway_core::manifest::{BasicUser, BindingSpec, ExceptionRule, Injection, LEASED_USER, ValueFormat};
use gateway_core::reference::ResolvedReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::{Marker, NeedleSource, Needles, SHORT_VALUE};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::live::BindingKey;

/// How many former values the scrubber still knows, and for how long after they were replaced.
const FORMER_VALUES: usize = 3;
const FORMER_TIME: Duration = Duration::from_secs(15 * 60);

/// A secret version ready for injection.
pub struct Material {
    version: Arc<SecretVersion>,
    /// What must not come back.
    pub needles: Arc<Needles>,
    placement: Placement,
}

/// Where the value goes, with the value in it.
pub enum Placement {
    /// A header field. The value is marked sensitive, so that it is never printed or indexed.
    Header(HeaderName, HeaderValue),
    /// A query parameter, already encoded (`name=value`).
    Query(Secret),
    /// A variable or file of a server's process.
    Process(ProcessPlacement),
}

/// A value for a process, in its format.
#[derive(Debug)]
pub struct ProcessPlacement {
    /// The variable that holds the value, or the path of the file with it.
    pub variable: String,
    /// The value in its format.
    pub text: Secret,
    /// Whether the value goes into a file.
    pub in_file: bool,
}

impl Material {
    /// Where the value goes.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("version", &self.version.version).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Slot {
    agent: Option<AgentName>,
    reference: Option<ResolvedReference>,
    current: Arc<Material>,
    former: Vec<(Timestamp, Arc<SecretVersion>)>,
}

/// All materials in use.
#[derive(Debug, Default)]
pub struct Materials {
    slots: Mutex<HashMap<(BindingKey, Option<String>), Slot>>,
}

/// Where a value came from: whose it is, and the place in a store whose cache holds it.
#[derive(Debug)]
pub struct Place {
    /// Tells the values of one binding apart, whatever the version, so that a rotation finds the former
    /// value; absent where all callers share one.
    pub slot: Option<String>,
    /// The agent whose it is; absent where others share it.
    pub agent: Option<AgentName>,
    /// The place in a store; absent for material of other sources.
    pub reference: Option<ResolvedReference>,
}

impl Materials {
    /// The material for this version, made where it is new. The former values of the same binding go
    /// into the needles too, so that a late answer cannot bring one back.
    ///
    /// # Errors
    /// [`Code::SecretEmpty`] or [`Code::SecretUnusable`].
    pub fn ready(
        &self,
        key: &BindingKey,
        place: Place,
        spec: &BindingSpec,
        version: Arc<SecretVersion>,
        now: Timestamp,
    ) -> Result<Arc<Material>, Refusal> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot_key = (key.clone(), place.slot);
        let mut former = Vec::new();
        if let Some(slot) = slots.get(&slot_key) {
            if Arc::ptr_eq(&slot.current.version, &version) {
                return Ok(Arc::clone(&slot.current));
            }
            former.clone_from(&slot.former);
            if !same_value(&slot.current.version.secret, &version.secret) {
                former.insert(0, (now, Arc::clone(&slot.current.version)));
            }
        }
        former.retain(|(since, _)| now.since(*since) <= FORMER_TIME);
        former.truncate(FORMER_VALUES);
        let current = Arc::new(prepare(spec, version, &former)?);
        slots.insert(
            slot_key,
            Slot { agent: place.agent, reference: place.reference, current: Arc::clone(&current), former },
        );
        Ok(current)
    }

    /// Drops every value of the binding; says which places they came from.
    pub fn forget(&self, key: &BindingKey) -> Vec<ResolvedReference> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = slots.extract_if(|(known, _), _| known == key);
        gone.filter_map(|(_, slot)| slot.reference).collect()
    }

    /// Drops every value that is the agent's alone; says which places they came from.
    pub fn forget_agent(&self, agent: &AgentName) -> Vec<ResolvedReference> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = slots.extract_if(|_, slot| slot.agent.as_ref() == Some(agent));
        gone.filter_map(|(_, slot)| slot.reference).collect()
    }

    /// Drops what is made of a grant's tokens, whose versions begin with its id.
    pub fn forget_grant(&self, grant: &str) -> u32 {
        let of_grant = |version: &SecretVersion| {
            version.version.as_str().strip_prefix(grant).is_some_and(|rest| rest.starts_with('.'))
        };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let before = slots.len();
        slots.retain(|_, slot| !of_grant(&slot.current.version));
        u32::try_from(before - slots.len()).unwrap_or(u32::MAX)
    }

    /// Drops former values whose time is over; the next use builds its needles without them.
    pub fn sweep(&self, now: Timestamp) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.former.iter().all(|(since, _)| now.since(*since) <= FORMER_TIME));
    }
}

#[expect(clippy::disallowed_methods, reason = "tells a new version from a new fetch of the same value")]
fn same_value(one: &Secret, other: &Secret) -> bool {
    one.expose() == other.expose()
}

/// Judges a value for its injection point and builds everything that depends on it.
///
/// # Errors
/// [`Code::SecretEmpty`] or [`Code::SecretUnusable`].
pub fn prepare(
    spec: &BindingSpec,
    version: Arc<SecretVersion>,
    former: &[(Timestamp, Arc<SecretVersion>)],
) -> Result<Material, Refusal> {
    let injection = spec
        .inject
        .as_ref()
        .ok_or_else(|| Refusal::new(Code::Internal).because("binding without injection"))?;
    if version.secret.is_empty() {
        return Err(Code::SecretEmpty.into());
    }
    let current = Parted::of(injection, &version.secret)?;
    if current.secret.len() < SHORT_VALUE && !spec.excepts(ExceptionRule::ShortSecret) {
        return Err(Refusal::new(Code::SecretUnusable).because("the value is shorter than 16 bytes"));
    }
    judge_characters(injection, &current.secret)?;
    let former = former.iter().map(|(_, version)| Parted::of(injection, &version.secret));
    let former = former.collect::<Result<Vec<_>, _>>()?;
    let sources = std::iter::once(&current).chain(&former).flat_map(|parted| parted.needles(injection));
    let needles = Needles::build(sources, Marker::new(&spec.name))
        .map_err(|error| Refusal::new(Code::SecretUnusable).because(error))?;
    let placement = place(injection, &current)?;
    Ok(Material { needles: Arc::new(needles), placement, version })
}

/// A value as its injection point takes it: with the account that it belongs to, where that is named.
struct Parted {
    /// Held as a secret, because the scrubber takes it out of answers like one.
    account: Option<Secret>,
    name: Zeroizing<String>,
    secret: Secret,
}

impl Parted {
    fn of(injection: &Injection, value: &Secret) -> Result<Self, Refusal> {
        if !injection.names_account() {
            return Ok(Self { account: None, name: Zeroizing::default(), secret: value.duplicate() });
        }
        let why = "the value came without the account that it belongs to";
        let account = Account::part(value).ok_or_else(|| Refusal::new(Code::SecretUnusable).because(why))?;
        if account.secret.is_empty() {
            return Err(Code::SecretEmpty.into());
        }
        let name = Some(Secret::copy_from(account.name.as_bytes()));
        Ok(Self { account: name, name: account.name, secret: account.secret })
    }

    /// What must not come back. A short user name is a word that answers are full of, and no secret.
    fn needles<'a>(&'a self, injection: &'a Injection) -> impl Iterator<Item = NeedleSource<'a>> {
        let user = match injection {
            Injection::Basic { user: BasicUser::Named(user) } => Some(user.as_str()),
            Injection::Basic { user: BasicUser::OfLease } => Some(self.name.as_str()),
            Injection::Header { .. }
            | Injection::Query { .. }
            | Injection::Environment { .. }
            | Injection::File { .. } => None,
        };
        let secret = match user {
            Some(user) => NeedleSource::BasicAuth { user, password: &self.secret },
            None => NeedleSource::Value(&self.secret),
        };
        let account = self.account.as_ref().filter(|account| account.len() >= SHORT_VALUE);
        std::iter::once(secret).chain(account.map(NeedleSource::Value))
    }
}

/// Whether the place can hold the value: visible ASCII in requests, anything but NUL in a variable,
/// anything at all in a file.
#[expect(clippy::disallowed_methods, reason = "judges the bytes before they are placed")]
fn judge_characters(injection: &Injection, secret: &Secret) -> Result<(), Refusal> {
    let fits = match injection {
        Injection::Header { .. } | Injection::Basic { .. } | Injection::Query { .. } => {
            secret.is_header_safe()
        }
        Injection::Environment { .. } => !secret.expose().contains(&0),
        Injection::File { .. } => true,
    };
    let why = "the value holds characters that cannot stand where it goes";
    if fits { Ok(()) } else { Err(Refusal::new(Code::SecretUnusable).because(why)) }
}

#[expect(clippy::disallowed_methods, reason = "placement is one of the named places")]
fn formatted(format: &ValueFormat, parted: &Parted) -> Secret {
    let named = |text: &str| Zeroizing::new(text.replace(LEASED_USER, &parted.name));
    let (before, after) = (named(&format.before), named(&format.after));
    let mut text = zeroizing(before.as_bytes(), parted.secret.len() + after.len());
    text.extend_from_slice(parted.secret.expose());
    text.extend_from_slice(after.as_bytes());
    Secret::new(text)
}

#[expect(clippy::disallowed_methods, reason = "header and query placement is one of the named places")]
fn place(injection: &Injection, parted: &Parted) -> Result<Placement, Refusal> {
    let unusable = |_| Refusal::new(Code::SecretUnusable).because("the value makes no valid header");
    let secret = &parted.secret;
    match injection {
        Injection::Header { name, format } => sensitive(name, formatted(format, parted)).map_err(unusable),
        Injection::Environment { variable, format } => Ok(process(variable, format, parted, false)),
        Injection::File { variable, format } => Ok(process(variable, format, parted, true)),
        Injection::Basic { user } => {
            let user = match user {
                BasicUser::Named(user) => user.as_str(),
                BasicUser::OfLease => parted.name.as_str(),
            };
            let mut pair = zeroizing(user.as_bytes(), secret.len() + 1);
            pair.push(b':');
            pair.extend_from_slice(secret.expose());
            let pair = Secret::new(pair);
            let mut text = zeroizing(b"Basic ", 4 * (pair.len() / 3 + 1));
            let encoded =
                Secret::new(base64::engine::general_purpose::STANDARD.encode(pair.expose()).into_bytes());
            text.extend_from_slice(encoded.expose());
            sensitive("authorization", Secret::new(text)).map_err(unusable)
        }
        Injection::Query { name } => {
            let mut text = zeroizing(name.as_bytes(), 3 * secret.len() + 1);
            text.push(b'=');
            for byte in secret.expose() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                    text.push(*byte);
                } else {
                    text.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
            }
            Ok(Placement::Query(Secret::new(text)))
        }
    }
}

fn process(variable: &str, format: &ValueFormat, parted: &Parted, in_file: bool) -> Placement {
    Placement::Process(ProcessPlacement {
        variable: variable.to_owned(),
        text: formatted(format, parted),
        in_file,
    })
}

/// A buffer large enough never to move, so that growing leaves no copy behind.
fn zeroizing(start: &[u8], more: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(start.len() + more);
    buffer.extend_from_slice(start);
    buffer
}

#[expect(clippy::disallowed_methods, reason = "the header value is the injection")]
fn sensitive(name: &str, text: Secret) -> Result<Placement, http::Error> {
    let mut value = HeaderValue::from_bytes(text.expose())?;
    value.set_sensitive(true);
    Ok(Placement::Header(HeaderName::from_bytes(name.as_bytes())?, value))
}
