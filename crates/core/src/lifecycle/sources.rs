//! The rules of credential sources and providers, and of workload mappings.

use super::rule;
use super::validate::Judge;
use super::world::provider_key;
use crate::manifest::{
    AssertedSubject, BindingSpec, ClientAuthentication, CredentialMode, CredentialSource, Injection,
    ObjectKey, ProviderSpec, Registration, Route, Spec, TokenRequest, WorkloadSpec,
};

/// How long a minted token may hold, in seconds.
const MINTED_SECONDS: std::ops::RangeInclusive<u32> = 30..=900;

impl Judge<'_> {
    /// Mode and source must fit, and everything that the source names must be there.
    pub(super) fn source(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        let leased = matches!(spec.source, Some(CredentialSource::Leased(_)));
        if !leased && spec.inject.as_ref().is_some_and(Injection::names_account) {
            let message = "the user name of a lease goes with the source `leased` alone";
            self.find(&rule::BINDING_SOURCE, key, message);
        }
        let Some(source) = &spec.source else {
            self.stored(key, spec);
            return;
        };
        if spec.secret.is_some() {
            self.find(&rule::BINDING_SOURCE, key, "the binding names both `secret` and `source`");
        }
        if !source.serves(spec.mode) {
            let message = format!("source `{}` does not serve mode `{}`", source.word(), spec.mode.word());
            self.find(&rule::BINDING_MODE, key, message);
        }
        if !self.facts.sources.contains(source.word()) {
            let message = format!("this gateway has no source `{}`", source.word());
            self.find(&rule::BINDING_SOURCE_UNAVAILABLE, key, message);
        }
        for name in source.providers() {
            if self.world.spec(&provider_key(&spec.environment, name)).is_none() {
                self.find(&rule::PROVIDER_UNKNOWN, key, format!("provider `{name}` is not declared"));
            }
        }
        self.source_fields(key, spec, source);
    }

    /// A stored secret speaks for a party only if its place depends on that party, or the selector does.
    fn stored(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        let message = match spec.mode {
            CredentialMode::UserDelegated if spec.secret.is_some() => {
                "a stored secret is nobody's delegated authority: name a `source`"
            }
            CredentialMode::AgentScoped if spec.actor.agents.is_empty() => {
                "an agent's credential needs `actor.agents`"
            }
            CredentialMode::WorkloadIdentity if spec.actor.workloads.is_empty() => {
                "a workload's credential needs `actor.workloads`"
            }
            _ => return,
        };
        self.find(&rule::BINDING_MODE, key, message);
    }

    fn source_fields(&mut self, key: &ObjectKey, spec: &BindingSpec, source: &CredentialSource) {
        if spec.mode == CredentialMode::AgentScoped && spec.actor.agents.is_empty() {
            self.find(&rule::BINDING_MODE, key, "an agent's credential needs `actor.agents`");
        }
        if spec.mode == CredentialMode::WorkloadIdentity && spec.actor.workloads.is_empty() {
            self.find(&rule::BINDING_MODE, key, "a workload's credential needs `actor.workloads`");
        }
        if let Some(request) = source.request() {
            self.token_request(key, request);
        }
        match source {
            CredentialSource::Grant(request) => self.grants(key, spec, request),
            CredentialSource::Minted(minted) => {
                if !MINTED_SECONDS.contains(&minted.lifetime_seconds) {
                    self.find(&rule::BINDING_SOURCE, key, "`lifetime_seconds` is not within 30 and 900");
                }
                let process = |server: &crate::manifest::ServerSpec| matches!(server.route, Route::Stdio(_));
                if minted.audience.is_none() && self.world.server(spec).is_some_and(process) {
                    self.find(&rule::BINDING_SOURCE, key, "a process has no URL: name the `audience`");
                }
            }
            CredentialSource::AppInstallation(app) => {
                if app.repositories.is_empty() || app.permissions.is_empty() {
                    let message = "the token would not be narrowed: name `repositories` and `permissions`";
                    self.find(&rule::BINDING_SOURCE, key, message);
                }
            }
            CredentialSource::Leased(leased) => {
                let store = self.stores.entry(leased.role.store());
                if store.is_some_and(|entry| entry.leasing.is_none()) {
                    self.find(&rule::BINDING_SOURCE, key, "the store makes no secrets on demand");
                }
                if !leased.role.has_field() || leased.role.version().is_some() {
                    self.find(&rule::BINDING_SOURCE, key, "`role` needs a field, and has no versions");
                }
            }
            CredentialSource::JwtBearer(bearer) => {
                self.asserting(key, spec, &bearer.token);
                if (bearer.subject == AssertedSubject::User) != bearer.user_issuer.is_some() {
                    let message = "`user_issuer` goes with `subject: user`, and only with it: it says whose \
                                   subjects the provider knows";
                    self.find(&rule::BINDING_SOURCE, key, message);
                }
            }
            CredentialSource::ClientCredentials(_)
            | CredentialSource::TokenExchange(_)
            | CredentialSource::IdentityAssertion(_) => {}
        }
    }

    fn token_request(&mut self, key: &ObjectKey, request: &TokenRequest) {
        let of_tools = request.tool_scopes.iter().flat_map(|entry| &entry.scopes);
        if request.scopes.iter().chain(of_tools).any(|scope| !is_scope(scope)) {
            self.find(
                &rule::BINDING_SOURCE,
                key,
                "a scope is empty or holds a character that scopes have not",
            );
        }
        if request.resource.as_deref().is_some_and(|resource| !is_resource(resource)) {
            self.find(&rule::BINDING_SOURCE, key, "`resource` is no absolute URI without a fragment");
        }
        if request.tool_scopes.iter().any(|entry| entry.tools.is_empty() || entry.scopes.is_empty()) {
            self.find(&rule::BINDING_SOURCE, key, "an entry of `tool_scopes` has no tools or no scopes");
        }
    }

    /// An assertion is signed with the private key of the provider's client.
    fn asserting(&mut self, key: &ObjectKey, spec: &BindingSpec, request: &TokenRequest) {
        if let Some(Spec::Provider(provider)) =
            self.world.spec(&provider_key(&spec.environment, &request.provider))
            && !matches!(provider.client.authentication, ClientAuthentication::PrivateKeyJwt { .. })
        {
            let message = format!("provider `{}` has no private key to sign with", request.provider);
            self.find(&rule::BINDING_SOURCE, key, message);
        }
    }

    fn grants(&mut self, key: &ObjectKey, spec: &BindingSpec, request: &TokenRequest) {
        if let Some(Spec::Provider(provider)) =
            self.world.spec(&provider_key(&spec.environment, &request.provider))
            && provider.grants.is_none()
        {
            let message = format!("provider `{}` does not say where grants are kept", request.provider);
            self.find(&rule::PROVIDER_GRANTS, key, message);
        }
    }

    /// A provider: where it is, who the gateway is there, and where its grants go.
    pub(super) fn provider(&mut self, key: &ObjectKey, spec: &ProviderSpec) {
        if !is_identifier(&spec.issuer) {
            self.find(&rule::PROVIDER_ISSUER, key, "`issuer` is no issuer identifier");
        }
        if spec.origins.iter().any(|origin| !is_origin(origin)) {
            self.find(&rule::PROVIDER_ORIGIN, key, "an entry of `origins` is no origin");
        }
        self.client(key, spec);
        for reference in spec.references() {
            self.place(key, &spec.environment, reference);
            if reference.has_templates() {
                self.find(&rule::REFERENCE_TEMPLATE, key, "a provider's reference has a template");
            }
        }
        if let Some(grants) = &spec.grants
            && (grants.has_field() || grants.version().is_some())
        {
            self.find(&rule::PROVIDER_GRANTS, key, "`grants` names a field or a version");
        }
        if let Some(grants) = &spec.grants
            && let Some(entry) = self.stores.entry(grants.store())
        {
            // A grant's own place is one below.
            let place = format!("{}/grant", grants.fixed_prefix());
            match &entry.writer {
                None => self.find(&rule::PROVIDER_GRANTS, key, "the store takes no values"),
                Some(writer) if !writer.takes(&place) => {
                    self.find(&rule::PROVIDER_GRANTS, key, "the store takes no values at this path");
                }
                Some(_) => {}
            }
        }
    }

    /// How the provider comes to know the gateway, and what that asks of the rest.
    fn client(&mut self, key: &ObjectKey, spec: &ProviderSpec) {
        let client = &spec.client;
        if client.registration == Registration::Registered {
            if client.id.as_deref().is_none_or(str::is_empty) {
                self.find(&rule::PROVIDER_CLIENT, key, "there is no `client.id`");
            }
            return;
        }
        if !self.facts.sources.contains(client.registration.word()) {
            let message = match client.registration {
                Registration::MetadataDocument => {
                    "no provider could read this gateway's client document: its `public_url` is not https"
                }
                _ => "this gateway cannot register itself at providers",
            };
            self.find(&rule::PROVIDER_CLIENT, key, message);
        }
        if client.id.is_some() {
            let message = "`client.id` is of clients that somebody registered";
            self.find(&rule::PROVIDER_CLIENT, key, message);
        }
        if !matches!(client.authentication, ClientAuthentication::None | ClientAuthentication::GatewayKey) {
            let message = "`client.authentication` is of clients that somebody registered: leave it out, or \
                           write `gateway_key`";
            self.find(&rule::PROVIDER_CLIENT, key, message);
        }
        if spec.endpoints.is_some() {
            let message = "`endpoints` are written out, and only the provider's metadata can say that it \
                           takes this `client.registration`";
            self.find(&rule::PROVIDER_CLIENT, key, message);
        }
        if client.registration == Registration::Dynamic && spec.grants.is_none() {
            let message = "`registration: dynamic` needs `grants`: the registration is kept there";
            self.find(&rule::PROVIDER_GRANTS, key, message);
        }
    }

    /// A workload mapping: an identity that is more than its issuer.
    pub(super) fn workload(&mut self, key: &ObjectKey, spec: &WorkloadSpec) {
        if spec.environments.is_empty() {
            self.find(&rule::WORKLOAD_ENVIRONMENT, key, "the workload may enter no environment");
        }
        let narrow = spec.identities.iter().all(crate::manifest::WorkloadIdentity::is_narrow);
        if spec.identities.is_empty() || !narrow {
            self.find(&rule::WORKLOAD_IDENTITY, key, "an identity asks for nothing beyond its issuer");
        }
    }
}

/// `scope-token` of RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

fn is_resource(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    scheme && !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic())
}

/// An https URL, or a plain one of the loopback, without user, query and fragment.
fn is_identifier(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['?', '#', '@', '\\']);
    plain && (is_safe(text))
}

fn is_origin(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
    is_identifier(text) && !authority.is_empty() && !authority.contains('/')
}

fn is_safe(text: &str) -> bool {
    let host = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let name =
            authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(authority, |(n, _)| n);
        name.to_owned()
    };
    match text.split_once("://") {
        Some(("https", rest)) => !host(rest).is_empty(),
        Some(("http", rest)) => {
            let host = host(rest);
            let loopback = host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
            loopback || matches!(host.as_str(), "localhost" | "[::1]")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_identifier, is_origin, is_scope};

    #[test]
    fn issuers_are_https_or_loopback_and_origins_have_no_path() {
        for good in [
            "https://idp.example",
            "https://idp.example:8443/realm",
            "http://127.0.0.1:9000",
            "http://127.0.0.3:9000/realm",
            "http://[::1]:1",
        ] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in [
            "http://idp.example",
            "https://",
            "ftp://x",
            "https://a@b",
            "https://a?b",
            "https://a#b",
            "http://127.0.0.1.evil.example",
            "http://127.1",
            "http://128.0.0.1",
        ] {
            assert!(!is_identifier(bad), "{bad}");
        }
        assert!(is_origin("https://api.example:8443") && !is_origin("https://api.example/"));
    }

    #[test]
    fn scopes_hold_what_the_standard_lets_them() {
        assert!(is_scope("notes.read") && is_scope("https://a/b"));
        assert!(!is_scope("") && !is_scope("a b") && !is_scope("a\"b") && !is_scope("a\\b"));
    }
}
