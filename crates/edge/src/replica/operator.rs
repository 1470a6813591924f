//! What an operator asks a replica: how a read comes to its answer here, and what a publish would hit.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::wire::publish::Publish;
use newsreel_core::wire::{Key, Operation, Target};
use worker::{Response, Result};

use crate::clock::now;
use crate::http::{json_response, problem_response};
use crate::protocol::{DryRunAtEdge, LocalReplica, ReadKey};
use crate::reader::context::ReadContext;
use crate::reader::explain::explain_here;
use crate::replica::driver::Inner;

/// How many keys a dry run names; it counts all.
const NAMED: usize = 50;

impl Inner {
    /// Reads a key in this object, and answers with how the read came to its answer.
    pub(crate) async fn explain(self: &Rc<Self>, key: &str) -> Result<Response> {
        let (key, config) = match (Key::new(key), &self.config) {
            (Ok(key), Ok(config)) => (key, Rc::clone(config)),
            (Err(error), _) => return Err(error.to_string().into()),
            (_, Err(problem)) => return problem_response(problem),
        };
        if let Err(problem) = config.origin() {
            return problem_response(&problem);
        }
        let local: Rc<dyn LocalReplica> = Rc::<Self>::clone(self);
        let context = ReadContext::new(self.env.clone(), config, self.catalog.clone(), self.edge.clone());
        explain_here(&ReadContext { replica: Some(local), ..context }, &key).await
    }

    /// Answers with the keys that were read lately and that a publish would cover.
    pub(crate) fn dry_run(&self, body: &str) -> Result<Response> {
        let mut publish = Publish::parse(body.as_bytes()).map_err(|error| error.to_string())?;
        if self.config.as_ref().is_ok_and(|config| config.fold_tags) {
            publish = publish.folded().map_err(|error| error.to_string())?;
        }
        let targets: Vec<Target> = publish.changes.iter().map(|change| change.target.clone()).collect();
        let usage = self.usage.borrow();
        let covered = usage.hottest_of(&targets, usize::MAX, |_| true);
        let is_removed = |key: &Key| {
            publish.changes.iter().any(|change| {
                change.operation == Operation::Remove
                    && matches!(&change.target, Target::Key(one) if one == key)
            })
        };
        let fetches = covered.iter().filter(|(key, _)| !is_removed(key)).count();
        json_response(&DryRunAtEdge {
            edge: self.edge.clone(),
            covered: covered.len() as u64,
            listed: usage.hottest_of(&[Target::All], usize::MAX, |_| true).len() as u64,
            reads: covered.iter().map(|(_, reads)| reads).sum(),
            period_ms: millis(usage.period(now())),
            fetches: fetches as u64,
            keys: covered.into_iter().take(NAMED).map(|(key, reads)| ReadKey { key, reads }).collect(),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
