//! The query of a call for series, and the sum of edges.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 10:00:07 on some day.
const NOW: UnixMillis = UnixMillis(1_793_527_207_000);

fn parsed(query: &str) -> SeriesQuery {
    SeriesQuery::parse(query).unwrap()
}

fn span(query: &str) -> (u64, usize) {
    let span = parsed(query).span(NOW).unwrap();
    (span.resolution.step_ms(), span.points())
}

#[test]
fn a_query_survives_its_text() {
    for query in
        ["", "edge=*", "edge=fra+%26co&from=5&to=9&step=60&names=reads%2Clag_ms&class=title", "step=600"]
    {
        assert_eq!(parsed(query).to_query(), query);
    }
    assert_eq!(
        parsed("edge=&from=&to=&step=&names=&class=&other=1"),
        SeriesQuery::default(),
        "empty is absent"
    );
}

#[test]
fn the_finest_resolution_that_reaches_back_is_the_default() {
    assert_eq!(span(""), (10_000, 361), "the last hour, with the step under way and the one that began it");
    let ago = |seconds: u64| NOW.0 - seconds * 1_000;
    assert_eq!(span(&format!("from={}", ago(86_400))), (60_000, 1_441));
    assert_eq!(span(&format!("from={}", ago(86_400 * 7))), (600_000, 1_009));
    assert_eq!(span(&format!("from={}&to={}", ago(7_200), ago(3_700))).0, 60_000);
    assert_eq!(span(&format!("from={}&step=600", ago(3_600))), (600_000, 7));
    assert_eq!(span(&format!("to={}", NOW.0 + 1_000_000)), (10_000, 361), "the future has no steps");
}

#[test]
fn a_wrong_query_says_what_is_wrong() {
    let long = "x".repeat(MAX_FOLLOWER_NAME_BYTES + 1);
    let many = vec!["reads"; MAX_NAMES + 1].join(",");
    for wrong in [
        "from=now",
        "from=-1",
        "to=1e3",
        "to=9007199254740992",
        "step=1",
        "step=010",
        "names=reads,",
        "names=Reads",
        "names=a%20b",
        &format!("names={many}"),
        &format!("edge={long}"),
        "edge=a%0Ab",
        "class=a%00",
    ] {
        assert_eq!(SeriesQuery::parse(wrong).unwrap_err().code(), "bad-request", "{wrong}");
    }
    for wrong in ["from=9&to=9", "from=9&to=8", "from=9007199254740991", "from=1&step=10", "from=1"] {
        assert_eq!(parsed(wrong).span(NOW).unwrap_err().code(), "bad-request", "{wrong}");
    }
}

#[test]
fn another_edge_is_asked_about_exactly_the_same_steps() {
    let query = parsed(&format!("edge=*&from={}&names=reads", NOW.0 - 100_000));
    let span = query.span(NOW).unwrap();
    let asked = query.asked_of("fra", &span);
    assert_eq!(asked.edge, EdgeChoice::One("fra".to_owned()));
    assert_eq!(
        asked.span(NOW.plus(Duration::from_secs(30))).unwrap(),
        span,
        "an edge asked later, or whose clock is ahead"
    );
    assert_eq!(asked.names, ["reads"]);
}

fn page(values: &[(&str, &str, Merge, &[Option<u64>])], counts: Vec<Option<Vec<u64>>>) -> SeriesPage {
    let series = values.iter().map(|(name, class, merge, values)| Series {
        name: (*name).to_owned(),
        class: Some((*class).to_owned()),
        unit: "count".to_owned(),
        merge: *merge,
        values: values.to_vec(),
    });
    let sums = counts.iter().map(|counts| counts.as_ref().map(|counts| counts.iter().sum())).collect();
    let lag = HistogramSeries {
        name: "lag_ms".to_owned(),
        class: Some("title".to_owned()),
        unit: "ms".to_owned(),
        bounds: vec![100],
        counts,
        sums,
    };
    SeriesPage {
        catalog: Catalog::new("tv").unwrap(),
        edge: Some("fra".to_owned()),
        step_ms: 10_000,
        from: UnixMillis(0),
        to: UnixMillis(30_000),
        points: 3,
        series: series.collect(),
        histograms: vec![lag],
        left_out: Vec::new(),
        clock: None,
        cost: None,
    }
}

#[test]
fn edges_add_up_and_an_edge_that_knows_nothing_takes_nothing_away() {
    let one = [
        ("reads", "title", Merge::Sum, &[Some(1), None, None][..]),
        ("lag_max_ms", "title", Merge::Greatest, &[Some(40), Some(3), None]),
    ];
    let other = [
        ("reads", "title", Merge::Sum, &[Some(2), Some(0), None][..]),
        ("lag_max_ms", "title", Merge::Greatest, &[Some(30), Some(7), None]),
        ("reads", "live", Merge::Sum, &[Some(5), None, None]),
    ];
    let mut sum = page(&one, vec![Some(vec![1, 2]), None, None]);
    sum.add(page(&other, vec![Some(vec![10, 20]), Some(vec![0, 4]), None]));
    let expected = [
        ("reads", "title", Merge::Sum, &[Some(3), Some(0), None][..]),
        ("lag_max_ms", "title", Merge::Greatest, &[Some(40), Some(7), None]),
        ("reads", "live", Merge::Sum, &[Some(5), None, None]),
    ];
    assert_eq!(sum, page(&expected, vec![Some(vec![11, 22]), Some(vec![0, 4]), None]));
}

#[test]
fn an_answer_is_read_as_it_is_written_and_marks_the_unknown_with_null() {
    let page = page(
        &[("reads", "title", Merge::Sum, &[Some(0), None, Some(3)])],
        vec![None, Some(vec![1, 0]), None],
    );
    let text = serde_json::to_string(&page).unwrap();
    assert!(
        text.contains(r#""values":[0,null,3]"#) && text.contains(r#""counts":[null,[1,0],null]"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<SeriesPage>(&text).unwrap(), page);
}
