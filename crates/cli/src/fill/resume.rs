//! The resume file: which keys are done. Its first line names the run; then one key a line, appended as it is
//! done.
//!
//! A crash leaves at most half a line at the end, which is cut off when the file is opened again.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use newsreel_core::wire::Key;
use newsreel_core::wire::bom::without_bom;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// The work of a run. The keys in its file are done for that work alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The catalog that is filled.
    pub(super) catalog: String,
    /// The hash of the input.
    pub(super) input: String,
    /// Where the values go: an edge's address, or a KV namespace.
    pub(super) to: String,
}

/// The file, open for the keys to come.
#[derive(Debug)]
pub(super) struct ResumeFile {
    path: PathBuf,
    file: File,
}

impl ResumeFile {
    /// Opens the file, or begins one; returns the keys that are done.
    pub(super) fn open(path: &Path, run: &Run) -> Result<(Self, HashSet<String>), Failure> {
        let wrong = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(wrong)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(wrong)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        text.truncate(whole);
        let text = String::from_utf8_lossy(without_bom(&text));
        let mut lines = text.lines();
        match lines.next() {
            Some(line) => check(path, line, run)?,
            None => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(wrong)?;
                let line = serde_json::json!(run).to_string() + "\n";
                file.write_all(line.as_bytes()).map_err(wrong)?;
                return Ok((Self { path: path.to_owned(), file }, HashSet::new()));
            }
        }
        let keys = lines.map(str::to_owned).collect();
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(wrong)?;
        Ok((Self { path: path.to_owned(), file }, keys))
    }

    /// Adds keys that are done.
    pub(super) fn add<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Result<(), Failure> {
        // A key has no control characters, so a line is one.
        let lines: String = keys.into_iter().map(|key| format!("{key}\n")).collect();
        self.file.write_all(lines.as_bytes()).map_err(|error| {
            anyhow::Error::from(error)
                .context(format!("cannot keep what is done in {}", self.path.display()))
                .into()
        })
    }
}

fn check(path: &Path, line: &str, run: &Run) -> Result<(), Failure> {
    let wrong = |why: String| {
        let advice = "give another --resume, or remove it to start anew";
        Failure::Input(format!("{}: {why}: {advice}", path.display()))
    };
    let kept: Run =
        serde_json::from_str(line).map_err(|_| wrong("this is no resume file of a fill".to_owned()))?;
    if kept.catalog != run.catalog {
        return Err(wrong(format!("this is of the catalog {}, not of {}", kept.catalog, run.catalog)));
    }
    if kept.input != run.input {
        return Err(wrong("this is of another input file, or the file has changed since".to_owned()));
    }
    if kept.to != run.to {
        return Err(wrong(format!("this is of {}, not of {}", kept.to, run.to)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run { catalog: "tv".into(), input: "\"1\"".into(), to: "http://x".into() }
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn what_is_done_comes_back_also_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        let (mut done, before) = ResumeFile::open(&path, &run()).unwrap();
        assert!(before.is_empty());
        done.add([&key("a:1"), &key("a:2")]).unwrap();
        done.add([]).unwrap();
        drop(done);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice("a:half é".as_bytes().split_last().unwrap().1);
        std::fs::write(&path, &text).unwrap();
        let (mut done, before) = ResumeFile::open(&path, &run()).unwrap();
        assert_eq!(before, HashSet::from(["a:1".to_owned(), "a:2".to_owned()]));
        done.add([&key("a:3")]).unwrap();
        drop(done);
        assert_eq!(ResumeFile::open(&path, &run()).unwrap().1.len(), 3);
    }

    #[test]
    fn a_first_line_that_was_cut_off_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        std::fs::write(&path, "{\"catalog\":\"t").unwrap();
        assert!(ResumeFile::open(&path, &run()).unwrap().1.is_empty());
        assert!(ResumeFile::open(&path, &run()).unwrap().1.is_empty());
    }

    #[test]
    fn a_file_of_another_run_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        ResumeFile::open(&path, &run()).unwrap();
        for (other, why) in [
            (Run { catalog: "shop".into(), ..run() }, "of the catalog tv, not of shop"),
            (Run { input: "\"2\"".into(), ..run() }, "another input file"),
            (Run { to: "http://y".into(), ..run() }, "of http://x, not of http://y"),
        ] {
            let told = ResumeFile::open(&path, &other).unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("--resume"), "{told}");
        }
        std::fs::write(&path, "rubbish\n").unwrap();
        assert!(ResumeFile::open(&path, &run()).unwrap_err().to_string().contains("no resume file"));
    }
}
