//! A long log, read from its beginning by followers that have nothing.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;

use super::crowd::connect;
use super::{CpuSince, Finding, pace};
use crate::systems::{Log, Programs, Start, System, fill};

/// A log of so many versions with one change each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    pub(crate) versions: u64,
    pub(crate) followers: &'static [usize],
    pub(crate) kept: Kept,
}

/// In which form Newsreel keeps the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kept {
    /// As rows that are not sealed.
    Rows,
    /// Sealed, and all of it in full.
    Segments,
    /// As the default settings have it.
    Default,
    /// Compacted as far as possible.
    Folded,
}

impl Replay {
    /// The peers know one form alone; their numbers stand beside sealed segments and default settings.
    pub(crate) fn takes(&self, system: &System) -> bool {
        system.is_newsreel() || system.is_log() && matches!(self.kept, Kept::Segments | Kept::Default)
    }

    pub(crate) fn row(&self) -> String {
        let kept = match self.kept {
            Kept::Rows => "rows that are not sealed",
            Kept::Segments => "sealed segments",
            Kept::Default => "default settings",
            Kept::Folded => "folded",
        };
        format!("{} versions, {kept}", self.versions)
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        const GIB: &str = "1073741824";
        let vars = match self.kept {
            Kept::Rows => vec![("LOG_SEGMENT_BYTES", GIB.to_owned())],
            Kept::Segments => vec![("LOG_KEEP_BYTES", GIB.to_owned())],
            Kept::Default => Vec::new(),
            Kept::Folded => vec![("LOG_KEEP_BYTES", "0".to_owned())],
        };
        let log = Log::start(system, programs, &vars).await?;
        fill(&log, self.versions).await?;
        log.process().until_idle().await?;
        // The first replay is not counted: it is what V8 compiles the rest by.
        log.follow(&Start::Beginning).await?.replay(self.versions).await?;
        let mut findings = Vec::new();
        for &followers in self.followers {
            let cpu = CpuSince::now(log.process())?;
            let began = Instant::now();
            let mut connected = connect(&log, followers, &Start::Beginning).await?;
            try_join_all(connected.iter_mut().map(|follower| follower.replay(self.versions))).await?;
            let seconds = began.elapsed().as_secs_f64();
            let changes = self.versions * u64::try_from(followers)?;
            let row = format!("{}, to {followers}", self.row());
            findings.extend(pace(&row, changes, seconds, &cpu)?);
        }
        Ok(findings)
    }
}
