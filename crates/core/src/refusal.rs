//! The one error table: stable code, HTTP status, JSON-RPC code, public text, what to do and who can
//! do it. `docs/errors.md` is generated from it.

use std::fmt;
use std::time::Duration;

use crate::consent::Consent;
use crate::policy::{Decided, Permit};

/// Who can do something about a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fixer {
    /// The caller: its request or its token.
    Caller,
    /// The owner of the binding or policy.
    BindingOwner,
    /// The owner of the upstream server.
    ServerOwner,
    /// The gateway's operator.
    Operator,
}

impl Fixer {
    /// The words shown to people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Caller => "the caller",
            Self::BindingOwner => "the owner of the binding",
            Self::ServerOwner => "the owner of the server",
            Self::Operator => "the gateway's operator",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The stable code, `area.reason`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The JSON-RPC error code: the specification's own where it has one, else below -32768's
    /// reserved range upwards (-31xxx).
    pub rpc: i32,
    /// What happened, as the caller may know it.
    pub text: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// Who can do it.
    pub fixer: Fixer,
}

macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident: $code:literal, $status:literal, $rpc:literal, $fixer:ident, $text:literal, $hint:literal;)+) => {
        /// Every reason for which the data path refuses or fails.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its row.
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        code: $code, status: $status, rpc: $rpc, fixer: Fixer::$fixer, text: $text, hint: $hint,
                    },)+
                }
            }
        }
    };
}

table! {
    /// The body is no JSON-RPC message.
    RequestMalformed: "request.malformed", 400, -32700, Caller, "the body is not one valid JSON-RPC 2.0 message", "send one JSON object with `jsonrpc`, `method` and, for requests, `id`";
    /// A batch array.
    RequestBatch: "request.batch", 400, -32600, Caller, "batches are not accepted", "send each message in a request of its own";
    /// A JSON key occurs twice in one object.
    RequestDuplicateKey: "request.duplicate_key", 400, -32600, Caller, "a JSON object has the same key twice", "remove the duplicate: parsers disagree about which one wins";
    /// The body is larger than the limit.
    RequestTooLarge: "request.too_large", 413, -31013, Caller, "the request body is larger than allowed", "send less, or ask the operator to raise `limits.request_body_bytes`";
    /// The body did not arrive in time.
    RequestTimeout: "request.timeout", 408, -31008, Caller, "the request body did not arrive in time", "send the whole body without long pauses";
    /// The content type is not JSON.
    RequestContentType: "request.content_type", 415, -31015, Caller, "the content type must be application/json", "set `Content-Type: application/json`";
    /// The HTTP method is not served here.
    RequestMethod: "request.method", 405, -31005, Caller, "this HTTP method is not served here", "use POST; GET and DELETE exist for sessions of 2025-11-25 and older";
    /// A mirrored header differs from the body.
    HeaderMismatch: "request.header_mismatch", 400, -32020, Caller, "an MCP header is missing or differs from the body", "make `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name` equal to the body";
    /// Required request metadata is missing.
    MetadataMissing: "request.metadata_missing", 400, -32602, Caller, "required `_meta` fields of 2026-07-28 are missing", "send `io.modelcontextprotocol/protocolVersion` and `/clientCapabilities` in `params._meta`";
    /// The protocol version is not served.
    ProtocolVersion: "request.protocol_version", 400, -32022, Caller, "this protocol version is not supported", "use one of the versions in `data.supported`";
    /// Client and upstream are of different generations.
    ProtocolGeneration: "request.protocol_generation", 400, -31016, Caller, "the server speaks another protocol generation than the client", "use a client of the server's generation";
    /// A part of the protocol that has no counterpart in the other generation.
    Untranslatable: "request.untranslatable", 400, -31017, Caller, "this has no counterpart in the other generation of the protocol", "use a client of the server's generation for it; docs/protocol.md lists what is translated";
    /// `Host` or `Origin` is not ours.
    OriginRefused: "request.origin_refused", 403, -31003, Caller, "the Host or Origin header is not allowed", "call the gateway by its public URL";
    /// No token.
    TokenMissing: "token.missing", 401, -31401, Caller, "no bearer token was sent", "send `Authorization: Bearer …` from an authorization server listed in the resource metadata";
    /// The token is not acceptable.
    TokenInvalid: "token.invalid", 401, -31402, Caller, "the bearer token is not acceptable", "get a new token from an authorization server listed in the resource metadata";
    /// The token has expired.
    TokenExpired: "token.expired", 401, -31403, Caller, "the bearer token has expired", "get a new token";
    /// The token is for another audience.
    TokenAudience: "token.audience", 401, -31404, Caller, "the bearer token was issued for another audience", "ask for a token with this server's URL as `resource`";
    /// The client certificate is not acceptable.
    CertificateInvalid: "certificate.invalid", 401, -31405, Caller, "the client certificate is not acceptable", "connect with a current X.509-SVID of a trust domain that this gateway is configured for";
    /// The client certificate has expired since the connection was made.
    CertificateExpired: "certificate.expired", 401, -31406, Caller, "the client certificate has expired", "connect again with the renewed X.509-SVID";
    /// Token and certificate do not belong together.
    IdentityMixed: "identity.mixed", 401, -31407, Caller, "the token and the client certificate attest different workloads", "send a token of the workload whose certificate the connection has, or none";
    /// The issuer's keys cannot be fetched.
    IssuerUnavailable: "identity.issuer_unavailable", 503, -31503, Operator, "the token or certificate cannot be verified now: the keys of its issuer are not to be had", "try again; the operator checks the issuer's JWKS endpoint or the trust domain's bundle";
    /// Unknown and forbidden servers look the same.
    ServerUnknown: "server.unknown", 404, -31404, Caller, "no such server for this caller", "check the URL, or ask the server's owner for a binding";
    /// Unknown and forbidden tools look the same.
    ToolUnknown: "tool.unknown", 200, -32602, Caller, "unknown tool", "list the tools; what is not listed cannot be called";
    /// Unknown and forbidden methods look the same.
    MethodUnknown: "method.unknown", 404, -32601, Caller, "method not found", "ask the binding's owner to list the method under `methods`";
    /// Two equally specific bindings.
    BindingAmbiguous: "binding.ambiguous", 409, -31409, BindingOwner, "two equally specific bindings match this call", "make one of them more specific; `binding explain` shows both";
    /// The binding was revoked, disabled or replaced while the call ran.
    BindingEnded: "binding.ended", 403, -31410, BindingOwner, "the credential binding was revoked or changed during the call", "call again: the decision is made anew";
    /// A lock stops it. The caller learns that and no more: not which lock, not why, not until when.
    LockActive: "lock.active", 403, -31423, Operator, "access is stopped for now", "do not try again at once; the gateway's operators know why";
    /// The session is gone.
    SessionUnknown: "session.unknown", 404, -31440, Caller, "no such session", "initialize a new session";
    /// The session was ended while it was used.
    SessionEnded: "session.ended", 404, -31443, Caller, "the session was ended by an operator or at its time limit", "initialize a new session";
    /// A session id is needed.
    SessionMissing: "session.missing", 400, -31441, Caller, "the Mcp-Session-Id header is missing", "initialize first, then send the session id with every request";
    /// Too many sessions.
    SessionLimit: "session.limit", 429, -31442, Caller, "too many open sessions", "end sessions that are no longer used";
    /// Rate limit of the binding or agent.
    LimitRate: "limit.rate", 429, -31429, Caller, "too many calls a minute for this binding or agent", "slow down; `Retry-After` tells how long to wait";
    /// Concurrency limit of the binding or agent.
    LimitConcurrency: "limit.concurrency", 429, -31430, Caller, "too many calls at the same time for this binding or agent", "wait for running calls to end";
    /// The gateway is at its limit of open requests.
    LimitOverload: "limit.overload", 503, -31431, Operator, "the gateway is at its limit of open requests", "try again shortly";
    /// Too many processes of servers.
    ProcessLimit: "limit.processes", 503, -31432, Operator, "the gateway is at its limit of server processes", "end sessions that are no longer used, or the operator raises `stdio.processes`";
    /// The store does not answer.
    StoreUnavailable: "store.unavailable", 503, -31510, Operator, "the secret store does not answer", "try again; the operator checks the store";
    /// The store refuses the gateway.
    StoreDenied: "store.denied", 503, -31511, Operator, "the secret store refused the gateway", "the operator checks the gateway's own rights in the store";
    /// Nothing at the reference.
    SecretMissing: "secret.missing", 503, -31512, BindingOwner, "the binding's reference leads to nothing", "the owner checks path, field and version with `secret check`";
    /// The value is empty.
    SecretEmpty: "secret.empty", 503, -31513, BindingOwner, "the binding's secret is empty", "the owner stores a value";
    /// The value cannot be injected safely.
    SecretUnusable: "secret.unusable", 503, -31514, BindingOwner, "the binding's secret cannot be injected there", "the owner stores a value without line breaks or control characters, 16 bytes or longer";
    /// The reference cannot be filled in for this caller, or breaks a boundary.
    ReferenceRefused: "secret.reference_refused", 503, -31515, BindingOwner, "the binding's reference cannot be used for this call", "the owner checks templates, store and environment with `binding explain`";
    /// The mode is not available in this build.
    ModeUnavailable: "binding.mode_unavailable", 503, -31516, BindingOwner, "the binding's credential mode is not available", "the owner chooses a mode that this version has";
    /// The source needs the caller's own token, and this use has none.
    SubjectTokenMissing: "source.subject_token_missing", 503, -31550, BindingOwner, "the credential would be exchanged for a token that this use does not come with", "the caller calls with a token of a configured issuer; agent tokens and the gateway's own errands have none to exchange";
    /// The user has granted nothing at the provider, and can.
    GrantMissing: "grant.missing", 403, -31551, Caller, "the user has not connected their account at the provider", "the user opens the connect page of this gateway and agrees, then calls again";
    /// The grant lacks a scope.
    GrantScopeMissing: "grant.scope_missing", 403, -31552, Caller, "the user's grant does not cover what this call needs", "the user opens the connect page of this gateway and agrees to the further scopes, then calls again";
    /// A grant needs a user.
    GrantWithoutUser: "grant.without_user", 403, -31553, Caller, "this needs a user's own authority, and the call comes without a user", "call with a token that speaks for a user";
    /// The provider does not answer.
    ProviderUnavailable: "provider.unavailable", 503, -31554, Operator, "the provider of the credential does not answer", "try again; the operator checks the provider";
    /// The provider refuses the gateway or what it asks for.
    ProviderRefused: "provider.refused", 503, -31555, BindingOwner, "the provider refused to issue the credential", "the owner checks client, scopes and resource of the provider and the binding; the audit names the provider's error code";
    /// The provider's metadata or answer makes no sense, or leads elsewhere.
    ProviderMalformed: "provider.malformed", 503, -31556, Operator, "the provider's answer is not acceptable", "the operator checks the provider's issuer, origins and metadata";
    /// Evidence cannot be written.
    AuditUnavailable: "audit.unavailable", 503, -31520, Operator, "the call was not made: evidence cannot be written", "the operator checks the audit directory and its disk";
    /// The state is older than its bound.
    StateStale: "state.stale", 503, -31521, Operator, "the gateway cannot prove that its state is current", "try again; the operator checks the state database";
    /// The route asks for a receipt, and there is none.
    ReceiptUnavailable: "receipt.unavailable", 503, -31523, Operator, "the call was not made: the server asks for a signed receipt, and there is none", "the operator checks the signing key file";
    /// The gateway is stopping.
    Draining: "gateway.draining", 503, -31522, Operator, "the gateway is stopping", "try again: another replica or the restarted one will answer";
    /// A fault of ours.
    Internal: "gateway.internal", 500, -31500, Operator, "the gateway failed", "the operator looks up the request id in the log";
    /// The address guard refused the destination.
    AddressRefused: "upstream.address_refused", 502, -31530, ServerOwner, "the server's route leads to an address that is not allowed", "the owner names the address kind in the route, or mends the name";
    /// No connection.
    UpstreamUnreachable: "upstream.unreachable", 502, -31531, ServerOwner, "the server cannot be reached", "the owner checks that it runs";
    /// No answer in time.
    UpstreamTimeout: "upstream.timeout", 504, -31532, ServerOwner, "the server did not answer in time", "try again, or the owner raises the route's `timeout_seconds`";
    /// The upstream refuses our credential.
    UpstreamUnauthorized: "upstream.unauthorized", 502, -31533, BindingOwner, "the server refused the brokered credential", "the owner checks the secret and rotates the binding";
    /// A redirect, which is never followed.
    UpstreamRedirect: "upstream.redirect", 502, -31534, ServerOwner, "the server answered with a redirect, which is never followed", "the owner corrects the route";
    /// The configuration does not allow the route's command.
    CommandRefused: "upstream.command_refused", 502, -31540, Operator, "the server's command is not allowed on this gateway", "the operator allows it under `stdio.commands`";
    /// The process cannot be started.
    ProcessStart: "upstream.process_start", 502, -31541, Operator, "the server's process could not be started", "the operator looks up the request id in the log: program, directory, user and limits";
    /// The process ended first.
    ProcessEnded: "upstream.process_ended", 502, -31542, ServerOwner, "the server's process ended before it answered", "initialize again; the owner reads what the process said in the gateway's log";
    /// The process is being replaced; the call was not sent and goes to the next one.
    ProcessReplaced: "upstream.process_replaced", 503, -31544, Caller, "the server's process is being replaced", "call again: a new process takes its place";
    /// The process keeps failing.
    ProcessBackoff: "upstream.process_backoff", 503, -31543, ServerOwner, "the server's process keeps failing and is not started just now", "wait as `Retry-After` says; the owner reads what the process said in the gateway's log";
    /// An answer that cannot be scrubbed or framed.
    UpstreamMalformed: "upstream.malformed", 502, -31535, ServerOwner, "the server's answer is not acceptable", "the owner checks encoding, framing and size of its answers";
    /// The upstream wants an OAuth grant of its own (RFC 9728), which a stored secret is not.
    UpstreamOauthRequired: "upstream.oauth_required", 502, -31536, BindingOwner, "the server wants an OAuth grant of its own", "the owner uses a `user_delegated` binding; where the server takes keys as well, the owner checks the secret";
    /// Our credential lacks a scope (RFC 6750, `insufficient_scope`).
    UpstreamScopeMissing: "upstream.scope_missing", 502, -31537, BindingOwner, "the brokered credential lacks a scope that the server demands", "the owner widens the credential: the outcome in the audit names the scopes";
    /// The upstream's certificate does not verify.
    UpstreamUntrusted: "upstream.tls_untrusted", 502, -31538, ServerOwner, "the server's certificate is not trusted", "the owner renews the certificate, mends its names, or names its authority as the route's `ca_file`";
    /// The upstream does not accept our certificate.
    UpstreamCertificateRefused: "upstream.tls_certificate_refused", 502, -31539, ServerOwner, "the server does not accept the gateway's certificate", "the owner names a `client_certificate` in the route that the server accepts";
    /// TLS fails for another reason.
    UpstreamTls: "upstream.tls", 502, -31540, ServerOwner, "no TLS connection to the server can be made", "the owner checks that the server speaks TLS 1.2 or 1.3 at the route's address";
    /// Our own certificate files are no good.
    UpstreamTlsFiles: "upstream.tls_files", 503, -31541, Operator, "the route's certificate files cannot be used", "the operator checks `ca_file` and `client_certificate`: readable, matching, the key for the gateway's user alone";
}

impl Code {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One refusal on its way to the edge. The inside story goes to the log only, never to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    inside: Option<String>,
    retry_after: Option<Duration>,
    // Boxed: a refusal is passed through every stage, and this is rare.
    rare: Option<Box<Rare>>,
}

/// What few refusals have to say besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rare {
    consent: Option<Consent>,
    lock: Option<String>,
    decided: Option<Decided>,
}

impl Refusal {
    /// A refusal with nothing more to say.
    pub const fn new(code: Code) -> Self {
        Self { code, inside: None, retry_after: None, rare: None }
    }

    /// Adds what the operator's log should say; never a value, a token or a body.
    #[must_use]
    pub fn because(mut self, inside: impl fmt::Display) -> Self {
        self.inside = Some(inside.to_string());
        self
    }

    /// Adds when trying again makes sense.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds what the user would have to agree to. Only where nothing has been sent yet: whoever agrees calls
    /// again.
    #[must_use]
    pub fn wanting(mut self, consent: Consent) -> Self {
        self.rare.get_or_insert_default().consent = Some(consent);
        self
    }

    /// Adds which lock stands in the way: for evidence, never for the caller.
    #[must_use]
    pub fn stopped_by(mut self, lock: &str) -> Self {
        self.rare.get_or_insert_default().lock = Some(lock.to_owned());
        self
    }

    /// Which lock stands in the way.
    pub fn lock(&self) -> Option<&str> {
        self.rare.as_ref()?.lock.as_deref()
    }

    /// Names what had decided the call, for its evidence; what is named already stays.
    #[must_use]
    pub fn decided_by(mut self, decided: Decided) -> Self {
        self.rare.get_or_insert_default().decided.get_or_insert(decided);
        self
    }

    /// The same of a call that was let through, and refused later on.
    #[must_use]
    pub fn under(self, permit: &Permit) -> Self {
        if self.decided().is_some() { self } else { self.decided_by(permit.into()) }
    }

    /// What had decided the call, where its binding was selected.
    pub fn decided(&self) -> Option<&Decided> {
        self.rare.as_ref()?.decided.as_ref()
    }

    /// The code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The inside story, for the log.
    pub fn inside(&self) -> Option<&str> {
        self.inside.as_deref()
    }

    /// When trying again makes sense.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the user would have to agree to, where that mends it.
    pub fn consent(&self) -> Option<&Consent> {
        self.rare.as_ref()?.consent.as_ref()
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.code.row().text)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
