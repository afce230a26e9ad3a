//! The gateway as a client of providers: where browsers come back to, and the documents that describe it
//! (OAuth Client ID Metadata Document; MCP 2025-11-25, Authorization, "Client ID Metadata Documents").
//!
//! Every provider of every environment knows the gateway by a document of its own, so that no two of them,
//! and no two environments, ever mean the same client. A document says nothing that is not in its address:
//! it is there for every well-formed name, so that a stranger learns nothing about which providers exist.

use bytes::Bytes;
use serde_json::json;

use crate::id::{EnvironmentName, ProviderName};

/// Where providers send people's browsers back to, below the gateway's public URL.
pub const CALLBACK_PATH: &str = "/connect/callback";

/// What the path of every client document begins with.
pub const DOCUMENTS_PATH: &str = "/.well-known/oauth-client/";

/// The key set that verifies what the gateway signs as a client (RFC 7517).
pub const KEYS_PATH: &str = "/.well-known/jwks/assertion.json";

/// The algorithm of what it signs as a client (RFC 7518, section 3.4): the one that most providers take.
pub const SIGNING_ALGORITHM: &str = "ES256";

/// What the gateway is allowed to ask for as a client (RFC 7591, section 2).
pub const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// The only redirect URI that the gateway ever sends or registers.
pub fn redirect_uri(public_url: &str) -> String {
    below(public_url, CALLBACK_PATH)
}

/// Where providers find the keys of what the gateway signs as a client.
pub fn keys_uri(public_url: &str) -> String {
    below(public_url, KEYS_PATH)
}

/// What people read on a provider's consent page: which of the gateway's environments asks.
pub fn name(environment: &EnvironmentName) -> String {
    format!("MCP gateway ({environment})")
}

/// Whether addresses below the URL can be client ids: they must be https, whoever reads them.
pub fn has_documents(public_url: &str) -> bool {
    public_url.starts_with("https://")
}

fn below(public_url: &str, path: &str) -> String {
    format!("{}{path}", public_url.trim_end_matches('/'))
}

/// One client document, by its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientDocument {
    /// The environment that asks.
    pub environment: EnvironmentName,
    /// The provider that is asked.
    pub provider: ProviderName,
    /// Whether the gateway proves itself by its signing keys, or is a public client.
    pub signed: bool,
}

impl ClientDocument {
    /// Reads what follows [`DOCUMENTS_PATH`]: `{environment}/{provider}.json` for a public client,
    /// `{environment}/{provider}/signed.json` for one that signs.
    pub fn parse(rest: &str) -> Option<Self> {
        let (environment, rest) = rest.split_once('/')?;
        let (provider, signed) = match rest.strip_suffix("/signed.json") {
            Some(provider) => (provider, true),
            None => (rest.strip_suffix(".json")?, false),
        };
        let environment = EnvironmentName::parse(environment).ok()?;
        Some(Self { environment, provider: ProviderName::parse(provider).ok()?, signed })
    }

    /// Its address, which is the gateway's client id at that provider.
    pub fn address(&self, public_url: &str) -> String {
        let end = if self.signed { "/signed.json" } else { ".json" };
        below(public_url, &format!("{DOCUMENTS_PATH}{}/{}{end}", self.environment, self.provider))
    }

    /// The document; `None` where its address could not be a client id.
    pub fn render(&self, public_url: &str) -> Option<Bytes> {
        if !has_documents(public_url) {
            return None;
        }
        let method = if self.signed { "private_key_jwt" } else { "none" };
        let mut document = json!({
            "client_id": self.address(public_url),
            "client_name": name(&self.environment),
            "application_type": "web",
            "redirect_uris": [redirect_uri(public_url)],
            "grant_types": GRANT_TYPES,
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
        });
        if let (true, Some(fields)) = (self.signed, document.as_object_mut()) {
            fields.insert("token_endpoint_auth_signing_alg".to_owned(), SIGNING_ALGORITHM.into());
            fields.insert("jwks_uri".to_owned(), keys_uri(public_url).into());
        }
        Some(Bytes::from(document.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const PUBLIC: &str = "https://mcp.example";

    fn document(rest: &str) -> Value {
        let document = ClientDocument::parse(rest).unwrap();
        serde_json::from_slice(&document.render(PUBLIC).unwrap()).unwrap()
    }

    #[test]
    fn a_document_names_its_own_address_and_the_one_redirect() {
        let expected = json!({
            "client_id": "https://mcp.example/.well-known/oauth-client/dev/notes.json",
            "client_name": "MCP gateway (dev)", "application_type": "web",
            "redirect_uris": ["https://mcp.example/connect/callback"],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        assert_eq!(document("dev/notes.json"), expected);
        let signed = document("dev/notes/signed.json");
        let address = "https://mcp.example/.well-known/oauth-client/dev/notes/signed.json";
        assert_eq!(signed["client_id"], address);
        assert_eq!(signed["token_endpoint_auth_method"], "private_key_jwt");
        assert_eq!(signed["jwks_uri"], "https://mcp.example/.well-known/jwks/assertion.json");
        assert_eq!(redirect_uri("https://mcp.example/"), redirect_uri(PUBLIC));
    }

    #[test]
    fn an_address_reads_back_as_the_document_it_is_of() {
        for rest in ["dev/notes.json", "production/notes-2/signed.json"] {
            let document = ClientDocument::parse(rest).unwrap();
            assert_eq!(document.address(PUBLIC), format!("{PUBLIC}{DOCUMENTS_PATH}{rest}"));
        }
        for bad in [
            "",
            "notes.json",
            "dev/notes",
            "dev/.json",
            "dev/signed",
            "/notes.json",
            "dev/Notes.json",
            "dev/../notes.json",
            "dev/notes/other.json",
            "dev/a/notes.json",
            "dev//signed.json",
            "dev/notes.json/",
            "dev/notes.json?x",
            "dev/n%6ftes.json",
        ] {
            assert_eq!(ClientDocument::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn there_are_no_documents_below_a_plain_http_url() {
        let document = ClientDocument::parse("dev/notes.json").unwrap();
        assert!(document.render("http://127.0.0.1:8080").is_none());
    }
}
