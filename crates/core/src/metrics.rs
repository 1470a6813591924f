//! Metrics: what a reader counts ([`counts`]), their text form ([`prometheus`]), the same over time ([`series`]), and the
//! keys read most ([`hot`]).

pub mod counts;
pub mod hot;
pub mod prometheus;
pub mod series;
