//! The command line: `mcp-gateway …`. Exit codes, files and variables are described in `docs/cli.md`.
//!
//! Commands on the gateway's own machine call its parts directly; all others speak to the control API
//! as any client of it does.

mod access;
mod adopt;
mod agent_token;
mod audit;
mod binding;
mod card;
mod client;
mod client_config;
mod connect;
mod effect;
mod failure;
mod fit;
mod foresight;
mod grant;
mod host;
mod live;
mod lock;
mod manifests;
mod object;
mod pick;
mod policy;
mod policy_cases;
mod policy_diff;
mod preflight;
mod print;
mod problem;
mod promote;
mod provider;
mod reach;
mod receipt;
mod review;
mod revocation;
mod rotation;
mod secret;
mod session;
mod standing;
mod stdio_child;
mod store;
mod token_file;
mod view;
mod wiring;
mod workload;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use gateway_core::manifest::Kind;

use self::failure::{Exit, Failure};
use self::print::{Output, Printer};
use self::session::{Globals, Session};

/// The credential broker for MCP: agents hold no secret, servers keep no secret code
#[derive(Parser, Debug)]
#[command(
    name = "mcp-gateway",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(after_help = "Exit codes: 0 done · 1 refused or failed · 2 usage · 3 done, approvals pending · \
                        4 no answer · 5 evidence not verified")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Play the whole workflow, from a loose key to verified evidence, with embedded parts
    Demo(DemoArguments),
    /// Run the gateway
    Serve(host::ConfigFile),
    /// Check a configuration and manifests; all problems at once, each with its place
    Check(host::CheckArguments),
    /// Try what a first call needs: token, store path, upstream, audit sink
    Preflight(host::PreflightArguments),
    /// Write a token for one login of an administrator (on the gateway's own machine)
    BootstrapToken(host::ConfigFile),
    /// Let the next signing keys sign now (on the gateway's own machine)
    RotateSigningKeys(host::RotateArguments),
    /// Log in as an operator with a bootstrap token
    Login(access::LoginArguments),
    /// Show who you are to the gateway, and what you may do
    Me,
    /// Write what manifests declare; what loosens waits for approval
    Apply(manifests::ApplyArguments),
    /// Show what manifests would change
    Diff(manifests::DiffArguments),
    /// Show what stands as manifests
    Export(manifests::ExportArguments),
    /// Print the JSON Schema of manifests, for editors and pipelines
    Schema,
    /// Make manifests for an environment of what decides in the one before it
    Promote(promote::PromoteArguments),
    /// Who can reach a tool, and what a caller can reach
    #[command(subcommand)]
    Access(reach::AccessCommand),
    /// Credential bindings: cards, approval, rotation, revocation
    #[command(subcommand)]
    Binding(binding::BindingCommand),
    /// Objects of any kind: approval
    #[command(subcommand)]
    Object(object::ObjectCommand),
    /// Registered upstream servers: list, revoke
    #[command(subcommand)]
    Server(revocation::ServerCommand),
    /// Registered agents and their tokens
    #[command(subcommand)]
    Agent(agent_token::AgentCommand),
    /// Workloads: mappings of runtime identities, and what a token proves
    #[command(subcommand)]
    Workload(workload::WorkloadCommand),
    /// Providers that credential sources ask
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Policies: check, test, explain, diff
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Environments: list, revoke
    #[command(subcommand)]
    Environment(revocation::EnvironmentCommand),
    /// What waits for signatures, and whose
    Waiting(standing::WaitingArguments),
    /// What ends or is due soon: bindings, reviews, rotations, agents' tokens
    Due(standing::DueArguments),
    /// How many of what there is
    Summary(standing::SummaryArguments),
    /// The configured stores: list, probe
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Secrets behind references: check and put, never show
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Sessions and live streams: list, end
    #[command(subcommand)]
    Session(live::SessionCommand),
    /// Emergency stops with an end: make, list, lift
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// What users granted the gateway at providers: list, end
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// The evidence: search, follow, verify
    #[command(subcommand)]
    Audit(Box<audit::AuditCommand>),
    /// What was revoked: signed documents, and what is still open outside
    #[command(subcommand)]
    Revocation(revocation::RevocationCommand),
    /// Receipts that servers get: verify, without the gateway
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Find loose keys in client configurations, .env files, source and logs; never shows one
    Adopt(adopt::AdoptArguments),
    /// Print what to paste into an MCP client so that it uses the gateway; no secret in it
    ClientConfig(client_config::ClientConfigArguments),
    /// Stand between a client that speaks stdio alone and a server behind the gateway; logs you in by the browser
    Connect(connect::ConnectArguments),
    /// Write a completion script for a shell
    Completions(CompletionArguments),
    /// Become a server's process (the gateway starts it so)
    #[command(hide = true)]
    StdioChild(stdio_child::StdioChildArguments),
    /// Run the demo's upstream server
    #[command(hide = true)]
    FixtureServer(FixtureArguments),
    /// Fill a new state and new evidence with an estate of a size, for measuring
    #[command(hide = true)]
    FixtureEstate(EstateArguments),
}

#[derive(Args, Debug)]
struct DemoArguments {
    /// Leave everything running at the end, and print how to connect a real client
    #[arg(long)]
    keep: bool,
}

#[derive(Args, Debug)]
struct CompletionArguments {
    /// The shell
    shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
struct FixtureArguments {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// The file with the SHA-256 of each accepted credential
    #[arg(long)]
    accept_file: PathBuf,
    /// The file it logs to
    #[arg(long)]
    log: PathBuf,
    /// The header that carries the credential
    #[arg(long, group = "place")]
    header: Option<String>,
    /// The user of basic authentication
    #[arg(long, group = "place")]
    basic: Option<String>,
    /// The query parameter that carries the credential
    #[arg(long, group = "place")]
    query: Option<String>,
}

#[derive(Args, Debug)]
struct EstateArguments {
    #[command(flatten)]
    config: host::ConfigFile,
    /// How many bindings
    #[arg(long, default_value_t = 10_000)]
    bindings: u32,
    /// How many servers they are on
    #[arg(long, default_value_t = 100)]
    servers: u32,
    /// How many agents they name
    #[arg(long, default_value_t = 300)]
    agents: u32,
    /// How many records the evidence has
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
}

/// Runs one command and says how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Words about the command line itself are coloured before it is understood.
    let colour =
        if arguments.iter().any(|one| one == "--no-color") { ColorChoice::Never } else { ColorChoice::Auto };
    let parsed = Cli::command().color(colour).try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let printer = Printer::standard(cli.globals.output, cli.globals.no_color);
    let mut session = Session { globals: cli.globals, printer };
    let command = match cli.command {
        // These speak to their callers themselves.
        Command::FixtureServer(arguments) => return fixture(arguments),
        Command::StdioChild(arguments) => return stdio_child::run(&arguments),
        Command::Demo(arguments) => {
            let output_json = session.globals.output == Output::Json;
            return crate::demo::run(crate::demo::DemoOptions { output_json, keep: arguments.keep });
        }
        other => other,
    };
    let exit = dispatch(&mut session, command).unwrap_or_else(|failure| {
        session.printer.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit.number())
}

fn dispatch(session: &mut Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(file) => host::serve(&file),
        Command::Check(arguments) => host::check(session, &arguments),
        Command::Preflight(arguments) => host::preflight(session, &arguments),
        Command::BootstrapToken(file) => host::bootstrap_token(session, &file),
        Command::RotateSigningKeys(arguments) => host::rotate_signing_keys(session, &arguments),
        Command::Login(arguments) => access::login(session, &arguments),
        Command::Me => access::me(session),
        Command::Apply(arguments) => manifests::apply(session, &arguments),
        Command::Diff(arguments) => manifests::diff(session, &arguments),
        Command::Export(arguments) => manifests::export(session, &arguments),
        Command::Schema => Ok(manifests::schema(session)),
        Command::Promote(arguments) => promote::run(session, &arguments),
        Command::Access(command) => reach::run(session, &command),
        Command::Binding(command) => binding::run(session, &command),
        Command::Object(command) => object::run(session, &command),
        Command::Server(command) => server(session, command),
        Command::Agent(command) => agent_token::run(session, command),
        Command::Workload(command) => workload::run(session, command),
        Command::Provider(command) => provider::run(session, command),
        Command::Policy(command) => policy::run(session, command),
        Command::Environment(command) => environment(session, command),
        Command::Waiting(arguments) => standing::waiting(session, &arguments),
        Command::Due(arguments) => standing::due(session, &arguments),
        Command::Summary(arguments) => standing::summary(session, &arguments),
        Command::Store(command) => store::run(session, &command),
        Command::Secret(command) => secret::run(session, &command),
        Command::Session(command) => live::run(session, &command),
        Command::Lock(command) => lock::run(session, command),
        Command::Grant(command) => grant::run(session, &command),
        Command::Audit(command) => audit::run(session, &command),
        Command::Receipt(command) => receipt::run(session, &command),
        Command::Revocation(command) => revocation::run(session, &command),
        Command::Adopt(arguments) => adopt::run(session, &arguments),
        Command::ClientConfig(arguments) => client_config::run(session, &arguments),
        Command::Connect(arguments) => connect::run(session, arguments),
        Command::Completions(arguments) => Ok(completions(session, &arguments)),
        Command::FixtureEstate(arguments) => estate(session, &arguments),
        Command::Demo(_) | Command::FixtureServer(_) | Command::StdioChild(_) => Ok(Exit::Ok),
    }
}

fn server(session: &mut Session, command: revocation::ServerCommand) -> Result<Exit, Failure> {
    use object::ReadCommand::{Get, List};
    match command {
        revocation::ServerCommand::List(which) => object::read(session, Kind::Server, &List(which)),
        revocation::ServerCommand::Get(which) => object::read(session, Kind::Server, &Get(which)),
        revocation::ServerCommand::Revoke(which) => revocation::server(session, &which),
    }
}

fn environment(session: &mut Session, command: revocation::EnvironmentCommand) -> Result<Exit, Failure> {
    use object::ReadCommand::{Get, List};
    match command {
        revocation::EnvironmentCommand::List(which) => object::read(session, Kind::Environment, &List(which)),
        revocation::EnvironmentCommand::Get(which) => object::read(session, Kind::Environment, &Get(which)),
        revocation::EnvironmentCommand::Revoke(which) => revocation::environment(session, &which),
    }
}

fn completions(session: &mut Session, arguments: &CompletionArguments) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "mcp-gateway", &mut script);
    session.printer.bytes(&script);
    Exit::Ok
}

fn estate(session: &mut Session, arguments: &EstateArguments) -> Result<Exit, Failure> {
    let EstateArguments { ref config, bindings, servers, agents, events } = *arguments;
    let size = crate::fixture::estate::Size { bindings, servers, agents, events };
    let told = wiring::runtime()?.block_on(crate::fixture::estate::make(&config.load()?, size));
    let told = told.map_err(|error| Failure::new(Exit::Refused, format!("no estate was made: {error}")))?;
    session.printer.json(&told);
    Ok(Exit::Ok)
}

fn fixture(arguments: FixtureArguments) -> ExitCode {
    let FixtureArguments { listen, accept_file, log, header, basic, query } = arguments;
    crate::fixture::run(crate::fixture::ServerArguments { listen, accept_file, log, header, basic, query })
}

#[cfg(test)]
mod tests;
