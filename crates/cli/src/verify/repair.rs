//! `--repair`: a key whose answer is wrong is published again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use newsreel_core::wire::{Key, Position, UnixMillis};
use serde_json::json;

use super::metrics::VerifyMetrics;
use super::truth::{digest, why};
use crate::broker::{BrokerClient, Wait};
use crate::exit::note;

/// How long a key is left alone after it was published again.
const EVERY: Duration = Duration::from_secs(60);

/// The repairs of a run.
pub(super) struct Repairs {
    broker: BrokerClient,
    metrics: Arc<VerifyMetrics>,
    last: HashMap<Key, UnixMillis>,
}

impl Repairs {
    pub(super) fn new(broker: BrokerClient, metrics: Arc<VerifyMetrics>) -> Self {
        Self { broker, metrics, last: HashMap::new() }
    }

    /// Publishes a key again, unless that was done a moment ago. Several checkers that do so at one position publish once.
    pub(super) fn repair(&mut self, key: &Key, tags: Vec<String>, position: Position, now: UnixMillis) {
        self.last.retain(|_, at| at.plus(EVERY) > now);
        if self.last.contains_key(key) {
            return;
        }
        self.last.insert(key.clone(), now);
        let (broker, metrics, key) = (self.broker.clone(), Arc::clone(&self.metrics), key.clone());
        let of_key: String =
            digest(key.as_str().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let once = format!("verify-{}-{}-{of_key}", position.epoch, position.version);
        tokio::spawn(async move {
            let body = json!({ "changes": [{ "key": key, "tags": tags }] }).to_string();
            match broker.publish(&once, body, Wait::Acknowledged).await {
                Ok(_) => {
                    metrics.repairs.inc();
                    note!("verify: {key} is published again");
                }
                Err(error) => note!("verify: {key} cannot be published again: {}", why(error)),
            }
        });
    }
}
