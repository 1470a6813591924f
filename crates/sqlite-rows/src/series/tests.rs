//! The tables of series in an object's real SQLite, inside workerd.

use std::time::Duration;

use newsreel_core::metrics::counts::{Count, Counts};
use newsreel_core::metrics::series::recorder::row_bytes;
use newsreel_core::metrics::series::{Bucket, READER, Recorder};
use newsreel_core::wire::UnixMillis;
use newsreel_in_workerd::in_object;
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const START: UnixMillis = UnixMillis(1_793_491_200_000);

#[test]
async fn rows_are_read_as_they_were_written() {
    in_object("series", async |state| {
        let database = Database::open(&state, &[]).unwrap();
        let tables = SeriesTables::of(&database);
        tables.create().unwrap();
        tables.create().unwrap();
        let finest = Resolution::TenSeconds;
        assert_eq!(tables.newest(finest).unwrap(), None);
        for number in 5..9 {
            tables.write(finest, number, &[0, 255, u8::try_from(number).unwrap()]).unwrap();
        }
        tables.write(finest, 6, &[]).unwrap();
        tables.write(Resolution::Minute, 1, &[1]).unwrap();
        tables.forget(finest, 6).unwrap();
        assert_eq!(tables.newest(finest).unwrap(), Some(8));
        assert_eq!(tables.read(finest, 0, 8).unwrap(), [(6, vec![]), (7, vec![0, 255, 7])]);
        assert_eq!(tables.read(Resolution::Minute, 0, u64::MAX).unwrap(), [(1, vec![1])]);
    })
    .await;
}

#[test]
async fn the_largest_rows_of_a_month_take_less_than_8_mb() {
    in_object("month", async |state| {
        let database = Database::open(&state, &[]).unwrap();
        let tables = SeriesTables::of(&database);
        tables.create().unwrap();
        // The rows of all resolutions are written as time passes, so that their pages are mixed on the disk as they are in
        // practice, and a tenth of all is forgotten again.
        for number in 0..Resolution::TenMinutes.kept() * 11 / 10 {
            for resolution in Resolution::ALL {
                let kept = resolution.kept() + resolution.coarser_by();
                if number < kept * 11 / 10 {
                    tables.write(resolution, number, &vec![7; row_bytes(resolution)]).unwrap();
                    tables.forget(resolution, (number + 1).saturating_sub(kept)).unwrap();
                }
            }
        }
        let bytes = database.bytes();
        assert!((6_000_000..7_500_000).contains(&bytes), "{bytes} bytes");
    })
    .await;
}

#[test]
async fn a_recorder_goes_on_where_the_rows_end() {
    in_object("recorder", async |state| {
        let database = Database::open(&state, &[]).unwrap();
        let tables = SeriesTables::of(&database);
        tables.create().unwrap();
        let mut counts = Counts::default();
        counts.add("title", Count::Reads, 3);
        let mut now = START;
        for _ in 0..100 {
            let mut recorder = Recorder::new(&READER);
            recorder.count(&tables, now, &Bucket::from(&counts)).unwrap();
            recorder.keep(&tables).unwrap();
            now = now.plus(Duration::from_secs(7));
        }
        let mut reads = 0;
        let recorder = Recorder::new(&READER);
        for resolution in Resolution::ALL {
            let span = (resolution.number(START), resolution.number(now) + 1);
            let mut of_resolution = 0;
            let mut visit =
                |_, bucket: &Bucket| of_resolution += bucket.rows().map(|(_, row)| row[0]).sum::<u64>();
            recorder.visit(&tables, resolution, span, &mut visit).unwrap();
            assert_eq!(of_resolution, 300, "{resolution:?}");
            reads += of_resolution;
        }
        assert_eq!(reads, 900);
    })
    .await;
}
