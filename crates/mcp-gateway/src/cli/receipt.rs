//! `receipt verify`: what a server's owner does with a receipt, without the gateway.

use std::io::Read as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use gateway_adapters::https::{OutboundClient, OutboundConfig, OutboundError, OutboundRequest};
use gateway_adapters::identity::{ReceiptError, ReceiptRules, verify_receipt};
use gateway_core::time::{Clock as _, Timestamp};
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use url::Url;

use super::failure::{Exit, Failure};
use super::pick::text;
use super::session::Session;
use super::view::View;
use crate::app::system::SystemClock;

/// The largest receipt and the largest key set taken, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What to do with receipts.
#[derive(Subcommand, Debug)]
pub(super) enum ReceiptCommand {
    /// Say whether a receipt holds, and what it says
    Verify(VerifyArguments),
}

/// What is verified, and by what.
#[derive(Args, Debug)]
pub(super) struct VerifyArguments {
    /// The receipt; from standard input where it is `-` or absent
    receipt: Option<String>,
    /// The gateway's public keys: a file, or the URL of its `/.well-known/jwks/receipt.json`
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    /// The server it must be for: the URL of the server's route, to the letter
    #[arg(long, value_name = "URL")]
    audience: String,
    /// The gateway it must be of: its public URL
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Judge by this time, as RFC 3339, in place of now: for receipts that were kept
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    at: Option<Timestamp>,
    /// How many seconds the clocks may be apart
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=60))]
    leeway: u64,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &ReceiptCommand) -> Result<Exit, Failure> {
    match command {
        ReceiptCommand::Verify(arguments) => verify(session, arguments),
    }
}

fn verify(session: &mut Session, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let keys = key_set(session, &arguments.jwks)?;
    let receipt = match arguments.receipt.as_deref() {
        Some(receipt) if receipt != "-" => receipt.to_owned(),
        _ => piped("the receipt")?,
    };
    let rules = ReceiptRules {
        audience: &arguments.audience,
        issuer: arguments.issuer.as_deref(),
        leeway: Duration::from_secs(arguments.leeway),
    };
    let now = arguments.at.unwrap_or_else(|| SystemClock.now());
    match verify_receipt(receipt.trim(), &keys, &rules, now) {
        Ok(claims) => {
            session.printer.show(&json!({"valid": true, "claims": claims}), held);
            Ok(Exit::Ok)
        }
        Err(ReceiptError::KeySet) => {
            Err(Failure::usage(format!("`{}` cannot be used", arguments.jwks)).because(&ReceiptError::KeySet))
        }
        Err(error) => {
            // What it says is nobody's word: it is not shown.
            let answer = json!({"valid": false, "reason": error.word()});
            session.printer.show(&answer, |answer| {
                let title = View::default().title("The receipt does NOT hold");
                title.fields([("reason", text(answer, "/reason"))])
            });
            let failure = Failure::new(Exit::NotVerified, format!("the receipt does not hold: {error}"));
            Err(advised(failure, error))
        }
    }
}

fn advised(failure: Failure, error: ReceiptError) -> Failure {
    match error {
        ReceiptError::UnknownKey => {
            failure.hint("keys rotate: fetch the set anew; or the receipt is of another gateway")
        }
        ReceiptError::Audience => {
            failure.hint("`--audience` is the `url` of the server's route, to the letter")
        }
        ReceiptError::Expired => {
            failure.hint("a receipt holds for a minute; judge a kept one by its time: `--at`")
        }
        _ => failure,
    }
}

fn held(answer: &Value) -> View {
    let said = |name: &str| text(answer, &format!("/claims/{name}"));
    let moment = |name: &str| {
        let seconds = answer.pointer(&format!("/claims/{name}")).and_then(Value::as_i64);
        seconds.map(|seconds| Timestamp::from_seconds(seconds).to_string()).unwrap_or_default()
    };
    View::default().title("The receipt holds").fields([
        ("gateway", said("iss")),
        ("server", said("aud")),
        ("on behalf of", said("sub")),
        ("acting", said("act/sub")),
        ("workload", said("workload")),
        ("environment", said("environment")),
        ("registered as", said("server")),
        ("method", said("method")),
        ("tool", said("tool")),
        ("mode", said("mode")),
        ("binding", said("binding")),
        ("policy version", said("policy_version")),
        ("decided at", said("decided_at")),
        ("holds until", moment("exp")),
        ("content", said("content_digest")),
        ("request", said("request_id")),
        ("receipt id", said("jti")),
    ])
}

pub(super) fn piped(what: &str) -> Result<String, Failure> {
    let mut receipt = String::new();
    let read = std::io::stdin().lock().take(LARGEST).read_to_string(&mut receipt);
    read.map_err(|error| {
        Failure::usage(format!("{what} cannot be read from standard input")).because(&error)
    })?;
    Ok(receipt)
}

/// The key set from where it is; nothing is asked where it is a file.
pub(super) fn key_set(session: &Session, place: &str) -> Result<Vec<u8>, Failure> {
    match Url::parse(place) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => fetch(session, url),
        _ => std::fs::read(place)
            .map_err(|error| Failure::usage(format!("`{place}` cannot be read")).because(&error)),
    }
}

fn fetch(session: &Session, url: Url) -> Result<Vec<u8>, Failure> {
    let config = OutboundConfig {
        ca_file: session.globals.ca_file.clone(),
        timeout: Duration::from_secs(session.globals.timeout),
        allow_plain_http: session.globals.plain_http,
        ..OutboundConfig::default()
    };
    let client = OutboundClient::new(&config).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Refused, "the command line's own machinery cannot start").because(&error)
    })?;
    let place = url.to_string();
    let accept = HeaderValue::from_static("application/json");
    let request = OutboundRequest::new(Method::GET, url).header(header::ACCEPT, accept);
    let answer = runtime.block_on(client.send(request)).map_err(|error| {
        let exit = if matches!(error, OutboundError::Insecure(_)) { Exit::Usage } else { Exit::NoAnswer };
        Failure::new(exit, format!("no keys from `{place}`")).because(&error)
    })?;
    if answer.status.as_u16() == 200 {
        return Ok(answer.body.to_vec());
    }
    Err(Failure::new(Exit::NoAnswer, format!("`{place}` answered {}", answer.status.as_u16())))
}

#[cfg(test)]
mod tests;
