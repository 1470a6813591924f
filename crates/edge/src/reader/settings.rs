//! The settings of the deployment, as this edge reads them: policies, variables, and what is wrong with them.

use newsreel_core::read::policy::{Policies, Policy};
use newsreel_core::variables::{self, AnyVariable, Settings as _};
use newsreel_gate::Deployment;
use serde::Serialize;
use serde_json::{Value, json};
use worker::{Env, Response, Result};

use crate::config::config;
use crate::http::json_response;

/// The answer. Secrets are no part of it.
#[derive(Serialize)]
struct Settings {
    /// The name that `EDGE` gives this edge; null where each location is one.
    edge: Option<String>,
    policies: Vec<ClassPolicy>,
    variables: Vec<Given>,
    problems: Vec<Wrong>,
}

/// The policy of a class, and the fields that the deployment changed.
#[derive(Serialize)]
struct ClassPolicy {
    class: String,
    policy: Value,
    default: Value,
}

/// A variable: its value as the deployment gives it, null where it does not, and what an absent one stands for.
#[derive(Serialize)]
struct Given {
    name: &'static str,
    value: Option<Value>,
    default: String,
    meaning: &'static str,
    expected: String,
}

/// A variable that is wrong, and what to write there.
#[derive(Serialize)]
struct Wrong {
    name: &'static str,
    detail: String,
}

/// Answers `GET settings`, also where the variables are wrong.
pub(crate) fn show(env: &Env) -> Result<Response> {
    let given = Deployment(env);
    let policies = given.read(&variables::POLICY).unwrap_or_default();
    json_response(&Settings {
        edge: given.read(&variables::EDGE).unwrap_or_default(),
        policies: of_classes(&policies),
        variables: variables::VARIABLES.iter().map(|variable| described(*variable, &given)).collect(),
        problems: problems(env, &given),
    })
}

fn of_classes(policies: &Policies) -> Vec<ClassPolicy> {
    let defaults = Policies::default();
    let of = |(class, policy): (&str, &Policy)| ClassPolicy {
        class: class.to_owned(),
        policy: described_policy(policy, policies.origin_vary(class)),
        default: described_policy(&defaults.of(class), defaults.origin_vary(class)),
    };
    policies.classes().map(of).collect()
}

fn described_policy(policy: &Policy, origin_vary: &[String]) -> Value {
    json!({
        "ttl_ms": millis(policy.ttl),
        "stale_for_ms": millis(policy.stale_for),
        "lag_bound_ms": millis(policy.lag_bound),
        "beyond_bound": policy.beyond_bound,
        "on_bump": policy.on_bump,
        "quorum": policy.quorum,
        "origin_cache_control": policy.origin_cache_control,
        "origin_vary": origin_vary,
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn described(variable: &dyn AnyVariable, given: &Deployment<'_>) -> Given {
    Given {
        name: variable.name(),
        value: given.value(variable.name()),
        default: variable.default_words(),
        meaning: variable.meaning(),
        expected: variable.expected(),
    }
}

/// Returns what is wrong: each variable by the rules of the table, and then what only all of them together tell.
fn problems(env: &Env, given: &Deployment<'_>) -> Vec<Wrong> {
    let wrong = |variable: &&dyn AnyVariable| {
        let value = given.value(variable.name())?;
        let error = variable.check(&value).err()?;
        Some(Wrong { name: variable.name(), detail: error.to_string() })
    };
    let mut problems: Vec<Wrong> = variables::VARIABLES.iter().filter_map(wrong).collect();
    if problems.is_empty()
        && let Err(problem) = config(env)
    {
        problems.push(Wrong { name: "POLICY", detail: problem.detail().to_owned() });
    }
    problems
}
