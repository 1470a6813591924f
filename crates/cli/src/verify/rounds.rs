//! One round of reads: the origin, the edges at once, and the origin again where an edge differs.

use futures_util::future::join_all;
use newsreel_core::wire::{Key, Position, Tag};
use serde_json::{Map, Value};

use super::edges::{EdgeAnswer, EdgeClient};
use super::judge::Sighting;
use super::plan::Round;
use super::truth::{Truth, TruthError};

/// An answer about the truth: the value, and its tags where they are known.
pub(super) type OriginAnswered = Result<(Sighting, Option<Vec<Tag>>), TruthError>;

/// Everybody who is asked.
pub(super) struct Asker {
    pub(super) truth: Truth,
    pub(super) edges: Vec<EdgeClient>,
}

/// A round with its answers.
pub(super) struct RoundDone {
    pub(super) round: Round,
    pub(super) before: OriginAnswered,
    /// `None` where every edge says what the origin said before.
    pub(super) after: Option<OriginAnswered>,
    /// The answers by the numbers of the edges.
    pub(super) answers: Vec<(usize, Result<EdgeAnswer, String>)>,
}

impl Asker {
    /// Carries out a round.
    pub(super) async fn ask(&self, round: Round, position: Option<Position>) -> RoundDone {
        let before = self.truth.ask(&round.key, position).await;
        let reads = round.edges.iter().filter_map(|number| {
            let (edge, key) = (self.edges.get(*number)?, &round.key);
            Some(async move { (*number, edge.read(key).await) })
        });
        let answers = join_all(reads).await;
        let differs = before.as_ref().is_ok_and(|(before, _)| {
            let served = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
            served.into_iter().any(|answer| !before.value.is_same(&answer.served.value))
        });
        let after = if differs { Some(self.truth.ask(&round.key, position).await) } else { None };
        RoundDone { round, before, after, answers }
    }

    /// Asks every edge why it answers as it does.
    pub(super) async fn explain(&self, key: &Key) -> Value {
        let edges = self.edges.iter().map(|edge| async { (edge.name.clone(), edge.explain(key).await) });
        Value::Object(join_all(edges).await.into_iter().collect::<Map<_, _>>())
    }
}
