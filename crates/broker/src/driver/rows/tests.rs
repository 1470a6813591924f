//! The rows in the object's real SQLite, inside workerd.

use std::time::Duration;

use newsreel_core::follow::hub::{AckRequest, Remembered};
use newsreel_core::log::maintenance::REMEMBER_FOR;
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::frame::{FRAME_BYTES, FoldedChange};
use newsreel_core::wire::{Cause, Change, Epoch, Key, Position, Tag, UnixMillis, Version, VersionRow};
use newsreel_in_workerd::{Statements, expect_panic, in_object, next_alarm, panics_in_object};
use wasm_bindgen_test::wasm_bindgen_test as test;
use worker::State;

use super::{HubWrite, PAGE_ROWS, Rows};

mod upgrades;

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);

/// The rows of an object, and the log they hold.
struct Kept {
    rows: Rows,
    log: Log,
}

impl Kept {
    fn open(state: &State) -> Self {
        let rows = Rows::open(state).unwrap();
        let log = rows.persisted().unwrap().log;
        Self { rows, log }
    }

    /// Publishes one version with these changes, as JSON.
    fn publish(&mut self, changes: &str) -> Row {
        let row = self.log.append(NOW, changes, &Cause::default());
        self.rows.append(&[&row]).unwrap();
        row
    }

    fn publish_keys(&mut self, ids: impl Iterator<Item = usize>) -> Vec<Row> {
        ids.map(|id| self.publish(&format!(r#"[{{"key":"title:{id}"}}]"#))).collect()
    }

    /// Seals everything, in segments of about this size, and compacts so many.
    fn age(&mut self, size: u64, folds: u32) {
        while self.rows.active_bytes() > 0 {
            self.rows.seal_oldest(size).unwrap();
        }
        for _ in 0..folds {
            let folded = self.rows.fold_oldest(&self.log.head()).unwrap();
            self.log.fold(folded.expect("there is a segment"));
        }
    }

    /// Everything after a version, page by page.
    fn read(&self, after: Version, limit: u32) -> (Position, Vec<VersionRow>) {
        let (mut at, mut read) = (Position { version: after, ..self.log.head() }, Vec::new());
        while at.version < self.log.head().version {
            let page = self.rows.page(&self.log.head(), at.version, limit).unwrap().expect("a page");
            let versions: Vec<VersionRow> =
                serde_json::from_str(&format!("[{}]", String::from(page.rows))).unwrap();
            read.extend(versions);
            at = page.to;
        }
        (at, read)
    }

    /// The whole fold, part by part.
    fn fold(&self) -> Vec<FoldedChange> {
        let (mut read, mut cursor) = (Vec::new(), FoldCursor::default());
        loop {
            let part = self.rows.fold_part(Version::ZERO, &cursor).unwrap();
            let changes: Vec<FoldedChange> =
                serde_json::from_str(&format!("[{}]", String::from(part.changes))).unwrap();
            read.extend(changes);
            let Some(next) = part.next else { return read };
            cursor = next;
        }
    }
}

fn at(version: u64) -> Version {
    Version::new(version).unwrap()
}

fn remembered(at: UnixMillis, position: Position) -> Remembered {
    Remembered { fingerprint: "ab".repeat(32), position, at, changes: 7 }
}

#[test]
async fn a_new_object_has_an_empty_log_with_an_epoch_of_its_own() {
    let first = in_object("one", async |state| Kept::open(&state).log).await;
    assert_eq!(first.head(), Position::genesis(first.head().epoch));
    let again = in_object("one", async |state| Kept::open(&state).log).await;
    assert_eq!(again, first, "it is opened, not made again");
    let other = in_object("two", async |state| Kept::open(&state).log).await;
    assert_ne!(other.head().epoch, first.head().epoch);
}

#[test]
async fn what_is_written_is_there_for_the_next_event_and_in_pages_of_any_size() {
    let head = in_object("log", async |state| {
        let mut kept = Kept::open(&state);
        kept.publish_keys(1..=25);
        kept.log.head()
    })
    .await;
    in_object("log", async move |state| {
        let kept = Kept::open(&state);
        assert_eq!(kept.log.head(), head);
        for limit in [1, 7, 24, 25, 4_000] {
            let (to, rows) = kept.read(Version::ZERO, limit);
            assert_eq!(to, head);
            assert_eq!(
                rows.iter().map(|row| row.version.number()).collect::<Vec<_>>(),
                (1..=25).collect::<Vec<_>>()
            );
        }
        assert!(kept.rows.page(&head, head.version, 10).unwrap().is_none());
    })
    .await;
}

#[test]
async fn a_page_ends_with_the_first_version_past_256_kib_and_a_large_one_goes_alone() {
    in_object("pages", async |state| {
        let mut kept = Kept::open(&state);
        let wide = |bytes: usize| format!(r#"[{{"prefix":"{}"}}]"#, "x".repeat(bytes));
        for _ in 0..4 {
            kept.publish(&wide(100_000));
        }
        kept.publish(&wide(1_900_000));
        let page = |after: u64| kept.rows.page(&kept.log.head(), at(after), PAGE_ROWS).unwrap().unwrap();
        assert_eq!(page(0).to.version, at(3), "the third passes 256 KiB");
        assert_eq!(page(3).to.version, at(4), "with the fifth it would be no text that SQLite makes");
        assert_eq!(page(4).to.version, at(5));
        assert!(page(4).rows.length() > 1_900_000);
    })
    .await;
}

#[test]
async fn a_page_of_more_rows_than_one_statement_measures_ends_where_its_bytes_do_and_is_in_order() {
    in_object("lengths", async |state| {
        let mut kept = Kept::open(&state);
        let key = |id: usize| format!(r#"[{{"key":"title:{id}","tags":["{}"]}}]"#, "x".repeat(40));
        let rows: Vec<Row> = (1..=3_000).map(|id| kept.publish(&key(id))).collect();
        let (mut bytes, mut whole) = (0, 0);
        while bytes < FRAME_BYTES {
            bytes += rows[whole].text.len() + 1;
            whole += 1;
        }
        assert!((2_001..3_000).contains(&whole), "{whole}");
        let page = |limit| kept.rows.page(&kept.log.head(), Version::ZERO, limit).unwrap().unwrap();
        assert_eq!(page(PAGE_ROWS).to, rows[whole - 1].position);
        assert_eq!(page(1_000).to.version, at(1_000));
        assert_eq!(page(1_001).to.version, at(1_001));
        let (_, read) = kept.read(Version::ZERO, PAGE_ROWS);
        assert_eq!(
            read.iter().map(|row| row.version).collect::<Vec<_>>(),
            (1..=3_000).map(at).collect::<Vec<_>>()
        );
        kept.rows.seal_oldest(u64::MAX).unwrap();
        assert_eq!(page(PAGE_ROWS).to, rows[whole - 1].position, "a segment is a page");
    })
    .await;
}

#[test]
async fn the_largest_publish_is_a_row_a_page_a_segment_and_a_fold() {
    in_object("full", async |state| {
        let mut kept = Kept::open(&state);
        // A thousand keys of 400 bytes that JSON writes three times as long, and tags up to a MiB.
        let tags = ["x".repeat(256), "y".repeat(256)].map(|tag| Tag::new(tag).unwrap());
        let key = |id: usize| Key::new(format!("t:{id:03}{}", "\u{1f4fa}".repeat(98))).unwrap();
        let changes = (0..1_000).map(|id| Change::update(key(id), tags.to_vec())).collect();
        let json = VersionRow { version: at(1), at: NOW, changes, cause: Cause::default() }.to_json();
        let (_, changes) = json.split_once(r#""changes":"#).unwrap();
        let row = kept.publish(changes.strip_suffix('}').unwrap());
        assert_eq!(row.text, json);
        assert!(json.len() > 1_700_000, "{}", json.len());
        assert_eq!(kept.read(Version::ZERO, PAGE_ROWS).0, row.position);
        kept.age(u64::MAX, 0);
        assert_eq!(kept.read(Version::ZERO, PAGE_ROWS).0, row.position);
        kept.age(u64::MAX, 1);
        assert_eq!(kept.fold().len(), 1_000);
    })
    .await;
}

#[test]
async fn rows_written_together_are_all_there_and_none_is_from_before_a_new_epoch() {
    in_object("together", async |state| {
        let mut kept = Kept::open(&state);
        let changes = |id: u64| format!(r#"[{{"key":"title:{id}"}}]"#);
        let rows: Vec<Row> =
            (1..=32 + 8 + 3).map(|id| kept.log.append(NOW, &changes(id), &Cause::default())).collect();
        kept.rows.write(&rows.iter().cloned().map(HubWrite::Append).collect::<Vec<_>>()).unwrap();
        assert_eq!(kept.rows.persisted().unwrap().log, kept.log);
        let read: Vec<String> =
            kept.read(Version::ZERO, PAGE_ROWS).1.iter().map(VersionRow::to_json).collect();
        assert_eq!(read, rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>());
        let bytes: usize = rows.iter().map(|row| row.text.len() + 1).sum();
        assert_eq!(kept.rows.active_bytes(), bytes as u64);
        let mut anew = Log::empty(Epoch::new(NOW.plus(Duration::from_secs(1)), [0; 10]));
        let old = kept.log.append(NOW, &changes(44), &Cause::default());
        let begins = HubWrite::BeginEpoch(anew.head());
        let first = anew.append(NOW, &changes(1), &Cause::default());
        kept.rows.write(&[HubWrite::Append(old), begins, HubWrite::Append(first)]).unwrap();
        assert_eq!(kept.rows.persisted().unwrap().log, anew);
    })
    .await;
}

#[test]
async fn a_write_that_fails_undoes_those_before_it() {
    in_object("failing", async |state| {
        let mut kept = Kept::open(&state);
        let rows = kept.publish_keys(1..=2);
        let before = kept.rows.active_bytes();
        let mut log = kept.log;
        let failed = kept.rows.database.transaction(|| {
            kept.rows.append(&[&log.append(NOW, r#"[{"key":"title:3"}]"#, &Cause::default())])?;
            kept.rows.append(&[&rows[1]])
        });
        assert!(failed.unwrap_err().to_string().contains("UNIQUE"), "a version is written once");
        kept.rows.count().unwrap();
        assert_eq!(kept.rows.active_bytes(), before);
        assert_eq!(kept.rows.persisted().unwrap().log, kept.log);
        kept.publish_keys(3..=3);
    })
    .await;
}

#[test]
async fn a_panic_in_a_transaction_undoes_it_and_the_object_goes_on() {
    expect_panic();
    in_object("panic", async |state| {
        let mut kept = Kept::open(&state);
        let mut log = kept.log;
        let failed = kept.rows.database.transaction(|| {
            kept.rows.append(&[&log.append(NOW, r#"[{"key":"title:1"}]"#, &Cause::default())])?;
            panic!("half-way");
        });
        assert!(failed.is_err());
        assert_eq!(kept.rows.persisted().unwrap().log, kept.log);
        kept.publish_keys(1..=2);
    })
    .await;
}

#[test]
async fn a_panic_fails_its_event_and_the_next_finds_what_was_written() {
    let said = panics_in_object("panic", async |state| {
        Kept::open(&state).publish_keys(1..=1);
        panic!("after a write");
    })
    .await;
    assert!(said.contains("after a write"), "{said}");
    in_object("panic", async |state| assert_eq!(Kept::open(&state).log.head().version, at(1))).await;
}

#[test]
async fn the_greatest_version_is_kept_exactly() {
    in_object("greatest", async |state| {
        let rows = Rows::open(&state).unwrap();
        let epoch = rows.persisted().unwrap().log.head().epoch;
        let last = Position { version: at(Version::MAX.number() - 1), ..Position::genesis(epoch) };
        let row = Log::ending_at(last).append(NOW, r#"[{"all":true}]"#, &Cause::default());
        rows.append(&[&row]).unwrap();
        let log = rows.persisted().unwrap().log;
        assert_eq!(log.head(), row.position);
        assert_eq!(rows.page(&log.head(), last.version, 1).unwrap().unwrap().to, row.position);
        assert_eq!(rows.hash_at(&log, Version::MAX).unwrap(), Some(row.position.hash));
        rows.seal_oldest(1).unwrap();
        assert_eq!(rows.persisted().unwrap().log.head(), row.position, "as a segment too");
        let folded = rows.fold_oldest(&row.position).unwrap();
        assert_eq!(folded, Some(row.position));
        assert_eq!(rows.persisted().unwrap().log.folded(), row.position);
        let long_ago = UnixMillis(Version::MAX.number());
        rows.remember("me", "key", &remembered(long_ago, row.position)).unwrap();
        assert_eq!(rows.remembered("me", "key", long_ago).unwrap().unwrap().at, long_ago);
    })
    .await;
}

#[test]
async fn rows_are_the_same_hot_and_sealed_and_each_position_keeps_its_hash_until_it_is_forgotten() {
    in_object("aging", async |state| {
        let mut kept = Kept::open(&state);
        let rows = kept.publish_keys(1..=300);
        let (_, hot) = kept.read(Version::ZERO, 1_000);
        kept.age(6_000, 0);
        for (after, limit) in [(0, 1_000), (0, 1), (7, 13), (299, 5)] {
            let (to, sealed) = kept.read(at(after), limit);
            let left: Vec<_> = hot.iter().filter(|row| row.version > at(after)).cloned().collect();
            assert_eq!((to, sealed), (kept.log.head(), left));
        }
        kept.age(1, 2);
        let known = |kept: &Kept, version: u64| kept.rows.hash_at(&kept.log, at(version)).unwrap();
        for Row { position, .. } in &rows {
            assert_eq!(known(&kept, position.version.number()), Some(position.hash));
        }
        assert!(known(&kept, 0).is_some());
        assert_eq!(known(&kept, 301), None);
        kept.rows.forget().unwrap();
        assert_eq!((known(&kept, 0), known(&kept, 1)), (None, None));
        assert!(known(&kept, 300).is_some());
        assert!(kept.rows.page(&kept.log.head(), at(1), 10).is_err(), "it is said, not skipped");
    })
    .await;
}

#[test]
async fn a_fold_of_more_targets_than_a_part_has_comes_whole() {
    in_object("wide", async |state| {
        let mut kept = Kept::open(&state);
        for version in 0..9 {
            let keys = (0..1_000).map(|id| format!(r#"{{"key":"title:{}"}}"#, version * 1_000 + id));
            kept.publish(&format!("[{}]", keys.collect::<Vec<_>>().join(",")));
        }
        kept.age(u64::MAX, 0);
        while let Some(folded) = kept.rows.fold_oldest(&kept.log.head()).unwrap() {
            kept.log.fold(folded);
        }
        let folded = kept.fold();
        assert_eq!(folded.len(), 9_000);
        assert!(folded.is_sorted_by_key(|change| change.version));
    })
    .await;
}

#[test]
async fn a_later_change_of_a_target_takes_the_place_of_what_is_folded() {
    in_object("again", async |state| {
        let mut kept = Kept::open(&state);
        let mut folded_after = |changes: &str| -> Vec<String> {
            kept.publish(changes);
            kept.age(u64::MAX, 1);
            kept.fold().iter().map(FoldedChange::to_json).collect()
        };
        let hard = r#"{"version":1,"key":"t:a","tags":["x"]}"#;
        assert_eq!(folded_after(r#"[{"key":"t:a","tags":["x"]}]"#), [hard]);
        let soft = r#"{"version":2,"key":"t:a","soft":true,"tags":["x"]}"#;
        assert_eq!(folded_after(r#"[{"key":"t:a","soft":true}]"#), [hard, soft]);
        let newer = r#"{"version":3,"key":"t:a","tags":["x","y"]}"#;
        assert_eq!(folded_after(r#"[{"key":"t:a","tags":["y"]}]"#), [newer], "the soft one is gone");
        let other = r#"{"version":4,"key":"t:b"}"#;
        assert_eq!(folded_after(r#"[{"key":"t:b"}]"#), [newer, other]);
    })
    .await;
}

#[test]
async fn wide_changes_cover_what_is_folded_below_them() {
    in_object("covers", async |state| {
        let mut kept = Kept::open(&state);
        kept.publish_keys(1..=20);
        kept.publish(r#"[{"key":"live:1"},{"tag":"hulu"},{"key":"title:1","op":"remove"}]"#);
        kept.publish(r#"[{"prefix":"title:1"}]"#);
        kept.age(u64::MAX, 1);
        let left = kept.fold().len();
        // Of twenty titles, eleven begin so; the removal is never covered.
        assert_eq!(left, 20 - 11 + 3 + 1);
        kept.publish(r#"[{"all":true}]"#);
        kept.age(u64::MAX, 1);
        assert_eq!(kept.fold().len(), 2, "everything, and the removal");
    })
    .await;
}

#[test]
async fn a_key_is_remembered_for_its_publisher_for_a_day() {
    in_object("keys", async |state| {
        let rows = Rows::open(&state).unwrap();
        let position = rows.persisted().unwrap().log.head();
        rows.remember("me", "order-7", &remembered(NOW, position)).unwrap();
        let later = |after: Duration| NOW.plus(after);
        assert_eq!(rows.remembered("me", "order-7", NOW).unwrap(), Some(remembered(NOW, position)));
        assert_eq!(
            rows.remembered("me", "order-7", later(REMEMBER_FOR)).unwrap().map(|key| key.at),
            Some(NOW)
        );
        let past = later(REMEMBER_FOR + Duration::from_millis(1));
        assert_eq!(rows.remembered("me", "order-7", past).unwrap(), None);
        assert_eq!(rows.remembered("you", "order-7", NOW).unwrap(), None);
        assert_eq!(rows.remembered("me", "order-8", NOW).unwrap(), None);
        rows.begin_epoch(&Position::genesis(Epoch::new(NOW, [7; 10]))).unwrap();
        assert!(rows.remembered("me", "order-7", NOW).unwrap().is_some(), "over new epochs too");
        rows.forget_keys(NOW).unwrap();
        assert_eq!(rows.remembered("me", "order-7", NOW).unwrap(), None);
    })
    .await;
}

#[test]
async fn replicas_are_known_for_a_month() {
    in_object("replicas", async |state| {
        let rows = Rows::open(&state).unwrap();
        rows.saw_replica("ams", NOW).unwrap();
        rows.saw_replica("O'Hare; --", NOW).unwrap();
        assert_eq!(rows.known_replicas().unwrap(), ["O'Hare; --", "ams"]);
        rows.saw_replica("ams", NOW.plus(Duration::from_secs(31 * 86_400))).unwrap();
        assert_eq!(rows.known_replicas().unwrap(), ["ams"]);
    })
    .await;
}

#[test]
async fn an_alarm_rings_and_can_be_set_again() {
    for _ in 0..2 {
        in_object("alarm", async |state| {
            let rows = Rows::open(&state).unwrap();
            rows.set_alarm(newsreel_gate::now().plus(Duration::from_millis(20))).unwrap();
        })
        .await;
        next_alarm("alarm").await;
    }
}

/// Every statement of `rows/sql`.
const STATEMENTS: &[&str] = &[
    include_str!("sql/schema_1.sql"),
    include_str!("sql/append.sql"),
    include_str!("sql/begin_epoch.sql"),
    include_str!("sql/count_bytes.sql"),
    include_str!("sql/delete_covered.sql"),
    include_str!("sql/delete_hashes.sql"),
    include_str!("sql/delete_places.sql"),
    include_str!("sql/delete_sealed.sql"),
    include_str!("sql/delete_segment.sql"),
    include_str!("sql/first_epoch.sql"),
    include_str!("sql/fold_lengths.sql"),
    include_str!("sql/fold_part.sql"),
    include_str!("sql/folded_at.sql"),
    include_str!("sql/forget_folded.sql"),
    include_str!("sql/forget_keys.sql"),
    include_str!("sql/forget_replicas.sql"),
    include_str!("sql/hash_in_block.sql"),
    include_str!("sql/active_hash.sql"),
    include_str!("sql/active_head.sql"),
    include_str!("sql/active_lengths.sql"),
    include_str!("sql/active_page.sql"),
    include_str!("sql/insert_folded.sql"),
    include_str!("sql/known_replicas.sql"),
    include_str!("sql/oldest_folded.sql"),
    include_str!("sql/oldest_hashes.sql"),
    include_str!("sql/oldest_key.sql"),
    include_str!("sql/oldest_segment.sql"),
    include_str!("sql/remember.sql"),
    include_str!("sql/remembered.sql"),
    include_str!("sql/saw_replica.sql"),
    include_str!("sql/seal_hashes.sql"),
    include_str!("sql/seal_rows.sql"),
    include_str!("sql/sealed_head.sql"),
    include_str!("sql/segment_after.sql"),
];

#[test]
async fn every_statement_runs() {
    let missing = in_object("statements", async |state| {
        let statements = Statements::of(&state);
        let mut kept = Kept::open(&state);
        let asked = AckRequest { version: at(1), at: NOW };
        kept.rows.write(&[HubWrite::NoteAckRequest(asked)]).unwrap();
        assert_eq!(kept.rows.persisted().unwrap().last_ack_request, Some(asked));
        kept.publish(r#"[{"key":"title:1"},{"prefix":"title:"},{"all":true,"soft":true}]"#);
        kept.age(u64::MAX, 1);
        assert!(kept.rows.persisted().unwrap().log.folded() == kept.log.head());
        kept.publish_keys(2..=4);
        kept.read(at(1), 2);
        kept.age(u64::MAX, 0);
        kept.fold();
        kept.rows.hash_at(&kept.log, Version::ZERO).unwrap();
        kept.rows.hash_at(&kept.log, at(3)).unwrap();
        kept.rows.forget().unwrap();
        let head = kept.log.head();
        kept.rows.remember("me", "key", &remembered(NOW, head)).unwrap();
        kept.rows.remembered("me", "key", NOW).unwrap();
        assert_eq!(kept.rows.stock(&kept.log).unwrap().oldest_key, Some(NOW));
        kept.rows.forget_keys(NOW).unwrap();
        kept.rows.saw_replica("ams", NOW).unwrap();
        kept.rows.known_replicas().unwrap();
        assert!(kept.rows.size() > 0);
        kept.publish(r#"[{"key":"title:9","soft":true}]"#);
        kept.age(u64::MAX, 2);
        kept.publish(r#"[{"key":"title:9"}]"#);
        kept.age(u64::MAX, 1);
        kept.rows.begin_epoch(&Position::genesis(Epoch::new(NOW, [9; 10]))).unwrap();
        let log = kept.rows.persisted().unwrap().log;
        assert_eq!((log.head().version, kept.rows.active_bytes()), (Version::ZERO, 0));
        statements.missing_in(STATEMENTS)
    })
    .await;
    assert_eq!(missing, Vec::<&str>::new(), "these never ran");
}
