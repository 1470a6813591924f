//! The variables and bindings of a deployment, each checked by the rules that the Worker goes by.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::access::cors::Origins;
use newsreel_core::log::upkeep;
use newsreel_core::read::policy::{OTHER, Override, Policies};
use newsreel_core::wire::Catalog;
use newsreel_core::wire::query::MAX_FOLLOWER_NAME_BYTES;
use serde_json::{Map, Value};

use super::file::Deployment;
use crate::http;

/// What a check came to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What must be written otherwise.
    pub(super) complaints: Vec<String>,
    /// What may be meant, and may not.
    pub(super) warnings: Vec<String>,
    /// What the classes promise, as far as `POLICY` can be read.
    pub(super) policies: Policies,
}

/// What a variable holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The name of an edge.
    Name,
    /// The address of a server.
    Address,
    /// Names of catalogs, with commas.
    Catalogs,
    /// Origins of web pages, with commas.
    Origins,
    /// A whole number from the first to the second.
    Number(u64, u64),
}

const VARIABLES: &[(&str, Kind)] = &[
    ("ORIGIN_URL", Kind::Address),
    ("EDGE", Kind::Name),
    ("BROKER_URL", Kind::Address),
    ("KV_TENDER", Kind::Name),
    ("ORIGIN_TIMEOUT_MS", Kind::Number(1, 60_000)),
    ("ORIGIN_CONCURRENCY", Kind::Number(1, 6)),
    ("REFRESH_PER_MINUTE", Kind::Number(0, u64::MAX)),
    ("FILL_CATALOGS", Kind::Catalogs),
    ("FILL_TOP", Kind::Number(1, u64::MAX)),
    ("CATALOGS", Kind::Catalogs),
    ("ALLOWED_ORIGINS", Kind::Origins),
    ("PUBLISH_PER_SECOND", Kind::Number(0, u64::MAX)),
    ("FOLLOW_PER_SECOND", Kind::Number(0, u64::MAX)),
    ("LOG_SEGMENT_BYTES", Kind::Number(1, u64::MAX)),
    ("LOG_KEEP_BYTES", Kind::Number(0, u64::MAX)),
    (FORGET_AFTER_MS, Kind::Number(1, u64::MAX)),
    ("SLOW_AFTER_MS", Kind::Number(1, u64::MAX)),
    ("SLOW_BYTES", Kind::Number(1, u64::MAX)),
    ("SILENT_AFTER_MS", Kind::Number(1, u64::MAX)),
];
const POLICY: &str = "POLICY";
const FORGET_AFTER_MS: &str = "FORGET_AFTER_MS";
const SECRETS: &[&str] = &["PUBLISH_TOKENS", "FOLLOW_TOKENS", "ADMIN_TOKENS", "TOKEN_KEYS", "BROKER_TOKEN"];
/// From how alike on two names may be the same one, mistyped.
const ALIKE: f64 = 0.85;

/// Checks everything; stops at nothing.
pub(super) fn check(deployment: &Deployment) -> Findings {
    let mut findings = Findings::default();
    for (name, value) in &deployment.vars {
        findings.check_variable(deployment, name, value);
    }
    findings.policies = findings.read_policies(deployment.vars.get(POLICY));
    findings.check_horizon(&deployment.vars);
    findings.check_bindings(deployment);
    findings.check_what_goes_together(deployment);
    findings
}

impl Findings {
    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(text.into());
    }

    fn check_variable(&mut self, deployment: &Deployment, name: &str, value: &Value) {
        if name == POLICY {
            return;
        }
        let Some((_, kind)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
            self.warnings.push(unknown(&deployment.table("vars"), name));
            return;
        };
        let text = match value {
            Value::String(text) => text.trim(),
            Value::Number(_) | Value::Bool(_) => {
                self.complain(format!(
                    "{name} is {value} without quotes, which is not read: write \"{value}\""
                ));
                return;
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.complain(format!("{name} is a text: write it in quotes"));
                return;
            }
        };
        // An empty one counts as absent.
        if let Some(wrong) = Some(text).filter(|text| !text.is_empty()).and_then(|text| kind.refusal(text)) {
            self.complain(format!("{name} {wrong}, not {text:?}"));
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
        let given = vars.get(FORGET_AFTER_MS).and_then(Value::as_str).map(str::trim);
        let given = given.filter(|text| !text.is_empty());
        let forget_after = match given.map(str::parse) {
            None => upkeep::Limits::default().forget_after,
            Some(Ok(millis)) => Duration::from_millis(millis),
            // It was complained about.
            Some(Err(_)) => return,
        };
        if let Err(why) = self.policies.check_horizon(forget_after) {
            self.complain(why);
        }
    }

    fn check_bindings(&mut self, deployment: &Deployment) {
        let follows =
            deployment.vars.get("BROKER_URL").and_then(Value::as_str).is_some_and(|url| !url.is_empty());
        for (name, class) in [("BROKER", "Broker"), ("REPLICA", "Replica")] {
            let table = deployment.table("durable_objects.bindings");
            let write = format!("write [[{table}]] name = \"{name}\", class_name = \"{class}\"");
            let bindings = deployment.bindings("durable_objects");
            let named = |binding: &&&Map<String, Value>| says(binding, "name", name);
            match bindings.iter().find(named) {
                Some(binding) if says(binding, "class_name", class) => {}
                Some(_) => self.complain(format!("the Durable Object {name} is of another class: {write}")),
                None if name == "BROKER" && follows => {}
                None => self.complain(format!(
                    "there is no Durable Object {name}: {write}{}",
                    uninherited(deployment)
                )),
            }
        }
        if !is_bound(deployment, "kv_namespaces", "ENTRIES") {
            let table = deployment.table("kv_namespaces");
            self.complain(format!(
                "there is no KV namespace ENTRIES: write [[{table}]] binding = \"ENTRIES\", id = \"…\"{}",
                uninherited(deployment)
            ));
        }
    }

    fn check_what_goes_together(&mut self, deployment: &Deployment) {
        let text = |name: &str| deployment.vars.get(name).and_then(Value::as_str).unwrap_or_default().trim();
        if !is_bound(deployment, "r2_buckets", "COPIES") {
            let classes = self.policies.classes().filter(|(_, policy)| policy.quorum);
            let table = deployment.table("r2_buckets");
            let complaints = classes.map(|(class, _)| format!(
                "POLICY.{class}.quorum is true, and a quorum is of KV, R2 and the origin: write [[{table}]] binding = \
                 \"COPIES\", bucket_name = \"…\", or quorum = false"
            ));
            let complaints: Vec<String> = complaints.collect();
            self.complaints.extend(complaints);
        }
        if text("ORIGIN_URL").is_empty() {
            self.warnings.push("ORIGIN_URL is not set: no entry is served".to_owned());
        }
        if !text("FILL_CATALOGS").is_empty() && !deployment.is_scheduled() {
            let why =
                "FILL_CATALOGS is set and nothing is scheduled: write [triggers] crons = [\"0 4 * * *\"]";
            self.warnings.push(why.to_owned());
        }
        if let Some(fields) = deployment.vars.get(POLICY).and_then(Value::as_object)
            && let Some(near) = fields.keys().find(|class| *class != OTHER && is_like(class, OTHER))
        {
            self.warnings.push(format!("POLICY.{near} is of the keys {near}:…; did you mean {OTHER}?"));
        }
    }
}

impl Kind {
    /// Returns what the variable is to be, if this is not.
    fn refusal(self, text: &str) -> Option<String> {
        match self {
            Self::Name => {
                let fits = text.len() <= MAX_FOLLOWER_NAME_BYTES && !text.chars().any(char::is_control);
                (!fits).then(|| format!("is the name of an edge, of at most {MAX_FOLLOWER_NAME_BYTES} bytes"))
            }
            Self::Address => http::server(text).is_err().then(|| "is an http or https address".to_owned()),
            Self::Catalogs => {
                let mut names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                let wrong = names.find_map(|name| Catalog::new(name).err().map(|why| (name, why)));
                wrong.map(|(name, why)| format!("is a list of catalogs with commas, and {name:?} is none ({why})"))
            }
            Self::Origins => Origins::parse(text).err().map(|why| {
                format!("is a list of https://host, https://host:port, https://host:* or *, which {:?} is none of", why.item)
            }),
            Self::Number(least, most) => {
                let fits = text.parse().is_ok_and(|number| (least..=most).contains(&number));
                let range = if most == u64::MAX { format!("of at least {least}") } else { format!("from {least} to {most}") };
                (!fits).then(|| format!("is a whole number {range}"))
            }
        }
    }
}

fn unknown(table: &str, name: &str) -> String {
    if SECRETS.contains(&name) {
        return format!(
            "{name} in [{table}] is there for everybody to read: take it out and `wrangler secret put {name}`"
        );
    }
    let known = VARIABLES.iter().map(|(known, _)| *known).chain([POLICY]);
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

fn is_bound(deployment: &Deployment, kind: &str, name: &str) -> bool {
    deployment.bindings(kind).iter().any(|binding| says(binding, "binding", name))
}

fn uninherited(deployment: &Deployment) -> &'static str {
    if deployment.env.is_some() { " (an environment inherits no bindings)" } else { "" }
}

#[cfg(test)]
mod tests;
