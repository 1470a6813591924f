//! How a reader learns floors: asks the replica and applies what it says to this isolate's knowledge.
//!
//! Knowledge is plain isolate state: no request ever awaits another request's future.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::metrics::counts::Counts;
use newsreel_core::metrics::hot::Hot;
use newsreel_core::read::sync::{Applied, Ask, AtLeast, Knowledge, Look, Reply};
use newsreel_core::wire::{Catalog, UnixMillis};
use worker::web_sys::{self, RequestInit};
use worker::{Delay, Env, Result, Stub};

use crate::config::REPLICA;
use crate::reader::context::Place;
use crate::tiers::memory::Memory;
use crate::{js, now};

/// Stands between catalog and edge in a replica's name.
pub(crate) const REPLICA_AT: char = '@';
/// The header with which a replica says that it gave the proof that was asked for.
pub(crate) const PROVED: &str = "Newsreel-Proved";
/// The header with which a replica says that its reply is packed with gzip.
pub(crate) const PACKED: &str = "Newsreel-Packed";
/// How many replies one sync takes: 50 of 4,000 floors are more than a snapshot.
const REPLIES: usize = 50;
/// How long one sync behind an answer keeps others from starting.
const SYNCING: Duration = Duration::from_secs(2);

/// What this isolate holds of one catalog.
pub(crate) struct Reader {
    /// What it was told.
    pub(crate) known: Knowledge,
    /// The memory tier.
    pub(crate) memory: Memory,
    /// What it counted since its last report.
    pub(crate) counts: Counts,
    /// What it read most since then.
    pub(crate) hot: Hot,
    /// When that was.
    pub(crate) reported_at: UnixMillis,
    /// Until when a sync behind an answer is under way.
    syncing_until: UnixMillis,
    /// Until when the first sync is under way.
    loading_until: UnixMillis,
    /// When one ended.
    loaded_at: UnixMillis,
    /// When it was last used.
    used_at: UnixMillis,
    /// Until when this isolate is told of changes as they happen.
    pub(crate) window_until: UnixMillis,
}

/// How long one first sync keeps others from starting theirs.
const LOADING: Duration = Duration::from_secs(4);
/// How often those look who wait for it.
const LOOK: Duration = Duration::from_millis(8);
/// How many catalogs an isolate holds something of. Whoever asks names them, so they are bounded.
const MAX_CATALOGS: usize = 16;
/// How many bytes of values and names an isolate keeps of all of them; it has 128 MB for everything.
const MEMORY_BYTES: usize = 32 << 20;
/// How many keys an isolate counts the reads of.
const HOT_KEYS: usize = 1_000;

impl Default for Reader {
    fn default() -> Self {
        let never = UnixMillis(0);
        Self {
            known: Knowledge::default(),
            memory: Memory::default(),
            counts: Counts::default(),
            hot: Hot::new(HOT_KEYS),
            reported_at: never,
            syncing_until: never,
            loading_until: never,
            loaded_at: never,
            used_at: never,
            window_until: never,
        }
    }
}

thread_local! {
    static READERS: RefCell<BTreeMap<Catalog, Reader>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `with` on what this isolate holds of a catalog. Not re-entrant, and nothing in it awaits.
///
/// An isolate holds [`MAX_CATALOGS`], which share the bytes of memory; the one used longest ago makes room.
pub(crate) fn reader<T>(catalog: &Catalog, with: impl FnOnce(&mut Reader) -> T) -> T {
    let (mut with, mut outcome) = (Some(with), None);
    // Not generic, or each of its thirty callers has all of it in the wasm.
    run_on(catalog, &mut |reader| outcome = with.take().map(|with| with(reader)));
    outcome.expect("it is run once")
}

fn run_on(catalog: &Catalog, with: &mut dyn FnMut(&mut Reader)) {
    READERS.with_borrow_mut(|readers| {
        if !readers.contains_key(catalog) {
            make_room(readers);
        }
        let reader = readers.entry(catalog.clone()).or_default();
        reader.used_at = now();
        with(reader);
        let mut bytes: usize = readers.values().map(|reader| reader.memory.bytes()).sum();
        while bytes > MEMORY_BYTES {
            let fullest = readers.values_mut().filter(|reader| reader.memory.bytes() > 0);
            let Some(oldest) = fullest.min_by_key(|reader| reader.used_at) else { return };
            let before = oldest.memory.bytes();
            oldest.memory.bound(before.saturating_sub(bytes - MEMORY_BYTES));
            bytes -= before - oldest.memory.bytes();
        }
    });
}

fn make_room(readers: &mut BTreeMap<Catalog, Reader>) {
    while readers.len() >= MAX_CATALOGS {
        let oldest =
            readers.iter().min_by_key(|(_, reader)| reader.used_at).map(|(catalog, _)| catalog.clone());
        let Some(oldest) = oldest else { return };
        readers.remove(&oldest);
    }
}

/// Asks the replica until everything it knows is known here; returns whether it gave the proof asked for.
///
/// # Errors
/// When the replica cannot be reached or has not reached its broker.
pub(crate) async fn sync(
    place: &Place,
    max_age: Duration,
    at_least: Option<AtLeast>,
    look: &Look,
) -> Result<bool> {
    let catalog = &place.catalog;
    let is_first = place.replica.is_none() && is_first(catalog).await;
    let proved = ask_for_all(place, max_age, at_least, look).await;
    if is_first {
        reader(catalog, |reader| (reader.loading_until, reader.loaded_at) = (UnixMillis(0), now()));
    }
    proved
}

/// Says whether this is the first sync of the isolate. While another request's is under way, which loads everything, it
/// waits: what is left to ask is little then.
async fn is_first(catalog: &Catalog) -> bool {
    let began = now();
    // Whatever became of the one that was waited for, nobody waits for a second.
    let waits = |reader: &mut Reader| reader.known.position().is_none() && reader.loaded_at <= began;
    while reader(catalog, waits) && now() < began.plus(LOADING) {
        if take_turn(catalog, |reader| &mut reader.loading_until, LOADING) {
            return true;
        }
        Delay::from(LOOK).await;
    }
    false
}

async fn ask_for_all(
    place: &Place,
    max_age: Duration,
    at_least: Option<AtLeast>,
    look: &Look,
) -> Result<bool> {
    let catalog = &place.catalog;
    for _ in 0..REPLIES {
        let ask = reader(catalog, |reader| reader.known.ask(max_age, at_least, look.clone()));
        let sent_at = now();
        let (reply, proved) = match &place.replica {
            Some(replica) => replica.told(&ask).await?,
            None => question(place, &ask).await?,
        };
        let reply: Reply = serde_json::from_str(&reply)?;
        match reader(catalog, |reader| reader.known.learn(sent_at, look, reply)) {
            Applied::Part => {}
            Applied::Whole => return Ok(proved),
            // Another sync of this isolate was faster; what it brought is newer.
            Applied::Ignored => return Ok(false),
        }
    }
    Ok(false)
}

/// Asks the replica; returns its reply, and whether it proved what was asked for.
async fn question(place: &Place, ask: &Ask) -> Result<(String, bool)> {
    let body = serde_json::to_string(ask)?;
    let response = post(place, "sync", &body).await?;
    let proved = response.headers().has(PROVED)?;
    let stream = response.body().filter(|_| response.headers().has(PACKED).unwrap_or(false));
    let response = match stream {
        Some(stream) => web_sys::Response::new_with_opt_readable_stream(Some(&js::unpacked(&stream)))?,
        None => response,
    };
    Ok((js::text_of(&response).await?, proved))
}

/// Tells the replica something and returns its answer.
///
/// # Errors
/// When it cannot be reached, or answers with another status than 200; the text says which.
pub(crate) async fn post(place: &Place, what: &str, body: &str) -> Result<web_sys::Response> {
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body.into());
    let request = web_sys::Request::new_with_str_and_init(&format!("https://replica/{what}"), &init)?;
    let stub = replica(&place.env, &place.catalog, &place.edge)?;
    let response: web_sys::Response = stub.fetch_with_request(request.into()).await?.into();
    if response.status() != 200 {
        return Err(format!("the replica answered {}", response.status()).into());
    }
    Ok(response)
}

/// Returns the replica of a catalog at an edge.
pub(crate) fn replica(env: &Env, catalog: &Catalog, edge: &str) -> Result<Stub> {
    env.durable_object(REPLICA)?.get_by_name(&format!("{catalog}{REPLICA_AT}{edge}"))
}

/// Takes a turn that one request of this isolate has at a time; returns whether it was free. It ends by itself
/// after `at_most`: a deadline, never a flag, for the request that took it may be gone.
pub(crate) fn take_turn(
    catalog: &Catalog,
    turn: fn(&mut Reader) -> &mut UnixMillis,
    at_most: Duration,
) -> bool {
    let now = now();
    reader(catalog, |reader| {
        let until = turn(reader);
        let free = now >= *until;
        if free {
            *until = now.plus(at_most);
        }
        free
    })
}

/// Says whether a sync behind an answer should start, and if so keeps others from starting one too.
pub(crate) fn may_sync_behind(catalog: &Catalog) -> bool {
    take_turn(catalog, |reader| &mut reader.syncing_until, SYNCING)
}

/// Says that a sync behind an answer has ended.
pub(crate) fn synced_behind(catalog: &Catalog) {
    reader(catalog, |reader| reader.syncing_until = UnixMillis(0));
}
