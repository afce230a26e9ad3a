//! One JSON-RPC 2.0 message, parsed once. Only what the gateway judges is decoded; the body itself
//! is forwarded as it came.

use super::elicitation::{self, Answers};
use super::json::{JsonError, Kind, Scanner};
use super::method::{MethodKind, Mirrored};
use super::version::{Generation, ProtocolVersion};

/// What a body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Wants an answer that carries the same id.
    Request {
        /// The id, as it was written.
        id: RawId,
        /// What is asked.
        call: Invocation,
    },
    /// Wants no answer.
    Notification(Invocation),
    /// Answers a request of the other side (legacy only).
    Response {
        /// The id of the request that it answers.
        id: RawId,
        /// Whether it holds `error` instead of `result`.
        failed: bool,
    },
}

/// A method with the parameters that the gateway looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The method, decoded.
    pub method: Box<str>,
    /// What it does.
    pub kind: MethodKind,
    /// What of `params` matters here.
    pub params: Params,
}

/// The inspected members of `params`; a member of the wrong type is treated as absent, which is an
/// error wherever the member is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// `name`: the tool or prompt
    pub name: Option<Box<str>>,
    /// `uri`: the resource
    pub uri: Option<Box<str>>,
    /// `taskId`: the task (extension)
    pub task_id: Option<Box<str>>,
    /// `ref` of `completion/complete`
    pub reference: Option<Reference>,
    /// `requestId` of `notifications/cancelled`
    pub cancels: Option<RawId>,
    /// `protocolVersion` of `initialize`: what the client proposes
    pub proposed_version: Option<Box<str>>,
    /// `level` of `logging/setLevel`
    pub level: Option<Box<str>>,
    /// Whether `notifications.resourceSubscriptions` of `subscriptions/listen` names anything
    pub subscribes_resources: bool,
    /// Whether `requestState` is there: the retry of a multi-round-trip request
    pub resumes_state: bool,
    /// What `inputResponses` of such a retry answers
    pub answers: Answers,
    /// `_meta."io.modelcontextprotocol/protocolVersion"`
    pub protocol_version: Option<Box<str>>,
    /// Whether `_meta."io.modelcontextprotocol/clientCapabilities"` is there and an object
    pub has_client_capabilities: bool,
    /// Whether the client says there, or in the `capabilities` of `initialize`, that it shows people addresses
    pub shows_addresses: bool,
    /// `_meta.progressToken`, raw JSON
    pub progress_token: Option<Box<str>>,
    /// `_meta.traceparent`, unchecked
    pub traceparent: Option<Box<str>>,
    /// `_meta.tracestate`, unchecked
    pub tracestate: Option<Box<str>>,
}

/// What a completion is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// An argument of the prompt of this name.
    Prompt(Box<str>),
    /// A variable of the resource template with this URI.
    Resource(Box<str>),
}

/// A JSON-RPC id as raw JSON text: a string or an integer, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawId(Box<str>);

/// Why a body is refused, with the id to answer to where it could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct MessageError {
    /// What is wrong.
    pub fault: MessageFault,
    /// The id of the refused request.
    pub id: Option<RawId>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// Not acceptable JSON.
    #[error("invalid JSON: {0}")]
    Json(#[from] JsonError),
    /// An array: batches were removed from the protocol, and one decision covers one call.
    #[error("batch arrays are not supported: send one message per request")]
    Batch,
    /// Neither an object nor an array.
    #[error("a JSON-RPC message is an object")]
    NotObject,
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    JsonRpcVersion,
    /// `id` is null, a fraction or no scalar, or an answer has none.
    #[error("`id` must be a string or an integer")]
    Id,
    /// `method` is not a non-empty string.
    #[error("`method` must be a non-empty string")]
    Method,
    /// Request and response at once, or neither; `result` and `error` at once.
    #[error("a message has exactly one of `method`, `result` and `error`")]
    Ambiguous,
    /// `params` is there but not an object.
    #[error("`params` must be an object")]
    Params,
    /// A member that this method needs is missing or not a string.
    #[error("`{0}` is required and must be a string")]
    Member(&'static str),
}

impl MessageFault {
    /// The JSON-RPC error code to answer with (HTTP status 400).
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Json(_) => -32700,
            Self::Params | Self::Member(_) => -32602,
            _ => -32600,
        }
    }
}

impl RawId {
    /// The raw JSON text, ready to stand in an answer.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// An id of the gateway's own.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// Reads an id from JSON text; `None` unless it is a string or an integer.
    ///
    /// # Errors
    /// The text is not acceptable JSON.
    pub fn parse(json: &str) -> Result<Option<Self>, JsonError> {
        let mut scanner = Scanner::new(json.as_bytes())?;
        let id = Self::read(&mut scanner)?;
        scanner.finish()?;
        Ok(id)
    }

    /// `None` unless the value is a string or an integer without fraction and exponent.
    fn read(scanner: &mut Scanner<'_>) -> Result<Option<Self>, JsonError> {
        let kind = scanner.peek()?;
        let raw = scanner.raw()?;
        let fits = match kind {
            Kind::String => true,
            Kind::Number => !raw.contains(['.', 'e', 'E']),
            _ => false,
        };
        Ok(fits.then(|| Self(raw.into())))
    }
}

impl Message {
    /// Parses one body.
    ///
    /// # Errors
    /// [`MessageError`], for whatever is not exactly one JSON-RPC 2.0 message.
    pub fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let mut draft = Draft::default();
        let read = draft.read(body);
        let id = match &draft.id {
            Some(Some(id)) => Some(id.clone()),
            _ => None,
        };
        // A body that is not JSON has no trustworthy id, whatever was read before the fault.
        read.map_err(|fault| MessageError { fault, id: None })?;
        draft.finish().map_err(|fault| MessageError { fault, id })
    }

    /// What is invoked, unless this is a response.
    #[must_use]
    pub fn invocation(&self) -> Option<&Invocation> {
        match self {
            Self::Request { call, .. } | Self::Notification(call) => Some(call),
            Self::Response { .. } => None,
        }
    }

    /// The id of a request or response.
    #[must_use]
    pub fn id(&self) -> Option<&RawId> {
        match self {
            Self::Request { id, .. } | Self::Response { id, .. } => Some(id),
            Self::Notification(_) => None,
        }
    }
}

impl Invocation {
    /// The name, URI or task that the method acts on; the value that `Mcp-Name` mirrors.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match self.kind.mirrored()? {
            Mirrored::Name => self.params.name.as_deref(),
            Mirrored::Uri => self.params.uri.as_deref(),
            Mirrored::TaskId => self.params.task_id.as_deref(),
        }
    }
}

/// What was seen so far; `Some(None)` is a member of the wrong type.
#[derive(Default)]
struct Draft {
    jsonrpc: bool,
    id: Option<Option<RawId>>,
    method: Option<Option<Box<str>>>,
    params: Params,
    params_wrong: bool,
    result: bool,
    error: bool,
}

impl Draft {
    fn read(&mut self, body: &[u8]) -> Result<(), MessageFault> {
        let mut scanner = Scanner::new(body)?;
        match scanner.peek()? {
            Kind::Object => {}
            other => {
                scanner.skip()?;
                scanner.finish()?;
                return Err(if other == Kind::Array { MessageFault::Batch } else { MessageFault::NotObject });
            }
        }
        scanner.object(|scanner, key| match key {
            "jsonrpc" => scanner.text().map(|text| self.jsonrpc = text.as_deref() == Some("2.0")),
            "id" => RawId::read(scanner).map(|id| self.id = Some(id)),
            "method" => text(scanner).map(|method| self.method = Some(method)),
            "params" => match scanner.peek()? {
                Kind::Object => self.params.read(scanner),
                // Some clients write `null` for "none".
                kind => scanner.skip().map(|()| self.params_wrong = kind != Kind::Null),
            },
            "result" => scanner.skip().map(|()| self.result = true),
            "error" => scanner.skip().map(|()| self.error = true),
            _ => scanner.skip(),
        })?;
        Ok(scanner.finish()?)
    }

    fn finish(self) -> Result<Message, MessageFault> {
        if !self.jsonrpc {
            return Err(MessageFault::JsonRpcVersion);
        }
        let id = match self.id {
            Some(None) => return Err(MessageFault::Id),
            Some(id) => id,
            None => None,
        };
        let Some(method) = self.method else {
            if self.result == self.error {
                return Err(MessageFault::Ambiguous);
            }
            return Ok(Message::Response { id: id.ok_or(MessageFault::Id)?, failed: self.error });
        };
        if self.result || self.error {
            return Err(MessageFault::Ambiguous);
        }
        let method = method.filter(|method| !method.is_empty()).ok_or(MessageFault::Method)?;
        if self.params_wrong {
            return Err(MessageFault::Params);
        }
        let call = Invocation { kind: MethodKind::of(&method), method, params: self.params };
        // What the modern generation removed acts on nothing there, and the upstream is to say so itself.
        let acts = !(call.kind.removed_in_modern() && call.params.is_modern());
        if acts && call.target().is_none() {
            match call.kind.mirrored() {
                Some(Mirrored::Name) => return Err(MessageFault::Member("params.name")),
                Some(Mirrored::Uri) => return Err(MessageFault::Member("params.uri")),
                Some(Mirrored::TaskId) => return Err(MessageFault::Member("params.taskId")),
                None => {}
            }
        }
        Ok(match id {
            Some(id) => Message::Request { id, call },
            None => Message::Notification(call),
        })
    }
}

impl Params {
    /// Whether `_meta` states a revision of the modern generation.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        let stated = self.protocol_version.as_deref().and_then(ProtocolVersion::parse);
        stated.is_some_and(|version| version.generation() == Generation::Modern)
    }

    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        scanner.object(|scanner, key| {
            match key {
                "name" => self.name = text(scanner)?,
                "uri" => self.uri = text(scanner)?,
                "taskId" => self.task_id = text(scanner)?,
                "level" => self.level = text(scanner)?,
                "requestId" => self.cancels = RawId::read(scanner)?,
                "protocolVersion" => self.proposed_version = text(scanner)?,
                "requestState" => {
                    self.resumes_state = scanner.peek()? != Kind::Null;
                    scanner.skip()?;
                }
                "inputResponses" => self.answers = Answers::read(scanner)?,
                "capabilities" => self.shows_addresses |= elicitation::shows_addresses(scanner)?,
                "notifications" if scanner.peek()? == Kind::Object => self.read_filter(scanner)?,
                "ref" if scanner.peek()? == Kind::Object => self.reference = Reference::read(scanner)?,
                "_meta" if scanner.peek()? == Kind::Object => self.read_meta(scanner)?,
                _ => scanner.skip()?,
            }
            Ok(())
        })
    }

    /// What the gateway cannot read as an empty list counts as one that names something.
    fn read_filter(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        scanner.object(|scanner, key| {
            if key != "resourceSubscriptions" {
                return scanner.skip();
            }
            match scanner.peek()? {
                Kind::Null => scanner.skip(),
                Kind::Array => scanner.array(|scanner| {
                    self.subscribes_resources = true;
                    scanner.skip()
                }),
                _ => {
                    self.subscribes_resources = true;
                    scanner.skip()
                }
            }
        })
    }

    fn read_meta(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        scanner.object(|scanner, key| {
            match key {
                "io.modelcontextprotocol/protocolVersion" => self.protocol_version = text(scanner)?,
                "io.modelcontextprotocol/clientCapabilities" => {
                    self.has_client_capabilities = scanner.peek()? == Kind::Object;
                    self.shows_addresses |= elicitation::shows_addresses(scanner)?;
                }
                "progressToken" => self.progress_token = RawId::read(scanner)?.map(|token| token.0),
                "traceparent" => self.traceparent = text(scanner)?,
                "tracestate" => self.tracestate = text(scanner)?,
                _ => scanner.skip()?,
            }
            Ok(())
        })
    }
}

impl Reference {
    fn read(scanner: &mut Scanner<'_>) -> Result<Option<Self>, JsonError> {
        let (mut kind, mut name, mut uri) = (None, None, None);
        scanner.object(|scanner, key| {
            match key {
                "type" => kind = text(scanner)?,
                "name" => name = text(scanner)?,
                "uri" => uri = text(scanner)?,
                _ => scanner.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(match kind.as_deref() {
            Some("ref/prompt") => name.map(Self::Prompt),
            Some("ref/resource") => uri.map(Self::Resource),
            _ => None,
        })
    }
}

fn text(scanner: &mut Scanner<'_>) -> Result<Option<Box<str>>, JsonError> {
    Ok(scanner.text()?.map(Box::from))
}

#[cfg(test)]
mod tests;
