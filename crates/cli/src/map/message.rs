//! `newsreel map try --message`: what a message publishes.

use std::path::PathBuf;

use newsreel_core::wire::Change;
use newsreel_mapping::{Batch, Limits, Mapping, Message, Row, Skips};
use serde_json::Value;

use super::{row, show};
use crate::exit::{Failure, note};
use crate::input;

/// The flags of a message.
#[derive(clap::Args)]
pub(super) struct MessageOptions {
    /// A file with a message as a source gets it, in the place of a row; `-` reads stdin.
    #[arg(long, env = "NEWSREEL_MESSAGE", value_name = "FILE", conflicts_with_all = ["row", "old", "op", "entry"])]
    message: Option<PathBuf>,
    /// A file with the fields of a stream's entry as a JSON object, in the place of a row; `-` reads stdin.
    #[arg(long, env = "NEWSREEL_ENTRY", value_name = "FILE", conflicts_with_all = ["row", "old", "op"])]
    entry: Option<PathBuf>,
    /// The media type of the message.
    #[arg(long, env = "NEWSREEL_CONTENT_TYPE", value_name = "TYPE", requires = "message")]
    content_type: Option<String>,
    /// A header that came with the message, such as ce-type=title.updated. May be given more than once.
    #[arg(long = "header", env = "NEWSREEL_HEADERS", value_name = "NAME=VALUE", value_parser = header)]
    #[arg(value_delimiter = '\n', requires = "message")]
    headers: Vec<(String, String)>,
}

impl MessageOptions {
    /// Says whether a message is to be tried.
    pub(super) fn is_given(&self) -> bool {
        self.message.is_some() || self.entry.is_some()
    }
}

/// Prints what a message publishes.
pub(super) fn try_message(
    mapping: &Mapping,
    from: Option<&str>,
    options: &MessageOptions,
) -> Result<(), Failure> {
    let from = match (from, mapping.rules.as_slice()) {
        (Some(from), _) => from,
        (None, [only]) => only.from(),
        (None, _) => {
            let why = "the file maps more than one: say with --from where the message came from";
            return Err(Failure::Input(why.to_owned()));
        }
    };
    let body = options.message.as_deref().map(input::bytes).transpose()?.unwrap_or_default();
    let entry = options.entry.as_deref().map(row).transpose()?.map(|row| fields(&row));
    let message = match &entry {
        Some(fields) => Message::of_entry(fields),
        None => Message::of_body(&body)
            .with_content_type(options.content_type.as_deref())
            .with_attributes(&options.headers),
    };
    let (mut skips, mut batch) = (Skips::default(), Batch::new(Limits { wide_above: mapping.wide_above }));
    let outcome = mapping.message(from, &message, &mut skips, &mut |change: Change| batch.add(change));
    let outcome = outcome.map_err(|why| Failure::Input(format!("the message is not mapped: {why}")))?;
    if outcome.left_out > 0 {
        note!("map: `when` left out {} of {} rows", outcome.left_out, outcome.left_out + outcome.rows);
    }
    show(batch, &mut skips, "message")
}

/// Returns the members of an object as an entry has them: texts as they are, everything else as JSON.
fn fields(row: &Row) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    row.iter().map(|(name, value)| (name.clone().into_bytes(), text(value).into_bytes())).collect()
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "a header is NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
