//! Transcripts of the first release's broker (`e2e/transcripts/v1`, recorded once), played to this follower.
//!
//! The tests also play a newer broker of the same protocol, with fields, frames and codes that this build
//! does not know. `e2e/upgrade.test.mjs` plays the same to the command and to the npm package, and the
//! clients' side to this broker.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a transcript that cannot be read ends the test"
)]

use std::collections::BTreeMap;

use newsreel_core::follow::follower::{
    Cursor, Follower, FollowerConfig, FollowerEffect, FollowerInput, Phase,
};
use newsreel_core::wire::{Position, UnixMillis, Version};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The transcripts of followers.
const TRANSCRIPTS: [&str; 8] = [
    include_str!("../../../e2e/transcripts/v1/live.jsonl"),
    include_str!("../../../e2e/transcripts/v1/head.jsonl"),
    include_str!("../../../e2e/transcripts/v1/resume.jsonl"),
    include_str!("../../../e2e/transcripts/v1/filter.jsonl"),
    include_str!("../../../e2e/transcripts/v1/reset.jsonl"),
    include_str!("../../../e2e/transcripts/v1/replica.jsonl"),
    include_str!("../../../e2e/transcripts/v1/fold.jsonl"),
    include_str!("../../../e2e/transcripts/v1/slow.jsonl"),
];

/// The request and the frames of one follower of a transcript.
struct Conversation {
    cursor: Cursor,
    filtered: bool,
    texts: Vec<String>,
    closed: Option<u16>,
}

/// Reads the conversations of a transcript, with their sockets' names.
fn conversations(transcript: &str) -> BTreeMap<String, Conversation> {
    let lines: Vec<Value> = transcript.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: BTreeMap<(String, u64), Position> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line["body"].as_str()?).ok())
        .filter_map(|body| body["position"].as_str()?.parse::<Position>().ok())
        .map(|at| ((at.epoch.to_string(), at.version.number()), at))
        .collect();
    let mut all = BTreeMap::new();
    for line in &lines {
        if let Some(name) = line["open"].as_str() {
            let (_, query) = line["path"].as_str().unwrap().split_once('?').unwrap();
            let query: BTreeMap<&str, &str> =
                query.split('&').filter_map(|one| one.split_once('=')).collect();
            let cursor = match (query.get("epoch"), query.get("version")) {
                (Some(epoch), Some(version)) => {
                    let known = told.get(&((*epoch).to_owned(), version.parse().unwrap()));
                    let hash = query.get("hash").map(|hash| hash.parse().unwrap());
                    Cursor::At(Position {
                        epoch: epoch.parse().unwrap(),
                        version: version.parse().unwrap(),
                        hash: hash.or(known.map(|at| at.hash)).unwrap_or("ffffffffffffffff".parse().unwrap()),
                    })
                }
                (_, Some(_)) => Cursor::Beginning,
                (_, None) => Cursor::Head,
            };
            let filtered = query.contains_key("topic");
            all.insert(name.to_owned(), Conversation { cursor, filtered, texts: Vec::new(), closed: None });
        } else if let Some(conversation) = line["from"].as_str().and_then(|name| all.get_mut(name)) {
            conversation.texts.extend(line["text"].as_str().map(str::to_owned));
            conversation.closed = line["closed"].as_u64().map(|code| u16::try_from(code).unwrap());
        }
    }
    all
}

impl Conversation {
    /// Plays the texts to a follower; returns all its effects, and the follower.
    fn play(&self, texts: impl IntoIterator<Item = String>) -> (Vec<FollowerEffect>, Follower) {
        let config = FollowerConfig { filtered: self.filtered, ..FollowerConfig::default() };
        let (mut follower, mut effects) = (Follower::new(config, self.cursor, 7), Vec::new());
        let inputs = [FollowerInput::Start, FollowerInput::Opened]
            .into_iter()
            .chain(texts.into_iter().map(FollowerInput::Text));
        for input in inputs.chain(self.closed.map(|code| FollowerInput::Closed { code })) {
            follower.handle(UnixMillis(1_000), input);
            effects.extend(std::iter::from_fn(|| follower.poll_effect()));
        }
        (effects, follower)
    }

    /// The position that the texts lead to, and the versions of all changes told on the way, read without the
    /// crate.
    fn told(&self) -> (Value, Vec<(u64, Value)>) {
        let (mut epoch, mut at, mut changes) = (Value::Null, Value::Null, Vec::new());
        for frame in self.texts.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok()) {
            let place =
                |version: &str| json!([frame.get("epoch").unwrap_or(&epoch), frame[version], frame["hash"]]);
            match frame["type"].as_str().unwrap() {
                "welcome" if frame["resume"] == "live" => at = place("head"),
                "reset" => (at, changes) = (place("version"), Vec::new()),
                "head" => at = place("version"),
                kind @ ("changes" | "fold") => {
                    if frame["more"] != true {
                        at = place("to");
                    }
                    let items =
                        frame[if kind == "fold" { "changes" } else { "versions" }].as_array().unwrap();
                    changes.extend(items.iter().map(|one| (one["version"].as_u64().unwrap(), one.clone())));
                }
                _ => {}
            }
            epoch = frame.get("epoch").unwrap_or(&epoch).clone();
        }
        (at, changes)
    }
}

/// The changes that a follower had to apply since its last reset, as the wire writes them.
fn applied(effects: &[FollowerEffect]) -> Vec<(u64, Value)> {
    let mut all = Vec::new();
    for effect in effects {
        match effect {
            FollowerEffect::Apply { versions, .. } => {
                all.extend(versions.iter().map(|row| (row.version, row.to_json())))
            }
            FollowerEffect::ApplyFold { changes, .. } => {
                all.extend(changes.iter().map(|folded| (folded.version, folded.to_json())));
            }
            FollowerEffect::Reset { .. } => all.clear(),
            FollowerEffect::Dial(_)
            | FollowerEffect::Send(_)
            | FollowerEffect::Hangup { .. }
            | FollowerEffect::Phase(_)
            | FollowerEffect::ServerError { .. } => {}
        }
    }
    all.iter().map(|(version, json)| (version.number(), serde_json::from_str(json).unwrap())).collect()
}

/// Puts an unknown field into every object.
fn with_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(with_unknown_fields);
            fields.insert("later".to_owned(), json!({ "version": "none", "changes": [null] }));
        }
        Value::Array(items) => items.iter_mut().for_each(with_unknown_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A frame as a newer broker may send it.
fn newer(text: &str) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    with_unknown_fields(&mut frame);
    frame.to_string()
}

#[test]
fn the_first_brokers_frames_lead_to_the_recorded_positions_and_changes() {
    let mut played = 0;
    for transcript in TRANSCRIPTS {
        for (name, conversation) in conversations(transcript) {
            let (effects, follower) = conversation.play(conversation.texts.clone());
            let at = follower.position().map(|at| json!([at.epoch, at.version, at.hash]));
            let (position, changes) = conversation.told();
            assert_eq!(at.unwrap(), position, "{name} of {}", transcript.lines().next().unwrap());
            assert_eq!(applied(&effects), changes);
            assert!(
                !effects.iter().any(|effect| matches!(effect, FollowerEffect::Hangup { .. })),
                "{effects:?}"
            );
            let phase = match conversation.closed {
                Some(code) if code >= 4_500 => Phase::Closed,
                Some(_) => Phase::Waiting,
                None => Phase::Live,
            };
            assert_eq!(follower.phase(), phase);
            played += 1;
        }
    }
    assert_eq!(played, 24);
}

#[test]
fn what_a_newer_broker_adds_changes_nothing() {
    let unknown = [
        r#"{"type":"later"}"#,
        r#"{"type":"later","from":99,"to":1,"hash":7,"versions":"none","epoch":null,"version":-1}"#,
    ];
    for transcript in TRANSCRIPTS {
        for conversation in conversations(transcript).into_values() {
            let texts = conversation.texts.iter().flat_map(|text| {
                unknown.into_iter().map(str::to_owned).chain([newer(text)]).chain(unknown.map(str::to_owned))
            });
            let (effects, follower) = conversation.play(texts);
            let (expected, old) = conversation.play(conversation.texts.clone());
            assert_eq!(effects, expected);
            assert_eq!((follower.position(), follower.phase()), (old.position(), old.phase()));
        }
    }
}

#[test]
fn unknown_codes_go_by_their_range_and_are_told() {
    let live = conversations(TRANSCRIPTS[0]).remove("a").unwrap();
    for (code, phase) in [
        (1_012, Phase::Waiting),
        (4_000, Phase::Waiting),
        (4_499, Phase::Waiting),
        (4_500, Phase::Closed),
        (4_999, Phase::Closed),
    ] {
        let mut live = Conversation { closed: Some(code), texts: live.texts.clone(), ..live };
        live.texts.push(r#"{"type":"error","code":"of-tomorrow","later":1}"#.to_owned());
        let (effects, follower) = live.play(live.texts.clone());
        assert_eq!(follower.phase(), phase, "{code}");
        let told = effects.iter().any(
            |effect| matches!(effect, FollowerEffect::ServerError { code, .. } if code == "of-tomorrow"),
        );
        assert!(told, "{effects:?}");
        assert_eq!(follower.position().unwrap().version, Version::new(4).unwrap());
    }
}
