//! The second half of the error table: every reason for which an operator's act is refused, with its
//! stable code, HTTP status, what to do and who can do it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::manifest::ObjectKey;

/// One row of the table.
#[derive(PartialEq, Eq, Debug)]
pub struct Rule {
    /// The stable code, `area.reason`.
    pub code: &'static str,
    /// The HTTP status of the control API.
    pub status: u16,
    /// Who can do something about it.
    pub fixer: &'static str,
    /// What to do.
    pub hint: &'static str,
}

macro_rules! rules {
    ($($name:ident: $code:literal, $status:literal, $fixer:literal, $hint:literal;)+) => {
        $(
            #[doc = concat!("`", $code, "`: ", $hint, ".")]
            pub static $name: Rule = Rule { code: $code, status: $status, fixer: $fixer, hint: $hint };
        )+
        /// Every row, in the order of the table.
        pub static ALL: &[&Rule] = &[$(&$name,)+];
    };
}

rules! {
    OPERATOR_FORBIDDEN: "operator.forbidden", 403, "an administrator", "ask for a role that covers the team and the environment";
    OBJECT_UNKNOWN: "object.unknown", 404, "the operator", "check kind, environment and name with a list";
    OBJECT_STATE: "object.state", 409, "the operator", "read the card: this step does not exist from where the object stands";
    OBJECT_CHANGED: "object.changed", 412, "the operator", "read it again, look at what has changed, and send your change for that";
    OBJECT_KIND: "object.kind", 422, "the operator", "this act does not exist for objects of this kind; write a new revision";
    PAGE_CURSOR: "page.cursor", 422, "the operator", "send the `next` of the page before as it was, or begin without a cursor";
    IDEMPOTENCY_KEY: "idempotency.key", 400, "the operator", "send one `Idempotency-Key` of 8 to 128 letters, digits, `.`, `_`, `:` and `-`, such as a UUID";
    IDEMPOTENCY_OTHER_REQUEST: "idempotency.other_request", 422, "the operator", "use a new key for another request";
    IDEMPOTENCY_UNFINISHED: "idempotency.unfinished", 409, "the operator", "wait and send it again; where that stays so, look whether it was done before you use another key";
    IDEMPOTENCY_NOT_KEPT: "idempotency.not_kept", 409, "the operator", "it was done once: look at its result; answers that show a token, and very large ones, are not kept";
    IDEMPOTENCY_FULL: "idempotency.full", 429, "the operator", "send it without a key, or later: keys are kept for a day";
    IDEMPOTENCY_UNSUPPORTED: "idempotency.unsupported", 422, "the operator", "send it without a key";
    STATE_STEP: "state.step", 500, "the gateway's operator", "report this: a change broke a rule of the state";
    APPROVAL_OWN_WORK: "approval.own_work", 403, "another approver", "the author of a revision never approves it: ask somebody else";
    APPROVAL_NOT_PENDING: "approval.not_pending", 409, "the approver", "read the card again: only a pending revision can be approved";
    APPROVAL_ALREADY: "approval.already", 409, "another approver", "you have signed; the missing signatures are on the card";
    APPROVAL_DEPENDENCY: "approval.dependency", 409, "an approver", "approve the server and the policy that the revision pins first";
    MANIFEST_DUPLICATE: "manifest.duplicate", 422, "the author", "declare each object once";
    MANIFEST_MALFORMED: "manifest.malformed", 422, "the author", "mend the object as the message says";
    ENVIRONMENT_UNKNOWN: "environment.unknown", 422, "the author", "declare the environment, or correct its name";
    ENVIRONMENT_TIER: "environment.tier", 422, "the author", "mend or disable the bindings that break the stricter rules first";
    ENVIRONMENT_REVIEWS: "environment.reviews", 422, "the author", "write `reviews` as `{ every_days: 90, remind_days_before: 14, on_expiry: remind }`";
    SERVER_UNKNOWN: "server.undeclared", 422, "the author", "declare the server in this environment, or correct its name";
    SERVER_ENVIRONMENT: "server.environment", 422, "the author", "bindings open servers of their own environment only: declare the server there";
    SERVER_COMMAND: "server.command", 422, "the gateway's operator", "allow the command under `stdio.commands` in `gateway.yaml`, or correct the route";
    SERVER_ROUTE: "server.route", 422, "the server's owner", "correct the route";
    SERVER_PROBE: "server.probe", 422, "the server's owner", "name under `probe` a tool of risk `read` of a server with a `url`";
    POLICY_UNKNOWN: "policy.undeclared", 422, "the author", "declare the policy in this environment, or correct its name";
    POLICY_INVALID: "policy.invalid", 422, "the policy's owner", "correct the Cedar text; `policy check` shows every problem";
    AGENT_UNKNOWN: "agent.undeclared", 422, "the author", "declare the agent, or correct its name";
    AGENT_ENVIRONMENT: "agent.environment", 422, "the agent's owner", "add the environment to the agent, or leave the agent out";
    AGENT_PROOF: "agent.no_proof", 422, "the agent's owner", "list under `proofs` what proves that a caller is this agent";
    AGENT_TOOLS: "agent.owns_no_tools", 422, "the agent's owner", "list under `tools` what the agent may call: a binding of mode `agent_scoped` serves only agents that own tools";
    AGENT_SURFACE: "agent.surface", 422, "the agent's owner", "write client ids as the issuer writes them, or leave `surfaces` out";
    WORKLOAD_UNKNOWN: "workload.undeclared", 422, "the author", "declare the workload, or correct its name";
    WORKLOAD_ENVIRONMENT: "workload.environment", 422, "the workload's owner", "add the environment to the workload, or leave the workload out";
    WORKLOAD_IDENTITY: "workload.no_identity", 422, "the workload's owner", "name an issuer, and a subject or claims that are more than `*`: an issuer alone would be everybody it knows";
    PROVIDER_UNKNOWN: "provider.undeclared", 422, "the author", "declare the provider in this environment, or correct its name";
    PROVIDER_ISSUER: "provider.issuer", 422, "the author", "write an https URL without user, query or fragment; plain http is only for loopback addresses";
    PROVIDER_ORIGIN: "provider.origin", 422, "the author", "write origins as `https://host` or `https://host:port`, without a path";
    PROVIDER_CLIENT: "provider.client", 422, "the author", "give the client the `id` it got at the provider, or a `registration` that this gateway has";
    PROVIDER_GRANTS: "provider.grants", 422, "the author", "name under `grants` a path without field, version or template, in a store that takes values";
    STORE_UNKNOWN: "store.unknown", 422, "the gateway's operator", "configure the store in `gateway.yaml`, or correct the reference";
    STORE_ENVIRONMENT: "store.environment", 422, "the author", "use a store that serves this environment";
    STORE_UNDELEGATED: "store.undelegated", 422, "the gateway's operator", "delegate the store's path prefixes to owner teams under `paths`";
    STORE_READ_ONLY: "store.read_only", 422, "the operator", "put the value with the store's own tools";
    PATH_UNOWNED: "path.unowned", 422, "the gateway's operator", "use a path under a delegated prefix, or delegate this one";
    REFERENCE_TEMPLATE: "reference.template", 422, "the author", "use only templates whose part of the actor every caller of this binding has";
    REFERENCE_MALFORMED: "reference.malformed", 422, "the operator", "write `store://path#field`";
    BINDING_REVOKED_NAME: "binding.revoked_name", 409, "the author", "a revoked name never comes back: choose another";
    BINDING_DRIFT: "binding.drift", 409, "the author", "the binding was rotated since this manifest: take over the reference from `export`, or rotate";
    BINDING_MODE: "binding.mode", 422, "the author", "use a source that speaks for the party that the mode names; docs/modes.md has the table";
    BINDING_SOURCE: "binding.source", 422, "the author", "name either `secret` or `source`, and for scopes, lifetimes and repositories what the message says";
    BINDING_SOURCE_UNAVAILABLE: "binding.source_unavailable", 422, "the author", "use another source: this one is not available here (`grant` needs the section `login` of gateway.yaml)";
    BINDING_SECRET_MISSING: "binding.secret_missing", 422, "the author", "name the secret: the server needs a credential";
    BINDING_SECRET_UNEXPECTED: "binding.secret_unexpected", 422, "the author", "remove `secret` and `inject`: the server takes no credential";
    BINDING_INJECT_MISSING: "binding.inject_missing", 422, "the author", "say under `inject` where the secret goes";
    BINDING_INJECT_UNEXPECTED: "binding.inject_unexpected", 422, "the author", "remove `inject`: there is no secret to inject";
    BINDING_INJECT_ROUTE: "binding.inject_route", 422, "the author", "inject into `environment` or `file` for a server with a `command`, and into `header`, `basic` or `query` for one with a `url`";
    BINDING_NO_ACTOR: "binding.no_actor", 422, "the author", "say under `actor` whom the binding serves";
    BINDING_ACTOR_USER: "binding.actor_user", 422, "the author", "write users as `issuer|subject`";
    BINDING_RISK: "binding.risk_ceiling", 422, "the author", "lower the binding's risk to the agent's ceiling";
    BINDING_LIMITS: "binding.limits", 422, "the author", "use limits of at least 1, or leave them out";
    BINDING_REVIEW_BY: "binding.review_by", 422, "the author", "write `review_by` as YYYY-MM-DD";
    BINDING_EXPIRES: "binding.expires_in_past", 422, "the author", "set `expires_at` to a time to come";
    BINDING_EXCEPTION: "binding.exception_reason", 422, "the author", "give the approver a reason for each exception, once";
    BINDING_TIED: "binding.tied", 422, "the author", "make one of the two more specific, or disable one: calls that both match would be refused";
    REVIEW_OWN_WORK: "review.own_work", 403, "another approver", "where approvals are asked for, the author of the revision does not review it: ask somebody else";
    REVIEW_ALREADY: "review.already", 409, "another approver", "you have signed this review; another approver completes it";
    REVIEW_REVISION: "review.revision", 409, "the reviewer", "read the card again and review the revision that stands now";
    REVIEW_UNTIL: "review.until", 422, "the reviewer", "say with `until` until which day the review holds: a day to come, written as YYYY-MM-DD, within what the environment's `reviews.every_days` allows";
    REVIEW_OVERDUE: "review.overdue", 409, "a reviewer", "review the binding first: `binding review`; it is switched off because nobody had";
    ROTATION_WATCH: "rotation.watch", 422, "the author", "watch only a place in a store that keeps versions, without a template: elsewhere a changed value is taken over within the store's `cache_seconds`";
    ROTATION_SECRET: "rotation.no_secret", 422, "the author", "remove `rotation`: it looks after a `secret` in a store; other sources renew theirs by themselves";
    PRODUCTION_ANY: "production.any_actor", 422, "the author", "name agents, users or groups: `any` is refused in production";
    PRODUCTION_LOCAL_STORE: "production.local_store", 422, "the author", "use a secret store of the enterprise's, or ask for the exception `local_store`";
    PRODUCTION_QUERY: "production.query_injection", 422, "the author", "inject into a header, or ask for the exception `query_injection`";
    PRODUCTION_STDIO_USER: "production.stdio_user", 422, "the gateway's operator", "set `stdio.users` so that each process has a user of its own, or ask for the exception `stdio_user`";
    PRODUCTION_DURABILITY: "production.process_durability", 422, "the gateway's operator", "set `audit.durability: fsync`, or ask for the exception `process_durability`";
    TOKEN_LIFETIME: "agent_token.lifetime", 422, "the operator", "use a lifetime between one minute and 90 days";
    TOKEN_ENVIRONMENT: "agent_token.environment", 422, "the operator", "use an environment that the agent may enter and that allows agent tokens";
    TOKEN_PROOF: "agent_token.not_a_proof", 422, "the agent's owner", "list `agent_token` among the agent's proofs";
    TOKEN_UNKNOWN: "agent_token.unknown", 404, "the operator", "list the agent's tokens";
    PROMOTION_ORDER: "promotion.order", 422, "an administrator", "promote step by step, or name the source under `promotes_from` of the target environment";
    PROMOTION_SELECTION: "promotion.selection", 422, "the operator", "name servers, policies and bindings that decide in the source, as `KIND/NAME`";
    PROMOTION_REFERENCE: "promotion.reference", 422, "the author", "name the target's own reference in the map, under `references`";
    PROMOTION_ROUTE: "promotion.route", 422, "the author", "name the target's own URL in the map, under `routes`, or declare the server in the target first";
    PROMOTION_PROVIDER: "promotion.provider", 422, "the author", "declare a provider in the target with a registration and references of its own; where it has another name, put that in the map, under `providers`";
    PROMOTION_WORKLOAD: "promotion.workload", 422, "the author", "name a workload that enters only the target in the map, under `workloads`";
    PROMOTION_AGENT: "promotion.agent", 422, "the agent's owner", "add the environment to the agent, or name another in the map, under `agents`";
    LOCK_SELECTOR: "lock.selector", 422, "the operator", "name what the lock stops, or `everything` and nothing else; users as `issuer|subject`";
    LOCK_NAME: "lock.undeclared", 422, "the operator", "correct the name: a lock on nothing stops nothing";
    LOCK_REASON: "lock.reason", 422, "the operator", "say why in 1 to 500 characters, for the operators that come after you";
    LOCK_UNTIL: "lock.until", 422, "the operator", "give the lock an end within 30 days; what must last longer is revoked";
    LOCK_OWN: "lock.own", 403, "another operator", "in an environment with approvals somebody else lifts a lock; or wait for its end";
    LOCK_ENDED: "lock.ended", 409, "the operator", "it has ended already; look at `lock list --ended`";
    LOGIN_REFUSED: "login.refused", 401, "an administrator", "the bootstrap token is wrong, used up or expired";
    LOGIN_NAME: "login.name", 422, "the operator", "choose a name without `|` that is not `bootstrap`";
}

/// One problem with one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The rule that was broken.
    #[serde(flatten, serialize_with = "rule_fields")]
    pub rule: &'static Rule,
    /// The object, where the finding is about one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "key_text")]
    pub object: Option<ObjectKey>,
    /// What is wrong; never repeats a value that could be a secret.
    pub message: String,
}

impl Finding {
    /// A problem with an object.
    pub fn of(rule: &'static Rule, object: &ObjectKey, message: impl fmt::Display) -> Self {
        Self { rule, object: Some(object.clone()), message: message.to_string() }
    }

    /// A problem that is about no single object.
    pub fn general(rule: &'static Rule, message: impl fmt::Display) -> Self {
        Self { rule, object: None, message: message.to_string() }
    }
}

fn rule_fields<S: Serializer>(rule: &&'static Rule, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        code: &'static str,
        hint: &'static str,
        fixer: &'static str,
    }
    Fields { code: rule.code, hint: rule.hint, fixer: rule.fixer }.serialize(serializer)
}

fn key_text<S: Serializer>(key: &Option<ObjectKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => serializer.collect_str(key),
        None => serializer.serialize_none(),
    }
}
