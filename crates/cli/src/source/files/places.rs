//! The next dump of a place: waited for until there is one that was not taken.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::FilesOptions;
use super::address::{Address, FetchError, Fetched};
use crate::exit::{Failure, note};
use crate::http::pause;
use crate::source::dump::options::listed;
use crate::source::dump::place::{Found, Look, Looked, Naming, Place, Stamp};
use crate::source::dump::take;

/// A place, and what was taken of it.
pub(super) struct Places {
    place: Place,
    naming: Naming,
    looked: Looked,
    address: Option<Address>,
    stdin_taken: bool,
    quiet: Duration,
    every: Duration,
    once: bool,
    max_failures: u32,
    failures: u32,
    last_error: String,
}

/// Whether a look went well.
pub(super) enum Next {
    /// There is a dump.
    Dump(Found),
    /// There is no other dump than before.
    Nothing,
}

impl Places {
    /// Begins to look at a place. Dumps of an address are kept beside the state.
    pub(super) fn of(
        place: Place,
        naming: Naming,
        options: &FilesOptions,
        once: bool,
    ) -> Result<Self, Failure> {
        let mut download = options.state.clone().into_os_string();
        download.push(".download");
        let address = match &place {
            Place::Address(url) => Some(Address::new(url.clone(), PathBuf::from(download))?),
            Place::Stdin | Place::Path(_) => None,
        };
        let every = match place {
            Place::Address(_) => Duration::from_secs(options.every_s),
            Place::Stdin | Place::Path(_) => options.dump.poll(),
        };
        let max_failures = options.shared.max_failures;
        let (quiet, looked) = (options.dump.quiet(), Looked::default());
        Ok(Self {
            place,
            naming,
            looked,
            address,
            stdin_taken: false,
            quiet,
            every,
            once,
            max_failures,
            failures: 0,
            last_error: String::new(),
        })
    }

    /// Returns the place as a message names it.
    pub(super) fn name(&self) -> String {
        self.place.to_string()
    }

    /// Returns how long to wait before the next look.
    pub(super) fn rest(&self) -> Duration {
        let asked = self.address.as_ref().and_then(Address::retry_after).unwrap_or_default();
        if self.failures > 0 { pause(self.failures).min(self.every).max(asked) } else { self.every }
    }

    /// Says whether the last look failed.
    pub(super) fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// Says whether dumps are fetched.
    pub(super) fn is_address(&self) -> bool {
        self.address.is_some()
    }

    /// Looks for a dump that was not taken.
    ///
    /// # Errors
    /// If the place cannot be read, so often in a row that there is no use in going on.
    pub(super) async fn look(&mut self) -> Result<Next, Failure> {
        match self.found().await {
            Ok(next) => {
                if !self.last_error.is_empty() {
                    note!("source: {} is there again", self.place);
                }
                (self.failures, self.last_error) = (0, String::new());
                Ok(next)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let why = error.to_string();
                if self.once {
                    return Err(Failure::Input(format!("{}: {why}", self.place)));
                }
                // A file may be away for as long as its writer likes.
                let gives_up = self.address.is_some() && self.max_failures > 0;
                if gives_up && self.failures >= self.max_failures {
                    return Err(Failure::Database { what: self.place.to_string(), why });
                }
                if self.last_error != why {
                    note!("source: {}: {why}; looking again", self.place);
                    self.last_error = why;
                }
                Ok(Next::Nothing)
            }
        }
    }

    /// Notes that a dump was taken, or cannot be.
    pub(super) fn took(&mut self, found: Found) {
        match &mut self.address {
            Some(address) => address.took(),
            None => self.looked.took(found),
        }
    }

    async fn found(&mut self) -> Result<Next, LookError> {
        match &self.place {
            Place::Stdin if self.stdin_taken => Ok(Next::Nothing),
            Place::Stdin => {
                self.stdin_taken = true;
                let names = self.names_of_all("stdin")?;
                Ok(Next::Dump(take::stdin(names)?))
            }
            Place::Address(_) => self.fetched().await,
            Place::Path(_) => self.file().await,
        }
    }

    async fn file(&mut self) -> Result<Next, LookError> {
        let Place::Path(path) = self.place.clone() else { return Ok(Next::Nothing) };
        if path.is_file() && self.naming.of(&path).is_none() {
            return Err(LookError::Nameless(listed(&self.naming.mapped)));
        }
        loop {
            match self.looked.look(&path, &self.naming, self.quiet)? {
                Look::Dump(found) => return Ok(Next::Dump(found)),
                // A single run waits for the file to be quiet.
                Look::Unquiet(_) if self.once => sleep(Duration::from_millis(50)).await,
                Look::Unquiet(_) | Look::Nothing => return Ok(Next::Nothing),
            }
        }
    }

    async fn fetched(&mut self) -> Result<Next, LookError> {
        let names = match &self.place {
            Place::Address(url) => self.names_of_all(url.path())?,
            Place::Stdin | Place::Path(_) => return Ok(Next::Nothing),
        };
        let Some(address) = &mut self.address else { return Ok(Next::Nothing) };
        match address.fetch().await? {
            Fetched::Same => Ok(Next::Nothing),
            Fetched::Dump(path) => {
                let label = self.place.to_string();
                Ok(Next::Dump(Found { stamp: Stamp::of(&path)?, label, path, names }))
            }
        }
    }

    fn names_of_all(&self, path: &str) -> Result<Vec<String>, LookError> {
        let names = self.naming.of(std::path::Path::new(path));
        names.ok_or_else(|| LookError::Nameless(listed(&self.naming.mapped)))
    }
}

/// Why a place cannot be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    /// The file or folder cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The address does not give a dump.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The rows are of none of the names that are mapped.
    #[error(
        "the mapping maps {0}: say with --as which of them the rows are of, or with --from-field what names it"
    )]
    Nameless(String),
}
