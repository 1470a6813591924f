//! The Durable Object of a catalog's alerts.

#![expect(
    missing_docs,
    reason = "the durable_object macro writes public methods without any; this file has no others"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{RefUnwindSafe, UnwindSafe};

use newsreel_core::alerts::board::Kind;
use newsreel_core::alerts::{
    Alert, AlertSettings, Board, Level, Notice, Receiver, Report, ShownSource, SourceReport, Sources,
    Subject, Transition,
};
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, Code, Problem, UnixMillis};
use newsreel_gate::{Answer, Deployment, Failure, now};
use newsreel_sqlite_rows::OpenError;
use serde::{Deserialize, Serialize};
use worker::{
    DurableObject, Env, Method, Request, Response, Result, State, console_error, durable_object, web_sys,
};

use crate::alerts::deliver::{DeliveryError, GIVE_UP_AFTER, deliver, pause};
use crate::alerts::rows::{Queue, Rows};
use crate::http::{answer_or_problem, json_response};

/// The most bytes of a report.
const MAX_REPORT_BYTES: usize = 1 << 20;
/// The longest name of an edge.
const MAX_EDGE_BYTES: usize = 256;

/// The alerts of one catalog.
#[durable_object]
pub struct AlertBoard {
    inner: std::result::Result<Inner, Problem>,
}

struct Inner {
    state: State,
    env: Env,
    catalog: Catalog,
    rows: Rows,
    board: RefCell<Board>,
    sources: RefCell<Sources>,
    /// The last reason that a message did not arrive, by receiver.
    failures: RefCell<BTreeMap<String, String>>,
    /// Whether messages are being sent.
    delivering: Cell<bool>,
}

// A report that panics leaves the board ahead of the rows at worst: the edge tells again.
impl UnwindSafe for AlertBoard {}
impl RefUnwindSafe for AlertBoard {}

/// The body of `POST alerts`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Report(Report),
    Test { test: bool },
    Forget { forget: String },
}

/// The answer of `GET alerts`.
#[derive(Serialize)]
struct Shown {
    alerts: Vec<Alert>,
    receivers: Vec<ShownReceiver>,
    sources: Vec<ShownSource>,
}

#[derive(Serialize)]
struct ShownReceiver {
    name: String,
    waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
}

impl DurableObject for AlertBoard {
    fn new(state: State, env: Env) -> Self {
        match Inner::wake(state, env) {
            Ok(inner) => Self { inner: Ok(inner) },
            Err(OpenError::Refused(problem)) => Self { inner: Err(problem) },
            // The event fails, and the next one tries again.
            Err(OpenError::Failed(error)) => panic!("the rows of alerts can be read: {error}"),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let answer = match &self.inner {
            Ok(inner) if request.path().ends_with("/sources") => inner.hear_source(&mut request).await,
            Ok(inner) if request.method() == Method::Post => inner.hear(&mut request).await,
            Ok(inner) => inner.show(),
            Err(problem) => Err(problem.clone().into()),
        };
        Ok(answer_or_problem(answer.map(web_sys::Response::from))?.into())
    }

    async fn alarm(&self) -> Result<Response> {
        if let Ok(inner) = &self.inner {
            inner.on_alarm().await?;
        }
        Response::empty()
    }
}

impl Inner {
    fn wake(state: State, env: Env) -> std::result::Result<Self, OpenError> {
        let name = state.id().name().unwrap_or_default();
        let catalog = Catalog::new(name).map_err(|why| worker::Error::from(why.to_string()))?;
        let rows = Rows::open(&state)?;
        let (board, sources) = (RefCell::new(rows.board()?), RefCell::new(rows.sources()?));
        let (failures, delivering) = (RefCell::default(), Cell::new(false));
        Ok(Self { state, env, catalog, rows, board, sources, failures, delivering })
    }

    fn receivers(&self) -> std::result::Result<Vec<Receiver>, Problem> {
        Ok(Deployment(&self.env).read(&variables::ALERT_HOOKS)?)
    }

    fn show(&self) -> Answer {
        let queues = self.rows.queues()?;
        let failures = self.failures.borrow();
        let shown = |receiver: Receiver| {
            let waiting = |queue: &Queue| (queue.receiver == receiver.name).then_some(queue.waiting);
            let waiting = queues.iter().find_map(waiting).unwrap_or_default();
            let last_failure = failures.get(&receiver.name).filter(|_| waiting > 0).cloned();
            ShownReceiver { name: receiver.name, waiting, last_failure }
        };
        let receivers = self.receivers()?.into_iter().map(shown).collect();
        let (alerts, sources) = (self.board.borrow().alerts(), self.sources.borrow().shown());
        json_response(&Shown { alerts, receivers, sources })
    }

    async fn hear(&self, request: &mut Request) -> Answer {
        let told: Told = serde_json::from_str(&text_of(request).await?)
            .map_err(|_| bad(r#"write {"edge":"…","transitions":[…]}, or {"test":true}"#.to_owned()))?;
        let now = now();
        let notices = match told {
            Told::Report(report) if report.edge.is_empty() || report.edge.len() > MAX_EDGE_BYTES => {
                return Err(bad(format!("an edge has a name of 1 to {MAX_EDGE_BYTES} bytes")).into());
            }
            Told::Report(report) if report.transitions.iter().any(|one| one.at.0 >= 1 << 53) => {
                return Err(bad("a moment is Unix milliseconds, below 2^53".to_owned()).into());
            }
            Told::Report(Report { edge, transitions }) => {
                let mut board = self.board.borrow_mut();
                transitions.iter().filter_map(|transition| board.hear(&edge, transition, now)).collect()
            }
            Told::Test { test: true } => vec![test(now)],
            Told::Test { test: false } => Vec::new(),
            Told::Forget { forget: name } => {
                let told = self.sources.borrow_mut().forget(&name, now);
                let told = told
                    .ok_or_else(|| Problem::new(Code::NotFound, format!("no source is called {name:?}")))?;
                self.rows.keep_sources(&self.sources.borrow())?;
                self.hear_of(told.into_iter().map(|one| (name.clone(), one)), now)
            }
        };
        self.keep(&notices, now)?;
        self.arm(now).await?;
        json_response(&serde_json::json!({ "notices": notices.len() }))
    }

    /// Takes what a source says of itself.
    async fn hear_source(&self, request: &mut Request) -> Answer {
        let report: SourceReport = serde_json::from_str(&text_of(request).await?)
            .map_err(|why| bad(format!(r#"write {{"source":"…","late_ms":0,"again_ms":60000}}: {why}"#)))?;
        let now = now();
        let told = self.sources.borrow_mut().hear(&report, &self.settings(), now);
        let told = told.map_err(|why| bad(why.to_string()))?;
        self.rows.keep_sources(&self.sources.borrow())?;
        let told = told.into_iter().map(|one| (report.source.clone(), one)).collect();
        let notices = self.hear_and_keep(told, now)?;
        self.arm(now).await?;
        json_response(&serde_json::json!({ "notices": notices }))
    }

    /// Judges the sources that should have been heard of by now.
    fn watch_sources(&self, now: UnixMillis) -> std::result::Result<(), Failure> {
        if self.sources.borrow().due().is_none_or(|due| due > now) {
            return Ok(());
        }
        let told = self.sources.borrow_mut().watch(&self.settings(), now);
        self.rows.keep_sources(&self.sources.borrow())?;
        self.hear_and_keep(told, now).map(drop)
    }

    /// Tells the board of sources, if there is something to tell; returns how many messages follow. A report of a source that
    /// is well writes no board.
    fn hear_and_keep(
        &self,
        told: Vec<(String, Transition)>,
        now: UnixMillis,
    ) -> std::result::Result<usize, Failure> {
        if told.is_empty() {
            return Ok(0);
        }
        let notices = self.hear_of(told, now);
        self.keep(&notices, now)?;
        Ok(notices.len())
    }

    /// Tells the board of sources.
    fn hear_of(&self, told: impl IntoIterator<Item = (String, Transition)>, now: UnixMillis) -> Vec<Notice> {
        let mut board = self.board.borrow_mut();
        told.into_iter().filter_map(|(source, transition)| board.hear(&source, &transition, now)).collect()
    }

    fn settings(&self) -> AlertSettings {
        // `newsreel check-config` tells of a table that is wrong; the defaults judge meanwhile.
        Deployment(&self.env).read(&variables::ALERTS).unwrap_or_default()
    }

    fn keep(&self, notices: &[Notice], now: UnixMillis) -> std::result::Result<(), Failure> {
        let receivers: Vec<String> = self.receivers()?.into_iter().map(|receiver| receiver.name).collect();
        self.rows.keep(&self.board.borrow(), notices, &receivers, now)?;
        Ok(())
    }

    async fn on_alarm(&self) -> Result<()> {
        if let Err(failure) = self.watch_sources(now()) {
            console_error!("{}: alerts: sources: {failure}", self.catalog);
        }
        let forgotten = self.board.borrow_mut().forget(now());
        if !forgotten.is_empty()
            && let Err(failure) = self.keep(&forgotten, now())
        {
            console_error!("{}: alerts: {failure}", self.catalog);
        }
        if !self.delivering.replace(true) {
            let delivered = self.deliver_all().await;
            self.delivering.set(false);
            delivered?;
        }
        self.arm(now()).await
    }

    /// Sends each receiver its messages in order, until one does not arrive or none is left.
    async fn deliver_all(&self) -> Result<()> {
        let receivers = match self.receivers() {
            Ok(receivers) => receivers,
            Err(problem) => {
                console_error!("{}: alerts: {}", self.catalog, problem.detail());
                return Ok(());
            }
        };
        self.rows
            .forget_others(&receivers.iter().map(|receiver| receiver.name.clone()).collect::<Vec<_>>())?;
        for receiver in &receivers {
            while self.deliver_first(receiver).await? {}
        }
        Ok(())
    }

    /// Sends the oldest message of a receiver. Says whether the next one may be sent.
    async fn deliver_first(&self, receiver: &Receiver) -> Result<bool> {
        let Some(waiting) = self.rows.first(&receiver.name)? else { return Ok(false) };
        if waiting.due > now() {
            return Ok(false);
        }
        let Ok(notice) = waiting.notice() else {
            self.rows.done(waiting.number)?;
            return Ok(true);
        };
        match deliver(&self.env, &self.catalog, receiver, &notice, now()).await {
            Ok(()) => {
                self.failures.borrow_mut().remove(&receiver.name);
                self.rows.done(waiting.number)?;
                Ok(true)
            }
            Err(error) => {
                let is_last =
                    matches!(error, DeliveryError::Gone) || now().since(waiting.made) >= GIVE_UP_AFTER;
                let next = if is_last { "given up" } else { "sent again later" };
                console_error!(
                    "{}: the alert {} to {}: {error}; {next}",
                    self.catalog,
                    notice.id,
                    receiver.name
                );
                self.failures.borrow_mut().insert(receiver.name.clone(), error.to_string());
                if is_last {
                    self.rows.done(waiting.number)?;
                    return Ok(true);
                }
                self.rows.again(waiting.number, now().plus(pause(waiting.attempts)))?;
                Ok(false)
            }
        }
    }

    /// Sets the alarm for the next message, the next alert that nobody repeats, or the next source that should be heard of. Without
    /// any there is none.
    async fn arm(&self, now: UnixMillis) -> Result<()> {
        let due = [self.board.borrow().forgets_at(), self.rows.next_due()?, self.sources.borrow().due()];
        let due = due.into_iter().flatten().min();
        let Some(due) = due else { return Ok(()) };
        let after = i64::try_from(due.since(now).as_millis().max(1)).unwrap_or(i64::MAX);
        self.state.storage().set_alarm(after).await
    }
}

fn bad(why: String) -> Problem {
    Problem::new(Code::BadJson, why)
}

async fn text_of(request: &mut Request) -> std::result::Result<String, Failure> {
    let text = request.text().await?;
    if text.len() > MAX_REPORT_BYTES {
        return Err(bad(format!("a report has at most {MAX_REPORT_BYTES} bytes")).into());
    }
    Ok(text)
}

/// A message that only tells that messages arrive.
fn test(now: UnixMillis) -> Notice {
    let alert = Alert {
        id: format!("test:{}", now.0),
        subject: Subject { rule: "test".to_owned(), class: None },
        severity: Level::Warning,
        since: now,
        value: 0.0,
        threshold: 0.0,
        edges: Vec::new(),
        says: "a test: messages of alerts arrive here".to_owned(),
        resolved_at: Some(now),
    };
    Notice { id: format!("test:{}:1", now.0), kind: Kind::Raised, at: now, alert }
}
