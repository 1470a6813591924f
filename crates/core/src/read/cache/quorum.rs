//! A quorum read: KV, R2 and the origin are asked at once and the newest version wins.
//!
//! The origin's value is stamped with the reader's position, so it wins unless a reader that had heard more
//! filled a copy. Without an answer from the origin, two copies that may be served are enough. A single copy
//! is served only marked, in place of a dead origin. A copy that no floor refuses and that differs from the
//! winner is outvoted: the value was changed without a publish, or the publish is still on its way. An
//! outvoted copy is counted and overwritten.

use std::rc::Rc;

use super::step::Found;
use super::{Answer, Envelope, Freshness, ReadMachine, Step, Tier, TierResult};
use crate::read::sync::Knowledge;
use crate::wire::position::UnixMillis;

/// How many copies it takes when the origin does not answer.
const QUORUM: usize = 2;

/// Returns the tiers that a quorum read asks.
pub(super) fn tiers(r2: bool) -> &'static [Tier] {
    if r2 { &[Tier::Kv, Tier::R2, Tier::Origin] } else { &[Tier::Kv, Tier::Origin] }
}

impl ReadMachine {
    /// Decides on the answers of all tiers.
    pub(super) fn count_votes(
        &mut self,
        now: UnixMillis,
        known: &Knowledge,
        said: Vec<(Tier, Found)>,
    ) -> Step {
        let (mut clear, mut superseded, mut origin_answered) = (Vec::new(), false, false);
        for (tier, found) in said {
            match found {
                Found::Nothing if tier != Tier::Origin => self.visited(tier, TierResult::Miss),
                Found::Nothing | Found::Failed => self.visited(tier, TierResult::Failed),
                Found::Entry(envelope) => {
                    let visit = if tier == Tier::Origin {
                        origin_answered = true;
                        let (visit, is_superseded) = self.judge_fill(known, &envelope);
                        superseded = is_superseded;
                        visit
                    } else {
                        self.judge(now, known, &envelope)
                    };
                    self.judged(known, tier, visit, &envelope);
                    let is_clear = visit == TierResult::Hit || (tier == Tier::Origin && !superseded);
                    if is_clear { &mut clear } else { &mut self.fallbacks }.push((tier, envelope));
                    self.visits.push((tier, visit));
                }
            }
        }
        let elected =
            (!superseded && (origin_answered || clear.len() >= QUORUM)).then(|| newest(&clear)).flatten();
        match elected {
            Some((from, envelope)) => {
                let (from, envelope) = (*from, envelope.clone());
                self.elect(known, from, &envelope, &clear)
            }
            None => {
                self.fallbacks.append(&mut clear);
                if superseded { self.fetch(known) } else { self.origin_failed(now, known) }
            }
        }
    }

    /// Serves the winner, and fills the copies that do not say the same.
    fn elect(
        &mut self,
        known: &Knowledge,
        from: Tier,
        winner: &Rc<Envelope>,
        clear: &[(Tier, Rc<Envelope>)],
    ) -> Step {
        let (mut fill, kept) = (Vec::new(), winner.not_stored.is_none());
        for (tier, visit) in &mut self.visits {
            let copy = clear.iter().find(|(one, _)| one == tier).map(|(_, envelope)| envelope);
            let agrees = copy.is_some_and(|copy| (copy.found, &copy.etag) == (winner.found, &winner.etag));
            if copy.is_some() && !agrees {
                *visit = TierResult::Outvoted;
            }
            if !agrees && kept && *visit != TierResult::Failed && matches!(tier, Tier::Kv | Tier::R2) {
                fill.push(*tier);
            }
        }
        self.served = Some((from, Rc::clone(winner)));
        let soft = from == Tier::Origin && self.judge_fill(known, winner).0 == TierResult::Soft;
        let freshness = self.marked(if soft { Freshness::Revalidating } else { Freshness::Fresh });
        Step::Answer(Answer::Serve { from, freshness, refresh: soft && kept, fill })
    }
}

fn newest(entries: &[(Tier, Rc<Envelope>)]) -> Option<&(Tier, Rc<Envelope>)> {
    entries.iter().max_by_key(|(tier, envelope)| (envelope.position.version, envelope.fetched_at, *tier))
}
