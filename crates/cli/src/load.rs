//! `newsreel load`: titles from NDJSON into an origin, many in a transaction.

mod title;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use newsreel_core::wire::Key;
use newsreel_core::wire::bom::without_bom;
use reqwest::{Client, Url};

use crate::broker::BrokerOptions;
use crate::exit::{Failure, note};
use crate::http::{self, call_with_retries};
pub(crate) use title::Title;

/// The most bytes of values in one transaction; far below what the origin takes.
const BATCH_BYTES: usize = 8 << 20;
/// The most bytes of keys and tags in one transaction: its publish, which has little else, may have 1 MiB.
const BATCH_NAME_BYTES: usize = 900 << 10;
/// How the two bytes that begin every gzip file look.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The examples that `newsreel load --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel load titles.ndjson.gz
  newsreel load titles.ndjson --on-error skip --batch 100
  zcat titles.ndjson.gz | newsreel load -";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct LoadOptions {
    /// The file: one JSON object a line, with an `id` and, if wanted, `platforms`, `genres` and `type`. The
    /// file may be packed with gzip; `-` reads stdin.
    #[arg(env = "NEWSREEL_LOAD_FILE")]
    file: PathBuf,
    /// The origin's address.
    #[arg(long, env = "NEWSREEL_ORIGIN", default_value = "http://127.0.0.1:8788", value_name = "URL")]
    #[arg(value_parser = http::server)]
    origin: Url,
    /// Whether a line that is no title ends the command.
    #[arg(long, env = "NEWSREEL_ON_ERROR", value_enum, default_value = "stop")]
    on_error: OnError,
    /// The most titles in one transaction, which is one version.
    #[arg(long, env = "NEWSREEL_BATCH", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// Report the line and go on.
    Skip,
    /// Report the line and stop. The lines before it are loaded.
    Stop,
}

/// Loads the titles of the file into the origin, one transaction for each batch.
pub(crate) async fn run(options: LoadOptions, at: BrokerOptions) -> Result<(), Failure> {
    let (mut reader, bar) = open(&options.file)?;
    let mut loader = Loader::new(&options, &at)?;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::Input(format!("line {number}: {error}")))?;
        if read == 0 {
            break;
        }
        let line = if number == 1 { without_bom(&line) } else { &line };
        if line.trim_ascii().is_empty() {
            continue;
        }
        match (Title::parse(line), options.on_error) {
            (Ok(title), _) => loader.add(title).await?,
            (Err(why), OnError::Skip) => {
                loader.skipped += 1;
                bar.suspend(|| note!("load: line {number}: {why}; skipped"));
            }
            (Err(why), OnError::Stop) => {
                loader.send().await?;
                bar.finish_and_clear();
                note!("load: {}", loader.summary());
                let advice = "correct it, or go on over bad lines with --on-error skip";
                return Err(Failure::Input(format!("line {number}: {why}; {advice}")));
            }
        }
    }
    loader.send().await?;
    bar.finish_and_clear();
    note!("load: {}", loader.summary());
    Ok(())
}

/// Opens the file, packed or not, and a bar that shows how much of it has been read.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, ProgressBar), Failure> {
    let wrong = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
    // The bar shows on a terminal only.
    let bar = ProgressBar::no_length();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(path).map_err(wrong)?;
        bar.set_length(file.metadata().map_err(wrong)?.len());
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {percent:>3} % of {bytes_total}  {eta} left")
        {
            bar.set_style(style);
        }
        Box::new(file)
    };
    let mut plain = BufReader::new(bar.wrap_read(source));
    let packed = plain.fill_buf().map_err(wrong)?.starts_with(GZIP);
    let lines: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
    Ok((lines, bar))
}

/// Gathers titles into transactions and sends them.
struct Loader {
    client: Client,
    origin: Url,
    url: String,
    retry_for: std::time::Duration,
    most: usize,
    /// The lines of the next transaction; a later line of the same title takes the place of an earlier one.
    batch: BTreeMap<Key, String>,
    bytes: usize,
    name_bytes: usize,
    read: u64,
    skipped: u64,
    transactions: u64,
}

impl Loader {
    fn new(options: &LoadOptions, at: &BrokerOptions) -> Result<Self, Failure> {
        let origin = options.origin.clone();
        Ok(Self {
            client: http::client(&origin)?,
            url: format!("{}/{}", origin.as_str().trim_end_matches('/'), at.catalog),
            origin,
            retry_for: at.retry_for(),
            most: usize::from(options.batch),
            batch: BTreeMap::new(),
            bytes: 0,
            name_bytes: 0,
            read: 0,
            skipped: 0,
            transactions: 0,
        })
    }

    async fn add(&mut self, title: Title) -> Result<(), Failure> {
        let line = title.line();
        let names = line.len() - title.value.len();
        if self.bytes + line.len() > BATCH_BYTES || self.name_bytes + names > BATCH_NAME_BYTES {
            self.send().await?;
        }
        self.read += 1;
        self.bytes += line.len();
        self.name_bytes += names;
        self.batch.insert(title.key, line);
        if self.batch.len() >= self.most { self.send().await } else { Ok(()) }
    }

    /// Sends the gathered batch. A transaction sent twice is the same rows again.
    async fn send(&mut self) -> Result<(), Failure> {
        let body: String = std::mem::take(&mut self.batch).into_values().collect();
        (self.bytes, self.name_bytes) = (0, 0);
        if body.is_empty() {
            return Ok(());
        }
        let post = || {
            let request = self.client.post(&self.url).header("Content-Type", "application/x-ndjson");
            http::call(request.body(body.clone()), "an origin")
        };
        call_with_retries(&self.origin, self.retry_for, post).await?;
        self.transactions += 1;
        Ok(())
    }

    fn summary(&self) -> String {
        let Self { read, skipped, transactions, url, .. } = self;
        format!("{read} titles into {url} in {transactions} transactions; {skipped} bad lines skipped")
    }
}

#[cfg(test)]
mod tests;
