//! The `newsreel` command: an embedded origin, and the tools to load, publish, follow and look.
//!
//! What a program reads goes to stdout, what a person reads to stderr. Every flag has an environment variable.

mod admin;
mod broker;
mod check;
#[cfg(test)]
mod documents;
mod exit;
mod fill;
mod http;
mod input;
mod link;
mod load;
mod origin;
mod proxy;
mod publish;
mod status;
mod tail;
mod token;

use clap::{Parser, Subcommand};

use crate::broker::BrokerOptions;
use crate::exit::Failure;

/// Keep every edge cache of a catalogue honest.
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
    /// Serves values from SQLite and publishes every change of them: a whole origin in one process.
    Origin(origin::OriginOptions),
    /// Loads titles (NDJSON, also .gz) into an origin.
    Load(load::LoadOptions),
    /// Publishes changes.
    Publish(publish::PublishOptions),
    /// Follows a catalog: replays what was missed, then prints what happens.
    Tail(tail::TailOptions),
    /// Shows where a catalog's log is.
    Status(status::StatusOptions),
    /// Writes the hot set ahead: through an edge, or by Cloudflare's API into KV.
    ///
    /// Prints the keys that failed as JSON, one a line, on stdout: {"key", "code", "detail"}; the exit code is 1 then. A
    /// newer entry is never replaced.
    Fill(fill::FillOptions),
    /// Checks a deployment's variables and bindings, and prints what its classes of keys promise.
    ///
    /// For each class: its numbers, and the oldest that an answer can be, as the sum of its parts. All that is wrong is
    /// told at once, on stderr, each with what to write; the exit code is 3 then.
    #[command(name = "check-config")]
    CheckConfig(check::CheckOptions),
    /// Makes keys and signed tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Does what takes an admin token.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
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
            Command::Status(options) => status::run(options, broker).await,
            Command::Fill(options) => fill::run(options, broker).await,
            Command::CheckConfig(options) => check::run(&options),
            Command::Token(command) => token::run(command),
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
            // Those of Cloudflare's own tools are not asked for twice.
            let prefixes = ["NEWSREEL_", "CLOUDFLARE_"];
            let named =
                variable.is_some_and(|variable| prefixes.iter().any(|prefix| variable.starts_with(prefix)));
            assert!(built_in || named, "{} {name}", command.get_name());
        }
        command.debug_assert();
    }
}
