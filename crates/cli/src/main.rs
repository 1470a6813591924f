//! The `newsreel` command: an embedded origin, and the tools to load, publish, follow and look.
//!
//! Output for programs goes to stdout, messages for people to stderr. Every flag has an environment variable.

mod admin;
mod alerts;
mod broker;
mod check;
mod database;
#[cfg(test)]
mod documents;
mod exit;
mod export;
mod exported;
mod fill;
mod following;
mod hooks;
mod http;
mod import;
mod input;
mod kept;
mod link;
mod load;
mod log_page;
mod map;
mod metrics_server;
mod origin;
mod proxy;
mod publish;
mod schema;
mod shell;
mod source;
mod status;
mod tail;
mod token;
mod trace;
mod utc;
mod verify;

use clap::{Parser, Subcommand};

use crate::broker::BrokerOptions;
use crate::exit::Failure;

/// Keep every edge cache of a catalogue honest.
///
/// The tools of Newsreel: an embedded origin, and commands that load values, publish changes, follow a
/// catalog, fill caches ahead, and check and administer a deployment. Results go to stdout, messages to
/// stderr.
#[derive(Parser)]
#[command(name = "newsreel", version, after_help = exit::CODES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve values from SQLite and publish every change of them.
    ///
    /// A whole origin in one process, for trying Newsreel out and for small catalogues. A write and the
    /// publish that announces it are one transaction; the publish is sent until the broker acknowledges it.
    /// Prints `ready ADDRESS` once it serves.
    #[command(after_long_help = origin::EXAMPLES)]
    Origin(origin::OriginOptions),
    /// Load titles into an origin, from lines of JSON.
    ///
    /// A title becomes the entry `title:ID`, tagged with its platforms, genres and type. Many titles are one
    /// transaction of the origin, and so one version of the log.
    #[command(after_long_help = load::EXAMPLES)]
    Load(load::LoadOptions),
    /// Publish changes: tell every cache that keys, tags, prefixes or everything changed.
    ///
    /// Prints the receipt of each publish: its version and position in the log. A publish that gets no answer
    /// is sent again under the same idempotency key, so it has one effect however often it is sent.
    #[command(after_long_help = publish::EXAMPLES)]
    Publish(publish::PublishOptions),
    /// Follow a catalog: print the versions that were missed, then each new one as it is published.
    ///
    /// A connection that is lost is opened again from the last printed version: none is skipped.
    #[command(after_long_help = tail::EXAMPLES)]
    Tail(tail::TailOptions),
    /// Write a catalog's log as lines of JSON: a version each, with its position.
    ///
    /// The versions that the log has in full are written as they are; of those that it has folded, what the fold has of
    /// each. Ends at the newest version. The token is one that may follow.
    #[command(after_long_help = export::EXAMPLES)]
    Export(export::ExportOptions),
    /// Publish an exported log to another catalog or deployment, in its order, one version for each line.
    ///
    /// The versions begin after the newest of the catalog, in its epoch: positions are not kept. Let nobody else publish
    /// to the catalog meanwhile; an import that finds another version between its own ends. Run again within 24
    /// hours, the same file has no second effect, so an import that was cut off goes on. The token is one that may
    /// publish and follow, such as an admin token.
    #[command(after_long_help = import::EXAMPLES)]
    Import(import::ImportOptions),
    /// Show the newest version of a catalog's log, the oldest that is kept in full, and its size.
    #[command(after_long_help = status::EXAMPLES)]
    Status(status::StatusOptions),
    /// Show the alerts of a catalog: what is wrong, where, since when, and what to do. Needs an admin token.
    ///
    /// Prints a line for each open alert, the worst first: severity, since when, and a sentence.
    #[command(after_long_help = alerts::EXAMPLES)]
    Alerts(alerts::AlertsOptions),
    /// Fill caches ahead with the keys that are read most.
    ///
    /// The keys are fetched through an edge, or, with --namespace-id, from the origin straight into Workers
    /// KV. A newer entry is never replaced by an older one. Each key that failed is printed as one line of
    /// JSON with key, code and detail; the exit code is 1 then.
    #[command(after_long_help = fill::EXAMPLES)]
    Fill(fill::FillOptions),
    /// Check a deployment's configuration, and print what its classes of keys promise.
    ///
    /// Reads wrangler.toml by the rules of the Worker and reports everything that is wrong at once, each with
    /// what to write; the exit code is 3 then. Prints for each class its numbers, and the oldest that an
    /// answer can be, as the sum of its parts.
    #[command(name = "check-config", after_long_help = check::EXAMPLES)]
    CheckConfig(check::CheckOptions),
    /// Publish what changes in another system.
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// Show the whole way of one change: what it comes from, its version, when it was durable and where it is applied.
    ///
    /// Reads the trace file that `newsreel source postgres` keeps beside its state file: rows, targets, LSN, versions. A
    /// change that is older than the file says so, and the exit code is 1. Where there is no trace file, a --version is
    /// asked for at the broker, which knows its source, its trace, and with an admin token who has applied it.
    #[command(disable_version_flag = true, after_long_help = trace::EXAMPLES)]
    Trace(trace::TraceOptions),
    /// Check a deployment from outside, without believing it: after each change, read its keys at every edge and compare.
    ///
    /// Follows the log, reads the changed keys at every edge after 0.1, 1, 10 and 60 s, and compares each answer with the
    /// origin. Known keys that did not change are read too, one after the other, since a change that is never published is
    /// found in no other way. An answer that was right at any moment between the change and the answer is consistent; one
    /// that says that it is old is marked; one that is old and need not be newer yet is within its bound; any other is wrong.
    /// Prints the trace of each wrong answer (the answers, the log around, and with an admin token what every edge explains),
    /// and at the end how many reads were consistent by when, for each class and edge. The token is one that may follow.
    #[command(after_long_help = verify::EXAMPLES)]
    Verify(Box<verify::VerifyOptions>),
    /// Check a mapping of rows to targets, and try it on a row.
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Try a webhook out, and settle the messages that could not be published.
    #[command(subcommand)]
    Hooks(hooks::HooksCommand),
    /// Make signing keys, and sign tokens that expire.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Administer a catalog. Needs an admin token.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Print a completion script for a shell.
    #[command(after_long_help = shell::EXAMPLES)]
    Completions(shell::CompletionsOptions),
    /// Write a manual page for each command into a folder.
    #[command(after_long_help = "Examples:\n  newsreel man ~/.local/share/man/man1")]
    Man(shell::ManOptions),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    // The provider is linked in, so it is there to be installed; a second time it would already be.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Failure::Other(error.into())),
    };
    let Cli { broker, command } = cli;
    let outcome = runtime.block_on(async {
        match command {
            Command::Origin(options) => origin::run(options, broker).await,
            Command::Load(options) => load::run(options, broker).await,
            Command::Publish(options) => publish::run(options, broker).await,
            Command::Tail(options) => tail::run(options, broker).await,
            Command::Export(options) => export::run(options, broker).await,
            Command::Import(options) => import::run(options, broker).await,
            Command::Status(options) => status::run(options, broker).await,
            Command::Alerts(options) => alerts::run(options, broker).await,
            Command::Fill(options) => fill::run(options, broker).await,
            Command::CheckConfig(options) => check::run(&options),
            Command::Source(command) => source::run(command, broker).await,
            Command::Trace(options) => trace::run(&options, broker).await,
            Command::Verify(options) => verify::run(*options, broker).await,
            Command::Map(command) => map::run(command),
            Command::Hooks(command) => hooks::run(command, broker).await,
            Command::Token(command) => token::run(command),
            Command::Completions(options) => shell::completions(&options),
            Command::Man(options) => shell::manual_pages(&options),
            Command::Admin(command) => admin::run(command, broker).await,
        }
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_flag_has_a_variable() {
        let mut command = Cli::command();
        command.build();
        let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
        for (command, flag) in
            commands.flat_map(|command| command.get_arguments().map(move |flag| (command, flag)))
        {
            let name = flag.get_id().as_str();
            let variable = flag.get_env().map(|variable| variable.to_string_lossy().into_owned());
            let built_in = name == "help" || name == "version";
            // Cloudflare's own tools read the variables with their prefix, so a user has set them already.
            let prefixes = ["NEWSREEL_", "CLOUDFLARE_"];
            let named =
                variable.is_some_and(|variable| prefixes.iter().any(|prefix| variable.starts_with(prefix)));
            assert!(built_in || named, "{} {name}", command.get_name());
        }
        command.debug_assert();
    }
}
