//! Machines: their clocks, which disagree and are set, and their storage, which keeps only durable writes in
//! a crash.

use newsreel_core::clock::MonotonicClock;
use newsreel_core::wire::UnixMillis;

/// When the simulation begins, by a clock that is right.
const BEGINNING: i64 = 1_700_000_000_000;

/// The clock of one machine, which is off by an amount that a fault can change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// How much it is ahead, in milliseconds.
    pub(crate) ahead: i64,
    steady: MonotonicClock,
}

impl Clock {
    pub(crate) fn new(ahead: i64) -> Self {
        Self { ahead, steady: MonotonicClock::new() }
    }

    /// Returns the time that the clock shows when the true time is `now`; the clock may have gone back.
    pub(crate) fn raw(&self, now: u64) -> UnixMillis {
        let moment = BEGINNING + self.ahead + i64::try_from(now).unwrap_or(i64::MAX / 2);
        UnixMillis(u64::try_from(moment).unwrap_or(0))
    }

    /// Returns the time as the edge's shell reads it, which never goes back.
    pub(crate) fn read(&mut self, now: u64) -> UnixMillis {
        let raw = self.raw(now);
        self.steady.read(raw)
    }
}

/// State that is changed by one write at a time.
pub(crate) trait Stored: Clone {
    type Write: Clone;
    fn apply(&mut self, write: &Self::Write);
}

/// Storage with an output gate: the process sees a write at once, and the write is durable later. Outputs
/// wait until then.
#[derive(Debug, Clone)]
pub(crate) struct Storage<S: Stored, Output> {
    /// The state that the process sees.
    pub(crate) seen: S,
    /// The state after a crash.
    pub(crate) disk: S,
    writes: Vec<S::Write>,
    held: Vec<Output>,
}

impl<S: Stored, Output> Storage<S, Output> {
    pub(crate) fn new(rows: S) -> Self {
        Self { seen: rows.clone(), disk: rows, writes: Vec::new(), held: Vec::new() }
    }

    /// Writes; says whether nothing was under way, in which case the caller schedules the moment it becomes
    /// durable.
    pub(crate) fn write(&mut self, write: S::Write) -> bool {
        self.seen.apply(&write);
        self.writes.push(write);
        self.writes.len() == 1
    }

    /// Lets something out, or holds it until all that was written is durable.
    pub(crate) fn let_out(&mut self, output: Output) -> Option<Output> {
        if self.writes.is_empty() {
            return Some(output);
        }
        self.held.push(output);
        None
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.writes.is_empty()
    }

    /// Makes every write durable; returns the writes, and the outputs that waited for them.
    pub(crate) fn settle(&mut self) -> (Vec<S::Write>, Vec<Output>) {
        let writes = std::mem::take(&mut self.writes);
        for write in &writes {
            self.disk.apply(write);
        }
        (writes, std::mem::take(&mut self.held))
    }

    /// The process died: the writes that were not durable are lost, and the outputs that waited never left.
    pub(crate) fn crash(&mut self) {
        self.writes.clear();
        self.held.clear();
        self.seen = self.disk.clone();
    }

    /// Puts an older state in its place.
    pub(crate) fn restore(&mut self, older: S) {
        self.disk = older;
        self.crash();
    }
}
