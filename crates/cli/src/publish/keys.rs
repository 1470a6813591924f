//! `--key K [--op …] [--tags …]`, again and again: the flags after a key belong to that key.
//!
//! clap's derive knows no groups of flags that repeat, so this reads where each flag stood.

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, error::ErrorKind};
use newsreel_core::wire::{Change, Key, NameError, Operation, Tag};

/// The changes that `--key` and what follows it name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyChanges(pub(crate) Vec<Change>);

/// A remove that should be soft. A removed key has no older value to serve.
#[derive(Debug, thiserror::Error)]
#[error("a remove cannot be soft")]
pub(crate) struct SoftRemove;

/// A text that is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tag:?}: {why}")]
struct TagError {
    tag: String,
    why: NameError,
}

const KEY: &str = "keys";
const OP: &str = "op";
const TAGS: &str = "tags";

impl clap::Args for KeyChanges {
    fn augment_args(command: Command) -> Command {
        let key = Arg::new(KEY).long("key").value_parser(str::parse::<Key>).value_name("KEY");
        let op = Arg::new(OP).long("op").value_parser(["update", "remove"]).value_name("OP");
        let tags = Arg::new(TAGS).long("tags").value_parser(tag_list).value_name("TAG,…");
        command
            .arg(
                key.action(ArgAction::Append).env("NEWSREEL_KEY").help("A key that changed. May be repeated"),
            )
            .arg(
                op.action(ArgAction::Append)
                    .env("NEWSREEL_OP")
                    .requires(KEY)
                    .help("The operation on the key before it: update or remove [default: update]"),
            )
            .arg(
                tags.action(ArgAction::Append).env("NEWSREEL_TAGS").requires(KEY).help(
                    "The tags that the entry of the key before it carries after the change, with commas",
                ),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyChanges {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut changes: Vec<(usize, Change)> = placed::<Key>(matches, KEY)
            .map(|(at, key)| (at, Change::update(key.clone(), Vec::new())))
            .collect();
        for (at, op) in placed::<String>(matches, OP) {
            let operation = if op == "remove" { Operation::Remove } else { Operation::Update };
            owner(&mut changes, at, "--op")?.operation = operation;
        }
        for (at, tags) in placed::<Vec<Tag>>(matches, TAGS) {
            owner(&mut changes, at, "--tags")?.tags.clone_from(tags);
        }
        Ok(Self(changes.into_iter().map(|(_, change)| change).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl KeyChanges {
    /// Makes every change soft, so that caches may serve the older values meanwhile.
    ///
    /// # Errors
    /// [`SoftRemove`] if a key is removed.
    pub(crate) fn soften(&mut self) -> Result<(), SoftRemove> {
        for change in &mut self.0 {
            match change.operation {
                Operation::Update | Operation::Soften => change.operation = Operation::Soften,
                Operation::Remove => return Err(SoftRemove),
            }
        }
        Ok(())
    }
}

/// Returns the values of a flag, each with its place on the command line.
fn placed<'a, T: Clone + Send + Sync + 'static>(
    matches: &'a ArgMatches,
    id: &str,
) -> impl Iterator<Item = (usize, &'a T)> {
    let places = matches.indices_of(id).into_iter().flatten();
    places.zip(matches.get_many::<T>(id).into_iter().flatten())
}

/// Returns the change of the last key before a place.
fn owner<'a>(changes: &'a mut [(usize, Change)], at: usize, flag: &str) -> Result<&'a mut Change, Error> {
    let before = changes.iter_mut().rev().find(|(key_at, _)| *key_at < at);
    before.map(|(_, change)| change).ok_or_else(|| {
        Error::raw(ErrorKind::MissingRequiredArgument, format!("{flag} stands after the --key it is about\n"))
    })
}

fn tag_list(text: &str) -> Result<Vec<Tag>, TagError> {
    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(|tag| Tag::new(tag).map_err(|why| TagError { tag: tag.to_owned(), why })).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        keys: KeyChanges,
    }

    fn read(line: &str) -> Result<KeyChanges, ErrorKind> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.keys).map_err(|error| error.kind())
    }

    #[test]
    fn what_follows_a_key_belongs_to_it() {
        let keys = read("--key a:1 --tags x,y --key a:2 --op remove --key a:3").unwrap();
        let json = serde_json::to_string(&keys.0).unwrap();
        assert_eq!(json, r#"[{"key":"a:1","tags":["x","y"]},{"key":"a:2","op":"remove"},{"key":"a:3"}]"#);
    }

    #[test]
    fn what_stands_before_every_key_belongs_to_none() {
        assert_eq!(read("--op remove --key a:1"), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(read("--tags x"), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(read("--key a"), Err(ErrorKind::ValueValidation));
        assert_eq!(read("--key a:1 --tags é"), Err(ErrorKind::ValueValidation));
        assert_eq!(read("--key a:1 --op drop"), Err(ErrorKind::InvalidValue));
    }

    #[test]
    fn a_remove_cannot_be_soft() {
        assert!(read("--key a:1 --op remove").unwrap().soften().is_err());
        let mut soft = read("--key a:1").unwrap();
        soft.soften().unwrap();
        assert_eq!(serde_json::to_string(&soft.0).unwrap(), r#"[{"key":"a:1","soft":true}]"#);
    }
}
