//! The KV to-do list of a replica: entries that no reader will ask for again are deleted, sooner or later.
//!
//! Best effort, behind everything else: a name holds its key's generation, so no guarantee depends on this.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::follow::follower::backoff_ceiling;
use newsreel_core::wire::UnixMillis;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Result};

use crate::clock::now;
use crate::replica::driver::{Ended, Inner};
use crate::replica::rows::TaskKind;
use crate::tiers::kv;

/// How many KV deletions are under way at once. Six requests may wait for their headers at a time.
const KV_AT_ONCE: u32 = 4;
/// How long the replica rests after those deletions, so that readers and publishes have their
/// turn: 40 a second.
const REST: Duration = Duration::from_millis(100);
/// The longest back-off before a task that failed is tried again.
const RETRY_CAP: Duration = Duration::from_secs(300);

impl Inner {
    /// Works off the to-do list behind everything else; no guarantee depends on it.
    pub(crate) fn clean_up_kv(self: &Rc<Self>) {
        if self.cleaning_up.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let _done = Ended(weak.clone(), |inner| &inner.cleaning_up);
            while let Some(inner) = weak.upgrade() {
                match inner.delete_some().await {
                    Ok(true) => {
                        drop(inner);
                        Delay::from(REST).await;
                    }
                    Ok(false) => break,
                    Err(error) => {
                        inner.complain("tending KV", &error);
                        break;
                    }
                }
            }
        });
    }

    /// Deletes a few entries; returns whether more may be due.
    async fn delete_some(&self) -> Result<bool> {
        let tasks = self.rows.due_tasks(TaskKind::Delete, now(), KV_AT_ONCE)?;
        if tasks.is_empty() {
            return Ok(false);
        }
        let deletions = tasks.iter().map(|task| kv::delete(&self.env, &task.name));
        let outcomes = futures_util::future::join_all(deletions).await;
        self.effort.kv_deletes.set(self.effort.kv_deletes.get() + outcomes.len() as u64);
        let mut done = Vec::new();
        for (task, outcome) in tasks.into_iter().zip(outcomes) {
            if outcome.is_ok() {
                done.push(task.name);
            } else {
                // KV takes one write a second for a key, so the first retry is a second away.
                self.rows.task_failed(TaskKind::Delete, &task.name, retry_at(task.attempts))?;
            }
        }
        self.rows.tasks_done(TaskKind::Delete, &done)?;
        Ok(true)
    }
}

/// Returns when a task that has failed `attempts` times is tried again.
pub(crate) fn retry_at(attempts: u32) -> UnixMillis {
    now().plus(backoff_ceiling(Duration::from_secs(1), RETRY_CAP, attempts))
}
