//! The recorder: counts into the open bucket, writes it when a later one begins, rolls up and forgets.
//!
//! Nothing here has a clock or a timer. Whoever counts brings the time; an object that has an alarm anyway calls
//! [`Recorder::keep`] in it.

use super::bucket::Bucket;
use super::measures::Measures;
use crate::wire::position::UnixMillis;
use crate::wire::series::Resolution;

/// The rows of one object's series: for each resolution, packed buckets by the number of their step.
pub trait SeriesRows {
    /// The reason why rows were not read or written.
    type Error;

    /// Returns the greatest number that a resolution has a row of.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn newest(&self, resolution: Resolution) -> Result<Option<u64>, Self::Error>;

    /// Returns the rows with the numbers `first..end`, in order.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn read(&self, resolution: Resolution, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, Self::Error>;

    /// Writes a row, in the place of one with the same number.
    ///
    /// # Errors
    /// When the row cannot be written.
    fn write(&self, resolution: Resolution, number: u64, packed: &[u8]) -> Result<(), Self::Error>;

    /// Forgets the rows with numbers below `first`.
    ///
    /// # Errors
    /// When the rows cannot be written.
    fn forget(&self, resolution: Resolution, first: u64) -> Result<(), Self::Error>;
}

/// The most bytes of one row. With SQLite's pages of 4 KiB two, three and four rows fill one, so the rows of an object take
/// at most 180 + 481 + 1,081 pages: 7.2 MB.
#[must_use]
pub const fn row_bytes(resolution: Resolution) -> usize {
    match resolution {
        Resolution::TenSeconds => 2_000,
        Resolution::Minute => 1_330,
        Resolution::TenMinutes => 1_000,
    }
}

/// Counts into the open bucket of an object's series.
#[derive(Debug)]
pub struct Recorder {
    measures: &'static Measures,
    open: Option<Open>,
}

/// The bucket that is counted into.
#[derive(Debug)]
struct Open {
    number: u64,
    bucket: Bucket,
    unwritten: bool,
}

impl Recorder {
    /// Begins with what the rows have.
    #[must_use]
    pub const fn new(measures: &'static Measures) -> Self {
        Self { measures, open: None }
    }

    /// Returns the names and units of the numbers.
    #[must_use]
    pub const fn measures(&self) -> &'static Measures {
        self.measures
    }

    /// Counts what happened now. If a later bucket begins with it, the one before is written, full minutes and ten minutes are
    /// rolled up, and what is too old is forgotten.
    ///
    /// # Errors
    /// When the rows cannot be read or written; the count is lost then.
    pub fn count<R: SeriesRows>(
        &mut self,
        rows: &R,
        now: UnixMillis,
        counted: &Bucket,
    ) -> Result<(), R::Error> {
        let measures = self.measures;
        let open = self.turn(rows, Resolution::TenSeconds.number(now))?;
        open.bucket.merge(counted, measures);
        open.unwritten = true;
        Ok(())
    }

    /// Writes what is counted and not written.
    ///
    /// # Errors
    /// When the row cannot be written.
    pub fn keep<R: SeriesRows>(&mut self, rows: &R) -> Result<(), R::Error> {
        if let Some(open) = self.open.as_mut().filter(|open| open.unwritten) {
            let packed = open.bucket.pack(self.measures, row_bytes(Resolution::TenSeconds));
            rows.write(Resolution::TenSeconds, open.number, &packed)?;
            open.unwritten = false;
        }
        Ok(())
    }

    /// Visits the buckets of a resolution with the numbers `first..end`, in no order, each in one piece or in several.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn visit<R: SeriesRows>(
        &self,
        rows: &R,
        resolution: Resolution,
        (first, end): (u64, u64),
        visit: &mut dyn FnMut(u64, &Bucket),
    ) -> Result<(), R::Error> {
        let open = self.open.as_ref().filter(|_| resolution == Resolution::TenSeconds);
        for (number, packed) in rows.read(resolution, first, end)? {
            // The row of the open bucket may be older than the bucket. Bytes that cannot be read are nothing known.
            if open.is_none_or(|open| open.number != number)
                && let Some(bucket) = Bucket::unpack(&packed, self.measures)
            {
                visit(number, &bucket);
            }
        }
        if let Some(open) = open.filter(|open| (first..end).contains(&open.number)) {
            visit(open.number, &open.bucket);
        }
        let Some(finer) = resolution.finer() else { return Ok(()) };
        // Everything up to the newest row is rolled up; the rest is in finer rows only.
        let rolled = rows.newest(resolution)?.map_or(0, |newest| newest + 1);
        let many = resolution.step_ms() / finer.step_ms();
        let part = (first.max(rolled).saturating_mul(many), end.saturating_mul(many));
        if part.0 < part.1 {
            self.visit(rows, finer, part, &mut |number, bucket| visit(number / many, bucket))?;
        }
        Ok(())
    }

    /// Opens the bucket of a step, unless a later one is open.
    fn turn<R: SeriesRows>(&mut self, rows: &R, number: u64) -> Result<&mut Open, R::Error> {
        if self.open.is_none() {
            self.open = self.newest(rows)?;
        }
        if self.open.as_ref().is_none_or(|open| open.number < number) {
            self.keep(rows)?;
            if let Some(last) = self.open.as_ref().map(|open| open.number) {
                self.roll_up(rows, last, number)?;
            }
            self.open = Some(Open { number, bucket: Bucket::default(), unwritten: false });
        }
        Ok(self.open.as_mut().expect("a bucket was opened"))
    }

    /// Returns the newest bucket as its row has it.
    fn newest<R: SeriesRows>(&self, rows: &R) -> Result<Option<Open>, R::Error> {
        let finest = Resolution::TenSeconds;
        let Some(number) = rows.newest(finest)? else { return Ok(None) };
        let row = rows.read(finest, number, number + 1)?.pop();
        let bucket = row.and_then(|(_, packed)| Bucket::unpack(&packed, self.measures)).unwrap_or_default();
        Ok(Some(Open { number, bucket, unwritten: false }))
    }

    /// Rolls up the coarser steps that `last`, the newest bucket, is in and `next` is not, and forgets what is too old.
    fn roll_up<R: SeriesRows>(&self, rows: &R, last: u64, next: u64) -> Result<(), R::Error> {
        for resolution in Resolution::ALL {
            let many = resolution.step_ms() / Resolution::TenSeconds.step_ms();
            let (full, now) = (last / many, next / many);
            let Some(finer) = resolution.finer().filter(|_| full < now) else { continue };
            let parts = resolution.step_ms() / finer.step_ms();
            let mut sum = Bucket::default();
            for (_, packed) in rows.read(finer, full * parts, (full + 1) * parts)? {
                if let Some(bucket) = Bucket::unpack(&packed, self.measures) {
                    sum.merge(&bucket, self.measures);
                }
            }
            rows.write(resolution, full, &sum.pack(self.measures, row_bytes(resolution)))?;
        }
        // Not before all is rolled up: after a long sleep even the newest finer rows are too old.
        for resolution in Resolution::ALL {
            let many = resolution.step_ms() / Resolution::TenSeconds.step_ms();
            let coarser = many * resolution.coarser_by();
            if last / coarser < next / coarser {
                rows.forget(resolution, (next / many).saturating_sub(resolution.kept()))?;
            }
        }
        Ok(())
    }
}
