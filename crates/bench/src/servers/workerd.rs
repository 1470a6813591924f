//! Bare `workerd serve` on a Worker: its configuration, and its start on a folder of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::process::{Process, free_port};

/// The modules of a Worker, and its bindings.
#[derive(Default)]
pub(crate) struct Worker {
    /// The files of its modules, the main one first.
    pub(crate) modules: Vec<PathBuf>,
    /// The names of its Durable Object classes; each is bound by its name in capitals.
    pub(crate) classes: Vec<&'static str>,
    pub(crate) vars: Vec<(&'static str, String)>,
    /// Bindings of the kinds that workerd forwards to a server: name, kind, and the server's port.
    pub(crate) remote: Vec<(&'static str, Remote, u16)>,
    /// The port of V8's inspector, if it is wanted.
    pub(crate) inspector: Option<u16>,
}

/// A binding that workerd serves by requests to another server.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Remote {
    Kv,
    R2,
    /// The Cache API, which has no name in the Worker's environment.
    Cache,
}

/// A workerd that runs. Its objects' rows are in a folder that goes when the last one with it goes.
pub(crate) struct Workerd {
    pub(crate) port: u16,
    pub(crate) process: Process,
    folder: TempDir,
}

impl Workerd {
    /// Starts a Worker on an empty folder.
    pub(crate) async fn start(workerd: &Path, worker: &Worker) -> Result<Self> {
        Self::start_in(workerd, worker, TempDir::with_prefix("newsreel-bench-")?).await
    }

    /// Ends the process and starts another one on the rows that it leaves.
    pub(crate) async fn restart(self, workerd: &Path, worker: &Worker) -> Result<Self> {
        let Self { process, folder, .. } = self;
        drop(process);
        Self::start_in(workerd, worker, folder).await
    }

    async fn start_in(workerd: &Path, worker: &Worker, folder: TempDir) -> Result<Self> {
        let port = free_port()?;
        fs::create_dir_all(folder.path().join("state"))?;
        for module in &worker.modules {
            let name = module.file_name().context("a module is a file")?;
            fs::copy(module, folder.path().join(name))
                .with_context(|| format!("{} is missing", module.display()))?;
        }
        let file = folder.path().join("config.capnp");
        fs::write(&file, configuration(worker, &folder.path().join("state"), port))?;
        let mut command = Command::new(workerd);
        command.args(["serve", "--experimental"]).arg(&file).stderr(Stdio::inherit());
        if let Some(inspector) = worker.inspector {
            command.arg(format!("--inspector-addr=127.0.0.1:{inspector}"));
        }
        let process = Process::start(&mut command, port).await?;
        Ok(Self { port, process, folder })
    }
}

/// Returns the configuration of one Worker that listens on a port of 127.0.0.1.
fn configuration(worker: &Worker, state: &Path, port: u16) -> String {
    let lines = |items: Vec<String>| {
        items.iter().fold(String::new(), |mut text, item| {
            let _ = writeln!(text, "        {item},");
            text
        })
    };
    let names = worker.modules.iter().filter_map(|module| Some(module.file_name()?.to_string_lossy()));
    let modules = names.map(|name| {
        let kind = if name.ends_with(".wasm") { "wasm" } else { "esModule" };
        format!("(name = {name:?}, {kind} = embed {name:?})")
    });
    let objects = worker.classes.iter().map(|class| {
        format!("(className = {class:?}, uniqueKey = {:?}, enableSql = true)", class.to_lowercase())
    });
    let cache = worker.remote.iter().any(|(_, kind, _)| *kind == Remote::Cache);
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      compatibilityDate = "2026-07-30",
      modules = [
{}      ],
      durableObjectNamespaces = [
{}      ],
      durableObjectStorage = (localDisk = "state"),
      bindings = [
{}      ],
{}    )),
    (name = "state", disk = (path = {state:?}, writable = true)),
    (name = "internet", network = (allow = ["public", "private"])),
{}  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")],
);
"#,
        lines(modules.collect()),
        lines(objects.collect()),
        lines(bindings(worker)),
        if cache { "      cacheApiOutbound = \"cache\",\n" } else { "" },
        lines(services(worker)),
    )
}

fn bindings(worker: &Worker) -> Vec<String> {
    let objects = worker.classes.iter();
    let objects = objects
        .map(|class| format!("(name = {:?}, durableObjectNamespace = {class:?})", class.to_uppercase()));
    let texts = worker.vars.iter().map(|(name, value)| format!("(name = {name:?}, text = {value:?})"));
    let remote = worker.remote.iter().filter_map(|(name, kind, _)| match kind {
        Remote::Kv => Some(format!("(name = {name:?}, kvNamespace = \"kv\")")),
        Remote::R2 => Some(format!("(name = {name:?}, r2Bucket = \"r2\")")),
        Remote::Cache => None,
    });
    objects.chain(texts).chain(remote).collect()
}

fn services(worker: &Worker) -> Vec<String> {
    let service = |(_, kind, port): &(&str, Remote, u16)| {
        let name = match kind {
            Remote::Kv => "kv",
            Remote::R2 => "r2",
            Remote::Cache => "cache",
        };
        format!("(name = {name:?}, external = (address = \"127.0.0.1:{port}\", http = ()))")
    };
    worker.remote.iter().map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_modules_objects_and_what_they_are_bound_to() {
        let worker = Worker {
            modules: vec!["/x/index.js".into(), "/x/index_bg.wasm".into()],
            classes: vec!["Broker"],
            vars: vec![("EDGE", "it's \"here\"".to_owned())],
            remote: vec![("ENTRIES", Remote::Kv, 4000), ("", Remote::Cache, 4001)],
            inspector: None,
        };
        let text = configuration(&worker, Path::new("/s"), 8080);
        for part in [
            r#"(name = "index_bg.wasm", wasm = embed "index_bg.wasm")"#,
            r#"(name = "BROKER", durableObjectNamespace = "Broker")"#,
            r#"(name = "EDGE", text = "it's \"here\"")"#,
            r#"(name = "ENTRIES", kvNamespace = "kv")"#,
            r#"(name = "kv", external = (address = "127.0.0.1:4000", http = ()))"#,
            r#"cacheApiOutbound = "cache""#,
            r#"address = "127.0.0.1:8080""#,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
