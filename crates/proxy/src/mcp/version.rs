//! Protocol revisions, and the two generations they fall into.

/// A revision of the protocol that the gateway serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// 2025-03-26, also assumed where a legacy request carries no version header
    V20250326,
    /// 2025-06-18
    V20250618,
    /// 2025-11-25
    V20251125,
    /// 2026-07-28
    V20260728,
}

/// How a conversation works: with a handshake and sessions, or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Stateless: metadata in each request, mirrored headers (2026-07-28).
    Modern,
    /// `initialize`, `Mcp-Session-Id`, GET stream (2025-11-25 and older).
    Legacy,
}

impl ProtocolVersion {
    /// All that are served, newest first: the `supported` list of an error.
    pub const SUPPORTED: [Self; 4] = [Self::V20260728, Self::V20251125, Self::V20250618, Self::V20250326];

    /// Parses the date form, exactly; `None` for a revision that is not served.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::SUPPORTED.into_iter().find(|version| version.as_str() == text)
    }

    /// The date form, as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V20250326 => "2025-03-26",
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }

    /// The generation it belongs to.
    #[must_use]
    pub fn generation(self) -> Generation {
        if self >= Self::V20260728 { Generation::Modern } else { Generation::Legacy }
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
