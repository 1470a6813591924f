//! `docs/benchmarks.md`, written anew by each whole run, with a plot of each section beside it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::plot::plot;
use super::table::table;
use crate::results::Results;

const INTRODUCTION: &str = "\
# Benchmarks

`scripts/bench` measures Newsreel beside its peers: all on one machine, on loopback, in turns, in one run. Compare
figures of one run with each other; a figure says nothing beside one of another machine or another hour. A run of
`scripts/bench` writes this page anew; `scripts/bench --quick` prints a short form in about two minutes, and
`scripts/bench --compare COMMIT` runs two builds of Newsreel against each other.

A cell has the median of the rounds, the least and the greatest round in brackets, and after × how many times as good
Newsreel is in that row: above 1 Newsreel is better, whether the row counts operations or time. A ratio is taken within
each round, and the median of these ratios is shown. CPU is that of the server's process, as Linux counts it, and so
leaves out the load generator; memory is what the process has resident beyond what it had without the followers. Each
measurement has a server of its own on an empty folder, which is under load before it is measured: for two seconds, and for
eight where reads come from memory.

- **Newsreel** is the deployed Worker on bare `workerd serve`.
- **JS object** is [log.mjs](../crates/bench/peers/log.mjs), a Durable Object written by hand that keeps a log in SQLite and sends it
  to hibernatable sockets, without what makes Newsreel safe; with *group commit* it commits together what arrives together.
  *Sends alone* is that object without reading or storing anything of a publish: the platform's own part, and the limit of every object.
- **Redis** has a stream and a channel (`XADD` and `PUBLISH`, `XREAD` to replay); its file is synced every second, or always.
- **NATS JetStream** has a stream in a file and a consumer for each follower. Its server syncs the file every two minutes.
- For reads: a Worker that does nothing, one that answers a constant under the headers of Newsreel's answer, one that reads
  KV each time, and one that keeps answers in the Cache API. KV, R2, cache and origin are servers in the load generator.
- **Reads of a real trace** are the first requests of the trace in the folder of `NEWSREEL_DATA`, on an edge that holds nothing.
- **Where the CPU time goes** is what V8's sampling profiler says of the isolate's thread, idle time left out. Built-in functions
  are those of V8 and workerd that JavaScript or wasm calls.
- **From the origin to the edge** is the sample origin of the command `newsreel`, in its debug build.

In Redis and NATS each change of a batch is a message; Newsreel and the JavaScript object send a batch as one. One thread
makes the load, so the fastest rows of Redis show what that thread can do.
";

/// Writes the document and its plots into a folder.
pub(crate) fn write(folder: &Path, results: &Results, machine: &[String], absent: &[&str]) -> Result<()> {
    let plots = folder.join("benchmarks");
    fs::create_dir_all(&plots)?;
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## The run\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    for name in absent {
        let _ = writeln!(text, "- without {name}, which was not installed");
    }
    for section in &results.sections {
        let file = format!("{}.svg", section.title.to_lowercase().replace(' ', "-"));
        let _ = write!(text, "\n## {}\n\n{}", section.title, table(section));
        if section.systems.len() > 1 {
            fs::write(plots.join(&file), plot(section)?)?;
            let _ = write!(text, "\n![{}](benchmarks/{file})\n", section.title);
        }
    }
    Ok(fs::write(folder.join("benchmarks.md"), text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Finding, Unit};

    #[test]
    fn a_document_has_its_machine_its_tables_and_the_plots_that_it_links_to() {
        let mut results = Results::default();
        for system in ["Newsreel", "Peer"] {
            results
                .add("Idle followers", system, 0, vec![Finding::new("each", Unit::KiB, 4.0)])
                .expect("a number");
        }
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &results, &["2 cores".to_owned()], &["nats-server"]).expect("a document");
        let text = fs::read_to_string(folder.path().join("benchmarks.md")).expect("the document");
        for part in [
            "- 2 cores\n",
            "- without nats-server",
            "| each, KiB | **4.00** |",
            "(benchmarks/idle-followers.svg)",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(folder.path().join("benchmarks/idle-followers.svg").exists());
    }
}
