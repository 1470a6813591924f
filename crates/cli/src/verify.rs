//! `newsreel verify`: checks a deployment from outside, without believing it.
//!
//! `following` hears the log, `plan` says which keys are read when, `rounds` asks the origin and the edges, `judge` decides
//! what an answer is, by the `ledger` of the log and the values that are `known`; `cases` are differences that wait until more
//! of the log is heard (`log_heard`). `tally` counts. The decisions are pure, and this module and `checker` carry them out.

mod cases;
mod checker;
mod edges;
mod judge;
mod known;
mod ledger;
mod log_heard;
mod metrics;
mod options;
mod plan;
mod repair;
mod rounds;
mod tally;
mod trace;
mod truth;

use std::sync::Arc;
use std::time::Duration;

use newsreel_core::follow::follower::{Cursor, FollowerConfig, Phase};
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::Position;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::broker::{BrokerClient, BrokerOptions};
use crate::exit::{Failure, asked_to_stop, note, print};
use crate::fill::keys;
use crate::following::{Following, LogEvent, SteadyClock};
use crate::metrics_server;
use crate::{check, input};
use checker::{Checker, Report, Terms};
use edges::EdgeClient;
use metrics::VerifyMetrics;
use options::EdgeAddress;
pub(crate) use options::VerifyOptions;
use plan::ReadPlan;
use repair::Repairs;
use rounds::Asker;
use tally::When;
use truth::Truth;

/// The examples that `newsreel verify --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel verify --token dev-admin --for 10m
  newsreel verify --edge fra=https://fra.example --edge ams=https://ams.example --origin https://origin.example
  newsreel verify --for 5m --json --fail-under 99.9 --by 1s --keys hot.ndjson
  newsreel verify --truth 'psql -At shop -v id={key} -f value.sql' --class title";

/// How often the broker is asked for the head of its log: differences wait for the answer.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether something can be settled.
const SETTLE_EVERY: Duration = Duration::from_millis(100);
/// How often the origin's hot list is asked for.
const HOT_EVERY: Duration = Duration::from_secs(600);
/// How long the end waits for answers, beside the time of --settle.
const GRACE: Duration = Duration::from_secs(12);

/// An event of the log, and the position after it.
type LogNews = Result<(LogEvent, Option<Position>), Failure>;

/// Checks until it is asked to stop or the time of --for is over, and reports.
pub(crate) async fn run(options: VerifyOptions, at: BrokerOptions) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    check_threshold(&options)?;
    let config = FollowerConfig { ping_every: PING_EVERY, ..FollowerConfig::default() };
    let log = Following::new(at.clone(), config, Cursor::Head, options.name.clone(), Vec::new());
    let metrics = Arc::new(VerifyMetrics::new());
    if let Some(address) = options.metrics {
        metrics_server::serve(address, "verify", Arc::clone(&metrics)).await?;
    }
    let (reports, incoming) = unbounded_channel();
    let mut run = VerifyRun::new(&options, &at, &log, metrics, reports)?;
    let (send, receive) = channel(64);
    let follower = tokio::spawn(follow(log, at.retry_for(), send));
    let outcome = run.work(receive, incoming, stop).await;
    follower.abort();
    outcome?;
    run.report()
}

/// Says whether the threshold can be judged at all.
fn check_threshold(options: &VerifyOptions) -> Result<(), Failure> {
    match options.by {
        Some(by) if !options.after.contains(&by) => {
            Err(Failure::Input(format!("--by {} s is no time of --after", by.as_secs_f64())))
        }
        Some(_) | None => Ok(()),
    }
}

/// Hands on the events of the log until nobody listens.
async fn follow(mut log: Following, retry_for: Duration, to: Sender<LogNews>) {
    let mut greeted = false;
    loop {
        let news = match log.next().await {
            Ok(LogEvent::Phase(Phase::Waiting)) if !greeted && log.clock().elapsed() > retry_for => {
                Err(Failure::Unreachable { what: "the broker".to_owned(), why: log.last_error().to_owned() })
            }
            Ok(LogEvent::Phase(Phase::Closed)) => Err(Failure::Refused {
                code: "closed".to_owned(),
                detail: format!("{}; the broker said not to come back", log.last_error()),
            }),
            Ok(event) => {
                greeted |= matches!(event, LogEvent::Phase(Phase::CatchingUp));
                Ok((event, log.position()))
            }
            Err(failure) => Err(failure),
        };
        let is_last = news.is_err();
        if to.send(news).await.is_err() || is_last {
            return;
        }
    }
}

/// A run of the command.
struct VerifyRun<'a> {
    options: &'a VerifyOptions,
    checker: Checker,
    asker: Arc<Asker>,
    reports: tokio::sync::mpsc::UnboundedSender<Report>,
    repairs: Option<Repairs>,
    clock: SteadyClock,
}

impl<'a> VerifyRun<'a> {
    fn new(
        options: &'a VerifyOptions,
        at: &BrokerOptions,
        log: &Following,
        metrics: Arc<VerifyMetrics>,
        reports: tokio::sync::mpsc::UnboundedSender<Report>,
    ) -> Result<Self, Failure> {
        let clock = log.clock();
        let policies = match &options.config {
            Some(file) => check::policies(file, options.env.as_deref())?,
            None => Policies::default(),
        };
        let given = if options.edges.is_empty() {
            vec![EdgeAddress::at(at.broker.clone())]
        } else {
            options.edges.clone()
        };
        let bearer = at.bearer()?;
        let edges: Result<Vec<_>, _> =
            given.iter().map(|edge| EdgeClient::new(edge, &at.catalog, bearer.clone(), clock)).collect();
        let truth = Truth::new(options, &at.catalog, policies.clone(), clock)?;
        let asker = Arc::new(Asker { truth, edges: edges? });
        let plan = ReadPlan::new(
            options.after.clone(),
            asker.edges.len(),
            options.classes.clone(),
            options.rate,
            clock.now(),
        );
        let terms =
            Terms { policies, settle: options.settle, json: options.json, clock, proofs: log.proofs() };
        let repairs = match options.repair {
            true => Some(Repairs::new(BrokerClient::new(at.clone())?, Arc::clone(&metrics))),
            false => None,
        };
        let mut checker = Checker::new(terms, Arc::clone(&asker), reports.clone(), plan, metrics);
        learn(options, &mut checker)?;
        Ok(Self { options, checker, asker, reports, repairs, clock })
    }

    /// Works until the time is over, and waits then for what is open; a signal to stop ends it at once.
    async fn work(
        &mut self,
        mut log: Receiver<LogNews>,
        mut incoming: UnboundedReceiver<Report>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let end = self.options.run_for.map(|time| Instant::now() + time);
        let mut settle = ticks(SETTLE_EVERY);
        let mut sweep = (self.options.sweep > 0).then(|| ticks(Duration::from_secs(1) / self.options.sweep));
        let mut state = (self.options.report_every_s > 0)
            .then(|| ticks(Duration::from_secs(self.options.report_every_s)));
        let mut hot = (self.options.hot > 0).then(|| ticks(HOT_EVERY));
        let (mut ending, mut stop) = (None, std::pin::pin!(stop));
        loop {
            let due = if ending.is_none() { self.checker.plan.next_at() } else { None };
            let due = due.map(|at| Instant::now() + at.since(self.clock.now()));
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(news) = log.recv() => {
                    let (event, position) = news?;
                    self.checker.hear(event, position);
                }
                Some(report) = incoming.recv() => self.checker.take(report),
                () = at(due) => self.checker.start_due(),
                () = tick(&mut sweep) => if ending.is_none() { self.checker.sweep() },
                () = tick(&mut hot) => self.list_hot(),
                () = tick(&mut state) => note!("verify: {}", self.checker.state()),
                _ = settle.tick() => self.settle(&mut log)?,
                () = at(end.filter(|_| ending.is_none())) => {
                    self.checker.plan.clear();
                    ending = Some(Instant::now() + self.options.settle + GRACE);
                }
                () = at(ending) => return Ok(()),
            }
            if ending.is_some() && self.checker.is_idle() {
                return Ok(());
            }
        }
    }

    /// Settles what can be, after everything was taken that the proof is about.
    fn settle(&mut self, log: &mut Receiver<LogNews>) -> Result<(), Failure> {
        let proved_at = self.checker.proofs().latest();
        while let Ok(news) = log.try_recv() {
            let (event, position) = news?;
            self.checker.hear(event, position);
        }
        for key in self.checker.settle(proved_at)? {
            if let (Some(repairs), Some(position)) = (&mut self.repairs, self.checker.position()) {
                repairs.repair(&key, self.checker.tags_of(&key), position, self.clock.now());
            }
        }
        Ok(())
    }

    fn list_hot(&self) {
        let (asker, reports, most) = (Arc::clone(&self.asker), self.reports.clone(), self.options.hot);
        tokio::spawn(async move {
            match asker.truth.hot(most).await {
                Ok(Some(keys)) => {
                    note!("verify: the origin's hot list has {} keys", keys.len());
                    // The checker may have ended.
                    let _ = reports.send(Report::Hot(keys));
                }
                Ok(None) => note!("verify: this origin has no hot list"),
                Err(why) => note!("verify: no hot list: {why}"),
            }
        });
    }

    /// Prints the report, and decides how the command ends.
    fn report(mut self) -> Result<(), Failure> {
        self.checker.close();
        let tally = &self.checker.tally;
        let verdict = self.verdict();
        print(&if self.options.json {
            let mut report = tally.json();
            if let Some(report) = report.as_object_mut() {
                report.insert("ok".to_owned(), verdict.is_ok().into());
                let at = self.checker.position().map(|position| position.to_string());
                report.insert("position".to_owned(), at.into());
            }
            format!("{}\n", serde_json::json!({ "report": report }))
        } else {
            tally.table()
        })?;
        note!("verify: {}", self.checker.state());
        verdict
    }

    fn verdict(&self) -> Result<(), Failure> {
        let tally = &self.checker.tally;
        let (Some(least), Some(by)) = (self.options.fail_under, self.options.by) else {
            return match tally.all(None).wrong {
                0 => Ok(()),
                1 => Err(Failure::Inconsistent("1 answer was wrong".to_owned())),
                wrong => Err(Failure::Inconsistent(format!("{wrong} answers were wrong"))),
            };
        };
        let by_then = format!("{} s after a change", by.as_secs_f64());
        match tally.all(Some(When::After(by))).percent() {
            None => Err(Failure::Inconsistent(format!("nothing was read {by_then}"))),
            Some(percent) if percent < least => Err(Failure::Inconsistent(format!(
                "{percent:.4} % of the reads were consistent {by_then}, less than {least} %"
            ))),
            Some(_) => Ok(()),
        }
    }
}

/// Learns the keys of --keys.
fn learn(options: &VerifyOptions, checker: &mut Checker) -> Result<(), Failure> {
    let Some(file) = &options.keys else { return Ok(()) };
    let (known, bad) = keys::read(&input::text(file)?, usize::MAX);
    for bad in &bad {
        note!("verify: {}: line {}: {}; skipped", file.display(), bad.number, bad.error);
    }
    known.iter().for_each(|hot| checker.known.learn(&hot.key));
    Ok(())
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; for ever where there are none.
async fn tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Waits until a moment; for ever where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
