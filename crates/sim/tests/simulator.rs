//! The simulator keeps what it promises: fixed seeds keep every guarantee, a seed is a story, a failing run is made
//! small, and every guarantee that is broken on purpose is noticed.

use std::collections::BTreeSet;

use newsreel_core::broken::{self, Break};
use newsreel_sim::{Fault, Keep, Plan, play, shrink};

const STORY: Keep = Keep { story: true, struck: false };

fn only(faults: &[Fault]) -> BTreeSet<Fault> {
    faults.iter().copied().collect()
}

/// Plays seeds, and ends with the story of the first that breaks something.
#[track_caller]
fn all_kept(seeds: std::ops::Range<u64>, plan: &Plan) {
    let (mut reads, mut faults) = (0, 0);
    for seed in seeds {
        let plan = Plan { seed, ..plan.clone() };
        let outcome = play(&plan, Keep::default(), |_| {});
        reads += outcome.tally.reads;
        faults += outcome.faults_total();
        if let Some(violation) = outcome.violation {
            panic!(
                "{} is broken: {}\ncargo run -p newsreel-sim -- {plan}",
                violation.guarantee, violation.what
            );
        }
    }
    println!("{reads} reads checked, {faults} faults");
    assert!(reads > 0);
}

#[test]
fn fixed_seeds_keep_every_guarantee() {
    all_kept(1..1_000, &Plan::default());
}

#[test]
fn a_long_run_seals_folds_and_forgets_and_keeps_every_guarantee() {
    all_kept(1..16, &Plan { steps: 250_000, ..Plan::default() });
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

#[test]
fn a_failing_run_is_made_small_and_fails_in_the_same_way() {
    broken::set(Some(Break::PrefixUnchecked));
    let plan = Plan { seed: 1, ..Plan::default() };
    let before = play(&plan, Keep { story: false, struck: true }, |_| {});
    assert_eq!(before.violation.unwrap().guarantee, "S2");
    let smaller = shrink(&plan, |_| {});
    let after = play(&smaller, Keep { story: false, struck: true }, |_| {});
    broken::set(None);
    assert_eq!(after.violation.unwrap().guarantee, "S2");
    assert!(after.struck.len() * 3 < before.struck.len(), "{smaller}");
    assert!(smaller.faults.len() < plan.faults.len() && smaller.steps <= before.tally.steps, "{smaller}");
}

/// Under what a break is looked for, and by which guarantee it may be noticed.
fn sought(what: Break) -> (Plan, &'static [&'static str]) {
    let usual = Plan::default();
    let long = Plan { steps: 60_000, ..usual.clone() };
    // Nobody whose position is believed tells the broker that it was restored.
    let faults =
        only(&[Fault::Restored, Fault::ClientDies, Fault::SocketCut, Fault::HalfOpen, Fault::NewEpoch]);
    let alone = Plan { edges: 0, clients: 4, faults, ..usual.clone() };
    let away = only(&[Fault::ClientAway]);
    let away = Plan { steps: 500_000, faults: away, edges: 1, isolates: 1, clients: 8, ..usual.clone() };
    let hidden = Plan { steps: 60_000, faults: BTreeSet::new(), hidden: true, isolates: 1, ..usual.clone() };
    match what {
        Break::GapIgnored | Break::RowsUnsent => (usual, &["G3"]),
        Break::HeldTwice => (usual, &["G1", "G2"]),
        Break::VersionSplit => (usual, &["G4"]),
        Break::HashUnchecked | Break::ClaimBelieved => (alone, &["G1", "G2", "G3", "G7"]),
        Break::ForgottenServed => (away, &["G3", "G7"]),
        Break::BookmarkLost => (hidden, &["G6"]),
        Break::AnswerFirst => (usual, &["D1"]),
        Break::SendFirst | Break::AckFirst => (usual, &["D2"]),
        Break::KeyUnremembered | Break::KeyTwiceAtOnce => (usual, &["D3"]),
        Break::ProofAgeIgnored
        | Break::LagFromReply
        | Break::BoundUnchecked
        | Break::LapseUnchecked
        | Break::ProofAhead
        | Break::NeverExpires => (usual, &["S1"]),
        Break::StampedAfter => (usual, &["S1", "S2"]),
        Break::FloorUnchecked
        | Break::TagUnchecked
        | Break::PrefixUnchecked
        | Break::NotFoundUntagged
        | Break::LandedUnchecked
        | Break::RemovalForgotten
        | Break::HoleIgnored
        | Break::FloorsGoDown
        | Break::RankIgnored => (usual, &["S2", "S1"]),
        Break::UnknownIsClear => (long, &["S2", "S1"]),
        Break::OtherEpochServed | Break::EpochCarriedOver => (usual, &["E1", "S1", "S2"]),
        Break::ForgottenAtOnce => (usual, &["G7"]),
        Break::FoldSoftens | Break::CoverTooWide => (usual, &["G3"]),
    }
}

#[test]
fn every_break_on_purpose_is_noticed() {
    for what in Break::ALL {
        broken::set(Some(*what));
        let (plan, guarantees) = sought(*what);
        let noticed = (1..400).find_map(|seed| {
            let outcome = play(&Plan { seed, ..plan.clone() }, Keep::default(), |_| {});
            outcome.violation.map(|violation| (seed, violation))
        });
        broken::set(None);
        let Some((seed, violation)) = noticed else { panic!("{what:?} went unnoticed: {plan}") };
        println!("{what:?}: seed {seed}: {}: {}", violation.guarantee, violation.what);
        assert!(guarantees.contains(&violation.guarantee), "{what:?} broke {}", violation.guarantee);
    }
}
