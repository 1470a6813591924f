//! Stories of the series, and the recorder beside a plain model that keeps every count.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

use super::bucket::MAX_NUMBER;
use super::chart::{ChartError, answer};
use super::log_numbers::LogNumbers;
use super::recorder::row_bytes;
use super::*;
use crate::follow::hub::PublishOutcome;
use crate::metrics::counts::{Count, Counts, MAX_CLASSES};
use crate::read::policy::OTHER;
use crate::wire::name::Catalog;
use crate::wire::position::{Position, UnixMillis, Version};
use crate::wire::problem::{Code, Problem};
use crate::wire::publish::Receipt;
use crate::wire::series::{Merge, Resolution, SeriesPage, SeriesQuery};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A full hour: every resolution has a step that begins here.
const START: UnixMillis = UnixMillis(1_793_491_200_000);

/// Rows in memory.
#[derive(Default)]
struct Rows(RefCell<BTreeMap<(Resolution, u64), Vec<u8>>>);

impl Rows {
    fn of(&self, resolution: Resolution) -> Vec<usize> {
        let rows = self.0.borrow();
        rows.iter().filter(|((of, _), _)| *of == resolution).map(|(_, packed)| packed.len()).collect()
    }
}

impl SeriesRows for Rows {
    type Error = Infallible;

    fn newest(&self, resolution: Resolution) -> Result<Option<u64>, Infallible> {
        let rows = self.0.borrow();
        let newest = rows.range((resolution, 0)..=(resolution, u64::MAX)).next_back();
        Ok(newest.map(|((_, number), _)| *number))
    }

    fn read(&self, resolution: Resolution, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, Infallible> {
        let rows = self.0.borrow();
        let range: Range<_> = (resolution, first)..(resolution, end.max(first));
        Ok(rows.range(range).map(|((_, number), packed)| (*number, packed.clone())).collect())
    }

    fn write(&self, resolution: Resolution, number: u64, packed: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().insert((resolution, number), packed.to_vec());
        Ok(())
    }

    fn forget(&self, resolution: Resolution, first: u64) -> Result<(), Infallible> {
        let mut rows = self.0.borrow_mut();
        let old: Vec<_> = rows.range((resolution, 0)..(resolution, first)).map(|(key, _)| *key).collect();
        old.iter().for_each(|key| drop(rows.remove(key)));
        Ok(())
    }
}

/// An object's series, with the time.
struct Object {
    rows: Rows,
    recorder: Recorder,
    now: UnixMillis,
}

impl Object {
    fn new() -> Self {
        Self { rows: Rows::default(), recorder: Recorder::new(&READER), now: START }
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now.plus(time);
        self
    }

    fn counts(&mut self, class: &str, count: Count, n: u64) -> &mut Self {
        let mut counts = Counts::default();
        counts.add(class, count, n);
        self.takes(&counts)
    }

    fn takes(&mut self, counts: &Counts) -> &mut Self {
        self.recorder.count(&self.rows, self.now, &Bucket::from(counts)).unwrap();
        self
    }

    /// The object keeps what it counted, and loses its memory.
    fn sleeps(&mut self) -> &mut Self {
        self.recorder.keep(&self.rows).unwrap();
        self.loses_its_memory()
    }

    fn loses_its_memory(&mut self) -> &mut Self {
        self.recorder = Recorder::new(&READER);
        self
    }

    fn says(&self, query: &str) -> SeriesPage {
        self.answers(query).unwrap_or_else(|why| panic!("{query}: {why:?}"))
    }

    fn answers(&self, query: &str) -> Result<SeriesPage, ChartError<Infallible>> {
        let query = SeriesQuery::parse(query).unwrap();
        let catalog = Catalog::new("tv").unwrap();
        answer(&self.recorder, &self.rows, &query, (&catalog, Some("lab")), self.now)
    }

    /// The numbers of one series, as text: `-` where nothing is known.
    fn told(&self, query: &str, class: &str) -> String {
        let page = self.says(query);
        let one = page.series.iter().find(|one| one.class.as_deref() == Some(class));
        let number = |value: &Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        one.map_or(String::new(), |one| one.values.iter().map(number).collect::<Vec<_>>().join(" "))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_number_is_in_the_step_in_which_it_was_counted() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 2).after(9 * SECOND).counts("title", Count::Reads, 3);
    object.after(SECOND).counts("live", Count::Reads, 7);
    object.after(20 * SECOND).counts("title", Count::Reads, 1).after(SECOND);
    let query = format!("from={}&names=reads", START.0);
    assert_eq!(
        object.told(&query, "title"),
        "5 0 - 1",
        "the second step counted another class, the third nothing"
    );
    assert_eq!(object.told(&query, "live"), "0 7 - 0");
    assert_eq!(object.told(&format!("{query}&step=60"), "title"), "6", "a minute that is not full");
    assert_eq!(object.told(&format!("{query}&step=600&class=live"), "live"), "7");
    let page = object.says(&query);
    assert_eq!((page.from, page.to, page.points, page.step_ms), (START, START.plus(40 * SECOND), 4, 10_000));
}

#[test]
fn a_step_that_the_query_cuts_is_told_in_full() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 2).after(15 * SECOND).counts("title", Count::Reads, 3);
    let (from, to) = (START.0 + 4_000, START.0 + 10_001);
    assert_eq!(object.told(&format!("from={from}&to={to}&names=reads"), "title"), "2 3");
    let to = START.0 + 10_000;
    assert_eq!(object.told(&format!("from={from}&to={to}&names=reads"), "title"), "2", "to is exclusive");
}

#[test]
fn finer_steps_become_coarser_ones_and_are_forgotten() {
    let mut object = Object::new();
    for _ in 0..3 * 360 {
        object.counts("title", Count::Reads, 1).after(10 * SECOND);
    }
    let reads = |query: &str| {
        let page = object.says(query);
        (page.step_ms, page.series.iter().flat_map(|one| &one.values).flatten().sum::<u64>())
    };
    assert_eq!(reads("names=reads"), (10_000, 360), "the last hour in steps of 10 s");
    let from = START.0;
    assert_eq!(reads(&format!("names=reads&from={from}")), (60_000, 1_080), "the finest that reaches back");
    assert_eq!(reads(&format!("names=reads&from={from}&step=600")), (600_000, 1_080));
    let kept = object.rows.of(Resolution::TenSeconds).len();
    assert!((360..=372).contains(&kept), "{kept} rows of 10 s");
}

#[test]
fn an_object_that_slept_goes_on_where_it_was() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 1).sleeps().counts("title", Count::Reads, 1).after(SECOND);
    let from = START.0;
    assert_eq!(object.told(&format!("names=reads&from={from}"), "title"), "2");
    object.sleeps().after(2 * HOUR).counts("title", Count::Reads, 5).after(SECOND);
    let told = object.told(&format!("names=reads&step=600&from={from}"), "title");
    assert_eq!(told, "2 - - - - - - - - - - - 5", "ten minutes that were not rolled up before the sleep");
}

#[test]
fn an_object_that_dies_loses_what_it_had_not_kept_and_no_more() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 1).after(10 * SECOND).counts("title", Count::Reads, 2);
    object.loses_its_memory().after(SECOND);
    assert_eq!(object.told(&format!("names=reads&from={}", START.0), "title"), "1 -");
}

#[test]
fn an_idle_object_writes_nothing() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 1).sleeps();
    let written = object.rows.0.borrow().clone();
    object.after(10 * HOUR).sleeps();
    object.says("names=reads&step=600");
    assert_eq!(*object.rows.0.borrow(), written);
}

#[test]
fn a_clock_that_goes_back_counts_into_the_newest_step() {
    let mut object = Object::new();
    object.after(MINUTE).counts("title", Count::Reads, 1);
    object.now = START;
    object.counts("title", Count::Reads, 2);
    object.after(2 * MINUTE);
    assert_eq!(object.told("names=reads&from=1793491260000&to=1793491270000", "title"), "3");
}

#[test]
fn of_the_greatest_the_greatest_is_told_at_every_resolution() {
    let mut object = Object::new();
    for lag in [300, 9_000, 40] {
        let mut counts = Counts::default();
        counts.lag("title", Some(Duration::from_millis(lag)));
        object.takes(&counts).after(10 * SECOND);
    }
    for (step, told) in [("10", "300 9000 40"), ("60", "9000"), ("600", "9000")] {
        let query = format!("names=lag_max_ms&step={step}&from={}", START.0);
        assert_eq!(object.told(&query, "title"), told);
    }
}

#[test]
fn a_histogram_has_a_bucket_for_what_is_past_its_last_bound() {
    let mut object = Object::new();
    let mut counts = Counts::default();
    for ms in [0, 100, 101, 60_000, 60_001, 99_999] {
        counts.lag("title", Some(Duration::from_millis(ms)));
    }
    object.takes(&counts).after(SECOND);
    let page = object.says(&format!("names=lag_ms&from={}", START.0));
    let [lag] = page.histograms.as_slice() else { panic!("{page:?}") };
    assert_eq!(lag.bounds, [100, 500, 1_000, 2_000, 10_000, 60_000]);
    assert_eq!(lag.counts, [Some(vec![2, 1, 0, 0, 0, 1, 2])]);
    assert_eq!(lag.sums, [Some(220_201)]);
}

#[test]
fn series_of_zeros_are_told_when_asked_for() {
    let mut object = Object::new();
    object.counts("title", Count::Reads, 1).after(SECOND);
    let names = |query: &str| object.says(query).series.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(""), ["reads"]);
    assert_eq!(names("names=reads,hits_kv"), ["reads", "hits_kv"]);
    let Err(ChartError::Problem(problem)) = object.answers("names=misses") else { panic!("no such name") };
    assert_eq!((problem.code(), problem.detail()), ("bad-request", "no series here is called \"misses\""));
}

/// Counts in every number of many classes.
fn crowd(classes: usize, n: u64) -> Counts {
    let mut counts = Counts::default();
    for class in 0..classes {
        for count in Count::ALL {
            counts.add(&format!("class-{class:02}"), *count, n);
        }
    }
    counts
}

#[test]
fn at_64_classes_the_rows_are_bounded_and_no_total_is_lost() {
    let mut object = Object::new();
    let row = vec![1 << 20; 12];
    let bucket =
        Bucket { rows: (0..MAX_CLASSES).map(|class| (format!("class-{class:02}"), row.clone())).collect() };
    let each = 10 * MINUTE + 10 * SECOND;
    for _ in 0..31 * 24 * 6 {
        object.recorder.count(&object.rows, object.now, &bucket).unwrap();
        object.after(each);
    }
    let mut bytes = 0;
    for resolution in Resolution::ALL {
        let rows = object.rows.of(resolution);
        assert!(rows.len() as u64 <= resolution.kept() + 11, "{resolution:?}: {} rows", rows.len());
        assert!(rows.iter().all(|packed| *packed <= row_bytes(resolution)));
        bytes += rows.iter().sum::<usize>();
    }
    assert!(object.rows.of(Resolution::TenMinutes).len() as u64 >= Resolution::TenMinutes.kept() * 59 / 60);
    assert!(bytes < 8_000_000, "{bytes} bytes");
    let (from, to) = (object.now.minus(29 * 24 * HOUR), object.now.minus(HOUR));
    let page = object.says(&format!("names=reads&step=600&from={}&to={}", from.0, to.0));
    let told: u64 = page.series.iter().flat_map(|one| &one.values).flatten().sum();
    let steps = page.series.first().unwrap().values.iter().flatten().count() as u64;
    assert!((2..MAX_CLASSES).contains(&page.series.len()), "some classes are told together");
    assert!(page.series.iter().any(|one| one.class.as_deref() == Some(OTHER)));
    assert_eq!(told, steps * (MAX_CLASSES << 20) as u64);
}

#[test]
fn the_classes_with_the_most_reads_are_told_for_themselves() {
    let mut counts = crowd(MAX_CLASSES, 1);
    counts.add("class-40", Count::Reads, 1_000);
    counts.add("class-07", Count::Reads, 500);
    let mut bucket = Bucket::from(&counts);
    bucket.merge(&Bucket::from(&crowd(3, 1)), &READER);
    let packed = bucket.pack(&READER, row_bytes(Resolution::TenMinutes));
    let few = Bucket::unpack(&packed, &READER).unwrap();
    let reads: BTreeMap<&str, u64> = few.rows().map(|(class, row)| (class, row[0])).collect();
    assert_eq!((reads["class-40"], reads["class-07"], reads["class-00"]), (1_001, 501, 2));
    assert_eq!(reads.values().sum::<u64>(), 64 + 3 + 1_500);
}

#[test]
fn the_largest_row_of_one_class_fits_the_smallest_bound() {
    for (measures, class) in [(&READER, OTHER), (&BROKER, "")] {
        let row = vec![u64::MAX; measures.width];
        let bucket = Bucket { rows: BTreeMap::from([(class.to_owned(), row)]) };
        let packed = bucket.pack(measures, row_bytes(Resolution::TenMinutes));
        let read = Bucket::unpack(&packed, measures).unwrap();
        assert!(read.rows().all(|(_, row)| row.iter().all(|number| *number == MAX_NUMBER)));
    }
}

#[test]
fn every_number_of_a_reader_has_a_place_and_every_name_is_one() {
    for measures in [&READER, &BROKER] {
        let mut names: Vec<&str> = measures.values.iter().map(|one| one.name).collect();
        names.extend(measures.histograms.iter().map(|one| one.name));
        let total = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), total, "no name is there twice");
        let values = measures.values.iter().flat_map(|one| one.of.iter().copied());
        let bounds = measures.histograms.iter().flat_map(|one| one.bounds.iter().map(|(_, at)| *at));
        assert!(values.chain(bounds).all(|at| at < measures.width));
        assert!(measures.histograms.iter().all(|one| one.bounds.is_sorted()));
    }
}

#[test]
fn bytes_of_another_form_are_nothing_known() {
    let packed = Bucket::from(&crowd(2, 300)).pack(&READER, 2_000);
    assert!(Bucket::unpack(&packed, &READER).is_some());
    for wrong in [&[][..], &[2][..], &packed[..packed.len() - 1], &[1, 200][..], &[1, 1, 0xff, 0][..]] {
        assert_eq!(Bucket::unpack(wrong, &READER), None, "{wrong:?}");
    }
    let object = Object::new();
    object.rows.write(Resolution::TenSeconds, Resolution::TenSeconds.number(START), &[9, 9]).unwrap();
    assert_eq!(object.says(&format!("from={}&to={}", START.0 - 10_000, START.0)).series, []);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut object = Object::new();
    object.takes(&crowd(MAX_CLASSES, 1)).after(HOUR);
    let Err(ChartError::Problem(problem)) = object.answers("") else { panic!("64 classes of everything") };
    assert_eq!(problem.code(), "bad-request");
    assert!(object.answers("class=class-01").is_ok() && object.answers("names=reads,lag_ms").is_ok());
}

fn committed(version: u64, at: UnixMillis, changes: usize) -> PublishOutcome {
    let version = Version::new(version).unwrap();
    let genesis = Position::genesis("01ARYZ6S410000000000000000".parse().unwrap());
    let position = Position { version, ..genesis };
    let catalog = Catalog::new("tv").unwrap();
    PublishOutcome::Committed(Receipt { catalog, epoch: position.epoch, version, position, at, changes })
}

/// A number of what a broker counted.
fn number(bucket: &Bucket, count: LogCount) -> u64 {
    bucket.rows().map(|(_, row)| row[count as usize]).sum()
}

#[test]
fn a_broker_counts_what_is_committed_and_when_replicas_have_it() {
    let mut numbers = LogNumbers::default();
    assert_eq!(numbers.take(), None, "nothing was counted");
    let PublishOutcome::Committed(receipt) = committed(1, START, 1) else { unreachable!() };
    let outcomes = [
        committed(2, START, 3),
        committed(3, START, 1),
        PublishOutcome::Repeated(receipt),
        PublishOutcome::Refused(Problem::new(Code::Busy, "try again")),
    ];
    numbers.published(outcomes.iter(), 500, 7);
    let later = START.plus(20 * SECOND);
    numbers.published([committed(4, later, 1)].iter(), 100, 5);
    let at = |version| Version::new(version).unwrap();
    // One replica acknowledges the two versions of the first commit, another all three; a third was there already.
    numbers.applied(at(1), at(3), START.plus(Duration::from_millis(40)));
    numbers.applied(at(2), at(9), later.plus(Duration::from_millis(400)));
    numbers.applied(at(4), at(5), later);
    let counted = numbers.take().unwrap();
    let of = |count| number(&counted, count);
    assert_eq!((of(LogCount::Publishes), of(LogCount::Versions), of(LogCount::Changes)), (4, 3, 5));
    assert_eq!((of(LogCount::Refused), of(LogCount::Bytes)), (1, 600));
    assert_eq!((of(LogCount::Followers), of(LogCount::Head)), (7, 4), "the greatest");
    assert_eq!((of(LogCount::Applied), of(LogCount::AppliedMs)), (4, 2 * 40 + 20_400 + 400));
    assert_eq!(
        (of(LogCount::AppliedIn50), of(LogCount::AppliedIn500), of(LogCount::AppliedIn60000)),
        (2, 1, 1)
    );
    assert_eq!(numbers.take(), None, "handed over once");
}

#[test]
fn a_publish_is_timed_once_and_a_commit_is_not_remembered_for_ever() {
    let mut numbers = LogNumbers::default();
    numbers.publish_took(3, Duration::from_millis(7));
    for version in 1..=1_000 {
        numbers.published([committed(version, START, 1)].iter(), 1, 1);
    }
    numbers.applied(Version::ZERO, Version::new(1_000).unwrap(), START);
    let counted = numbers.take().unwrap();
    let of = |count| number(&counted, count);
    assert_eq!((of(LogCount::PublishTimed), of(LogCount::PublishMs), of(LogCount::PublishIn10)), (3, 21, 3));
    assert_eq!((of(LogCount::Applied), of(LogCount::AppliedIn10)), (512, 512), "those that are remembered");
}

/// An event of an object.
#[derive(Debug, Clone)]
enum Does {
    Counts { class: usize, reads: u64, lag: u64 },
    Passes(u64),
    Sleeps,
    Keeps,
}

const CLASSES: [&str; 3] = ["title", "live", "other"];

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        6 => (0..CLASSES.len(), 0..50_u64, 0..100_000_u64)
            .prop_map(|(class, reads, lag)| Does::Counts { class, reads, lag }),
        4 => (0..20_u64).prop_map(Does::Passes),
        2 => (20..900_u64).prop_map(Does::Passes),
        1 => (900..200_000_u64).prop_map(Does::Passes),
        1 => Just(Does::Sleeps),
        1 => Just(Does::Keeps),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// At every resolution the series say what a list of all counts says, however often the object slept.
    #[test]
    fn the_series_are_what_a_plain_list_says(events in prop::collection::vec(does(), 1..120)) {
        let mut object = Object::new();
        let mut list: Vec<(UnixMillis, &str, u64, u64)> = Vec::new();
        for event in events {
            match event {
                Does::Counts { class, reads, lag } => {
                    let mut counts = Counts::default();
                    counts.add(CLASSES[class], Count::Reads, reads);
                    counts.lag(CLASSES[class], Some(Duration::from_millis(lag)));
                    object.takes(&counts);
                    list.push((object.now, CLASSES[class], reads, lag));
                }
                Does::Passes(seconds) => { object.after(Duration::from_secs(seconds)); }
                Does::Sleeps => { object.sleeps(); }
                Does::Keeps => object.recorder.keep(&object.rows).unwrap(),
            }
        }
        object.after(SECOND);
        for resolution in Resolution::ALL {
            let step = resolution.step_ms();
            let from = object.now.minus(Duration::from_millis(resolution.kept() * step));
            let query = format!("step={}&from={}&names=reads,lag_max_ms", step / 1_000, from.0);
            let page = object.says(&query);
            for class in CLASSES {
                let of = |name: &str| {
                    let one = page.series.iter().find(|one| one.name == name && one.class.as_deref() == Some(class));
                    one.map(|one| one.values.clone())
                };
                let mut reads = vec![None; page.points];
                let mut lags = vec![None; page.points];
                let mut has_class = false;
                for (at, of_class, read, lag) in &list {
                    let Some(step) = resolution.number(*at).checked_sub(resolution.number(page.from)) else { continue };
                    let step = usize::try_from(step).unwrap();
                    let counted = u64::from(*of_class == class);
                    has_class |= counted == 1;
                    reads[step] = Some(reads[step].unwrap_or(0) + read * counted);
                    lags[step] = Some(lags[step].unwrap_or(0).max(lag * counted));
                }
                prop_assert!(of("reads") == has_class.then_some(reads), "{class} in steps of {step}");
                prop_assert!(of("lag_max_ms") == has_class.then_some(lags), "the lag of {class} in steps of {step}");
            }
        }
    }

    /// Packed bytes are bounded, and unpacked they are the same numbers, but for classes told together.
    #[test]
    fn a_packed_bucket_comes_back(
        rows in prop::collection::btree_map("[a-z]{1,20}", prop::collection::vec(0..1_u64 << 40, 1..READER.width), 0..40),
        most in 1_000..3_000_usize,
    ) {
        let mut bucket = Bucket::default();
        for (class, row) in &rows {
            bucket.merge(&Bucket { rows: BTreeMap::from([(class.clone(), row.clone())]) }, &READER);
        }
        let packed = bucket.pack(&READER, most);
        prop_assert!(packed.len() <= most);
        let read = Bucket::unpack(&packed, &READER).unwrap();
        let sum = |bucket: &Bucket, at: usize| bucket.rows().map(|(_, row)| row.get(at).copied().unwrap_or(0)).sum::<u64>();
        for at in (0..READER.width).filter(|at| READER.merge(*at) == Merge::Sum) {
            prop_assert_eq!(sum(&read, at), sum(&bucket, at));
        }
        if bucket.pack(&READER, usize::MAX).len() <= most {
            for (class, row) in bucket.rows() {
                let same = read.rows().find(|(other, _)| *other == class).unwrap().1;
                prop_assert!(row.iter().enumerate().all(|(at, n)| same.get(at).copied().unwrap_or(0) == *n));
            }
        }
    }

    /// Any bytes are a bucket or none, and never a panic.
    #[test]
    fn any_bytes_are_a_bucket_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(bucket) = Bucket::unpack(&bytes, &READER) {
            prop_assert!(bucket.rows().all(|(_, row)| row.len() <= READER.width));
        }
    }
}
