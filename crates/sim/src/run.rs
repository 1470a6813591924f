//! A run from beginning to end: trouble for so many steps, then everything heals, and every follower gets to
//! the head.

use crate::faults::Strike;
use crate::model::Violation;
use crate::plan::Plan;
use crate::world::{Tally, World};

/// How long everything has to heal, then to hear of a last change, then to answer everything; in
/// milliseconds.
const HEALS: u64 = 90_000;
const HEARS: u64 = 60_000;
const ANSWERS: u64 = 15_000;

/// The outcome of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The counts of steps, reads and publishes.
    pub tally: Tally,
    /// How often each kind of fault struck, in the order of [`crate::Fault::ALL`].
    pub faults: Vec<u64>,
    /// The guarantee that was broken, if one was.
    pub violation: Option<Violation>,
    /// The story, if it was told.
    pub story: Vec<String>,
    /// Every fault that struck, if they were listed.
    pub struck: Vec<Strike>,
    /// How long it took by the simulated clock, in milliseconds.
    pub time: u64,
}

impl Outcome {
    /// Returns how many faults struck.
    #[must_use]
    pub fn faults_total(&self) -> u64 {
        self.faults.iter().sum()
    }
}

/// The records that a run keeps beside its counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// Whether the run keeps its story, a line for each thing that happens.
    pub story: bool,
    /// Whether the run lists the faults that struck, which shrinking needs.
    pub struck: bool,
}

/// Plays a plan; `watch` is told now and then how many steps were played.
pub fn play(plan: &Plan, keep: Keep, mut watch: impl FnMut(u64)) -> Outcome {
    let mut world = World::new(plan.clone(), keep.story);
    world.faults.listing = keep.struck;
    while world.tally.steps < plan.steps && world.violation.is_none() && world.step() {
        if world.tally.steps.is_multiple_of(10_000) {
            watch(world.tally.steps);
        }
    }
    if world.violation.is_none() {
        end(&mut world);
    }
    Outcome {
        tally: world.tally.clone(),
        faults: world.faults.counts.clone(),
        violation: world.violation.clone(),
        struck: std::mem::take(&mut world.faults.struck),
        time: world.now,
        story: world.story.take().unwrap_or_default(),
    }
}

/// Heals everything; then every follower must get to the head, and every reader must answer with the newest
/// value.
fn end(world: &mut World) {
    world.heal();
    if !go_on(world, HEALS) {
        return;
    }
    // A follower with topics learns of skipped versions with the next version that it is sent.
    world.last_commits();
    world.read_everything();
    if !go_on(world, HEARS / 4) {
        return;
    }
    // Replicas let go without readers.
    world.read_everything();
    if !go_on(world, ANSWERS) {
        return;
    }
    world.check_heard();
    world.answers_are_checked = true;
    world.read_everything();
    go_on(world, ANSWERS);
}

/// Plays the events of the next `time` milliseconds; says whether every guarantee was kept.
fn go_on(world: &mut World, time: u64) -> bool {
    let end = world.now + time;
    while world.violation.is_none() && world.is_due_by(end) {
        world.step();
    }
    world.now = world.now.max(end);
    world.violation.is_none()
}
