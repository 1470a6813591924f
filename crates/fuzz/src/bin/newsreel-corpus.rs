//! `newsreel-corpus`: takes the corpus of a target apart for libFuzzer, which wants a file an input, and puts it
//! together again.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use newsreel_fuzz::TARGETS;
use newsreel_fuzz::corpus::{self, Entry};

const USAGE: &str = "newsreel-corpus list                          the targets, one a line
newsreel-corpus unpack TARGET NAMED FOUND    writes the entries into two folders: those with names, and those found
newsreel-corpus pack TARGET NAMED FOUND      writes the corpus from such folders";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["unpack", target, named, found] => unpack(target, Path::new(named), Path::new(found)),
        ["pack", target, named, found] => pack(target, Path::new(named), Path::new(found)),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unpack(target: &str, named: &Path, found: &Path) -> Result<(), Box<dyn Error>> {
    for folder in [named, found] {
        fs::create_dir_all(folder)?;
    }
    for (number, entry) in corpus::read(target)?.into_iter().enumerate() {
        let path = entry.name.map_or_else(|| found.join(format!("{number:04}")), |name| named.join(name));
        fs::write(path, entry.bytes)?;
    }
    Ok(())
}

fn pack(target: &str, named: &Path, found: &Path) -> Result<(), Box<dyn Error>> {
    let mut entries = Vec::new();
    for path in files_of(named)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        entries.push(Entry { name, bytes: fs::read(path)? });
    }
    for path in files_of(found)? {
        entries.push(Entry { name: None, bytes: fs::read(path)? });
    }
    let text = corpus::to_text(&entries);
    fs::write(corpus::file_of(target), text)?;
    Ok(())
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}
