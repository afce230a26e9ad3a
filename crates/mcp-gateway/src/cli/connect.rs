//! `connect`: the stdio bridge, and the login that it keeps in the keyring.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use super::failure::{Exit, Failure};
use super::pick::{text, time};
use super::session::Session;
use super::view::View;
use crate::app::harden::harden;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::connect::access::Standing;
use crate::connect::bridge::Ending;
use crate::connect::door::Door;
use crate::connect::keep::Keeper;
use crate::connect::login::Revocation;
use crate::connect::notes::Notes;
use crate::connect::trouble::{Code, Trouble};
use crate::connect::{Connection, Outside, Settings};

/// What to do at which door.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ConnectArguments {
    #[command(subcommand)]
    act: Option<Act>,
    /// The server behind the gateway: https://GATEWAY/mcp/ENVIRONMENT/SERVER
    #[arg(value_name = "URL", required = true)]
    url: Option<Url>,
    #[command(flatten)]
    how: How,
    /// Keep the login in this process's memory alone, and ask again at the next start
    #[arg(long)]
    memory: bool,
}

/// The login by itself.
#[derive(Subcommand, Debug)]
enum Act {
    /// Log in now and keep the login in the keyring, so that no client has to wait for you
    Login(LoginArguments),
    /// Give the login back to the gateway and remove it from the keyring
    Logout(DoorArguments),
    /// Show what is known of the login; never a value
    Status(DoorArguments),
}

#[derive(Args, Debug)]
struct LoginArguments {
    #[command(flatten)]
    door: DoorArguments,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct DoorArguments {
    /// The server behind the gateway: https://GATEWAY/mcp/ENVIRONMENT/SERVER
    #[arg(value_name = "URL")]
    url: Url,
}

/// How the person logs in.
#[derive(Args, Clone, Debug)]
struct How {
    /// Open no browser; the address to go to is told on standard error in any case
    #[arg(long)]
    no_browser: bool,
    /// How long you may take to log in
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=3600))]
    login_timeout: u64,
    /// The client's id where the gateway registers none: an id, or the https URL of a metadata document
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

impl Default for How {
    fn default() -> Self {
        Self { no_browser: false, login_timeout: 300, client_id: None }
    }
}

/// Runs it. Standard output belongs to the client, or to the answer of the command.
pub(super) fn run(session: &mut Session, arguments: ConnectArguments) -> Result<Exit, Failure> {
    let notes = Notes::standard();
    if let Err(error) = harden() {
        notes.say(format_args!("the process could not be hardened against inspection: {error}"));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| Failure::new(Exit::Refused, "the bridge's machinery cannot start").because(&error),
        )?;
    let ConnectArguments { act, url, how, memory } = arguments;
    let done = match (act, url) {
        (Some(Act::Login(of)), _) => {
            let keeper = Keeper::system(notes.clone());
            log_in(session, &runtime, connection(session, of.door.url, of.how, keeper, notes)?)
        }
        (Some(Act::Logout(of)), _) => {
            let keeper = Keeper::system(notes.clone());
            log_out(session, &runtime, connection(session, of.url, How::default(), keeper, notes)?)
        }
        (Some(Act::Status(of)), _) => {
            let keeper = Keeper::system(notes.clone());
            status(session, &runtime, connection(session, of.url, How::default(), keeper, notes)?)
        }
        (None, Some(url)) => {
            let keeper = if memory { Keeper::memory(notes.clone()) } else { Keeper::system(notes.clone()) };
            bridge(&runtime, connection(session, url, how, keeper, notes)?)
        }
        (None, None) => Err(Failure::usage("say which server: a URL")),
    };
    // A thread may still wait for standard input, or for a keyring that nobody unlocks.
    runtime.shutdown_background();
    done
}

fn connection(
    session: &Session,
    url: Url,
    how: How,
    keeper: Keeper,
    notes: Notes,
) -> Result<Connection, Failure> {
    let plain_http = session.globals.plain_http;
    let settings = Settings {
        door: Door::parse(url, plain_http).map_err(failure)?,
        ca_file: session.globals.ca_file.clone(),
        plain_http,
        login_within: Duration::from_secs(how.login_timeout),
        opens_browser: !how.no_browser,
        client_id: how.client_id,
    };
    let outside =
        Outside { clock: Arc::new(SystemClock), random: Arc::new(SystemEntropy::default()), keeper, notes };
    Connection::new(settings, outside).map_err(failure)
}

fn bridge(runtime: &Runtime, connection: Connection) -> Result<Exit, Failure> {
    let done = runtime.block_on(async move {
        let stop = Ending::new();
        let told = stop.clone();
        let streams = |error: std::io::Error| Trouble::new(Code::Streams).because(error);
        let mut terminate = signal(SignalKind::terminate()).map_err(streams)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(streams)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        });
        // As files of their own: nothing else of this process can write between the messages.
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(streams)?;
        let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(streams)?;
        let [input, output] = [input, output].map(|end| tokio::fs::File::from_std(end.into()));
        Box::pin(connection.bridge(input, output, stop)).await
    });
    done.map(|()| Exit::Ok).map_err(failure)
}

fn log_in(session: &mut Session, runtime: &Runtime, connection: Connection) -> Result<Exit, Failure> {
    let standing = runtime.block_on(Box::pin(connection.access().log_in())).map_err(failure)?;
    show(session, &standing);
    Ok(Exit::Ok)
}

fn log_out(session: &mut Session, runtime: &Runtime, connection: Connection) -> Result<Exit, Failure> {
    let given_back = runtime.block_on(Box::pin(connection.access().log_out())).map_err(failure)?;
    let (was_there, revoked) = match &given_back {
        None => (false, false),
        Some(Ok(revocation)) => (true, *revocation == Revocation::Done),
        Some(Err(_)) => (true, false),
    };
    let answer = json!({"removed": was_there, "revoked": revoked});
    session.printer.show(&answer, |_| {
        View::default().title(match (was_there, revoked) {
            (false, _) => "There was no login",
            (true, true) => "Logged out: given back to the gateway, and removed from the keyring",
            (true, false) => "Removed from the keyring",
        })
    });
    match given_back {
        // It is gone from here, and may still be good there.
        Some(Err(trouble)) => Err(failure(trouble).hint(
            "the login is removed from this machine; the gateway's operator can end its refresh tokens, and they end by themselves",
        )),
        Some(Ok(Revocation::NotOffered)) => {
            session.printer.note("the authorization server offers no revocation: the tokens end by themselves");
            Ok(Exit::Ok)
        }
        _ => Ok(Exit::Ok),
    }
}

fn status(session: &mut Session, runtime: &Runtime, connection: Connection) -> Result<Exit, Failure> {
    match runtime.block_on(connection.access().standing()).map_err(failure)? {
        Some(standing) => {
            show(session, &standing);
            Ok(Exit::Ok)
        }
        None => Err(Failure::new(Exit::Refused, "nobody is logged in for this server")
            .hint("log in with `mcp-gateway connect login URL`, or let a client start the bridge")),
    }
}

fn show(session: &mut Session, standing: &Standing) {
    let answer = json!({
        "issuer": standing.issuer,
        "client_id": standing.client_id,
        "expires_at": standing.expires_at,
        "current": standing.is_current,
        "renews": standing.renews,
    });
    session.printer.show(&answer, |answer: &Value| {
        let renews = if standing.renews { "by itself" } else { "with a new login" };
        View::default().title("Logged in").fields([
            ("issuer", text(answer, "/issuer")),
            ("client", text(answer, "/client_id")),
            ("token until", time(&text(answer, "/expires_at"))),
            ("then", renews.to_owned()),
        ])
    });
}

/// As commands fail: the code of the trouble, and what to do.
fn failure(trouble: Trouble) -> Failure {
    let exit = match trouble.code {
        Code::Address => Exit::Usage,
        Code::Unreachable | Code::Interrupted => Exit::NoAnswer,
        _ => Exit::Refused,
    };
    let mut failure = Failure::new(exit, trouble.code.text()).hint(trouble.code.hint());
    failure.code = Some(trouble.code.as_str().into());
    failure.causes.extend(trouble.cause);
    failure
}
