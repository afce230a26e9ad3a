//! Opens one stream, as a client of each generation does.

use bytes::Bytes;
use gateway_bench::Failure;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const SESSION: &str = "mcp-session-id";

/// Where a stream goes, and who opens it.
#[derive(Clone)]
pub(crate) struct Door {
    /// The URL.
    pub(crate) url: Uri,
    /// The bearer token.
    pub(crate) token: String,
}

/// A connection whose one request under way is a stream. Aborting the task closes the connection.
pub(crate) struct Opened {
    /// The stream.
    pub(crate) body: Incoming,
    /// The connection.
    pub(crate) connection: JoinHandle<()>,
    /// The session, for 2025-11-25.
    pub(crate) session: Option<HeaderValue>,
    /// Kept, for a connection without a sender is shut down.
    pub(crate) sender: SendRequest<Full<Bytes>>,
}

/// Opens the stream: `subscriptions/listen`, or a session with its GET stream.
///
/// # Errors
/// What the other end answered instead of a stream.
pub(crate) async fn open(door: &Door, modern: bool) -> Result<Opened, Failure> {
    let (mut sender, connection) = connect(door).await?;
    let answer = if modern {
        listen(&mut sender, door).await.map(|response| (response, None))
    } else {
        session(&mut sender, door).await
    };
    let opened = answer.and_then(|(response, session)| Ok((checked(response)?, session)));
    match opened {
        Ok((body, session)) => Ok(Opened { body, connection, session, sender }),
        Err(why) => {
            connection.abort();
            Err(why)
        }
    }
}

/// Ends a session, over a connection of its own.
///
/// # Errors
/// What the other end answered instead.
pub(crate) async fn end(door: &Door, session: HeaderValue) -> Result<(), Failure> {
    let (mut sender, connection) = connect(door).await?;
    let mut delete = request(door, Method::DELETE, "2025-11-25", "")?;
    delete.headers_mut().insert(SESSION, session);
    let ended = exchange(&mut sender, delete).await;
    connection.abort();
    ended.map(drop)
}

async fn connect(door: &Door) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<()>), Failure> {
    let host = door.url.host().ok_or("the URL has no host")?;
    let stream = TcpStream::connect((host, door.url.port_u16().ok_or("the URL has no port")?)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, tokio::task::spawn_local(async move { drop(connection.await) })))
}

fn checked(response: Response<Incoming>) -> Result<Incoming, Failure> {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if response.status() != StatusCode::OK || kind != Some(b"text/event-stream") {
        return Err(format!("no stream: {} {:?}", response.status(), response.headers()).into());
    }
    Ok(response.into_body())
}

async fn listen(sender: &mut SendRequest<Full<Bytes>>, door: &Door) -> Result<Response<Incoming>, Failure> {
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":"listen","method":"subscriptions/listen","params":{"#,
        r#""notifications":{"toolsListChanged":true},"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"bench-streams","version":"1"},"#,
        r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
    );
    let mut request = request(door, Method::POST, "2026-07-28", body)?;
    request.headers_mut().insert("mcp-method", HeaderValue::from_static("subscriptions/listen"));
    sender.ready().await?;
    Ok(sender.send_request(request).await?)
}

async fn session(
    sender: &mut SendRequest<Full<Bytes>>,
    door: &Door,
) -> Result<(Response<Incoming>, Option<HeaderValue>), Failure> {
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
        r#""capabilities":{},"clientInfo":{"name":"bench-streams","version":"1"}}}"#
    );
    let mut shake = request(door, Method::POST, "2025-11-25", body)?;
    shake.headers_mut().remove("mcp-protocol-version");
    let opened = exchange(sender, shake).await?;
    let session = opened.headers().get(SESSION).cloned().ok_or("no session was opened")?;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let mut done = request(door, Method::POST, "2025-11-25", body)?;
    done.headers_mut().insert(SESSION, session.clone());
    let done = exchange(sender, done).await?;
    if done.status() != StatusCode::ACCEPTED {
        return Err(format!("the session is not initialised: {}", done.status()).into());
    }
    let mut get = request(door, Method::GET, "2025-11-25", "")?;
    get.headers_mut().insert(SESSION, session.clone());
    get.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    get.headers_mut().remove(header::CONTENT_TYPE);
    sender.ready().await?;
    Ok((sender.send_request(get).await?, Some(session)))
}

/// Sends a request and reads its answer to the end, so that the connection is free again.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    if !head.status.is_success() {
        return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)).into());
    }
    Ok(Response::from_parts(head, body))
}

fn request(
    door: &Door,
    method: Method,
    version: &str,
    body: &'static str,
) -> Result<Request<Full<Bytes>>, Failure> {
    let authority = door.url.authority().ok_or("the URL has no host")?;
    Ok(Request::builder()
        .method(method)
        .uri(door.url.path())
        .header(header::HOST, authority.as_str())
        .header(header::AUTHORIZATION, format!("Bearer {}", door.token))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", version)
        .body(Full::new(Bytes::from_static(body.as_bytes())))?)
}
