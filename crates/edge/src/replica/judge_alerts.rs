//! Judges this edge by its own series at every alarm, and tells the catalog's board of what changed.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::alerts::edge::{self, EdgeFigures, SERIES};
use newsreel_core::alerts::{AlertSettings, Report, Transition};
use newsreel_core::follow::follower::Phase;
use newsreel_core::metrics::series::chart::{self, ChartError};
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::UnixMillis;
use newsreel_core::wire::series::{SeriesPage, SeriesQuery};
use newsreel_gate::Deployment;
use worker::Result;
use worker::wasm_bindgen_futures::spawn_local;

use crate::broker;
use crate::clock::now;
use crate::replica::alerts::Alerts;
use crate::replica::driver::{Ended, Inner};

impl Inner {
    /// Judges this edge by every rule, and tells the board of what changed.
    pub(crate) fn judge_alerts(self: &Rc<Self>, has_readers: bool) {
        let before = self.alerts.borrow().clone();
        if let Err(error) = self.judge(has_readers) {
            self.complain("judging alerts", &error);
        }
        let alerts = self.alerts.borrow();
        if *alerts != before
            && let Err(error) = self.keep_alerts(&alerts)
        {
            self.complain("keeping alerts", &error);
        }
        let due = alerts.due(now());
        drop(alerts);
        if !due.is_empty() {
            self.tell_alerts(due);
        }
    }

    fn judge(&self, has_readers: bool) -> Result<()> {
        // `newsreel check-config` tells of a table that is wrong; the defaults judge meanwhile.
        let settings: AlertSettings = Deployment(&self.env).read(&variables::ALERTS).unwrap_or_default();
        let now = now();
        let mut alerts = self.alerts.borrow_mut();
        if !has_readers || self.phase() == Phase::Live {
            alerts.followed_at = now;
        }
        let figures = EdgeFigures { gone: alerts.gone(now), kv_todo: self.rows.deletes_waiting()? };
        let page = |window: Duration| self.lately(now, window);
        let transitions = edge::judge(&mut alerts.judge, &settings, now, figures, page)?;
        // Of a subject the newest change stands for those before.
        alerts.untold.retain(|told| transitions.iter().all(|one| one.subject != told.subject));
        alerts.untold.extend(transitions);
        Ok(())
    }

    fn lately(&self, now: UnixMillis, window: Duration) -> Result<SeriesPage> {
        let usage = self.usage.borrow();
        let names = SERIES.map(str::to_owned).to_vec();
        let query = SeriesQuery { from: Some(now.minus(window)), names, ..SeriesQuery::default() };
        let page = chart::answer(&usage.series, &self.rows.series(), &query, (&self.catalog, None), now);
        page.map_err(|error| match error {
            ChartError::Problem(problem) => problem.detail().into(),
            ChartError::Rows(error) => error,
        })
    }

    fn keep_alerts(&self, alerts: &Alerts) -> Result<()> {
        self.rows.keep_alerts(&serde_json::to_string(alerts)?)
    }

    /// Tells the board, behind whatever else the object does.
    fn tell_alerts(self: &Rc<Self>, due: Vec<Transition>) {
        let Ok(config) = &self.config else { return };
        if self.telling_alerts.replace(true) {
            return;
        }
        let (config, weak) = (Rc::clone(config), Rc::downgrade(self));
        let (env, catalog, edge) = (self.env.clone(), self.catalog.clone(), self.edge.clone());
        spawn_local(async move {
            let _ended = Ended(weak.clone(), |inner| &inner.telling_alerts);
            let report = Report { edge, transitions: due };
            let told = broker::tell_alerts(&env, &config, &catalog, &report).await;
            let Some(inner) = weak.upgrade() else { return };
            match told {
                Ok(()) => inner.alerts_told(&report.transitions),
                Err(error) => inner.complain("telling alerts", &error),
            }
        });
    }

    fn alerts_told(&self, told: &[Transition]) {
        let mut alerts = self.alerts.borrow_mut();
        alerts.untold.retain(|one| !told.contains(one));
        alerts.told_at = now();
        if let Err(error) = self.keep_alerts(&alerts) {
            self.complain("keeping alerts", &error);
        }
    }
}
