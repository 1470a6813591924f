//! `wrangler.toml`: its variables, each with what it means.

use newsreel_core::variables::{
    ALERT_HOOKS, ALERTS, ALLOWED_ORIGINS, EDGE, HOOKS, ORIGIN_URL, POLICY, VARIABLES,
};

use super::{check, wrapped};

/// The variables that the repository's own file sets, for development on one machine.
const DEVELOPMENT: &[(&str, &str)] = &[
    (ORIGIN_URL.name, "http://127.0.0.1:8788"),
    (EDGE.name, "local"),
    (ALLOWED_ORIGINS.name, "http://localhost:*,http://127.0.0.1:*"),
];
/// The variables that are tables, which the file shows at its end.
const TABLES: [&str; 4] = [POLICY.name, HOOKS.name, ALERTS.name, ALERT_HOOKS.name];
/// The longest line of the file.
const WIDTH: usize = 120;

fn variables() -> String {
    let table = VARIABLES.iter().filter(|variable| !TABLES.contains(&variable.name()));
    let entries = table.map(|variable| {
        let (name, meaning) = (variable.name(), variable.meaning());
        let set = DEVELOPMENT.iter().find(|(set, _)| *set == name).map(|(_, value)| *value);
        let comment = format!("{meaning} Default: {}.", variable.default_words()).replace('`', "");
        let comment: String = wrapped(&comment, WIDTH - 2).iter().map(|line| format!("# {line}\n")).collect();
        match set {
            Some(value) => format!("{comment}{name} = \"{value}\"\n"),
            None => format!("{comment}# {name} = \"{}\"\n", variable.default_text()),
        }
    });
    entries.collect()
}

#[test]
fn the_comments_of_wrangler_toml_are_up_to_date() {
    check("wrangler.toml", &[("variables", variables())]);
}
