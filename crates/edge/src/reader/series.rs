//! The counters over time: of one edge, as its replica keeps them, or of every edge that follows the broker, summed.

use newsreel_core::metrics::prices;
use newsreel_core::metrics::series::READER;
use newsreel_core::metrics::series::chart::check_names;
use newsreel_core::wire::series::{EdgeChoice, SeriesPage, SeriesQuery};
use newsreel_core::wire::{Code, Problem};
use newsreel_gate::Answer;

use crate::clock::now;
use crate::http::json_response;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::edges::ask_all;
use crate::reader::metrics::tell;
use crate::reader::sync::call;

/// Answers `GET series?edge=…`, after this isolate has reported its own counts.
pub(crate) async fn show(context: &ReadContext, query: &SeriesQuery) -> Answer {
    tell(context).await?;
    match &query.edge {
        // The replica's answer may be a problem.
        EdgeChoice::One(edge) => Ok(call(context, edge, Call::Series, &query.to_query()).await?),
        EdgeChoice::All => all(context, query).await,
        EdgeChoice::Broker => Err(Problem::new(Code::UnknownPath, "these series are the broker's").into()),
    }
}

/// Sums the series of all edges that follow the broker. An edge that does not answer is named as left out.
async fn all(context: &ReadContext, query: &SeriesQuery) -> Answer {
    check_names(&READER, query)?;
    let span = query.span(now())?;
    let mut sum = SeriesPage::empty(context.catalog.clone(), Some("*".to_owned()), &span);
    let asked = |edge: &str| query.asked_of(edge, &span).to_query();
    let left_out = ask_all(context, Call::Series, asked, |page| sum.add(page)).await?;
    sum.left_out = left_out;
    sum.cost = prices::cost(&sum);
    Ok(json_response(&sum)?)
}
