//! Syslog messages (RFC 5424) with their lengths before them (RFC 6587, section 3.4.1, "octet counting").

use gateway_core::audit::chain::Record;
use gateway_core::audit::{ChainId, Decision, SignedCheckpoint};

/// The facility "log audit" of RFC 5424, section 6.2.1.
const FACILITY: u8 = 13;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;

/// What every message of this process says about its origin.
#[derive(Debug)]
pub(super) struct Origin {
    /// HOSTNAME: visible ASCII, or `-`.
    pub(super) hostname: String,
    /// PROCID.
    pub(super) process: u32,
    /// The private enterprise number of our structured data.
    pub(super) enterprise: u32,
}

/// What of a line goes into the head of its message.
struct Head {
    severity: u8,
    time: String,
    kind: String,
    place: String,
}

impl Origin {
    /// Appends the message of one chain line to `buffer`. The message is the line itself.
    pub(super) fn frame(&self, chain: ChainId, line: &[u8], buffer: &mut Vec<u8>) {
        let Head { severity, time, kind, place } = head(line);
        let priority = FACILITY * 8 + severity;
        let Self { hostname, process, enterprise } = self;
        let head = format!(
            "<{priority}>1 {time} {hostname} mcp-gateway {process} {kind} [chain@{enterprise} id=\"{chain}\"{place}] "
        );
        let length = head.len().saturating_add(line.len());
        buffer.extend_from_slice(format!("{length} ").as_bytes());
        buffer.extend_from_slice(head.as_bytes());
        buffer.extend_from_slice(line);
    }
}

fn head(line: &[u8]) -> Head {
    let other = |kind: &str, time: Option<String>| Head {
        severity: INFORMATIONAL,
        time: time.unwrap_or_else(|| "-".to_owned()),
        kind: kind.to_owned(),
        place: String::new(),
    };
    let Some(record) = Record::parse(line) else {
        return match serde_json::from_slice::<SignedCheckpoint>(line) {
            Ok(signed) => other("checkpoint", Some(signed.checkpoint.time.to_string())),
            Err(_) => other("segment", None),
        };
    };
    // Hexadecimal digits and numbers need no escape (RFC 5424, section 6.3.3).
    let place = format!(" seq=\"{}\" hash=\"{}\"", record.sequence.0, record.hash);
    let Ok(event) = record.event() else { return Head { place, ..other("record", None) } };
    let kind = serde_json::to_value(event.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    Head {
        severity: if event.decision == Some(Decision::Deny) { WARNING } else { INFORMATIONAL },
        time: event.time.to_string(),
        kind: kind.unwrap_or_else(|| "record".to_owned()),
        place,
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::audit::chain::{Tip, append};
    use gateway_core::audit::{Event, EventKind};
    use gateway_core::time::Timestamp;

    use super::*;

    fn framed(line: &[u8]) -> String {
        let origin = Origin { hostname: "gateway-1".to_owned(), process: 7, enterprise: 32_473 };
        let mut buffer = Vec::new();
        origin.frame(ChainId::new([0xab; 16]), line, &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_message_says_its_length_and_its_place_in_the_chain() {
        let mut event = Event::new(EventKind::Refused, Timestamp::from_seconds(1_795_683_600));
        event.decision = Some(Decision::Deny);
        let mut line = Vec::new();
        append(&Tip::START, &event, &mut line).unwrap();
        let line = line.strip_suffix(b"\n").unwrap();
        let text = framed(line);
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let hash = Record::parse(line).unwrap().hash;
        let chain = "ab".repeat(16);
        let head = format!(
            "<108>1 {} gateway-1 mcp-gateway 7 refused [chain@32473 id=\"{chain}\" seq=\"1\" hash=\"{hash}\"] ",
            event.time
        );
        assert_eq!(message, format!("{head}{}", std::str::from_utf8(line).unwrap()));
    }

    #[test]
    fn what_is_no_record_has_no_place() {
        assert!(
            framed(b"{\"segment\":1}").contains("<110>1 - gateway-1 mcp-gateway 7 segment [chain@32473 id=")
        );
        assert!(!framed(b"{\"segment\":1}").contains("seq="));
    }
}
