//! Entries as KV and R2 return them, and rows of series as SQLite does: any bytes there are judged like any others.

use std::rc::Rc;

use newsreel_core::metrics::series::{BROKER, Bucket, READER};
use newsreel_core::read::cache::{Answer, Envelope, Event, Freshness, ReadMachine, Step, Tier};
use newsreel_core::read::entry_codec::{decode, encode, head};
use newsreel_core::read::policy::Policies;
use newsreel_core::read::sync::{Knowledge, SyncResponse};
use newsreel_core::wire::{Key, Position, UnixMillis, Version};

use crate::memory::assert_bounded;
use crate::names::check_tag;

/// An input is the bytes of a row of series.
pub(crate) fn series(bytes: &[u8]) {
    for measures in [&READER, &BROKER] {
        let Some(bucket) = assert_bounded(bytes.len(), 64, || Bucket::unpack(bytes, measures)) else {
            continue;
        };
        assert!(bucket.rows().all(|(_, row)| row.len() <= measures.width));
        let packed = bucket.pack(measures, usize::MAX);
        let again = Bucket::unpack(&packed, measures).expect("a bucket comes back");
        let numbers =
            |bucket: &Bucket| bucket.rows().map(|(_, row)| row.iter().sum::<u64>()).collect::<Vec<_>>();
        assert_eq!(numbers(&again), numbers(&bucket));
    }
}

/// An input is the bytes of a stored entry.
pub(crate) fn entry(bytes: &[u8]) {
    let Some((envelope, at, text)) = decode(bytes) else { return };
    let body = bytes.get(at..).expect("a value begins within its bytes");
    envelope.tags.iter().for_each(check_tag);
    let again = encode(&envelope, body);
    let (same, value, is_text) = decode(&again).expect("an entry comes back");
    assert_eq!((&same, is_text), (&envelope, std::str::from_utf8(body).is_ok()));
    assert_eq!(again.get(value..), Some(body));
    assert_eq!(head(&envelope, text).len(), value);
    for age in [0, 1, 1_000, 100_000_000] {
        let now = envelope.fetched_at.0.saturating_add(age);
        read(&envelope, UnixMillis(now), false);
        read(&envelope, UnixMillis(now), true);
    }
}

/// Reads a key with this entry in every tier.
fn read(envelope: &Envelope, now: UnixMillis, forgotten: bool) {
    let known = knowledge(envelope.position, now, forgotten);
    for class in ["title", "live", "availability"] {
        let key = Key::new(format!("{class}:1")).expect("a key");
        let mut read = ReadMachine::new(key, Policies::default().of(class), None).with_r2(true).explained();
        let mut step = read.next(now, &known, Event::Begin);
        let mut asked: Vec<Tier> = Vec::new();
        let answer = (0..64).find_map(|_| {
            let event = match &step {
                Step::Answer(answer) => return Some(answer.clone()),
                Step::Sync { .. } => Event::Synced { proved: true },
                Step::Ask { tiers, .. } => {
                    asked = tiers.to_vec();
                    Event::Held(asked.remove(0), Rc::new(envelope.clone()))
                }
                Step::Listen => Event::Held(asked.remove(0), Rc::new(envelope.clone())),
            };
            step = read.next(now, &known, event);
            None
        });
        let answer = answer.expect("a read comes to an answer");
        if let Answer::Serve { from, freshness: Freshness::Fresh, .. } = answer {
            assert!(from == Tier::Origin || now < envelope.expires_at, "what is past its time is not fresh");
            assert!(!forgotten || from == Tier::Origin, "what is below a floor is not fresh");
        }
        let late = read.expired_answer(now, &known, &answer);
        assert!(!matches!(late, Answer::Serve { freshness: Freshness::Fresh, .. }));
    }
}

/// Returns the state of a reader that has heard everything up to the entry, or one version more, at which everything
/// changed.
fn knowledge(at: Position, now: UnixMillis, changed: bool) -> Knowledge {
    let changed = changed && at.version < Version::MAX;
    let position = if changed { at.then(b"everything") } else { at };
    let floors = serde_json::json!([[3, "", position.version, 0, 0]]);
    let floors = if changed { serde_json::from_value(floors).expect("a floor") } else { Vec::new() };
    let mut known = Knowledge::default();
    let (to, proof_age_ms) = (position.version, Some(0));
    let reply = SyncResponse {
        traces: Vec::new(),
        position,
        from: Version::ZERO,
        to,
        proof_age_ms,
        floors,
        left_out: None,
        looked: Vec::new(),
    };
    known.apply(now, reply);
    known
}
