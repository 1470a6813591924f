//! The transactions whose rows are in the outbox still: each is deleted once its publishes are durable.

use std::collections::{BTreeSet, VecDeque};

use crate::source::postgres::lsn::Lsn;

/// How many transactions, and rows of them, one statement deletes; one transaction it always does.
const DELETED_AT_ONCE: (usize, u64) = (10_000, 100_000);
/// How many transactions may wait to be deleted.
const MOST: usize = 50_000;

/// The transactions on their way, in the order of their publishes.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    queue: VecDeque<Queued>,
    xids: BTreeSet<u64>,
    /// How many transactions were queued. Their numbers are to the outbox what LSNs are to a log.
    count: u64,
}

#[derive(Debug)]
struct Queued {
    number: Lsn,
    xid: u64,
    rows: u64,
}

/// The transactions that one statement deletes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) xids: Vec<u64>,
    pub(super) rows: u64,
}

impl Awaited {
    /// Adds a transaction of so many rows, and returns its number.
    pub(super) fn add(&mut self, xid: u64, rows: u64) -> Lsn {
        self.count += 1;
        let number = Lsn(self.count);
        self.xids.insert(xid);
        self.queue.push_back(Queued { number, xid, rows });
        number
    }

    /// Says whether a transaction is on its way.
    pub(super) fn has(&self, xid: u64) -> bool {
        self.xids.contains(&xid)
    }

    /// Says whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < MOST
    }

    /// Says whether the first transaction is durable.
    pub(super) fn has_durable(&self, durable: Lsn) -> bool {
        self.queue.front().is_some_and(|first| first.number <= durable)
    }

    /// Returns what the next statement deletes.
    pub(super) fn next(&self, durable: Lsn) -> Deletion {
        let (mut xids, mut rows) = (Vec::new(), 0);
        for queued in self.queue.iter().take(DELETED_AT_ONCE.0).take_while(|queued| queued.number <= durable)
        {
            if !xids.is_empty() && rows + queued.rows > DELETED_AT_ONCE.1 {
                break;
            }
            rows += queued.rows;
            xids.push(queued.xid);
        }
        Deletion { xids, rows }
    }

    /// Forgets what was deleted.
    pub(super) fn forget(&mut self, deleted: &Deletion) {
        for gone in self.queue.drain(..deleted.xids.len()) {
            self.xids.remove(&gone.xid);
        }
    }

    /// Forgets all of them, and returns the number of the last.
    pub(super) fn clear(&mut self) -> Lsn {
        self.queue.clear();
        self.xids.clear();
        Lsn(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_is_deleted_in_order_and_not_too_much_at_once() {
        let mut awaited = Awaited::default();
        let numbers =
            [(7, 90_000), (5, 20_000), (9, 200_000), (11, 1)].map(|(xid, rows)| awaited.add(xid, rows));
        let deletion = |xids: &[u64], rows| Deletion { xids: xids.to_vec(), rows };
        assert!(!awaited.has_durable(Lsn(0)));
        assert_eq!(awaited.next(Lsn(0)), deletion(&[], 0));
        for (durable, expected) in [
            (numbers[2], deletion(&[7], 90_000)),
            (numbers[2], deletion(&[5], 20_000)),
            (numbers[2], deletion(&[9], 200_000)),
            (numbers[2], deletion(&[], 0)),
            (numbers[3], deletion(&[11], 1)),
        ] {
            let next = awaited.next(durable);
            assert_eq!(next, expected);
            assert!(next.xids.iter().all(|xid| awaited.has(*xid)));
            awaited.forget(&next);
            assert!(!next.xids.iter().any(|xid| awaited.has(*xid)));
        }
        assert_eq!(awaited.clear(), numbers[3]);
    }
}
