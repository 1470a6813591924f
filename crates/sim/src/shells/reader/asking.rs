//! Tiers are asked and filled: KV, R2 and the origin, with all that may go wrong there.

use newsreel_core::read::cache::Tier;
use newsreel_core::read::drive::{TierQuestion, TierReply};

use crate::event::Event;
use crate::faults::Fault;
use crate::model::broken;
use crate::tiers::{Entry, Name};
use crate::world::World;

impl World {
    pub(super) fn ask_tier(&mut self, isolate: u64, request: u64, question: TierQuestion) {
        let slow = self.faults.strikes(Fault::TierSlow);
        let way = if slow { self.net.between(500, 6_000) } else { self.net.between(1, 25) };
        if question.tier == Tier::Origin {
            return self.ask_origin(isolate, request, question.read, way);
        }
        self.schedule(way, Event::TierAsked { isolate, request, question });
    }

    /// KV or R2 answers.
    pub(crate) fn tier_asked(&mut self, isolate: u64, number: u64, question: TierQuestion) {
        let TierQuestion { read, tier, generation, position } = question;
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let edge = at.edge;
        let Some(want) = at.requests.get_mut(&number).map(|request| &mut request.wants[read]) else { return };
        let fails = if tier == Tier::Kv { Fault::KvFails } else { Fault::R2Fails };
        if self.faults.strikes(fails) {
            return self.tier_replied(isolate, number, read, tier, TierReply::Failed);
        }
        let entry = if tier == Tier::Kv {
            let name: Name = (position.epoch, want.key, generation);
            let ttl = self.net.between(30_000, 70_000);
            self.kv.get(edge, name, now, ttl)
        } else {
            let found = self.r2.get((position.epoch, want.key));
            want.seen = Some(found.clone());
            found.map(|(_, entry)| entry)
        };
        let reply = entry.map_or(TierReply::Nothing, TierReply::Entry);
        self.tier_replied(isolate, number, read, tier, reply);
    }

    fn tier_replied(&mut self, isolate: u64, number: u64, read: usize, tier: Tier, reply: TierReply<Entry>) {
        let request = self.isolates.get_mut(&isolate).and_then(|at| at.requests.get_mut(&number));
        if let Some(request) = request {
            request.driver.replied(read, tier, reply);
            self.drive_request(isolate, number);
        }
    }

    fn ask_origin(&mut self, isolate: u64, number: u64, read: usize, way: u64) {
        let at = self.isolates.get_mut(&isolate).expect("whose request it is");
        let key = at.requests[&number].wants[read].key;
        if let Some(waiting) = at.flights.get_mut(&key) {
            waiting.push((number, read));
            return;
        }
        at.flights.insert(key, Vec::new());
        let slow = if self.faults.strikes(Fault::OriginSlow) { self.net.between(500, 6_000) } else { 0 };
        self.schedule(way + slow, Event::OriginReads { isolate, request: number, read });
    }

    /// The origin reads its value of the key, and answers a little later.
    pub(crate) fn origin_reads(&mut self, isolate: u64, number: u64, read: usize) {
        let fails = self.now < self.origin.away_until || self.faults.strikes(Fault::OriginFails);
        let slow = self.faults.strikes(Fault::OriginSlow);
        let way = if slow { self.net.between(500, 6_000) } else { self.net.between(1, 20) };
        let request = self.isolates.get(&isolate).and_then(|at| at.requests.get(&number));
        let Some((want, task)) =
            request.and_then(|request| Some((&request.wants[read], request.driver.task(read)?)))
        else {
            return;
        };
        let (position, fetched_at) = want.asked_with.expect("the origin is asked with what is known");
        let value = &self.origin.values[want.key];
        let entry = (!fails).then(|| {
            let (content_type, etag) = ("text/plain".to_owned(), format!("\"{}\"", value.index));
            let tags = value.tags.clone();
            let envelope = task.read().filled(position, fetched_at, value.found, tags, content_type, etag);
            Entry { envelope: envelope.into(), index: value.index }
        });
        self.schedule(way, Event::OriginSaid { isolate, request: number, read, entry });
    }

    /// The origin's answer lands, for all reads that waited for it.
    pub(crate) fn origin_said(&mut self, isolate: u64, number: u64, read: usize, entry: Option<Entry>) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(key) = at.requests.get(&number).map(|request| request.wants[read].key) else { return };
        let waiting = at.flights.remove(&key).unwrap_or_default();
        for (number, read) in [(number, read)].into_iter().chain(waiting) {
            let reply = entry.clone().map_or(TierReply::Failed, TierReply::Entry);
            self.tier_replied(isolate, number, read, Tier::Origin, reply);
        }
    }

    /// A write to KV, or a deletion.
    pub(crate) fn kv_put(&mut self, location: usize, name: Name, entry: Option<Entry>) {
        if self.faults.strikes(Fault::KvFails) {
            return;
        }
        let lags = self.faults.strikes(Fault::KvLags);
        let now = self.now;
        let visible = (0..self.edges.len()).map(|other| {
            let most = if lags { 180_000 } else { 20_000 };
            let here = if self.net.percent(80) { 0 } else { self.net.below(200) };
            now + if other == location { here } else { self.net.below(most) }
        });
        let visible = visible.collect();
        self.kv.put(name, entry, now, visible);
    }

    /// Writes to R2, on the condition that the object seen is still there; skipped if that object is newer.
    pub(crate) fn r2_put(
        &mut self,
        key: usize,
        entry: Entry,
        seen: Option<Option<(u64, Entry)>>,
        tries: u32,
    ) {
        if self.faults.strikes(Fault::R2Fails) || tries == 0 {
            return;
        }
        let name = (entry.envelope.position.epoch, key);
        let seen = seen.unwrap_or_else(|| self.r2.get(name));
        // The object that was seen may be of another epoch, under another name.
        let seen = seen.filter(|(_, held)| held.envelope.position.epoch == name.0);
        if seen.as_ref().is_some_and(|(_, held)| held.envelope.rank() > entry.envelope.rank()) {
            return;
        }
        let only_if = seen.map(|(etag, _)| etag);
        let replaced = self.r2.put(name, entry.clone(), only_if, self.now);
        if let Some(Some(before)) = &replaced
            && before.envelope.position.version > entry.envelope.position.version
        {
            let (before, after) = (before.envelope.position, entry.envelope.position);
            return self.note(broken("S2", format!("in R2 an entry of {after} replaces one of {before}")));
        }
        if replaced.is_none() || self.faults.strikes(Fault::R2Unacked) {
            let way = self.net.between(1, 40);
            self.schedule(way, Event::R2Put { key, entry, seen: None, tries: tries - 1 });
        }
    }
}
