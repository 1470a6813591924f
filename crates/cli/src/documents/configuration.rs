//! `docs/configuration.md`: the tables of variables, secrets, bindings and policies.

use std::time::Duration;

use newsreel_core::read::policy::{OTHER, OnInvalidate, OnUnprovable, OriginCacheControl, Policies};
use newsreel_core::variables::{AnyVariable, BINDINGS, BindingKind, Half, SECRETS, VARIABLES};

use super::{check, table};

fn half(half: Half) -> String {
    match half {
        Half::Broker => "broker",
        Half::Edge => "edge",
        Half::Both => "both",
    }
    .to_owned()
}

fn variables() -> String {
    let row = |variable: &&dyn AnyVariable| {
        [
            format!("`{}`", variable.name()),
            half(variable.half()),
            variable.expected(),
            variable.default_words(),
            variable.meaning().to_owned(),
        ]
    };
    table(["variable", "read by", "value", "default", "meaning"], VARIABLES.iter().map(row))
}

fn secrets() -> String {
    let row = |secret: &&dyn AnyVariable| {
        [format!("`{}`", secret.name()), half(secret.half()), secret.meaning().to_owned()]
    };
    table(["secret", "read by", "meaning"], SECRETS.iter().map(row))
}

fn bindings() -> String {
    let rows = BINDINGS.iter().map(|binding| {
        let kind = match binding.kind {
            BindingKind::DurableObjects { class } => format!("Durable Objects of the class `{class}`"),
            BindingKind::KvNamespace => "a KV namespace".to_owned(),
            BindingKind::R2Bucket => "an R2 bucket".to_owned(),
            BindingKind::AnalyticsDataset => "an Analytics Engine dataset".to_owned(),
            BindingKind::Queue => "a queue".to_owned(),
        };
        [format!("`{}`", binding.name), kind, binding.meaning.to_owned(), binding.without.to_owned()]
    });
    table(["binding", "of", "meaning", "required"], rows)
}

fn policies() -> String {
    let policies = Policies::default();
    let rows = policies.classes().map(|(class, policy)| {
        let millis = |time: Duration| time.as_millis().to_string();
        [
            if class == OTHER {
                format!("`{OTHER}`: every class without a name here")
            } else {
                format!("`{class}`")
            },
            millis(policy.ttl),
            millis(policy.stale_for),
            millis(policy.lag_bound),
            match policy.beyond_bound {
                OnUnprovable::Stale => "`stale`",
                OnUnprovable::Fail => "`fail`",
            }
            .to_owned(),
            match policy.on_bump {
                OnInvalidate::Delete => "`delete`",
                OnInvalidate::Refresh => "`refresh`",
            }
            .to_owned(),
            policy.quorum.to_string(),
            match policy.origin_cache_control {
                OriginCacheControl::Respect => "`respect`",
                OriginCacheControl::Ignore => "`ignore`",
            }
            .to_owned(),
        ]
    });
    table(
        [
            "class",
            "`ttl_ms`",
            "`stale_for_ms`",
            "`lag_bound_ms`",
            "`beyond_bound`",
            "`on_bump`",
            "`quorum`",
            "`origin_cache_control`",
        ],
        rows,
    )
}

#[test]
fn docs_configuration_is_up_to_date() {
    check(
        "docs/configuration.md",
        &[
            ("variables", variables()),
            ("secrets", secrets()),
            ("bindings", bindings()),
            ("policies", policies()),
        ],
    );
}
