//! What is done about a grant's tokens when the grant ends.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::manifest::ProviderSpec;
use crate::state::GrantRecord;

/// Keeps the tokens of grants in the enterprise's stores and speaks to the providers about them.
#[async_trait]
pub trait GrantTokenKeeper: Send + Sync + fmt::Debug {
    /// Forgets what this replica holds of an ended grant, and hands none of it out again; says how many
    /// values it held.
    fn forget(&self, grant: &GrantRecord) -> u32;

    /// Asks the provider to take the tokens back (RFC 7009) and deletes them from the store. Nothing here is
    /// an error to the caller, who has ended the grant already: the answers say what came of it.
    async fn give_back(&self, grant: &GrantRecord, provider: Option<&ProviderSpec>) -> GivenBack;
}

/// What came of giving a grant's tokens back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct GivenBack {
    /// What the provider answered about the refresh token: `revoked`, `not_offered`, `unavailable`, or its
    /// error code. Absent where there was none, or nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The same about the access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// Whether the store deleted the tokens.
    pub deleted: bool,
    /// The code of what stood in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl GivenBack {
    /// Whether the provider said of every token that it asked about that it is revoked.
    pub fn is_revoked(&self) -> bool {
        let said: Vec<_> = self.refresh_token.iter().chain(&self.access_token).collect();
        !said.is_empty() && said.iter().all(|answer| *answer == "revoked")
    }

    /// One word or two for evidence.
    pub fn answer(&self) -> String {
        let word = |answer: &Option<String>| answer.clone().unwrap_or_else(|| "not_asked".to_owned());
        let text = match (&self.refresh_token, &self.access_token) {
            (None, access) => word(access),
            (Some(refresh), Some(access)) if refresh == access => refresh.clone(),
            (refresh, access) => format!("{}/{}", word(refresh), word(access)),
        };
        text.chars().filter(char::is_ascii_graphic).take(64).collect()
    }
}
