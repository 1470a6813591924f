//! What the platform charges for what is counted.
//!
//! The prices are those of Workers Paid beyond what a plan includes, in US dollars, as Cloudflare's pages said on [`AS_OF`]:
//! `developers.cloudflare.com/durable-objects/platform/pricing`, `/kv/platform/pricing` and `/r2/pricing`. Requests of clients to the Worker,
//! its CPU time, rows of SQLite and what is stored are not counted, so they are not in a sum.

use crate::wire::series::{Cost, SeriesPage};

/// The day on which the prices were as they are here.
pub const AS_OF: &str = "2026-08-03";

/// The price of a million of what a series counts.
const USD_PER_MILLION: [(&str, f64); 8] = [
    ("cost_do_requests", 0.15),
    // Twenty messages that a socket sends are one request.
    ("cost_do_messages", 0.15 / 20.0),
    // 12.50 for a million GB-s; an object counts as 128 MB.
    ("cost_do_ms", 12.50 * 0.128 / 1_000.0),
    ("cost_kv_reads", 0.50),
    ("cost_kv_writes", 5.00),
    ("cost_kv_deletes", 5.00),
    ("cost_r2_a", 4.50),
    ("cost_r2_b", 0.36),
];

/// A day in milliseconds.
const DAY_MS: f64 = 86_400_000.0;
/// The days of a month, as they are reckoned here.
const MONTH_DAYS: f64 = 30.0;

/// Returns what an answer's counts cost; `None` for an answer without a series that costs something.
#[must_use]
pub fn cost(page: &SeriesPage) -> Option<Cost> {
    let mut usd = None;
    for series in &page.series {
        if let Some((_, price)) = USD_PER_MILLION.iter().find(|(name, _)| *name == series.name) {
            let sum: u64 = series.values.iter().flatten().fold(0, |sum, n| sum.saturating_add(*n));
            *usd.get_or_insert(0.0) += sum as f64 * price / 1_000_000.0;
        }
    }
    let usd = usd?;
    let usd_per_day = usd * DAY_MS / (page.to.since(page.from).as_millis() as f64).max(1.0);
    Some(Cost { usd, usd_per_day, usd_per_month: usd_per_day * MONTH_DAYS, prices_as_of: AS_OF.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::{BROKER, READER};
    use crate::wire::name::Catalog;
    use crate::wire::series::{Merge, Resolution, Series, Span};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn counts_are_summed_by_their_prices_and_told_by_the_day_and_month() {
        let span = Span { resolution: Resolution::TenMinutes, first: 0, end: 72 };
        let mut page = SeriesPage::empty(Catalog::new("tv").unwrap(), None, &span);
        assert_eq!(cost(&page), None);
        for (name, values) in [
            ("reads", vec![Some(1_000_000)]),
            ("cost_kv_reads", vec![Some(1_000_000), None]),
            ("cost_kv_reads", vec![Some(3_000_000)]),
            ("cost_do_messages", vec![Some(20_000_000)]),
            ("cost_do_ms", vec![Some(1_000_000_000)]),
        ] {
            let (class, unit, merge) = (None, "count".to_owned(), Merge::Sum);
            page.series.push(Series { name: name.to_owned(), class, unit, merge, values });
        }
        let cost = cost(&page).unwrap();
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(near(cost.usd, 2.0 + 0.15 + 1.6), "{cost:?}");
        assert!(
            near(cost.usd_per_day, cost.usd * 2.0) && near(cost.usd_per_month, cost.usd * 60.0),
            "{cost:?}"
        );
    }

    #[test]
    fn every_series_of_costs_has_a_price_and_every_price_a_series() {
        let names = READER.values.iter().chain(BROKER.values).map(|one| one.name);
        let mut costs: Vec<&str> = names.filter(|name| name.starts_with("cost_")).collect();
        costs.sort_unstable();
        costs.dedup();
        let mut priced: Vec<&str> = USD_PER_MILLION.iter().map(|(name, _)| *name).collect();
        priced.sort_unstable();
        assert_eq!(costs, priced);
    }
}
