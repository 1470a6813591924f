//! `newsreel check-config`: whether a deployment can keep its promises, and what they are.
//!
//! Goes by the rules of the Worker itself (`core::read::policy`, `core::access::cors`), so a file that passes
//! starts there.

mod file;
mod hooks;
mod print;
mod vars;

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use newsreel_core::read::policy::Policies;
use newsreel_core::variables::{self, Settings as _};
use serde_json::json;

use crate::exit::{Failure, note, print};
pub(crate) use file::DeploymentFile;
use vars::Findings;

/// The examples that `newsreel check-config --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel check-config
  newsreel check-config wrangler.jsonc --env staging
  newsreel check-config --json";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct CheckOptions {
    /// The configuration of Wrangler: .toml, .json or .jsonc.
    #[arg(env = "NEWSREEL_CONFIG", default_value = "wrangler.toml")]
    file: PathBuf,
    /// Check the environment [env.NAME]. An environment inherits neither variables nor bindings.
    #[arg(long, env = "NEWSREEL_ENV", value_name = "NAME")]
    env: Option<String>,
    /// Print one JSON object with ok, complaints, warnings and, if ok, the classes with their numbers in
    /// milliseconds.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Checks the file and prints what the classes promise.
pub(crate) fn run(options: &CheckOptions) -> Result<(), Failure> {
    let deployment = DeploymentFile::read(&options.file, options.env.as_deref())?;
    let Findings { complaints, warnings, policies } = vars::check(&deployment);
    for warning in &warnings {
        note!("check-config: warning: {warning}");
    }
    if options.json {
        let ok = complaints.is_empty();
        let classes = ok.then(|| print::json(&policies));
        let all = json!({ "ok": ok, "complaints": complaints, "warnings": warnings, "classes": classes });
        print(&format!("{all}\n"))?;
    } else if complaints.is_empty() {
        print(&print::table(&policies))?;
    }
    all_right(&options.file, &complaints)
}

/// Returns what the classes of a deployment promise.
///
/// # Errors
/// If anything about it is wrong: it does not run like that.
pub(crate) fn policies(file: &Path, env: Option<&str>) -> Result<Policies, Failure> {
    let Findings { complaints, policies, .. } = vars::check(&DeploymentFile::read(file, env)?);
    all_right(file, &complaints).map(|()| policies)
}

/// Says whether a deployment folds the letters of tags.
///
/// # Errors
/// See [`policies`].
pub(crate) fn folds_tags(file: &Path, env: Option<&str>) -> Result<bool, Failure> {
    let deployment = DeploymentFile::read(file, env)?;
    all_right(file, &vars::check(&deployment).complaints)?;
    Ok(deployment.vars.read(&variables::TAGS_FOLD_CASE).unwrap_or_default())
}

fn all_right(file: &Path, complaints: &[String]) -> Result<(), Failure> {
    if complaints.is_empty() {
        return Ok(());
    }
    let lines: String = complaints.iter().map(|complaint| format!("\n  {complaint}")).collect();
    Err(Failure::Input(format!("{} is wrong:{lines}", file.display())))
}
