//! The methods of MCP that the gateway treats in a way of their own.

/// What a method does, as far as the gateway cares. Unknown methods are [`MethodKind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// `initialize` (legacy handshake)
    Initialize,
    /// `notifications/initialized`
    Initialized,
    /// `server/discover` (modern)
    Discover,
    /// `ping`
    Ping,
    /// `tools/list`
    ListTools,
    /// `resources/list`
    ListResources,
    /// `resources/templates/list`
    ListResourceTemplates,
    /// `prompts/list`
    ListPrompts,
    /// `tools/call`
    CallTool,
    /// `resources/read`
    ReadResource,
    /// `prompts/get`
    GetPrompt,
    /// `resources/subscribe` (legacy)
    SubscribeResource,
    /// `resources/unsubscribe` (legacy)
    UnsubscribeResource,
    /// `subscriptions/listen` (modern): one long response stream
    Listen,
    /// `completion/complete`
    Complete,
    /// `logging/setLevel` (legacy)
    SetLevel,
    /// `notifications/cancelled`
    Cancelled,
    /// `tasks/get`, `tasks/update`, `tasks/cancel` (extension)
    Task,
    /// Any other method or notification: forwarded unchanged where the binding says so.
    Other,
}

/// Which member of `params` the `Mcp-Name` header mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mirrored {
    /// `params.name`
    Name,
    /// `params.uri`
    Uri,
    /// `params.taskId`
    TaskId,
}

impl MethodKind {
    /// Classifies a method name, exactly as it stands (method names are case-sensitive).
    #[must_use]
    pub fn of(method: &str) -> Self {
        match method {
            "initialize" => Self::Initialize,
            "notifications/initialized" => Self::Initialized,
            "server/discover" => Self::Discover,
            "ping" => Self::Ping,
            "tools/list" => Self::ListTools,
            "resources/list" => Self::ListResources,
            "resources/templates/list" => Self::ListResourceTemplates,
            "prompts/list" => Self::ListPrompts,
            "tools/call" => Self::CallTool,
            "resources/read" => Self::ReadResource,
            "prompts/get" => Self::GetPrompt,
            "resources/subscribe" => Self::SubscribeResource,
            "resources/unsubscribe" => Self::UnsubscribeResource,
            "subscriptions/listen" => Self::Listen,
            "completion/complete" => Self::Complete,
            "logging/setLevel" => Self::SetLevel,
            "notifications/cancelled" => Self::Cancelled,
            "tasks/get" | "tasks/update" | "tasks/cancel" => Self::Task,
            _ => Self::Other,
        }
    }

    /// The member of `params` that names what is acted on, if the method has one.
    #[must_use]
    pub fn mirrored(self) -> Option<Mirrored> {
        match self {
            Self::CallTool | Self::GetPrompt => Some(Mirrored::Name),
            Self::ReadResource | Self::SubscribeResource | Self::UnsubscribeResource => Some(Mirrored::Uri),
            Self::Task => Some(Mirrored::TaskId),
            _ => None,
        }
    }

    /// Whether 2026-07-28 took the method away: its servers answer "method not found" (404, -32601), whatever
    /// else the request holds.
    #[must_use]
    pub fn removed_in_modern(self) -> bool {
        matches!(
            self,
            Self::Initialize
                | Self::Initialized
                | Self::Ping
                | Self::SetLevel
                | Self::SubscribeResource
                | Self::UnsubscribeResource
        )
    }

    /// Whether a modern request must carry `Mcp-Name` (2026-07-28, "Standard Request Headers").
    /// Other methods with a mirrored member may carry it, and then it must agree.
    #[must_use]
    pub fn requires_name_header(self) -> bool {
        matches!(self, Self::CallTool | Self::GetPrompt | Self::ReadResource)
    }
}
