//! The resume file: the position of what has been printed, in one line of text.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use newsreel_core::wire::Position;
use newsreel_core::wire::bom::without_bom;

use crate::exit::Failure;
use crate::kept;

/// Returns the position in the file, or `None` when there is no file yet.
pub(super) fn read(path: &Path) -> Result<Option<Position>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::Input(format!("{}: {why}; remove the file to start anew", path.display()))
    };
    match fs::read(path) {
        Ok(bytes) => {
            String::from_utf8_lossy(without_bom(&bytes)).trim().parse().map(Some).map_err(|why| wrong(&why))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
    }
}

/// Writes the position so that a crash leaves the old one or the new one, never half of one or none.
pub(super) fn write(path: &Path, position: &Position) -> Result<(), Failure> {
    let written = kept::replace(path, &format!("{position}\n"));
    written.with_context(|| format!("cannot keep the position in {}", path.display())).map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Epoch, UnixMillis};

    use super::*;

    #[test]
    fn a_position_comes_back_and_nothing_else_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tail.position");
        assert_eq!(read(&file).unwrap(), None);
        let mut at = Position::genesis(Epoch::new(UnixMillis(1), [0; 10]));
        for _ in 0..3 {
            at = at.then(b"row");
            write(&file, &at).unwrap();
            assert_eq!(read(&file).unwrap(), Some(at));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_position_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("position");
        fs::write(&file, "rubbish").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("remove the file"));
    }
}
