//! The golden wire files, read and written by this crate. `e2e/golden.test.mjs` holds a second
//! implementation, written from `PROTOCOL.md`, to the same files: what both agree on is the protocol.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a case that cannot be read ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use newsreel_core::access::cors::Origins;
use newsreel_core::access::subprotocol_bearer;
use newsreel_core::follow::topics::Topics;
use newsreel_core::log::compaction::Compaction;
use newsreel_core::log::{ClaimStatus, Log, ResetReason};
use newsreel_core::wire::claim::{Claim, Start};
use newsreel_core::wire::cursor::PageCursor;
use newsreel_core::wire::frame::{self, FoldedChange, FollowerFrame, Frame, Resume, VersionRow, close};
use newsreel_core::wire::keys;
use newsreel_core::wire::ndjson::{self, PublishAnswer, PublishAnswers, answers_text};
use newsreel_core::wire::page::{self, Followers, NewEpoch, Page};
use newsreel_core::wire::publish::check_idempotency_key;
use newsreel_core::wire::query::{FollowQuery, PageQuery};
use newsreel_core::wire::{
    Catalog, Change, Code, Epoch, Hash, Key, Operation, Position, Prefix, Problem, Publish, PublishLine,
    Receipt, Route, Status, Tag, Target, Version, sse,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// One line of a golden file.
struct Case(Value);

impl Case {
    fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    fn has(&self, name: &str) -> bool {
        !self.value(name).is_null()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> T {
        T::deserialize(self.value(name)).unwrap_or_else(|error| panic!("{name} of {}: {error}", self.0))
    }

    fn text(&self, name: &str) -> &str {
        self.value(name).as_str().unwrap_or_else(|| panic!("{} has no text {name}", self.0))
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.read(name)
    }

    /// Reads a field of a type that has a text form of its own.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.text(name).parse().unwrap_or_else(|error| panic!("{name} of {}: {error:?}", self.0))
    }

    fn position(&self) -> Position {
        Position { epoch: self.parsed("epoch"), version: self.read("version"), hash: self.parsed("hash") }
    }
}

/// A kind of case, and what it shows.
type Kind = (&'static str, fn(&Case));

/// Runs every case of a file, and sees to it that every kind has one.
#[track_caller]
fn check(file: &str, kinds: &[Kind]) {
    let mut missing: BTreeSet<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
    for (at, line) in file.lines().enumerate() {
        let case = Case(serde_json::from_str(line).unwrap());
        let kind = case.text("case");
        let known = kinds.iter().find(|(known, _)| *known == kind);
        let (_, run) = known.unwrap_or_else(|| panic!("line {}: no case is called {kind}", at + 1));
        println!("line {}: {}", at + 1, case.text("why"));
        run(&case);
        missing.remove(kind);
    }
    assert!(missing.is_empty(), "every kind of case has one: {missing:?}");
}

// --- names, positions ---

fn name(case: &Case) {
    let text = case.text("text");
    let ok = match case.text("kind") {
        "catalog" => Catalog::new(text).is_ok(),
        "key" => Key::new(text).is_ok(),
        "prefix" => Prefix::new(text).is_ok(),
        "tag" => Tag::new(text).is_ok(),
        "idempotency-key" => check_idempotency_key(text).is_ok(),
        other => panic!("no name is called {other}"),
    };
    assert_eq!(ok, case.read::<bool>("ok"), "{text:?}");
}

fn path(case: &Case) {
    let (key, path) = (Key::new(case.text("key")).unwrap(), case.text("path"));
    assert_eq!(keys::encoded_key(&key), path);
    assert_eq!(keys::decoded_key(path), Ok(key));
}

#[test]
fn names() {
    check(include_str!("golden/names.jsonl"), &[("name", name), ("path", path)]);
}

fn positions_of(epoch: Epoch, rows: &[String]) -> Vec<Position> {
    let mut positions = vec![Position::genesis(epoch)];
    for row in rows {
        positions.push(positions[positions.len() - 1].then(row.as_bytes()));
    }
    positions
}

fn chain(case: &Case) {
    let rows = case.texts("rows");
    for row in &rows {
        assert_eq!(serde_json::from_str::<VersionRow>(row).unwrap().to_json(), *row);
    }
    let positions = positions_of(case.parsed("epoch"), &rows);
    assert_eq!(positions.iter().map(Position::to_string).collect::<Vec<_>>(), case.texts("positions"));
}

fn position(case: &Case) {
    assert_eq!(case.parsed::<Position>("text"), case.position());
    assert_eq!(case.position().to_string(), case.text("text"));
}

fn no_position(case: &Case) {
    assert!(case.text("text").parse::<Position>().is_err());
}

fn newer(case: &Case) {
    assert!(case.parsed::<Epoch>("older") < case.parsed::<Epoch>("newer"));
}

#[test]
fn positions() {
    check(
        include_str!("golden/positions.jsonl"),
        &[("chain", chain), ("position", position), ("refused", no_position), ("newer", newer)],
    );
}

// --- publishes ---

fn is_publish(case: &Case, publish: &Publish) {
    assert_eq!(publish.written().changes, case.text("changes"));
    assert_eq!(serde_json::to_value(publish.expect).unwrap(), *case.value("expect"));
    assert_eq!(publish.cause.members(), case.read::<Option<String>>("cause").unwrap_or_default());
}

fn publish(case: &Case) {
    is_publish(case, &Publish::parse(case.text("body").as_bytes()).unwrap());
}

fn line(case: &Case) {
    let line = PublishLine::parse(case.text("body").as_bytes()).unwrap();
    is_publish(case, &line.publish);
    assert_eq!(line.idempotency_key, case.read::<Option<String>>("idempotency_key"));
}

fn refused_publish(case: &Case) {
    let refused = Publish::parse(case.text("body").as_bytes()).unwrap_err();
    assert_eq!(Problem::from(refused).code(), case.text("code"));
}

fn refused_line(case: &Case) {
    let refused = PublishLine::parse(case.text("body").as_bytes()).unwrap_err();
    assert_eq!(Problem::from(refused).code(), case.text("code"));
}

fn body(case: &Case) {
    let body = case.text("body");
    let lines = ndjson::split(body.as_bytes()).unwrap();
    let trimmed: Vec<&[u8]> = lines.iter().map(|line| line.trim_ascii()).collect();
    assert_eq!(trimmed, case.texts("lines").iter().map(String::as_bytes).collect::<Vec<_>>());
    let keys: Vec<String> = (1..=lines.len()).map(|n| ndjson::nth_key(case.text("key"), n)).collect();
    assert_eq!(keys, case.texts("keys"));
}

fn refused_body(case: &Case) {
    assert_eq!(ndjson::split(case.text("body").as_bytes()).unwrap_err().code(), case.text("code"));
}

fn content_type(case: &Case) {
    assert_eq!(ndjson::are_in(case.text("content_type")), case.read::<bool>("lines"));
}

fn same(case: &Case) {
    let bodies = case.texts("bodies");
    let meanings: BTreeSet<String> =
        bodies.iter().map(|body| Publish::parse(body.as_bytes()).unwrap().written().fingerprint()).collect();
    assert_eq!(meanings.len() == 1, case.read::<bool>("same"));
}

#[test]
fn publishes() {
    check(
        include_str!("golden/publishes.jsonl"),
        &[
            ("publish", publish),
            ("line", line),
            ("refused", refused_publish),
            ("refused-line", refused_line),
            ("body", body),
            ("refused-body", refused_body),
            ("content-type", content_type),
            ("same", same),
        ],
    );
}

// --- frames ---

fn folded_value(folded: &FoldedChange) -> Value {
    serde_json::from_str(&folded.to_json()).unwrap()
}

fn resume_text(resume: Resume) -> &'static str {
    match resume {
        Resume::Live => "live",
        Resume::Replay => "replay",
        Resume::Reset => "reset",
    }
}

/// The meaning of a frame, as the files tell it.
fn meaning(frame: &Frame) -> Value {
    let text = |hash: &Hash| hash.to_string();
    let mut told = match frame {
        Frame::Welcome { epoch, head, hash, resume } => {
            let hash = hash.as_ref().map(text);
            let (epoch, resume) = (epoch.as_str(), resume_text(*resume));
            json!({"type": "welcome", "epoch": epoch, "head": head, "hash": hash, "resume": resume})
        }
        Frame::Changes { from, to, hash, versions, ack } => {
            json!({"type": "changes", "from": from, "to": to, "hash": text(hash), "ack": ack, "versions": versions})
        }
        Frame::Fold(frame::Fold { from, to, hash, changes, more, part }) => {
            let (changes, hash): (Vec<Value>, _) = (changes.iter().map(folded_value).collect(), text(hash));
            json!({"type": "fold", "from": from, "to": to, "hash": hash, "changes": changes, "more": more, "part": part})
        }
        Frame::Live { version } => json!({"type": "live", "version": version}),
        Frame::Head { from, version, hash } => {
            json!({"type": "head", "from": from, "version": version, "hash": text(hash)})
        }
        Frame::Reset { position: Position { epoch, version, hash }, reason } => {
            let epoch = epoch.as_str();
            json!({"type": "reset", "epoch": epoch, "version": version, "hash": text(hash), "reason": reason})
        }
        Frame::Error { code, message, retry_after_ms } => {
            json!({"type": "error", "code": code, "message": message, "retry_after_ms": retry_after_ms})
        }
        Frame::Pong(Position { epoch, version, hash }) => {
            json!({"type": "pong", "epoch": epoch.as_str(), "version": version, "hash": text(hash)})
        }
        Frame::Unknown(kind) => panic!("{kind} is no frame that is known"),
    };
    told.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    told
}

/// A frame as the broker writes it. Where it shows no epoch, any will do.
fn written(frame: &Frame) -> String {
    let any = "01ARYZ6S410000000000000000".parse().unwrap();
    let at = |version: &Version, hash: &Hash| Position { epoch: any, version: *version, hash: *hash };
    match frame {
        Frame::Welcome { epoch, head, hash, resume } => {
            let head = Position { epoch: *epoch, version: *head, hash: hash.unwrap() };
            frame::welcome(&head, *resume)
        }
        Frame::Changes { from, to, hash, versions, ack } => {
            let rows: Vec<String> = versions.iter().map(VersionRow::to_json).collect();
            frame::changes_text(*from, &at(to, hash), *ack, &rows.join(","))
        }
        Frame::Fold(frame::Fold { from, to, hash, changes, more, part }) => {
            let changes: Vec<String> = changes.iter().map(FoldedChange::to_json).collect();
            frame::fold_text(*from, &at(to, hash), part.unwrap(), &changes.join(","), *more)
        }
        Frame::Live { version } => frame::live(*version),
        Frame::Head { from, version, hash } => frame::head(from.unwrap(), &at(version, hash)),
        Frame::Reset { position, reason } => frame::reset(position, reason),
        Frame::Error { code, message, retry_after_ms } => frame::error(code, message, *retry_after_ms),
        Frame::Pong(head) => frame::pong(head),
        Frame::Unknown(kind) => panic!("nobody writes {kind}"),
    }
}

fn known_frame(case: &Case) {
    let frame = Frame::parse(case.text("text")).unwrap();
    assert_eq!(meaning(&frame), *case.value("meaning"));
    if case.read("ours") {
        assert_eq!(written(&frame), case.text("text"));
    }
}

fn unknown_frame(case: &Case) {
    let frame = Frame::parse(case.text("text")).unwrap();
    assert_eq!(frame, Frame::Unknown(case.text("type").to_owned()));
}

fn no_frame(case: &Case) {
    assert!(Frame::parse(case.text("text")).is_err());
}

fn close_code(case: &Case) {
    assert_eq!(close::may_reconnect(case.read("code")), case.read::<bool>("comes_back"));
}

#[test]
fn frames() {
    check(
        include_str!("golden/frames.jsonl"),
        &[("frame", known_frame), ("unknown", unknown_frame), ("no-frame", no_frame), ("close", close_code)],
    );
}

fn follower_frame(case: &Case) {
    let (told, text) = match FollowerFrame::parse(case.text("text")).unwrap() {
        FollowerFrame::Ack { version } => (json!({"type": "ack", "version": version}), frame::ack(version)),
        FollowerFrame::Ping => (json!({"type": "ping"}), frame::PING.to_owned()),
    };
    assert_eq!(told, *case.value("meaning"));
    if case.read("ours") {
        assert_eq!(text, case.text("text"));
    }
}

fn refused_frame(case: &Case) {
    assert!(FollowerFrame::parse(case.text("text")).is_err());
}

#[test]
fn follower_frames() {
    check(
        include_str!("golden/follower-frames.jsonl"),
        &[("frame", follower_frame), ("refused", refused_frame)],
    );
}

// --- folds, topics ---

/// Returns the changes that survive these steps, as a storage keeps them.
fn fold(case: &Case) {
    let mut stored: BTreeMap<Target, Vec<FoldedChange>> = BTreeMap::new();
    for rows in case.read::<Vec<Vec<String>>>("steps") {
        let rows: Vec<VersionRow> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let named = rows.iter().flat_map(|row| &row.changes).map(|change| &change.target);
        let before = named.filter_map(|target| stored.remove(target)).flatten().collect();
        let Compaction { survivors: left, superseding: covers } = Compaction::of(before, rows);
        for cover in &covers {
            for (_, changes) in stored.iter_mut().filter(|(target, _)| cover.reaches(target)) {
                changes.retain(|folded| match folded.change.operation {
                    Operation::Update => cover.soft || folded.version > cover.version,
                    Operation::Soften => folded.version > cover.version,
                    Operation::Remove => true,
                });
            }
        }
        stored.extend(left);
    }
    // The order of the changes within a version means nothing.
    let left = stored.values().flatten().map(|folded| (folded.version, folded.to_json()));
    let left: BTreeSet<(Version, String)> = left.collect();
    assert_eq!(left.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), case.texts("left"));
}

fn topics(case: &Case) {
    let change: Change = serde_json::from_str(case.text("change")).unwrap();
    assert_eq!(Topics::new(case.texts("topics")).pass(&change), case.read::<bool>("passes"));
}

#[test]
fn folds() {
    check(include_str!("golden/folds.jsonl"), &[("fold", fold), ("topics", topics)]);
}

// --- claims, addresses ---

/// A claim as the files tell it.
fn claim_value(start: Start) -> Value {
    match start {
        Start::Head => json!("head"),
        Start::At(Claim::Nothing) => json!({"version": 0}),
        Start::At(Claim::Held { epoch, version, hash: None }) => {
            json!({"epoch": epoch.as_str(), "version": version})
        }
        Start::At(Claim::Held { epoch, version, hash: Some(hash) }) => {
            json!({"epoch": epoch.as_str(), "version": version, "hash": hash.to_string()})
        }
    }
}

fn claim_of(value: &Value) -> Option<Claim> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let version = Version::new(value.get("version")?.as_u64()?)?;
    Some(text("epoch").map_or(Claim::Nothing, |epoch| {
        let hash = text("hash").map(|hash| hash.parse().unwrap());
        Claim::Held { epoch: epoch.parse().unwrap(), version, hash }
    }))
}

fn claim(case: &Case) {
    let log = Case(case.value("log").clone());
    let (epoch, known): (Epoch, usize) = (log.parsed("epoch"), log.read("known"));
    let positions = positions_of(epoch, &log.texts("rows"));
    let ours = Log::ending_at(positions[positions.len() - 1]);
    let standing = claim_of(case.value("claim")).map_or(ClaimStatus::Current, |claim| {
        let at = usize::try_from(claim.version().number()).unwrap();
        let logged = positions.get(at).filter(|_| at >= known).map(|position| position.hash);
        ours.claim_status(claim, logged)
    });
    let is = match standing {
        ClaimStatus::Current => "the head",
        ClaimStatus::Behind { .. } => "behind",
        ClaimStatus::NotOnLog(reason) => reason.text(),
    };
    assert_eq!(is, case.text("is"));
    let shown = claim_of(case.value("claim"));
    let begins = match (standing, shown) {
        (ClaimStatus::NotOnLog(reason), Some(Claim::Held { epoch: shown, .. })) => {
            proves(reason, shown, epoch)
        }
        (ClaimStatus::Current | ClaimStatus::Behind { .. } | ClaimStatus::NotOnLog(_), _) => false,
    };
    assert_eq!(begins, case.read::<bool>("new_epoch"));
}

fn proves(reason: ResetReason, shown: Epoch, ours: Epoch) -> bool {
    reason.proves_a_restore(shown, ours)
}

fn route_of(call: &str, case: &Case) -> Result<Route, Problem> {
    Route::parse("GET", &format!("/v1/catalogs/tv/{call}"), case.text("query"))
}

fn follow(case: &Case) {
    let Ok(Route::Follow(_, FollowQuery { from, .. })) = route_of("follow", case) else {
        panic!("{} is a follower's", case.text("query"))
    };
    assert_eq!(claim_value(from), *case.value("claim"));
}

fn page_query(case: &Case) {
    let Ok(Route::Changes(_, PageQuery { since, limit, topics, wait, fold })) = route_of("changes", case)
    else {
        panic!("{} is a page's", case.text("query"))
    };
    assert_eq!(claim_value(Start::At(since)), *case.value("claim"));
    assert_eq!((limit, topics, fold), (case.read("limit"), case.texts("topics"), None));
    assert_eq!(wait, Duration::from_millis(case.read("wait_ms")));
}

fn refused_follow(case: &Case) {
    assert_eq!(route_of("follow", case).unwrap_err().code(), case.text("code"));
}

fn refused_page(case: &Case) {
    assert_eq!(route_of("changes", case).unwrap_err().code(), case.text("code"));
}

fn origin(case: &Case) {
    let origins = Origins::parse(case.text("list")).unwrap();
    assert_eq!(origins.allow(case.text("origin"), case.text("own")), case.read::<bool>("allowed"));
}

fn subprotocols(case: &Case) {
    let offered: Option<String> = case.read("offered");
    assert_eq!(frame::is_spoken(offered.as_deref()), case.read::<bool>("spoken"));
    assert_eq!(subprotocol_bearer(&offered.unwrap_or_default()), case.read::<Option<String>>("token"));
}

#[test]
fn claims() {
    check(
        include_str!("golden/claims.jsonl"),
        &[
            ("claim", claim),
            ("follow", follow),
            ("page", page_query),
            ("refused-follow", refused_follow),
            ("refused-page", refused_page),
            ("origin", origin),
            ("subprotocols", subprotocols),
        ],
    );
}

// --- answers, events ---

fn receipt(case: &Case) {
    let receipt: Receipt = serde_json::from_str(case.text("text")).unwrap();
    assert_eq!(serde_json::to_string(&receipt).unwrap(), case.text("text"));
    assert_eq!(serde_json::to_value(&receipt).unwrap(), *case.value("meaning"));
}

fn problem(case: &Case) {
    let code = Code::ALL.iter().find(|code| code.text() == case.text("code")).unwrap();
    let members: BTreeMap<String, Value> = case.read("members");
    let problem = Problem::new(*code, case.text("detail"));
    let problem = members.iter().fold(problem, |problem, (name, value)| problem.with(name, value));
    let told: Value = serde_json::from_str(case.text("text")).unwrap();
    // The order of its members means nothing.
    assert_eq!(serde_json::from_str::<Value>(&problem.to_json()).unwrap(), told);
    assert_eq!(problem.status(), case.read::<u16>("status"));
}

fn answers(case: &Case) {
    let PublishAnswers { answers } =
        serde_json::from_str::<PublishAnswers<PublishAnswer>>(case.text("text")).unwrap();
    let each = case.texts("answers");
    let alone: Vec<PublishAnswer> = each.iter().map(|one| serde_json::from_str(one).unwrap()).collect();
    assert_eq!(answers, alone);
    assert_eq!(answers_text(&each.join(",")), case.text("text"));
}

/// Reads the answer to a body of lines: each line alone is a receipt or a problem.
fn answer_lines(case: &Case) {
    let told: Vec<&str> = case.text("text").split_terminator('\n').collect();
    assert_eq!(told, case.texts("answers"));
    for line in told {
        let answer: PublishAnswer = serde_json::from_str(line).unwrap();
        assert_eq!(matches!(answer, PublishAnswer::Refused(_)), line.contains("urn:newsreel:problem:"));
    }
}

fn range(case: &Case) -> (Version, Position, Version) {
    let to = Position { epoch: case.parsed("epoch"), version: case.read("to"), hash: case.parsed("hash") };
    (case.read("from"), to, case.read("head"))
}

fn page(case: &Case) {
    let (from, to, head) = range(case);
    let rows = case.texts("rows");
    assert_eq!(page::text(from, &to, head, &rows.join(",")), case.text("text"));
    assert_eq!(page::etag(from, &to, head), case.text("etag"));
    let read: Page = serde_json::from_str(case.text("text")).unwrap();
    assert_eq!(
        (read.epoch, read.from, read.to, read.head, read.hash),
        (to.epoch, from, to.version, head, to.hash)
    );
    assert_eq!(read.versions.iter().map(VersionRow::to_json).collect::<Vec<_>>(), rows);
    let held = Claim::Held { epoch: to.epoch, version: from, hash: None };
    let since = if case.read("names_epoch") { held } else { Claim::Nothing };
    let (limit, topics, wait, fold) = (case.read("limit"), Vec::new(), Duration::ZERO, None);
    let query = PageQuery { since, limit, topics, wait, fold };
    assert_eq!(page::cache_control(&query, to.version, head), case.text("cache_control"));
}

fn fold_page(case: &Case) {
    let (from, to, head) = range(case);
    let left = case.texts("left");
    let next: Option<PageCursor> = case.has("next").then(|| case.parsed("next"));
    let next = next.map(|next| next.cursor);
    assert_eq!(page::fold_text(from, &to, head, &left.join(","), next.as_ref()), case.text("text"));
    assert_eq!(page::fold_etag(from, &to, head), case.text("etag"));
    let body: Value = serde_json::from_str(case.text("text")).unwrap();
    let read: Vec<FoldedChange> = serde_json::from_value(body["changes"].clone()).unwrap();
    assert_eq!(read.iter().map(FoldedChange::to_json).collect::<Vec<_>>(), left);
}

fn same_both_ways<T: DeserializeOwned + serde::Serialize>(case: &Case) {
    let read: T = serde_json::from_str(case.text("text")).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), case.text("text"));
    assert_eq!(serde_json::to_value(&read).unwrap(), *case.value("meaning"));
}

#[test]
fn answers_of_the_broker() {
    check(
        include_str!("golden/answers.jsonl"),
        &[
            ("receipt", receipt),
            ("problem", problem),
            ("answers", answers),
            ("lines", answer_lines),
            ("page", page),
            ("fold-page", fold_page),
            ("status", same_both_ways::<Status>),
            ("followers", same_both_ways::<Followers>),
            ("new-epoch", same_both_ways::<NewEpoch>),
        ],
    );
}

fn one_event(case: &Case) {
    let id: Option<Position> = case.has("id").then(|| case.parsed("id"));
    assert_eq!(sse::event(case.text("kind"), id.as_ref(), case.text("frame")), case.text("text"));
    let frame = Frame::parse(case.text("frame")).unwrap();
    assert_eq!(written(&frame), case.text("frame"));
    assert_eq!(meaning(&frame)["type"], case.text("kind"));
}

fn retry(case: &Case) {
    assert_eq!(sse::retry(Duration::from_millis(case.read("ms"))), case.text("text"));
}

fn comment(case: &Case) {
    assert_eq!(sse::KEEP_ALIVE, case.text("text"));
}

fn accept(case: &Case) {
    assert_eq!(sse::is_wanted(case.text("accept")), case.read::<bool>("wanted"));
}

#[test]
fn events() {
    check(
        include_str!("golden/events.jsonl"),
        &[("event", one_event), ("retry", retry), ("comment", comment), ("accept", accept)],
    );
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_golden_file_is_read() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap();
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(include_str!("golden.rs").contains(&format!("\"golden/{name}\"")), "nothing reads {name}");
    }
}
