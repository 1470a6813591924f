//! Rows, folds and pages, as a log writes them and as followers, publishers and people read them back.

use std::fmt::Debug;

use newsreel_core::follow::hub::Session;
use newsreel_core::follow::topics::{self, Topics};
use newsreel_core::log::compaction::Compaction;
use newsreel_core::wire::change::{Change, Operation, Target};
use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::name::MAX_KEY_BYTES;
use newsreel_core::wire::ndjson::{PublishAnswer, PublishAnswers};
use newsreel_core::wire::page::{self, Followers, NewEpoch, Page, Status};
use newsreel_core::wire::position::Position;
use newsreel_core::wire::publish::Receipt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::first_lines;
use crate::names::{check_key, check_tag};

/// Asserts what holds of every change, wherever it was read.
pub(crate) fn check_change(change: &Change) {
    match &change.target {
        Target::Key(key) => check_key(key),
        Target::Tag(tag) => check_tag(tag),
        Target::Prefix(prefix) => assert!((1..=MAX_KEY_BYTES).contains(&prefix.as_str().len())),
        Target::All => {}
    }
    change.tags.iter().for_each(check_tag);
    let of_key = matches!(change.target, Target::Key(_));
    assert!(of_key || (change.tags.is_empty() && change.operation != Operation::Remove));
    let json = serde_json::to_string(change).expect("a change is JSON");
    assert_eq!(serde_json::from_str::<Change>(&json).expect("a change comes back"), *change);
}

/// Topics separated by spaces, and on the second line rows or folded changes separated by commas.
pub(crate) fn rows(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([wanted], rows) = first_lines(text);
    let topics =
        Topics::new(wanted.split(' ').filter(|topic| !topic.is_empty()).map(str::to_owned).collect());
    assert_eq!(serde_json::from_value::<Topics>(serde_json::json!(topics)).ok().as_ref(), Some(&topics));
    if let Ok(versions) = topics::versions(rows) {
        check_rows(&topics, rows, &versions);
    }
    let Ok(changes) = serde_json::from_str::<Vec<FoldedChange>>(&format!("[{rows}]")) else { return };
    let left = topics.filtered_fold(rows).expect("what was read is filtered");
    assert!(left.is_ascii());
    assert_eq!(topics.filtered_fold(&left).expect("what is left is a fold"), left, "filtering twice is once");
    let passing: Vec<FoldedChange> =
        changes.into_iter().filter(|folded| topics.pass(&folded.change)).collect();
    let again = serde_json::from_str::<Vec<FoldedChange>>(&format!("[{left}]")).expect("a fold comes back");
    assert_eq!(again, passing);
}

fn check_rows(topics: &Topics, rows: &str, versions: &[VersionRow]) {
    versions.iter().flat_map(|row| &row.changes).for_each(check_change);
    let left = topics.filtered(rows).expect("what was read is filtered");
    assert!(left.is_ascii());
    assert_eq!(topics.passing_rows(versions), left);
    assert_eq!(topics.filtered(&left).expect("what is left are rows"), left, "filtering twice is once");
    let passing = versions.iter().flat_map(|row| &row.changes).filter(|change| topics.pass(change)).count();
    let again = topics::versions(&left).expect("rows come back");
    assert_eq!(again.iter().map(|row| row.changes.len()).sum::<usize>(), passing);
    check_fold(versions);
}

/// Compaction of a fold changes nothing.
fn check_fold(versions: &[VersionRow]) {
    if !versions.is_sorted_by(|one, next| one.version < next.version) {
        return;
    }
    let fold = Compaction::of(Vec::new(), versions.to_vec());
    let told: Vec<FoldedChange> = fold.survivors.values().flatten().cloned().collect();
    assert!(told.iter().all(|folded| versions.iter().any(|row| row.version == folded.version)));
    for folded in &told {
        let json = folded.to_json();
        assert!(json.is_ascii());
        assert_eq!(serde_json::from_str::<FoldedChange>(&json).expect("a folded change comes back"), *folded);
    }
    let again = Compaction::of(told, Vec::new());
    assert_eq!(again.survivors.values().flatten().count(), fold.survivors.values().flatten().count());
    assert_eq!(again.survivors, fold.survivors.into_iter().filter(|(_, left)| !left.is_empty()).collect());
}

/// The answers of a broker, and the attachments of its sockets.
pub(crate) fn answers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    comes_back::<Status>(text);
    comes_back::<Followers>(text);
    comes_back::<NewEpoch>(text);
    comes_back::<Receipt>(text);
    if let Ok(session) = serde_json::from_str::<Session>(text) {
        let json = session.to_json();
        assert!(json.is_ascii());
        assert_eq!(serde_json::from_str::<Session>(&json).expect("an attachment comes back").to_json(), json);
    }
    // Only read: reading must not panic.
    let _ = serde_json::from_str::<PublishAnswers<PublishAnswer>>(text);
    let Ok(page) = serde_json::from_str::<Page>(text) else { return };
    let to = Position { epoch: page.epoch, version: page.to, hash: page.hash };
    let rows: Vec<String> = page.versions.iter().map(VersionRow::to_json).collect();
    let written = page::text(page.from, &to, page.head, &rows.join(","));
    assert_eq!(serde_json::from_str::<Page>(&written).expect("a page comes back"), page);
    assert!(page::etag(page.from, &to, page.head).bytes().all(|byte| byte.is_ascii_graphic()));
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    if let Ok(read) = serde_json::from_str::<T>(text) {
        let json = serde_json::to_string(&read).expect("it is JSON");
        assert_eq!(serde_json::from_str::<T>(&json).expect("it comes back"), read);
    }
}
