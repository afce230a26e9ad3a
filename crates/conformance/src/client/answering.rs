//! The client's side of what a server may ask.

#![expect(deprecated, reason = "what SEP-2577 deprecates is still part of the revision")]

use rmcp::ErrorData;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams,
    ElicitResult, ElicitationAction, Implementation, ListRootsResult, SamplingMessage,
};
use rmcp::service::{RequestContext, RoleClient};

use super::arguments::defaults;

/// Accepts every form as it is filled in, and samples always the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answering;

impl ClientHandler for Answering {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            ClientCapabilities::builder().enable_roots().enable_sampling().enable_elicitation().build();
        ClientConfig::new(
            capabilities,
            Implementation::new("gateway-conformance-client", env!("CARGO_PKG_VERSION")),
        )
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text("an answer"), "a-model".to_owned()))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { requested_schema, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let form = serde_json::to_value(requested_schema);
        let form = form.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(defaults(&form)))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::default())
    }
}
