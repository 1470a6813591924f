//! Many followers at once, and the moment when all of them have received everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::systems::{Follower, Log, Start};

/// How many followers connect at a time. A server has a bounded backlog.
const CONNECTING: usize = 64;

/// Followers that each count in a task of their own. Dropping the crowd disconnects them.
pub(crate) struct Crowd {
    followers: u64,
    counted: Arc<Counted>,
    tasks: JoinSet<Result<()>>,
}

/// The count of what all followers have received together, and the counts that are waited for.
struct Counted {
    received: AtomicU64,
    awaited: AtomicU64,
    reached: watch::Sender<u64>,
}

impl Crowd {
    /// Connects followers from the head.
    pub(crate) async fn gather(log: &Log, followers: usize) -> Result<Self> {
        let mut crowd = Self::with(Vec::new());
        for follower in connect(log, followers, &Start::Head).await? {
            crowd.add(follower);
        }
        Ok(crowd)
    }

    /// Sets followers off that are connected already.
    pub(crate) fn with(followers: Vec<Follower>) -> Self {
        let counted = Counted {
            received: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            reached: watch::Sender::new(0),
        };
        let mut crowd = Self { followers: 0, counted: Arc::new(counted), tasks: JoinSet::new() };
        followers.into_iter().for_each(|follower| crowd.add(follower));
        crowd
    }

    fn add(&mut self, mut follower: Follower) {
        let counted = Arc::clone(&self.counted);
        self.followers += 1;
        self.tasks.spawn(async move {
            loop {
                let gained = follower.next().await?;
                counted.add(gained);
            }
        });
    }

    /// Waits until every follower has received so many messages since the crowd came together.
    pub(crate) async fn until_all_have(&mut self, messages: u64) -> Result<()> {
        let all = messages * self.followers;
        let mut reached = self.counted.reached.subscribe();
        self.counted.awaited.store(all, Ordering::SeqCst);
        loop {
            if self.counted.received.load(Ordering::SeqCst) >= all {
                return Ok(());
            }
            tokio::select! {
                changed = reached.changed() => changed?,
                Some(ended) = self.tasks.join_next() => match ended? {
                    Ok(()) => bail!("a follower ended"),
                    Err(error) => return Err(error.context("a follower ended")),
                },
            }
        }
    }
}

impl Counted {
    fn add(&self, messages: u64) {
        let received = self.received.fetch_add(messages, Ordering::SeqCst) + messages;
        if received >= self.awaited.load(Ordering::SeqCst) {
            self.reached.send_replace(received);
        }
    }
}

/// Connects followers, some at a time.
pub(crate) async fn connect(log: &Log, followers: usize, start: &Start) -> Result<Vec<Follower>> {
    let mut connected = Vec::with_capacity(followers);
    let mut connecting = FuturesUnordered::new();
    for _ in 0..followers {
        if connecting.len() >= CONNECTING
            && let Some(follower) = connecting.next().await
        {
            connected.push(follower?);
        }
        connecting.push(log.follow(start));
    }
    while let Some(follower) = connecting.next().await {
        connected.push(follower?);
    }
    Ok(connected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_waits_for_the_last_message() {
        let mut crowd = Crowd::with(Vec::new());
        crowd.followers = 2;
        let counted = Arc::clone(&crowd.counted);
        counted.add(3);
        let late = tokio::spawn(async move {
            tokio::task::yield_now().await;
            counted.add(1);
        });
        crowd.until_all_have(2).await.expect("all of them");
        assert!(late.is_finished() || crowd.counted.received.load(Ordering::SeqCst) == 4);
    }
}
