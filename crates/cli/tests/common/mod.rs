//! The command in a process of its own.

use std::process::{Command, Stdio};

/// Returns the command with no variable of the machine's own.
pub(crate) fn newsreel(broker: &str, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_newsreel"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("NEWSREEL_") || name.starts_with("CLOUDFLARE_"))
    {
        command.env_remove(name);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env("NEWSREEL_BROKER", broker).env("NEWSREEL_RETRY_FOR_MS", "0");
    command.args(words.split_whitespace()).stdin(Stdio::null());
    command
}
