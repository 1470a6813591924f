//! A failing run made small: fewer kinds of faults, fewer parts, fewer faults, as long as the same guarantee
//! breaks.

use std::collections::BTreeSet;

use crate::faults::Strike;
use crate::plan::Plan;
use crate::run::{Keep, Outcome, play};

/// How many runs shrinking takes at most.
const RUNS: u32 = 1_500;

/// Returns the smallest plan found that breaks the same guarantee; `watch` is called before every run.
pub fn shrink(plan: &Plan, mut watch: impl FnMut(&Plan)) -> Plan {
    let run = |plan: &Plan, keep: Keep| {
        watch(plan);
        play(plan, keep, |_| {})
    };
    Search { plan: plan.clone(), guarantee: "", failed_at: 0, runs: 0, run }.smallest()
}

/// A search over plans. `run` plays one.
///
/// Every run may take as many steps as the first one took to fail: with fewer faults the failure may come
/// later.
struct Search<F> {
    plan: Plan,
    guarantee: &'static str,
    /// The step at which the run of `plan` failed.
    failed_at: u64,
    runs: u32,
    run: F,
}

impl<F: FnMut(&Plan, Keep) -> Outcome> Search<F> {
    fn smallest(mut self) -> Plan {
        let plan = self.plan.clone();
        let Some((guarantee, steps)) = self.broken_by(&plan) else { return plan };
        self.guarantee = guarantee;
        self.plan.steps = steps;
        self.failed_at = steps;
        self.try_plan(Plan { only: Some(BTreeSet::new()), ..self.plan.clone() });
        self.leave_out_kinds();
        self.leave_out_parts();
        self.leave_out_strikes();
        self.leave_out_kinds();
        Plan { steps: self.failed_at, ..self.plan }
    }

    /// Returns the guarantee that a plan breaks, and at which step.
    fn broken_by(&mut self, plan: &Plan) -> Option<(&'static str, u64)> {
        self.runs += 1;
        let outcome = (self.run)(plan, Keep::default());
        outcome.violation.map(|violation| (violation.guarantee, outcome.tally.steps))
    }

    /// Takes a smaller plan if it still breaks the same.
    fn try_plan(&mut self, smaller: Plan) -> bool {
        if self.runs >= RUNS {
            return false;
        }
        match self.broken_by(&smaller) {
            Some((guarantee, steps)) if guarantee == self.guarantee => {
                self.failed_at = steps;
                self.plan = smaller;
                true
            }
            Some(_) | None => false,
        }
    }

    fn leave_out_kinds(&mut self) {
        for fault in self.plan.faults.clone() {
            let mut smaller = self.plan.clone();
            smaller.faults.remove(&fault);
            self.try_plan(smaller);
        }
    }

    fn leave_out_parts(&mut self) {
        type Part = fn(&mut Plan) -> (&mut usize, usize);
        let parts: [Part; 4] = [
            |plan| (&mut plan.clients, 0),
            |plan| (&mut plan.edges, 1),
            |plan| (&mut plan.isolates, 1),
            |plan| (&mut plan.keys, 5),
        ];
        for part in parts {
            loop {
                let mut smaller = self.plan.clone();
                let (count, least) = part(&mut smaller);
                if *count <= least {
                    break;
                }
                *count -= 1;
                if !self.try_plan(smaller) {
                    break;
                }
            }
        }
    }

    /// Leaves out ever smaller parts of the faults that struck.
    fn leave_out_strikes(&mut self) {
        let plan = self.plan.clone();
        let outcome = (self.run)(&plan, Keep { story: false, struck: true });
        let mut strikes: Vec<Strike> = outcome.struck;
        let mut size = strikes.len().div_ceil(2);
        while size > 0 && self.runs < RUNS {
            let mut at = 0;
            while at < strikes.len() {
                let end = (at + size).min(strikes.len());
                let left: Vec<Strike> = strikes[..at].iter().chain(&strikes[end..]).copied().collect();
                let only: BTreeSet<Strike> = left.iter().copied().collect();
                if self.try_plan(Plan { only: Some(only), ..self.plan.clone() }) {
                    strikes = left;
                } else {
                    at = end;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Tally, Violation};

    /// The strikes without which nothing breaks, of two kinds.
    const NEEDED: [Strike; 2] = [(Fault::FrameLost, 40), (Fault::SocketCut, 7)];

    /// Plays a plan in which each kind strikes a hundred times, and two of all strikes break a guarantee at
    /// step 900.
    fn run(plan: &Plan, _: Keep) -> Outcome {
        let strikes = plan.faults.iter().flat_map(|fault| (1..=100).map(|number| (*fault, number)));
        let struck: Vec<Strike> =
            strikes.filter(|strike| plan.only.as_ref().is_none_or(|only| only.contains(strike))).collect();
        let breaks =
            NEEDED.iter().all(|strike| struck.contains(strike)) && plan.steps >= 900 && plan.clients > 1;
        let violation = breaks.then(|| Violation { guarantee: "S2", what: "an old value".to_owned() });
        let tally = Tally { steps: plan.steps.min(900), ..Tally::default() };
        Outcome { tally, faults: Vec::new(), violation, story: Vec::new(), struck, time: 0 }
    }

    #[test]
    fn only_what_a_failure_needs_is_left() {
        let plan = Plan { clients: 5, edges: 3, ..Plan::default() };
        let smallest = Search { plan, guarantee: "", failed_at: 0, runs: 0, run }.smallest();
        assert_eq!(smallest.only, Some(BTreeSet::from(NEEDED)));
        assert_eq!(smallest.faults, NEEDED.iter().map(|(fault, _)| *fault).collect());
        assert_eq!((smallest.steps, smallest.clients), (900, 2));
        assert_eq!((smallest.edges, smallest.isolates, smallest.keys), (1, 1, 5));
    }

    #[test]
    fn a_plan_that_breaks_nothing_stays_as_it_is() {
        let plan = Plan { clients: 0, ..Plan::default() };
        assert_eq!(Search { plan: plan.clone(), guarantee: "", failed_at: 0, runs: 0, run }.smallest(), plan);
    }
}
