//! The publisher: sends the outbox to the broker, in the order of its transactions, until each publish is acknowledged.
//!
//! Publishes that wait are sent together, a line each, and get their versions in that order. Where one of them gets none,
//! it is sent again alone, so that the answer says what is wrong with it. Those after it may then have a version already,
//! and are sent again too: under the same key each finds the same version. So is a publish that the broker acknowledged
//! and this process did not live to note.

use std::sync::Arc;
use std::time::Duration;

use super::outbox::{Fault, Outgoing};
use super::store::{Store, on_disk};
use crate::broker::{BrokerClient, Wait};
use crate::exit::note;
use crate::http::{CallError, pause};

/// Sends the publishes of the outbox, and those that are committed later, for ever.
pub(crate) struct Publisher {
    store: Arc<Store>,
    broker: BrokerClient,
    /// For tests of crashes: how long a publish is held back.
    hold: Duration,
    /// Whether the next publish is sent alone, because one of the last did not get its version.
    alone: bool,
    /// How often in a row it did not work.
    failures: u32,
}

/// The outcome of an attempt.
#[derive(Debug)]
enum Delivery {
    /// The publish has a version: on to the next.
    Acknowledged,
    /// The publish will never have a version.
    Refused(Fault, String),
    /// Another attempt may succeed, perhaps only after the operator has acted.
    Again { why: String, after: Option<Duration> },
}

impl Publisher {
    /// Returns a publisher of what `store` commits.
    pub(crate) fn new(store: Arc<Store>, broker: BrokerClient, hold: Duration) -> Self {
        Self { store, broker, hold, alone: false, failures: 0 }
    }

    /// Runs until the process ends.
    pub(crate) async fn run(mut self) {
        loop {
            match on_disk(&self.store, Store::outgoing).await {
                Ok(outgoing) => self.deliver_all(outgoing).await,
                Err(error) => self.wait(&format!("the outbox cannot be read: {error}"), None).await,
            }
        }
    }

    async fn deliver_all(&mut self, mut outgoing: Vec<Outgoing>) {
        if outgoing.is_empty() {
            return self.store.committed.notified().await;
        }
        if self.alone || outgoing.len() == 1 {
            return self.deliver(outgoing.swap_remove(0)).await;
        }
        tokio::time::sleep(self.hold).await;
        // Of a publish that cannot be a line no later one is sent.
        let lines: Vec<String> = outgoing.iter().map_while(Outgoing::line).collect();
        let acknowledged = self.broker.publish_lines(lines.join("\n")).await.unwrap_or(0);
        // Sent alone, the first that failed is answered with what is wrong.
        self.alone = acknowledged < outgoing.len();
        outgoing.truncate(acknowledged);
        self.note_acknowledged(outgoing).await;
    }

    async fn note_acknowledged(&mut self, outgoing: Vec<Outgoing>) {
        let Some(first) = outgoing.first() else { return };
        if self.failures > 0 {
            let number = first.transaction;
            note!("origin: the broker takes publishes again, from transaction {number} on");
        }
        self.failures = 0;
        let noted = on_disk(&self.store, move |store| store.acknowledged(&outgoing)).await;
        if let Err(error) = noted {
            self.wait(&format!("the outbox cannot be written: {error}"), None).await;
        }
    }

    async fn deliver(&mut self, outgoing: Outgoing) {
        tokio::time::sleep(self.hold).await;
        let number = outgoing.transaction;
        match self.send(&outgoing).await {
            Delivery::Acknowledged => {
                self.alone = false;
                self.note_acknowledged(vec![outgoing]).await;
            }
            Delivery::Refused(fault, why) => self.replace(outgoing, fault, why).await,
            Delivery::Again { why, after } => self.wait(&format!("publish {number}: {why}"), after).await,
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Delivery {
        match self.broker.publish(&outgoing.key, outgoing.body.clone(), Wait::Acknowledged).await {
            Ok(_) => Delivery::Acknowledged,
            Err(CallError::Passing { why, after, .. }) => Delivery::Again { why, after },
            Err(CallError::Redirected { to, .. }) => {
                let why =
                    format!("the broker sends requests on to {to}; start again with the right --broker");
                Delivery::Again { why, after: None }
            }
            Err(CallError::WrongServer(why)) => {
                Delivery::Again { why: format!("the server at --broker {why}"), after: None }
            }
            // These statuses find fault with the publish itself; all others with the token, the address or
            // the server.
            Err(CallError::Refused { status, code, detail }) => match status.as_u16() {
                400 | 413 => Delivery::Refused(Fault::Body, format!("{code}: {detail}")),
                422 => Delivery::Refused(Fault::Key, format!("{code}: {detail}")),
                401 | 403 => {
                    let why = format!("{code}: {detail}; start again with the right --token");
                    Delivery::Again { why, after: None }
                }
                _ => Delivery::Again { why: format!("{code}: {detail}; is --broker right?"), after: None },
            },
        }
    }

    async fn replace(&mut self, outgoing: Outgoing, fault: Fault, why: String) {
        let number = outgoing.transaction;
        let because = why.clone();
        let replaced = on_disk(&self.store, move |store| store.rejected(&outgoing, fault, &because)).await;
        match replaced {
            Ok(Some(instead)) => note!(
                "origin: PUBLISH {number} WAS REFUSED ({why}). It is kept in the table `rejected`; published \
                 in its place: {}",
                instead.get(..200).unwrap_or(&instead)
            ),
            Ok(None) => self.wait(&format!("publish {number} is refused in every form: {why}"), None).await,
            Err(error) => self.wait(&format!("the outbox cannot be written: {error}"), None).await,
        }
    }

    /// Waits before the next attempt. Says why at the 1st, 2nd, 4th, 8th … time, so that a log is not only
    /// this.
    async fn wait(&mut self, why: &str, after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            note!("origin: {why}; nothing is lost, trying again (attempt {})", self.failures);
        }
        tokio::time::sleep(pause(self.failures - 1).max(after.unwrap_or_default())).await;
    }
}

#[cfg(test)]
mod tests;
