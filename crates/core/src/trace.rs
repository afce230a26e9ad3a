//! Trace context (W3C Trace Context, level 1) and the spans of one call.
//!
//! Everything here comes from strangers or goes to an operator's tracing system: contexts are parsed once
//! and strictly, and a span has no field for a caller's text.

use std::fmt;

use crate::id::{EnvironmentName, RequestId, ServerName, ToolName};
use crate::manifest::CredentialMode;
use crate::refusal::Code;
use crate::time::Timestamp;

/// The sampled bit of the flags.
const SAMPLED: u8 = 1;
/// The longest `tracestate` that is carried on, in bytes (section 3.3.1.5 asks for at least 512).
const LONGEST_STATE: usize = 512;
/// The most members of a `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From random bytes; zeros, which are no id, become ones.
            pub fn new(bytes: [u8; $bytes]) -> Self {
                if bytes.iter().any(|byte| *byte != 0) { Self(bytes) } else { Self([1; $bytes]) }
            }

            /// The bytes.
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Lower-case hex that is not all zeros.
            fn parse(text: &str) -> Option<Self> {
                let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).ok().filter(|()| lower)?;
                bytes.iter().any(|byte| *byte != 0).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

ids! {
    /// Names a trace.
    TraceId, 16;
    /// Names a span within its trace.
    SpanId, 8;
}

/// Where a call stands in somebody's trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that the call is made within.
    pub parent: SpanId,
    /// Whether the caller records it.
    pub sampled: bool,
    /// What other tracing systems added.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads a `traceparent` (section 3.2), and the `tracestate` beside it (section 3.3). A malformed
    /// parent is no context at all; a malformed state is dropped alone.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let mut parts = parent.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let known = version == "00";
        let well = version.len() == 2 && hexadecimal(version) && version != "ff";
        // A later version may add parts behind these (section 3.2.4).
        if !well || (known && parts.next().is_some()) || flags.len() != 2 || !hexadecimal(flags) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace: TraceId::parse(trace)?,
            parent: SpanId::parse(span)?,
            sampled: flags & SAMPLED != 0,
            state: state.filter(|state| is_state(state)).map(Box::from),
        })
    }

    /// Joins what the header and MCP's `_meta` say (SEP-414). In one trace the header's parent is the
    /// nearer one, for whatever stands between has its span there. Where they name different traces,
    /// `_meta` holds: the client itself wrote it with the message, and who relays HTTP writes headers only.
    pub fn join(header: Option<Self>, meta: Option<Self>) -> Option<Self> {
        match (header, meta) {
            (Some(header), Some(meta)) if header.trace == meta.trace => Some(header),
            (header, meta) => meta.or(header),
        }
    }

    /// The `traceparent` of a call made within this span.
    pub fn parent_within(trace: TraceId, span: SpanId, sampled: bool) -> String {
        format!("00-{trace}-{span}-{:02x}", u8::from(sampled) * SAMPLED)
    }
}

/// Whether a `tracestate` is a list of members as the specification spells them, within the bounds.
fn is_state(state: &str) -> bool {
    let key = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    let mut members = 0;
    let well = state.split(',').map(|member| member.trim_matches([' ', '\t'])).all(|member| {
        members += 1;
        match member.split_once('=') {
            Some((name, content)) => {
                (1..=256).contains(&name.len())
                    && name.bytes().all(key)
                    && (1..=256).contains(&content.len())
                    && content.bytes().all(value)
            }
            // Empty members are allowed (section 3.3.1.1).
            None => member.is_empty(),
        }
    });
    well && members <= MOST_MEMBERS && (1..=LONGEST_STATE).contains(&state.len())
}

/// The stages of a call that have a span: a closed set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// The caller's credential is verified.
    Authenticate,
    /// The body is read and parsed.
    Identify,
    /// Selection and policy.
    Authorize,
    /// The credential is obtained.
    Obtain,
    /// The intent is recorded.
    Record,
    /// From the first byte to the server until the head of its answer.
    Upstream,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Authenticate, Self::Identify, Self::Authorize, Self::Obtain, Self::Record, Self::Upstream];

    /// The span's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Identify => "identify",
            Self::Authorize => "authorize",
            Self::Obtain => "obtain",
            Self::Record => "record_intent",
            Self::Upstream => "upstream",
        }
    }
}

/// The name of the span around all of them.
pub const CALL: &str = "mcp.call";

/// A stage that is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// Which.
    pub stage: Stage,
    /// Its id.
    pub id: SpanId,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Why it failed, where it did.
    pub refused: Option<Code>,
    /// The server's status, of [`Stage::Upstream`].
    pub status: Option<u16>,
}

/// What a call was about, once it was allowed: before that, names are a stranger's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The tool, where the policy allowed one.
    pub tool: Option<ToolName>,
    /// The method, where it is one of the protocol's.
    pub method: Option<&'static str>,
    /// The credential mode.
    pub mode: CredentialMode,
}

/// The spans of one call that is over.
#[derive(Clone, Debug)]
pub struct CallTrace {
    /// The trace.
    pub trace: TraceId,
    /// The span around the stages.
    pub root: SpanId,
    /// The caller's span.
    pub parent: Option<SpanId>,
    /// The caller's `tracestate`.
    pub state: Option<Box<str>>,
    /// The request.
    pub request_id: RequestId,
    /// When its head was complete.
    pub start: Timestamp,
    /// When its last byte was gone.
    pub end: Timestamp,
    /// What it was about, where it was allowed.
    pub about: Option<About>,
    /// Why it was refused or failed.
    pub refused: Option<Code>,
    /// The stages, in the order in which they ended.
    pub spans: Vec<Span>,
}

/// Where traces go. Never waits and never fails: what cannot be taken is dropped and counted.
pub trait TraceSink: Send + Sync + fmt::Debug {
    /// Takes the spans of a call.
    fn offer(&self, trace: CallTrace);
}

/// Which calls are recorded: whatever the caller decided, and a share of those that begin here.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Traces whose last 56 bits are below it are recorded.
    below: u64,
}

/// The values of 56 bits, which W3C's level 2 calls the random part of a trace id.
const RANDOM: u64 = 1 << 56;

impl Sampling {
    /// This share of the calls that bring no decision, from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the share is held between 0 and 1, and a rounding error in 2^-53 samples nobody more"
    )]
    pub fn share(share: f64) -> Self {
        Self { below: (share.clamp(0.0, 1.0) * RANDOM as f64) as u64 }
    }

    /// Whether a call is recorded.
    pub fn takes(&self, trace: &TraceId, caller: Option<&TraceContext>) -> bool {
        if let Some(context) = caller {
            return context.sampled;
        }
        let [.., a, b, c, d, e, f, g] = *trace.bytes();
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parent(trace: &str, span: &str, flags: &str) -> String {
        format!("00-{trace}-{span}-{flags}")
    }

    fn context(trace: &str, span: &str) -> Option<TraceContext> {
        TraceContext::parse(&parent(trace, span, "01"), None)
    }

    #[test]
    fn a_context_is_read_and_written_again() {
        let read = TraceContext::parse(&parent(TRACE, SPAN, "01"), Some("rojo=1, congo=t61")).unwrap();
        assert!(read.sampled);
        assert_eq!(read.state.as_deref(), Some("rojo=1, congo=t61"));
        let written = TraceContext::parent_within(read.trace, read.parent, read.sampled);
        assert_eq!(written, parent(TRACE, SPAN, "01"));
        assert!(!TraceContext::parse(&parent(TRACE, SPAN, "02"), None).unwrap().sampled);
    }

    #[test]
    fn a_malformed_parent_is_no_context() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            parent(&zeros, SPAN, "01"),
            parent(TRACE, "0000000000000000", "01"),
            parent(&TRACE.to_uppercase(), SPAN, "01"),
            parent(TRACE, SPAN, "1"),
            parent(TRACE, SPAN, "0x"),
            parent(TRACE, SPAN, "+1"),
            parent("4bf92f3577b34da6a3ce929d0e0e473", SPAN, "01"),
            parent(TRACE, "00f067aa0ba902b", "01"),
            format!("{}-extra", parent(TRACE, SPAN, "01")),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("0é-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-é"),
            format!(" {}", parent(TRACE, SPAN, "01")),
        ] {
            assert_eq!(TraceContext::parse(&text, Some("a=1")), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_add_parts() {
        assert!(TraceContext::parse(&format!("01-{TRACE}-{SPAN}-01-more"), None).is_some());
    }

    #[test]
    fn a_malformed_state_is_dropped_alone() {
        let long = format!("a={}", "b".repeat(511));
        let many = vec!["a=1"; 33].join(",");
        for state in ["", "a", "A=1", "a=", "=1", "a=1=2", "a=\u{7f}", "a=é", &long, &many] {
            let read = TraceContext::parse(&parent(TRACE, SPAN, "00"), Some(state)).unwrap();
            assert_eq!(read.state, None, "{state}");
        }
        let read = TraceContext::parse(&parent(TRACE, SPAN, "00"), Some("a=1,,b@c=2")).unwrap();
        assert_eq!(read.state.as_deref(), Some("a=1,,b@c=2"));
    }

    #[test]
    fn meta_holds_over_a_header_of_another_trace_and_the_header_is_nearer_in_one() {
        let other = "0af7651916cd43dd8448eb211c80319c";
        let nearer = "b7ad6b7169203331";
        assert_eq!(TraceContext::join(context(TRACE, SPAN), context(other, nearer)), context(other, nearer));
        assert_eq!(TraceContext::join(context(TRACE, nearer), context(TRACE, SPAN)), context(TRACE, nearer));
        assert_eq!(TraceContext::join(context(TRACE, SPAN), None), context(TRACE, SPAN));
        assert_eq!(TraceContext::join(None, context(TRACE, SPAN)), context(TRACE, SPAN));
        assert_eq!(TraceContext::join(None, None), None);
    }

    #[test]
    fn the_callers_decision_counts_before_the_share() {
        let mut asked = context(TRACE, SPAN).unwrap();
        let trace = asked.trace;
        assert!(Sampling::share(0.0).takes(&trace, Some(&asked)));
        asked.sampled = false;
        assert!(!Sampling::share(1.0).takes(&trace, Some(&asked)));
        assert!(!Sampling::share(0.0).takes(&trace, None));
        assert!(Sampling::share(1.0).takes(&TraceId::new([0xff; 16]), None));
        let taken = (0..=255_u8).filter(|byte| {
            let mut bytes = [7; 16];
            bytes[9] = *byte;
            Sampling::share(0.25).takes(&TraceId::new(bytes), None)
        });
        assert_eq!(taken.count(), 64);
    }

    #[test]
    fn zeros_are_no_id() {
        assert_eq!(SpanId::new([0; 8]), SpanId::new([1; 8]));
    }
}
