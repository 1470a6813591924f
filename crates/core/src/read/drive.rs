//! Drives reads: carries out each read's steps that need only memory, and tells the shell which questions to
//! ask.
//!
//! A [`ReadTask`] is one read and the entries that the tiers gave it. A [`ReadDriver`] has the reads of one answer: one
//! sync serves all of them, their tiers are asked together, and an answer that waited for the others is judged anew.
//! Does no I/O and reads no clock. A shell polls, asks, hands in what it heard, and polls again until
//! [`Poll::Done`]. The Worker, the simulator and the npm package have no other driver.

use std::rc::Rc;
use std::time::Duration;

use super::cache::{Answer, Envelope, Event, ReadMachine, Step, Tier};
use super::sync::{FloorLookup, Knowledge, MinVersion};
use crate::wire::name::Key;
use crate::wire::position::{Position, UnixMillis, Version};

/// How often an answer is judged anew that waited for other reads.
const ROUNDS: u32 = 3;

/// An entry, wherever its bytes are.
pub trait HasEnvelope {
    /// Returns the metadata that is stored beside the value.
    fn envelope(&self) -> &Rc<Envelope>;
}

/// The parts of a reader that are at hand without I/O: its knowledge of the log, and its memory.
pub trait Local {
    /// The type of an entry, in memory and in the other tiers.
    type Entry: HasEnvelope;
    /// Returns the floors and the position that the reader was told.
    fn known(&self) -> &Knowledge;
    /// Returns the entry that memory holds for a key.
    fn recall(&mut self, key: &Key) -> Option<Self::Entry>;
}

/// The reply of one tier to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierReply<E> {
    /// An entry; from the origin it is the fill.
    Entry(E),
    /// The tier has nothing.
    Nothing,
    /// The tier did not answer.
    Failed,
}

/// One read, and the entries that the tiers gave it.
#[derive(Debug)]
pub struct ReadTask<E> {
    read: ReadMachine,
    step: Step,
    /// In the order in which they came; a tier that was asked again is here twice.
    held: Vec<(Tier, E)>,
    /// The value that a caller hands in, until the read asks for it.
    offered: Option<E>,
    generation: Version,
    syncs: u64,
    judged_at: UnixMillis,
    judged_by: Option<Position>,
    overdue: bool,
}

impl<E: HasEnvelope> ReadTask<E> {
    /// Returns a read that has not begun.
    #[must_use]
    pub fn new(read: ReadMachine) -> Self {
        Self {
            read,
            step: Step::Listen,
            held: Vec::new(),
            offered: None,
            generation: Version::ZERO,
            syncs: 0,
            judged_at: UnixMillis(0),
            judged_by: None,
            overdue: false,
        }
    }

    /// Begins the read: an entry in memory is judged.
    pub fn begin(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) {
        self.hear(now, local, Event::Begin);
    }

    /// Begins a fetch behind an answer that has been given: the origin is asked at once.
    pub fn refetch(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) {
        self.step = self.read.refetch(local.known());
        self.note_judgement(now, local.known());
    }

    /// Takes the end of a sync; `proved` says whether the replica gave the proof that was asked for.
    pub fn synced(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>, proved: bool) {
        self.syncs += 1;
        self.hear(now, local, Event::Synced { proved });
    }

    /// Takes the reply of a tier.
    pub fn replied(
        &mut self,
        now: UnixMillis,
        local: &mut impl Local<Entry = E>,
        tier: Tier,
        reply: TierReply<E>,
    ) {
        let event = self.event(tier, reply);
        self.hear(now, local, event);
    }

    /// Judges the answer anew, since it waited for other reads.
    fn delayed(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) {
        self.hear(now, local, Event::Delayed);
    }

    /// Judges the answer for the last time: one that would take another question is given marked, or fails.
    fn delayed_for_the_last_time(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) {
        let Step::Answer(answer) = &self.step else { return };
        let answer = self.read.expired_answer(now, local.known(), answer);
        self.delayed(now, local);
        if !matches!(self.step, Step::Answer(_)) {
            self.step = Step::Answer(answer);
            self.overdue = true;
        }
    }

    /// Hands the machine an event; a question for memory, or for a value that was handed in, is answered at once.
    fn hear(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>, event: Event) {
        let mut event = Some(event);
        while let Some(heard) = event.take() {
            self.step = self.read.next(now, local.known(), heard);
            if let Step::Ask { tiers: [Tier::Memory], .. } = self.step {
                let reply = local.recall(self.read.key()).map_or(TierReply::Nothing, TierReply::Entry);
                event = Some(self.event(Tier::Memory, reply));
            } else if let Step::Ask { tiers: [Tier::Origin], generation } = self.step
                && let Some(offered) = self.offered.take()
            {
                self.generation = generation;
                event = Some(self.event(Tier::Origin, TierReply::Entry(offered)));
            }
        }
        self.note_judgement(now, local.known());
    }

    fn note_judgement(&mut self, now: UnixMillis, known: &Knowledge) {
        if let Step::Ask { generation, .. } = self.step {
            self.generation = generation;
        }
        (self.judged_at, self.judged_by) = (now, known.position());
    }

    fn event(&mut self, tier: Tier, reply: TierReply<E>) -> Event {
        match reply {
            TierReply::Entry(entry) => {
                let envelope = Rc::clone(entry.envelope());
                self.held.push((tier, entry));
                Event::Held(tier, envelope)
            }
            TierReply::Nothing => Event::Missed(tier),
            TierReply::Failed => Event::Failed(tier),
        }
    }

    /// Says whether the answer is from before something was heard, or longer ago than its bound.
    fn is_outdated(&self, now: UnixMillis, known: &Knowledge) -> bool {
        match &self.step {
            Step::Answer(Answer::Fail(_)) | Step::Sync { .. } | Step::Ask { .. } | Step::Listen => false,
            Step::Answer(Answer::Serve { .. } | Answer::Removed { .. }) => {
                self.read.is_outdated(now, known, self.judged_by)
            }
        }
    }

    /// Returns the last step of the read: a question or the answer. Memory was asked already, so no step asks
    /// memory.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Returns the answer, once there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.step {
            Step::Answer(answer) => Some(answer),
            Step::Sync { .. } | Step::Ask { .. } | Step::Listen => None,
        }
    }

    /// Returns the machine of the read, with its key, its policy and its notes.
    #[must_use]
    pub fn read(&self) -> &ReadMachine {
        &self.read
    }

    /// Returns the entry that a tier gave last.
    #[must_use]
    pub fn held_by(&self, tier: Tier) -> Option<&E> {
        self.held.iter().rev().find(|(one, _)| *one == tier).map(|(_, entry)| entry)
    }

    /// Returns every entry that a tier gave, in the order in which they came.
    #[must_use]
    pub fn held(&self) -> &[(Tier, E)] {
        &self.held
    }

    /// Returns the entry that is served.
    #[must_use]
    pub fn entry(&self) -> Option<&E> {
        match self.answer()? {
            Answer::Serve { from, .. } => self.held_by(*from),
            Answer::Removed { .. } | Answer::Fail(_) => None,
        }
    }

    /// Returns the generation of the key that tiers were last asked for; a fill goes there.
    #[must_use]
    pub fn generation(&self) -> Version {
        self.generation
    }

    /// Returns how many syncs the read took part in.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Returns when the answer was judged.
    #[must_use]
    pub fn judged_at(&self) -> UnixMillis {
        self.judged_at
    }

    /// Says whether the answer waited so often that it was not judged once more.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.overdue
    }
}

/// The thing that a driver waits for. The shell brings it about and polls again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// Sync with the replica: [`ReadDriver::synced`].
    Sync(SyncQuestion),
    /// Ask these tiers, all at once: [`ReadDriver::replied`] for each.
    Ask(Vec<TierQuestion>),
    /// Wait: the replica or a tier has not replied yet.
    Wait,
    /// Every read has its answer.
    Done,
}

/// One sync, which serves every read that wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncQuestion {
    /// How old the proof may be.
    pub max_age: Duration,
    /// The version that the replica must have heard.
    pub at_least: Option<MinVersion>,
    /// The floors that are not remembered here.
    pub look: FloorLookup,
}

/// A question to one tier, for one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierQuestion {
    /// The number of the read, from 0.
    pub read: usize,
    /// The tier: KV, R2 or the origin.
    pub tier: Tier,
    /// The key's generation, which is in its KV name.
    pub generation: Version,
    /// The position that is known before the tier is asked. A fill is stamped with this position.
    pub position: Position,
}

/// The reads of one answer, under way together.
#[derive(Debug)]
pub struct ReadDriver<E> {
    tasks: Vec<ReadTask<E>>,
    /// How many replies are missing.
    unanswered: usize,
    /// The replies since the last poll. The reads hear all replies at once, so that no read is judged before
    /// the last reply has come.
    replies: Vec<Reply<E>>,
    round: u32,
}

#[derive(Debug)]
enum Reply<E> {
    Sync { proved: bool },
    Tier { read: usize, tier: Tier, reply: TierReply<E> },
}

impl<E: HasEnvelope> ReadDriver<E> {
    /// Begins reads: entries in memory are judged.
    pub fn begin(
        reads: impl IntoIterator<Item = ReadMachine>,
        now: UnixMillis,
        local: &mut impl Local<Entry = E>,
    ) -> Self {
        let mut tasks: Vec<_> = reads.into_iter().map(ReadTask::new).collect();
        tasks.iter_mut().for_each(|task| task.begin(now, local));
        Self::of(tasks)
    }

    /// Begins a fetch behind an answer that has been given: the origin is asked at once.
    pub fn refetch(read: ReadMachine, now: UnixMillis, local: &mut impl Local<Entry = E>) -> Self {
        let mut task = ReadTask::new(read);
        task.refetch(now, local);
        Self::of(vec![task])
    }

    /// Begins the landing of a value that a caller fetched itself. The answer says that it is served, and which tiers take
    /// it, or why it is refused.
    pub fn land(read: ReadMachine, offered: E, now: UnixMillis, local: &mut impl Local<Entry = E>) -> Self {
        let mut task = ReadTask { offered: Some(offered), ..ReadTask::new(read.landing()) };
        task.begin(now, local);
        Self::of(vec![task])
    }

    fn of(tasks: Vec<ReadTask<E>>) -> Self {
        Self { tasks, unanswered: 0, replies: Vec::new(), round: 0 }
    }

    /// Takes the end of the sync that was asked for.
    pub fn synced(&mut self, proved: bool) {
        self.take(Reply::Sync { proved });
    }

    /// Takes the reply to a question.
    pub fn replied(&mut self, read: usize, tier: Tier, reply: TierReply<E>) {
        self.take(Reply::Tier { read, tier, reply });
    }

    fn take(&mut self, reply: Reply<E>) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.replies.push(reply);
    }

    /// Hands the reads the replies that came, and returns the next thing to do.
    ///
    /// While a read wants a sync, no tier is asked: the other reads go by the floors of that sync, too.
    pub fn poll(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) -> Poll {
        if self.unanswered > 0 {
            return Poll::Wait;
        }
        self.hear_replies(now, local);
        loop {
            if let Some(question) = self.shared_sync() {
                self.unanswered = 1;
                return Poll::Sync(question);
            }
            let questions = self.tier_questions(now, local);
            if !questions.is_empty() {
                self.unanswered = questions.len();
                return Poll::Ask(questions);
            }
            if self.tasks.iter().any(|task| task.step == Step::Listen) {
                return Poll::Wait;
            }
            if self.tasks.iter().all(|task| task.answer().is_some()) && !self.judge_anew(now, local) {
                return Poll::Done;
            }
        }
    }

    fn hear_replies(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) {
        for reply in std::mem::take(&mut self.replies) {
            match reply {
                Reply::Sync { proved } => {
                    for task in self.tasks.iter_mut().filter(|task| matches!(task.step, Step::Sync { .. })) {
                        task.synced(now, local, proved);
                    }
                }
                Reply::Tier { read, tier, reply } => {
                    if let Some(task) = self.tasks.get_mut(read) {
                        task.replied(now, local, tier, reply);
                    }
                }
            }
        }
    }

    /// Returns one sync that serves all reads that want one.
    fn shared_sync(&self) -> Option<SyncQuestion> {
        let mut shared: Option<SyncQuestion> = None;
        for task in &self.tasks {
            let Step::Sync { max_age, at_least, look } = &task.step else { continue };
            let (max_age, at_least) = (*max_age, *at_least);
            let all = shared.get_or_insert(SyncQuestion { max_age, at_least, look: FloorLookup::default() });
            all.max_age = all.max_age.min(max_age);
            all.at_least = all.at_least.max(at_least);
            all.look.join(look.clone());
        }
        shared
    }

    /// Returns the questions of all reads that ask tiers. Where nothing is known there is no stamp for a fill and no name
    /// in KV: such a question has failed.
    fn tier_questions(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) -> Vec<TierQuestion> {
        let mut questions = Vec::new();
        for (read, task) in self.tasks.iter_mut().enumerate() {
            let Step::Ask { tiers, generation } = task.step else { continue };
            match local.known().position() {
                Some(position) => questions.extend(tiers.iter().map(|tier| TierQuestion {
                    read,
                    tier: *tier,
                    generation,
                    position,
                })),
                None => tiers.iter().for_each(|tier| task.replied(now, local, *tier, TierReply::Failed)),
            }
        }
        questions
    }

    /// Judges anew the answers that waited while something was heard or their bound passed; says whether there were any.
    fn judge_anew(&mut self, now: UnixMillis, local: &mut impl Local<Entry = E>) -> bool {
        let is_last = self.round == ROUNDS;
        if self.round > ROUNDS {
            return false;
        }
        self.round += 1;
        let mut again = false;
        for task in &mut self.tasks {
            if !task.is_outdated(now, local.known()) {
                continue;
            }
            if is_last {
                task.delayed_for_the_last_time(now, local);
            } else {
                task.delayed(now, local);
                again = true;
            }
        }
        again
    }

    /// Returns the read with this number, counted from 0 in the order in which the reads were begun.
    #[must_use]
    pub fn task(&self, read: usize) -> Option<&ReadTask<E>> {
        self.tasks.get(read)
    }

    /// Returns the reads, in the order in which they were begun.
    #[must_use]
    pub fn into_tasks(self) -> Vec<ReadTask<E>> {
        self.tasks
    }
}

#[cfg(test)]
mod tests;
