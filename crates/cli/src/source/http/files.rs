//! The files of a feed, in the folder of `--state`: its state, its rows that name nothing, and its snapshot.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use newsreel_mapping::{Feed, Mapping, MessageError};
use serde_json::{Value, json};

use super::state::FeedState;
use crate::http::random_u32;
use crate::kept;

/// The files of one feed.
pub(super) struct FeedFiles {
    folder: PathBuf,
    name: String,
    /// Held for as long as the feed is followed.
    lock: Option<File>,
}

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub(super) struct FileError {
    path: PathBuf,
    #[source]
    why: io::Error,
}

impl FeedFiles {
    /// Returns the files of a feed in a folder.
    pub(super) fn of(folder: &Path, feed: &Feed) -> Self {
        Self { folder: folder.to_owned(), name: feed.name.clone(), lock: None }
    }

    /// Returns the path of the file with this ending.
    pub(super) fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Reads the state; none if there is none, or if it is no state.
    pub(super) fn read(&self) -> Result<Option<FeedState>, FileError> {
        let path = self.path("state");
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(FileError { path, why }),
        }
    }

    /// Reads the state of a feed, or begins one. Makes the folder, and keeps other processes from these files.
    pub(super) fn open(&mut self, feed: &Feed, mapping: &Mapping) -> Result<FeedState, FileError> {
        fs::create_dir_all(&self.folder).map_err(|why| FileError { path: self.folder.clone(), why })?;
        self.lock = Some(self.locked()?);
        let known = self.read()?.map(|state| state.resume(feed, mapping));
        let history = || format!("{:08x}{:08x}", random_u32(), random_u32());
        let begun = || FeedState::new(feed, mapping, history(), "nothing is known of an earlier run");
        Ok(known.unwrap_or_else(begun))
    }

    /// Returns the lock of the files, which a process that ends lets go.
    fn locked(&self) -> Result<File, FileError> {
        let path = self.path("lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let locked = opened.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::Error::other(
                "another process follows this feed: give each source a --state of its own",
            )),
            Err(TryLockError::Error(why)) => Err(why),
        });
        locked.map_err(|why| FileError { path, why })
    }

    /// Writes the state, so that a crash leaves the old one or the new one.
    pub(super) fn write(&self, state: &FeedState) -> Result<(), FileError> {
        let path = self.path("state");
        let text = json!(state).to_string() + "\n";
        kept::replace(&path, &text).map_err(|why| FileError { path, why })
    }

    /// Keeps rows that name nothing, each with its reason.
    pub(super) fn dead_letters(&self, rows: &[(Value, MessageError)]) -> Result<(), FileError> {
        if rows.is_empty() {
            return Ok(());
        }
        let path = self.path("dead.ndjson");
        let line = |(row, why): &(Value, MessageError)| {
            format!("{}\n", json!({ "reason": why.kind(), "why": why.to_string(), "row": row }))
        };
        let text: String = rows.iter().map(line).collect();
        let written = OpenOptions::new().create(true).append(true).open(&path);
        written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|why| FileError { path, why })
    }
}
