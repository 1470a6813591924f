//! Prefetch: a replica fetches values before its readers ask, namely hot values that a change has ended, and
//! lists of hot keys. The keys are tasks in the rows, worked off within a budget, the most read first. No
//! guarantee depends on them.
//!
//! Each key is read as a reader would, with no client waiting: an entry in KV that may be served is left
//! alone, so nothing newer is ever replaced.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::read::cache::Answer;
use newsreel_core::read::floors::FloorRow;
use newsreel_core::read::policy::OnInvalidate;
use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::{Key, Target};
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Response, Result};

use crate::clock::now;
use crate::protocol::LocalReplica;
use crate::reader::context::ReadContext;
use crate::reader::drive::{Values, run};
use crate::reader::metrics;
use crate::reader::store::put_all;
use crate::replica::driver::{Ended, Inner};
use crate::replica::kv_cleanup::retry_at;
use crate::replica::rows::{Task, TaskKind};

/// How many keys are fetched together.
const AT_ONCE: u32 = 4;
/// How often a key is tried; after that its next reader fetches it.
const TRIES: u32 = 5;

impl Inner {
    /// Lists the keys that were read lately and that risen floors cover, where their class
    /// refreshes on a change.
    pub(crate) fn refresh_after(self: &Rc<Self>, floors: &[FloorRow]) -> Result<()> {
        let Ok(config) = &self.config else { return Ok(()) };
        if config.policies.classes().all(|(_, policy)| policy.on_bump == OnInvalidate::Delete) {
            return Ok(());
        }
        let most = usize::try_from(config.refresh_per_minute).unwrap_or(usize::MAX);
        let alive = floors.iter().filter(|row| row.floor.removed < row.floor.newest());
        let targets: Vec<Target> = alive.map(|row| row.target.clone()).collect();
        let wanted = |key: &Key| config.policies.of(key.class()).on_bump == OnInvalidate::Refresh;
        let listed = self.usage.borrow().hottest_of(&targets, most, wanted);
        if listed.is_empty() {
            return Ok(());
        }
        self.rows.list_fetches(&serde_json::to_string(&listed)?)?;
        self.prefetch();
        Ok(())
    }

    /// Takes a list of hot keys, a JSON array of `[key, reads]`, to be prefetched.
    pub(crate) async fn take_hot_list(self: &Rc<Self>, json: &str) -> Result<Response> {
        self.rows.list_fetches(json)?;
        self.keep_alive().await;
        self.prefetch();
        Response::empty()
    }

    /// Works off the listed keys in a task of its own, within the budget of keys a minute.
    pub(crate) fn prefetch(self: &Rc<Self>) {
        let Ok(config) = &self.config else { return };
        let budget = config.refresh_per_minute;
        if budget == 0 || self.prefetching.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let _done = Ended(weak.clone(), |inner| &inner.prefetching);
            while let Some(inner) = weak.upgrade() {
                let fetched = match inner.prefetch_some().await {
                    Ok(0) => break,
                    Ok(fetched) => fetched,
                    Err(error) => return inner.complain("fetching ahead", &error),
                };
                drop(inner);
                Delay::from(Duration::from_millis(fetched * 60_000 / budget)).await;
            }
        });
    }

    /// Fetches a few keys; returns how many.
    async fn prefetch_some(self: &Rc<Self>) -> Result<u64> {
        let Ok(config) = &self.config else { return Ok(0) };
        let tasks = self.rows.due_tasks(TaskKind::Fetch, now(), AT_ONCE)?;
        let (env, config, catalog) = (self.env.clone(), Rc::clone(config), self.catalog.clone());
        let local: Rc<dyn LocalReplica> = Rc::<Self>::clone(self);
        let context =
            ReadContext { replica: Some(local), ..ReadContext::new(env, config, catalog, self.edge.clone()) };
        // Reads wait for this replica's position: the floors that this isolate's readers know may be
        // from before the change.
        let here = self.position().map(|at| MinVersion { epoch: at.epoch, version: at.version });
        let keys = tasks.iter().filter_map(|task| Key::new(task.name.as_str()).ok());
        let reads = keys.map(|key| context.read(&key, here).prefetching()).collect();
        let reads = run(&context, reads, Values::All).await;
        metrics::count_fills(&context, &reads);
        put_all(&context, reads.iter().filter_map(|read| read.fill(&context)).collect()).await;
        let failed = |task: &Task| {
            let read = reads.iter().find(|read| read.key().as_str() == task.name);
            read.is_some_and(|read| matches!(read.answer(), Answer::Fail(_)))
        };
        let mut done = Vec::new();
        for task in &tasks {
            if failed(task) && task.attempts + 1 < TRIES {
                self.rows.task_failed(TaskKind::Fetch, &task.name, retry_at(task.attempts))?;
            } else {
                done.push(task.name.clone());
            }
        }
        self.rows.tasks_done(TaskKind::Fetch, &done)?;
        Ok(tasks.len() as u64)
    }
}
