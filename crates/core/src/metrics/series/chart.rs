//! A chart: the answer to a query, made of buckets one after the other, so that only the numbers asked for are held.

use std::collections::BTreeMap;

use super::bucket::Bucket;
use super::measures::{Buckets, Measures, Value};
use super::recorder::{Recorder, SeriesRows};
use crate::wire::name::Catalog;
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};
use crate::wire::series::{HistogramSeries, Merge, Series, SeriesPage, SeriesQuery, Span};

/// The most numbers of one answer: a few megabytes of JSON.
const MAX_NUMBERS: usize = 1_000_000;

/// Why a query has no answer.
#[derive(Debug)]
pub enum ChartError<E> {
    /// The query is wrong, and the caller is told how.
    Problem(Problem),
    /// The rows cannot be read.
    Rows(E),
}

impl<E> From<Problem> for ChartError<E> {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Answers a query from an object's series.
///
/// # Errors
/// [`ChartError::Problem`] when the query is wrong or asks for too much.
pub fn answer<R: SeriesRows>(
    recorder: &Recorder,
    rows: &R,
    query: &SeriesQuery,
    (catalog, edge): (&Catalog, Option<&str>),
    now: UnixMillis,
) -> Result<SeriesPage, ChartError<R::Error>> {
    let span = query.span(now)?;
    let mut chart = Chart::new(recorder.measures(), query, span)?;
    let mut visit = |number, bucket: &Bucket| chart.add(number, bucket);
    recorder.visit(rows, span.resolution, (span.first, span.end), &mut visit).map_err(ChartError::Rows)?;
    Ok(chart.page(catalog, edge)?)
}

/// Checks that every name of a query is one of these series.
///
/// # Errors
/// A [`Problem`] that names the one that is not.
pub fn check_names(measures: &Measures, query: &SeriesQuery) -> Result<(), Problem> {
    match query.names.iter().find(|name| !measures.has(name)) {
        Some(name) => Err(Problem::new(Code::BadRequest, format!("no series here is called {name:?}"))),
        None => Ok(()),
    }
}

struct Chart<'a> {
    measures: &'static Measures,
    query: &'a SeriesQuery,
    span: Span,
    values: Vec<&'static Value>,
    histograms: Vec<&'static Buckets>,
    /// How many numbers a class has at each step.
    width: usize,
    /// Whether anything is known of a step.
    known: Vec<bool>,
    /// The numbers of each class, step after step.
    classes: BTreeMap<String, Vec<u64>>,
    too_many: bool,
}

impl<'a> Chart<'a> {
    fn new(measures: &'static Measures, query: &'a SeriesQuery, span: Span) -> Result<Self, Problem> {
        check_names(measures, query)?;
        let asked = |name: &str| query.names.is_empty() || query.names.iter().any(|one| one == name);
        let values: Vec<&Value> = measures.values.iter().filter(|one| asked(one.name)).collect();
        let histograms: Vec<&Buckets> = measures.histograms.iter().filter(|one| asked(one.name)).collect();
        let width = values.len() + histograms.iter().map(|one| one.bounds.len() + 2).sum::<usize>();
        let known = vec![false; span.points()];
        Ok(Self {
            measures,
            query,
            span,
            values,
            histograms,
            width,
            known,
            classes: BTreeMap::new(),
            too_many: false,
        })
    }

    fn add(&mut self, number: u64, bucket: &Bucket) {
        let Some(step) = number.checked_sub(self.span.first).and_then(|step| usize::try_from(step).ok())
        else {
            return;
        };
        let Some(known) = self.known.get_mut(step) else { return };
        *known = true;
        for (class, row) in bucket.rows() {
            if self.query.class.as_deref().is_some_and(|asked| asked != class) {
                continue;
            }
            let numbers = self.numbers(row);
            if !self.classes.contains_key(class) {
                if (self.classes.len() + 1) * self.width * self.known.len() > MAX_NUMBERS {
                    self.too_many = true;
                    return;
                }
                self.classes.insert(class.to_owned(), vec![0; self.width * self.known.len()]);
            }
            let Some(all) = self.classes.get_mut(class) else { continue };
            let at = all.iter_mut().skip(step * self.width).zip(numbers);
            at.for_each(|(own, (merge, number))| {
                *own = match merge {
                    Merge::Sum => own.saturating_add(number),
                    Merge::Greatest => (*own).max(number),
                };
            });
        }
    }

    /// Returns the numbers of a bucket's row that are asked for, in order: values, then of each histogram its buckets and
    /// its sum.
    fn numbers(&self, row: &[u64]) -> Vec<(Merge, u64)> {
        let of = |at: usize| row.get(at).copied().unwrap_or(0);
        let values = self.values.iter().map(|value| {
            let sum = value.of.iter().fold(0, |sum: u64, at| sum.saturating_add(of(*at)));
            (self.merge_of(value), sum)
        });
        let histograms = self.histograms.iter().flat_map(|histogram| {
            let mut counts: Vec<u64> = histogram.bounds.iter().map(|(_, at)| of(*at)).collect();
            let within = counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
            let beyond = of(histogram.all).saturating_sub(within);
            let could = histogram.of.iter().fold(0, |sum: u64, at| sum.saturating_add(of(*at)));
            if let Some(first) = counts.first_mut() {
                *first = first.saturating_add(could.saturating_sub(of(histogram.all)));
            }
            counts.into_iter().chain([beyond, of(histogram.sum)]).map(|number| (Merge::Sum, number))
        });
        values.chain(histograms).collect()
    }

    fn merge_of(&self, value: &Value) -> Merge {
        value.of.first().map_or(Merge::Sum, |at| self.measures.merge(*at))
    }

    fn page(self, catalog: &Catalog, edge: Option<&str>) -> Result<SeriesPage, Problem> {
        if self.too_many {
            let text = "the answer is too large: ask for some names, a class, less time or a longer step";
            return Err(Problem::new(Code::BadRequest, text));
        }
        let mut page = SeriesPage::empty(catalog.clone(), edge.map(str::to_owned), &self.span);
        for (class, numbers) in &self.classes {
            self.write(&mut page, class, numbers);
        }
        Ok(page)
    }

    fn is_shown(&self, mut numbers: impl Iterator<Item = u64>) -> bool {
        !self.query.names.is_empty() || numbers.any(|number| number > 0)
    }

    /// Writes the series of one class. A series of zeros is left out, unless its name was asked for.
    fn write(&self, page: &mut SeriesPage, class: &str, numbers: &[u64]) {
        let class = Some(class).filter(|class| !class.is_empty()).map(str::to_owned);
        let column = |at: usize| {
            let steps = numbers.iter().skip(at).step_by(self.width.max(1)).copied();
            steps.zip(&self.known).map(|(number, known)| known.then_some(number)).collect::<Vec<_>>()
        };
        for (at, value) in self.values.iter().enumerate() {
            let values = column(at);
            if self.is_shown(values.iter().copied().flatten()) {
                let (name, unit, merge) =
                    (value.name.to_owned(), value.unit.to_owned(), self.merge_of(value));
                page.series.push(Series { name, class: class.clone(), unit, merge, values });
            }
        }
        let mut at = self.values.len();
        for histogram in &self.histograms {
            let columns: Vec<Vec<Option<u64>>> =
                (0..=histogram.bounds.len()).map(|n| column(at + n)).collect();
            let sums = column(at + histogram.bounds.len() + 1);
            at += histogram.bounds.len() + 2;
            if self.is_shown(columns.iter().flatten().copied().flatten()) {
                let counts = (0..self.known.len())
                    .map(|step| columns.iter().map(|column| column.get(step).copied().flatten()).collect())
                    .collect();
                page.histograms.push(HistogramSeries {
                    name: histogram.name.to_owned(),
                    class: class.clone(),
                    unit: "ms".to_owned(),
                    bounds: histogram.bounds.iter().map(|(bound, _)| *bound).collect(),
                    counts,
                    sums,
                });
            }
        }
    }
}
