//! Ending sessions, and what is left of them upstream: by operators, at their limits, and when a
//! binding ends. The upstream's own sessions are ended by a DELETE of the gateway's, recorded like every
//! use of a credential (DESIGN, sections 12.11 and 12.13).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use gateway_core::audit::{Ended, Event, EventKind};
use gateway_core::id::RequestId;
use gateway_core::manifest::Route;
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::LiveSessions;
use gateway_core::refusal::Code;
use gateway_core::session::{LiveSession, Terminated};
use gateway_core::snapshot::ActiveBinding;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::gateway::Gateway;
use crate::live::{Pass, Undertaking};
use crate::mcp::headers::PROTOCOL_VERSION;
use crate::mcp::version::Generation;
use crate::path::admit::{Trip, Verb};
use crate::path::forward::send;
use crate::path::inject::Message;
use crate::path::obtain::obtain_for;
use crate::session::{Abandoned, Session};

/// How long all the DELETEs of one act may take together, and how many run at once.
const CLEANUP_TIME: Duration = Duration::from_secs(5);
const CLEANUPS_AT_ONCE: usize = 16;

/// What became of upstream sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CleanedUp {
    /// The server said that it is over, or knew it no more.
    pub(crate) ended: u32,
    /// The server did not say so, or was not asked.
    pub(crate) left: u32,
}

/// In whose course upstream sessions are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// The binding's own end: its gate is closed, and whoever ended it waits for this too.
    BindingEnds,
    /// Anything else: a use like any other, which no binding permits once it has ended.
    Ordinary,
}

impl Gateway {
    /// Ends upstream sessions with the credential of the binding they were opened under. Nothing waits
    /// for a server beyond [`CLEANUP_TIME`]: a session that is left ends at its own limit.
    pub(crate) async fn clean_up(&self, mut abandoned: Vec<Abandoned>, course: Course) -> CleanedUp {
        // A bridged session has nothing upstream.
        abandoned.retain(|one| !one.upstream.id.is_empty());
        let Some(gateway) = self.own().filter(|_| !abandoned.is_empty()) else { return CleanedUp::default() };
        let all = u32::try_from(abandoned.len()).unwrap_or(u32::MAX);
        let mut ended = 0;
        let mut deletions = futures::stream::iter(abandoned)
            .map(|one| {
                let gateway = Arc::clone(&gateway);
                async move { delete(&gateway, one, course).await }
            })
            .buffer_unordered(CLEANUPS_AT_ONCE);
        let counting = async {
            while let Some(gone) = deletions.next().await {
                ended += u32::from(gone);
            }
        };
        drop(tokio::time::timeout(CLEANUP_TIME, counting).await);
        CleanedUp { ended, left: all.saturating_sub(ended) }
    }

    /// The same, with nobody waiting.
    pub(crate) fn clean_up_later(&self, abandoned: Vec<Abandoned>) {
        let (Some(gateway), false) = (self.own(), abandoned.is_empty()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { gateway.clean_up(abandoned, Course::Ordinary).await });
        }
    }

    /// Ends sessions that are past their idle or absolute limit, whatever runs in them.
    pub(crate) fn end_overdue(&self) {
        let now = self.clock.now();
        let shared = self.shared.sweep(&self.settings, now);
        self.clean_up_later(shared.iter().filter_map(Abandoned::shared).collect());
        for (session, limit) in self.sessions.sweep(&self.settings, now) {
            let (calls, streams) = session.stop(Code::SessionEnded);
            self.clean_up_later(session.take_upstream());
            let mut event = session.shown().describe(Event::new(EventKind::SessionEnded, now));
            event.reason = Some(limit.word().to_owned());
            event.ended = Some(Ended { calls, streams, sessions: 1, ..Ended::default() });
            if let Err(error) = self.audit.note(event) {
                tracing::error!(%error, "the end of a session could not be recorded");
            }
        }
    }

    async fn end_session(&self, session: &Session, deadline: Duration) -> Terminated {
        let (calls, streams) = session.stop(Code::SessionEnded);
        let complete = session.emptied(deadline).await;
        let cleaned = self.clean_up(session.take_upstream(), Course::Ordinary).await;
        Terminated {
            ended: Ended { calls, streams, sessions: 1, ..Ended::default() },
            upstream_ended: cleaned.ended,
            upstream_left: cleaned.left,
            complete,
        }
    }
}

#[async_trait]
impl LiveSessions for Gateway {
    fn sessions(&self) -> Vec<LiveSession> {
        let mut all = self.sessions.list();
        all.extend(self.live.streams());
        all.extend(self.children.list());
        all.sort_by(|one, other| (one.opened_at, &one.id).cmp(&(other.opened_at, &other.id)));
        all
    }

    async fn terminate(&self, id: &str, deadline: Duration) -> Option<Terminated> {
        if let Some(session) = self.sessions.close_public(id) {
            return Some(self.end_session(&session, deadline).await);
        }
        if let Some(complete) = self.children.kill(id, deadline).await {
            let ended = Ended { children: 1, ..Ended::default() };
            return Some(Terminated { ended, complete, ..Terminated::default() });
        }
        let stopped = self.live.stop_stream(id, Code::SessionEnded);
        stopped.then(|| Terminated {
            ended: Ended { streams: 1, ..Ended::default() },
            complete: true,
            ..Terminated::default()
        })
    }
}

/// Sends one DELETE; `true` where the upstream session is over.
async fn delete(gateway: &Arc<Gateway>, abandoned: Abandoned, course: Course) -> bool {
    if let Route::Stdio(_) = abandoned.upstream.binding.route {
        // Its process is the gateway's own: no credential is used to end it.
        gateway.children.end_session(abandoned.upstream.id.to_str().unwrap_or_default());
        return true;
    }
    let undertaking = Undertaking {
        binding: Arc::clone(&abandoned.upstream.binding),
        actor: Some(Arc::clone(&abandoned.actor)),
        tool: None,
        is_own: true,
    };
    let pass = match course {
        Course::BindingEnds => Pass::detached(undertaking),
        // Entered first, as by every use: what a revocation does not find here, it keeps out.
        Course::Ordinary => {
            let Ok(pass) = gateway.live.enter(undertaking) else { return false };
            pass
        }
    };
    let Some(binding) = usable(gateway, &abandoned, course) else { return false };
    let permit = Permit::for_system(SystemUse::Cleanup, binding, gateway.world.epoch());
    let trip = errand(gateway, &permit);
    let obtained = obtain_for(gateway, &permit, Some(&abandoned.actor), &trip.request_id, trip.started).await;
    let mut headers = HeaderMap::new();
    if let Some(version) = abandoned.protocol {
        headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
    }
    let message = Message {
        verb: Verb::Delete,
        headers: &headers,
        body: Bytes::new(),
        session: Some(&abandoned.upstream.id),
        generation: Generation::Legacy,
    };
    let sent = match obtained {
        Ok(obtained) => send(gateway, &gateway.housekeeping, &trip, &permit, message, obtained, &pass).await,
        Err(refusal) => Err(refusal),
    };
    match sent {
        Ok((response, trail)) => {
            trail.finish();
            let status = response.status();
            status.is_success() || status == StatusCode::NOT_FOUND
        }
        Err(refusal) => {
            tracing::info!(binding = %permit.binding().name_at_revision(), %refusal,
                inside = refusal.inside().unwrap_or(""), "an upstream session could not be ended");
            false
        }
    }
}

/// The revision whose credential may end the session: the one that decides now, if it leads to the same
/// place; in the course of the binding's end the one it was opened under, where none decides any more.
fn usable(gateway: &Gateway, abandoned: &Abandoned, course: Course) -> Option<Arc<ActiveBinding>> {
    let opened = &abandoned.upstream.binding;
    let world = gateway.world.load();
    let server = world.snapshot.environment(opened.spec.environment.as_str());
    let server = server.and_then(|environment| environment.server(opened.spec.server.as_str()));
    let current =
        server.and_then(|server| server.bindings.iter().find(|known| known.spec.name == opened.spec.name));
    let binding = current.or_else(|| (course == Course::BindingEnds).then_some(opened))?;
    let usable = binding.route == opened.route && binding.holds_at(gateway.clock.now());
    usable.then(|| Arc::clone(binding))
}

/// A trip on the gateway's own account.
fn errand(gateway: &Gateway, permit: &Permit) -> Trip {
    let now = gateway.clock.now();
    let mut random = [0_u8; 10];
    gateway.random.fill(&mut random);
    Trip {
        request_id: RequestId::mint(now, random),
        started: now,
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        environment: permit.binding().spec.environment.clone(),
        server: permit.binding().spec.server.clone(),
        id: None,
        actor: None,
        presented: None,
        method: Some("DELETE".into()),
        tool: None,
        trace_id: None,
        context: None,
        recording: None,
    }
}
