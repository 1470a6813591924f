//! How far the broker is behind the database, in time.

use std::collections::VecDeque;

use super::lsn::Lsn;

/// How many marks are kept; with more every second one goes, so that an hour of them is an hour at any rate.
const MAX_MARKS: usize = 4_096;

/// The end of the log at several times, which tells how old a place in it is.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(Lsn, i64)>);

impl Marks {
    /// Notes where the log ended at a time.
    pub(super) fn add(&mut self, end: Lsn, at: i64) {
        self.0.push_back((end, at));
        if self.0.len() > MAX_MARKS {
            let mut number = 0;
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Forgets everything: the log is another one.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns a time of which everything that was committed before it is durable, as late as is known, and
    /// forgets the times before.
    pub(super) fn as_of(&mut self, durable: Lsn) -> Option<i64> {
        while self.0.get(1).is_some_and(|(end, _)| *end <= durable) {
            self.0.pop_front();
        }
        self.0.front().filter(|(end, _)| *end <= durable).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_before_the_newest_mark_that_is_durable_is_durable() {
        let mut marks = Marks::default();
        assert_eq!(marks.as_of(Lsn(9)), None);
        for (end, at) in [(10, 1_000), (20, 2_000), (20, 3_000), (30, 4_000)] {
            marks.add(Lsn(end), at);
        }
        assert_eq!(marks.as_of(Lsn(9)), None);
        assert_eq!(marks.as_of(Lsn(10)), Some(1_000));
        assert_eq!(marks.as_of(Lsn(25)), Some(3_000));
        for n in 0..100_000 {
            marks.add(Lsn(40 + n), 5_000);
        }
        assert!(marks.0.len() <= MAX_MARKS);
        assert_eq!(marks.as_of(Lsn(25)), Some(3_000), "the oldest is kept");
    }
}
