//! Puts what a read served into the tiers nearer to the reader: memory at once, KV and R2 behind the answer.

use futures_util::future::{join, join_all};
use newsreel_core::read::cache::{Answer, Tier};
use newsreel_core::read::entry_names::{kv_name, r2_name};
use worker::console_warn;

use crate::reader::context::Place;
use crate::reader::drive::Walk;
use crate::reader::state::reader;
use crate::tiers::{Body, Entry, kv, r2};

impl Walk {
    /// Returns the tiers that take what is served.
    pub(crate) fn filled(&self) -> Vec<Tier> {
        let (Answer::Serve { fill, .. }, Some(entry)) = (self.answer(), self.entry()) else {
            return Vec::new();
        };
        // What is too large for memory has gone through R2 already.
        let is_there = |tier: Tier| tier == Tier::R2 && matches!(entry.body, Body::Stored(_));
        fill.iter().copied().filter(|tier| entry.fits(*tier) || is_there(*tier)).collect()
    }

    /// Puts the answer into memory at once, and returns what is to be put into KV and R2.
    pub(crate) fn fill(&self, place: &Place) -> Option<Fill> {
        let (entry, mut tiers) = (self.entry()?, self.filled());
        tiers.retain(|tier| entry.fits(*tier));
        if tiers.contains(&Tier::Memory) {
            reader(&place.catalog, |reader| reader.memory.put(self.key(), entry.clone()));
        }
        let epoch = entry.envelope.position.epoch;
        let kv = tiers
            .contains(&Tier::Kv)
            .then(|| kv_name(&place.catalog, &epoch, self.key(), self.task().generation()));
        let r2 = tiers.contains(&Tier::R2).then(|| r2_name(&place.catalog, &epoch, self.key()));
        let popularity = reader(&place.catalog, |reader| reader.hot.reads(self.key()));
        let (entry, seen) = (entry.clone(), self.seen().cloned());
        (kv.is_some() || r2.is_some()).then_some(Fill { entry, kv, r2, seen, popularity })
    }
}

/// What is to be put into KV and R2, under which names.
pub(crate) struct Fill {
    entry: Entry,
    kv: Option<String>,
    r2: Option<String>,
    seen: Option<r2::Seen>,
    /// How often this isolate read the key, lately.
    popularity: u64,
}

impl Fill {
    /// Puts it there; returns what refused it, if something did. Then it is only missed there.
    async fn put(self, place: &Place) -> Option<String> {
        let Self { entry, kv, r2, seen, popularity } = &self;
        let to_kv = async {
            let name = kv.as_ref()?;
            let put = kv::put(&place.env, name, entry.clone(), *popularity).await;
            put.err().map(|error| format!("{name} is not in KV: {error}"))
        };
        let to_r2 = async {
            let name = r2.as_ref()?;
            let put = r2::put(&place.env, name, entry, seen.clone()).await;
            put.err().map(|error| format!("{name} is not in R2: {error}"))
        };
        let (kv, r2) = join(to_kv, to_r2).await;
        let refused = kv.or(r2);
        if let Some(refused) = &refused {
            console_warn!("{refused}");
        }
        refused
    }
}

/// Puts all of them there; returns what refused each, if something did.
pub(crate) async fn put_all(place: &Place, fills: Vec<Fill>) -> Vec<Option<String>> {
    join_all(fills.into_iter().map(|fill| fill.put(place))).await
}
