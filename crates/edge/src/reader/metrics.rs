//! The counters of an isolate: how they are counted, reported to the replica, and shown.

use std::time::Duration;

use newsreel_core::metrics::{counts::Count, prometheus};
use newsreel_core::read::cache::Answer;
use newsreel_core::wire::Tag;
use worker::{AnalyticsEngineDataPointBuilder, Response, Result, console_warn};

use crate::clock::now;
use crate::http::text_response;
use crate::protocol::{Call, UsageReport};
use crate::reader::context::Place;
use crate::reader::drive::Walk;
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
pub(crate) fn count(place: &Place, walks: &[Walk]) {
    let now = now();
    reader(&place.catalog, |reader| {
        let lag = reader.known.lag(now);
        for walk in walks {
            let (class, entry) = (walk.key().class(), walk.entry());
            walk.read().count(
                walk.answer(),
                entry.is_some_and(|entry| entry.envelope.found),
                &mut reader.counts,
            );
            if !matches!(walk.answer(), Answer::Fail(_)) {
                reader.counts.lag(class, lag);
            }
            if matches!(walk.answer(), Answer::Serve { refresh: true, .. }) {
                reader.counts.add(class, Count::Refreshes, 1);
            }
            match walk.origin() {
                Some((_, true)) => reader.counts.add(class, Count::Shared, 1),
                Some((took, false)) => reader.counts.origin_took(class, took),
                None => {}
            }
            reader.counts.add(class, Count::Syncs, walk.task().syncs());
            let tags: &[Tag] = entry.map_or(&[], |entry| &entry.envelope.tags);
            reader.hot.touch(walk.key(), tags);
        }
    });
}

/// Counts a fetch behind an answer.
pub(crate) fn count_fetch(place: &Place, walks: &[Walk]) {
    reader(&place.catalog, |reader| {
        for walk in walks {
            walk.read().count_not_stored(&mut reader.counts);
            if let Some((took, false)) = walk.origin() {
                reader.counts.origin_took(walk.key().class(), took);
            }
        }
    });
}

/// Counts fetches that no reader asked for: fills and prefetches.
pub(crate) fn count_fills(place: &Place, walks: &[Walk]) {
    reader(&place.catalog, |reader| {
        for walk in walks {
            walk.read().count(walk.answer(), true, &mut reader.counts);
        }
    });
    count_fetch(place, walks);
}

/// Returns a report, if there is something to report and the last one was some time ago.
pub(crate) fn due(place: &Place) -> Option<String> {
    let due = reader(&place.catalog, |reader| now().since(reader.reported_at) >= REPORT_EVERY);
    due.then(|| report(place)).flatten()
}

/// Returns the counts since the last report, if there are any, and writes them to Analytics Engine.
pub(crate) fn report(place: &Place) -> Option<String> {
    reader(&place.catalog, |reader| {
        reader.reported_at = now();
        if reader.counts.is_empty() {
            return None;
        }
        write_points(place, reader);
        let hot = reader.hot.take_top(REPORTED_KEYS);
        Some(UsageReport { counts: reader.counts.take(), hot }.to_text())
    })
}

/// Writes a data point a class: the location and the class are its blobs, the counts its doubles.
fn write_points(place: &Place, reader: &Reader) {
    let Ok(dataset) = place.env.analytics_engine(METRICS) else { return };
    let catalog = place.catalog.as_str();
    for class in reader.counts.classes() {
        let point = AnalyticsEngineDataPointBuilder::new()
            .indexes([catalog])
            .blobs([place.edge.as_str(), class, catalog])
            .doubles(reader.counts.doubles(class))
            .build();
        if let Err(error) = dataset.write_data_point(&point) {
            console_warn!("no data point of {class}: {error}");
        }
    }
}

/// Answers `GET metrics`, after this isolate has reported its own counts.
pub(crate) async fn show(place: &Place) -> Result<Response> {
    if let Some(report) = report(place) {
        post(place, Call::Report, &report).await?;
    }
    let response = post(place, Call::Metrics, "").await?;
    text_response(prometheus::MEDIA_TYPE, streams::read_body_text(&response, &[]).await?)
}
