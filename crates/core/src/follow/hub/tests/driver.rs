//! Stories of the driver on a platform of plain lists: what is written, told and answered, and what a step
//! that ends half-way leaves behind.

use super::*;
use crate::log::maintenance::{MaintenanceTask, RetentionLimits, StorageStats};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// One action that the driver asked of the platform; the machine keeps these in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    Wrote(Vec<HubWrite>),
    Pong(u64),
    Sent(Vec<u32>),
    ReplayPart(u32),
    Saved(u32),
    Closed(u32, u16),
    Answered(u64, &'static str),
    Alarm(u64),
    Maintained(MaintenanceTask),
}

/// A platform that records what the driver asks of it, and fails the writes that a test tells it to fail.
struct Machine {
    log: Log,
    sessions: BTreeMap<SessionId, Session>,
    pings: BTreeMap<SessionId, UnixMillis>,
    stock: StorageStats,
    /// How often the driver asked what there is to maintain, which costs statements.
    looks: u32,
    did: Vec<Did>,
    failing_writes: u32,
    parts_fail: bool,
    is_full: bool,
}

impl Machine {
    fn new(version: u64) -> Self {
        Self {
            log: Log::ending_at(at(version)),
            sessions: BTreeMap::new(),
            pings: BTreeMap::new(),
            stock: StorageStats::default(),
            looks: 0,
            did: Vec::new(),
            failing_writes: 0,
            parts_fail: false,
            is_full: false,
        }
    }

    fn wake(&mut self) -> HubDriver {
        HubDriver::wake(self, tv(), Limits::default(), Some(RetentionLimits::default())).unwrap()
    }

    #[track_caller]
    fn expect(&mut self, did: &[Did]) {
        assert_eq!(std::mem::take(&mut self.did), did);
    }

    fn answers(&mut self) -> Vec<(u64, &'static str)> {
        let answer = |did| if let Did::Answered(ticket, what) = did { Some((ticket, what)) } else { None };
        std::mem::take(&mut self.did).into_iter().filter_map(answer).collect()
    }
}

impl Platform for Machine {
    type Error = &'static str;

    fn persisted(&mut self) -> Result<Persisted, Self::Error> {
        Ok(Persisted { log: self.log, last_ack_request: None })
    }

    fn write(&mut self, writes: Vec<HubWrite>) -> Result<(), Self::Error> {
        if self.failing_writes > 0 {
            self.failing_writes -= 1;
            return Err("the disk is full");
        }
        for write in &writes {
            if let HubWrite::Append(row) = write {
                self.log = Log::new(row.position, self.log.folded());
            }
        }
        self.did.push(Did::Wrote(writes));
        Ok(())
    }

    fn remembered(
        &mut self,
        _publisher: &str,
        key: &str,
        _now: UnixMillis,
    ) -> Result<Option<Remembered>, Self::Error> {
        Ok((key == "old").then(|| remembered(1)))
    }

    fn has_room_for_keys(&mut self) -> Result<bool, Self::Error> {
        Ok(!self.is_full)
    }

    fn active_bytes(&self) -> u64 {
        self.stock.active_bytes
    }

    fn stock(&mut self, _log: &Log) -> Result<StorageStats, Self::Error> {
        self.looks += 1;
        Ok(self.stock)
    }

    fn maintain(
        &mut self,
        task: MaintenanceTask,
        _now: UnixMillis,
        head: &Position,
    ) -> Result<Option<Position>, Self::Error> {
        if self.failing_writes > 0 {
            self.failing_writes -= 1;
            return Err("the disk is full");
        }
        self.did.push(Did::Maintained(task));
        self.stock = match task {
            MaintenanceTask::Seal { .. } => {
                StorageStats { active_bytes: 0, sealed_bytes: 33 << 20, ..self.stock }
            }
            MaintenanceTask::Fold => StorageStats { sealed_bytes: 0, ..self.stock },
            MaintenanceTask::Forget | MaintenanceTask::ForgetKeys => self.stock,
        };
        Ok((task == MaintenanceTask::Fold).then_some(*head))
    }

    fn sessions(&mut self) -> BTreeMap<SessionId, Session> {
        self.sessions.clone()
    }

    fn pings(&mut self) -> BTreeMap<SessionId, UnixMillis> {
        self.pings.clone()
    }

    fn set_pong(&mut self, head: &Position) -> Result<(), Self::Error> {
        self.did.push(Did::Pong(head.version.number()));
        Ok(())
    }

    fn broadcast(&mut self, sessions: &[SessionId], _text: String) {
        self.did.push(Did::Sent(sessions.iter().map(|session| session.0).collect()));
    }

    fn send(&mut self, session: SessionId, _text: String) {
        self.did.push(Did::Sent(vec![session.0]));
    }

    fn send_part(
        &mut self,
        session: SessionId,
        _part: &ReplayPart,
        log: &Log,
        _topics: &Topics,
    ) -> Result<(PartSent, u32), Self::Error> {
        if self.parts_fail {
            return Err("the rows cannot be read");
        }
        self.did.push(Did::ReplayPart(session.0));
        Ok((PartSent::Versions { to: log.head().version }, 100))
    }

    fn save(&mut self, id: SessionId, session: &Session) {
        self.sessions.insert(id, session.clone());
        self.did.push(Did::Saved(id.0));
    }

    fn close(&mut self, session: SessionId, code: u16, _reason: &'static str) {
        self.sessions.remove(&session);
        self.did.push(Did::Closed(session.0, code));
    }

    fn answer(&mut self, ticket: u64, outcome: PublishOutcome) {
        let what = match outcome {
            PublishOutcome::Committed(_) => "committed",
            PublishOutcome::Repeated(_) => "repeated",
            PublishOutcome::Refused(problem) => problem.code(),
        };
        self.did.push(Did::Answered(ticket, what));
    }

    fn set_alarm(&mut self, at: UnixMillis) -> Result<(), Self::Error> {
        self.did.push(Did::Alarm(at.0));
        Ok(())
    }

    fn report(&mut self, _what: &str, _error: &Self::Error) {}
}

/// The moment at which a follower asked for an ack at [`NOW`] is too slow.
const SLOW: u64 = NOW.0 + 30_000;

#[test]
fn d1_d2_a_step_writes_sets_the_alarm_tells_and_answers_in_this_order() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.expect(&[Did::Pong(7)]);
    driver.step(&mut machine, NOW, open(1, Start::Head, None, &[])).unwrap();
    machine.expect(&[Did::Sent(vec![1]), Did::Sent(vec![1]), Did::Saved(1)]);
    driver.publish(&mut machine, NOW, vec![submission(8)]);
    let ack_requested = HubWrite::NoteAckRequest(AckRequest { version: v(8), at: NOW });
    let row = HubWrite::Append(Row { position: at(8), text: row(8) });
    machine.expect(&[
        Did::Wrote(vec![row, ack_requested]),
        Did::Alarm(SLOW),
        Did::Pong(8),
        Did::Sent(vec![1]),
        Did::Answered(8, "committed"),
    ]);
}

#[test]
fn a_write_that_fails_is_neither_told_nor_believed() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.did.clear();
    machine.failing_writes = 1;
    driver.step(&mut machine, NOW, publish(8)).unwrap_err();
    machine.expect(&[]);
    assert_eq!(driver.hub().head(), at(8), "the hub is ahead of the rows");
    driver.settle(&mut machine, NOW).unwrap();
    assert_eq!(driver.hub().head(), at(7));
    machine.expect(&[Did::Pong(7)]);
}

#[test]
fn publishes_that_cannot_be_written_together_are_tried_alone_and_each_is_answered_once() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.failing_writes = 2;
    driver.publish(&mut machine, NOW, vec![submission(80), submission(8), submission(9)]);
    assert_eq!(driver.hub().head(), at(9));
    assert_eq!(machine.answers(), [(80, "not-written"), (8, "committed"), (9, "committed")]);
}

#[test]
fn after_three_failures_in_a_row_the_rest_of_a_queue_is_not_tried() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    // One failure of all publishes together, and three failures of one publish each.
    machine.failing_writes = 4;
    driver.publish(&mut machine, NOW, (8..14).map(submission).collect());
    assert_eq!(machine.failing_writes, 0);
    assert_eq!(machine.answers(), (8..14).map(|ticket| (ticket, "not-written")).collect::<Vec<_>>());
    driver.publish(&mut machine, NOW, vec![submission(8)]);
    assert_eq!(machine.answers(), [(8, "committed")]);
}

#[test]
fn a_full_disk_takes_no_more_keys_and_goes_on_taking_publishes() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.is_full = true;
    let again = Submission { idempotency_key: Some("old".into()), ..submission(1) };
    driver.publish(&mut machine, NOW, vec![keyed(50, "new"), submission(8), again]);
    assert_eq!(machine.answers(), [(8, "committed"), (1, "repeated"), (50, "not-written")]);
}

#[test]
fn a_part_that_cannot_be_read_closes_its_follower_alone() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    driver.step(&mut machine, NOW, open(1, Start::Head, None, &[])).unwrap();
    machine.did.clear();
    machine.parts_fail = true;
    driver.step(&mut machine, NOW, resume(2, 3, &[])).unwrap();
    machine.expect(&[Did::Sent(vec![2]), Did::Closed(2, close::RESYNC)]);
    driver.publish(&mut machine, NOW, vec![submission(8)]);
    assert_eq!(machine.answers(), [(8, "committed")]);
    assert_eq!(driver.hub().sessions().keys().collect::<Vec<_>>(), [&SessionId(1)]);
}

#[test]
fn a_socket_that_has_stopped_pinging_is_closed_when_something_is_published() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    driver.step(&mut machine, NOW, open(1, Start::Head, None, &[])).unwrap();
    machine.pings.insert(SessionId(1), NOW);
    let later = NOW.plus(Limits::default().silent_after);
    machine.did.clear();
    driver.publish(&mut machine, later, vec![submission(8)]);
    assert_eq!(machine.did[0], Did::Closed(1, close::TOO_SLOW));
}

#[test]
fn the_alarm_seals_and_folds_and_is_set_again_only_for_what_is_left() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.stock.active_bytes = 1 << 20;
    driver.step(&mut machine, NOW, publish(8)).unwrap();
    assert!(machine.did.contains(&Did::Alarm(NOW.0 + 1)), "there is something to seal: {:?}", machine.did);
    machine.did.clear();
    driver.alarm(&mut machine, NOW);
    machine.expect(&[
        Did::Maintained(MaintenanceTask::Seal { bytes: 256 << 10 }),
        Did::Maintained(MaintenanceTask::Fold),
    ]);
    assert_eq!(driver.hub().log().folded(), at(8));
    machine.stock.oldest_key = Some(NOW);
    driver.alarm(&mut machine, NOW);
    machine.expect(&[Did::Alarm(NOW.0 + 24 * 3_600_000)]);
}

#[test]
fn a_log_without_a_task_is_looked_at_again_for_a_key_or_for_rows_to_seal() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    for id in 1..=100 {
        driver.settle(&mut machine, NOW).unwrap();
        driver.step(&mut machine, NOW, open(id, Start::Head, None, &[])).unwrap();
        driver.step(&mut machine, NOW, closed(id)).unwrap();
    }
    driver.step(&mut machine, NOW, publish(8)).unwrap();
    assert_eq!(machine.looks, 1);
    machine.stock.oldest_key = Some(NOW);
    driver.publish(&mut machine, NOW, vec![keyed(9, "new")]);
    assert!(machine.did.contains(&Did::Alarm(NOW.0 + 24 * 3_600_000)), "{:?}", machine.did);
    machine.stock.active_bytes = 1 << 20;
    driver.step(&mut machine, NOW, publish(10)).unwrap();
    assert!(machine.did.contains(&Did::Alarm(NOW.0 + 1)), "{:?}", machine.did);
}

#[test]
fn a_write_whose_step_broke_off_has_its_alarm() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    driver.settle(&mut machine, NOW).unwrap();
    machine.failing_writes = 1;
    driver.step(&mut machine, NOW, publish(8)).unwrap_err();
    // The error came after the disk had the write.
    machine.stock.active_bytes = 1 << 20;
    machine.did.clear();
    driver.settle(&mut machine, NOW).unwrap();
    machine.expect(&[Did::Pong(7), Did::Alarm(NOW.0 + 1)]);
}

#[test]
fn maintenance_that_fails_is_tried_again_later() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.did.clear();
    machine.stock.active_bytes = 1 << 20;
    machine.failing_writes = 1;
    driver.alarm(&mut machine, NOW);
    machine.expect(&[Did::Alarm(NOW.0 + 10_000)]);
    // A read in between rebuilds the hub from the rows, and does not bring the alarm forward.
    driver.settle(&mut machine, NOW).unwrap();
    machine.expect(&[Did::Pong(7)]);
    driver.alarm(&mut machine, NOW);
    assert_eq!(machine.did[0], Did::Maintained(MaintenanceTask::Seal { bytes: 256 << 10 }));
}

#[test]
fn the_alarm_comes_by_the_end_of_a_publishers_token() {
    let mut machine = Machine::new(7);
    let mut driver = machine.wake();
    machine.did.clear();
    driver.set_publisher_expiry(Some(NOW.plus(Limits::default().slow_after)));
    driver.arm(&mut machine, NOW);
    machine.expect(&[Did::Alarm(SLOW)]);
    driver.settle(&mut machine, NOW).unwrap();
    machine.expect(&[]);
}
