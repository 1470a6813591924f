//! The command as the scripts call it.

use std::path::Path;
use std::process::{Command, Output};

/// A module with nothing in it.
const EMPTY_WASM: &[u8] = b"\0asm\x01\0\0\0";

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_newsreel-bindgen")).args(words).output().expect("the command starts")
}

#[track_caller]
fn fails_with(words: &[&str], message: &str) {
    let output = run(words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it fails");
    assert!(said.contains(message), "it says {message:?}: {said}");
}

#[test]
fn a_module_gets_its_javascript() {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = folder.path().join("empty.wasm");
    std::fs::write(&wasm, EMPTY_WASM).expect("it is written");
    let (out, wasm) = (path(folder.path()), path(&wasm));
    let output =
        run(&["--target", "module", "--no-typescript", "--out-name", "index", "--out-dir", out, wasm]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let script = std::fs::read_to_string(folder.path().join("index.js")).expect("there is a script");
    assert!(script.contains("import source wasmModule from \"./index_bg.wasm\""), "{script}");
    assert!(folder.path().join("index_bg.wasm").is_file());
    assert!(!folder.path().join("index.d.ts").exists());
}

#[test]
fn what_is_wrong_with_the_command_line_is_said() {
    fails_with(&["--out-dir", "x"], "which file?");
    fails_with(&["x.wasm"], "--out-dir is missing");
    fails_with(&["--target", "deno", "--out-dir", "x", "x.wasm"], "--target deno is not there");
    fails_with(&["--web", "--out-dir", "x", "x.wasm"], "there is no option --web");
    fails_with(&["--out-dir"], "--out-dir wants a value");
    fails_with(&["--out-dir", "x", "not-there.wasm"], "not-there.wasm");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders are UTF-8")
}
