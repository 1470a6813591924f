//! The load generator: runs Newsreel and its peers side by side on loopback, in turns, and writes down how they compare.
//!
//! `scripts/bench` builds what is measured and starts this program; `docs/benchmarks.md` has what it told last. Numbers go
//! to standard output, everything else to standard error. Every process that a run starts
//! ends with it.
//!
//! In reading order: [`options`]; [`plan`], which workloads a run has and in which order systems have their turns;
//! [`work`], the workloads; [`systems`], the logs that are compared; [`servers`], the processes; [`clients`], the
//! protocols; [`spread`] and [`results`], the numbers; [`machine`]; [`report`].

mod clients;
mod machine;
mod options;
mod plan;
mod report;
mod results;
mod servers;
mod spread;
mod systems;
mod work;

use anyhow::{Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use options::Options;

fn main() -> Result<()> {
    let options = Options::parse();
    // One thread: the other cores are for what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        // The run is dropped, and with it the processes that it started.
        tokio::select! {
            done = measure(&options) => done,
            _ = ended.recv() => bail!("ended"),
            _ = interrupted.recv() => bail!("interrupted"),
        }
    })
}

async fn measure(options: &Options) -> Result<()> {
    let (systems, absent) = options.systems();
    for name in &absent {
        eprintln!("{name} is not installed and left out (scripts/bench --install)");
    }
    let mut works = plan::workloads(options.quick);
    if let Some(only) = &options.only {
        works.retain(|work| work.name().to_lowercase().contains(&only.to_lowercase()));
    }
    let results = plan::run(&works, &systems, &options.programs(), options.rounds()).await?;
    let mut machine = machine::described(&options.programs());
    let form = if options.quick { "the short form" } else { "all workloads" };
    machine.push(format!("Newsreel at {}; {form}, {} rounds", options.commit, options.rounds()));
    if let Some(folder) = &options.write {
        report::document::write(folder, &results, &machine, &absent)?;
    }
    machine.iter().for_each(|line| println!("- {line}"));
    print!("\n{}", report::table::tables(&results));
    Ok(())
}
