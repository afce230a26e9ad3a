//! What can go wrong between client and door: a stable code, what happened, what to do.

use std::fmt;

use bytes::Bytes;
use gateway_proxy::mcp::message::RawId;
use gateway_proxy::mcp::reply;
use serde_json::json;

/// One kind of trouble (`docs/connect.md` has the same table).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// The door's address is not usable.
    Address,
    /// Nothing to keep the login in.
    KeyringAbsent,
    /// The keyring stays closed.
    KeyringLocked,
    /// The keyring holds something else.
    KeyringUnreadable,
    /// Another process of the same person does not let go.
    TurnLate,
    /// The door's or the authorization server's metadata.
    Metadata,
    /// Another authorization server than the one that was asked.
    Issuer,
    /// The authorization server takes no new clients.
    Registration,
    /// The person did not finish.
    LoginLate,
    /// The person or the authorization server said no.
    LoginDenied,
    /// No token came for the code.
    Token,
    /// A fresh token was refused.
    Unauthorized,
    /// Nothing was delivered.
    Unreachable,
    /// Whether it was carried out is not known.
    Interrupted,
    /// Something else than MCP came back.
    Answer,
    /// A message is larger than the bridge carries.
    TooLarge,
    /// The bridge was stopped.
    Stopped,
    /// Standard input or output.
    Streams,
}

/// A row of the table.
struct Row {
    code: &'static str,
    rpc: i64,
    text: &'static str,
    hint: &'static str,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Address,
        Self::KeyringAbsent,
        Self::KeyringLocked,
        Self::KeyringUnreadable,
        Self::TurnLate,
        Self::Metadata,
        Self::Issuer,
        Self::Registration,
        Self::LoginLate,
        Self::LoginDenied,
        Self::Token,
        Self::Unauthorized,
        Self::Unreachable,
        Self::Interrupted,
        Self::Answer,
        Self::TooLarge,
        Self::Stopped,
        Self::Streams,
    ];

    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The JSON-RPC error code, outside of what JSON-RPC and MCP reserve.
    #[must_use]
    pub const fn rpc(self) -> i64 {
        self.row().rpc
    }

    /// What happened.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// What to do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        self.row().hint
    }

    const fn row(self) -> Row {
        let (code, rpc, text, hint) = match self {
            Self::Address => (
                "connect.address",
                -31800,
                "this is no address of a server behind the gateway",
                "give https://GATEWAY/mcp/ENVIRONMENT/SERVER, without user, query or fragment; `--plain-http` allows http:// to another machine",
            ),
            Self::KeyringAbsent => (
                "connect.keyring_absent",
                -31801,
                "there is no keyring to keep the login in",
                "start a keyring (on Linux a Secret Service, such as GNOME Keyring or KWallet, on the session bus), or keep the login for this process alone with `--memory`; it is never written to a file",
            ),
            Self::KeyringLocked => (
                "connect.keyring_locked",
                -31802,
                "the keyring did not open",
                "unlock the keyring and try again, or use `--memory`",
            ),
            Self::KeyringUnreadable => (
                "connect.keyring_unreadable",
                -31803,
                "the keyring's entry for this server is not one that this version wrote",
                "remove it with `mcp-gateway connect logout URL` and log in again",
            ),
            Self::TurnLate => (
                "connect.turn_late",
                -31804,
                "another `mcp-gateway connect` of yours is logging in and did not finish in time",
                "finish that login or end that process, and try again",
            ),
            Self::Metadata => (
                "connect.metadata",
                -31805,
                "the server does not say in a usable way where to log in",
                "check the address; the gateway's operator turns on `login.clients` (docs/login.md)",
            ),
            Self::Issuer => (
                "connect.issuer",
                -31806,
                "another authorization server answered than the one that was asked",
                "do not go on: somebody may be in between. Tell the gateway's operator",
            ),
            Self::Registration => (
                "connect.registration",
                -31807,
                "the authorization server takes no client that it does not know",
                "ask the gateway's operator for `login.clients.registration`, or for a client id to give as `--client-id`",
            ),
            Self::LoginLate => (
                "connect.login_late",
                -31808,
                "nobody finished the login in the browser in time",
                "try again; `mcp-gateway connect login URL` logs in beforehand",
            ),
            Self::LoginDenied => (
                "connect.login_denied",
                -31809,
                "the login was refused",
                "try again and allow it, or ask the gateway's operator about the code",
            ),
            Self::Token => (
                "connect.token",
                -31810,
                "the authorization server gave no token for the login",
                "log in again; tell the gateway's operator where it stays so",
            ),
            Self::Unauthorized => (
                "connect.unauthorized",
                -31811,
                "the gateway refuses a token that was just issued for it",
                "tell the gateway's operator; `mcp-gateway connect logout URL` and a new login rule out an old one",
            ),
            Self::Unreachable => (
                "connect.unreachable",
                -31812,
                "the gateway does not answer; the message was not delivered",
                "check the address and the network, and try again",
            ),
            Self::Interrupted => (
                "connect.interrupted",
                -31813,
                "the connection broke before the answer; whether the request was carried out is not known",
                "look at what it changed before sending it again",
            ),
            Self::Answer => (
                "connect.answer",
                -31814,
                "what came back is no answer to this request",
                "check that the address is a server behind the gateway, and not a page or another service",
            ),
            Self::TooLarge => {
                ("connect.too_large", -31815, "a message is larger than 64 MiB", "send less, or ask for less")
            }
            Self::Stopped => (
                "connect.stopped",
                -31816,
                "the bridge was stopped before the answer; whether the request was carried out is not known",
                "start it again; look at what the request changed before sending it again",
            ),
            Self::Streams => (
                "connect.streams",
                -31817,
                "the client's standard input or output cannot be used",
                "start `mcp-gateway connect` from an MCP client: it speaks JSON-RPC, one message on a line",
            ),
        };
        Row { code, rpc, text, hint }
    }
}

/// Trouble, with what it comes from. Holds nothing of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Which.
    pub code: Code,
    /// What it comes from, for the person.
    pub cause: Option<String>,
}

impl Trouble {
    /// Without a cause.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, cause: None }
    }

    /// Adds what it comes from, shortened to what fits a message.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string().chars().filter(|one| !one.is_control()).take(400).collect());
        self
    }

    /// As the answer to a request.
    #[must_use]
    pub fn answer(&self, id: Option<&RawId>) -> Bytes {
        let data = json!({"code": self.code.as_str(), "hint": self.code.hint(), "cause": self.cause});
        reply::error(id, self.code.rpc(), &format!("{}; {}", self.said(), self.code.hint()), Some(&data))
    }

    fn said(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{} ({cause})", self.code.text()),
            None => self.code.text().to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.said(), self.code.as_str())
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_outside_of_the_reserved_range() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let numbers: BTreeSet<_> = Code::ALL.iter().map(|code| code.rpc()).collect();
        assert_eq!((words.len(), numbers.len()), (Code::ALL.len(), Code::ALL.len()));
        assert!(numbers.iter().all(|number| !(-32768..=-32000).contains(number)), "{numbers:?}");
    }

    #[test]
    fn the_guide_says_the_same() {
        let guide = include_str!("../../../../docs/connect.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} | {} | {} |", code.as_str(), code.rpc(), code.text(), code.hint());
            assert!(guide.contains(&row), "docs/connect.md lacks: {row}");
        }
    }

    #[test]
    fn an_answer_carries_the_id_as_it_was_written() {
        let id = RawId::parse("\"a\\u0062\"").unwrap().unwrap();
        let answer = Trouble::new(Code::Unreachable).because("x\ny").answer(Some(&id));
        let text = String::from_utf8(answer.to_vec()).unwrap();
        assert!(text.contains("\"id\":\"a\\u0062\"") && !text.contains('\n'), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["error"]["data"]["code"], "connect.unreachable");
        assert_eq!(read["error"]["data"]["cause"], "xy");
    }
}
