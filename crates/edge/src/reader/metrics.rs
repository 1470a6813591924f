//! The counters of an isolate: how they are counted, reported to the replica, and shown.

use std::time::Duration;

use newsreel_core::metrics::{counts::Count, prometheus};
use newsreel_core::read::cache::Answer;
use newsreel_core::wire::Tag;
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
            let tags: &[Tag] = entry.map_or(&[], |entry| &entry.envelope.tags);
            reader.hot.touch(read.key(), tags);
        }
    });
}

/// Counts a fetch behind an answer.
pub(crate) fn count_fetch(context: &ReadContext, reads: &[FinishedRead]) {
    reader(&context.catalog, |reader| {
        for read in reads {
            read.machine().count_not_stored(&mut reader.counts);
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

/// Answers `GET metrics`, after this isolate has reported its own counts.
pub(crate) async fn show(context: &ReadContext) -> Result<Response> {
    if let Some(report) = report(context) {
        post(context, Call::Report, &report).await?;
    }
    let response = post(context, Call::Metrics, "").await?;
    text_response(prometheus::MEDIA_TYPE, streams::read_body_text(&response, &[]).await?)
}
