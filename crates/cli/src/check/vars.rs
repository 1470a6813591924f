//! The variables and bindings of a deployment, each checked by the rules that the Worker goes by.

use std::collections::BTreeMap;

use newsreel_core::read::policy::{OTHER, Override, Policies};
use newsreel_core::variables::{
    Address, BROKER, BROKER_URL, Binding, BindingKind, COPIES, ENTRIES, FILL_CATALOGS, FORGET_AFTER_MS,
    HOOKS, ORIGIN_URL, POLICY, REPLICA, SECRETS, Settings as _, VARIABLES, VERIFY_CATALOGS, VERIFY_CRON,
    Variable, check_horizon,
};
use serde_json::{Map, Value};

use super::file::DeploymentFile;
use super::hooks::{self, HookFindings};

/// The result of a check.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Errors: the deployment does not run like this.
    pub(super) complaints: Vec<String>,
    /// Suspicions: the deployment runs, perhaps not as it was meant.
    pub(super) warnings: Vec<String>,
    /// The promises of the classes, as far as `POLICY` can be read.
    pub(super) policies: Policies,
}

/// The similarity from which on one name may be another, mistyped.
const ALIKE: f64 = 0.85;

/// Checks everything, so that all complaints come at once.
pub(super) fn check(deployment: &DeploymentFile) -> Findings {
    let mut findings = Findings::default();
    for (name, value) in &deployment.vars {
        findings.check_variable(deployment, name, value);
    }
    findings.policies = findings.read_policies(deployment.vars.get(POLICY.name));
    findings.check_horizon(&deployment.vars);
    findings.check_bindings(deployment);
    let HookFindings { complaints, warnings } = hooks::check(deployment);
    findings.complaints.extend(complaints);
    findings.warnings.extend(warnings);
    findings.check_what_goes_together(deployment);
    findings
}

impl Findings {
    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(text.into());
    }

    fn check_variable(&mut self, deployment: &DeploymentFile, name: &str, value: &Value) {
        if name == POLICY.name || name == HOOKS.name {
            return;
        }
        match VARIABLES.iter().find(|variable| variable.name() == name) {
            Some(variable) => self.complaints.extend(variable.check(value).err().map(|why| why.to_string())),
            None => self.warnings.push(unknown(&deployment.table("vars"), name)),
        }
    }

    /// Reads the policies, as far as they can be read, so that all complaints come at once.
    fn read_policies(&mut self, value: Option<&Value>) -> Policies {
        let mut overrides = BTreeMap::new();
        for (class, fields) in self.policy_tables(value) {
            let Value::Object(fields) = fields else {
                self.complain(format!("POLICY.{class} is a table: write [vars.POLICY.{class}]"));
                continue;
            };
            let mut whole = Map::new();
            for (field, value) in fields {
                let alone = Map::from_iter([(field.clone(), value.clone())]);
                match serde_json::from_value::<Override>(alone.into()) {
                    Ok(_) => drop(whole.insert(field, value)),
                    Err(why) if value.is_string() && why.to_string().contains("expected u64") => {
                        self.complain(format!(
                            "POLICY.{class}.{field} is a whole number: write it without quotes"
                        ));
                    }
                    Err(why) => self.complain(format!("POLICY.{class}.{field}: {why}")),
                }
            }
            overrides.extend(serde_json::from_value(whole.into()).ok().map(|change| (class, change)));
        }
        let policies = Policies::with(&overrides);
        self.complaints.extend(policies.complaints());
        policies
    }

    fn policy_tables(&mut self, value: Option<&Value>) -> Map<String, Value> {
        match value {
            None => Map::new(),
            Some(Value::Object(tables)) => tables.clone(),
            Some(Value::String(json)) if json.trim().is_empty() => Map::new(),
            Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_else(|why| {
                self.complain(format!("POLICY is a table, or the JSON of one: {why}"));
                Map::new()
            }),
            Some(_) => {
                self.complain("POLICY is a table: write [vars.POLICY.<class>]");
                Map::new()
            }
        }
    }

    fn check_horizon(&mut self, vars: &Map<String, Value>) {
        // If it cannot be read, that has been complained about.
        let Ok(forget_after) = vars.read(&FORGET_AFTER_MS) else { return };
        if let Err(why) = check_horizon(&self.policies, forget_after) {
            self.complain(why.to_string());
        }
    }

    fn check_bindings(&mut self, deployment: &DeploymentFile) {
        let follows = is_given(&deployment.vars, &BROKER_URL);
        for Binding { name, kind, .. } in [BROKER, REPLICA] {
            let BindingKind::DurableObjects { class } = kind else { continue };
            let table = deployment.table(kind.table());
            let write = format!("write [[{table}]] name = \"{name}\", class_name = \"{class}\"");
            let bindings = deployment.bindings("durable_objects");
            let named = |binding: &&&Map<String, Value>| says(binding, "name", name);
            match bindings.iter().find(named) {
                Some(binding) if says(binding, "class_name", class) => {}
                Some(_) => self.complain(format!("the Durable Object {name} is of another class: {write}")),
                None if name == BROKER.name && follows => {}
                None => self.complain(format!(
                    "there is no Durable Object {name}: {write}{}",
                    uninherited(deployment)
                )),
            }
        }
        if !is_bound(deployment, &ENTRIES) {
            let (table, name) = (deployment.table(ENTRIES.kind.table()), ENTRIES.name);
            self.complain(format!(
                "there is no KV namespace {name}: write [[{table}]] binding = \"{name}\", id = \"…\"{}",
                uninherited(deployment)
            ));
        }
    }

    fn check_what_goes_together(&mut self, deployment: &DeploymentFile) {
        if !is_bound(deployment, &COPIES) {
            let classes = self.policies.classes().filter(|(_, policy)| policy.quorum);
            let (table, name) = (deployment.table(COPIES.kind.table()), COPIES.name);
            let complaints = classes.map(|(class, _)| format!(
                "POLICY.{class}.quorum is true, and a quorum is of KV, R2 and the origin: write [[{table}]] binding = \
                 \"{name}\", bucket_name = \"…\", or quorum = false"
            ));
            let complaints: Vec<String> = complaints.collect();
            self.complaints.extend(complaints);
        }
        if !is_given(&deployment.vars, &ORIGIN_URL) {
            self.warnings.push("ORIGIN_URL is not set: no entry is served".to_owned());
        }
        let fills = deployment.vars.read(&FILL_CATALOGS).is_ok_and(|catalogs| !catalogs.is_empty());
        if fills && !deployment.is_scheduled() {
            let why =
                "FILL_CATALOGS is set and nothing is scheduled: write [triggers] crons = [\"0 4 * * *\"]";
            self.warnings.push(why.to_owned());
        }
        let checks = deployment.vars.read(&VERIFY_CATALOGS).is_ok_and(|catalogs| !catalogs.is_empty());
        if let Ok(cron) = deployment.vars.read(&VERIFY_CRON)
            && checks
            && !deployment.is_scheduled_at(&cron)
        {
            let why = format!(
                "VERIFY_CATALOGS is set and nothing is scheduled for it: add {cron:?} to crons in [triggers]"
            );
            self.warnings.push(why);
        }
        if let Some(fields) = deployment.vars.get(POLICY.name).and_then(Value::as_object)
            && let Some(near) = fields.keys().find(|class| *class != OTHER && is_like(class, OTHER))
        {
            self.warnings.push(format!("POLICY.{near} is of the keys {near}:…; did you mean {OTHER}?"));
        }
    }
}

fn unknown(table: &str, name: &str) -> String {
    if SECRETS.iter().any(|secret| secret.name() == name) {
        return format!(
            "{name} in [{table}] is a secret that everybody who has the file can read: remove it, and run `wrangler secret put {name}`"
        );
    }
    let known = VARIABLES.iter().map(|variable| variable.name());
    let nearest = known.map(|known| (strsim::jaro_winkler(known, &name.to_ascii_uppercase()), known));
    let nearest = nearest.filter(|(alike, _)| *alike >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let advice = nearest.map_or(String::new(), |(_, known)| format!(": did you mean {known}?"));
    format!("{name} in [{table}] is no variable of Newsreel{advice}")
}

fn is_like(one: &str, other: &str) -> bool {
    strsim::jaro_winkler(one, other) >= 0.9
}

fn says(binding: &Map<String, Value>, field: &str, wanted: &str) -> bool {
    binding.get(field).and_then(Value::as_str) == Some(wanted)
}

fn is_bound(deployment: &DeploymentFile, Binding { kind, name, .. }: &Binding) -> bool {
    deployment.bindings(kind.table()).iter().any(|binding| says(binding, "binding", name))
}

fn is_given(vars: &Map<String, Value>, address: &Variable<Address>) -> bool {
    // An address that cannot be read was meant to be there, and has been complained about.
    vars.read(address).map_or(true, |address| address.is_some())
}

fn uninherited(deployment: &DeploymentFile) -> &'static str {
    if deployment.env.is_some() { " (an environment inherits no bindings)" } else { "" }
}

#[cfg(test)]
mod tests;
