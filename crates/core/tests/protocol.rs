//! Holds `PROTOCOL.md` to what the code does.

use std::time::Duration;

use newsreel_core::policy::{Beyond, Policies, Policy};
use newsreel_core::wire::frame::{FollowerFrame, Frame, VersionRow, close};
use newsreel_core::wire::lines::{Answer, Answers, answers_text};
use newsreel_core::wire::{Code, Epoch, Line, Position, event};

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

/// Every file in which a test may stand that the document names.
const SOURCES: &[&str] = &[
    include_str!("../src/cache/tests.rs"),
    include_str!("../src/floors.rs"),
    include_str!("../src/follower/tests.rs"),
    include_str!("../src/hub/tests.rs"),
    include_str!("../src/hub/tests/model.rs"),
    include_str!("../src/log.rs"),
    include_str!("../src/sync.rs"),
];

/// The cells of the rows of the table under a heading's first words.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let start = PROTOCOL.find(heading).expect("the heading stands in the document");
    let rows = PROTOCOL[start..].lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The texts between back quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

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
        close::GOING_AWAY,
        close::TOO_SLOW,
        close::TOO_CHATTY,
        close::RESYNC,
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
    assert_eq!(blocks.first(), Some(&event::retry(Duration::from_millis(2_741))));
    assert_eq!(blocks.last().map(String::as_str), Some(event::KEEP_ALIVE));
    for block in &blocks[1..blocks.len() - 1] {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let (kind, id, frame) = (field("event: "), field("id: ").parse().unwrap(), field("data: "));
        assert_eq!(*block, event::event(kind, Some(&id), frame));
        assert!(!matches!(Frame::parse(frame).unwrap(), Frame::Unknown(_)));
    }
}

#[test]
fn every_example_line_and_its_answers_are_read() {
    let block = |kind: &str| PROTOCOL.split(kind).nth(1).unwrap().split("```").next().unwrap().lines();
    let lines: Vec<Line> = block("```ndjson\n").map(|line| Line::parse(line.as_bytes()).unwrap()).collect();
    assert!(lines.iter().any(|line| line.idempotency_key.is_some() && line.publish.changes.len() == 2));
    assert!(lines.iter().any(|line| line.publish.expect.is_some()));
    for frame in block("```answers\n") {
        let Answers { answers } = serde_json::from_str::<Answers<Answer>>(frame).unwrap();
        assert!(matches!(answers.as_slice(), [Answer::Published(_), Answer::Refused(_)]));
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

#[test]
fn every_test_named_under_the_invariants_exists() {
    let rows = table("## Invariants");
    let ids: Vec<&str> = rows.iter().map(|row| row[0].split(' ').next().unwrap()).collect();
    assert_eq!(ids, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "D1", "D2", "D3", "S1", "S2", "E1"]);
    for name in rows.iter().flat_map(|row| quoted(row[2])) {
        let declared = format!("fn {name}(");
        assert!(SOURCES.iter().any(|source| source.contains(&declared)), "there is no test {name}");
    }
}

#[test]
fn the_policy_table_is_the_one_in_the_code() {
    let policies = Policies::default();
    let rows = table("With `Newsreel-Min-Version`");
    let classes: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(classes, ["embedding", "availability", "trending", "live", "any other"]);
    for (class, row) in classes.iter().zip(&rows) {
        let written = Policy {
            ttl: duration(row[1]),
            stale_for: duration(row[2]),
            lag_bound: duration(row[3]),
            beyond_bound: if row[4] == "fail" { Beyond::Fail } else { Beyond::Stale },
        };
        assert_eq!(policies.of(class), written, "{class}");
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_once(' ').expect("a number and a unit");
    let seconds = match unit {
        "h" => 3_600,
        "min" => 60,
        "s" => 1,
        other => panic!("no unit {other}"),
    };
    Duration::from_secs(number.parse::<u64>().expect("a number") * seconds)
}
