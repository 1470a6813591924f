//! `GET …/series`: its query, and the answer: numbers over time, one for each step.
//!
//! A number covers `[from + i × step, from + (i + 1) × step)` by the clock of the object that counted. The tables of names
//! are [`crate::metrics::series`]'s.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::Catalog;
use super::position::UnixMillis;
use super::problem::{Code, Problem};
use super::query::MAX_FOLLOWER_NAME_BYTES;

#[cfg(test)]
mod tests;

/// The most edges that one answer sums.
pub const MAX_EDGES: usize = 100;
/// The most names that a query lists.
pub const MAX_NAMES: usize = 100;
/// The part of the past that a query without `from` asks for.
const LATELY: Duration = Duration::from_secs(3_600);

/// How long one number of a series covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// 10 s, kept for an hour.
    TenSeconds,
    /// A minute, kept for a day.
    Minute,
    /// 10 minutes, kept for 30 days.
    TenMinutes,
}

impl Resolution {
    /// All resolutions, the finest first.
    pub const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::TenMinutes];

    /// Returns how many milliseconds a number covers.
    #[must_use]
    pub const fn step_ms(self) -> u64 {
        match self {
            Self::TenSeconds => 10_000,
            Self::Minute => 60_000,
            Self::TenMinutes => 600_000,
        }
    }

    /// Returns how many numbers are kept, beside the one that is not full yet.
    #[must_use]
    pub const fn kept(self) -> u64 {
        match self {
            Self::TenSeconds => 360,
            Self::Minute => 1_440,
            Self::TenMinutes => 4_320,
        }
    }

    /// Returns the number of the step that a moment is in, counted from 1970.
    #[must_use]
    pub const fn number(self, at: UnixMillis) -> u64 {
        at.0 / self.step_ms()
    }

    /// Returns the next finer resolution, whose numbers add up to those of this one.
    #[must_use]
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::TenSeconds => None,
            Self::Minute => Some(Self::TenSeconds),
            Self::TenMinutes => Some(Self::Minute),
        }
    }

    /// Returns how many steps are one of the next coarser resolution; of the coarsest, 1.
    #[must_use]
    pub const fn coarser_by(self) -> u64 {
        match self {
            Self::TenSeconds => Self::Minute.step_ms() / Self::TenSeconds.step_ms(),
            Self::Minute => Self::TenMinutes.step_ms() / Self::Minute.step_ms(),
            Self::TenMinutes => 1,
        }
    }

    /// Says whether a moment is not forgotten yet.
    fn reaches(self, from: UnixMillis, now: UnixMillis) -> bool {
        self.number(from) + self.kept() >= self.number(now)
    }
}

/// The edges whose numbers are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EdgeChoice {
    /// None: the broker's own series.
    #[default]
    Broker,
    /// The edge of this name.
    One(String),
    /// All edges that follow the broker, summed.
    All,
}

/// The query of a call for series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesQuery {
    /// Whose series.
    pub edge: EdgeChoice,
    /// The beginning of the time asked for; absent, an hour before its end.
    pub from: Option<UnixMillis>,
    /// The end of the time asked for, exclusive; absent, the present.
    pub to: Option<UnixMillis>,
    /// How long a number covers; absent, the finest resolution that reaches back far enough.
    pub resolution: Option<Resolution>,
    /// The names of the series asked for; empty: all that counted something.
    pub names: Vec<String>,
    /// The class asked for; absent, each class for itself.
    pub class: Option<String>,
}

/// The steps that an answer covers: those with the numbers `first..end` of a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The resolution.
    pub resolution: Resolution,
    /// The number of the first step.
    pub first: u64,
    /// The number after the last step.
    pub end: u64,
}

impl Span {
    /// Returns how many steps there are.
    #[must_use]
    pub fn points(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }
}

impl SeriesQuery {
    /// Reads the query of a call for series, without its `?`. An empty value is an absent one.
    ///
    /// # Errors
    /// A [`Problem`] that names the part of the query that is wrong.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut series = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "edge" => series.edge = edge(&value)?,
                "from" => series.from = Some(moment("from", &value)?),
                "to" => series.to = Some(moment("to", &value)?),
                "step" => series.resolution = Some(resolution(&value)?),
                "names" => series.names = names(&value)?,
                "class" if value.contains(char::is_control) => {
                    return Err(bad("a class has no control characters"));
                }
                "class" => series.class = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(series)
    }

    /// Writes the query, without its `?`.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        match &self.edge {
            EdgeChoice::Broker => {}
            EdgeChoice::One(edge) => {
                query.append_pair("edge", edge);
            }
            EdgeChoice::All => {
                query.append_pair("edge", "*");
            }
        }
        for (name, at) in [("from", self.from), ("to", self.to)] {
            if let Some(at) = at {
                query.append_pair(name, &at.0.to_string());
            }
        }
        if let Some(resolution) = self.resolution {
            query.append_pair("step", &(resolution.step_ms() / 1_000).to_string());
        }
        if !self.names.is_empty() {
            query.append_pair("names", &self.names.join(","));
        }
        if let Some(class) = &self.class {
            query.append_pair("class", class);
        }
        query.finish()
    }

    /// Returns the steps to answer with. A step that `from` or `to` cuts is answered in full; those after the present are
    /// left out.
    ///
    /// # Errors
    /// A [`Problem`] when there is no step, or more steps than a resolution keeps.
    pub fn span(&self, now: UnixMillis) -> Result<Span, Problem> {
        let to = self.to.map_or(now, |to| to.min(now));
        let from = self.from.unwrap_or_else(|| to.minus(LATELY));
        if from >= to {
            return Err(bad("from is before to, and before the present"));
        }
        let finest = Resolution::ALL.into_iter().find(|resolution| resolution.reaches(from, now));
        let resolution = self.resolution.or(finest).unwrap_or(Resolution::TenMinutes);
        let last = UnixMillis(to.0.saturating_sub(1));
        let span = Span {
            resolution,
            first: resolution.number(from),
            end: resolution.number(last).saturating_add(1),
        };
        let most = usize::try_from(resolution.kept()).unwrap_or(usize::MAX).saturating_add(1);
        if span.points() > most {
            let text =
                format!("at most {most} steps of {} s: ask for less time", resolution.step_ms() / 1_000);
            return Err(bad(text));
        }
        Ok(span)
    }

    /// Returns the same question to another edge, about exactly these steps.
    #[must_use]
    pub fn asked_of(&self, edge: &str, span: &Span) -> Self {
        let moment = |number: u64| Some(UnixMillis(number.saturating_mul(span.resolution.step_ms())));
        Self {
            edge: EdgeChoice::One(edge.to_owned()),
            from: moment(span.first),
            to: moment(span.end),
            resolution: Some(span.resolution),
            ..self.clone()
        }
    }
}

fn bad(text: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, text)
}

fn edge(text: &str) -> Result<EdgeChoice, Problem> {
    if text == "*" {
        return Ok(EdgeChoice::All);
    }
    if text.len() > MAX_FOLLOWER_NAME_BYTES || text.contains(char::is_control) {
        let most = MAX_FOLLOWER_NAME_BYTES;
        return Err(bad(format!("edge is the name of a replica, at most {most} bytes, or *")));
    }
    Ok(EdgeChoice::One(text.to_owned()))
}

fn moment(name: &str, text: &str) -> Result<UnixMillis, Problem> {
    let given = text.parse::<u64>().ok().filter(|at| *at < 1 << 53);
    given.map(UnixMillis).ok_or_else(|| bad(format!("{name} is Unix milliseconds, not {text:?}")))
}

fn resolution(text: &str) -> Result<Resolution, Problem> {
    let is_it = |one: &Resolution| (one.step_ms() / 1_000).to_string() == text;
    let given = Resolution::ALL.into_iter().find(is_it);
    given.ok_or_else(|| bad(format!("step is 10, 60 or 600 seconds, not {text:?}")))
}

fn names(text: &str) -> Result<Vec<String>, Problem> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    let is_name = |name: &String| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if names.len() > MAX_NAMES || !names.iter().all(is_name) {
        return Err(bad(format!("names is at most {MAX_NAMES} names of series, separated by commas")));
    }
    Ok(names)
}

/// The answer to a call for series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPage {
    /// The name of the catalog.
    pub catalog: Catalog,
    /// The edge; `None` for the broker, `*` for a sum.
    pub edge: Option<String>,
    /// How many milliseconds a number covers.
    pub step_ms: u64,
    /// The beginning of the first step.
    pub from: UnixMillis,
    /// The end of the last step.
    pub to: UnixMillis,
    /// How many numbers each series has.
    pub points: usize,
    /// The series of one number a step.
    pub series: Vec<Series>,
    /// The series of one histogram a step.
    pub histograms: Vec<HistogramSeries>,
    /// Of a sum: the edges that did not answer, or were one too many.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Of one edge that knows: its clock beside the broker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockAhead>,
    /// The price of what was counted; `None` where no series costs something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// How far a replica's clock is ahead of its broker's, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAhead {
    /// The replica's clock minus the broker's, in milliseconds.
    pub ahead_ms: i64,
    /// How wrong that may be, in milliseconds.
    pub within_ms: u64,
}

/// What the platform charges for what was counted, by its published prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The price of the time of the answer, in US dollars.
    pub usd: f64,
    /// The same for a day at this rate.
    pub usd_per_day: f64,
    /// The same for 30 days at this rate.
    pub usd_per_month: f64,
    /// The day on which the prices were published.
    pub prices_as_of: String,
}

/// One number a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The name.
    pub name: String,
    /// The class of keys; `None` where keys have no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The unit of the numbers.
    pub unit: String,
    /// How numbers become one: of several classes, edges or steps.
    #[serde(default)]
    pub merge: Merge,
    /// The numbers; `None` where nothing is known.
    pub values: Vec<Option<u64>>,
}

/// How the numbers of a series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// They add up.
    #[default]
    Sum,
    /// The greatest stands for all.
    Greatest,
}

/// One histogram a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramSeries {
    /// The name.
    pub name: String,
    /// The class of keys; `None` where keys have no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The unit of the bounds.
    pub unit: String,
    /// The upper bounds of the buckets, inclusive; what is past the last has a bucket of its own.
    pub bounds: Vec<u64>,
    /// The observations in each bucket; `None` where nothing is known.
    pub counts: Vec<Option<Vec<u64>>>,
    /// The sum of all observations; `None` where nothing is known.
    #[serde(default)]
    pub sums: Vec<Option<u64>>,
}

impl SeriesPage {
    /// Returns an answer without series.
    #[must_use]
    pub fn empty(catalog: Catalog, edge: Option<String>, span: &Span) -> Self {
        let step_ms = span.resolution.step_ms();
        let moment = |number: u64| UnixMillis(number.saturating_mul(step_ms));
        Self {
            catalog,
            edge,
            step_ms,
            from: moment(span.first),
            to: moment(span.end),
            points: span.points(),
            series: Vec::new(),
            histograms: Vec::new(),
            left_out: Vec::new(),
            clock: None,
            cost: None,
        }
    }

    /// Adds another edge's answer to the same question. Of a step that one of both knows nothing of, the other's number
    /// stands.
    pub fn add(&mut self, other: Self) {
        let mut at: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
        at.extend(
            self.series.iter().enumerate().map(|(at, one)| ((one.name.clone(), one.class.clone()), at)),
        );
        for one in other.series {
            match at.get(&(one.name.clone(), one.class.clone())).and_then(|at| self.series.get_mut(*at)) {
                Some(own) => own.add(&one.values),
                None => self.series.push(one),
            }
        }
        at.clear();
        let keys = self.histograms.iter().enumerate();
        at.extend(keys.map(|(at, one)| ((one.name.clone(), one.class.clone()), at)));
        for one in other.histograms {
            match at.get(&(one.name.clone(), one.class.clone())).and_then(|at| self.histograms.get_mut(*at)) {
                Some(own) => own.add(&one),
                None => self.histograms.push(one),
            }
        }
    }
}

impl Series {
    fn add(&mut self, values: &[Option<u64>]) {
        for (own, other) in self.values.iter_mut().zip(values) {
            *own = match (*own, *other) {
                (Some(own), Some(other)) if self.merge == Merge::Greatest => Some(own.max(other)),
                (Some(own), Some(other)) => Some(own.saturating_add(other)),
                (own, other) => own.or(other),
            };
        }
    }
}

impl HistogramSeries {
    /// Adds another edge's histograms, which an edge of another release may have with other bounds: those are left out.
    fn add(&mut self, other: &Self) {
        if self.bounds != other.bounds {
            return;
        }
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            match (own.as_mut(), other) {
                (Some(own), Some(other)) => {
                    own.iter_mut().zip(other).for_each(|(own, other)| *own = own.saturating_add(*other));
                }
                (None, Some(other)) => *own = Some(other.clone()),
                (_, None) => {}
            }
        }
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            *own = match (*own, *other) {
                (Some(own), Some(other)) => Some(own.saturating_add(other)),
                (own, other) => own.or(other),
            };
        }
    }
}
