//! `newsreel publish --ndjson`: one publish a line over the publishing socket, many under way at a time.
//!
//! Every line has an idempotency key, so lines without an answer are sent again when the connection breaks.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use newsreel_core::wire::bom::without_bom;
use newsreel_core::wire::frame::close;
use newsreel_core::wire::publish::MAX_BODY_BYTES;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::lines::{Heard, Lines};
use crate::broker::BrokerOptions;
use crate::exit::{Failure, note, print};
use crate::http::pause;
use crate::input;
use crate::link::{Link, SocketEvent};

/// How long the oldest publish may go without an answer before the connection counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How many lines are read ahead.
const READ_AHEAD: usize = 64;
/// The longest key that still fits with the number of a line.
const MAX_KEY_BYTES: usize = 240;

/// Publishes every line of a file and prints the answers.
pub(super) async fn run(path: &Path, key: String, at: &BrokerOptions) -> Result<(), Failure> {
    if key.len() > MAX_KEY_BYTES {
        let why = format!("with --ndjson an idempotency key has at most {MAX_KEY_BYTES} bytes");
        return Err(Failure::Input(why));
    }
    let (source, bar) = input::open_with_bar(path)?;
    let (line, input) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || read(source, &line));
    let mut stream = Stream {
        at,
        input,
        lines: Lines::new(key.clone()),
        link: Link::Down,
        bar: bar.clone(),
        ended: false,
        cut: None,
        opened: false,
        failures: 0,
        heard: Instant::now(),
        lost: None,
        redial: Some(Instant::now()),
        last_error: String::new(),
    };
    let outcome = stream.run().await;
    stream.link.hang_up(1000, "done").await;
    bar.finish_and_clear();
    let Lines { answered, refused, .. } = stream.lines;
    note!("publish: {} published, {refused} refused", answered - refused);
    if outcome.is_err() {
        note!("  the same file with --idempotency-key {key} goes on from here: nothing is published twice");
    }
    outcome?;
    match stream.lines.first_refusal {
        None => Ok(()),
        Some((line, code, detail)) => {
            let others = match refused {
                0 | 1 => String::new(),
                2 => "; so was one other".to_owned(),
                more => format!("; so were {} others", more - 1),
            };
            Err(Failure::Refused { code, detail: format!("publish {line}: {detail}{others}") })
        }
    }
}

struct Stream<'a> {
    at: &'a BrokerOptions,
    input: mpsc::Receiver<Result<String, Failure>>,
    lines: Lines,
    link: Link,
    bar: ProgressBar,
    /// Whether the input has ended.
    ended: bool,
    /// Why the input ended early.
    cut: Option<Failure>,
    opened: bool,
    /// How many connections in a row brought no answer.
    failures: u32,
    /// When the last answer came, or the oldest unanswered publish was sent.
    heard: Instant,
    /// Since when no connection has brought an answer.
    lost: Option<Instant>,
    /// When to dial again.
    redial: Option<Instant>,
    /// The reason of the last disconnection.
    last_error: String,
}

impl Stream<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        while !(self.ended && self.lines.is_done()) {
            let dial = self.redial;
            let idle = self.lines.is_done();
            tokio::select! {
                event = self.link.next() => self.on_event(event).await?,
                line = self.input.recv(), if self.opened && !self.ended && self.lines.has_room() => {
                    self.take(line).await?;
                }
                () = sleep_until(dial.unwrap_or(self.heard)), if dial.is_some() => {
                    self.redial = None;
                    self.link = Link::dial(self.at, "/publish")?;
                }
                () = sleep_until(self.heard + ANSWER_TIMEOUT), if self.opened && !idle => {
                    self.give_up("no answer came for 30 s".to_owned()).await?;
                }
            }
        }
        self.cut.take().map_or(Ok(()), Err)
    }

    async fn on_event(&mut self, event: SocketEvent) -> Result<(), Failure> {
        match event {
            SocketEvent::Opened => {
                (self.opened, self.heard) = (true, Instant::now());
                if self.lines.is_done() {
                    (self.failures, self.lost) = (0, None);
                }
                for text in self.lines.under_way() {
                    self.link.send(text).await;
                }
                Ok(())
            }
            SocketEvent::Text(text) => {
                let heard = self.lines.hear(&text);
                if !heard.lines.is_empty() {
                    (self.failures, self.lost, self.heard) = (0, None, Instant::now());
                }
                self.show(&heard)?;
                match heard.broken {
                    Some(why) => self.give_up(why).await,
                    None => Ok(()),
                }
            }
            SocketEvent::Closed(code, reason) if !close::may_reconnect(code) => {
                Err(Failure::Refused { code: format!("closed-{code}"), detail: reason })
            }
            SocketEvent::Closed(code, reason) => self.give_up(format!("closed with {code} {reason}")).await,
            SocketEvent::Refused(failure) => Err(failure),
        }
    }

    async fn take(&mut self, line: Option<Result<String, Failure>>) -> Result<(), Failure> {
        let line = match line {
            Some(Ok(line)) => line,
            // The lines before it are still published.
            Some(Err(failure)) => {
                (self.ended, self.cut) = (true, Some(failure));
                return Ok(());
            }
            None => {
                self.ended = true;
                return Ok(());
            }
        };
        if self.lines.is_done() {
            self.heard = Instant::now();
        }
        let mut heard = Heard::default();
        let sent = self.lines.take(&line, &mut heard);
        self.show(&heard)?;
        if let Some(text) = sent {
            self.link.send(text).await;
        }
        Ok(())
    }

    /// Prints answers above the bar.
    fn show(&self, heard: &Heard) -> Result<(), Failure> {
        if heard.lines.is_empty() {
            return Ok(());
        }
        self.bar.set_message(format!("{} answered", self.lines.answered));
        self.bar.suspend(|| print(&heard.lines))
    }

    /// Closes the connection and dials again later, unless the time for retries has run out.
    async fn give_up(&mut self, why: String) -> Result<(), Failure> {
        self.link.hang_up(1000, "again").await;
        self.opened = false;
        if self.last_error != why {
            self.bar.suspend(|| note!("publish: {why}; connecting again"));
            self.last_error.clone_from(&why);
        }
        let redial = Instant::now() + pause(self.failures);
        self.failures += 1;
        if redial.duration_since(*self.lost.get_or_insert_with(Instant::now)) > self.at.retry_for() {
            return Err(Failure::Unreachable { what: self.at.broker.to_string(), why });
        }
        self.redial = Some(redial);
        Ok(())
    }
}

/// Reads lines until the end, or until the receiver has gone. Runs on a thread of its own, since stdin may
/// wait for ever.
fn read(source: Box<dyn Read + Send>, lines: &mpsc::Sender<Result<String, Failure>>) {
    let mut source = BufReader::new(source);
    for number in 1.. {
        let mut line = Vec::new();
        // One byte more than a publish may have is enough to refuse it, and leaves no room for a file of one
        // line.
        let most = MAX_BODY_BYTES as u64 + 2;
        let read = source.by_ref().take(most).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(read) if read as u64 == most && !line.ends_with(b"\n") => {
                Err(Failure::Input(format!("line {number} has more than {MAX_BODY_BYTES} bytes")))
            }
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => {
                let line = if number == 1 { without_bom(&line).to_vec() } else { line };
                String::from_utf8(line).map_err(|_| Failure::Input(format!("line {number} is not UTF-8")))
            }
            Err(error) => Err(Failure::Input(format!("line {number}: {error}"))),
        };
        let last = line.is_err();
        if lines.blocking_send(line).is_err() || last {
            return;
        }
    }
}
