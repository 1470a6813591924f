//! Where dumps are found: a file, a folder, an address or stdin; and whether there is one that was not taken yet.
//!
//! A file is read once it is quiet: its size, its time and its identity stay the same for a while, or it was last written
//! that long ago.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use reqwest::Url;

/// The endings of files in a folder that are dumps; `.gz` and `.zst` may follow.
const ENDINGS: &[&str] = &["ndjson", "jsonl", "json", "csv", "tsv"];

/// The place that dumps come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// One dump, from stdin.
    Stdin,
    /// An address that is asked again and again.
    Address(Url),
    /// A file, or a folder of files.
    Path(PathBuf),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let url =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        Ok(match (text, url) {
            ("-", _) => Self::Stdin,
            (_, Some(url)) => Self::Address(url),
            (path, None) => Self::Path(path.into()),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::Address(url) => {
                // A password of the address is nobody's business.
                let mut url = url.clone();
                let _ = url.set_password(None);
                f.write_str(url.as_str())
            }
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A file as it was looked at: another one, or one that was written since, has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: SystemTime,
    identity: u64,
}

impl Stamp {
    /// Looks at a file.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::metadata(path)?))
    }

    /// Looks at a file that is open. One that takes its place meanwhile is another file.
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// Returns how long the file is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { bytes: metadata.len(), modified, identity: metadata.ino() }
    }

    /// Says whether the file was last written so long ago.
    fn is_older_than(&self, age: Duration) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|since| since >= age)
    }
}

/// A dump that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The file.
    pub(crate) path: PathBuf,
    /// The dump as messages call it.
    pub(crate) label: String,
    /// The file as it was looked at.
    pub(crate) stamp: Stamp,
    /// The names that it has all rows of.
    pub(crate) names: Vec<String>,
}

/// The dump's name for what its rows are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The names that the mapping maps.
    pub(crate) mapped: Vec<String>,
    /// The name of all rows, if it is given.
    pub(crate) given: Option<String>,
    /// Whether each row says its own name.
    pub(crate) of_each_row: bool,
}

impl Naming {
    /// Returns the names that a dump has all rows of: those of all its rows, the one that is given, the only one that
    /// there is, or the one that the file's name begins with.
    pub(crate) fn of(&self, path: &Path) -> Option<Vec<String>> {
        if self.of_each_row {
            return Some(self.mapped.clone());
        }
        match (&self.given, self.mapped.as_slice()) {
            (Some(given), _) => return Some(vec![given.clone()]),
            (None, [only]) => return Some(vec![only.clone()]),
            (None, _) => {}
        }
        let file = path.file_name()?.to_str()?;
        let begins = |name: &&String| {
            let rest = file.strip_prefix(name.as_str());
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
        };
        let longest = self.mapped.iter().filter(begins).max_by_key(|name| name.len());
        longest.map(|name| vec![name.clone()])
    }
}

/// The files that were looked at: what of them was taken, and what was seen last.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// For each list of names the dump that was taken last.
    taken: BTreeMap<Vec<String>, (PathBuf, Stamp)>,
    /// The files that were not quiet, as they are since when.
    seen: BTreeMap<PathBuf, (Stamp, Instant)>,
}

/// What a look at a place found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A dump that is to be taken.
    Dump(Found),
    /// A file that may still be written: look again.
    Unquiet(PathBuf),
    /// Nothing that was not taken.
    Nothing,
}

impl Looked {
    /// Looks for a dump that was not taken.
    ///
    /// # Errors
    /// If the file or the folder is not there.
    pub(crate) fn look(&mut self, path: &Path, naming: &Naming, quiet: Duration) -> io::Result<Look> {
        let mut unquiet = None;
        for found in newest(path, naming)? {
            let taken = self.taken.get(&found.names);
            if taken.is_some_and(|taken| *taken == (found.path.clone(), found.stamp)) {
                continue;
            }
            let seen = self.seen.entry(found.path.clone()).or_insert((found.stamp, Instant::now()));
            if seen.0 != found.stamp {
                *seen = (found.stamp, Instant::now());
            }
            // By the clock of this machine too: that of a file server may be ahead.
            if found.stamp.is_older_than(quiet) || seen.1.elapsed() >= quiet {
                self.seen.remove(&found.path);
                return Ok(Look::Dump(found));
            }
            unquiet = Some(found.path);
        }
        Ok(unquiet.map_or(Look::Nothing, Look::Unquiet))
    }

    /// Says whether every dump that is there was taken.
    ///
    /// # Errors
    /// If the file or the folder is not there.
    pub(crate) fn is_current(&self, path: &Path, naming: &Naming) -> io::Result<bool> {
        let is_taken = |found: Found| self.taken.get(&found.names) == Some(&(found.path, found.stamp));
        Ok(newest(path, naming)?.into_iter().all(is_taken))
    }

    /// Notes that a dump was taken, or cannot be: as it is it is not looked at again.
    pub(crate) fn took(&mut self, found: Found) {
        self.taken.insert(found.names, (found.path, found.stamp));
    }
}

/// Returns the newest dump of each list of names, the oldest first.
fn newest(path: &Path, naming: &Naming) -> io::Result<Vec<Found>> {
    let of = |path: PathBuf, metadata: &Metadata| {
        let names = naming.of(&path)?;
        Some(Found { label: path.display().to_string(), path, stamp: Stamp::from(metadata), names })
    };
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(of(path.to_owned(), &metadata).into_iter().collect());
    }
    let mut newest = BTreeMap::<Vec<String>, Found>::new();
    for file in fs::read_dir(path)? {
        let path = file?.path();
        // A file may be gone since.
        let Some(metadata) = fs::metadata(&path).ok().filter(|metadata| metadata.is_file() && is_dump(&path))
        else {
            continue;
        };
        let Some(found) = of(path, &metadata) else { continue };
        let age = |found: &Found| (found.stamp.modified, found.path.clone());
        if newest.get(&found.names).is_none_or(|other| age(other) < age(&found)) {
            newest.insert(found.names.clone(), found);
        }
    }
    let mut newest: Vec<Found> = newest.into_values().collect();
    newest.sort_by_key(|found| found.stamp.modified);
    Ok(newest)
}

/// Says whether a file of a folder is a dump, by its name.
fn is_dump(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.to_ascii_lowercase();
    let name = [".gz", ".zst"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    !name.starts_with('.') && ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(mapped: &[&str]) -> Naming {
        Naming {
            mapped: mapped.iter().map(|&name| name.to_owned()).collect(),
            given: None,
            of_each_row: false,
        }
    }

    fn write(path: &Path, text: &str, age: u64) {
        fs::write(path, text).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    }

    #[test]
    fn a_place_is_told_by_its_text() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(place("-"), Place::Stdin);
        assert_eq!(place("dumps/titles.ndjson"), Place::Path("dumps/titles.ndjson".into()));
        assert!(matches!(place("https://a.example/dump.gz"), Place::Address(_)));
        assert_eq!(place("http://me:secret@a.example/").to_string(), "http://me@a.example/");
    }

    #[test]
    fn a_dump_is_named_by_its_file_unless_there_is_one_name() {
        let named = |naming: Naming, file: &str| naming.of(Path::new(file)).map(|names| names.join(" "));
        let two = || naming(&["title", "title_platform"]);
        assert_eq!(named(two(), "a/title-2026.ndjson.gz").as_deref(), Some("title"));
        assert_eq!(named(two(), "title_platform.csv").as_deref(), Some("title_platform"));
        assert_eq!(named(two(), "titles.csv"), None);
        assert_eq!(named(naming(&["title"]), "dump.csv").as_deref(), Some("title"));
        let given = Naming { given: Some("x".to_owned()), ..two() };
        assert_eq!(named(given, "title.csv").as_deref(), Some("x"));
        let each = Naming { of_each_row: true, ..two() };
        assert_eq!(named(each, "dump.csv").as_deref(), Some("title title_platform"));
    }

    #[test]
    fn of_a_folder_the_newest_dump_of_each_name_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("a-1.ndjson"), "1", 30);
        write(&at("a-2.ndjson.gz"), "2", 20);
        write(&at("b.csv"), "3", 40);
        write(&at("b.csv.part"), "4", 10);
        write(&at(".a-3.json"), "5", 10);
        let (mut looked, naming, quiet) = (Looked::default(), naming(&["a", "b"]), Duration::from_secs(1));
        let mut take = || match looked.look(folder.path(), &naming, quiet).unwrap() {
            Look::Dump(found) => {
                let name = found.path.file_name().unwrap().to_str().unwrap().to_owned();
                looked.took(found);
                name
            }
            other @ (Look::Unquiet(_) | Look::Nothing) => format!("{other:?}"),
        };
        assert_eq!([take(), take(), take()], ["b.csv", "a-2.ndjson.gz", "Nothing"]);
        write(&at("a-2.ndjson.gz"), "22", 5);
        assert_eq!([take(), take()], ["a-2.ndjson.gz", "Nothing"]);
    }

    #[test]
    fn a_file_that_was_just_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let (mut looked, naming, quiet) = (Looked::default(), naming(&["a"]), Duration::from_secs(3));
        assert!(looked.look(&path, &naming, quiet).is_err(), "there is none");
        write(&path, "1", 0);
        assert_eq!(looked.look(&path, &naming, quiet).unwrap(), Look::Unquiet(path.clone()));
        write(&path, "1", 4);
        assert!(matches!(looked.look(&path, &naming, quiet).unwrap(), Look::Dump(_)));
    }
}
