//! Frames that the broker writes and the follower reads, and texts that neither may send.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn position() -> Position {
    Position::genesis(Epoch::new(UnixMillis(5), [1; 10]))
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

#[test]
fn what_the_broker_writes_the_follower_reads() {
    let at = position();
    let rows = row_text(version(1), UnixMillis(9), r#"[{"key":"title:1","tags":["a"]}]"#, &Cause::default());
    let to = at.then(rows.as_bytes());
    let Frame::Changes { from, to: end, hash, versions, ack } =
        Frame::parse(&changes_text(Version::ZERO, &to, true, &rows)).unwrap()
    else {
        panic!("a changes frame")
    };
    assert_eq!((from, end, hash, ack), (Version::ZERO, version(1), to.hash, true));
    assert_eq!(versions[0].changes[0].tags[0].as_str(), "a");

    let resume = Resume::Replay;
    let (epoch, hash) = (at.epoch, Some(at.hash));
    assert_eq!(
        Frame::parse(&welcome(&at, resume)).unwrap(),
        Frame::Welcome { epoch, head: Version::ZERO, hash, resume }
    );
    assert_eq!(Frame::parse(&pong(&to)).unwrap(), Frame::Pong(to));
    assert_eq!(Frame::parse(&live(version(3))).unwrap(), Frame::Live { version: version(3) });
    let from = version(1);
    let bookmark = Frame::Head { from: Some(from), version: to.version, hash: to.hash };
    assert_eq!(Frame::parse(&head(from, &to)).unwrap(), bookmark);
    let reason = "because \"so\"".to_owned();
    assert_eq!(Frame::parse(&reset(&to, &reason)).unwrap(), Frame::Reset { position: to, reason });
    assert!(matches!(
        Frame::parse(&error("busy", "later", Some(70))).unwrap(),
        Frame::Error { retry_after_ms: Some(70), .. }
    ));
}

#[test]
fn unknown_fields_and_types_are_ignored() {
    assert_eq!(
        Frame::parse(r#"{"type":"live","version":3,"new":[1]}"#).unwrap(),
        Frame::Live { version: version(3) }
    );
    assert_eq!(Frame::parse(r#"{"type":"gossip"}"#).unwrap(), Frame::Unknown("gossip".into()));
}

#[test]
fn versions_out_of_order_or_range_are_an_error() {
    let frame = |from: u64, to: u64, versions: &[u64]| {
        let rows: Vec<_> =
            versions.iter().map(|v| format!(r#"{{"version":{v},"at":1,"changes":[]}}"#)).collect();
        let text = format!(
            r#"{{"type":"changes","from":{from},"to":{to},"hash":"0000000000000000","versions":[{}]}}"#,
            rows.join(",")
        );
        Frame::parse(&text)
    };
    assert!(frame(1, 3, &[2, 3]).is_ok());
    assert!(frame(1, 3, &[3]).is_ok(), "the others were filtered out");
    for (from, to, versions) in
        [(1, 3, vec![3, 2]), (1, 3, vec![1]), (1, 3, vec![4]), (3, 1, vec![]), (1, 3, vec![2, 2])]
    {
        assert!(matches!(frame(from, to, &versions), Err(FrameError::Order)), "{from} {to} {versions:?}");
    }
}

#[test]
fn a_fold_may_hold_two_changes_of_one_version() {
    let text = r#"{"type":"fold","from":0,"to":9,"hash":"0000000000000000","more":true,
        "changes":[{"version":2,"key":"a:1"},{"version":2,"tag":"x","soft":true}]}"#;
    let Frame::Fold(fold) = Frame::parse(text).unwrap() else { panic!("a fold") };
    assert!(fold.more);
    assert_eq!(fold.changes.len(), 2);
}

#[test]
fn a_follower_sends_pings_and_acks_only() {
    assert_eq!(FollowerFrame::parse("ping").unwrap(), FollowerFrame::Ping);
    assert_eq!(FollowerFrame::parse(&ack(version(7))).unwrap(), FollowerFrame::Ack { version: version(7) });
    for bad in
        ["", "hello", "{}", r#"{"type":"ack"}"#, r#"{"type":"ack","version":-1}"#, r#"{"type":"nack"}"#]
    {
        assert!(FollowerFrame::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn close_codes_say_whether_to_come_back() {
    assert!(close::may_reconnect(close::RESYNC) && close::may_reconnect(1006));
    assert!(!close::may_reconnect(close::BAD_FRAME) && !close::may_reconnect(close::UNAUTHORIZED));
}

#[test]
fn a_frame_of_a_type_from_the_future_may_use_any_name_for_anything() {
    for text in [r#"{"type":"weather"}"#, r#"{"type":"weather","version":"sunny","changes":{}}"#] {
        assert!(matches!(Frame::parse(text), Ok(Frame::Unknown(kind)) if kind == "weather"), "{text}");
    }
    assert!(Frame::parse(r#"{"type":"live","version":"sunny"}"#).is_err());
    assert!(matches!(Frame::parse(r#"{"version":"sunny"}"#), Ok(Frame::Unknown(kind)) if kind.is_empty()));
}
