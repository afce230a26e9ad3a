//! The consent that a call lacks, on its way from where that is found to whoever can ask a person for it.

use crate::id::{ProviderName, ToolName};
use crate::manifest::TokenRequest;
use crate::state::GrantRecord;

/// What a user has to agree to at a provider before a call can be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consent {
    /// The provider.
    pub provider: ProviderName,
    /// The scopes to agree to, sorted, each once (RFC 6749, section 3.3).
    pub scopes: Vec<String>,
    /// The resource that tokens are for (RFC 8707).
    pub resource: Option<String>,
}

impl Consent {
    /// Exactly what this use needs and, where the user has a grant, what that covers already: the new grant
    /// takes its place, and what worked before must go on working.
    pub fn lacking(request: &TokenRequest, tool: Option<&ToolName>, grant: Option<&GrantRecord>) -> Self {
        let granted = grant.into_iter().flat_map(|grant| &grant.scopes).map(String::as_str);
        let mut scopes: Vec<&str> = request.scopes_for(tool).into_iter().chain(granted).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self {
            provider: request.provider.clone(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            resource: request.resource.clone(),
        }
    }

    /// Whether the grant covers all of it.
    pub fn is_given(&self, grant: &GrantRecord) -> bool {
        self.scopes.iter().all(|scope| grant.scopes.contains(scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EnvironmentName;
    use crate::reference::SecretReference;
    use crate::time::Timestamp;

    fn request() -> TokenRequest {
        serde_json::from_value(serde_json::json!({
            "provider": "notes", "scopes": ["b"], "resource": "https://notes.example/mcp",
            "tool_scopes": [{"tools": ["write_it"], "scopes": ["d", "a", "b"]}]
        }))
        .unwrap()
    }

    fn grant(scopes: &[&str]) -> GrantRecord {
        GrantRecord {
            id: "g1".into(),
            environment: EnvironmentName::parse("dev").unwrap(),
            provider: ProviderName::parse("notes").unwrap(),
            user: "https://idp|alice".into(),
            account: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            reference: SecretReference::parse("local://grants/g1#tokens").unwrap(),
            created_at: Timestamp::from_seconds(0),
            ended: None,
        }
    }

    #[test]
    fn exactly_what_the_tool_needs_is_lacking_where_nothing_is_granted() {
        let tool = ToolName::parse("write_it").unwrap();
        let lacking = Consent::lacking(&request(), Some(&tool), None);
        assert_eq!(lacking.scopes, ["a", "b", "d"]);
        assert_eq!(lacking.resource.as_deref(), Some("https://notes.example/mcp"));
        assert_eq!(Consent::lacking(&request(), None, None).scopes, ["b"]);
    }

    #[test]
    fn what_is_granted_already_is_asked_for_again_and_nothing_else() {
        let tool = ToolName::parse("write_it").unwrap();
        let lacking = Consent::lacking(&request(), Some(&tool), Some(&grant(&["b", "c"])));
        assert_eq!(lacking.scopes, ["a", "b", "c", "d"]);
        assert!(!lacking.is_given(&grant(&["b", "c"])));
        assert!(lacking.is_given(&grant(&["a", "b", "c", "d", "e"])));
    }
}
