//! Pages beside the servers' doors: logins, consents, an authorization server. The data plane brings
//! requests to them and knows nothing else of them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::refusal::Code;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::gateway::Gateway;
use crate::path::admit::{is_for_us, source_address};
use crate::path::body::AnswerBody;
use crate::path::refuse::plain;

/// The largest body of a request to a page, in bytes.
const BODY_BYTES: usize = 64 * 1024;

/// Pages for people, and what their clients need besides.
#[async_trait]
pub trait Site: Send + Sync + fmt::Debug {
    /// Whether the path is one of its pages. Never asked about `/mcp/…`.
    fn serves(&self, path: &str) -> bool;

    /// Answers a request that came whole, from this address.
    async fn answer(&self, request: Request<Bytes>, source: IpAddr) -> Response<Bytes>;
}

/// Brings one request to the site: only under our own name, and only with a body that comes in time.
pub(crate) async fn visit(
    gateway: &Gateway,
    site: Arc<dyn Site>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let Ok(_open) = gateway.admit_one() else { return plain(503, Bytes::new()) };
    let (parts, body) = request.into_parts();
    if !is_for_us(gateway, &parts) {
        return plain(Code::OriginRefused.row().status, Bytes::new());
    }
    let whole = Limited::new(body, BODY_BYTES).collect();
    let body = match tokio::time::timeout(gateway.settings.request_body_time, whole).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return plain(413, Bytes::new()),
        Ok(Err(_)) => return plain(400, Bytes::new()),
        Err(_) => return plain(408, Bytes::new()),
    };
    let source = source_address(gateway, peer, &parts.headers);
    site.answer(Request::from_parts(parts, body), source).await.map(AnswerBody::full)
}
