//! Properties of every reader of bytes from outside, for any bytes.
//!
//! A [`Target`] is more than "does not panic": a value that is read is written and read again, and keeps its limits; a
//! state that takes the value keeps its invariants. Texts that are the *steps* of something are a step a line, so that
//! a corpus can be read and written by hand.
//!
//! `cargo test -p newsreel-fuzz` replays the corpus, and some thousand changes to it that are the same every time.
//! `scripts/fuzz` looks for more with libFuzzer. A new reader is a function here, a line in [`TARGETS`], and a file
//! in `corpus/`. Knows the core, the mapping and the hooks, and nothing else.

mod access;
pub mod corpus;
mod follower;
mod frames;
mod headers;
mod hooks;
mod hub;
mod mapping;
pub mod memory;
pub mod mutation;
mod names;
mod policies;
mod publishes;
mod replies;
mod reports;
mod routes;
mod rows;
mod stored;

/// Something that must hold of any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the target and of its corpus.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub holds: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident = $holds:path;)*) => {
        /// All fuzz targets, in the order of the table below.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), holds: $holds },)*];
    };
}

targets! {
    answers = rows::answers;
    follower = follower::steps;
    follower_frame = frames::from_follower;
    frame = frames::from_broker;
    headers = headers::of_request;
    hooks = hooks::request;
    hub = hub::steps;
    keys = routes::keys;
    lines = publishes::lines;
    mapping = mapping::mapping;
    message = mapping::message;
    names = names::names;
    origins = access::origins;
    policy = policies::policy;
    positions = names::positions;
    publish = publishes::publish;
    reports = reports::reports;
    route = routes::route;
    rows = rows::rows;
    series = stored::series;
    settle = hooks::settle;
    signed = access::signed;
    stored = stored::entry;
    sync = replies::steps;
    tokens = access::tokens;
}

/// Returns the target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// Returns the first lines of a text, each by itself, and what follows them. Missing ones are empty.
fn first_lines<const N: usize>(text: &str) -> ([&str; N], &str) {
    let mut rest = text;
    let lines = std::array::from_fn(|_| {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        line
    });
    (lines, rest)
}
