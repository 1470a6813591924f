//! The checker: hears the log, starts rounds, judges their answers, and settles what is suspected. One task owns it all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use newsreel_core::read::policy::Policies;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Cause, Key, Position, UnixMillis};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::cases::{Case, Cases};
use super::edges::EdgeAnswer;
use super::judge::{Evidence, Judged, Sighting, Suspect, SuspectEnd};
use super::known::KnownKeys;
use super::log_heard::LogHeard;
use super::metrics::VerifyMetrics;
use super::plan::{ReadPlan, Round};
use super::rounds::{Asker, OriginAnswered, RoundDone};
use super::tally::{Ending, VerifyTally, When};
use crate::exit::{Failure, note, print};
use crate::following::{LogEvent, ProofWatch, SteadyClock};

/// How many rounds may be under way at once. Further ones are passed over.
const MOST_ROUNDS: usize = 128;
/// How often a round is repeated because the origin moved on, and how long after.
const ATTEMPTS: u32 = 3;
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// What the tasks of a checker send it.
pub(super) enum Report {
    /// A round has its answers.
    Done(Box<RoundDone>),
    /// The edges have explained the answers of these cases.
    Explained(Vec<u64>, Value),
    /// The origin has listed its hot keys.
    Hot(Vec<Key>),
}

/// What a checker goes by.
pub(super) struct Terms {
    pub(super) policies: Policies,
    pub(super) settle: Duration,
    pub(super) json: bool,
    pub(super) clock: SteadyClock,
    pub(super) proofs: ProofWatch,
}

/// The checker.
pub(super) struct Checker {
    terms: Terms,
    asker: Arc<Asker>,
    reports: UnboundedSender<Report>,
    pub(super) plan: ReadPlan,
    pub(super) known: KnownKeys,
    pub(super) tally: VerifyTally,
    metrics: Arc<VerifyMetrics>,
    log: LogHeard,
    cases: Cases,
    /// The rounds that are under way.
    rounds: usize,
    /// Why the origin could not be asked the last time.
    origin_fails: Option<String>,
    /// Why the last read at an edge failed, by its number, if one did.
    edges_fail: HashMap<usize, String>,
}

impl Checker {
    pub(super) fn new(
        terms: Terms,
        asker: Arc<Asker>,
        reports: UnboundedSender<Report>,
        plan: ReadPlan,
        metrics: Arc<VerifyMetrics>,
    ) -> Self {
        let seed = getrandom::u64().expect("the system has randomness");
        Self {
            terms,
            asker,
            reports,
            plan,
            known: KnownKeys::new(seed),
            tally: VerifyTally::default(),
            metrics,
            log: LogHeard::default(),
            cases: Cases::default(),
            rounds: 0,
            origin_fails: None,
            edges_fail: HashMap::new(),
        }
    }

    /// Takes an event of the log, and the position after it.
    pub(super) fn hear(&mut self, event: LogEvent, position: Option<Position>) {
        let now = self.terms.clock.now();
        match event {
            LogEvent::Apply(_, versions) => versions.iter().for_each(|row| self.hear_version(row, now)),
            LogEvent::ApplyFold(_, changes) => {
                for folded in changes {
                    let row = VersionRow {
                        version: folded.version,
                        at: now,
                        changes: vec![folded.change],
                        cause: Cause::default(),
                    };
                    self.hear_version(&row, now);
                }
            }
            LogEvent::Reset(_, reason) => {
                note!("verify: reset: {reason}; everything that was open is forgotten");
                self.forget();
            }
            LogEvent::Phase(phase) => {
                let is_live = self.log.phase(phase, now);
                self.metrics.live.set(i64::from(is_live));
            }
            LogEvent::ServerError(code, message) => note!("verify: the broker says {code}: {message}"),
        }
        self.log.stand_at(position, now);
    }

    fn hear_version(&mut self, row: &VersionRow, now: UnixMillis) {
        self.log.hear(row, now);
        let before = self.tally.all_sampled();
        self.plan.hear(row, now, &mut self.known, &mut self.tally);
        let after = self.tally.all_sampled();
        self.metrics.heard.inc_by(after.heard - before.heard);
        self.metrics.checked.inc_by(after.checked - before.checked);
    }

    fn forget(&mut self) {
        self.log.forget();
        self.plan.clear();
        for case in self.cases.take_all() {
            self.count(&case.key, case.edge, case.when, Ending::Undecided);
        }
    }

    /// Starts the rounds that are due.
    pub(super) fn start_due(&mut self) {
        let now = self.terms.clock.now();
        while let Some(mut round) = self.plan.take_due(now) {
            let covering = self.log.covering(&round.key, self.known.tags(&round.key));
            if let (Some(newest), When::After(after)) = (covering.newest(), round.when)
                && newest.version > round.version
            {
                // The key has changed again, and is read after that change too, if there was room in the sample.
                if newest.at.plus(after / 2) > now {
                    continue;
                }
                round.version = newest.version;
            }
            self.start(round);
        }
    }

    /// Starts a round of the sweep.
    pub(super) fn sweep(&mut self) {
        if !self.log.is_live() {
            return;
        }
        if let Some(round) = self.plan.sweep(&mut self.known) {
            self.start(round);
        }
    }

    fn start(&mut self, round: Round) {
        if self.rounds >= MOST_ROUNDS {
            return;
        }
        self.rounds += 1;
        let (asker, reports, position) = (Arc::clone(&self.asker), self.reports.clone(), self.log.position());
        tokio::spawn(async move {
            let done = asker.ask(round, position).await;
            // The checker may have ended.
            let _ = reports.send(Report::Done(Box::new(done)));
        });
    }

    /// Takes what a task has to report.
    pub(super) fn take(&mut self, report: Report) {
        match report {
            Report::Done(done) => {
                self.rounds = self.rounds.saturating_sub(1);
                self.judge_round(*done);
            }
            Report::Explained(cases, explanation) => self.cases.explain(&cases, &explanation),
            Report::Hot(keys) => keys.iter().for_each(|key| self.known.learn(key)),
        }
    }

    fn judge_round(&mut self, done: RoundDone) {
        let RoundDone { round, before, after, answers } = done;
        let before = self.saw(&round.key, before);
        let after = after.map(|after| self.saw(&round.key, after));
        let (mut moving, mut opened) = (Vec::new(), Vec::new());
        for (edge, answer) in answers {
            if answer.is_ok() && self.edges_fail.remove(&edge).is_some() {
                note!("verify: {} answers again", self.name_of(edge));
            }
            let ending = match (answer, &before, &after) {
                (Err(why), ..) => {
                    self.failed(&round.key, edge, why);
                    Some(Ending::Failed)
                }
                (Ok(_), None, _) | (Ok(_), _, Some(None)) => Some(Ending::Undecided),
                (Ok(answered), Some(before), after) => {
                    let after = after.as_ref().and_then(Option::as_ref);
                    match self.judge(&round, before, after, &answered) {
                        Judged::Consistent => Some(Ending::Consistent),
                        Judged::Marked => Some(Ending::Marked),
                        Judged::WithinBound => Some(self.excuse(&round)),
                        Judged::Moving | Judged::AskAfter if round.attempt < ATTEMPTS => {
                            moving.push(edge);
                            None
                        }
                        Judged::Moving | Judged::AskAfter => Some(Ending::Undecided),
                        Judged::Suspect(suspect) => {
                            let origin = after.unwrap_or(before);
                            opened.push(self.open(&round, edge, suspect, answered, origin));
                            None
                        }
                    }
                }
            };
            if let Some(ending) = ending {
                self.count(&round.key, edge, round.when, ending);
            }
        }
        self.go_on(round, moving, opened);
    }

    fn open(
        &mut self,
        round: &Round,
        edge: usize,
        suspect: Suspect,
        answered: EdgeAnswer,
        origin: &Sighting,
    ) -> u64 {
        let (key, when, origin) = (round.key.clone(), round.when, origin.clone());
        self.cases.open(Case { key, edge, when, suspect, answered, origin, explain: None })
    }

    /// Repeats a round at the edges during whose answers the origin changed, and has the cases explained that it opened.
    fn go_on(&mut self, round: Round, moving: Vec<usize>, opened: Vec<u64>) {
        if !opened.is_empty() {
            self.have_explained(round.key.clone(), opened);
        }
        if !moving.is_empty() {
            let attempt = round.attempt + 1;
            let at = self.terms.clock.now().plus(AGAIN_AFTER * attempt);
            self.plan.push(at, Round { edges: moving, attempt, ..round });
        }
    }

    /// Tells of a read that failed, unless the last one at that edge failed alike.
    fn failed(&mut self, key: &Key, edge: usize, why: String) {
        if self.edges_fail.get(&edge) != Some(&why) {
            note!("verify: {key} at {}: {why}", self.name_of(edge));
        }
        self.edges_fail.insert(edge, why);
    }

    /// Remembers an answer of the origin and returns it.
    fn saw(&mut self, key: &Key, answer: OriginAnswered) -> Option<Sighting> {
        match answer {
            Ok((sighting, tags)) => {
                if self.origin_fails.take().is_some() {
                    note!("verify: the origin answers again");
                }
                let tags = tags.unwrap_or_else(|| self.known.tags(key).to_vec());
                self.known.saw(key, sighting.clone(), tags);
                Some(sighting)
            }
            Err(why) => {
                let why = why.to_string();
                if self.origin_fails.as_ref() != Some(&why) {
                    note!("verify: the origin says nothing of {key}: {why}");
                }
                self.origin_fails = Some(why);
                None
            }
        }
    }

    fn judge(
        &self,
        round: &Round,
        before: &Sighting,
        after: Option<&Sighting>,
        answered: &EdgeAnswer,
    ) -> Judged {
        let bound = self.terms.policies.of(round.key.class()).lag_bound;
        Evidence {
            epoch: self.log.position().map(|position| position.epoch),
            by_name: self.log.by_name(&round.key),
            covering: self.log.covering(&round.key, self.known.tags(&round.key)),
            bound,
            overdue: self.log.overdue_at(bound, answered.served.asked_at),
            before,
            after,
            others: self.known.sightings(&round.key),
        }
        .judge(&answered.served)
    }

    /// Returns the ending of an old value that the edge is excused for. If the key changed after the round was planned, the
    /// excuse is that change, and the value says nothing of this delay.
    fn excuse(&self, round: &Round) -> Ending {
        let newest = self.log.covering(&round.key, self.known.tags(&round.key)).newest();
        let is_newer = newest.is_some_and(|newest| newest.version > round.version);
        if is_newer && round.when != When::Sweep { Ending::Undecided } else { Ending::WithinBound }
    }

    fn have_explained(&self, key: Key, cases: Vec<u64>) {
        let (asker, reports) = (Arc::clone(&self.asker), self.reports.clone());
        tokio::spawn(async move {
            let explanation = asker.explain(&key).await;
            // The checker may have ended.
            let _ = reports.send(Report::Explained(cases, explanation));
        });
    }

    /// Settles what can be settled. `proved_at` was noted before the last event of the log was taken. Returns the keys whose
    /// answers were wrong.
    pub(super) fn settle(&mut self, proved_at: Option<UnixMillis>) -> Result<Vec<Key>, Failure> {
        let hearing = self.log.hearing(proved_at, self.terms.settle);
        let (log, known) = (&self.log, &self.known);
        let settled = self
            .cases
            .settle(|case| case.suspect.settle(log.covering(&case.key, known.tags(&case.key)), &hearing));
        let mut wrong = Vec::new();
        for (case, end) in settled {
            let ending = match end {
                SuspectEnd::Consistent => Ending::Consistent,
                SuspectEnd::Superseded => Ending::Undecided,
                SuspectEnd::Wrong(_) => Ending::Wrong,
            };
            self.count(&case.key, case.edge, case.when, ending);
            if let SuspectEnd::Wrong(because) = end {
                self.metrics.wrong(because);
                if self.cases.is_news(&case, because) {
                    let trace = case.trace(
                        self.name_of(case.edge),
                        because,
                        self.log.around(&case.key, self.known.tags(&case.key)),
                    );
                    let text = if self.terms.json { format!("{}\n", trace.json()) } else { trace.text() };
                    print(&text)?;
                }
                wrong.push(case.key);
            }
        }
        self.metrics.open.set(i64::try_from(self.cases.len()).unwrap_or(i64::MAX));
        Ok(wrong)
    }

    /// Says whether nothing is under way and nothing open.
    pub(super) fn is_idle(&self) -> bool {
        self.rounds == 0 && self.cases.len() == 0
    }

    /// Counts what is open as undecided.
    pub(super) fn close(&mut self) {
        for case in self.cases.take_all() {
            self.count(&case.key, case.edge, case.when, Ending::Undecided);
        }
    }

    /// Returns the state in one line.
    pub(super) fn state(&self) -> String {
        let (all, sampled) = (self.tally.all(None), self.tally.all_sampled());
        let at =
            self.log.position().map_or_else(|| "nothing".to_owned(), |at| format!("version {}", at.version));
        let share = all.percent().map_or_else(String::new, |percent| format!(" ({percent:.2} %)"));
        format!(
            "heard {at}; {} of {} changed keys checked, {} known; {} reads: {} consistent{share}, {} marked, {} within their bound, \
             {} wrong, {} failed, {} open",
            sampled.checked,
            sampled.heard,
            self.known.len(),
            all.decided(),
            all.consistent,
            all.marked,
            all.within_bound,
            all.wrong,
            all.failed,
            self.cases.len(),
        )
    }

    fn count(&mut self, key: &Key, edge: usize, when: When, ending: Ending) {
        let name = self.asker.edges.get(edge).map_or("", |edge| edge.name.as_str());
        self.tally.add(key.class(), name, when, ending);
        self.metrics.read(key.class(), name, when, ending);
    }

    fn name_of(&self, edge: usize) -> &str {
        self.asker.edges.get(edge).map_or("", |edge| edge.name.as_str())
    }

    /// Returns where the checker's log stands.
    pub(super) fn position(&self) -> Option<Position> {
        self.log.position()
    }

    /// Returns the tags of a key, as the origin sent them.
    pub(super) fn tags_of(&self, key: &Key) -> Vec<String> {
        self.known.tags(key).iter().map(ToString::to_string).collect()
    }

    /// Returns where the latest proof is noted.
    pub(super) fn proofs(&self) -> ProofWatch {
        self.terms.proofs.clone()
    }
}
