//! The KV to-do list of a replica: entries that no reader will ask for again are deleted, sooner or later.
//!
//! Best effort, behind everything else: a name holds its key's generation, so no guarantee depends on this.

use std::rc::Rc;

use worker::Result;
use worker::wasm_bindgen_futures::spawn_local;

use crate::now;
use crate::replica::{Ended, Inner};
use crate::tiers::kv;

/// How many KV deletions are under way at once. Six requests may wait for their headers at a time.
const KV_AT_ONCE: u32 = 4;
/// The longest wait before a failed KV deletion is tried again.
const KV_RETRY_CAP_MS: u64 = 300_000;

impl Inner {
    /// Works off the to-do list behind everything else; no guarantee depends on it.
    pub(crate) fn tend_kv(self: &Rc<Self>) {
        if self.tending.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let _done = Ended(weak.clone(), |inner| &inner.tending);
            while let Some(inner) = weak.upgrade() {
                match inner.tend_some().await {
                    Ok(true) => {}
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
    async fn tend_some(&self) -> Result<bool> {
        let tasks = self.rows.due_kv_tasks(now().0, KV_AT_ONCE)?;
        if tasks.is_empty() {
            return Ok(false);
        }
        let deletions = tasks.iter().map(|task| kv::delete(&self.env, &task.name));
        let outcomes = futures_util::future::join_all(deletions).await;
        let mut done = Vec::new();
        for (task, outcome) in tasks.into_iter().zip(outcomes) {
            if outcome.is_ok() {
                done.push(task.name);
            } else {
                // KV takes one write a second for a key, so the first retry is a second away.
                let wait = (1_000_u64 << task.attempts.min(10)).min(KV_RETRY_CAP_MS);
                self.rows.kv_task_failed(&task.name, now().0 + wait)?;
            }
        }
        self.rows.kv_tasks_done(&done)?;
        Ok(true)
    }
}
