//! The resource that a token is for (RFC 8707): one door of this gateway.

use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::login::Fault;

/// A door of this gateway, in form: whether the server exists is nothing that a stranger learns here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Resource {
    pub(super) environment: EnvironmentName,
    pub(super) server: ServerName,
}

impl Resource {
    /// Reads `{public_url}/mcp/{environment}/{server}`, exactly.
    pub(super) fn parse(text: &str, public_url: &str) -> Result<Self, Fault> {
        let place = text.strip_prefix(public_url).and_then(|rest| rest.strip_prefix("/mcp/"));
        let (environment, server) =
            place.and_then(|place| place.split_once('/')).ok_or(Fault::ResourceRefused)?;
        Ok(Self {
            environment: EnvironmentName::parse(environment).map_err(|_| Fault::ResourceRefused)?,
            server: ServerName::parse(server).map_err(|_| Fault::ResourceRefused)?,
        })
    }
}
