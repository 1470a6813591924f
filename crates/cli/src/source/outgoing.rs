//! The publishes on their way to the broker: in order, each until it is durable there.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use newsreel_core::wire::frame::close;
use newsreel_core::wire::ndjson::{PublishAnswer, PublishAnswers};
use newsreel_core::wire::publish::Receipt;
use newsreel_core::wire::{Cause, Publish, SourceEvent, UnixMillis};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use crate::broker::BrokerOptions;
use crate::exit::{Failure, note};
use crate::http::pause;
use crate::link::{Link, SocketEvent};

/// How long the oldest publish may go without an answer before the connection counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How many publishes may wait.
const WINDOW: usize = 1_000;
/// How many bytes of them may be at the broker unanswered; one publish always may. The broker takes 4 MiB.
const WINDOW_BYTES: usize = 1 << 20;

/// A publish that waits to be durable.
#[derive(Debug)]
pub(crate) struct Entry<O> {
    /// The line that is sent: changes and idempotency key.
    pub(crate) text: String,
    /// Where the publish comes from.
    pub(crate) of: O,
}

/// A publish that is durable.
#[derive(Debug)]
pub(crate) struct Durable<O> {
    /// Where the publish comes from.
    pub(crate) of: O,
    /// The line that was sent.
    pub(crate) text: String,
    /// The broker's receipt.
    pub(crate) receipt: Receipt,
}

/// Where a publish of a source comes from.
pub(crate) trait Origin {
    /// Returns when the change happened, in Unix milliseconds by the clock of the side that the source reads.
    fn at(&self) -> i64;
}

/// Returns the event that a publish tells: `id` in the source `name` of a kind, that happened at `at`, in Unix milliseconds.
pub(crate) fn source_event(kind: &str, name: Option<&str>, id: Option<&str>, at: i64) -> SourceEvent {
    let at = UnixMillis(u64::try_from(at).unwrap_or_default());
    let name = name.map_or_else(|| kind.to_owned(), |name| format!("{kind}:{name}"));
    SourceEvent::clipped(&name, id, at)
}

impl<O> Entry<O> {
    /// Returns a publish that is sent under the key that `key` makes of 16 hex digits of its content: what a source
    /// sends again has the same key, and another content at the same place another one.
    pub(crate) fn new(
        of: O,
        publish: &Publish,
        source: SourceEvent,
        key: impl FnOnce(&str) -> String,
    ) -> Self {
        let changes = publish.written().changes;
        let cause = Cause { source: Some(source), ..publish.cause.clone() }.members();
        let mut content = String::new();
        for byte in Sha256::digest(&changes).iter().take(8) {
            let _ = write!(content, "{byte:02x}");
        }
        let key = serde_json::Value::from(key(&content));
        Self { text: format!(r#"{{"changes":{changes}{cause},"idempotency_key":{key}}}"#), of }
    }
}

/// The reason to act.
pub(crate) enum Wake {
    /// The socket to the broker has an event.
    Socket(SocketEvent),
    /// It is time to dial.
    Dial,
    /// No answer came for too long.
    Silence,
}

/// The queue of publishes and the socket to the broker.
pub(crate) struct Outgoing<O> {
    at: BrokerOptions,
    link: Link,
    queue: VecDeque<Entry<O>>,
    /// How many of the queue were sent over this socket, and their bytes.
    sent: usize,
    sent_bytes: usize,
    waiting_bytes: usize,
    opened: bool,
    failures: u32,
    redial: Option<Instant>,
    heard: Instant,
    last_error: String,
}

impl<O> Outgoing<O> {
    /// Returns an empty queue, and begins to dial.
    pub(crate) fn new(at: BrokerOptions) -> Self {
        Self {
            at,
            link: Link::Down,
            queue: VecDeque::new(),
            sent: 0,
            sent_bytes: 0,
            waiting_bytes: 0,
            opened: false,
            failures: 0,
            redial: Some(Instant::now()),
            heard: Instant::now(),
            last_error: String::new(),
        }
    }

    /// Says whether more may be read from the other side.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < WINDOW && self.waiting_bytes < 4 * WINDOW_BYTES
    }

    /// Returns how many publishes wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Says whether the broker is connected.
    pub(crate) fn is_open(&self) -> bool {
        self.opened
    }

    /// Returns where the publish comes from that waits for longest, if any waits.
    pub(crate) fn oldest(&self) -> Option<&O> {
        self.queue.front().map(|entry| &entry.of)
    }

    /// Returns where each publish that waits comes from, in order.
    pub(crate) fn origins(&mut self) -> impl DoubleEndedIterator<Item = &mut O> {
        self.queue.iter_mut().map(|entry| &mut entry.of)
    }

    /// Adds publishes and sends what the broker has room for.
    pub(crate) async fn add(&mut self, entries: Vec<Entry<O>>) {
        if self.queue.is_empty() {
            self.heard = Instant::now();
        }
        self.waiting_bytes += entries.iter().map(|entry| entry.text.len()).sum::<usize>();
        self.queue.extend(entries);
        self.pump().await;
    }

    /// Waits for a reason to act. May be dropped and called again.
    pub(crate) async fn wake(&mut self) -> Wake {
        let (redial, silence) = (self.redial, self.heard + ANSWER_TIMEOUT);
        let waits = self.opened && !self.queue.is_empty();
        tokio::select! {
            event = self.link.next() => Wake::Socket(event),
            () = sleep_until(redial.unwrap_or(silence)), if redial.is_some() => Wake::Dial,
            () = sleep_until(silence), if waits => Wake::Silence,
        }
    }

    /// Acts, and returns what has become durable.
    ///
    /// # Errors
    /// If the broker refuses for good.
    pub(crate) async fn on_wake(&mut self, wake: Wake) -> Result<Vec<Durable<O>>, Failure> {
        match wake {
            Wake::Dial => {
                self.redial = None;
                self.link = Link::dial(&self.at, "/publish")?;
            }
            Wake::Silence => self.give_up("no answer came for 30 s".to_owned()).await,
            Wake::Socket(SocketEvent::Opened) => {
                (self.opened, self.heard, self.sent, self.sent_bytes) = (true, Instant::now(), 0, 0);
                if !self.last_error.is_empty() {
                    note!("source: the broker answers again");
                    self.last_error.clear();
                }
                self.pump().await;
            }
            Wake::Socket(SocketEvent::Text(text)) => return self.on_text(&text).await,
            Wake::Socket(SocketEvent::Closed(code, reason)) if !close::may_reconnect(code) => {
                return Err(Failure::Refused { code: format!("closed-{code}"), detail: reason });
            }
            Wake::Socket(SocketEvent::Closed(code, reason)) => {
                self.give_up(format!("closed with {code} {reason}")).await;
            }
            Wake::Socket(SocketEvent::Refused(failure)) => return Err(failure),
        }
        Ok(Vec::new())
    }

    /// Says goodbye to the broker.
    pub(crate) async fn finish(&mut self) {
        self.link.hang_up(1000, "done").await;
    }

    async fn on_text(&mut self, text: &str) -> Result<Vec<Durable<O>>, Failure> {
        let mut durable = Vec::new();
        let Ok(PublishAnswers { answers }) = serde_json::from_str::<PublishAnswers<PublishAnswer>>(text)
        else {
            return Ok(durable);
        };
        for answer in answers {
            match answer {
                PublishAnswer::Published(receipt) => {
                    (self.failures, self.heard) = (0, Instant::now());
                    let Some(Entry { text, of }) = self.queue.pop_front() else {
                        self.give_up("an answer to nothing".to_owned()).await;
                        return Ok(durable);
                    };
                    self.sent = self.sent.saturating_sub(1);
                    self.sent_bytes = self.sent_bytes.saturating_sub(text.len());
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(text.len());
                    durable.push(Durable { of, text, receipt });
                }
                PublishAnswer::Refused(refusal) if refusal.status >= 500 || refusal.status == 429 => {
                    self.give_up(format!("{}: {}", refusal.code, refusal.detail)).await;
                    return Ok(durable);
                }
                PublishAnswer::Refused(refusal) => {
                    return Err(Failure::Refused { code: refusal.code, detail: refusal.detail });
                }
            }
        }
        self.pump().await;
        Ok(durable)
    }

    async fn pump(&mut self) {
        while self.opened && (self.sent_bytes == 0 || self.sent_bytes < WINDOW_BYTES) {
            let Some(Entry { text, .. }) = self.queue.get(self.sent) else { return };
            let text = text.clone();
            (self.sent, self.sent_bytes) = (self.sent + 1, self.sent_bytes + text.len());
            self.link.send(text).await;
        }
    }

    /// Closes the connection and dials again later. What the broker does not have stays in the queue.
    async fn give_up(&mut self, why: String) {
        self.link.hang_up(1000, "again").await;
        self.opened = false;
        if self.last_error != why {
            note!("source: the broker: {why}; connecting again");
            self.last_error.clone_from(&why);
        }
        self.redial = Some(Instant::now() + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}
