//! What an authorization server says of itself, as it is written (RFC 8414, section 2; `OpenID` Connect Discovery 1.0).
//! Unknown members are none of ours, and nothing of it is believed yet: who reads it judges the issuer and each endpoint.

use serde::{Deserialize, Deserializer};

/// The document.
#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) issuer: String,
    pub(super) token_endpoint: Option<String>,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) registration_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) userinfo_endpoint: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) scopes_supported: Vec<String>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) mtls_endpoint_aliases: Aliases,
}

/// RFC 8705, section 5.
#[derive(Deserialize, Default)]
pub(super) struct Aliases {
    pub(super) token_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
}

impl Document {
    /// Whether it offers PKCE with S256 (RFC 7636).
    pub(super) fn offers_s256(&self) -> bool {
        self.code_challenge_methods_supported.iter().any(|method| method == "S256")
    }
}

/// Some servers write an empty list as `null`.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_null_is_empty_and_one_of_something_else_is_none() {
        let read = |methods: &str| {
            let text = format!(
                r#"{{"issuer":"i","code_challenge_methods_supported":{methods},"scopes_supported":null}}"#
            );
            serde_json::from_str::<Document>(&text).map(|document| document.offers_s256())
        };
        assert!(!read("null").unwrap() && !read("[]").unwrap() && read(r#"["plain","S256"]"#).unwrap());
        assert!(read(r#""S256""#).is_err());
    }
}
