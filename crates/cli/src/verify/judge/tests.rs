//! Stories of single answers, and a small world of one key in which an honest deployment is never accused.

use newsreel_core::wire::Hash;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Key, Tag};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::ledger::Ledger;
use super::*;

const BOUND: Duration = Duration::from_secs(2);
const SETTLE_MS: u64 = 5_000;
const SETTLE: Duration = Duration::from_millis(SETTLE_MS);
/// When the checker began to follow, at version 0.
const BEGAN: u64 = 1_000;

fn epoch() -> Epoch {
    Epoch::new(UnixMillis(1), [0; 10])
}

fn version(number: u64) -> Version {
    if number == 0 { Version::ZERO } else { Version::new(number).unwrap() }
}

fn position(number: u64) -> Position {
    Position { epoch: epoch(), version: version(number), hash: Hash::genesis(&epoch()) }
}

fn value(name: &str) -> Fingerprint {
    let mut digest = [0; 32];
    digest[0] = name.as_bytes()[0];
    Fingerprint::Value(digest, Some("text/plain".to_owned()))
}

/// A checker of the key `title:1`, whose entry carries the tag `red` at the origin.
struct Checker {
    ledger: Ledger,
    heard: VecDeque<HeardVersion>,
    sightings: Vec<Sighting>,
    bound: Duration,
}

impl Checker {
    fn new() -> Self {
        let heard = VecDeque::from([HeardVersion { version: Version::ZERO, at: UnixMillis(BEGAN) }]);
        Self { ledger: Ledger::default(), heard, sightings: Vec::new(), bound: BOUND }
    }

    fn hears(&mut self, number: u64, at: u64, change: &str) {
        let row: VersionRow =
            serde_json::from_str(&format!(r#"{{"version":{number},"at":1,"changes":[{change}]}}"#)).unwrap();
        self.ledger.hear(&row, UnixMillis(at));
        self.heard.push_back(HeardVersion { version: version(number), at: UnixMillis(at) });
    }

    fn sees(&mut self, name: &str, at: u64) {
        let at = UnixMillis(at);
        self.sightings.push(Sighting { value: value(name), asked_at: at, answered_at: at });
    }

    fn covering(&self) -> [Covering; 2] {
        let key = Key::new("title:1").unwrap();
        [self.ledger.by_name(&key), self.ledger.covering(&key, &[Tag::new("red").unwrap()])]
    }

    /// Judges an answer that the origin's answers, one before and one after, stand around.
    fn judges(&self, served: &ServedValue, before: &str, after: &str) -> Judged {
        let sighting = |name: &str, at| Sighting { value: value(name), asked_at: at, answered_at: at };
        let [by_name, covering] = self.covering();
        Evidence {
            epoch: Some(epoch()),
            by_name,
            covering,
            bound: self.bound,
            overdue: overdue_at(&self.heard, self.bound, served.asked_at),
            before: &sighting(before, served.asked_at),
            after: Some(&sighting(after, served.answered_at)),
            others: &self.sightings,
        }
        .judge(served)
    }

    fn settles(&self, finding: &Judged, proved_at: u64) -> Option<SuspectEnd> {
        let Judged::Suspect(suspect) = finding else { panic!("{finding:?} is no suspicion") };
        let (proved_at, live_since) = (Some(UnixMillis(proved_at)), Some(UnixMillis(BEGAN)));
        suspect.settle(self.covering()[1], &Hearing { proved_at, live_since, settle: SETTLE })
    }
}

/// An answer at a moment, by an edge that had heard `heard`, with an entry from `entry`.
fn served(name: &str, at: u64, heard: u64, entry: u64) -> ServedValue {
    ServedValue {
        value: value(name),
        word: Word::Fresh,
        position: Some(position(heard)),
        entry: Some(position(entry)),
        asked_at: UnixMillis(at),
        answered_at: UnixMillis(at + 5),
    }
}

const HARD: &str = r#"{"key":"title:1"}"#;
const SOFT: &str = r#"{"key":"title:1","soft":true}"#;

#[test]
fn what_the_origin_says_before_or_after_is_right() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, HARD);
    assert_eq!(checker.judges(&served("b", 10_100, 1, 1), "b", "b"), Judged::Consistent);
    assert_eq!(checker.judges(&served("b", 10_100, 1, 1), "a", "b"), Judged::Consistent);
    assert_eq!(checker.judges(&served("c", 10_100, 1, 1), "a", "b"), Judged::Moving);
}

#[test]
fn an_old_value_is_excused_until_the_bound_has_passed() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, HARD);
    assert_eq!(checker.judges(&served("a", 11_900, 0, 0), "b", "b"), Judged::WithinBound);
    let late = checker.judges(&served("a", 12_300, 0, 0), "b", "b");
    assert_eq!(checker.settles(&late, 0), Some(SuspectEnd::Wrong(Because::NotHeard(version(1)))));
    // Not for an edge that says that it had heard.
    let heard = checker.judges(&served("a", 10_100, 1, 0), "b", "b");
    assert_eq!(checker.settles(&heard, 0), Some(SuspectEnd::Wrong(Because::BelowFloor(version(1)))));
}

#[test]
fn an_edge_that_stands_still_is_found_though_the_key_never_rests() {
    let mut checker = Checker::new();
    for number in 1..=50 {
        checker.hears(number, 10_000 + number * 100, HARD);
    }
    let finding = checker.judges(&served("a", 15_050, 2, 2), "b", "c");
    assert!(
        matches!(checker.settles(&finding, 0), Some(SuspectEnd::Wrong(Because::NotHeard(_)))),
        "{finding:?}"
    );
    // One that is as far as its bound asks for may lag.
    assert_eq!(checker.judges(&served("a", 15_050, 30, 30), "b", "c"), Judged::WithinBound);
}

#[test]
fn an_answer_that_says_how_old_it_is_is_marked() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, HARD);
    let old = served("a", 20_000, 1, 0);
    let stale = ServedValue { word: Word::Stale, ..old.clone() };
    assert_eq!(checker.judges(&stale, "b", "b"), Judged::Marked);
    let revalidating = ServedValue { word: Word::Revalidating, ..old };
    let finding = checker.judges(&revalidating, "b", "b");
    assert_eq!(checker.settles(&finding, 0), Some(SuspectEnd::Wrong(Because::BelowFloor(version(1)))));
}

#[test]
fn after_a_soft_change_an_old_value_may_be_marked_and_not_fresh() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, SOFT);
    let old = served("a", 20_000, 1, 0);
    let revalidating = ServedValue { word: Word::Revalidating, ..old.clone() };
    assert_eq!(checker.judges(&revalidating, "b", "b"), Judged::Marked);
    let finding = checker.judges(&old, "b", "b");
    assert_eq!(checker.settles(&finding, 24_000), None, "a publish may be on its way");
    assert!(matches!(checker.settles(&finding, 25_005), Some(SuspectEnd::Wrong(_))));
}

#[test]
fn a_retag_by_a_soft_change_alone_is_found_when_the_new_tag_changes() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, SOFT);
    checker.hears(2, 10_100, r#"{"tag":"red"}"#);
    // The entry still carries its old tags, so that the edge only marks it.
    let old = ServedValue { word: Word::Revalidating, ..served("a", 10_200, 2, 0) };
    let finding = checker.judges(&old, "b", "b");
    assert_eq!(checker.settles(&finding, 15_205), Some(SuspectEnd::Wrong(Because::BelowFloor(version(2)))));
}

#[test]
fn a_change_that_is_published_soon_after_is_no_fault_and_one_that_never_is_is() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, HARD);
    checker.sees("a", 10_050);
    // The origin commits "b", and its publish is on its way.
    let finding = checker.judges(&served("a", 11_000, 1, 1), "b", "b");
    assert_eq!(checker.settles(&finding, 15_000), None);
    assert_eq!(
        checker.settles(&finding, 16_005),
        Some(SuspectEnd::Wrong(Because::ChangedAfter(version(1)))),
        "the origin published before it committed"
    );
    checker.hears(2, 11_500, HARD);
    assert_eq!(checker.settles(&finding, 11_500), Some(SuspectEnd::Consistent));
}

#[test]
fn a_value_that_nobody_published_is_found() {
    let checker = Checker::new();
    let finding = checker.judges(&served("a", 11_000, 0, 0), "b", "b");
    assert_eq!(checker.settles(&finding, 16_005), Some(SuspectEnd::Wrong(Because::Unpublished)));
}

#[test]
fn the_way_to_the_log_is_waited_for_anew_after_a_break() {
    let checker = Checker::new();
    let finding = checker.judges(&served("a", 11_000, 0, 0), "b", "b");
    let Judged::Suspect(suspect) = finding else { panic!() };
    let hearing = |proved_at, live_since| Hearing {
        proved_at: Some(UnixMillis(proved_at)),
        live_since,
        settle: SETTLE,
    };
    assert_eq!(suspect.settle(Covering::default(), &hearing(90_000, None)), None, "cut off");
    assert_eq!(suspect.settle(Covering::default(), &hearing(90_000, Some(UnixMillis(89_000)))), None);
    assert!(suspect.settle(Covering::default(), &hearing(94_000, Some(UnixMillis(89_000)))).is_some());
}

#[test]
fn an_edge_of_an_older_epoch_is_behind_and_one_of_a_newer_is_not() {
    let mut checker = Checker::new();
    checker.hears(1, 10_000, HARD);
    let other = |at| Some(Position { epoch: Epoch::new(UnixMillis(at), [9; 10]), ..position(9) });
    let mut old = served("a", 20_000, 0, 0);
    (old.position, old.entry) = (other(0), other(0));
    assert!(matches!(
        checker.settles(&checker.judges(&old, "b", "b"), 0),
        Some(SuspectEnd::Wrong(Because::NotHeard(_)))
    ));
    (old.position, old.entry) = (other(5), other(5));
    assert_eq!(checker.settles(&checker.judges(&old, "b", "b"), 0), None);
}

#[test]
fn a_side_that_knows_no_media_type_is_not_asked_for_it() {
    let bare = Fingerprint::Value([1; 32], None);
    let text = Fingerprint::Value([1; 32], Some("text/plain".into()));
    let html = Fingerprint::Value([1; 32], Some("text/html".into()));
    assert!(bare.is_same(&text) && text.is_same(&bare) && !text.is_same(&html));
    assert!(!bare.is_same(&Fingerprint::NotFound) && Fingerprint::NotFound.is_same(&Fingerprint::NotFound));
}

/// One change of the key in the world: how long after the one before, its value, its publish, and the hearing of it.
#[derive(Debug, Clone)]
struct Step {
    gap: u64,
    name: u8,
    publish_after: u64,
    heard_after: u64,
    edge_after: u64,
    soft: bool,
}

/// A moment at which the checker reads.
#[derive(Debug, Clone)]
struct Look {
    gap: u64,
    before: u64,
    after: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_000_u64, 0..4_u8, 0..4_000_u64, 0..100_u64, 0..1_900_u64, prop::bool::weighted(0.2));
    vec(
        step.prop_map(|(gap, name, publish_after, heard_after, edge_after, soft)| Step {
            gap,
            name,
            publish_after,
            heard_after,
            edge_after,
            soft,
        }),
        1..12,
    )
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let look = (1..1_500_u64, 0..60_u64, 0..60_u64);
    vec(look.prop_map(|(gap, before, after)| Look { gap, before, after }), 1..40)
}

/// A version in the world: when it was published, heard by the checker and by the edge, and whether it is soft.
#[derive(Clone, Copy)]
struct Published {
    at: u64,
    heard: u64,
    edge: u64,
    soft: bool,
}

/// The world's history: what the origin gives from when on, and the versions in their order.
struct WorldHistory {
    values: Vec<(u64, String)>,
    versions: Vec<Published>,
}

impl WorldHistory {
    fn of(steps: &[Step]) -> Self {
        let (mut at, mut values) = (10_000, vec![(0, "a".to_owned())]);
        let mut versions: Vec<Published> = Vec::new();
        for step in steps {
            at += step.gap;
            values.push((at, char::from(b'a' + step.name).to_string()));
            // The origin publishes in order, and so does the log tell.
            let last = versions.last().copied();
            let published = last.map_or(0, |last| last.at).max(at + step.publish_after);
            let heard = last.map_or(0, |last| last.heard).max(published + step.heard_after);
            let edge = last.map_or(0, |last| last.edge).max(published + step.edge_after);
            versions.push(Published { at: published, heard, edge, soft: step.soft });
        }
        Self { values, versions }
    }

    fn at(&self, moment: u64) -> &str {
        &self.values.iter().rev().find(|(from, _)| *from <= moment).unwrap().1
    }

    fn end(&self) -> u64 {
        self.versions.iter().map(|one| one.heard.max(one.edge)).max().unwrap()
    }
}

/// An edge of the world: its entry's version and value.
struct WorldEdge {
    entry: Option<(u64, String)>,
    /// Whether it serves whatever it has.
    ignores_floors: bool,
}

impl WorldEdge {
    fn read(&mut self, history: &WorldHistory, at: u64) -> ServedValue {
        let heard: Vec<&Published> = history.versions.iter().filter(|one| one.edge <= at).collect();
        let position = heard.len() as u64;
        let newest =
            |soft: bool| heard.iter().rposition(|one| one.soft == soft).map_or(0, |at| at as u64 + 1);
        let is_ended = |(version, _): &(u64, String)| *version < newest(false);
        if self.entry.as_ref().is_none_or(|entry| is_ended(entry) && !self.ignores_floors) {
            self.entry = Some((position, history.at(at).to_owned()));
        }
        let (entry, name) = self.entry.clone().unwrap();
        let mut answer = served(&name, at, position, entry);
        if entry < newest(true) && !self.ignores_floors {
            answer.word = Word::Revalidating;
            // The refresh behind the answer.
            self.entry = Some((position, history.at(at + 5).to_owned()));
        }
        answer
    }
}

/// Lets the checker look, and returns how each look ended that was not consistent at once.
fn play(history: &WorldHistory, looks: &[Look], edge: &mut WorldEdge) -> Vec<SuspectEnd> {
    let (mut at, mut ended) = (9_000, Vec::new());
    let last = Look { gap: 3_000, before: 1, after: 1 };
    let quiet = history.end().saturating_sub(looks.iter().map(|look| look.gap).sum::<u64>() + at);
    let looks = looks.iter().cloned().chain([Look { gap: quiet + 1, ..last.clone() }, last]);
    let mut sightings: Vec<(u64, String)> = Vec::new();
    for look in looks {
        at += look.gap;
        let (before, after) = (history.at(at - look.before), history.at(at + 5 + look.after));
        let answer = edge.read(history, at);
        let checker_at = |moment: u64| {
            let mut checker = Checker::new();
            for (number, one) in (1..).zip(&history.versions).filter(|(_, one)| one.heard <= moment) {
                checker.hears(number, one.heard, if one.soft { SOFT } else { HARD });
            }
            sightings.iter().for_each(|(at, name)| checker.sees(name, *at));
            checker
        };
        let finding = checker_at(at + 5 + look.after).judges(&answer, before, after);
        if matches!(finding, Judged::Suspect(_)) {
            let proved_at = at + 5 + SETTLE_MS;
            // Everything published until then is heard; a certain suspicion waits for nothing.
            ended.extend(checker_at(proved_at + 100).settles(&finding, proved_at));
        }
        sightings.push((at - look.before, before.to_owned()));
        sightings.push((at + 5 + look.after, after.to_owned()));
    }
    ended
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_honest_edge_and_origin_are_never_accused(steps in steps(), looks in looks()) {
        let ended = play(&WorldHistory::of(&steps), &looks, &mut WorldEdge { entry: None, ignores_floors: false });
        prop_assert!(!ended.iter().any(|end| matches!(end, SuspectEnd::Wrong(_))), "{ended:?}");
    }

    #[test]
    fn an_edge_that_ignores_floors_is_accused_if_it_serves_an_old_value(steps in steps(), looks in looks()) {
        let history = WorldHistory::of(&steps);
        let mut edge = WorldEdge { entry: None, ignores_floors: true };
        let ended = play(&history, &looks, &mut edge);
        let is_old = edge.entry.unwrap().1 != history.at(u64::MAX);
        prop_assert!(!is_old || ended.iter().any(|end| matches!(end, SuspectEnd::Wrong(_))), "{ended:?}");
    }
}
