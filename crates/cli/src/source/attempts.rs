//! Attempts to follow another system: each breaks sooner or later, and the next one begins after a pause.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::metrics::Side;
use super::outgoing::{Outgoing, Wake};
use super::watch::Watch;
use crate::exit::{Failure, asked_to_stop, note};
use crate::http::pause;

/// A source that publishes from another system.
pub(crate) trait Follow {
    /// Where a publish comes from.
    type Origin;
    /// Why a session ended.
    type Error: Ended;

    /// Connects and publishes until something breaks.
    async fn session(&mut self) -> Result<Infallible, Self::Error>;

    /// Returns what waits to be published.
    fn outgoing(&mut self) -> &mut Outgoing<Self::Origin>;

    /// Sends and hears what there is, and prints what has become durable.
    async fn publish(&mut self, wake: Wake) -> Result<(), Failure>;

    /// Returns the account of the source.
    fn watch(&self) -> &Watch;

    /// Returns the name of the other system.
    fn upstream(&self) -> String;
}

/// Why a session ended.
pub(crate) trait Ended: Display + Sized {
    /// Returns the error if another session may go well.
    ///
    /// # Errors
    /// If another one would fail as well.
    fn passing(self) -> Result<Self, Failure>;
}

/// When a source gives up.
pub(crate) struct Patience {
    /// A session that lasted longer did not fail.
    pub(crate) good_after: Duration,
    /// How many sessions in a row may fail; 0 is any number.
    pub(crate) max_failures: u32,
}

/// Publishes until it is asked to stop, or until so many sessions in a row have failed.
pub(crate) async fn follow(source: &mut impl Follow, patience: &Patience) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = source.session() => ended,
            () = &mut stop => {
                source.outgoing().finish().await;
                return Ok(());
            }
        };
        let error = match ended {
            Err(error) => error.passing()?,
            Ok(never) => match never {},
        };
        failures = if began.elapsed() > patience.good_after { 0 } else { failures + 1 };
        if patience.max_failures > 0 && failures >= patience.max_failures {
            return Err(Failure::Database { what: source.upstream(), why: error.to_string() });
        }
        source.watch().connected(Side::Upstream, false);
        note!("source: {error}; connecting again");
        tokio::select! {
            outcome = wait(source, pause(failures)) => outcome?,
            () = &mut stop => return Ok(()),
        }
    }
}

/// Goes on publishing what waits, for a time.
async fn wait(source: &mut impl Follow, time: Duration) -> Result<(), Failure> {
    let over = sleep(time);
    tokio::pin!(over);
    loop {
        tokio::select! {
            wake = source.outgoing().wake() => source.publish(wake).await?,
            () = &mut over => return Ok(()),
        }
    }
}
