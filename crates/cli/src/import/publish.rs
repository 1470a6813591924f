//! The publishes of an import: in batches, each expecting the version before it.

use std::collections::VecDeque;
use std::time::Instant;

use newsreel_core::wire::ndjson::{PublishAnswer, RefusedPublish};
use newsreel_core::wire::publish::MAX_BODY_BYTES;
use newsreel_core::wire::{Change, Code, Epoch, Hash, Position, Receipt, Version};
use serde_json::json;

use crate::broker::{BrokerClient, BrokerOptions, Wait};
use crate::exit::Failure;
use crate::exported::ExportedLine;
use crate::http::{call_with_retries, pause};

/// How many lines are one request.
const BATCH_LINES: usize = 500;
/// How many bytes of them; one always is.
const BATCH_BYTES: usize = 1 << 20;
/// Room for what a line has beside its changes: the expected version and the idempotency key.
const BESIDE_CHANGES: usize = 256;

/// A publish that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    line: usize,
    version: Version,
    changes: String,
}

impl Waiting {
    /// Returns the publishes of a line: one for a version, none for the line that ends a fold. A folded version with more
    /// changes than a publish takes becomes several publishes; the fold, too, shows such a version in parts.
    pub(super) fn of(number: usize, line: &ExportedLine) -> Vec<Self> {
        let Some(version) = line.version else { return Vec::new() };
        let whole = |changes: &[Change]| Self { line: number, version, changes: json!(changes).to_string() };
        if line.is_folded() { halved(&line.changes, &whole) } else { vec![whole(&line.changes)] }
    }

    /// Returns the idempotency key: that of this content at this place, in this epoch of the catalog.
    fn key(&self, epoch: &Epoch) -> String {
        let content = Hash::genesis(epoch).then(self.changes.as_bytes());
        format!("import/{epoch}/{}/{content}", self.version)
    }

    /// Returns whether the publish fits no line with what stands beside the changes.
    fn is_alone(&self) -> bool {
        self.changes.len() + BESIDE_CHANGES > MAX_BODY_BYTES
    }
}

fn halved(changes: &[Change], whole: &impl Fn(&[Change]) -> Waiting) -> Vec<Waiting> {
    let waiting = whole(changes);
    if !waiting.is_alone() || changes.len() < 2 {
        return vec![waiting];
    }
    let (first, second) = changes.split_at(changes.len() / 2);
    [halved(first, whole), halved(second, whole)].concat()
}

/// An import on its way.
pub(super) struct Import {
    at: BrokerOptions,
    broker: BrokerClient,
    /// The epoch of the catalog that is published to.
    epoch: Epoch,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How many publishes were answered with a version.
    pub(super) published: usize,
    /// The position of the last of them.
    pub(super) last: Option<Position>,
}

impl Import {
    pub(super) fn new(at: BrokerOptions, broker: BrokerClient, epoch: Epoch) -> Self {
        Self { at, broker, epoch, waiting: VecDeque::new(), bytes: 0, published: 0, last: None }
    }

    /// Takes publishes, and sends what waits once that is a batch.
    pub(super) async fn take(&mut self, publishes: Vec<Waiting>) -> Result<(), Failure> {
        for publish in publishes {
            self.bytes += publish.changes.len();
            self.waiting.push_back(publish);
            if self.waiting.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what waits, until each of them has its version.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        let (mut failures, mut since) = (0, Instant::now());
        while let Some(first) = self.waiting.front() {
            let before = self.published;
            let passing = if first.is_alone() { self.send_alone().await? } else { self.send_batch().await? };
            if self.published > before {
                (failures, since) = (0, Instant::now());
            }
            let Some(RefusedPublish { code, detail, .. }) = passing else { continue };
            let wait = pause(failures);
            failures += 1;
            if since.elapsed() + wait > self.at.retry_for() {
                let why = format!("{code}: {detail}");
                return Err(Failure::Unreachable { what: self.at.broker.to_string(), why });
            }
            tokio::time::sleep(wait).await;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Sends publishes as lines. Returns a refusal that may pass.
    async fn send_batch(&mut self) -> Result<Option<RefusedPublish>, Failure> {
        // The version of the first is not known before its receipt; from there on every version is.
        let most = if self.last.is_none() { 1 } else { BATCH_LINES };
        let batch = self.waiting.iter().take(most).take_while(|publish| !publish.is_alone());
        let lines: String = batch.zip(0..).map(|(publish, nth)| self.line(publish, nth)).collect();
        let publish = || self.broker.publish_in_order(lines.clone());
        let answers = call_with_retries(&self.at.broker, self.at.retry_for(), publish).await?;
        for answer in answers {
            match answer {
                PublishAnswer::Published(receipt) => self.heard(&receipt)?,
                PublishAnswer::Refused(refusal) => return self.refused(refusal),
            }
        }
        Ok(None)
    }

    /// Returns the line of the publish that comes so many after the last answered one.
    fn line(&self, publish: &Waiting, nth: u64) -> String {
        let key = publish.key(&self.epoch);
        let changes = &publish.changes;
        let expect = self.last.map_or_else(String::new, |last| {
            format!(r#""expect":{{"epoch":"{}","version":{}}},"#, last.epoch, last.version.number() + nth)
        });
        format!("{{\"changes\":{changes},{expect}\"idempotency_key\":\"{key}\"}}\n")
    }

    /// Sends a publish that fits only by itself, without the version that it would expect: the one after it does.
    async fn send_alone(&mut self) -> Result<Option<RefusedPublish>, Failure> {
        let Some(first) = self.waiting.front() else { return Ok(None) };
        let (key, body) = (first.key(&self.epoch), format!(r#"{{"changes":{}}}"#, first.changes));
        let publish = || self.broker.publish(&key, body.clone(), Wait::Acknowledged);
        let receipt = call_with_retries(&self.at.broker, self.at.retry_for(), publish).await?;
        let receipt = serde_json::from_str(&receipt).map_err(anyhow::Error::from)?;
        self.heard(&receipt).map(|()| None)
    }

    fn heard(&mut self, receipt: &Receipt) -> Result<(), Failure> {
        let follows = self.last.is_none_or(|last| receipt.version.follows(last.version));
        if receipt.epoch != self.epoch || !follows {
            return Err(self.disturbed(&format!("version {} came out of turn", receipt.version)));
        }
        self.waiting.pop_front();
        self.published += 1;
        self.last = Some(receipt.position);
        Ok(())
    }

    /// Returns a refusal that may pass; any other ends the import.
    fn refused(&self, refusal: RefusedPublish) -> Result<Option<RefusedPublish>, Failure> {
        // 408 too slow, 409 the same publish is under way, 425 too early, 429 too much.
        if refusal.status >= 500 || matches!(refusal.status, 408 | 409 | 425 | 429) {
            return Ok(Some(refusal));
        }
        let disturbances = [Code::ExpectFailed.text(), Code::IdempotencyReuse.text()];
        if disturbances.contains(&refusal.code.as_str()) {
            return Err(self.disturbed(&refusal.detail));
        }
        let line = self.waiting.front().map_or(0, |publish| publish.line);
        Err(Failure::Refused { code: refusal.code, detail: format!("line {line}: {}", refusal.detail) })
    }

    fn disturbed(&self, why: &str) -> Failure {
        let line = self.waiting.front().map_or(0, |publish| publish.line);
        let detail = format!(
            "line {line}: {why}: somebody else publishes to this catalog, or an earlier import was disturbed. Let the import \
             alone publish, begin a new epoch (newsreel admin new-epoch) and import again"
        );
        Failure::Refused { code: "import-disturbed".to_owned(), detail }
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::UnixMillis;

    use super::*;

    fn line(text: &str) -> ExportedLine {
        serde_json::from_str(text).unwrap()
    }

    fn of(text: &str) -> Vec<Waiting> {
        Waiting::of(1, &line(text))
    }

    #[test]
    fn a_key_is_of_content_place_and_epoch() {
        let epoch = Epoch::new(UnixMillis(1), [0; 10]);
        let key = |text: &str, epoch: &Epoch| of(text)[0].key(epoch);
        let first = key(r#"{"version":1,"at":5,"changes":[{"key":"a:1"}]}"#, &epoch);
        assert_eq!(first, key(r#"{"version":1,"at":6,"changes":[{"key":"a:1"}]}"#, &epoch));
        for other in [
            key(r#"{"version":2,"at":5,"changes":[{"key":"a:1"}]}"#, &epoch),
            key(r#"{"version":1,"at":5,"changes":[{"key":"a:2"}]}"#, &epoch),
            key(r#"{"version":1,"at":5,"changes":[{"key":"a:1"}]}"#, &Epoch::new(UnixMillis(2), [0; 10])),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_version_is_one_publish_and_only_a_folded_one_may_be_several() {
        let tags: Vec<String> = (0..256).map(|n| format!("{n:0>100}")).collect();
        let changes: Vec<_> = (0..100).map(|n| json!({"key": format!("a:{n}"), "tags": tags})).collect();
        let folded = json!({ "version": 1, "changes": changes });
        let publishes = of(&folded.to_string());
        assert!(publishes.len() > 1 && publishes.iter().all(|publish| !publish.is_alone()));
        let mut whole = folded;
        whole.as_object_mut().unwrap().insert("at".to_owned(), json!(5));
        assert_eq!(of(&whole.to_string()).len(), 1);
        assert_eq!(of(r#"{"position":"01ARYZ6S410000000000000000:1:68af3c045ca45573"}"#), []);
    }
}
