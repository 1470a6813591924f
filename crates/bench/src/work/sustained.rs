//! Publishers that publish as fast as they are acknowledged, to followers that must receive everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::crowd::Crowd;
use super::{CpuSince, Finding, WARM_UP, pace};
use crate::systems::{Log, Programs, Publisher, System, Way};

/// So many publishers and followers, for a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sustained {
    pub(crate) publishers: usize,
    pub(crate) followers: usize,
    /// Changes of each publish.
    pub(crate) changes: u64,
    pub(crate) way: Way,
    pub(crate) time: Duration,
}

impl Sustained {
    /// Whether a system has this way of publishing as one of its own.
    pub(crate) fn takes(&self, system: &System) -> bool {
        match self.way {
            Way::Single | Way::Window(_) => system.tells(),
            Way::Lines(_) => system.is_worker(),
        }
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let log = Log::start(system, programs, &[]).await?;
        let mut crowd = Crowd::gather(&log, self.followers).await?;
        let mut publishers = Vec::new();
        for _ in 0..self.publishers {
            publishers.push(log.publisher(self.way).await?);
        }
        let numbers = Arc::new(AtomicU64::new(0));
        // At a follower a publish counts as one version, or as its changes.
        let messages = if system.is_worker() { 1 } else { self.changes };

        let (publishers, warm) = self.publish_for(publishers, &numbers, WARM_UP).await?;
        crowd.until_all_have(warm * messages).await?;

        let cpu = CpuSince::now(log.process())?;
        let began = Instant::now();
        let (_, published) = self.publish_for(publishers, &numbers, self.time).await?;
        crowd.until_all_have((warm + published) * messages).await?;
        let seconds = began.elapsed().as_secs_f64();
        let changes = published * self.changes;
        Ok(pace(&self.row(), changes, seconds, &cpu)?.into())
    }

    /// The name that the rows of this workload begin with.
    pub(crate) fn row(&self) -> String {
        let kind = match (self.way, self.changes) {
            (Way::Single, 1) => "single".to_owned(),
            (Way::Single, changes) => format!("batches of {changes}"),
            (Way::Lines(lines), _) => format!("{lines} lines a request"),
            (Way::Window(window), _) => format!("socket, {window} under way"),
        };
        format!("{} × {}, {kind}", self.publishers, self.followers)
    }

    /// Lets every publisher publish for a time. Returns them, and how many publishes were acknowledged.
    async fn publish_for(
        &self,
        publishers: Vec<Publisher>,
        numbers: &Arc<AtomicU64>,
        time: Duration,
    ) -> Result<(Vec<Publisher>, u64)> {
        let end = Instant::now() + time;
        let changes = self.changes;
        // Each asks for more numbers than one call can use, so no key is published twice at a time.
        let most = match self.way {
            Way::Single => changes,
            Way::Lines(together) | Way::Window(together) => together * changes,
        };
        let mut tasks = JoinSet::new();
        for mut publisher in publishers {
            let numbers = Arc::clone(numbers);
            tasks.spawn(async move {
                let mut published = 0;
                while Instant::now() < end {
                    published +=
                        publisher.publish(numbers.fetch_add(most, Ordering::Relaxed), changes).await?;
                }
                published += publisher.finish(changes).await?;
                anyhow::Ok((publisher, published))
            });
        }
        let (mut back, mut published) = (Vec::new(), 0);
        while let Some(done) = tasks.join_next().await {
            let (publisher, count) = done??;
            back.push(publisher);
            published += count;
        }
        Ok((back, published))
    }
}
