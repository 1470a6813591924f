//! Puts the entry that a read served into the tiers nearer to the reader: memory at once, KV and
//! R2 behind the answer.

use futures_util::future::{join, join_all};
use newsreel_core::read::cache::{Answer, Tier};
use newsreel_core::read::entry_names::{kv_name, r2_name};
use worker::console_warn;

use crate::reader::context::ReadContext;
use crate::reader::drive::FinishedRead;
use crate::reader::state::reader;
use crate::tiers::{Body, Entry, kv, r2};

impl FinishedRead {
    /// Returns the tiers that the served entry is put into.
    pub(crate) fn filled(&self) -> Vec<Tier> {
        let (Answer::Serve { fill, .. }, Some(entry)) = (self.answer(), self.entry()) else {
            return Vec::new();
        };
        // A value too large for memory was streamed into R2 when it was fetched.
        let is_there = |tier: Tier| tier == Tier::R2 && matches!(entry.body, Body::Stored(_));
        fill.iter().copied().filter(|tier| entry.fits(*tier) || is_there(*tier)).collect()
    }

    /// Puts the answer into memory at once, and returns the fill that KV and R2 still need, if any.
    pub(crate) fn fill(&self, context: &ReadContext) -> Option<Fill> {
        let (entry, mut tiers) = (self.entry()?, self.filled());
        tiers.retain(|tier| entry.fits(*tier));
        if tiers.contains(&Tier::Memory) {
            reader(&context.catalog, |reader| reader.memory.put(self.key(), entry.clone()));
        }
        let epoch = entry.envelope.position.epoch;
        let kv = tiers
            .contains(&Tier::Kv)
            .then(|| kv_name(&context.catalog, &epoch, self.key(), self.task().generation()));
        let r2 = tiers.contains(&Tier::R2).then(|| r2_name(&context.catalog, &epoch, self.key()));
        let popularity = reader(&context.catalog, |reader| reader.hot.reads(self.key()));
        let (entry, seen) = (entry.clone(), self.seen().cloned());
        (kv.is_some() || r2.is_some()).then_some(Fill { entry, kv, r2, seen, popularity })
    }
}

/// An entry to be put into KV and R2: its name in each, or `None` where that tier takes none.
pub(crate) struct Fill {
    entry: Entry,
    kv: Option<String>,
    r2: Option<String>,
    seen: Option<r2::Seen>,
    /// How often this isolate read the key, lately.
    popularity: u64,
}

/// The reason that an entry is not in a tier that it was to be put into.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FillError {
    /// KV does not take the entry of this name.
    #[error("{0} is not in KV: {1}")]
    Kv(String, #[source] worker::Error),
    /// R2 does not take the entry of this name.
    #[error("{0} is not in R2: {1}")]
    R2(String, #[source] worker::Error),
}

impl Fill {
    /// Puts the entry there. A tier that refuses it costs later reads a miss, nothing else.
    async fn put(self, context: &ReadContext) -> Result<(), FillError> {
        let Self { entry, kv, r2, seen, popularity } = &self;
        let to_kv = async {
            let Some(name) = kv else { return Ok(()) };
            let put = kv::put(&context.env, name, entry.clone(), *popularity).await;
            put.map_err(|error| FillError::Kv(name.clone(), error))
        };
        let to_r2 = async {
            let Some(name) = r2 else { return Ok(()) };
            let put = r2::put(&context.env, name, entry, seen.clone()).await;
            put.map_err(|error| FillError::R2(name.clone(), error))
        };
        let (kv, r2) = join(to_kv, to_r2).await;
        let put = kv.and(r2);
        if let Err(error) = &put {
            console_warn!("{error}");
        }
        put
    }
}

/// Puts all entries there; returns what became of each, in their order.
pub(crate) async fn put_all(context: &ReadContext, fills: Vec<Fill>) -> Vec<Result<(), FillError>> {
    join_all(fills.into_iter().map(|fill| fill.put(context))).await
}
