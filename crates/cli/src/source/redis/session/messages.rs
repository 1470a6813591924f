//! The messages during a session: each becomes publishes by the mapping, or a dead letter.

use std::collections::BTreeSet;
use std::sync::Arc;

use newsreel_core::wire::{Change, Publish, Target};
use newsreel_mapping::{Batch, Limits, Message, MessageError};

use super::{SessionError, Source};
use crate::exit::note;
use crate::source::metrics::Wide;
use crate::source::outgoing::Entry;
use crate::source::redis::connect::Connection;
use crate::source::redis::dead::{Letter, LetterContent};
use crate::source::redis::event::{ChannelMessage, Event};
use crate::source::redis::names::time_of;
use crate::source::redis::origin::{Origin, Place, Then};
use crate::source::redis::scripts::StreamEntry;

impl Source<'_> {
    /// Takes what Redis said.
    pub(super) async fn on_event(
        &mut self,
        event: Event,
        redis: &mut Connection,
    ) -> Result<(), SessionError> {
        match event {
            Event::Entries { stream, scope, entries } => {
                for entry in entries {
                    self.on_entry(stream, &scope, entry, redis).await?;
                }
            }
            Event::Messages(messages) => {
                for message in messages {
                    self.on_message(message, redis).await?;
                }
            }
            Event::Gap { stream, why, durable } => {
                let name = self.inputs.streams.get(stream).cloned().unwrap_or_default();
                note!("source: {name}: {why}: everything that its rules cover is published as changed");
                let targets = self.mapping.wide_from(&name).into_iter().collect();
                self.publish_wide(Some(name.into()), why, targets, Then::GoOn(durable)).await;
            }
            Event::Missed { why } => {
                let names: Vec<_> =
                    self.inputs.channels.iter().chain(&self.inputs.patterns).cloned().collect();
                let names_text = names.join(", ");
                note!(
                    "source: {names_text}: {why}: everything that their rules cover is published as changed"
                );
                let targets = names.iter().flat_map(|name| self.mapping.wide_from(name)).collect();
                self.publish_wide(None, why, targets, Then::Nothing).await;
            }
        }
        self.tell_skips();
        Ok(())
    }

    async fn on_entry(
        &mut self,
        stream: usize,
        scope: &str,
        entry: StreamEntry,
        redis: &mut Connection,
    ) -> Result<(), SessionError> {
        let StreamEntry { id, fields } = entry;
        if !self.acks.begin(stream, &id) {
            return Ok(());
        }
        let name: Arc<str> =
            self.inputs.streams.get(stream).map_or_else(Arc::default, |name| name.as_str().into());
        let publishes = match self.map(&name, &Message::of_entry(&fields)) {
            Ok(publishes) => publishes,
            Err(error) => {
                let content = LetterContent::Fields(&fields);
                let letter = Letter { from: &name, id: Some(&id), error: &error, content };
                if let Err(error) = self.bury(letter, redis).await {
                    self.acks.forget(stream, id);
                    return Err(error);
                }
                self.acks.done(stream, id);
                return Ok(());
            }
        };
        if publishes.is_empty() {
            self.acks.done(stream, id);
            return Ok(());
        }
        let at = time_of(&id).unwrap_or_else(|| self.watch.now());
        let key = format!("{scope}-{id}");
        let place = Place::Entry { stream: name, id: id.clone() };
        self.queue(&publishes, at, &place, &key, Then::Acknowledge { stream, id }).await;
        Ok(())
    }

    async fn on_message(
        &mut self,
        message: ChannelMessage,
        redis: &mut Connection,
    ) -> Result<(), SessionError> {
        let ChannelMessage { channel, payload, at } = message;
        match self.map(&channel, &Message::of_body(&payload)) {
            Ok(publishes) => {
                let key = self.own_key("message");
                self.queue(&publishes, at, &Place::Message { channel }, &key, Then::Nothing).await;
                Ok(())
            }
            Err(error) => {
                let content = LetterContent::Payload(&payload);
                self.bury(Letter { from: &channel, id: None, error: &error, content }, redis).await
            }
        }
    }

    /// Returns what a message publishes.
    fn map(&mut self, from: &str, message: &Message<'_>) -> Result<Vec<Publish>, MessageError> {
        let Self { mapping, skips, .. } = self;
        let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
        let outcome = mapping.message(from, message, skips, &mut |change: Change| batch.add(change))?;
        batch.trace(outcome.traceparent);
        self.metrics.message(outcome.left_out);
        let (targets, widened) = (batch.len(), batch.widened().len());
        if targets > 0 {
            self.watch.read(outcome.rows as u64, targets, widened);
        }
        Ok(batch.into_publishes())
    }

    /// Keeps a message that cannot be mapped.
    async fn bury(&self, letter: Letter<'_>, redis: &mut Connection) -> Result<(), SessionError> {
        self.metrics.dead(letter.error.kind());
        let place = letter.id.map_or_else(String::new, |id| format!(" {id}"));
        note!("source: {}{place} is a dead letter: {}", letter.from, letter.error);
        self.dead.keep(redis, &letter).await?;
        Ok(())
    }

    async fn publish_wide(
        &mut self,
        stream: Option<Arc<str>>,
        why: &'static str,
        targets: BTreeSet<Target>,
        then: Then,
    ) {
        let mut batch = Batch::new(Limits { wide_above: self.mapping.wide_above });
        targets.into_iter().for_each(|target| batch.add(Change::of(target)));
        self.watch.metrics.wide(Wide::Gap, batch.len());
        let (at, key) = (self.watch.now(), self.own_key("wide"));
        self.queue(&batch.into_publishes(), at, &Place::Wide { stream, why }, &key, then).await;
    }

    /// Queues the publishes of one message; `then` happens when the last of them is durable.
    async fn queue(&mut self, publishes: &[Publish], at: i64, place: &Place, key: &str, then: Then) {
        let Some(last) = publishes.len().checked_sub(1) else {
            if let Then::GoOn(reader) = then {
                let _ = reader.send(());
            }
            return;
        };
        let mut then = Some(then);
        let entry = |(part, publish): (usize, &Publish)| {
            let then = if part == last { then.take() } else { None };
            let of = Origin { at, place: place.clone(), part, then: then.unwrap_or(Then::Nothing) };
            Entry::new(of, publish, place.event(at), |content| format!("{key}-{part}-{content}"))
        };
        let entries = publishes.iter().enumerate().map(entry).collect();
        self.outgoing.add(entries).await;
    }

    /// Returns the key of a publish that no other process makes.
    fn own_key(&mut self, what: &str) -> String {
        self.own += 1;
        format!("redis-{what}-{}-{}", self.process, self.own)
    }

    /// Tells of each reason that a template gave nothing, once.
    fn tell_skips(&mut self) {
        if self.skips.total() == self.skipped {
            return;
        }
        self.skipped = self.skips.total();
        self.watch.skipped(&self.skips);
        for skip in self.skips.take_new() {
            note!("source: {skip}");
        }
    }
}
