//! `newsreel load`: titles from NDJSON into an origin, many in a transaction.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use newsreel_core::wire::{Catalog, Key, Tag};
use serde::Deserialize;

use crate::broker::{pause, plain};
use crate::exit::Failure;
use crate::origin::{Value, Write};

/// How often a transaction that is not answered is sent. Sent twice it is the same rows again.
const TRIES: u32 = 8;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The file, one JSON object a line with at least an `id`; `.gz` is unpacked, `-` reads stdin.
    file: PathBuf,
    /// The origin's address.
    #[arg(long, env = "NEWSREEL_ORIGIN", default_value = "http://127.0.0.1:8788", value_name = "URL")]
    origin: reqwest::Url,
    /// The catalog.
    #[arg(long, env = "NEWSREEL_CATALOG", default_value = "tv", value_name = "NAME")]
    catalog: Catalog,
    /// What to do with a line that is not a title.
    #[arg(long, env = "NEWSREEL_ON_ERROR", value_enum, default_value = "stop")]
    on_error: OnError,
    /// How many titles make one transaction, and so one version.
    #[arg(long, env = "NEWSREEL_BATCH", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// Reports it and goes on.
    Skip,
    /// Reports it and stops. What was loaded before stays loaded.
    Stop,
}

/// A line of the file, as a row of the origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Title {
    /// `title:<id>`.
    pub(crate) key: Key,
    /// Its platforms, genres and type.
    pub(crate) tags: Vec<Tag>,
    /// The line itself.
    pub(crate) value: String,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let (reader, bar) = open(&options.file)?;
    let origin = OriginClient::new(&options)?;
    let mut batch = BTreeMap::new();
    let (mut loaded, mut skipped) = (0_u64, 0_u64);
    for (index, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.map_err(|error| Failure::Input(format!("line {}: {error}", index + 1)))?;
        if line.trim().is_empty() {
            continue;
        }
        match Title::parse(&line) {
            Ok(title) => {
                loaded += 1;
                // A later line of the same title wins.
                batch.insert(title.key.clone(), title);
            }
            Err(why) if options.on_error == OnError::Skip => {
                skipped += 1;
                bar.suspend(|| eprintln!("line {}: {why}; skipped", index + 1));
            }
            Err(why) => {
                bar.finish_and_clear();
                let text = format!(
                    "line {}: {why}; {loaded} titles before it were read (--on-error skip goes on)",
                    index + 1
                );
                return Err(Failure::Input(text));
            }
        }
        if batch.len() >= usize::from(options.batch) {
            origin.send(std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.is_empty() {
        origin.send(batch).await?;
    }
    bar.finish_and_clear();
    eprintln!("{loaded} titles loaded into {}, {skipped} lines skipped", options.catalog);
    Ok(())
}

/// Opens the file and a bar that tells how much of it has been read.
fn open(path: &Path) -> Result<(Box<dyn Read>, ProgressBar), Failure> {
    let wrong = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} % of {bytes_total}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    if path.as_os_str() == "-" {
        return Ok((Box::new(bar.wrap_read(std::io::stdin())), bar));
    }
    let file = File::open(path).map_err(wrong)?;
    bar.set_length(file.metadata().map_err(wrong)?.len());
    let read = bar.wrap_read(file);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let read: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(read)) } else { Box::new(read) };
    Ok((read, bar))
}

impl Title {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Fields {
            id: Id,
            #[serde(default)]
            platforms: Words,
            #[serde(default)]
            genres: Words,
            #[serde(rename = "type")]
            kind: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Id {
            Text(String),
            Number(u64),
        }
        let fields: Fields = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let id = match fields.id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        };
        let key = Key::new(format!("title:{id}")).map_err(|why| why.to_string())?;
        let kind = fields.kind.into_iter().collect::<Vec<_>>();
        let named = [("platform", fields.platforms.list()), ("genre", fields.genres.list()), ("type", kind)];
        let mut tags: Vec<Tag> = Vec::new();
        for (prefix, words) in named {
            for tag in
                words.iter().filter_map(|word| slug(word)).map(|slug| Tag::new(format!("{prefix}:{slug}")))
            {
                let tag = tag.map_err(|why| why.to_string())?;
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        Ok(Self { key, tags, value: line.trim().to_owned() })
    }
}

/// A list, or one text with commas between its words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Text(String),
    Nothing(()),
}

impl Default for Words {
    fn default() -> Self {
        Self::Nothing(())
    }
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::List(words) => words,
            Self::Text(text) => text.split(',').map(str::to_owned).collect(),
            Self::Nothing(()) => Vec::new(),
        }
    }
}

/// Returns a word as a tag can hold it: lower-case letters and digits, single dashes for all between them.
fn slug(word: &str) -> Option<String> {
    let words = word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    (!slug.is_empty()).then_some(slug)
}

/// Returns the write that puts a title into an origin.
pub(crate) fn title_write(key: Key, value: Value) -> Write {
    Write { key, value: Some(value) }
}

/// An origin over HTTP.
struct OriginClient {
    http: reqwest::Client,
    url: String,
}

impl OriginClient {
    fn new(options: &Options) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().build().map_err(anyhow::Error::from)?;
        let base = options.origin.as_str().trim_end_matches('/');
        Ok(Self { http, url: format!("{base}/{}", options.catalog) })
    }

    async fn send(&self, titles: BTreeMap<Key, Title>) -> Result<(), Failure> {
        let mut body = String::new();
        for Title { key, tags, value } in titles.values() {
            let (key, tags) = (serde_json::Value::from(key.as_str()), serde_json::json!(tags));
            body += &format!("{{\"key\":{key},\"tags\":{tags},\"value\":{value}}}\n");
        }
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(pause(attempt - 1)).await;
            }
            match self.http.post(&self.url).body(body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if answer.status().is_client_error() => {
                    let code = answer.status().to_string();
                    let detail = answer.text().await.unwrap_or_default();
                    return Err(Failure::Refused { code, detail });
                }
                Ok(answer) => last = answer.status().to_string(),
                Err(error) => last = plain(&error),
            }
        }
        Err(Failure::Unreachable { what: format!("the origin at {}", self.url), why: last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(line: &str) -> Vec<String> {
        Title::parse(line).unwrap().tags.into_iter().map(String::from).collect()
    }

    #[test]
    fn a_line_is_a_title_with_its_tags() {
        let line = r#"{"id":"netflix:s1","platforms":["netflix"],"genres":["Sci-Fi & Fantasy","Sci-Fi / Fantasy"],"type":"TV Show"}"#;
        assert_eq!(Title::parse(line).unwrap().key.as_str(), "title:netflix:s1");
        assert_eq!(tags(line), ["platform:netflix", "genre:sci-fi-fantasy", "type:tv-show"]);
    }

    #[test]
    fn genres_may_be_one_text_and_anything_may_be_absent() {
        assert_eq!(tags(r#"{"id":7,"genres":"Comedy, Drama,,"}"#), ["genre:comedy", "genre:drama"]);
        assert!(tags(r#"{"id":"x","platforms":["映画"],"genres":null}"#).is_empty());
    }

    #[test]
    fn what_is_not_a_title_says_why() {
        for line in ["", "[]", "{}", r#"{"id":""}"#, r#"{"id":"a\nb"}"#, r#"{"id":1.5}"#] {
            assert!(Title::parse(line).is_err(), "{line}");
        }
    }
}
