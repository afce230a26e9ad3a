//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): the client's id is the
//! URL of a document that describes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::login::{ClientDocuments, Fault};
use gateway_core::time::Timestamp;
use url::{Host, Url};

use super::MetadataDomain;
use super::client::{Client, Origin, Written};

/// How long a document is taken for current.
const FRESH: Duration = Duration::from_secs(300);
/// Documents that are kept.
const KEPT: usize = 256;
/// The longest id, in bytes.
const ID_BYTES: usize = 512;

/// Fetches documents of allowed hosts and keeps them for a while.
#[derive(Debug)]
pub(crate) struct Documents {
    documents: Arc<dyn ClientDocuments>,
    domains: Vec<MetadataDomain>,
    kept: Mutex<HashMap<String, (Timestamp, Client)>>,
}

impl Documents {
    pub(super) fn new(documents: Arc<dyn ClientDocuments>, domains: Vec<MetadataDomain>) -> Self {
        Self { documents, domains, kept: Mutex::default() }
    }

    /// The client that the document at its id describes.
    pub(super) async fn client(&self, id: &str, now: Timestamp) -> Result<Client, Fault> {
        let (url, host) = self.place(id)?;
        if let Some((at, client)) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(id)
            && now.since(*at) < FRESH
        {
            return Ok(client.clone());
        }
        let client = read(id, host, &self.documents.fetch(&url).await?)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, (at, _)| now.since(*at) < FRESH);
        }
        if kept.len() < KEPT {
            kept.insert(id.to_owned(), (now, client.clone()));
        }
        Ok(client)
    }

    /// The id as a URL of an allowed host (section 3 of the draft). Addresses are judged again by whoever
    /// connects: a name may lead anywhere.
    fn place(&self, id: &str) -> Result<(Url, String), Fault> {
        let url = Url::parse(id).map_err(|_| Fault::ClientUnknown)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        // The text must be what our reader writes: no dot segments, no other spelling of the host.
        let exact = url.as_str() == id && url.scheme() == "https" && url.path().len() > 1;
        if !bare || !exact || id.len() > ID_BYTES {
            return Err(Fault::ClientUnknown);
        }
        let Some(Host::Domain(host)) = url.host() else { return Err(Fault::ClientDomain) };
        let host = host.to_owned();
        if self.domains.iter().any(|domain| domain.covers(&host)) {
            Ok((url, host))
        } else {
            Err(Fault::ClientDomain)
        }
    }
}

fn read(id: &str, host: String, bytes: &[u8]) -> Result<Client, Fault> {
    let written: Written = serde_json::from_slice(bytes).map_err(|_| Fault::ClientDocumentRefused)?;
    let public = written.token_endpoint_auth_method.as_deref().is_none_or(|method| method == "none");
    // A document that names another client lies about one of the two.
    if written.client_id.as_deref() != Some(id) || !public {
        return Err(Fault::ClientDocumentRefused);
    }
    Ok(Client {
        id: id.to_owned(),
        name: written.name(),
        redirect_uris: written.redirects().map_err(|_| Fault::ClientDocumentRefused)?,
        refreshes: written.refreshes(),
        origin: Origin::Document { host },
    })
}
