//! Who the gateway is at a provider: a client that somebody registered, one that a document of the gateway's
//! describes (OAuth Client ID Metadata Document), or one that registered itself (RFC 7591).

use std::sync::Arc;

use gateway_core::client::{ClientDocument, has_documents};
use gateway_core::manifest::{ClientAuthentication, ProviderSpec, Registration};
use gateway_core::ports::{AuditSink, Tickets};

use super::ProviderClient;
use super::error::ProviderError;
use super::link::Link;
use super::metadata::ProviderMetadata;
use super::registration::{Method, Registered, Registrar, Way};
use crate::signing::Signer;

/// What lets the gateway be a client that nobody registered by hand.
#[derive(Clone, Debug)]
pub struct OwnClient {
    /// The URL that the world knows the gateway by.
    pub public_url: String,
    /// Signs what the gateway says of itself as a client.
    pub signer: Arc<Signer>,
    /// The locks that all replicas share: one of them registers.
    pub tickets: Arc<dyn Tickets>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
}

/// The client as the provider knows it.
pub(super) struct Known {
    pub(super) id: String,
    /// What the registration says, where the gateway registered itself.
    pub(super) registered: Option<Arc<Registered>>,
}

impl Known {
    const fn by_id(id: String) -> Self {
        Self { id, registered: None }
    }
}

impl ProviderClient {
    /// The same, as a client of its own too.
    #[must_use]
    pub fn with_own(mut self, own: OwnClient) -> Self {
        let (stores, clock, random) = (self.stores.clone(), self.clock.clone(), self.random.clone());
        self.registrar = Some(Arc::new(Registrar::new(own, stores, clock, random)));
        self
    }

    /// The gateway's client id at the provider. Registers the gateway there where the manifest says so and
    /// no replica has done it yet.
    ///
    /// # Errors
    /// `provider.refused` where there is none; what metadata, store and registration say.
    pub async fn client_id(&self, spec: &ProviderSpec) -> Result<String, ProviderError> {
        if spec.client.registration == Registration::Registered {
            return declared(spec);
        }
        let link = self.links.of(spec)?;
        let metadata = link.metadata(spec, &self.settings, self.clock.now()).await?;
        Ok(self.known(spec, &link, &metadata).await?.id)
    }

    pub(super) async fn known(
        &self,
        spec: &ProviderSpec,
        link: &Link,
        metadata: &ProviderMetadata,
    ) -> Result<Known, ProviderError> {
        match spec.client.registration {
            Registration::Registered => declared(spec).map(Known::by_id),
            Registration::MetadataDocument => self.documented(spec, metadata).map(Known::by_id),
            Registration::Dynamic => {
                let registrar = self.registrar.as_ref().ok_or_else(nobody)?;
                let registered = match registrar.stored(spec).await? {
                    Some(registered) => registered,
                    None => registrar.bring(spec, self.way(spec, link, metadata)?, None).await?,
                };
                registrar.uses(spec, &registered.id)?;
                Ok(Known { id: registered.id.clone(), registered: Some(registered) })
            }
        }
    }

    /// The client id that the provider was last asked with: what it issued is for that one. Asks nobody.
    pub(super) fn used_id(&self, spec: &ProviderSpec) -> Result<String, ProviderError> {
        let registrar = || self.registrar.as_ref().ok_or_else(nobody);
        match spec.client.registration {
            Registration::Registered => declared(spec),
            Registration::MetadataDocument => Ok(address(spec, registrar()?.own())),
            Registration::Dynamic => registrar()?.used(spec)?.ok_or_else(nobody),
        }
    }

    /// The address of the document that describes the gateway to this provider.
    fn documented(&self, spec: &ProviderSpec, metadata: &ProviderMetadata) -> Result<String, ProviderError> {
        let own = self.registrar.as_ref().ok_or_else(nobody)?.own();
        if !has_documents(&own.public_url) {
            return Err(ProviderError::refused(
                "no provider could read the gateway's client document: its `public_url` is not https",
            ));
        }
        if !metadata.reads_documents {
            return Err(ProviderError::refused(
                "the provider's metadata does not say that it reads client id metadata documents",
            ));
        }
        Ok(address(spec, own))
    }

    fn way(
        &self,
        spec: &ProviderSpec,
        link: &Link,
        metadata: &ProviderMetadata,
    ) -> Result<Way, ProviderError> {
        let endpoint = metadata.registration.clone();
        let none = || ProviderError::refused("the provider's metadata names no registration endpoint");
        Ok(Way {
            endpoint: endpoint.ok_or_else(none)?,
            method: Method::choose(spec, metadata)?,
            http: link.client(spec, &self.settings)?,
        })
    }

    /// The provider says that it does not know the client: where the gateway registered itself, it does so
    /// anew, for those who come later. What was asked stays refused: codes and refresh tokens are of the
    /// client that is gone.
    pub(super) async fn disowned(
        &self,
        spec: &ProviderSpec,
        link: &Link,
        metadata: &ProviderMetadata,
        id: &str,
    ) {
        let Some(registrar) = &self.registrar else { return };
        let outcome = match self.way(spec, link, metadata) {
            Ok(way) => registrar.renew(spec, way, id).await,
            Err(error) => Err(error),
        };
        let provider = format!("{}/{}", spec.environment, spec.name);
        match outcome {
            Ok(()) => tracing::info!(provider, "the gateway is registered anew at the provider"),
            Err(error) => {
                let inside = error.refusal().inside().unwrap_or("");
                tracing::warn!(provider, inside, "the provider does not know the gateway any more");
            }
        }
    }
}

fn address(spec: &ProviderSpec, own: &OwnClient) -> String {
    let document = ClientDocument {
        environment: spec.environment.clone(),
        provider: spec.name.clone(),
        signed: spec.client.authentication == ClientAuthentication::GatewayKey,
    };
    document.address(&own.public_url)
}

fn declared(spec: &ProviderSpec) -> Result<String, ProviderError> {
    spec.client.id.clone().ok_or_else(nobody)
}

fn nobody() -> ProviderError {
    ProviderError::refused("the gateway has no client id at the provider")
}
