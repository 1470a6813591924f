//! A failing run made small: fewer kinds of faults, fewer parts, fewer faults, as long as the same guarantee breaks.

use std::collections::BTreeSet;

use crate::faults::Strike;
use crate::plan::Plan;
use crate::run::{Keep, play};

/// How many runs shrinking takes at most.
const RUNS: u32 = 1_500;

/// Returns the smallest plan found that breaks the same guarantee; `watch` is told of every run.
pub fn shrink(plan: &Plan, mut watch: impl FnMut(&Plan)) -> Plan {
    let mut search = Search { plan: plan.clone(), guarantee: "", runs: 0 };
    let Some((guarantee, steps)) = search.broken_by(plan, &mut watch) else { return plan.clone() };
    search.guarantee = guarantee;
    search.plan.steps = steps;
    let none = Plan { only: Some(BTreeSet::new()), ..search.plan.clone() };
    search.try_plan(none, &mut watch);
    search.leave_out_kinds(&mut watch);
    search.leave_out_parts(&mut watch);
    search.leave_out_strikes(&mut watch);
    search.leave_out_kinds(&mut watch);
    search.plan
}

struct Search {
    plan: Plan,
    guarantee: &'static str,
    runs: u32,
}

impl Search {
    /// Returns what a plan breaks, and at which step.
    fn broken_by(&mut self, plan: &Plan, watch: &mut impl FnMut(&Plan)) -> Option<(&'static str, u64)> {
        self.runs += 1;
        watch(plan);
        let outcome = play(plan, Keep::default(), |_| {});
        outcome.violation.map(|violation| (violation.guarantee, outcome.tally.steps))
    }

    /// Takes a smaller plan if it still breaks the same.
    fn try_plan(&mut self, mut smaller: Plan, watch: &mut impl FnMut(&Plan)) -> bool {
        if self.runs >= RUNS {
            return false;
        }
        match self.broken_by(&smaller, watch) {
            Some((guarantee, steps)) if guarantee == self.guarantee => {
                // What breaks at the very end breaks after all its steps.
                smaller.steps = smaller.steps.min(steps);
                self.plan = smaller;
                true
            }
            Some(_) | None => false,
        }
    }

    fn leave_out_kinds(&mut self, watch: &mut impl FnMut(&Plan)) {
        for fault in self.plan.faults.clone() {
            let mut smaller = self.plan.clone();
            smaller.faults.remove(&fault);
            self.try_plan(smaller, watch);
        }
    }

    fn leave_out_parts(&mut self, watch: &mut impl FnMut(&Plan)) {
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
                if !self.try_plan(smaller, watch) {
                    break;
                }
            }
        }
    }

    /// Leaves out ever smaller parts of the faults that struck.
    fn leave_out_strikes(&mut self, watch: &mut impl FnMut(&Plan)) {
        let outcome = play(&self.plan, Keep { story: false, struck: true }, |_| {});
        let mut strikes: Vec<Strike> = outcome.struck;
        let mut size = strikes.len().div_ceil(2);
        while size > 0 && self.runs < RUNS {
            let mut at = 0;
            while at < strikes.len() {
                let end = (at + size).min(strikes.len());
                let left: Vec<Strike> = strikes[..at].iter().chain(&strikes[end..]).copied().collect();
                let only: BTreeSet<Strike> = left.iter().copied().collect();
                if self.try_plan(Plan { only: Some(only), ..self.plan.clone() }, watch) {
                    strikes = left;
                } else {
                    at = end;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
}
