//! Which parts are kept, and until when.

use newsreel_core::log::Row;
use newsreel_core::wire::{Cause, Epoch, Position, UnixMillis, Version};
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn after(version: u64) -> ReplayPart {
    ReplayPart::Versions { after: Version::new(version).unwrap() }
}

fn ready(bytes: u32) -> ReadyPart {
    let frame = JsString::from("x".repeat(bytes as usize));
    ReadyPart { frame, sent: PartSent::Versions { to: Version::MAX }, bytes }
}

#[test]
fn a_part_is_kept_until_the_log_changes() {
    let beginning = Position::genesis(Epoch::new(UnixMillis(1), [7; 10]));
    let mut log = Log::new(beginning, beginning);
    let mut parts = RecentParts::default();
    parts.keep(&log, &after(0), &ready(10));
    assert_eq!(parts.find(&log, &after(0)).unwrap().bytes, 10);
    assert!(parts.find(&log, &after(1)).is_none());
    let before = log;
    let _: Row = log.append(UnixMillis(1), "[]", &Cause::default());
    assert!(parts.find(&log, &after(0)).is_none(), "there is more after it");
    parts.keep(&log, &after(0), &ready(20));
    assert!(parts.find(&before, &after(0)).is_none());
    log.fold(log.head());
    assert!(parts.find(&log, &after(0)).is_none(), "it is folded");
}

#[test]
fn the_oldest_parts_make_room_for_the_newest() {
    let beginning = Position::genesis(Epoch::new(UnixMillis(1), [7; 10]));
    let log = Log::new(beginning, beginning);
    let mut parts = RecentParts::default();
    for version in 0..5 {
        parts.keep(&log, &after(version), &ready(1 << 20));
    }
    let kept = |version| parts.find(&log, &after(version)).is_some();
    assert_eq!([0, 1, 2, 3, 4].map(kept), [false, true, true, true, true]);
    parts.keep(&log, &after(5), &ready(5 << 20));
    assert!(parts.parts.is_empty() && parts.bytes == 0, "one that is too large is not kept");
}
