//! Tokens that the gateway signs for servers that trust its key set.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::audit::BindingRevision;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, ToolName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{AgentSpec, MintedToken, Route, ToolSelector};
use gateway_core::ports::{CredentialWish, Random};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::ActiveBinding;
use gateway_core::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::signing::{Algorithm, Purpose, Signer};

/// How many tokens are kept for further calls; beyond that each call gets one of its own.
const MOST: usize = 20_000;

/// Mints tokens and keeps them for the calls of their short life.
pub(super) struct Minted {
    signer: Arc<Signer>,
    random: Arc<dyn Random>,
    issuer: String,
    held: Mutex<HashMap<Key, Held>>,
}

/// Tokens of equal keys say the same but for their times.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    environment: EnvironmentName,
    binding: BindingRevision,
    agent: Option<AgentName>,
    /// Every claim that does not change from one token to the next.
    says: String,
}

/// What was forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    pub(super) count: u32,
    /// What the first was for.
    pub(super) of: Option<(EnvironmentName, BindingRevision)>,
    pub(super) last_expires_at: Option<Timestamp>,
}

struct Held {
    version: Arc<SecretVersion>,
    /// From here on a new one is minted.
    until: Timestamp,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Minted {
    /// Mints as this issuer: the gateway's public URL.
    pub(super) fn new(signer: Arc<Signer>, random: Arc<dyn Random>, public_url: &str) -> Self {
        let issuer = public_url.trim_end_matches('/').to_owned();
        Self { signer, random, issuer, held: Mutex::default() }
    }

    /// The token for this use: a kept one, or a new one.
    pub(super) fn issue(
        &self,
        wish: &CredentialWish<'_>,
        minted: &MintedToken,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let binding = wish.permit.binding();
        let stable = self.stable_claims(wish, minted)?;
        let key = Key {
            environment: binding.spec.environment.clone(),
            binding: binding.name_at_revision(),
            agent: wish.actor.and_then(|actor| actor.agent.clone()),
            says: Value::Object(stable.clone()).to_string(),
        };
        if let Some(kept) = self.held().get(&key).filter(|kept| wish.now < kept.until) {
            return Ok(Arc::clone(&kept.version));
        }
        let held = self.mint(stable, minted, wish.now)?;
        let version = Arc::clone(&held.version);
        let mut all = self.held();
        if all.len() < MOST {
            all.insert(key, held);
        }
        Ok(version)
    }

    fn mint(
        &self,
        mut claims: Map<String, Value>,
        minted: &MintedToken,
        now: Timestamp,
    ) -> Result<Held, Refusal> {
        let mut random = [0_u8; 16];
        self.random.fill(&mut random);
        let id = hex::encode(random);
        let (start, life) = (now.seconds(), i64::from(minted.lifetime_seconds));
        let end = start.saturating_add(life);
        for (name, value) in
            [("jti", json!(id)), ("iat", json!(start)), ("nbf", json!(start)), ("exp", json!(end))]
        {
            claims.insert(name.to_owned(), value);
        }
        let algorithm = Algorithm::EdDsa;
        let secret = self
            .signer
            .sign(Purpose::Minted, algorithm, &claims)
            .map_err(|error| Refusal::new(Code::ModeUnavailable).because(error))?;
        let version = SecretVersion {
            secret,
            version: VersionId::new(&id),
            created_at: Some(now),
            expires_at: Some(Timestamp::from_seconds(end)),
            store_request_id: None,
        };
        // A call that starts with it still has a quarter of its life.
        let until = Timestamp::from_seconds(start.saturating_add(life.saturating_mul(3) / 4));
        Ok(Held { version: Arc::new(version), until })
    }

    /// What the token says but for its id and its times.
    fn stable_claims(
        &self,
        wish: &CredentialWish<'_>,
        minted: &MintedToken,
    ) -> Result<Map<String, Value>, Refusal> {
        let refused = |why: &str| Refusal::new(Code::ReferenceRefused).because(why);
        let binding = wish.permit.binding();
        let actor = wish.actor.ok_or_else(|| refused("a token is minted for an actor, and there is none"))?;
        let audience = match (&minted.audience, &binding.route) {
            (Some(audience), _) => audience.clone(),
            (None, Route::Http(route)) => route.url.to_string(),
            (None, Route::Stdio(_)) => return Err(refused("a process has no URL to be the audience")),
        };
        // A token of the gateway's own doors is never minted for somebody else to use there.
        let own = audience.strip_prefix(&self.issuer);
        if own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(refused("the audience is the gateway itself"));
        }
        let mut claims = Map::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", json!(self.issuer));
        say("aud", json!(audience));
        say("environment", json!(binding.spec.environment));
        say("server", json!(binding.spec.server));
        say("binding", json!(binding.name_at_revision()));
        let (subject, acting) =
            actor.parties().ok_or_else(|| refused("the actor has no part that a token can name"))?;
        say("sub", json!(subject));
        if let Some(acting) = acting {
            say("act", json!({ "sub": acting }));
        }
        if let Some(workload) = &actor.workload {
            say("workload", json!(workload));
        }
        if let Some(name) = &actor.agent {
            // An agent that was switched off meanwhile gets nothing.
            let agent = wish.agent.filter(|agent| agent.name == *name);
            let agent = agent.ok_or_else(|| refused("the agent is not registered any more"))?;
            say("agent", json!(name));
            say("owner_team", json!(agent.owner));
            say("tools", json!(tools(agent, binding)));
        }
        Ok(claims)
    }

    /// Forgets the token that the server refused. Another one would say the same.
    pub(super) fn refused(&self, version: &VersionId) {
        self.held().retain(|_, held| held.version.version != *version);
    }

    /// Forgets the binding's tokens; says how many, and when the last of them expires: servers go on taking them
    /// until then, for they ask nobody.
    pub(super) fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> Forgotten {
        self.forget(|key| key.environment == *environment && key.binding.name == *binding)
    }

    /// The same of the agent's tokens.
    pub(super) fn end_agent(&self, agent: &AgentName) -> Forgotten {
        self.forget(|key| key.agent.as_ref() == Some(agent))
    }

    fn forget(&self, which: impl Fn(&Key) -> bool) -> Forgotten {
        let gone: Vec<(Key, Held)> = self.held().extract_if(|key, _| which(key)).collect();
        Forgotten {
            count: u32::try_from(gone.len()).unwrap_or(u32::MAX),
            of: gone.first().map(|(key, _)| (key.environment.clone(), key.binding.clone())),
            last_expires_at: gone.iter().filter_map(|(_, held)| held.version.expires_at).max(),
        }
    }

    /// Forgets what is not handed out any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.held().retain(|_, held| now < held.until);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tools of this server that the agent owns and the binding covers, as far as both may go; `*` where
/// neither lists any.
fn tools(agent: &AgentSpec, binding: &ActiveBinding) -> Vec<String> {
    let server = &binding.spec.server;
    let owned = agent.tools.iter().filter(|entry| entry.server == *server);
    let (mut every, mut named) = (agent.tools.is_empty(), Vec::new());
    for entry in owned {
        every |= entry.tools.is_empty();
        named.extend(entry.tools.iter());
    }
    let ceiling = binding.spec.risk.min(agent.risk_ceiling);
    let within = |tool: &&ToolName| {
        agent.owns(server, tool)
            && binding.spec.tools.covers(tool.as_str())
            && binding.pinned_server.tools.of(tool.as_str()) <= ceiling
    };
    let mut listed: Vec<String> = match (&binding.spec.tools, every) {
        (ToolSelector::All, true) => return vec!["*".to_owned()],
        (ToolSelector::Named(tools), true) => tools.iter().filter(within).map(ToString::to_string).collect(),
        (_, false) => named.into_iter().filter(within).map(ToString::to_string).collect(),
    };
    listed.sort();
    listed.dedup();
    listed
}

#[cfg(test)]
mod tests;
