//! Where a grant's tokens are, and their way in and out of the store.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::state::GrantRecord;
use gateway_core::stores::StoreEntry;

use super::Inner;
use super::tokens::{FIELD, GrantTokens};

/// How long one write or delete may take, all in all.
pub(super) const WRITING: Duration = Duration::from_secs(10);

/// What the store holds of a grant.
pub(super) struct Stored {
    pub(super) tokens: GrantTokens,
    pub(super) version: Arc<SecretVersion>,
}

impl Inner {
    /// The place, in a store that serves the grant's environment.
    pub(super) fn place(&self, grant: &GrantRecord) -> Result<(ResolvedReference, &StoreEntry), Refusal> {
        let values = TemplateValues { agent: None, user: None, environment: &grant.environment };
        let refused = |why: &dyn std::fmt::Display| Refusal::new(Code::ReferenceRefused).because(why);
        let place = grant.reference.resolve(&values).map_err(|error| refused(&error))?;
        if place.field.as_deref() != Some(FIELD) {
            return Err(refused(&"the reference is not one of a grant"));
        }
        let entry = self.parts.stores.open(&grant.environment, &place.store)?;
        Ok((place, entry))
    }

    /// Reads past the cache: another process may have written.
    pub(super) async fn read_fresh(&self, grant: &GrantRecord) -> Result<Stored, Refusal> {
        let (place, entry) = self.place(grant)?;
        entry.cache.forget(&place);
        let version = entry.store.fetch(&place).await?;
        // The document holds the refresh token too: it does not stay in the cache.
        entry.cache.forget(&place);
        let tokens = GrantTokens::read(&version.secret)
            .map_err(|error| Refusal::new(Code::SecretUnusable).because(error))?;
        Ok(Stored { tokens, version })
    }

    /// Writes new tokens in the place of this version; `None` where another one is there.
    pub(super) async fn replace(
        &self,
        grant: &GrantRecord,
        tokens: &GrantTokens,
        follows: &VersionId,
    ) -> Result<Option<VersionId>, Refusal> {
        let (place, entry) = self.place(grant)?;
        let (writer, document) = (writer(entry)?, document(tokens)?);
        let now = self.parts.clock.now();
        let writing = writer.replace(&place.path, FIELD, document, follows, now);
        Ok(tokio::time::timeout(WRITING, writing).await.map_err(|_| late())??)
    }

    /// Writes the first tokens of a grant.
    pub(super) async fn store_first(&self, grant: &GrantRecord, tokens: &GrantTokens) -> Result<(), Refusal> {
        let (place, entry) = self.place(grant)?;
        let (writer, document) = (writer(entry)?, document(tokens)?);
        let writing = writer.put(&place.path, FIELD, document, self.parts.clock.now());
        tokio::time::timeout(WRITING, writing).await.map_err(|_| late())??;
        Ok(())
    }

    /// Deletes the tokens beyond recall.
    pub(super) async fn delete(&self, grant: &GrantRecord) -> Result<(), Refusal> {
        let (place, entry) = self.place(grant)?;
        let deleting = writer(entry)?.delete(&place.path);
        Ok(tokio::time::timeout(WRITING, deleting).await.map_err(|_| late())??)
    }
}

fn writer(entry: &StoreEntry) -> Result<&dyn gateway_core::ports::SecretWriter, Refusal> {
    let read_only = || Refusal::new(Code::StoreDenied).because("the store takes no values from the gateway");
    entry.writer.as_deref().ok_or_else(read_only)
}

fn document(tokens: &GrantTokens) -> Result<Secret, Refusal> {
    tokens.write().ok_or_else(|| Refusal::new(Code::ProviderMalformed).because("a token is no text"))
}

fn late() -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, "the store took too long to write")
}
