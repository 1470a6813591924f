//! The bodies of requests while they are read: which publish is under way, and how much memory they may take.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt as _;
use newsreel_core::wire::lines::{self, MAX_LINES_BYTES};
use newsreel_core::wire::publish::MAX_BODY_BYTES;
use newsreel_core::wire::{Code, Problem, UnixMillis};
use worker::{Request, Result};

use crate::js::now;
use crate::publish::queue::busy;

/// How many bytes of bodies may be read at once. Each is in memory twice when it has come.
const BODIES_BYTES: usize = 24 << 20;
/// Past so many only small ones are let in, so that loads do not keep out what cannot wait.
const LARGE_BODIES_BYTES: usize = 16 << 20;
/// The largest body that is small.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// How long a body may take before the same publish is let in beside it: its sender may be gone unheard.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read, and dropped, before it is refused.
pub(crate) const HEARD_OUT: usize = 32 << 20;

/// The bodies that are being read. Few at a time.
pub(crate) type UnderWay = RefCell<Vec<Reading>>;

/// A body that is being read.
pub(crate) struct Reading {
    id: u64,
    publisher: String,
    key: Option<String>,
    since: UnixMillis,
    /// How much memory is kept for it.
    bytes: usize,
}

/// Says that a body is being read, and stops saying so however that ends.
pub(crate) struct Mark<'a> {
    under_way: &'a UnderWay,
    id: u64,
}

impl<'a> Mark<'a> {
    /// Returns nothing when the same publish is under way already.
    pub(crate) fn set(
        under_way: &'a UnderWay,
        id: u64,
        publisher: &str,
        key: &Option<String>,
    ) -> Option<Self> {
        let since = now();
        let mut all = under_way.borrow_mut();
        let same = |one: &Reading| {
            one.key == *key && one.publisher == publisher && since.since(one.since) < UNDER_WAY
        };
        if key.is_some() && all.iter().any(same) {
            return None;
        }
        all.push(Reading { id, publisher: publisher.to_owned(), key: key.clone(), since, bytes: 0 });
        Some(Self { under_way, id })
    }

    /// Keeps memory for so many bytes more of the body, if there is any.
    fn reserve(&self, bytes: usize) -> bool {
        let mut all = self.under_way.borrow_mut();
        let taken: usize = all.iter().map(|one| one.bytes).sum();
        let Some(own) = all.iter_mut().find(|one| one.id == self.id) else { return false };
        let small = own.bytes + bytes <= SMALL_BODY_BYTES;
        let fits = taken + bytes <= if small { BODIES_BYTES } else { LARGE_BODIES_BYTES };
        if fits {
            own.bytes += bytes;
        }
        fits
    }

    /// Gives back what was kept for a body that is not.
    fn release(&self) {
        let mut all = self.under_way.borrow_mut();
        all.iter_mut().filter(|one| one.id == self.id).for_each(|one| one.bytes = 0);
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.under_way.borrow_mut().retain(|one| one.id != self.id);
    }
}

/// Reads a body up to the limit, as far as there is memory for it; nothing past that is buffered.
pub(crate) async fn read_body(
    request: &mut Request,
    most: usize,
    mark: &Mark<'_>,
) -> Result<std::result::Result<Vec<u8>, Problem>> {
    let announced = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let announced = announced.filter(|length| *length <= most);
    let mut fits = announced.is_none_or(|length| mark.reserve(length));
    if announced.is_some() && fits {
        // The runtime holds a body to its announced length.
        return Ok(Ok(request.bytes().await?));
    }
    let mut body = Vec::new();
    let mut bytes: usize = 0;
    if request.inner().body().is_none() {
        return Ok(Ok(body));
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes = bytes.saturating_add(chunk.len());
        fits = fits && bytes <= most && mark.reserve(chunk.len());
        if fits {
            body.extend_from_slice(&chunk);
        } else {
            body = Vec::new();
            mark.release();
        }
        // Who is still sending does not hear an answer: what is somewhat too large is heard out.
        if bytes > HEARD_OUT {
            break;
        }
    }
    Ok(match fits {
        true => Ok(body),
        false if bytes <= most => Err(busy()),
        false => Err(too_large(most)),
    })
}

/// Returns how many bytes the body of a publish may have: lines may have more.
pub(crate) fn most_bytes(request: &Request) -> Result<usize> {
    let lined = lines::are_in(&request.headers().get("Content-Type")?.unwrap_or_default());
    Ok(if lined { MAX_LINES_BYTES } else { MAX_BODY_BYTES })
}

pub(crate) fn too_large(most: usize) -> Problem {
    let text = format!("this body may have at most {most} bytes: publish in several versions");
    Problem::new(Code::BodyTooLarge, text)
}
