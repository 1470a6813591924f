//! Codes and examples: every problem, close code, frame, event, line and row that the document shows is a
//! real one.

use std::time::Duration;

use newsreel_core::wire::frame::{FollowerFrame, Frame, VersionRow, close};
use newsreel_core::wire::ndjson::{PublishAnswer, PublishAnswers, answers_text};
use newsreel_core::wire::{Code, Epoch, Position, PublishLine, sse};

use crate::document::{PROTOCOL, quoted, table};

#[test]
fn every_problem_code_stands_in_its_table_in_order() {
    let listed: Vec<(&str, u16)> =
        table("## Problems").iter().map(|row| (row[0].trim_matches('`'), row[1].parse().unwrap())).collect();
    let codes: Vec<(&str, u16)> = Code::ALL.iter().map(|code| (code.text(), code.status())).collect();
    assert_eq!(listed, codes);
}

#[test]
fn every_close_code_stands_in_its_table() {
    let listed: Vec<u16> = table("### Close codes").iter().map(|row| row[0].parse().unwrap()).collect();
    let mut codes = vec![
        close::TRY_LATER,
        close::TOO_SLOW,
        close::TOO_CHATTY,
        close::RESYNC,
        close::EXPIRED,
        close::BAD_FRAME,
        close::UNAUTHORIZED,
        close::REPLACED,
    ];
    codes.sort_unstable();
    assert_eq!(listed, codes);
}

#[test]
fn every_example_frame_is_one() {
    let mut blocks = PROTOCOL.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for line in blocks.next().expect("frames from the broker").lines() {
        let frame = Frame::parse(line).unwrap();
        assert!(!matches!(frame, Frame::Unknown(_)), "{line}");
    }
    for line in blocks.next().expect("frames to the broker").lines() {
        assert!(matches!(FollowerFrame::parse(line).unwrap(), FollowerFrame::Ack { .. }), "{line}");
    }
}

#[test]
fn every_example_event_is_one() {
    let stream = PROTOCOL.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let blocks: Vec<String> = stream.trim_end().split("\n\n").map(|block| format!("{block}\n\n")).collect();
    assert_eq!(blocks.first(), Some(&sse::retry(Duration::from_millis(2_741))));
    assert_eq!(blocks.last().map(String::as_str), Some(sse::KEEP_ALIVE));
    for block in &blocks[1..blocks.len() - 1] {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let (kind, id, frame) = (field("event: "), field("id: ").parse().unwrap(), field("data: "));
        assert_eq!(*block, sse::event(kind, Some(&id), frame));
        assert!(!matches!(Frame::parse(frame).unwrap(), Frame::Unknown(_)));
    }
}

#[test]
fn every_example_line_and_its_answers_are_read() {
    let block = |kind: &str| PROTOCOL.split(kind).nth(1).unwrap().split("```").next().unwrap().lines();
    let lines: Vec<PublishLine> =
        block("```ndjson\n").map(|line| PublishLine::parse(line.as_bytes()).unwrap()).collect();
    assert!(lines.iter().any(|line| line.idempotency_key.is_some() && line.publish.changes.len() == 2));
    assert!(lines.iter().any(|line| line.publish.expect.is_some()));
    for frame in block("```answers\n") {
        let PublishAnswers { answers } =
            serde_json::from_str::<PublishAnswers<PublishAnswer>>(frame).unwrap();
        assert!(matches!(answers.as_slice(), [PublishAnswer::Published(_), PublishAnswer::Refused(_)]));
        let texts: Vec<&str> = frame.split("\"answers\":[").nth(1).unwrap().split("]}").collect();
        assert_eq!(answers_text(texts[0]), frame);
    }
}

#[test]
fn the_example_rows_are_canonical_and_hash_to_their_positions() {
    let epoch: Epoch = "01ARYZ6S410000000000000000".parse().unwrap();
    let mut position = Position::genesis(epoch);
    for (index, row) in table("## Positions").iter().enumerate() {
        if index > 0 {
            let text = quoted(row[1])[0];
            let parsed: VersionRow = serde_json::from_str(text).unwrap();
            assert_eq!(parsed.to_json(), text);
            position = position.then(text.as_bytes());
        }
        assert_eq!(quoted(row[0]), [position.to_string()]);
    }
    assert_eq!(position.version.number(), 3);
}
