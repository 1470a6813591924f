//! `newsreel import`: publishes an exported log to another catalog, one version for each line.
//!
//! Every publish but the first expects the version of the one before it, so the order holds over failures, and a
//! foreign version in between ends the import. Every publish has an idempotency key of the line's content, so a second
//! run of the same file hears the receipts of the first.

mod publish;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use newsreel_core::wire::Status;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, note};
use crate::exported::{ExportedLine, Order};
use crate::http::{self, call_with_retries};
use crate::input;
use publish::{Import, Waiting};

/// The examples that `newsreel import --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel import tv.ndjson --token dev-admin
  newsreel import tv.ndjson --broker https://other.example.workers.dev --catalog tv";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct ImportOptions {
    /// The file that `newsreel export` wrote; `-` reads stdin.
    #[arg(env = "NEWSREEL_FILE", value_name = "FILE")]
    file: PathBuf,
}

/// Runs `newsreel import`: publishes each line of the file as one version.
pub(crate) async fn run(options: ImportOptions, at: BrokerOptions) -> Result<(), Failure> {
    let (source, bar) = input::open_with_bar(&options.file)?;
    let broker = BrokerClient::new(at.clone())?;
    let status = call_with_retries(&at.broker, at.retry_for(), || broker.status()).await?;
    let Status { epoch, .. } = http::read(&at.broker, BROKER, &status)?;
    let mut import = Import::new(at, broker, epoch);
    let outcome = read(&options.file, source, &mut import, &bar).await;
    bar.finish_and_clear();
    let until = import.last.map_or("nothing".to_owned(), |last| last.to_string());
    note!("import: {} versions, up to {until}", import.published);
    if outcome.is_err() && import.published > 0 {
        note!("  the same command goes on from here: nothing is published twice");
    }
    outcome
}

async fn read(
    path: &Path,
    source: Box<dyn Read + Send>,
    import: &mut Import,
    bar: &indicatif::ProgressBar,
) -> Result<(), Failure> {
    let mut order = Order::default();
    for (number, text) in (1..).zip(BufReader::new(source).lines()) {
        let wrong =
            |why: &dyn std::fmt::Display| Failure::Input(format!("{}: line {number}: {why}", path.display()));
        let text = match text.map_err(|error| wrong(&error)) {
            Ok(text) => text,
            Err(failure) => return import.flush().await.and(Err(failure)),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
        if text.is_empty() {
            continue;
        }
        let line = serde_json::from_str::<ExportedLine>(text).map_err(|why| wrong(&why));
        let line = line.and_then(|line| order.check(&line).map(|()| line).map_err(|why| wrong(&why)));
        match line {
            Ok(line) => import.take(Waiting::of(number, &line)).await?,
            // The lines before it are whole.
            Err(failure) => return import.flush().await.and(Err(failure)),
        }
        bar.set_message(format!("{} published", import.published));
    }
    import.flush().await
}
