//! `docs/cli.md`: every command and flag, as clap knows them.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::check;
use crate::Cli;

/// Returns the commands below `command`, each with its own below it.
fn commands(command: &Command, path: &str, level: usize) -> String {
    let mut text = String::new();
    for command in command.get_subcommands().filter(|command| is_shown(command)) {
        let path = format!("{path} {}", command.get_name());
        let _ = writeln!(text, "{} `{path}`\n", "#".repeat(level));
        text += &description(command, &path);
        text += &commands(command, &path, level + 1);
    }
    text
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn description(command: &Command, path: &str) -> String {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let about = sentence(&about);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage: ");
    let usage = usage.split_once(' ').map_or_else(String::new, |(_, rest)| rest.to_owned());
    let name = path.split_whitespace().last().unwrap_or_default();
    let usage = usage.rsplit_once(name).map_or(usage.as_str(), |(_, rest)| rest).trim();
    let mut text = format!("{about}\n\n```\n{path} {usage}\n```\n\n");
    for argument in command.get_arguments().filter(|argument| is_own(argument)) {
        text += &flag(argument);
    }
    if let Some(more) = command.get_after_long_help().or(command.get_after_help()) {
        let more = more.to_string();
        let (title, examples) = more.trim().split_once('\n').unwrap_or(("Examples:", more.trim()));
        let lines = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
        let _ = writeln!(text, "\n{title}\n\n```sh\n{}\n```", lines.collect::<Vec<_>>().join("\n"));
    }
    text + "\n"
}

/// Says whether a flag is a command's own: not hidden, not clap's, and not one that every command has.
fn is_own(argument: &Arg) -> bool {
    !argument.is_hide_set()
        && !argument.is_global_set()
        && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// Returns the line of a flag: how it is written, its variable, what it does, its default and its values.
fn flag(argument: &Arg) -> String {
    let names: Vec<String> =
        argument.get_value_names().into_iter().flatten().map(|name| format!("<{name}>")).collect();
    let takes_value = argument.get_action().takes_values();
    let written = match (argument.get_long(), takes_value) {
        (Some(long), true) => format!("--{long} {}", names.join(" ")),
        (Some(long), false) => format!("--{long}"),
        (None, _) => names.join(" "),
    };
    let variable =
        argument.get_env().map(|name| format!(" (`{}`)", name.to_string_lossy())).unwrap_or_default();
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = sentence(&help.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut text = format!("- `{}`{variable}: {help}", written.trim());
    let defaults = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
    let defaults: Vec<String> = defaults.filter(|_| takes_value).collect();
    if !defaults.is_empty() {
        let _ = write!(text, " Default: {}.", defaults.join(", "));
    }
    let values = argument.get_possible_values();
    let values = values.iter().filter(|value| !value.is_hide_set()).map(|value| {
        let help = value.get_help().map(|help| sentence(&format!(": {help}"))).unwrap_or_default();
        format!("\n  - `{}`{help}", value.get_name())
    });
    text + &values.filter(|_| takes_value).collect::<String>() + "\n"
}

/// Returns a text with the full stop at its end that clap takes away.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

fn everything() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = "## Flags of every command\n\n".to_owned();
    for argument in
        command.get_arguments().filter(|argument| argument.is_global_set() && !argument.is_hide_set())
    {
        text += &flag(argument);
    }
    text + "\n" + commands(&command, "newsreel", 2).trim_end() + "\n\n" + &exit_codes()
}

fn exit_codes() -> String {
    let (_, codes) = crate::exit::CODES.split_once('\n').unwrap_or_default();
    let rows = codes
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(code, meaning)| [code.to_owned(), meaning.to_owned()]);
    format!("## Exit codes\n\n{}", super::table(["code", "meaning"], rows))
}

#[test]
fn docs_cli_is_up_to_date() {
    check("docs/cli.md", &[("commands", everything())]);
}

#[test]
fn every_command_has_an_example() {
    fn examine(command: &Command) {
        let below: Vec<&Command> = command.get_subcommands().filter(|command| is_shown(command)).collect();
        let examples =
            command.get_after_long_help().is_some_and(|help| help.to_string().starts_with("Examples:"));
        assert!(examples || !below.is_empty(), "{}", command.get_name());
        below.into_iter().for_each(examine);
    }
    examine(&Cli::command());
}
