//! Filling through an edge, which fetches, judges and stores by itself.

use futures_util::{StreamExt as _, stream};
use newsreel_core::wire::Key;
use serde_json::json;

use super::progress::{BatchOutcome, Progress, Throttle};
use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::Failure;
use crate::http::{self, call_while_alive};

/// Fills batches, several at a time.
pub(super) async fn run(
    at: &BrokerOptions,
    batches: &[Vec<Key>],
    parallel: usize,
    pace: &Throttle,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let edge = BrokerClient::new(at.clone())?;
    let fill = |batch: &Vec<Key>| {
        let (edge, batch) = (edge.clone(), batch.clone());
        async move {
            pace.wait(batch.len()).await;
            let body = json!({ "keys": batch }).to_string();
            let answer = call_while_alive(&at.broker, at.retry_for(), || edge.fill(body.clone())).await?;
            Ok::<_, Failure>((batch, answer))
        }
    };
    let mut filled = stream::iter(batches).map(fill).buffer_unordered(parallel);
    while let Some(answer) = filled.next().await {
        let (batch, answer) = answer?;
        let outcome: BatchOutcome = http::read(&at.broker, BROKER, &answer)?;
        progress.take(&batch, outcome)?;
    }
    Ok(())
}
