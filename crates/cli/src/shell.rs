//! `newsreel completions` and `newsreel man`: the command's flags, as a shell and `man` read them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Cli;
use crate::exit::{Failure, note, print};

/// The examples that `newsreel completions --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel completions bash > ~/.local/share/bash-completion/completions/newsreel
  newsreel completions zsh > ~/.zfunc/_newsreel
  newsreel completions fish > ~/.config/fish/completions/newsreel.fish";

/// The flags of `completions`.
#[derive(clap::Args)]
pub(crate) struct CompletionsOptions {
    /// The shell that completes.
    #[arg(env = "NEWSREEL_SHELL")]
    shell: Shell,
}

/// The flags of `man`.
#[derive(clap::Args)]
pub(crate) struct ManOptions {
    /// The folder that the pages are written to. It is created if it does not exist.
    #[arg(env = "NEWSREEL_MAN_DIR", value_name = "DIR")]
    folder: PathBuf,
}

/// Prints a completion script.
pub(crate) fn completions(options: &CompletionsOptions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "newsreel", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes a manual page for each command.
pub(crate) fn manual_pages(options: &ManOptions) -> Result<(), Failure> {
    let folder: &Path = &options.folder;
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("the pages cannot be written to {}", folder.display()))?;
    note!("man: the pages are in {0}; read one with `man {0}/newsreel.1`", folder.display());
    Ok(())
}
