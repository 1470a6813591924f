//! Which workloads a run has, and the run itself: every round lets each system have its turn.

use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;

use crate::results::Results;
use crate::systems::{Programs, System, Way};
use crate::work::Work;
use crate::work::cold::Cold;
use crate::work::hits::Hits;
use crate::work::idle::Idle;
use crate::work::latency::Latency;
use crate::work::origin::Origin;
use crate::work::profile::{Load, Profile};
use crate::work::replay::{Kept, Replay};
use crate::work::sustained::Sustained;
use crate::work::trace::Trace;

/// How long one system may take for one workload.
const LIMIT: Duration = Duration::from_secs(240);

/// Returns the workloads, in the order in which they stand in the document.
pub(crate) fn workloads(quick: bool) -> Vec<Work> {
    if quick { short() } else { whole() }
}

fn short() -> Vec<Work> {
    let time = Duration::from_millis(1000);
    let mut works = Vec::new();
    for (followers, publishes) in [(1, 200), (200, 40)] {
        works.push(Work::Latency(Latency { followers, publishes }));
    }
    for (followers, changes, way) in
        [(1, 1, Way::Single), (200, 1, Way::Single), (200, 100, Way::Single), (200, 1, Way::Window(32))]
    {
        works.push(Work::Sustained(Sustained { publishers: 32, followers, changes, way, time }));
    }
    let kept = Kept::Segments;
    works.push(Work::Replay(Replay { versions: 20_000, followers: &[1, 20], kept }));
    works.push(Work::Idle(Idle { followers: 300, hibernate: false }));
    works.push(Work::Hits(Hits { connections: 20, publishes: 0, time }));
    works.push(Work::Cold(Cold { keys: 50 }));
    works.push(Work::Origin(Origin { single: 20, burst: 50 }));
    works
}

fn whole() -> Vec<Work> {
    let time = Duration::from_secs(4);
    let mut works = Vec::new();
    for (followers, publishes) in [(1, 500), (50, 200), (200, 100), (1000, 30)] {
        works.push(Work::Latency(Latency { followers, publishes }));
    }
    for publishers in [1, 32] {
        for followers in [1, 200] {
            for (changes, way) in [
                (1, Way::Single),
                (100, Way::Single),
                (1, Way::Lines(100)),
                (1, Way::Window(32)),
                (100, Way::Window(4)),
            ] {
                works.push(Work::Sustained(Sustained { publishers, followers, changes, way, time }));
            }
        }
    }
    for kept in [Kept::Segments, Kept::Default, Kept::Rows, Kept::Folded] {
        works.push(Work::Replay(Replay { versions: 100_000, followers: &[1, 50], kept }));
    }
    works.push(Work::Idle(Idle { followers: 1000, hibernate: true }));
    for (connections, publishes) in [(1, 0), (20, 0), (64, 0), (20, 1), (20, 50)] {
        works.push(Work::Hits(Hits { connections, publishes, time }));
    }
    works.push(Work::Cold(Cold { keys: 300 }));
    if Trace::file().is_some() {
        works.push(Work::Trace(Trace { requests: 50_000 }));
    } else {
        eprintln!("NEWSREEL_DATA has no trace: reads of one are left out");
    }
    works.push(Work::Origin(Origin { single: 100, burst: 1000 }));
    for load in [
        Load::Hits,
        Load::Publishes(Way::Single),
        Load::Publishes(Way::Lines(100)),
        Load::Publishes(Way::Window(32)),
        Load::Connects,
    ] {
        works.push(Work::Profile(Profile { load, time }));
    }
    works
}

/// Runs workloads, each as often as there are rounds. A system that fails is named and has no number in that round.
pub(crate) async fn run(
    works: &[Work],
    systems: &[System],
    programs: &Programs,
    rounds: usize,
) -> Result<Results> {
    let steps: usize =
        works.iter().map(|work| systems.iter().filter(|system| work.takes(system)).count()).sum();
    let bar = ProgressBar::new(u64::try_from(steps * rounds)?);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}")?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut results = Results::default();
    for work in works {
        let taking_part: Vec<&System> = systems.iter().filter(|system| work.takes(system)).collect();
        for round in 0..rounds {
            // Each round begins with another system, so none always follows the same one.
            let turn = round % taking_part.len().max(1);
            let order = taking_part.iter().cycle().skip(turn).take(taking_part.len());
            for system in order {
                bar.set_message(format!("{}: {}", work.name(), system.name()));
                let ran = timeout(LIMIT, work.run(system, programs)).await;
                let ran = ran.with_context(|| format!("no end after {LIMIT:?}")).flatten();
                match ran {
                    Ok(findings) => results.add(work.section(), &system.name(), round, findings)?,
                    Err(error) => bar.suspend(|| eprintln!("{}: {}: {error:#}", work.name(), system.name())),
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(results)
}
