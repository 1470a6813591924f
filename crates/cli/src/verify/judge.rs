//! The judgement of one answer of an edge, beside what the origin said before and after, and what the log had said.
//!
//! No I/O and no clock. An answer that differs from the origin may still be right: the origin may have changed a moment ago,
//! with the publish on its way. So a difference is a suspicion first, and an accusation only when the log has been heard for
//! a while longer and says nothing; or when the edge's own words convict it.

use std::collections::VecDeque;
use std::time::Duration;

use newsreel_core::wire::{Epoch, Position, UnixMillis, Version};

use super::ledger::{Covering, HeardVersion};

/// How much later than the checker an edge may be told of a version, beside its bound.
const MARGIN: Duration = Duration::from_millis(250);

/// A value, as far as two of them are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fingerprint {
    /// Bytes, by their SHA-256, and their media type where it is known.
    Value([u8; 32], Option<String>),
    /// There is no value.
    NotFound,
}

/// An answer of the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The value that it gave.
    pub(crate) value: Fingerprint,
    /// When it was asked: the value was true at that moment or later.
    pub(crate) asked_at: UnixMillis,
    /// When it had answered: the value was true before that.
    pub(crate) answered_at: UnixMillis,
}

/// The first word of `Newsreel-Freshness`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// `fresh`, or no such header.
    Fresh,
    /// `revalidating`
    Revalidating,
    /// `stale`
    Stale,
}

/// What an edge served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedValue {
    /// The value that it gave.
    pub(crate) value: Fingerprint,
    /// What it says of the value.
    pub(crate) word: Word,
    /// The position that it says it had heard.
    pub(crate) position: Option<Position>,
    /// The position that it says its entry is from.
    pub(crate) entry: Option<Position>,
    /// When it was asked.
    pub(crate) asked_at: UnixMillis,
    /// When it had answered.
    pub(crate) answered_at: UnixMillis,
}

/// What an answer is judged by.
pub(crate) struct Evidence<'a> {
    /// The epoch of the log.
    pub(crate) epoch: Option<Epoch>,
    /// What covers the key by its name alone.
    pub(crate) by_name: Covering,
    /// What covers the key by its name and by the tags that the origin gives its entry.
    pub(crate) covering: Covering,
    /// The lag bound of the key's class.
    pub(crate) bound: Duration,
    /// The newest version that every reader of the class has to have heard when it was asked; see [`overdue_at`].
    pub(crate) overdue: Option<Version>,
    /// The origin before the edge was asked.
    pub(crate) before: &'a Sighting,
    /// The origin after the edge had answered, if it was asked.
    pub(crate) after: Option<&'a Sighting>,
    /// What the origin gave at other times.
    pub(crate) others: &'a [Sighting],
}

/// What is found of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The value was true between the change and the answer.
    Consistent,
    /// The value is old, and the answer says so.
    Marked,
    /// The value is old, and the edge need not know yet.
    WithinBound,
    /// The origin is to be asked after the answer.
    AskAfter,
    /// The origin changed while the edge answered: ask both again.
    Moving,
    /// The value differs from the origin's.
    Suspect(Suspect),
}

/// A difference that is not decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// When the edge had answered.
    since: UnixMillis,
    /// The newest version that covered the key.
    newest: Version,
    /// Whether the origin gave the value at some moment since that version.
    was_true: bool,
    /// Whether the edge's own words convict it.
    certain: bool,
    /// What is wrong, if anything is.
    because: Because,
}

/// Why an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// The edge had not heard of a version for longer than its bound, and did not mark its answer.
    NotHeard(Version),
    /// The edge had heard of a version, and served an entry from before.
    BelowFloor(Version),
    /// The origin changed after a version, and nothing was published since.
    ChangedAfter(Version),
    /// The entry is said to be from after a version, and its value is from before.
    FilledOld(Version),
    /// The origin changed, and nothing in the log says so.
    Unpublished,
    /// The origin gave no such value.
    Unexplained,
}

/// How a suspicion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuspectEnd {
    /// The value was true between the change and the answer: the publish was on its way.
    Consistent,
    /// A newer version covers the key, so nothing can be said of the answer.
    Superseded,
    /// The answer is wrong.
    Wrong(Because),
}

/// How far the log has been heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hearing {
    /// Everything that was acknowledged before this moment has been heard.
    pub(crate) proved_at: Option<UnixMillis>,
    /// Since when the log is followed without a break.
    pub(crate) live_since: Option<UnixMillis>,
    /// How long a publish may come after the value that it announces.
    pub(crate) settle: Duration,
}

impl Fingerprint {
    /// Says whether two answers gave the same. A side that does not know the media type is not asked for it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotFound, Self::NotFound) => true,
            (Self::Value(one, media), Self::Value(other, of_other)) => {
                one == other && media.as_ref().zip(of_other.as_ref()).is_none_or(|(one, other)| one == other)
            }
            (Self::NotFound, Self::Value(..)) | (Self::Value(..), Self::NotFound) => false,
        }
    }
}

impl Evidence<'_> {
    /// Judges an answer.
    pub(crate) fn judge(&self, served: &ServedValue) -> Judged {
        if self.before.value.is_same(&served.value) {
            return Judged::Consistent;
        }
        if served.word == Word::Stale {
            return Judged::Marked;
        }
        let Some(after) = self.after else { return Judged::AskAfter };
        if after.value.is_same(&served.value) {
            return Judged::Consistent;
        }
        if served.word == Word::Revalidating && self.may_be_marked(served) {
            return Judged::Marked;
        }
        let certain = self.is_convicted(served);
        if !certain && self.is_excused(served) {
            return Judged::WithinBound;
        }
        if !certain && !self.before.value.is_same(&after.value) {
            return Judged::Moving;
        }
        let newest = self.covering.newest();
        let was_true = self.was_true_since(newest, served);
        Judged::Suspect(Suspect {
            since: served.answered_at,
            newest: newest.map_or(Version::ZERO, |heard| heard.version),
            was_true,
            certain,
            because: self.because(served, was_true),
        })
    }

    /// Says whether an old value may be served with the mark `revalidating`: no hard change has ended it, as far as is known.
    fn may_be_marked(&self, served: &ServedValue) -> bool {
        let Some(hard) = self.covering.hard else { return true };
        self.was_true_since(Some(hard), served) || self.is_from(served.entry, hard.version)
    }

    /// Says whether the edge need not have heard of the newest version yet.
    fn is_excused(&self, served: &ServedValue) -> bool {
        let Some(newest) = self.covering.newest() else { return false };
        if served.position.is_none() {
            return served.asked_at <= newest.at.plus(self.bound + MARGIN);
        }
        !self.is_from(served.position, newest.version)
    }

    /// Says whether the edge's own words convict it: it had not heard a version that is overdue; or it had heard of a hard
    /// change that names the key, and its entry is from before. A change of a tag convicts nobody: the entry may have carried
    /// the tag at other times.
    fn is_convicted(&self, served: &ServedValue) -> bool {
        if self.is_behind(served) {
            return true;
        }
        self.by_name.hard.is_some_and(|hard| {
            let is_older = served.entry.is_some() && !self.is_from(served.entry, hard.version);
            is_older && self.is_from(served.position, hard.version)
        })
    }

    fn is_behind(&self, served: &ServedValue) -> bool {
        served.position.is_some()
            && self.overdue.is_some_and(|overdue| !self.is_from(served.position, overdue))
    }

    fn because(&self, served: &ServedValue, was_true: bool) -> Because {
        let newest = self.covering.newest();
        let overdue = self.overdue.filter(|_| self.is_behind(served));
        if let Some(version) =
            overdue.map(|overdue| newest.map_or(overdue, |newest| newest.version.min(overdue)))
        {
            return Because::NotHeard(version);
        }
        let Some(newest) = newest else { return Because::Unpublished };
        if !self.is_from(served.position, newest.version) {
            return Because::NotHeard(newest.version);
        }
        if let Some(hard) = self.covering.hard.filter(|hard| !self.is_from(served.entry, hard.version)) {
            return Because::BelowFloor(hard.version);
        }
        if was_true {
            return Because::ChangedAfter(newest.version);
        }
        let is_known = self.others.iter().any(|seen| seen.value.is_same(&served.value));
        if is_known { Because::FilledOld(newest.version) } else { Because::Unexplained }
    }

    /// Says whether a position that an edge names is at or after a version of the log.
    fn is_from(&self, said: Option<Position>, version: Version) -> bool {
        said.zip(self.epoch).is_some_and(|(said, epoch)| {
            said.epoch > epoch || (said.epoch == epoch && said.version >= version)
        })
    }

    fn was_true_since(&self, heard: Option<HeardVersion>, served: &ServedValue) -> bool {
        let since = heard.map_or(UnixMillis(0), |heard| heard.at);
        self.others.iter().any(|seen| seen.asked_at >= since && seen.value.is_same(&served.value))
    }
}

/// Returns the newest version that a reader of a class with this bound has to have heard when it is asked: the last of
/// those that were heard here so long before.
pub(crate) fn overdue_at(
    heard: &VecDeque<HeardVersion>,
    bound: Duration,
    asked_at: UnixMillis,
) -> Option<Version> {
    let old = heard.partition_point(|heard| heard.at.plus(bound + MARGIN) < asked_at);
    heard.get(old.checked_sub(1)?).map(|heard| heard.version)
}

impl Suspect {
    /// Ends the suspicion, if that can be done: `covering` is what covers the key by now.
    pub(crate) fn settle(&self, covering: Covering, hearing: &Hearing) -> Option<SuspectEnd> {
        if self.certain {
            return Some(SuspectEnd::Wrong(self.because));
        }
        if covering.newest().is_some_and(|newest| newest.version > self.newest) {
            return Some(if self.was_true { SuspectEnd::Consistent } else { SuspectEnd::Superseded });
        }
        let since = self.since.max(hearing.live_since?);
        let heard_enough = hearing.proved_at.is_some_and(|at| at >= since.plus(hearing.settle));
        heard_enough.then_some(SuspectEnd::Wrong(self.because))
    }
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHeard(version) => write!(
                f,
                "the edge had not heard of version {version} for longer than its bound, and did not mark its answer"
            ),
            Self::BelowFloor(version) => {
                write!(f, "the edge had heard of version {version}, and served an entry from before")
            }
            Self::ChangedAfter(version) => write!(
                f,
                "the origin gave this value after version {version}, another one later, and no version says so: it publishes \
                 before it commits, or names another key"
            ),
            Self::FilledOld(version) => write!(
                f,
                "the entry is said to be from after version {version}, and its value is from before: the origin publishes \
                 before it commits, or a cache says more than it knows"
            ),
            Self::Unpublished => write!(
                f,
                "the origin has another value, and no version says so: it did not publish, or named another key"
            ),
            Self::Unexplained => write!(
                f,
                "the origin gave this checker no such value since the last version of the key, and no newer version came"
            ),
        }
    }
}

impl Because {
    /// Returns the stable code of the reason.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotHeard(_) => "not-heard",
            Self::BelowFloor(_) => "below-floor",
            Self::ChangedAfter(_) => "changed-after",
            Self::FilledOld(_) => "filled-old",
            Self::Unpublished => "unpublished",
            Self::Unexplained => "unexplained",
        }
    }
}

#[cfg(test)]
mod tests;
