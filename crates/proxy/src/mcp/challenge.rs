//! What a server means when it refuses: the challenges of a 401 or 403 (RFC 9110, section 11.6.1), read
//! for what RFC 6750, section 3 and RFC 9728, section 5.1 put into them. Nothing of them reaches callers.

use gateway_core::manifest::CredentialMode;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::Needles;
use http::{HeaderMap, StatusCode, header};

/// How much of a server's own words evidence and log keep, in characters.
const KEPT: usize = 256;

/// The server did not accept the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it comes to.
    pub code: Code,
    /// The scopes that it demands, where it refused for want of them.
    pub scopes: Option<String>,
    /// Where the server says that its OAuth metadata is, for the log alone.
    metadata: Option<String>,
}

impl Refused {
    /// Reads an answer; nothing where it refuses no credential.
    pub fn read(
        status: StatusCode,
        headers: &HeaderMap,
        mode: CredentialMode,
        needles: &Needles,
    ) -> Option<Self> {
        let clean = |text: &str| kept(text, needles);
        let challenges = oauth_challenges(headers);
        let parameter = |name: &str| challenges.iter().find_map(|challenge| challenge.parameter(name));
        match status {
            StatusCode::UNAUTHORIZED => {
                let metadata = parameter("resource_metadata").map(clean);
                // The token of a grant was refused as any credential is; a stored secret is no grant.
                let wants_grant = metadata.is_some() && mode == CredentialMode::ServiceAccount;
                let code = if wants_grant { Code::UpstreamOauthRequired } else { Code::UpstreamUnauthorized };
                Some(Self { code, scopes: None, metadata })
            }
            StatusCode::FORBIDDEN => {
                let lacking = challenges.iter().find(|challenge| {
                    challenge.parameter("error").is_some_and(|error| error == "insufficient_scope")
                })?;
                let scopes = lacking.parameter("scope").map(clean).filter(|scopes| !scopes.is_empty());
                Some(Self { code: Code::UpstreamScopeMissing, scopes, metadata: None })
            }
            _ => None,
        }
    }

    /// The refusal, with what the operator's log should say.
    pub fn refusal(&self) -> Refusal {
        let refusal = Refusal::new(self.code);
        match (&self.scopes, &self.metadata) {
            (Some(scopes), _) => refusal.because(format!("the server demands the scopes `{scopes}`")),
            (None, Some(place)) => refusal.because(format!("the server's OAuth metadata: `{place}`")),
            (None, None) => refusal,
        }
    }
}

/// Where a server says that its metadata is (RFC 9728, section 5.1), as it says it.
pub fn resource_metadata(headers: &HeaderMap) -> Option<String> {
    let challenges = oauth_challenges(headers);
    let mut found = challenges.iter().filter_map(|challenge| challenge.parameter("resource_metadata"));
    found.next().map(str::to_owned)
}

/// Scrubbed first, so that no cut or dropped character hides a value from the scrubber.
fn kept(text: &str, needles: &Needles) -> String {
    let text = if needles.is_empty() { text.to_owned() } else { needles.scrub_text(text).0 };
    let printable = |one: &char| matches!(one, ' '..='~') && !matches!(one, '"' | '`' | '\\');
    text.chars().filter(printable).take(KEPT).collect()
}

/// One challenge: a scheme and its parameters.
#[derive(Debug, Default)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The challenges of the schemes that carry OAuth tokens.
fn oauth_challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let fields = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let mut all: Vec<_> =
        fields.flat_map(|field| challenges(&String::from_utf8_lossy(field.as_bytes()))).collect();
    all.retain(|challenge| ["bearer", "dpop"].iter().any(|name| challenge.scheme.eq_ignore_ascii_case(name)));
    all
}

/// Takes one header apart. Commas separate challenges as well as their parameters; what begins with a
/// name that no `=` follows is a new challenge.
fn challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for element in elements(text) {
        let mut rest = element.trim();
        if parameter(rest).is_none() {
            let (scheme, parameters) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            found.push(Challenge { scheme: scheme.to_owned(), parameters: Vec::new() });
            rest = parameters.trim();
        }
        if let (Some(parameter), Some(challenge)) = (parameter(rest), found.last_mut()) {
            challenge.parameters.push(parameter);
        }
    }
    found
}

/// Splits at commas that stand outside of quotes.
fn elements(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|one: char| {
        let parts_here = one == ',' && !quoted;
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        parts_here
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// Reads `name = value`, the value as a token or quoted.
fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim_end();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_token)).then(|| (name.to_owned(), unquoted(value.trim())))
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut value = String::with_capacity(inner.len());
    let mut escaped = false;
    for one in inner.chars() {
        match one {
            _ if escaped => {
                value.push(one);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => value.push(one),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use gateway_core::id::BindingName;
    use gateway_core::scrub::{Marker, NeedleSource};
    use gateway_core::secret::Secret;

    use super::*;

    fn read(status: u16, fields: &[&str]) -> Option<Refused> {
        read_as(CredentialMode::ServiceAccount, status, fields, &Needles::none())
    }

    fn read_as(mode: CredentialMode, status: u16, fields: &[&str], needles: &Needles) -> Option<Refused> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::WWW_AUTHENTICATE, field.parse().unwrap());
        }
        Refused::read(StatusCode::from_u16(status).unwrap(), &headers, mode, needles)
    }

    #[test]
    fn metadata_in_any_spelling_means_a_grant_of_the_servers_own() {
        for fields in [
            &["Bearer resource_metadata=\"https://m/x\""][..],
            &[
                "bearer error=\"invalid_token\", error_description=\"a, b = \\\"c\\\"\", Resource_Metadata = \"https://m/x\"",
            ],
            &["Basic realm=\"a\", Bearer realm=\"b\",resource_metadata=https://m/x"],
            &["Basic dG9rZW4=", "DPoP algs=\"ES256\", resource_metadata=\"https://m/x\""],
            &["Negotiate, Bearer resource_metadata=\"https://m/x\""],
        ] {
            let refused = read(401, fields).unwrap();
            assert_eq!(refused.code, Code::UpstreamOauthRequired, "{fields:?}");
            assert_eq!(refused.metadata.as_deref(), Some("https://m/x"), "{fields:?}");
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::WWW_AUTHENTICATE, field.parse().unwrap());
            }
            assert_eq!(resource_metadata(&headers).as_deref(), Some("https://m/x"), "{fields:?}");
        }
    }

    #[test]
    fn any_other_401_is_a_refused_credential() {
        for fields in [
            &[][..],
            &["Bearer"],
            &["Bearer realm=\"theirs\""],
            &["Basic realm=\"resource_metadata=x\""],
            &["Basic realm=\"x\", resource_metadata=\"https://m/x\""],
            &["Bearer realm=\"Bearer, resource_metadata=x\""],
            &["=,,\"", "\\", "Bearer ="],
        ] {
            assert_eq!(read(401, fields).unwrap().code, Code::UpstreamUnauthorized, "{fields:?}");
        }
        let grant = read_as(
            CredentialMode::UserDelegated,
            401,
            &["Bearer error=\"invalid_token\", resource_metadata=\"https://m/x\""],
            &Needles::none(),
        );
        assert_eq!(grant.unwrap().code, Code::UpstreamUnauthorized, "a grant's token was refused");
    }

    #[test]
    fn a_403_counts_only_where_it_asks_for_scopes() {
        let refused = read(403, &["Bearer error=\"insufficient_scope\", scope=\"files:read files:write\""]);
        let refused = refused.unwrap();
        assert_eq!(refused.code, Code::UpstreamScopeMissing);
        assert_eq!(refused.scopes.as_deref(), Some("files:read files:write"));
        assert_eq!(read(403, &["Bearer error=insufficient_scope"]).unwrap().scopes, None);
        for other in
            ["Bearer error=\"invalid_token\"", "Bearer scope=\"insufficient_scope\"", "Basic realm=\"x\""]
        {
            assert_eq!(read(403, &[other]), None, "{other}");
        }
        assert_eq!(read(200, &["Bearer error=\"insufficient_scope\""]), None);
    }

    #[test]
    fn the_servers_words_are_scrubbed_and_cut_before_they_are_kept() {
        let secret = Secret::copy_from(b"sixteen-bytes-or-more");
        let marker = Marker::new(&BindingName::parse("main").unwrap());
        let needles = Needles::build([NeedleSource::Value(&secret)], marker).unwrap();
        let long = format!("a:sixteen-bytes-or-more \\\"`{}", "b".repeat(600));
        let field = format!("Bearer error=\"insufficient_scope\", scope=\"{long}\"");
        let scopes =
            read_as(CredentialMode::ServiceAccount, 403, &[&field], &needles).unwrap().scopes.unwrap();
        assert!(!scopes.contains("sixteen-bytes") && !scopes.contains(['"', '`', '\\']), "{scopes}");
        assert_eq!(scopes.chars().count(), KEPT);
        let field = "Bearer resource_metadata=\"https://m/?k=sixteen-bytes-or-more\"";
        let refused = read_as(CredentialMode::ServiceAccount, 401, &[field], &needles).unwrap();
        assert!(!format!("{:?} {refused:?}", refused.refusal()).contains("sixteen-bytes"));
    }
}
