//! Fixed seeds keep every guarantee, and a seed is a story. That the simulator notices a broken guarantee is
//! shown by `scripts/breaks`.

use std::collections::BTreeSet;

use newsreel_sim::{Keep, Plan, play};

const STORY: Keep = Keep { story: true, struck: false };

/// Plays seeds, and ends with the story of the first that breaks something.
#[track_caller]
fn all_kept(seeds: std::ops::Range<u64>, plan: &Plan) {
    let (mut reads, mut faults, mut landed, mut overtaken) = (0, 0, 0, 0);
    for seed in seeds {
        let plan = Plan { seed, ..plan.clone() };
        let outcome = play(&plan, Keep::default(), |_| {});
        reads += outcome.tally.reads;
        landed += outcome.tally.landed;
        overtaken += outcome.tally.overtaken;
        faults += outcome.faults_total();
        if let Some(violation) = outcome.violation {
            panic!(
                "{} is broken: {}\ncargo run -p newsreel-sim -- {plan}",
                violation.guarantee, violation.what
            );
        }
    }
    println!(
        "{reads} reads checked, {faults} faults; {landed} values landed by lease, {overtaken} were overtaken"
    );
    assert!(reads > 0 && landed > 0 && overtaken > 0);
}

#[test]
fn fixed_seeds_keep_every_guarantee() {
    // scripts/breaks looks for a break in twice as many; scripts/soak plays others.
    all_kept(1..200, &Plan::default());
}

#[test]
fn a_long_run_seals_folds_and_forgets_and_keeps_every_guarantee() {
    all_kept(1..8, &Plan { steps: 250_000, ..Plan::default() });
}

#[test]
fn without_replicas_without_faults_and_with_hidden_versions_every_guarantee_is_kept() {
    all_kept(1..8, &Plan { faults: BTreeSet::new(), ..Plan::default() });
    all_kept(
        1..3,
        &Plan { steps: 60_000, faults: BTreeSet::new(), hidden: true, isolates: 1, ..Plan::default() },
    );
    let alone = Plan { edges: 0, clients: 6, ..Plan::default() };
    (1..60).for_each(|seed| {
        assert_eq!(play(&Plan { seed, ..alone.clone() }, Keep::default(), |_| {}).violation, None)
    });
    all_kept(1..30, &Plan { edges: 3, isolates: 1, clients: 1, keys: 5, ..Plan::default() });
}

#[test]
fn the_same_seed_is_the_same_story_byte_for_byte() {
    for seed in [3, 77] {
        let plan = Plan { seed, ..Plan::default() };
        let (one, other) = (play(&plan, STORY, |_| {}), play(&plan, STORY, |_| {}));
        assert!(one.story.len() > 100, "there is something to tell");
        assert_eq!(one.story.join("\n"), other.story.join("\n"));
        assert_eq!((one.tally, one.faults, one.time), (other.tally, other.faults, other.time));
        let next = play(&Plan { seed: seed + 1, ..plan }, STORY, |_| {});
        assert_ne!(one.story, next.story, "another seed is another story");
    }
}
