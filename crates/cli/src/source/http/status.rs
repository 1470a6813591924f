//! `newsreel source http status`: how far each feed has come, by its files.

use std::path::Path;

use newsreel_core::wire::UnixMillis;
use newsreel_mapping::Feed;
use serde::Serialize;
use serde_json::json;

use super::files::FeedFiles;
use super::state::FeedState;
use crate::exit::{Failure, print};
use crate::source::watch::now_millis;
use crate::utc::utc;

/// After how many intervals without a good answer a feed counts as failing.
const PATIENCE: u32 = 3;

/// The account of one feed.
#[derive(Debug, Serialize)]
struct Status {
    feed: String,
    kind: &'static str,
    /// Up to when everything is published, by the server's clock.
    since: Option<i64>,
    cursor: Option<String>,
    /// When the last good round ended.
    good_at: Option<i64>,
    age_seconds: Option<f64>,
    every_seconds: f64,
    remembered: usize,
    pending_publishes: usize,
    gap: Option<String>,
    /// Whether the last good round is too long ago.
    late: bool,
}

/// Prints the account of each feed. One that is late is a failure.
pub(super) fn show(folder: &Path, feeds: &[Feed], json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    for feed in feeds {
        let state = FeedFiles::of(folder, feed).read().map_err(anyhow::Error::from)?;
        all.push(Status::of(feed, state.as_ref(), now_millis()));
    }
    let line = |status: &Status| if json { format!("{}\n", json!(status)) } else { text(status) };
    print(&all.iter().map(line).collect::<Vec<_>>().join(if json { "" } else { "\n" }))?;
    match all.into_iter().find(|status| status.late) {
        None => Ok(()),
        Some(late) => {
            let why = late.age_seconds.map_or_else(
                || format!("no good answer is known in {}", folder.display()),
                |age| format!("the last good answer is {age:.0} s ago"),
            );
            Err(Failure::Feed { feed: late.feed, why })
        }
    }
}

impl Status {
    fn of(feed: &Feed, state: Option<&FeedState>, now: i64) -> Self {
        let age = state.and_then(|state| state.good_at).map(|at| (now - at).max(0) as f64 / 1_000.0);
        let reached = state.map(|state| &state.reached);
        Self {
            feed: feed.name.clone(),
            kind: feed.kind.name(),
            since: reached.and_then(|reached| reached.since),
            cursor: reached.and_then(|reached| reached.cursor.clone()),
            good_at: state.and_then(|state| state.good_at),
            age_seconds: age,
            every_seconds: feed.every.as_secs_f64(),
            remembered: reached.map_or(0, |reached| reached.seen.len()),
            pending_publishes: state
                .and_then(|state| state.pending.as_ref())
                .map_or(0, |pending| pending.lines.len()),
            gap: reached.and_then(|reached| reached.gap.clone()),
            late: age.is_none_or(|age| age > (feed.every * PATIENCE).as_secs_f64()),
        }
    }
}

fn text(status: &Status) -> String {
    let at = |millis: Option<i64>| {
        millis
            .and_then(|millis| u64::try_from(millis).ok())
            .map_or_else(|| "-".to_owned(), |millis| utc(UnixMillis(millis)))
    };
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    format!(
        "feed           {}\nkind           {}\npublished to   {}\ncursor         {}\nlast good      {}{}\nremembered     {}\n\
         pending        {}\ngap            {}\n",
        status.feed,
        status.kind,
        at(status.since),
        or_none(status.cursor.as_deref()),
        at(status.good_at),
        if status.late { " (LATE)" } else { "" },
        status.remembered,
        status.pending_publishes,
        or_none(status.gap.as_deref()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::example::feed;
    use super::*;

    #[test]
    fn a_feed_without_a_good_answer_for_three_intervals_is_late() {
        let feed = feed("kind = \"etag\"\nurl = \"http://h\"\nevery = \"10 s\"");
        assert!(Status::of(&feed, None, 0).late);
        let mapping = newsreel_mapping::Mapping::parse("[[map]]\nfrom = \"f\"\nkey = \"a:{id}\"\n").unwrap();
        let mut state = FeedState::new(&feed, &mapping, String::new(), "new");
        state.good_at = Some(1_000);
        assert!(!Status::of(&feed, Some(&state), 31_000).late);
        let late = Status::of(&feed, Some(&state), 31_001);
        assert!(late.late);
        assert!(text(&late).contains("(LATE)"), "{}", text(&late));
    }
}
