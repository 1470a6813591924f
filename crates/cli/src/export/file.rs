//! Where an export goes: stdout, or a file that an earlier export may have begun.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use newsreel_core::wire::Position;

use crate::exit::{Failure, print};
use crate::exported::ExportedLine;

/// The receiver of the lines.
pub(super) enum Sink {
    Stdout,
    File(PathBuf, File),
}

impl Sink {
    /// Opens a file after its last line with a position, and returns that position. The rest of the file, which an earlier
    /// export did not finish, is cut off.
    pub(super) fn open(path: Option<PathBuf>) -> Result<(Self, Option<Position>), Failure> {
        let Some(path) = path else { return Ok((Self::Stdout, None)) };
        let wrong = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(wrong)?;
        let (end, position) = last_position(&path, &file)?;
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(wrong)?;
        Ok((Self::File(path, file), position))
    }

    /// Appends lines to stdout or to the file.
    pub(super) fn write(&mut self, lines: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => print(lines),
            Self::File(path, file) => file
                .write_all(lines.as_bytes())
                .map_err(|error| Failure::Input(format!("{}: {error}", path.display()))),
        }
    }
}

/// Returns where the last line with a position ends, and that position.
fn last_position(path: &Path, file: &File) -> Result<(u64, Option<Position>), Failure> {
    let (mut end, mut position, mut read) = (0, None, 0);
    let mut lines = BufReader::new(file);
    for number in 1.. {
        let mut line = Vec::new();
        let wrong = |why: &dyn std::fmt::Display| {
            let file = path.display();
            Failure::Input(format!("{file}: line {number} is not of an export ({why}); name another file"))
        };
        let length = lines.read_until(b'\n', &mut line).map_err(|error| wrong(&error))?;
        read += length as u64;
        if !line.ends_with(b"\n") {
            // Only an export begins like this, also one that was cut off here.
            let begun = br#"{"version":"#;
            let is_ours =
                number > 1 || line.is_empty() || begun.starts_with(&line) || line.starts_with(begun);
            return if is_ours { Ok((end, position)) } else { Err(wrong(&"another kind of file")) };
        }
        let line: ExportedLine = serde_json::from_slice(&line).map_err(|why| wrong(&why))?;
        if line.version.is_none() && line.position.is_none() {
            return Err(wrong(&"neither a version nor a position"));
        }
        if line.position.is_some() {
            (end, position) = (read, line.position);
        }
    }
    unreachable!("the lines are counted without an end")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const AT: &str = "01ARYZ6S410000000000000000:1:68af3c045ca45573";

    fn whole() -> String {
        format!("{{\"version\":1,\"at\":5,\"changes\":[{{\"key\":\"a:1\"}}],\"position\":\"{AT}\"}}\n")
    }

    #[test]
    fn what_was_cut_off_is_taken_away_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tv.ndjson");
        let folded = "{\"version\":2,\"changes\":[{\"key\":\"a:2\"}]}\n";
        for (text, kept) in [
            (String::new(), 0),
            (whole(), whole().len()),
            (whole() + r#"{"version":2,"at":6"#, whole().len()),
            (whole() + folded + folded, whole().len()),
            (r#"{"vers"#.to_owned(), 0),
        ] {
            fs::write(&path, &text).unwrap();
            let (mut sink, position) = Sink::open(Some(path.clone())).unwrap();
            assert_eq!(position.is_some(), kept > 0, "{text}");
            sink.write("more\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}more\n", &text[..kept]));
        }
    }

    #[test]
    fn a_file_of_something_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["milk", "milk\neggs\n", "{}\n", "{\"a\":1}"] {
            fs::write(&path, text).unwrap();
            assert!(Sink::open(Some(path.clone())).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
