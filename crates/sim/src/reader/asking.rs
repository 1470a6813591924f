//! Tiers are asked and filled: KV, R2 and the origin, with all that may go wrong there.

use newsreel_core::read::cache::{Event as Said, Tier};

use crate::faults::Fault;
use crate::model::broken;
use crate::tiers::{Entry, Name};
use crate::world::{Event, World};

impl World {
    pub(super) fn ask_tier(&mut self, isolate: u64, walk: u64, tier: Tier) {
        let slow = self.faults.strikes(Fault::TierSlow);
        let way = if slow { self.net.between(500, 6_000) } else { self.net.between(1, 25) };
        if tier == Tier::Origin {
            return self.ask_origin(isolate, walk, way);
        }
        self.schedule(way, Event::TierAsked { isolate, walk, tier });
    }

    /// KV or R2 answers.
    pub(crate) fn tier_asked(&mut self, isolate: u64, number: u64, tier: Tier) {
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let edge = at.edge;
        let Some(walk) = at.walks.get_mut(&number) else { return };
        let Some((position, _)) = walk.asked_with else {
            return self.go_on(isolate, number, Said::Failed(tier), None);
        };
        let fails = if tier == Tier::Kv { Fault::KvFails } else { Fault::R2Fails };
        if self.faults.strikes(fails) {
            return self.go_on(isolate, number, Said::Failed(tier), None);
        }
        let entry = if tier == Tier::Kv {
            let name: Name = (position.epoch, walk.key, walk.generation);
            let ttl = self.net.between(30_000, 70_000);
            self.kv.get(edge, name, now, ttl)
        } else {
            let found = self.r2.get((position.epoch, walk.key));
            walk.seen = Some(found.clone());
            found.map(|(_, entry)| entry)
        };
        self.tier_gave(isolate, number, tier, entry);
    }

    fn tier_gave(&mut self, isolate: u64, number: u64, tier: Tier, entry: Option<Entry>) {
        match entry {
            Some(entry) => {
                let said = Said::Held(tier, entry.envelope.clone());
                self.go_on(isolate, number, said, Some((tier, entry)));
            }
            None => self.go_on(isolate, number, Said::Missed(tier), None),
        }
    }

    fn ask_origin(&mut self, isolate: u64, number: u64, way: u64) {
        let at = self.isolates.get_mut(&isolate).expect("whose walk it is");
        let key = at.walks[&number].key;
        if at.walks[&number].asked_with.is_none() {
            return self.schedule(1, Event::OriginSaid { isolate, walk: number, entry: None });
        }
        if let Some(waiting) = at.flights.get_mut(&key) {
            waiting.push(number);
            return;
        }
        at.flights.insert(key, Vec::new());
        let slow = if self.faults.strikes(Fault::OriginSlow) { self.net.between(500, 6_000) } else { 0 };
        self.schedule(way + slow, Event::OriginReads { isolate, walk: number });
    }

    /// The origin reads what it has, and answers a little later.
    pub(crate) fn origin_reads(&mut self, isolate: u64, number: u64) {
        let fails = self.now < self.origin.away_until || self.faults.strikes(Fault::OriginFails);
        let slow = self.faults.strikes(Fault::OriginSlow);
        let way = if slow { self.net.between(500, 6_000) } else { self.net.between(1, 20) };
        let Some(walk) = self.isolates.get(&isolate).and_then(|at| at.walks.get(&number)) else { return };
        let (position, fetched_at) = walk.asked_with.expect("it asked with what it knew");
        let value = &self.origin.values[walk.key];
        let entry = (!fails).then(|| {
            let (content_type, etag) = ("text/plain".to_owned(), format!("\"{}\"", value.index));
            let tags = value.tags.clone();
            let envelope = walk.read.filled(position, fetched_at, value.found, tags, content_type, etag);
            Entry { envelope, index: value.index }
        });
        self.schedule(way, Event::OriginSaid { isolate, walk: number, entry });
    }

    /// The origin's answer lands, for all who waited for it.
    pub(crate) fn origin_said(&mut self, isolate: u64, number: u64, entry: Option<Entry>) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(key) = at.walks.get(&number).map(|walk| walk.key) else { return };
        let waiting = at.flights.remove(&key).unwrap_or_default();
        for walk in [number].into_iter().chain(waiting) {
            match entry.clone() {
                Some(entry) => self.tier_gave(isolate, walk, Tier::Origin, Some(entry)),
                None => self.go_on(isolate, walk, Said::Failed(Tier::Origin), None),
            }
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

    /// A write to R2: on what was seen, unless what is there is as new.
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
        // What was seen may be of another epoch, under another name.
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
