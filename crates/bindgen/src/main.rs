//! `newsreel-bindgen`: the options of the command `wasm-bindgen` that the builds here use, over the library behind it.
//!
//! The command from the registry brings an HTTP client, an HTTP server and TLS, for running tests in a browser: most of
//! what it takes to compile it. Its version must be exactly that of the crate `wasm-bindgen`; here `Cargo.lock` sees to it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "\
newsreel-bindgen [OPTION…] --target module|web --out-dir DIR FILE.wasm

  --out-name NAME                      the file names without their extension; by default the wasm file's
  --no-typescript                      writes no .d.ts
  --keep-debug                         keeps DWARF
  --omit-default-module-path           (web) leaves it to the caller where the wasm is
  --remove-name-section                leaves the names of functions out
  --remove-producers-section
  --experimental-reset-state-function  exports __wbg_reset_state, which instantiates the wasm anew
  --force-enable-abort-handler         calls the abort handler where panics abort, too

These mean what they mean to `wasm-bindgen`.";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("newsreel-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line and writes the files that it asks for.
fn run(mut words: impl Iterator<Item = String>) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.typescript(true).omit_default_module_path(false);
    let (mut input, mut out_dir) = (None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            "--target" => match value()?.as_str() {
                "module" => bindgen.module(true)?,
                "web" => bindgen.web(true)?,
                other => bail!("--target {other} is not there: module or web"),
            },
            "--out-dir" => {
                out_dir = Some(PathBuf::from(value()?));
                &mut bindgen
            }
            "--out-name" => bindgen.out_name(&value()?),
            "--no-typescript" => bindgen.typescript(false),
            "--keep-debug" => bindgen.keep_debug(true),
            "--omit-default-module-path" => bindgen.omit_default_module_path(true),
            "--remove-name-section" => bindgen.remove_name_section(true),
            "--remove-producers-section" => bindgen.remove_producers_section(true),
            "--experimental-reset-state-function" => bindgen.reset_state_function(true),
            "--force-enable-abort-handler" => bindgen.force_enable_abort_handler(true),
            option if option.starts_with('-') => bail!("there is no option {option}\n\n{USAGE}"),
            file => {
                input = Some(PathBuf::from(file));
                &mut bindgen
            }
        };
    }
    let input = input.context("which file? See --help")?;
    let out_dir = out_dir.context("--out-dir is missing")?;
    bindgen.input_path(&input).generate(out_dir).with_context(|| input.display().to_string())
}
