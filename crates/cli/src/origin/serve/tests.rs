//! The origin over real HTTP on the loopback.

use reqwest::{Client, Response as Answer};

use super::*;

/// An origin of the catalog `tv`, and an HTTP client of it.
struct Story {
    _folder: tempfile::TempDir,
    store: Arc<Store>,
    http: Client,
    url: String,
}

impl Story {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog: Catalog = "tv".parse().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("o.db"), &catalog).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(Arc::clone(&store), catalog);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { _folder: folder, store, http, url }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_owned());
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
            .await
            .unwrap()
    }

    #[track_caller]
    fn expect_problem(status: u16, code: &str, answer: (u16, serde_json::Value)) {
        assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    }

    async fn problem(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, serde_json::Value) {
        let answer = self.send(method, path, headers, body).await;
        assert_eq!(header(&answer, "content-type"), MEDIA_TYPE, "{method} {path}");
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }
}

fn header(answer: &Answer, name: &str) -> String {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

#[tokio::test]
async fn a_value_comes_back_with_its_type_tags_and_entity_tag() {
    let story = Story::new().await;
    let at = "/tv/title%3Aa%2Fb%20%C3%BC";
    let put = story.send("PUT", at, &[("Cache-Tag", "x, y"), ("Content-Type", "text/plain")], "hello").await;
    assert_eq!(put.status(), 201);
    assert_eq!(put.text().await.unwrap(), r#"{"changes":1,"transaction":1}"#);
    for same in [at, "/tv/title:a/b%20ü"] {
        let got = story.send("GET", same, &[], "").await;
        assert_eq!(
            (header(&got, "cache-tag"), header(&got, "content-type")),
            ("x,y".into(), "text/plain".into())
        );
        assert_eq!(got.text().await.unwrap(), "hello");
    }
    let head = story.send("HEAD", at, &[], "").await;
    assert_eq!((header(&head, "content-length").as_str(), head.status().as_u16()), ("5", 200));
    assert_eq!(story.send("PUT", at, &[("Surrogate-Key", "z w")], "again").await.status(), 200);
    let got = story.send("GET", at, &[], "").await;
    assert_eq!(header(&got, "cache-tag"), "z,w");
    assert_eq!(header(&got, "content-type"), "application/octet-stream");
}

#[tokio::test]
async fn an_entity_tag_that_is_still_right_gets_304() {
    let story = Story::new().await;
    story.send("PUT", "/tv/a:1", &[("Cache-Tag", "x")], "hello").await;
    let etag = header(&story.send("GET", "/tv/a:1", &[], "").await, "etag");
    for given in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let answer = story.send("GET", "/tv/a:1", &[("If-None-Match", &given)], "").await;
        assert_eq!(answer.status(), 304, "{given}");
        assert_eq!((header(&answer, "etag"), header(&answer, "cache-tag")), (etag.clone(), "x".into()));
    }
    story.send("PUT", "/tv/a:1", &[("Cache-Tag", "y")], "hello").await;
    assert_eq!(story.send("GET", "/tv/a:1", &[("If-None-Match", &etag)], "").await.status(), 200);
}

#[tokio::test]
async fn what_was_removed_is_absent() {
    let story = Story::new().await;
    story.send("PUT", "/tv/a:1", &[], "hello").await;
    assert_eq!(story.send("DELETE", "/tv/a:1", &[], "").await.status(), 200);
    Story::expect_problem(404, "not-found", story.problem("DELETE", "/tv/a:1", &[], "").await);
    Story::expect_problem(404, "not-found", story.problem("GET", "/tv/a:1", &[], "").await);
    let health = story.send("GET", "/healthz", &[], "").await.text().await.unwrap();
    assert_eq!(health, r#"{"pending":2,"rejected":0,"status":"ok"}"#);
}

#[tokio::test]
async fn a_transaction_of_many_is_all_or_nothing() {
    let story = Story::new().await;
    let bad = "{\"key\":\"a:1\",\"value\":1}\n{\"key\":\"a\",\"value\":1}";
    let problem = story.problem("POST", "/tv", &[], bad).await;
    assert_eq!(problem.1["line"], 2);
    Story::expect_problem(400, "bad-key", problem);
    assert_eq!(story.send("GET", "/tv/a:1", &[], "").await.status(), 404);

    let good =
        "{\"key\":\"a:1\",\"value\":{\"n\":1.0},\"tags\":[\"x\"]}\n\n{\"key\":\"a:2\",\"text\":\"é\"}\n";
    let answer = story.send("POST", "/tv", &[], good).await.text().await.unwrap();
    assert_eq!(answer, r#"{"changes":2,"transaction":1}"#);
    assert_eq!(story.send("GET", "/tv/a:1", &[], "").await.text().await.unwrap(), r#"{"n":1.0}"#);
    let outgoing = story.store.next_outgoing().unwrap().unwrap();
    assert_eq!(outgoing.body, r#"{"changes":[{"key":"a:1","tags":["x"]},{"key":"a:2"}]}"#);
}

#[tokio::test]
async fn the_listing_comes_in_pages_in_the_order_of_the_keys() {
    let story = Story::new().await;
    let lines: String = (0..5).rev().map(|n| format!("{{\"key\":\"a:{n}\",\"value\":{n}}}\n")).collect();
    story.send("POST", "/tv", &[], &lines).await;
    let mut keys = Vec::new();
    while let page = story
        .send("GET", &format!("/tv?limit=2&after={}", keys.last().map_or("", String::as_str)), &[], "")
        .await
        .text()
        .await
        .unwrap()
        && !page.is_empty()
    {
        for line in page.lines() {
            let listed: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(listed["etag"].is_string() && listed["tags"].is_array());
            keys.push(listed["key"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(keys, ["a:0", "a:1", "a:2", "a:3", "a:4"]);
}

#[tokio::test]
async fn the_hot_list_has_what_is_read_most_and_then_the_rest_in_order() {
    let story = Story::new().await;
    let lines: String = (0..5).map(|n| format!("{{\"key\":\"a:{n}\",\"value\":{n}}}\n")).collect();
    story.send("POST", "/tv", &[], &lines).await;
    let hot = async |most: &str| {
        let answer = story.send("GET", &format!("/tv?hot={most}"), &[], "").await;
        assert_eq!(header(&answer, "content-type"), "application/x-ndjson");
        answer.text().await.unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |key: &str, reads| format!(r#"{{"key":"{key}","reads":{reads}}}"#);
    assert_eq!(hot("2").await, [line("a:0", 0), line("a:1", 0)]);
    for key in ["a:3", "a:2", "a:4", "a:2", "a:4", "a:1", "a:9"] {
        story.send("GET", &format!("/tv/{key}"), &[], "").await;
    }
    story.send("HEAD", "/tv/a:0", &[], "").await;
    assert_eq!(hot("3").await, [line("a:2", 2), line("a:4", 2), line("a:1", 1)]);
    story.send("DELETE", "/tv/a:4", &[], "").await;
    assert_eq!(hot("9").await, [line("a:2", 2), line("a:1", 1), line("a:3", 1), line("a:0", 0)]);
    assert_eq!(hot("0").await, [""; 0]);
    Story::expect_problem(400, "bad-request", story.problem("GET", "/tv?hot=x", &[], "").await);
}

#[tokio::test]
async fn bad_input_is_a_problem_and_leaves_nothing_behind() {
    let story = Story::new().await;
    let many_tags = vec!["x".repeat(255); 70]
        .iter()
        .enumerate()
        .map(|(n, tag)| format!("{n}{}", &tag[..250]))
        .collect::<Vec<_>>()
        .join(",");
    let large = "x".repeat(MAX_BODY_BYTES + 1);
    for (status, code, method, path, headers, body) in [
        (400, "bad-key", "GET", "/tv/title", &[][..], ""),
        (400, "bad-key", "PUT", "/tv/title:%FF", &[], "x"),
        (400, "bad-key", "PUT", "/tv/title:%0A", &[], "x"),
        (400, "bad-tag", "PUT", "/tv/a:1", &[("Cache-Tag", "é")], "x"),
        (400, "bad-tag", "PUT", "/tv/a:1", &[("Cache-Tag", many_tags.as_str())], "x"),
        (413, "body-too-large", "PUT", "/tv/a:1", &[], &large),
        (400, "bad-json", "POST", "/tv", &[], "{"),
        (400, "no-changes", "POST", "/tv", &[], ""),
        (400, "bad-request", "GET", "/tv?limit=x", &[], ""),
        (404, "unknown-path", "PUT", "/shop/a:1", &[], "x"),
        (404, "unknown-path", "GET", "/", &[], ""),
        (404, "unknown-path", "GET", "/tv/", &[], ""),
        (405, "method-not-allowed", "PATCH", "/tv/a:1", &[], ""),
        (405, "method-not-allowed", "DELETE", "/tv", &[], ""),
    ] {
        Story::expect_problem(status, code, story.problem(method, path, headers, body).await);
    }
    let wrong = story.send("PATCH", "/tv/a:1", &[], "").await;
    assert!(header(&wrong, "allow").contains("PUT"), "{wrong:?}");
    assert!(story.store.is_untouched().unwrap());
}

#[tokio::test]
async fn the_largest_value_is_taken() {
    let story = Story::new().await;
    let large = "x".repeat(MAX_BODY_BYTES);
    assert_eq!(story.send("PUT", "/tv/a:1", &[], &large).await.status(), 201);
    assert_eq!(story.send("GET", "/tv/a:1", &[], "").await.text().await.unwrap().len(), MAX_BODY_BYTES);
}
