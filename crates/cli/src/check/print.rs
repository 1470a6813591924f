//! The promises of the classes, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use newsreel_core::read::cache::Freshness;
use newsreel_core::read::policy::{
    Age, Cause, OnInvalidate, OnUnprovable, OriginCacheControl, Policies, Policy,
};
use serde_json::{Value, json};

/// The columns of the table: the class, and each field of its policy.
const HEAD: [&str; 9] =
    ["class", "ttl", "stale", "bound", "beyond", "on_bump", "quorum", "origin_cache_control", "origin_vary"];

/// Returns the table of the classes, and for each the oldest that an answer can be.
pub(super) fn table(policies: &Policies) -> String {
    let rows: Vec<_> = [HEAD.map(str::to_owned)]
        .into_iter()
        .chain(policies.classes().map(|(class, policy)| row(class, policy, policies.origin_vary(class))))
        .collect();
    let mut text = aligned(&rows);
    let _ = writeln!(text, "\nThe oldest that an answer can be, and why:");
    let width = policies.classes().map(|(class, _)| class.chars().count()).max().unwrap_or_default();
    for (class, policy) in policies.classes() {
        for (nth, age) in policy.ages().iter().enumerate() {
            let class = if nth == 0 { class } else { "" };
            let _ = writeln!(text, "{class:width$}  {:58} {}", sum(age), cause(age.cause));
        }
    }
    text
}

/// Returns the same for programs.
pub(super) fn json(policies: &Policies) -> Value {
    let classes = policies.classes().map(|(class, policy)| {
        json!({
            "class": class,
            "ttl_ms": millis(policy.ttl),
            "stale_for_ms": millis(policy.stale_for),
            "lag_bound_ms": millis(policy.lag_bound),
            "beyond_bound": beyond(policy.beyond_bound),
            "on_bump": on_bump_word(policy.on_bump),
            "quorum": policy.quorum,
            "origin_cache_control": policy.origin_cache_control,
            "origin_vary": policies.origin_vary(class),
            "ages": policy.ages().iter().map(age_json).collect::<Vec<_>>(),
        })
    });
    classes.collect()
}

fn age_json(age: &Age) -> Value {
    let parts = age.parts.iter().map(|part| json!({ "name": part.name, "ms": millis(part.time) }));
    let cause = match age.cause {
        Cause::Published => "published",
        Cause::Unproved => "unproved",
        Cause::Unpublished => "unpublished",
        Cause::Revalidating => "revalidating",
        Cause::OriginDown => "origin-down",
    };
    json!({
        "cause": cause,
        "marked": age.marked.map(marked),
        "status": age.marked.map_or_else(|| refusal(age.cause), |_| 200),
        "total_ms": age.marked.map(|_| millis(age.total())),
        "parts": parts.collect::<Vec<_>>(),
    })
}

fn row(class: &str, policy: &Policy, origin_vary: &[String]) -> [String; HEAD.len()] {
    // Without `..`, so that a new field does not compile until the table shows it.
    let Policy { ttl, stale_for, lag_bound, beyond_bound, on_bump, quorum, origin_cache_control } = *policy;
    [
        class.to_owned(),
        spoken(ttl),
        spoken(stale_for),
        if lag_bound.is_zero() { "0 (asks)".to_owned() } else { spoken(lag_bound) },
        beyond(beyond_bound).to_owned(),
        on_bump_word(on_bump).to_owned(),
        if quorum { "yes" } else { "no" }.to_owned(),
        match origin_cache_control {
            OriginCacheControl::Respect => "respect",
            OriginCacheControl::Ignore => "ignore",
        }
        .to_owned(),
        if origin_vary.is_empty() { "none".to_owned() } else { origin_vary.join(",") },
    ]
}

/// Writes an age as a sum: `fresh: ≤ 2 s = 1 s proof + 1 s way`.
fn sum(age: &Age) -> String {
    let Some(how) = age.marked else { return format!("{}: no older answer", refusal(age.cause)) };
    let parts: Vec<String> =
        age.parts.iter().map(|part| format!("{} {}", spoken(part.time), part.name)).collect();
    format!("{}: ≤ {} = {}", marked(how), spoken(age.total()), parts.join(" + "))
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Published => "a published change",
        Cause::Unproved => "a published change, while the bound cannot be proved",
        Cause::Unpublished => "a change that was never published",
        Cause::Revalidating => "the same or a soft one, while the value is fetched behind the answer",
        Cause::OriginDown => "a published change, while the origin is down; never across a remove",
    }
}

/// Returns the status of a read that fails where others get something old.
fn refusal(cause: Cause) -> u16 {
    if cause == Cause::OriginDown { 502 } else { 503 }
}

fn marked(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Fresh => "fresh",
        Freshness::Revalidating => "revalidating",
        Freshness::Stale => "stale",
    }
}

fn beyond(beyond: OnUnprovable) -> &'static str {
    match beyond {
        OnUnprovable::Stale => "stale",
        OnUnprovable::Fail => "fail",
    }
}

fn on_bump_word(on_bump: OnInvalidate) -> &'static str {
    match on_bump {
        OnInvalidate::Delete => "delete",
        OnInvalidate::Refresh => "refresh",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes a time in the largest unit that it is a whole number of; days from three on.
fn spoken(time: Duration) -> String {
    let millis = millis(time);
    let units = [
        (3 * 86_400_000, 86_400_000, "d"),
        (3_600_000, 3_600_000, "h"),
        (60_000, 60_000, "min"),
        (0, 1_000, "s"),
    ];
    let unit = units.iter().find(|(from, size, _)| millis >= *from && millis.is_multiple_of(*size));
    unit.map_or_else(|| format!("{millis} ms"), |(_, size, name)| format!("{} {name}", millis / size))
}

fn aligned(rows: &[[String; HEAD.len()]]) -> String {
    let mut widths = [0; HEAD.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; HEAD.len()]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_shown_with_the_sum_of_its_worst_age() {
        let text = table(&Policies::default());
        for line in [
            "class         ttl    stale   bound     beyond  on_bump  quorum  origin_cache_control  origin_vary\n",
            "availability  12 h   24 h    2 s       stale   delete   no      respect               none\n",
            "live          5 s    10 s    0 (asks)  fail    delete   no      respect               none\n",
            "other         7 d    7 d     2 s       stale   delete   no      respect               none\n",
            "\navailability  fresh: ≤ 2 s = 1 s proof + 1 s way ",
            "\n              stale: ≤ 36 h = 12 h ttl + 24 h stale time ",
            "\n              revalidating: ≤ 36 h = 12 h ttl + 24 h stale time ",
            "\nlive          fresh: ≤ 0 s = 0 s asked ",
            "\n              503: no older answer ",
            "\nembedding     fresh: ≤ 1 min = 30 s proof + 30 s way ",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
    }

    #[test]
    fn the_table_shows_what_an_origin_may_say() {
        let json = r#"{"fare":{"origin_cache_control":"ignore","origin_vary":["Origin","Accept"]}}"#;
        let text = table(&Policies::from_json(json).unwrap());
        let line = text.lines().find(|line| line.starts_with("fare ")).unwrap();
        assert!(line.ends_with("  ignore                Origin,Accept"), "{line}");
    }

    #[test]
    fn a_time_is_written_in_its_largest_unit() {
        let spoken = |millis| spoken(Duration::from_millis(millis));
        for (millis, text) in [
            (0, "0 s"),
            (250, "250 ms"),
            (1_000, "1 s"),
            (1_500, "1500 ms"),
            (90_000, "90 s"),
            (300_000, "5 min"),
        ] {
            assert_eq!(spoken(millis), text);
        }
        assert_eq!((spoken(172_800_000), spoken(604_800_000)), ("48 h".to_owned(), "7 d".to_owned()));
    }

    #[test]
    fn a_program_gets_the_same_in_milliseconds() {
        let classes = json(&Policies::default());
        let live = classes.as_array().unwrap().iter().find(|class| class["class"] == "live").unwrap();
        assert_eq!(live["lag_bound_ms"], 0);
        assert_eq!(
            live["ages"][1],
            json!({"cause":"unproved","marked":null,"status":503,"total_ms":null,"parts":[]})
        );
        assert_eq!(
            live["ages"][3],
            json!({"cause":"revalidating","marked":"revalidating","status":200,"total_ms":15_000,"parts":[
                {"name":"ttl","ms":5_000},{"name":"stale time","ms":10_000}]})
        );
    }
}
