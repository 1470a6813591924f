//! The log's numbers over time.

use newsreel_core::metrics::prices;
use newsreel_core::metrics::series::chart::ChartError;
use newsreel_core::wire::series::SeriesQuery;
use newsreel_gate::{Answer, now};

use crate::driver::BrokerDriver;
use crate::http::json_response;

/// Answers with what was published, by the time, and how fast it was acknowledged.
pub(crate) fn series(driver: &BrokerDriver, query: &SeriesQuery) -> Answer {
    driver.write_series(false);
    match driver.series.answer(&driver.rows().series(), driver.catalog(), query, now()) {
        Ok(mut page) => {
            page.cost = prices::cost(&page);
            json_response(&page)
        }
        Err(ChartError::Problem(problem)) => Err(problem.into()),
        Err(ChartError::Rows(error)) => Err(error.into()),
    }
}
