//! Pinned texts that must be the same on the host and as wasm in workerd, where `usize` has 32 bits.

use newsreel_core::wire::{Cause, Change, Epoch, Frame, Key, Position, UnixMillis, Version, VersionRow};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn row() -> VersionRow {
    let key = Key::new("title:603").expect("a key");
    let at = UnixMillis(1_793_491_200_000); // Does not fit in 32 bits.
    VersionRow {
        version: Version::MAX,
        at,
        changes: vec![Change::update(key, vec![])],
        cause: Cause::default(),
    }
}

#[test]
fn a_position_is_the_same_text_everywhere() {
    let epoch = Epoch::new(UnixMillis(1_793_491_200_000), [7; 10]);
    let position = Position::genesis(epoch).then(row().to_json().as_bytes());
    assert_eq!(position.to_string(), "01M6A6FT000W3GE1R70W3GE1R7:1:09036da2d99ea530");
    assert_eq!(position.to_string().parse(), Ok(position));
}

#[test]
fn the_greatest_version_crosses_the_wire_exactly() {
    let text = format!(
        r#"{{"type":"changes","from":9007199254740990,"to":9007199254740991,"hash":"0123456789abcdef","versions":[{}]}}"#,
        row().to_json(),
    );
    let Ok(Frame::Changes { from, to, versions, .. }) = Frame::parse(&text) else {
        panic!("{text} is a frame of changes");
    };
    assert!(to.follows(from));
    assert_eq!(versions, [row()]);
    assert_eq!(Version::new(to.number() + 1), None);
}
