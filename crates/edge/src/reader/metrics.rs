//! The counters of an isolate: how they are counted, reported to the replica, and shown.

use std::time::Duration;

use newsreel_core::metrics::{counts::Count, prometheus};
use newsreel_core::read::cache::{Answer, Freshness, Tier, TierResult};
use newsreel_core::read::floors::EntryTags;
use newsreel_core::wire::{Tag, UnixMillis};
use worker::{AnalyticsEngineDataPointBuilder, Response, Result, console_warn};

use crate::clock::now;
use crate::http::text_response;
use crate::protocol::{Call, UsageReport};
use crate::reader::context::ReadContext;
use crate::reader::drive::FinishedRead;
use crate::reader::state::{Reader, reader};
use crate::reader::sync::post;
use crate::streams;

/// The binding of the Analytics Engine dataset; a deployment may have none.
const METRICS: &str = newsreel_core::variables::METRICS.name;
/// How often an isolate reports, while it has a window to its replica.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How many keys a report names.
const REPORTED_KEYS: usize = 200;

/// Counts reads that have ended.
pub(crate) fn count(context: &ReadContext, reads: &[FinishedRead]) {
    let now = now();
    reader(&context.catalog, |reader| {
        let lag = reader.known.lag(now);
        for read in reads {
            let (class, entry) = (read.key().class(), read.entry());
            read.machine().count(
                read.answer(),
                entry.is_some_and(|entry| entry.envelope.found),
                &mut reader.counts,
            );
            if !matches!(read.answer(), Answer::Fail(_)) {
                reader.counts.lag(class, lag);
            }
            if matches!(read.answer(), Answer::Serve { refresh: true, .. }) {
                reader.counts.add(class, Count::Refreshes, 1);
            }
            match read.origin() {
                Some((_, true)) => reader.counts.add(class, Count::Shared, 1),
                Some((took, false)) => reader.counts.origin_took(class, took),
                None => {}
            }
            reader.counts.add(class, Count::Syncs, read.task().syncs());
            if let Some(took) = read.took() {
                reader.counts.read_took(class, took);
                count_first_served(reader, read, now);
            }
            if !is_fresh(read.answer()) {
                count_staleness(reader, read, lag, now);
            }
            let tags: &[Tag] = entry.map_or(&[], |entry| &entry.envelope.tags);
            reader.hot.touch(read.key(), tags);
        }
    });
}

fn is_fresh(answer: &Answer) -> bool {
    match answer {
        Answer::Serve { freshness, .. } | Answer::Removed { freshness, .. } => *freshness == Freshness::Fresh,
        Answer::Fail(_) => true,
    }
}

/// Counts an answer of the origin in the place of an entry that a hard change had ended: the first with the change.
fn count_first_served(reader: &mut Reader, read: &FinishedRead, now: UnixMillis) {
    let was_below = read.machine().visits().iter().any(|(_, visit)| matches!(visit, TierResult::Below(_)));
    if let (Answer::Serve { from: Tier::Origin, .. }, true, Some(entry)) =
        (read.answer(), was_below, read.entry())
    {
        let newest = reader.known.floors().newest_over(read.key(), EntryTags::Tags(&entry.envelope.tags));
        if let Some(since) = reader.heard.since(newest, now) {
            reader.counts.first_served(read.key().class(), since);
        }
    }
}

/// Counts an answer that is marked: whether its lag was past the bound, and how long a change had been heard of that the
/// answer is from before.
fn count_staleness(reader: &mut Reader, read: &FinishedRead, lag: Option<Duration>, now: UnixMillis) {
    let class = read.key().class();
    if lag.is_none_or(|lag| lag > read.machine().policy().lag_bound) {
        reader.counts.add(class, Count::OverBound, 1);
    }
    let Some(entry) = read.entry() else { return };
    let newest = reader.known.floors().newest_over(read.key(), EntryTags::Tags(&entry.envelope.tags));
    let epoch = reader.known.position().map(|position| position.epoch);
    if epoch == Some(entry.envelope.position.epoch)
        && entry.envelope.position.version < newest
        && let Some(since) = reader.heard.since(newest, now)
    {
        reader.counts.outdated(class, since);
    }
}

/// Counts a fetch behind an answer, and what it is put into.
pub(crate) fn count_refresh(context: &ReadContext, reads: &[FinishedRead]) {
    reader(&context.catalog, |reader| {
        for read in reads {
            read.machine().count_fills(read.answer(), &mut reader.counts);
        }
    });
    count_fetch(context, reads);
}

/// Counts a fetch behind an answer.
fn count_fetch(context: &ReadContext, reads: &[FinishedRead]) {
    reader(&context.catalog, |reader| {
        for read in reads {
            read.machine().count_not_stored(&mut reader.counts);
            if read.seen().is_none() && read.filled().contains(&Tier::R2) {
                reader.counts.add(read.key().class(), Count::R2Heads, 1);
            }
            if let Some((took, false)) = read.origin() {
                reader.counts.origin_took(read.key().class(), took);
            }
        }
    });
}

/// Counts fetches that no reader asked for: fills and prefetches.
pub(crate) fn count_fills(context: &ReadContext, reads: &[FinishedRead]) {
    reader(&context.catalog, |reader| {
        for read in reads {
            read.machine().count(read.answer(), true, &mut reader.counts);
        }
    });
    count_fetch(context, reads);
}

/// Returns a report, if there is something to report and the last one was some time ago.
pub(crate) fn due(context: &ReadContext) -> Option<String> {
    let due = reader(&context.catalog, |reader| now().since(reader.reported_at) >= REPORT_EVERY);
    due.then(|| report(context)).flatten()
}

/// Returns the counts since the last report, if there are any, and writes them to Analytics Engine.
pub(crate) fn report(context: &ReadContext) -> Option<String> {
    reader(&context.catalog, |reader| {
        reader.reported_at = now();
        if reader.counts.is_empty() {
            return None;
        }
        write_points(context, reader);
        let hot = reader.hot.take_top(REPORTED_KEYS);
        Some(UsageReport { counts: reader.counts.take(), hot }.to_text())
    })
}

/// Writes a data point a class: the location and the class are its blobs, the counts its doubles.
fn write_points(context: &ReadContext, reader: &Reader) {
    let Ok(dataset) = context.env.analytics_engine(METRICS) else { return };
    let catalog = context.catalog.as_str();
    for class in reader.counts.classes() {
        let point = AnalyticsEngineDataPointBuilder::new()
            .indexes([catalog])
            .blobs([context.edge.as_str(), class, catalog])
            .doubles(reader.counts.doubles(class))
            .build();
        if let Err(error) = dataset.write_data_point(&point) {
            console_warn!("no data point of {class}: {error}");
        }
    }
}

/// Tells the replica what was counted since the last report, if anything was.
pub(crate) async fn tell(context: &ReadContext) -> Result<()> {
    if let Some(report) = report(context) {
        post(context, Call::Report, &report).await?;
    }
    Ok(())
}

/// Answers `GET metrics`, after this isolate has reported its own counts.
pub(crate) async fn show(context: &ReadContext) -> Result<Response> {
    tell(context).await?;
    let response = post(context, Call::Metrics, "").await?;
    text_response(prometheus::MEDIA_TYPE, streams::read_body_text(&response, &[]).await?)
}
