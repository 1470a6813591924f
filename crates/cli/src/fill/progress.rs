//! The result of each key: counted, kept for the next run, and reported.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use newsreel_core::wire::Key;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::resume::ResumeFile;
use crate::exit::{Failure, note, print};

/// The result of each key of a batch, as an edge answers it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct BatchOutcome {
    /// Keys that have a value, fetched from the origin or found in a lower tier.
    pub(super) filled: Vec<Key>,
    /// Keys whose entry in KV may be served already, or is newer.
    pub(super) kept: Vec<Key>,
    /// Keys that the origin does not have.
    pub(super) absent: Vec<Key>,
    /// Keys that are not done.
    pub(super) failed: Vec<Failed>,
}

/// A key that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    /// The key that failed.
    pub(super) key: Key,
    /// The stable code of the failure.
    pub(super) code: String,
    /// The failure in words.
    #[serde(default)]
    pub(super) detail: String,
}

/// Counts, the bar, and the resume file.
pub(super) struct Progress {
    bar: ProgressBar,
    done: Option<ResumeFile>,
    filled: usize,
    kept: usize,
    absent: usize,
    failed: usize,
    /// How many were done by an earlier run.
    before: usize,
}

impl Progress {
    /// Returns a bar for so many keys.
    pub(super) fn new(keys: usize, before: usize, done: Option<ResumeFile>) -> Self {
        // On anything but a terminal it stays hidden.
        let bar = ProgressBar::new(keys as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos} of {len} keys  {per_sec}  {msg}  {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar, done, filled: 0, kept: 0, absent: 0, failed: 0, before }
    }

    /// Takes the result of a batch. A key that the result does not name has failed.
    pub(super) fn take(&mut self, batch: &[Key], mut outcome: BatchOutcome) -> Result<(), Failure> {
        let BatchOutcome { filled, kept, absent, failed } = &mut outcome;
        let silent = |key: &&Key| {
            let named = filled.contains(key) || kept.contains(key) || absent.contains(key);
            !named && !failed.iter().any(|failed| failed.key == **key)
        };
        let unanswered = batch.iter().filter(silent).map(|key| Failed {
            key: key.clone(),
            code: "unanswered".to_owned(),
            detail: "the answer does not name it".to_owned(),
        });
        let unanswered: Vec<Failed> = unanswered.collect();
        failed.extend(unanswered);
        self.filled += filled.len();
        self.kept += kept.len();
        self.absent += absent.len();
        self.failed += failed.len();
        if let Some(done) = &mut self.done {
            done.add(filled.iter().chain(kept.iter()).chain(absent.iter()))?;
        }
        let line = |failed: &Failed| serde_json::to_string(failed).map(|line| line + "\n");
        let lines: String = failed.iter().map(line).collect::<Result<_, _>>().map_err(anyhow::Error::from)?;
        self.bar.inc(batch.len() as u64);
        self.bar.set_message(format!("{} failed", self.failed));
        if lines.is_empty() { Ok(()) } else { self.bar.suspend(|| print(&lines)) }
    }

    /// Returns how many keys have no result yet.
    pub(super) fn left(&self) -> u64 {
        self.bar.length().unwrap_or_default().saturating_sub(self.bar.position())
    }

    /// Reports the result of all keys.
    ///
    /// # Errors
    /// [`Failure::NotFilled`] if any key failed.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let Self { filled, kept, absent, failed, before, .. } = self;
        let before = if *before == 0 { String::new() } else { format!(", {before} done before") };
        note!("fill: {filled} filled, {kept} kept, {absent} absent, {failed} failed{before}");
        match failed {
            0 => Ok(()),
            keys => Err(Failure::NotFilled { keys: *keys }),
        }
    }
}

/// Lets so many keys begin a second, evenly.
pub(super) struct Throttle {
    per_second: u32,
    next: Mutex<Instant>,
}

impl Throttle {
    /// Returns a pace whose first keys begin at once.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, next: Mutex::new(Instant::now()) }
    }

    /// Waits until so many keys more may begin.
    pub(super) async fn wait(&self, keys: usize) {
        let takes = Duration::from_secs_f64(keys as f64 / f64::from(self.per_second));
        let begins = {
            let mut next = self.next.lock().await;
            // Time that passed without keys allows no burst.
            let begins = (*next).max(Instant::now());
            *next = begins + takes;
            begins
        };
        sleep_until(begins).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn a_key_that_no_answer_names_has_failed() {
        let mut progress = Progress::new(4, 0, None);
        let answer = r#"{"catalog":"tv","position":"x","filled":["a:1"],"kept":["a:2"],
            "failed":[{"key":"a:3","code":"origin-failed","detail":"why"}]}"#;
        let batch: Vec<Key> = (1..=5).map(|n| key(&format!("a:{n}"))).collect();
        progress.take(&batch, serde_json::from_str(answer).unwrap()).unwrap();
        assert_eq!((progress.filled, progress.kept, progress.absent, progress.failed), (1, 1, 0, 3));
        assert!(progress.finish().is_err());
        assert!(Progress::new(0, 0, None).finish().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_begin_evenly_and_never_faster() {
        let pace = Throttle::new(100);
        let began = Instant::now();
        pace.wait(50).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        pace.wait(50).await;
        assert_eq!(began.elapsed().as_millis(), 500);
        tokio::time::sleep(Duration::from_secs(10)).await;
        pace.wait(1).await;
        pace.wait(1).await;
        assert_eq!(began.elapsed().as_millis(), 10_510);
    }
}
