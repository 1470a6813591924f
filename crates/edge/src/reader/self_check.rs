//! The check by schedule (`VERIFY_CATALOGS`): what an edge serves for some keys, beside what the origin says.
//!
//! `core::read::self_check` decides. Weaker than `newsreel verify`, which asks from outside: the isolate of a scheduled run has
//! the edge's replica, its KV and R2, and a memory of its own. Nothing that is fetched here is stored.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::metrics::counts::Count;
use newsreel_core::read::cache::{Answer, Freshness};
use newsreel_core::read::self_check::{Judged, Look, Suspicion, Verdict};
use newsreel_core::wire::{Key, Position, UnixMillis};
use serde::Serialize;
use worker::{Delay, Result, console_error};

use crate::clock::now;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, Values, fetch, run};
use crate::reader::edges::ask;
use crate::reader::explain::Explanation;
use crate::reader::metrics;
use crate::reader::response::headers::Provenance;
use crate::reader::state::reader;
use crate::reader::sync::call;

/// How long after the origin has a value its publish may come.
const PUBLISH_TAKES: Duration = Duration::from_secs(5);
/// Classes with a longer bound are not convicted: a run may take 15 minutes, and looks three times.
const LONGEST_BOUND: Duration = Duration::from_secs(240);

/// A value, as far as two of them are compared: by their bytes where both are at hand, by their entity tags otherwise.
#[derive(Debug, Clone)]
struct Given {
    /// The entity tag; empty where there is no value.
    etag: String,
    bytes: Option<Rc<[u8]>>,
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        match (&self.bytes, &other.bytes) {
            (Some(one), Some(other)) => one == other,
            (_, _) => self.etag == other.etag,
        }
    }
}

/// A key that is looked at again.
struct Suspect {
    key: Key,
    suspicion: Suspicion<Given>,
    since: UnixMillis,
}

/// A look, and the read that it was.
struct Seen {
    look: Look<Given>,
    read: FinishedRead,
}

/// A wrong answer, as `GET checks` shows it.
#[derive(Serialize)]
struct Finding<'a> {
    at: UnixMillis,
    edge: &'a str,
    key: &'a Key,
    class: &'a str,
    /// When the answer was first seen.
    since: UnixMillis,
    served: Side<'a>,
    origin: Side<'a>,
    explain: Explanation<'a>,
}

/// What one side gave.
#[derive(Serialize)]
struct Side<'a> {
    found: bool,
    etag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

impl<'a> Side<'a> {
    fn of(given: &'a Given, position: Option<Position>) -> Self {
        Self { found: !given.etag.is_empty(), etag: &given.etag, position }
    }
}

/// Checks keys that were read at the edge of `context` lately, counts the verdicts there, and tells the replica of the edge `home`
/// of wrong answers. Returns how many keys were checked.
///
/// # Errors
/// When the edge's replica cannot be reached. What was not counted then is checked by the next run.
pub(crate) async fn check(context: &ReadContext, most: u64, home: &str) -> Result<usize> {
    let keys: Vec<Key> = ask(context, &context.edge, Call::Checkable, &most.to_string()).await?;
    let mut suspects = Vec::new();
    for key in &keys {
        let Some(Seen { look, .. }) = look(context, key).await else {
            count(context, key, Verdict::Unknown);
            continue;
        };
        match look.judge() {
            Judged::Decided(verdict) => count(context, key, verdict),
            Judged::LookAgain(suspicion) => {
                suspects.push(Suspect { key: key.clone(), suspicion, since: now() });
            }
        }
    }
    while !suspects.is_empty() {
        suspects = look_again(context, suspects, home).await;
    }
    metrics::tell(context).await?;
    Ok(keys.len())
}

/// Waits until each suspect has to be served anew, and looks again. Returns those that stay undecided.
async fn look_again(context: &ReadContext, suspects: Vec<Suspect>, home: &str) -> Vec<Suspect> {
    let bound = |suspect: &Suspect| context.policy(&suspect.key).lag_bound;
    let (suspects, others): (Vec<_>, Vec<_>) =
        suspects.into_iter().partition(|suspect| bound(suspect) <= LONGEST_BOUND);
    others.iter().for_each(|suspect| count(context, &suspect.key, Verdict::Unknown));
    let longest = suspects.iter().map(bound).max().unwrap_or_default();
    Delay::from(longest + PUBLISH_TAKES).await;
    let mut undecided = Vec::new();
    for Suspect { key, suspicion, since } in suspects {
        let Some(seen) = look(context, &key).await else {
            count(context, &key, Verdict::Unknown);
            continue;
        };
        match suspicion.judge(&seen.look) {
            Judged::Decided(verdict) => {
                count(context, &key, verdict);
                if verdict == Verdict::Wrong {
                    report(context, &key, since, &seen, home).await;
                }
            }
            Judged::LookAgain(suspicion) => undecided.push(Suspect { key, suspicion, since }),
        }
    }
    undecided
}

/// Asks the origin, the edge as its readers do, and the origin again; `None` if a side gives nothing that can be compared.
async fn look(context: &ReadContext, key: &Key) -> Option<Seen> {
    let before = origin(context, key).await?;
    let read = run(context, vec![context.read(key, None).explained()], Values::All).await.pop()?;
    let (served, filled_at) = (given(&read)?, read.entry().map(|entry| entry.envelope.position));
    let after = if served == before { before.clone() } else { origin(context, key).await? };
    Some(Seen { look: Look { before, served, is_marked: is_marked(&read), filled_at, after }, read })
}

async fn origin(context: &ReadContext, key: &Key) -> Option<Given> {
    given(fetch(context, key).await.first()?)
}

/// Returns what a read gives; `None` if it fails.
fn given(read: &FinishedRead) -> Option<Given> {
    match read.answer() {
        Answer::Fail(_) => None,
        Answer::Removed { .. } => Some(Given { etag: String::new(), bytes: None }),
        Answer::Serve { .. } => {
            let entry = read.entry()?;
            let bytes = entry.body.bytes().filter(|_| entry.envelope.found);
            Some(Given { etag: entry.envelope.etag.clone(), bytes })
        }
    }
}

fn is_marked(read: &FinishedRead) -> bool {
    match read.answer() {
        Answer::Serve { freshness, .. } | Answer::Removed { freshness, .. } => *freshness != Freshness::Fresh,
        Answer::Fail(_) => false,
    }
}

fn count(context: &ReadContext, key: &Key, verdict: Verdict) {
    let count = match verdict {
        Verdict::Consistent => Count::VerifyConsistent,
        Verdict::Marked => Count::VerifyMarked,
        Verdict::Wrong => Count::VerifyWrong,
        Verdict::Unknown => Count::VerifyUnknown,
    };
    reader(&context.catalog, |reader| reader.counts.add(key.class(), count, 1));
}

/// Tells the log of the Worker and the replica of the edge `home` of a wrong answer.
async fn report(context: &ReadContext, key: &Key, since: UnixMillis, seen: &Seen, home: &str) {
    let Seen { look, read } = seen;
    let (catalog, edge) = (&context.catalog, &context.edge);
    console_error!(
        "{catalog}@{edge}: {key} is served as {}, and the origin says {}",
        look.served.etag,
        look.before.etag
    );
    let provenance = Provenance::by(context, read);
    let finding = Finding {
        at: now(),
        edge,
        key,
        class: key.class(),
        since,
        served: Side::of(&look.served, look.filled_at),
        origin: Side::of(&look.before, None),
        explain: Explanation::of(context, read, &provenance),
    };
    let told = match serde_json::to_string(&finding) {
        Ok(finding) => call(context, home, Call::NoteFinding, &finding).await.map(drop),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = told {
        console_error!("{catalog}@{home}: a wrong answer is not kept: {error}");
    }
}
