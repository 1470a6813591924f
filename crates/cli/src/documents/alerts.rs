//! What is made of the rules of alerts: the table of `docs/alerts.md`, the rules file of Prometheus, and the dashboard of
//! Grafana.

use std::fmt::Write as _;

use newsreel_core::alerts::rules::{About, Unit, Worse};
use newsreel_core::alerts::{RULES, Rule};
use serde_json::{Value, json};

use super::{check, check_file, table};

fn rules() -> String {
    let row = |rule: &Rule| {
        let sign = if rule.worse == Worse::Below { "<" } else { ">" };
        let threshold = |value| format!("{sign} {}", rule.words(value));
        let about = match rule.about {
            About::Class => "class and edge",
            About::Edge => "edge",
            About::Source => "source",
        };
        [
            format!("`{}`", rule.id),
            rule.measures.to_owned(),
            about.to_owned(),
            threshold(rule.warning),
            threshold(rule.critical),
            format!("{} min", rule.window.as_secs() / 60),
            rule.least.to_string(),
            rule.advice.to_owned(),
        ]
    };
    table(
        ["rule", "measures", "of each", "warning", "critical", "window", "least", "what to do"],
        RULES.iter().map(row),
    )
}

fn query(rule: &Rule) -> String {
    rule.promql.replace("{window}", &format!("{}s", rule.window.as_secs()))
}

/// Returns the rules file of Prometheus. JSON strings are YAML's too.
fn prometheus() -> String {
    let mut text = "# The alerts of Newsreel as rules of Prometheus. Generated from crates/core/src/alerts/rules.rs by\n\
        # UPDATE_DOCS=1 cargo test -p newsreel-cli documents\ngroups:\n  - name: newsreel\n    rules:\n"
        .to_owned();
    for rule in RULES {
        let sign = if rule.worse == Worse::Below { "<" } else { ">" };
        let critical = format!("({}) {sign} {}", query(rule), rule.critical);
        // What is critical is no warning besides.
        let warning = format!("(({}) {sign} {}) unless ({critical})", query(rule), rule.warning);
        for (severity, expr) in [("warning", warning), ("critical", critical)] {
            let name = format!("Newsreel{}", camel(rule.id));
            let summary = format!("{}{}", rule.id, labels(rule));
            let _ = write!(
                text,
                "      - alert: {name}\n        expr: {}\n        for: 1m\n        keep_firing_for: 5m\n        labels:\n          severity: {severity}\n        \
                 annotations:\n          summary: {}\n          description: {}\n",
                json!(expr),
                json!(summary),
                json!(format!("{} {}", rule.measures, rule.advice)),
            );
        }
    }
    text
}

fn labels(rule: &Rule) -> &'static str {
    match rule.about {
        About::Source => " of {{ $labels.instance }}: {{ $value }}",
        About::Class => " of {{ $labels.catalog }}, {{ $labels.class }} at {{ $labels.edge }}: {{ $value }}",
        About::Edge => " of {{ $labels.catalog }} at {{ $labels.edge }}: {{ $value }}",
    }
}

fn camel(id: &str) -> String {
    let capital =
        |word: &str| word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default();
    id.split('-').map(capital).collect()
}

/// Returns the dashboard: a plot for each rule, with its thresholds.
fn grafana() -> String {
    let panels: Vec<Value> = RULES.iter().enumerate().map(|(at, rule)| panel(at, rule)).collect();
    let variable = |name: &str, label: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": { "type": "prometheus", "uid": "${source}" },
            "query": format!("label_values(newsreel_reads_total, {name})"), "includeAll": true, "multi": true, "refresh": 2,
        })
    };
    let source =
        json!({ "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus" });
    let dashboard = json!({
        "title": "Newsreel",
        "uid": "newsreel",
        "tags": ["newsreel"],
        "schemaVersion": 39,
        "time": { "from": "now-6h", "to": "now" },
        "refresh": "30s",
        "templating": { "list": [source, variable("catalog", "Catalog"), variable("edge", "Edge"), variable("class", "Class")] },
        "panels": panels,
    });
    serde_json::to_string_pretty(&dashboard).expect("a value is JSON") + "\n"
}

fn panel(at: usize, rule: &Rule) -> Value {
    let legend = match rule.about {
        About::Source => "{{instance}}",
        About::Class => "{{catalog}} {{class}} {{edge}}",
        About::Edge => "{{catalog}} {{edge}}",
    };
    let unit = match rule.unit {
        Unit::Share => "percentunit",
        Unit::Millis => "ms",
        Unit::Items => "short",
    };
    let steps = match rule.worse {
        Worse::Above => json!([
            { "color": "green", "value": null }, { "color": "yellow", "value": rule.warning }, { "color": "red", "value": rule.critical },
        ]),
        Worse::Below => json!([
            { "color": "red", "value": null }, { "color": "yellow", "value": rule.critical }, { "color": "green", "value": rule.warning },
        ]),
    };
    json!({
        "id": at + 1,
        "type": "timeseries",
        "title": rule.id,
        "description": format!("{} {}", rule.measures, rule.advice),
        "datasource": { "type": "prometheus", "uid": "${source}" },
        "gridPos": { "h": 8, "w": 12, "x": at % 2 * 12, "y": at / 2 * 8 },
        "targets": [{ "refId": "A", "expr": filtered(rule), "legendFormat": legend }],
        "fieldConfig": {
            "defaults": { "unit": unit, "thresholds": { "mode": "absolute", "steps": steps }, "custom": { "thresholdsStyle": { "mode": "line" } } },
            "overrides": [],
        },
    })
}

/// Returns the query of a rule for what the dashboard's lists have selected.
fn filtered(rule: &Rule) -> String {
    let query = query(rule);
    if rule.id == "source-late" {
        return query;
    }
    let class = if rule.about == About::Class { r#",class=~"$class""# } else { "" };
    let selected = format!(r#"catalog=~"$catalog",edge=~"$edge"{class}"#);
    let mut out = String::new();
    let mut rest = query.as_str();
    while let Some(at) = rest.find("newsreel_") {
        let name = rest[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(rest.len(), |end| at + end);
        let (head, tail) = rest.split_at(name);
        out.push_str(head);
        match tail.strip_prefix('{') {
            Some(tail) => {
                let _ = write!(out, "{{{selected},");
                rest = tail;
            }
            None => {
                let _ = write!(out, "{{{selected}}}");
                rest = tail;
            }
        }
    }
    out + rest
}

#[test]
fn the_rules_in_the_documents_are_up_to_date() {
    check("docs/alerts.md", &[("rules", rules())]);
    check_file("docs/prometheus-rules.yml", &prometheus());
    check_file("docs/grafana-dashboard.json", &grafana());
}

#[test]
fn a_query_is_narrowed_to_what_is_selected() {
    let kv = Rule::named("kv-todo").unwrap();
    assert_eq!(
        filtered(kv),
        r#"max by (catalog, edge) (newsreel_kv_todo{catalog=~"$catalog",edge=~"$edge"})"#
    );
    let hit = filtered(Rule::named("hit-rate").unwrap());
    assert!(
        hit.contains(
            r#"newsreel_tier_total{catalog=~"$catalog",edge=~"$edge",class=~"$class",outcome="hit""#
        ),
        "{hit}"
    );
    assert!(
        hit.contains(r#"newsreel_reads_total{catalog=~"$catalog",edge=~"$edge",class=~"$class"}[300s]"#),
        "{hit}"
    );
}
