//! Dead letters: messages that cannot be mapped, with their reasons, in a stream or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use newsreel_mapping::MessageError;
use redis::{RedisError, cmd};
use serde_json::{Map, Value, json};

use super::connect::Connection;
use crate::source::watch::now_millis;

/// About how many dead letters a stream keeps.
const MAX_LETTERS: usize = 100_000;

/// Where dead letters go.
#[derive(Debug, Clone)]
pub(super) enum DeadLetters {
    /// A stream of the same Redis.
    Stream(String),
    /// A file, one JSON object a line.
    File(PathBuf),
}

/// A message that cannot be mapped.
pub(super) struct Letter<'a> {
    /// The stream or channel that it came from.
    pub(super) from: &'a str,
    /// The id of a stream's entry.
    pub(super) id: Option<&'a str>,
    pub(super) error: &'a MessageError,
    pub(super) content: LetterContent<'a>,
}

/// The content of a message.
pub(super) enum LetterContent<'a> {
    /// The fields of an entry.
    Fields(&'a [(Vec<u8>, Vec<u8>)]),
    /// The text of a channel.
    Payload(&'a [u8]),
}

/// Why a letter was not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeadLetterError {
    /// Redis did not take it.
    #[error("no dead letter can be written to the stream {stream}: {source}")]
    Redis {
        /// The name of the stream.
        stream: String,
        source: RedisError,
    },
    /// The file cannot be written.
    #[error("no dead letter can be written to {}: {source}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        source: io::Error,
    },
}

impl DeadLetters {
    /// Keeps a letter: it is there when this returns.
    pub(super) async fn keep(
        &self,
        redis: &mut Connection,
        letter: &Letter<'_>,
    ) -> Result<(), DeadLetterError> {
        match self {
            Self::Stream(name) => {
                let mut command = cmd("XADD");
                command.arg(name).arg("MAXLEN").arg("~").arg(MAX_LETTERS).arg("*");
                command.arg("from").arg(letter.from).arg("id").arg(letter.id.unwrap_or_default());
                command.arg("kind").arg(letter.error.kind()).arg("reason").arg(letter.error.to_string());
                match &letter.content {
                    LetterContent::Payload(payload) => drop(command.arg("payload").arg(payload)),
                    LetterContent::Fields(fields) => {
                        for (name, value) in *fields {
                            command.arg([b"field:", name.as_slice()].concat()).arg(value);
                        }
                    }
                }
                let id: Result<String, _> = redis.ask(&command).await;
                id.map(drop).map_err(|source| DeadLetterError::Redis { stream: name.clone(), source })
            }
            Self::File(path) => append(path, &line(letter))
                .map_err(|source| DeadLetterError::File { path: path.clone(), source }),
        }
    }
}

fn append(path: &PathBuf, line: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

/// Returns a letter as a line of JSON. What is no text is in base64.
fn line(letter: &Letter<'_>) -> String {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    };
    let (name, content) = match &letter.content {
        LetterContent::Payload(payload) => ("payload", text(payload)),
        LetterContent::Fields(fields) => {
            let fields: Map<String, Value> = fields
                .iter()
                .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), text(value)))
                .collect();
            ("fields", Value::Object(fields))
        }
    };
    let line = json!({
        "at": now_millis(), "from": letter.from, "id": letter.id, "kind": letter.error.kind(),
        "reason": letter.error.to_string(), name: content,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_in_a_file_has_the_reason_and_every_byte() {
        let fields = vec![(b"a".to_vec(), b"text".to_vec()), (b"b".to_vec(), vec![0xff, 0])];
        let error = MessageError::NoField("payload".to_owned());
        let letter =
            Letter { from: "s", id: Some("1-0"), error: &error, content: LetterContent::Fields(&fields) };
        let mut line: Value = serde_json::from_str(&line(&letter)).unwrap();
        line["at"].take();
        let expected = json!({
            "at": null, "from": "s", "id": "1-0", "kind": "no-field", "reason": "the entry has no field \"payload\"",
            "fields": { "a": "text", "b": { "base64": "/wA=" } },
        });
        assert_eq!(line, expected);
    }
}
