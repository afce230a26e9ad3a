//! The whole journey of a request on one page, and what the control plane may do to it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::actor::Actor;
use gateway_core::audit::{Ended, Event, EventKind};
use gateway_core::client::ClientDocument;
use gateway_core::connect::ConnectPages;
use gateway_core::figures::Exposition;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, StoreName, WorkloadName};
use gateway_core::lease::VersionId;
use gateway_core::lock::LockRecord;
use gateway_core::ports::{
    AuditSink, CredentialIssuer, IdentityVerifier, LiveTraffic, OwnKeys, Random, RolledBack,
};
use gateway_core::reference::ResolvedReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::GrantRecord;
use gateway_core::stores::Stores;
use gateway_core::time::Clock;
use gateway_core::trace::Stage;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;

use crate::bridge::known::Generations;
use crate::bridge::pool::Pool;
use crate::bridge::{self, Outcome};
use crate::ending::Course;
use crate::limits::Limiter;
use crate::live::Live;
use crate::locking;
use crate::materials::Materials;
use crate::metrics::Metrics;
use crate::path::admit::{self, Trip};
use crate::path::answer::answer;
use crate::path::authenticate::authenticate;
use crate::path::authorize::{Aim, authorize};
use crate::path::body::AnswerBody;
use crate::path::elicit;
use crate::path::identify::{Misread, identify};
use crate::path::journey::Journey;
use crate::path::lock;
use crate::path::refuse::{plain, refuse, refuse_headers, refuse_translation};
use crate::peer::Peer;
use crate::session::{Abandoned, Sessions};
use crate::settings::Settings;
use crate::site::{self, Site};
use crate::trace::Tracer;
use crate::upstream::Upstreams;
use crate::upstream::stdio::{Children, Standing};
use crate::world::WorldCell;

/// The data plane of one process. Shared by all data threads.
#[derive(Debug)]
pub struct Gateway {
    /// What decides.
    pub world: WorldCell,
    /// Verifies tokens of configured issuers.
    pub verifier: Arc<dyn IdentityVerifier>,
    /// The configured stores.
    pub stores: Arc<Stores>,
    /// The credential sources beyond stored secrets.
    pub issuer: Arc<dyn CredentialIssuer>,
    /// The gateway's own public keys.
    pub keys: Arc<dyn OwnKeys>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random generator.
    pub random: Arc<dyn Random>,
    /// The pages for people, where there are any.
    pub site: Option<Arc<dyn Site>>,
    /// Points callers at the connect pages, where there are any.
    pub connect: Option<Arc<dyn ConnectPages>>,
    /// Limits and names.
    pub settings: Settings,
    /// Everything under way.
    pub live: Live,
    /// Legacy sessions.
    pub sessions: Sessions,
    /// Which generation each server speaks.
    pub generations: Generations,
    /// Sessions at servers of the older generation, for modern clients.
    pub shared: Pool,
    /// Secret versions ready for injection.
    pub materials: Materials,
    /// Rate and concurrency.
    pub limiter: Limiter,
    /// Servers that are processes.
    pub children: Children,
    /// Figures.
    pub metrics: Metrics,
    /// Records spans, where that is on.
    pub tracer: Option<Arc<Tracer>>,
    /// Connections of the gateway's own errands.
    pub(crate) housekeeping: Upstreams,
    own: Weak<Self>,
    open: AtomicUsize,
    waiting: AtomicUsize,
    draining: AtomicBool,
}

/// What the binary wires into the data plane.
#[derive(Debug)]
pub struct Wiring {
    /// See [`Gateway::world`].
    pub world: WorldCell,
    /// See [`Gateway::verifier`].
    pub verifier: Arc<dyn IdentityVerifier>,
    /// See [`Gateway::stores`].
    pub stores: Arc<Stores>,
    /// See [`Gateway::issuer`].
    pub issuer: Arc<dyn CredentialIssuer>,
    /// See [`Gateway::keys`].
    pub keys: Arc<dyn OwnKeys>,
    /// See [`Gateway::audit`].
    pub audit: Arc<dyn AuditSink>,
    /// See [`Gateway::clock`].
    pub clock: Arc<dyn Clock>,
    /// See [`Gateway::random`].
    pub random: Arc<dyn Random>,
    /// See [`Gateway::site`].
    pub site: Option<Arc<dyn Site>>,
    /// See [`Gateway::connect`].
    pub connect: Option<Arc<dyn ConnectPages>>,
    /// See [`Gateway::settings`].
    pub settings: Settings,
    /// See [`Gateway::tracer`].
    pub tracer: Option<Arc<Tracer>>,
}

/// One in so many of the open requests may wait for a person: more would take the place of calls.
const WAITING_SHARE: usize = 10;

/// Counts an open request down when dropped.
pub(crate) struct OpenRequest<'a>(&'a AtomicUsize);

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gateway {
    /// Puts the data plane together.
    pub fn new(wiring: Wiring) -> Arc<Self> {
        let Wiring { world, verifier, stores, issuer, keys, audit, clock, random, .. } = wiring;
        let Wiring { site, connect, settings, tracer, .. } = wiring;
        let children = Children::new(settings.stdio.clone(), settings.held_answer_bytes, Arc::clone(&random));
        Arc::new_cyclic(|own| Self {
            world,
            verifier,
            stores,
            issuer,
            keys,
            audit,
            clock,
            random,
            site,
            connect,
            settings,
            live: Live::default(),
            sessions: Sessions::default(),
            generations: Generations::default(),
            shared: Pool::default(),
            materials: Materials::default(),
            limiter: Limiter::default(),
            children,
            metrics: Metrics::default(),
            tracer,
            housekeeping: Upstreams::default(),
            own: Weak::clone(own),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        })
    }

    /// This gateway, for what outlives the call that began it.
    pub(crate) fn own(&self) -> Option<Arc<Self>> {
        self.own.upgrade()
    }

    /// Takes one request from its head to the head of its answer.
    pub async fn handle(
        self: &Arc<Self>,
        upstreams: &Arc<Upstreams>,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        if let Some(answer) = self.well_known(&request) {
            return answer;
        }
        if let Some(site) = self.site_for(request.uri().path()) {
            // Boxed: a visit must not make every call's future larger.
            return Box::pin(site::visit(self, Arc::clone(site), peer.address, request)).await;
        }
        let parts = request.into_parts();
        let mut trip = match admit::open(self, peer.address, &parts.0) {
            Ok(trip) => trip,
            Err(_) => return plain(404, Bytes::new()),
        };
        let request = Request::from_parts(parts.0, parts.1);
        match self.travel(upstreams, peer, &mut trip, request).await {
            Ok(answer) => answer,
            Err(Misread::Refusal(refusal)) => refuse(self, &trip, &refusal),
            Err(Misread::Header(fault)) => refuse_headers(self, &trip, &fault),
            Err(Misread::Untranslatable(what)) => refuse_translation(self, &trip, &what),
        }
    }

    async fn travel(
        self: &Arc<Self>,
        upstreams: &Arc<Upstreams>,
        peer: &Peer,
        trip: &mut Trip,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Misread> {
        let _open = self.admit_one()?;
        let world = self.world.current();
        let mut inbound = admit::admit(self, request)?;
        let begun = trip.begins();
        let identity = authenticate(self, &world, peer, trip, &mut inbound).await;
        trip.ended(Stage::Authenticate, begun, identity.as_ref().err());
        let identity = identity?;
        lock::keep_out(&world, trip)?;
        let begun = trip.begins();
        let call = identify(self, trip, identity, inbound).await?;
        trip.ended(Stage::Identify, begun, None);
        let aim = Aim::of(&call);
        let begun = trip.begins();
        let permit = authorize(self, &world, trip, &call.identity, &aim);
        trip.ended(Stage::Authorize, begun, permit.as_ref().err());
        let permit = permit?;
        trip.is_about(&call, &permit);
        let journey = Journey { gateway: self, upstreams, trip, call: &call, aim: &aim };
        elicit::heed(&call, &permit)?;
        let outcome = match bridge::travel(journey, permit).await {
            Err(Misread::Refusal(refusal)) if refusal.consent().is_some() => {
                // Boxed: a call that lacks nothing must not be larger for it.
                Box::pin(elicit::elicit(journey, refusal)).await
            }
            outcome => outcome,
        };
        let forwarded = match outcome? {
            Outcome::Upstream(forwarded) => *forwarded,
            Outcome::Own(response) => return Ok(response),
        };
        // A stream may last for hours; the caller's token must not.
        trip.presented = None;
        match answer(self, trip.clone(), &call, aim, forwarded).await {
            Ok(response) => Ok(response),
            Err((_, refusal)) => Err(refusal.into()),
        }
    }

    /// The pages, where the path is theirs and no server's door.
    fn site_for(&self, path: &str) -> Option<&Arc<dyn Site>> {
        if path.starts_with("/mcp/") {
            return None;
        }
        self.site.as_ref().filter(|site| site.serves(path))
    }

    pub(crate) fn admit_one(&self) -> Result<OpenRequest<'_>, Refusal> {
        if self.is_draining() {
            return Err(Refusal::new(Code::Draining).retry_after(Duration::from_secs(1)));
        }
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        let open = OpenRequest(&self.open);
        if before >= self.settings.concurrent_requests {
            return Err(Refusal::new(Code::LimitOverload).retry_after(Duration::from_secs(1)));
        }
        Ok(open)
    }

    /// What anybody may read: the key sets, the metadata of protected resources, and what the gateway says
    /// of itself as a client of providers.
    fn well_known(&self, request: &Request<Incoming>) -> Option<Response<AnswerBody>> {
        let name = request.uri().path().strip_prefix("/.well-known/")?;
        let document = if let Some(door) = name.strip_prefix("oauth-protected-resource") {
            self.protected_resource(door)
        } else if let Some(place) = name.strip_prefix("oauth-client/") {
            ClientDocument::parse(place).and_then(|document| document.render(&self.settings.public_url))
        } else {
            self.key_set(name.strip_prefix("jwks")?)
        };
        if request.method() != Method::GET {
            return Some(plain(405, Bytes::new()));
        }
        let Some(document) = document else { return Some(plain(404, Bytes::new())) };
        let mut response = plain(200, document);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        Some(response)
    }

    /// The key sets (RFC 7517): of all purposes at `jwks.json`, of one at `jwks/{purpose}.json`.
    fn key_set(&self, rest: &str) -> Option<Bytes> {
        match rest.strip_suffix(".json")? {
            "" => self.keys.key_set(None),
            purpose => self.keys.key_set(Some(purpose.strip_prefix('/')?)),
        }
    }

    /// Protected-resource metadata (RFC 9728). The same for every name of a server, so that a stranger
    /// learns nothing about which exist.
    fn protected_resource(&self, door: &str) -> Option<Bytes> {
        let (environment, server) = admit::door(door)?;
        let metadata = serde_json::json!({
            "resource": self.settings.resource(environment.as_str(), server.as_str()),
            "authorization_servers": self.settings.authorization_servers,
            "bearer_methods_supported": ["header"],
        });
        Some(Bytes::from(metadata.to_string()))
    }

    /// Empties the stores' caches at these places; says how many values they held.
    pub(crate) fn forget(&self, places: &[ResolvedReference]) -> u32 {
        let held = |place: &ResolvedReference| {
            self.stores.entry(&place.store).map_or(0, |entry| entry.cache.forget(place))
        };
        places.iter().map(held).sum()
    }

    /// Gives up what stores gave these callers in their own names; says how many values that were.
    pub(crate) async fn log_out(
        &self,
        at: impl Fn(&StoreName) -> bool,
        whose: &(dyn for<'a> Fn(&'a Actor) -> bool + Sync),
    ) -> u32 {
        let entries = self.stores.entries().filter(|(name, _)| at(name));
        let stores = entries.filter_map(|(_, entry)| entry.store.for_callers());
        let counts = futures::future::join_all(stores.map(|store| store.end_callers(whose))).await;
        counts.into_iter().fold(0, u32::saturating_add)
    }

    async fn log_out_agent(&self, agent: &AgentName) -> u32 {
        self.log_out(|_| true, &|actor: &Actor| actor.agent.as_ref() == Some(agent)).await
    }

    /// Gives up what stores gave to callers of these mappings, which are no more.
    pub async fn log_out_workloads(&self, gone: &[WorkloadName]) -> u32 {
        let of_them = |actor: &Actor| actor.workload.as_ref().is_some_and(|name| gone.contains(name));
        self.log_out(|_| true, &of_them).await
    }

    /// Counts a call in that waits for a person; `None` where too many do already, or the gateway is stopping.
    pub(crate) fn wait_for_person(&self) -> Option<OpenRequest<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = OpenRequest(&self.waiting);
        (before < self.settings.concurrent_requests / WAITING_SHARE && !self.is_draining()).then_some(waiting)
    }

    /// How many calls wait for a person who is about to connect an account.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Refuses new requests from now on, and lets nobody wait for a person any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.world.wake();
    }

    /// Whether requests or streams are still under way.
    pub fn is_busy(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0 || self.live.totals() != (0, 0)
    }

    /// The figures of the data plane, to be continued by the other parts'.
    pub fn figures(&self) -> Exposition {
        self.metrics.render(self.live.totals(), self.sessions.total())
    }

    /// Housekeeping, to be called every second or so: ends sessions past their limits, drops former
    /// values, and records in sum the refusals of callers that proved no identity.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.end_overdue();
        self.materials.sweep(now);
        self.issuer.sweep(now);
        self.children.sweep();
        let world = self.world.current();
        self.children.review(|standing| stands(&world.snapshot, standing));
        let count = self.metrics.take_unidentified();
        if count > 0 {
            let mut event = Event::new(EventKind::RefusedUnidentified, now);
            event.count = Some(count);
            if let Err(error) = self.audit.note(event) {
                tracing::error!(%error, "refusals could not be recorded");
            }
        }
    }
}

/// Whether the binding still stands at the revision that a process was started under.
fn stands(snapshot: &Snapshot, standing: &Standing) -> bool {
    let (environment, binding) = &standing.binding;
    let view = snapshot.environment(environment.as_str());
    let server = view.and_then(|view| view.server(standing.server.as_str()));
    let active = server.and_then(|server| server.binding(binding));
    active.is_some_and(|active| active.revision == standing.revision && active.route_id == standing.route)
}

#[async_trait]
impl LiveTraffic for Gateway {
    async fn end(
        &self,
        environment: &EnvironmentName,
        binding: &BindingName,
        deadline: Duration,
    ) -> Result<Ended, Refusal> {
        let key = (environment.clone(), binding.clone());
        // Killing the processes ends what waits for them.
        let killing = self.children.end_binding(&key, deadline);
        let (closing, children) = tokio::join!(self.live.close(&key, deadline), killing);
        // A call that was starting a process when the gate closed has started it by now: the gate is
        // empty, so this finds every one there is.
        let late = self.children.end_binding(&key, deadline).await;
        let mut abandoned = self.sessions.end_binding(&key);
        abandoned.extend(self.shared.end_binding(&key).iter().filter_map(Abandoned::shared));
        let sessions = abandoned.len();
        self.clean_up(abandoned, Course::BindingEnds).await;
        let cached = self.forget(&self.materials.forget(&key));
        let cached_values = cached.saturating_add(self.issuer.end_binding(environment, binding).await);
        let (calls, streams) = closing?;
        let children = children?.saturating_add(late?);
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        Ok(Ended { calls, streams, sessions, children, cached_values, tokens: 0 })
    }

    fn versions_in_use(&self, environment: &EnvironmentName, binding: &BindingName) -> Vec<VersionId> {
        let key = (environment.clone(), binding.clone());
        let mut versions = self.materials.in_use(&key);
        versions.extend(self.children.versions(&key));
        versions
    }

    fn rolled_back(&self) -> Vec<RolledBack> {
        self.materials.rolled_back()
    }

    async fn end_agent(&self, agent: &AgentName, deadline: Duration) -> Result<Ended, Refusal> {
        let killing = self.children.end_agent(agent, deadline);
        let (closing, children) = tokio::join!(self.live.close_agent(agent, deadline), killing);
        // As for a binding: what was being started has started by now.
        let late = self.children.end_agent(agent, deadline).await;
        let (sessions, mut abandoned) = self.sessions.end_agent(agent);
        let shared = self.shared.end_agent(agent);
        let sessions = sessions.saturating_add(u32::try_from(shared.len()).unwrap_or(u32::MAX));
        abandoned.extend(shared.iter().filter_map(Abandoned::shared));
        self.clean_up(abandoned, Course::Ordinary).await;
        let cached = self.forget(&self.materials.forget_agent(agent));
        let cached = cached.saturating_add(self.log_out_agent(agent).await);
        let cached_values = cached.saturating_add(self.issuer.end_agent(agent).await);
        let (calls, streams) = closing?;
        let children = children?.saturating_add(late?);
        Ok(Ended { calls, streams, sessions, children, cached_values, tokens: 0 })
    }

    fn admit_agent(&self, agent: &AgentName) {
        self.live.open_agent(agent);
    }

    fn admit(&self, environment: &EnvironmentName, binding: &BindingName) {
        self.live.open(&(environment.clone(), binding.clone()));
    }

    async fn end_grant(&self, grant: &GrantRecord, deadline: Duration) -> Result<Ended, Refusal> {
        let killing = self.children.end_grant(&grant.id, deadline);
        let (stopping, children) = tokio::join!(self.live.stop_grant(&grant.id, deadline), killing);
        // A call that was starting a process has started it by now.
        let late = self.children.end_grant(&grant.id, deadline).await;
        let cached_values = self.materials.forget_grant(&grant.id);
        let (calls, streams) = stopping?;
        let children = children?.saturating_add(late?);
        Ok(Ended { calls, streams, children, cached_values, ..Ended::default() })
    }

    async fn end_locked(&self, lock: &LockRecord, deadline: Duration) -> Result<Ended, Refusal> {
        locking::end(self, lock, deadline).await
    }

    fn open(&self, environment: &EnvironmentName, binding: &BindingName) -> Ended {
        let key = (environment.clone(), binding.clone());
        let (calls, streams) = self.live.counts(&key);
        let sessions = self.sessions.count(&key).saturating_add(self.shared.count(&key));
        Ended { calls, streams, sessions, children: self.children.count(&key), ..Ended::default() }
    }
}
