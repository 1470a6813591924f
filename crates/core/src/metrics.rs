//! Metrics: what a reader counts ([`counts`]), their text form ([`prometheus`]), the same over time ([`series`]), and the
//! keys read most ([`hot`]). [`clock_offset`] compares the clocks between which times are taken, and [`prices`] says what a count
//! costs.

pub mod clock_offset;
pub mod counts;
pub mod hot;
pub mod prices;
pub mod prometheus;
pub mod series;
