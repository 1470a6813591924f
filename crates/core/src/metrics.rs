//! Metrics: what a reader counts ([`counts`]), their text form ([`prometheus`]), and the keys read most
//! ([`hot`]).

pub mod counts;
pub mod hot;
pub mod prometheus;
