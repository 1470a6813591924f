//! The files that commands read, `-` being stdin. A byte order mark at the beginning of a file is skipped.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use newsreel_core::wire::bom::without_bom;

use crate::exit::Failure;

/// Returns the bytes of a file.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| unreadable(path, &error))?;
    Ok(without_bom(&bytes).to_vec())
}

/// Returns the text of a file, which must be UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?)
        .map_err(|error| Failure::Input(format!("{}: not UTF-8: {}", path.display(), error.utf8_error())))
}

/// Opens the file, and a bar that shows how much of it has been read. The bar shows on a terminal only.
pub(crate) fn open_with_bar(path: &Path) -> Result<(Box<dyn Read + Send>, ProgressBar), Failure> {
    let wrong = |error: io::Error| unreadable(path, &error);
    if path.as_os_str() == "-" {
        let bar = ProgressBar::no_length();
        return Ok((Box::new(bar.wrap_read(io::stdin())), bar));
    }
    let file = File::open(path).map_err(wrong)?;
    let bytes = file.metadata().map_err(wrong)?.len();
    Ok(with_bar(file, bytes))
}

/// Returns a reader of so many bytes with a bar that shows how much of them has been read.
pub(crate) fn with_bar<'a>(
    from: impl Read + Send + 'a,
    bytes: u64,
) -> (Box<dyn Read + Send + 'a>, ProgressBar) {
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left") {
        bar.set_style(style);
    }
    (Box::new(bar.wrap_read(from)), bar)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", path.display()))
}
