//! Messages as people have them, and what they publish.

use super::*;
use crate::Mapping;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const EVENTS: &str = r#"
    [[map]]
    from = "catalog:*"
    key = "title:{titleId}"
    tags = ["platform:{platforms[]}"]
    when = { type = ["TITLE_UPDATED", "TITLE_ADDED"] }
    removed_when = { type = ["TITLE_REMOVED"] }
"#;

fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn entry(fields: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| field(name, value)).collect()
}

fn published(rules: &str, from: &str, message: &Message<'_>) -> Result<(String, Outcome), MessageError> {
    let (mut skips, mut changes) = (Skips::default(), Vec::new());
    let mapping = Mapping::parse(rules).unwrap();
    let outcome = mapping.message(from, message, &mut skips, &mut |change| changes.push(change));
    assert!(outcome.is_ok() || changes.is_empty(), "a message is mapped as a whole or not at all");
    Ok((serde_json::to_string(&changes).unwrap(), outcome?))
}

#[track_caller]
fn expect(rules: &str, from: &str, message: &Message<'_>, changes: &str) -> Outcome {
    let (published, outcome) = published(rules, from, message).unwrap();
    assert_eq!(published, changes);
    outcome
}

#[track_caller]
fn refused(rules: &str, from: &str, message: &Message<'_>, kind: &str, why: &str) {
    let error = published(rules, from, message).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, why));
}

#[test]
fn an_event_of_a_channel_is_a_row() {
    let body = br#"{"type":"TITLE_UPDATED","titleId":"12345","version":47,"platforms":["netflix","hulu"]}"#;
    let update = r#"[{"key":"title:12345","tags":["platform:netflix","platform:hulu"]}]"#;
    let outcome = expect(EVENTS, "catalog:netflix", &Message::of_body(body), update);
    assert_eq!(outcome, Outcome { rows: 1, left_out: 0, ..Outcome::default() });
    let removed = Message::of_body(br#"{"type":"TITLE_REMOVED","titleId":7}"#);
    expect(EVENTS, "catalog:hulu", &removed, r#"[{"key":"title:7","op":"remove"}]"#);
    let other = Message::of_body(br#"{"type":"USER_JOINED","titleId":7}"#);
    assert_eq!(expect(EVENTS, "catalog:hulu", &other, "[]").left_out, 1);
}

#[test]
fn what_fits_no_rule_says_why() {
    let of = Message::of_body;
    let event = of(br#"{"type":"TITLE_UPDATED","titleId":"1"}"#);
    refused(EVENTS, "users", &event, "no-rule", r#"no [[map]] has a from for "users""#);
    let unnamed = r#"catalog:*: "title:{titleId}" names nothing, because titleId is not known"#;
    refused(EVENTS, "catalog:a", &of(br#"{"type":"TITLE_UPDATED"}"#), "unnamed", unnamed);
    let null = r#"catalog:*: "title:{titleId}" names nothing, because titleId is null"#;
    refused(EVENTS, "catalog:a", &of(br#"{"type":"TITLE_UPDATED","titleId":null}"#), "unnamed", null);
    let untyped = "type is not known, and `when` asks for it";
    refused(EVENTS, "catalog:a", &of(br#"{"titleId":"1"}"#), "form", untyped);
    let cut = "the message is no JSON: EOF while parsing a value at line 1 column 8";
    refused(EVENTS, "catalog:a", &of(br#"{"type":"#), "not-json", cut);
    refused(EVENTS, "catalog:a", &of(b"{\"a\":\xff}"), "not-text", "byte 5 of the message is not UTF-8");
    refused(EVENTS, "catalog:a", &of(b"7"), "form", "a row is a JSON object; this is a number");
    refused(EVENTS, "catalog:a", &of(b"[{},7]"), "form", untyped);
}

#[test]
fn a_message_with_one_wrong_row_publishes_nothing() {
    let rules = "[[map]]\nfrom = \"s\"\nkey = \"title:{id}\"\n";
    let two = Message::of_body(br#"[{"id":1},{"id":2}]"#);
    assert_eq!(expect(rules, "s", &two, r#"[{"key":"title:1"},{"key":"title:2"}]"#).rows, 2);
    let why = r#"s: "title:{id}" names nothing, because id is not known"#;
    refused(rules, "s", &Message::of_body(br#"[{"id":1},{"no":2}]"#), "unnamed", why);
}

#[test]
fn rows_are_a_list_within_a_message_and_know_what_is_around_them() {
    let rules = r#"
        [[map]]
        from = "s"
        rows = "/event/items"
        key = "title:{$message.platform}:{id}"
        when = { "$message.event.kind" = ["changed", 7], live = true }
    "#;
    let body = br#"{"platform":"hulu","event":{"kind":"changed","items":[{"id":1,"live":true},{"id":2,"live":false}]}}"#;
    let outcome = expect(rules, "s", &Message::of_body(body), r#"[{"key":"title:hulu:1"}]"#);
    assert_eq!((outcome.rows, outcome.left_out), (1, 1));
    let entry = entry(&[("platform", "hulu"), ("event", r#"{"kind":7,"items":[{"id":3,"live":true}]}"#)]);
    // The texts of an entry are reached into where `rows` leads, and are texts elsewhere.
    expect(rules, "s", &Message::of_entry(&entry), r#"[{"key":"title:hulu:3"}]"#);
    let missing = r#""/event/items", the place of the rows, is missing"#;
    refused(rules, "s", &Message::of_body(br#"{"event":{}}"#), "form", missing);
    let no_list = r#""/event/items", the place of the rows, is no list"#;
    refused(rules, "s", &Message::of_body(br#"{"event":{"items":{}}}"#), "form", no_list);
    let no_row = "/event/items/0 is no object, so it is no row";
    refused(rules, "s", &Message::of_body(br#"{"event":{"items":[1]}}"#), "form", no_row);
}

#[test]
fn the_fields_of_an_entry_are_the_row_or_one_of_them_has_it() {
    let fields = entry(&[("type", "TITLE_ADDED"), ("titleId", "5"), ("platforms", r#"["a","b"]"#)]);
    let added = r#"[{"key":"title:5","tags":["platform:a","platform:b"]}]"#;
    expect(EVENTS, "catalog:x", &Message::of_entry(&fields), added);
    let text = entry(&[("type", "TITLE_ADDED"), ("titleId", r#"["5"]"#)]);
    expect(EVENTS, "catalog:x", &Message::of_entry(&text), r#"[{"key":"title:[\"5\"]"}]"#);
    let rules = EVENTS.to_owned() + "field = \"payload\"";
    let fields = entry(&[("trace", "t"), ("payload", r#"{"type":"TITLE_ADDED","titleId":5}"#)]);
    expect(&rules, "catalog:x", &Message::of_entry(&fields), r#"[{"key":"title:5"}]"#);
    refused(
        &rules,
        "catalog:x",
        &Message::of_entry(&entry(&[])),
        "no-field",
        r#"the entry has no field "payload""#,
    );
    let cut = entry(&[("payload", "{")]);
    let why = r#"the field "payload" is no JSON: EOF while parsing an object at line 1 column 1"#;
    refused(&rules, "catalog:x", &Message::of_entry(&cut), "not-json", why);
}

#[test]
fn two_rules_of_a_stream_share_it_by_when() {
    let rules = EVENTS.to_owned()
        + r#"
        [[map]]
        from = "catalog:*"
        also = [{ tag = "list:{list}" }]
        when = { type = "LIST_CHANGED" }
        [[map]]
        from = "catalog:x"
        field = "publish"
        format = "publish"
    "#;
    let list = Message::of_body(br#"{"type":"LIST_CHANGED","list":"top"}"#);
    expect(&rules, "catalog:y", &list, r#"[{"tag":"list:top"}]"#);
    let publish = entry(&[("publish", r#"{"prefix":"title:"}"#)]);
    expect(&rules, "catalog:x", &Message::of_entry(&publish), r#"[{"prefix":"title:"}]"#);
}

#[test]
fn a_publish_names_its_own_targets() {
    let rules = "[[map]]\nfrom = \"s\"\nformat = \"publish\"\n";
    let body = br#"{"changes":[{"key":"title:1","tags":["a"]},{"tag":"b"}],"idempotency_key":"x"}"#;
    let outcome =
        expect(rules, "s", &Message::of_body(body), r#"[{"key":"title:1","tags":["a"]},{"tag":"b"}]"#);
    assert_eq!(outcome.id.as_deref(), Some("x"));
    for (fields, changes) in [
        (entry(&[("key", "title:1")]), r#"[{"key":"title:1"}]"#),
        (entry(&[("key", "title:1"), ("tags", r#"["a"]"#)]), r#"[{"key":"title:1","tags":["a"]}]"#),
        (entry(&[("changes", r#"[{"all":true}]"#)]), r#"[{"all":true}]"#),
        (entry(&[("all", "true")]), r#"[{"all":true}]"#),
        (entry(&[("message", r#"{"tag":"x"}"#)]), r#"[{"tag":"x"}]"#),
    ] {
        expect(rules, "s", &Message::of_entry(&fields), changes);
    }
    let why = "no publish: changes[0]: only a key can be removed";
    refused(rules, "s", &Message::of_body(br#"{"tag":"x","op":"remove"}"#), "publish", why);
    let expecting = published(rules, "s", &Message::of_body(br#"{"tag":"x","expect":{"version":1}}"#));
    assert_eq!(expecting.unwrap_err().kind(), "form");
}

const CLOUD: &str = r#"
    [[map]]
    from = "s"
    format = "cloudevents"
    key = "title:{data.id}"
    when = { type = "title.updated" }
    removed_when = { type = "title.deleted" }
"#;

fn attributes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_cloud_event_is_the_same_in_every_mode() {
    let event =
        r#"{"specversion":"1.0","id":"e1","source":"/catalog","type":"title.updated","data":{"id":"5"}}"#;
    let beside = attributes(&[
        ("ce-specversion", "1.0"),
        ("Ce-Id", "e1"),
        ("ce-source", "/catalog"),
        ("ce-type", "title%2Eupdated"),
        ("content-type", "application/json; charset=utf-8"),
    ]);
    let encoded = event.replace(r#""data":{"id":"5"}"#, r#""data_base64":"eyJpZCI6IjUifQ==""#);
    let batch = format!("[{event}]");
    let fields = entry(&[
        ("ce_specversion", "1.0"),
        ("ce_id", "e1"),
        ("ce_source", "/catalog"),
        ("ce_type", "title.updated"),
        ("data", r#"{"id":"5"}"#),
    ]);
    let plain = entry(&[
        ("specversion", "1.0"),
        ("id", "e1"),
        ("source", "/catalog"),
        ("type", "title.updated"),
        ("data", r#"{"id":"5"}"#),
    ]);
    let single = entry(&[("event", event)]);
    for message in [
        Message::of_body(event.as_bytes()),
        Message::of_body(encoded.as_bytes()),
        Message::of_body(batch.as_bytes()).with_content_type(Some("application/cloudevents-batch+json")),
        Message::of_body(br#"{"id":"5"}"#)
            .with_attributes(&beside)
            .with_content_type(Some("application/json")),
        Message::of_entry(&fields),
        Message::of_entry(&plain),
        Message::of_entry(&single),
    ] {
        let outcome = expect(CLOUD, "s", &message, r#"[{"key":"title:5"}]"#);
        assert_eq!(outcome.id.as_deref(), Some("/catalog e1"));
    }
}

#[test]
fn a_batch_of_cloud_events_is_mapped_in_order() {
    let event = |kind: &str, id: u8| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"c","type":"{kind}","data":{{"id":{id}}}}}"#)
    };
    let events = [event("title.updated", 1), event("other", 2), event("title.deleted", 3)].join(",");
    let batch = format!("[{events}]");
    let changes = r#"[{"key":"title:1"},{"key":"title:3","op":"remove"}]"#;
    let outcome = expect(CLOUD, "s", &Message::of_body(batch.as_bytes()), changes);
    assert_eq!(outcome, Outcome { rows: 2, left_out: 1, ..Outcome::default() });
}

#[test]
fn the_trace_of_one_event_is_found_and_a_broken_one_is_no_reason_to_refuse_it() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (traceparent, found) in [(TRACE, TRACE.parse().ok()), ("00-x", None)] {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","source":"c","type":"title.updated","data":{{"id":1}},"traceparent":"{traceparent}"}}"#
        );
        let outcome = expect(CLOUD, "s", &Message::of_body(event.as_bytes()), r#"[{"key":"title:1"}]"#);
        assert_eq!(outcome.traceparent, found);
    }
}

#[test]
fn what_is_no_cloud_event_says_what_it_lacks() {
    for (body, why) in [
        ("{}", "no CloudEvent: there is no specversion"),
        (r#"{"specversion":"1.0","id":""}"#, "no CloudEvent: id is a text that is not empty"),
        (
            r#"{"specversion":"0.3","id":"1","source":"c","type":"t"}"#,
            "no CloudEvent: specversion \"0.3\" is not 1.0",
        ),
        ("[7,7]", "no CloudEvent: event 0 of the batch: an event is a JSON object"),
        (
            r#"{"specversion":"1.0","id":"1","source":"c","type":"t","data_base64":"*"}"#,
            "no CloudEvent: data_base64 is no base64",
        ),
    ] {
        refused(CLOUD, "s", &Message::of_body(body.as_bytes()), "cloudevent", why);
    }
}

const TABLES: &str = r#"
    [[map]]
    from = "public.titles"
    format = "debezium"
    key = "title:{id}"
    also = [{ tag = "owner:{owner}" }]
    truncate = { prefix = "title:" }
"#;

/// An envelope of a table; `before` and `after` are JSON.
fn envelope(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"op":"{op}","before":{before},"after":{after},"ts_ms":1,"source":{{"db":"shop","schema":"public","table":"titles"}}}}"#
    )
}

#[test]
fn an_envelope_of_debezium_is_the_change_of_a_row() {
    let (old, new) = (r#"{"id":1,"owner":"a"}"#, r#"{"id":1,"owner":"b"}"#);
    let update = r#"[{"key":"title:1"},{"tag":"owner:a"},{"tag":"owner:b"}]"#;
    for (op, before, after, changes) in [
        ("c", "null", new, r#"[{"key":"title:1"},{"tag":"owner:b"}]"#),
        ("r", "null", new, r#"[{"key":"title:1"},{"tag":"owner:b"}]"#),
        ("u", old, new, update),
        ("d", old, "null", r#"[{"key":"title:1","op":"remove"},{"tag":"owner:a"}]"#),
        ("t", "null", "null", r#"[{"prefix":"title:"}]"#),
        ("m", "null", "null", "[]"),
        // The update left the owner as it was, and PostgreSQL did not log it.
        (
            "u",
            old,
            r#"{"id":1,"owner":"__debezium_unavailable_value"}"#,
            r#"[{"key":"title:1"},{"tag":"owner:a"}]"#,
        ),
        // The old owner is not known.
        ("u", "null", new, r#"[{"key":"title:1"},{"tag":"owner:b"},{"all":true}]"#),
    ] {
        let body = envelope(op, before, after);
        expect(TABLES, "dbz", &Message::of_body(body.as_bytes()), changes);
        let with_schema = format!(r#"{{"schema":{{"type":"struct"}},"payload":{body}}}"#);
        expect(TABLES, "dbz", &Message::of_body(with_schema.as_bytes()), changes);
        let event =
            format!(r#"{{"specversion":"1.0","id":"1","source":"d","type":"t","data":{with_schema}}}"#);
        expect(TABLES, "dbz", &Message::of_body(event.as_bytes()), changes);
    }
}

#[test]
fn the_key_of_a_record_says_which_columns_stayed() {
    let rules = TABLES.replace("owner:{owner}", "owner:{id}");
    let update = envelope("u", "null", r#"{"id":1,"name":"n"}"#);
    let gone = envelope("d", "null", "null");
    for key in [r#"{"id":1}"#, r#"{"schema":{},"payload":{"id":1}}"#] {
        let compact = entry(&[(key, &update)]);
        expect(&rules, "dbz", &Message::of_entry(&compact), r#"[{"key":"title:1"},{"tag":"owner:1"}]"#);
        let extended = entry(&[("key", key), ("value", &gone)]);
        let removed = r#"[{"key":"title:1","op":"remove"},{"tag":"owner:1"}]"#;
        expect(&rules, "dbz", &Message::of_entry(&extended), removed);
        let tombstone = entry(&[("key", key), ("value", "default")]);
        expect(&rules, "dbz", &Message::of_entry(&tombstone), "[]");
    }
    // Another column is the record's key, so the title may have had another id.
    let moved = entry(&[(r#"{"uuid":"x"}"#, &envelope("u", "null", r#"{"id":1,"uuid":"x"}"#))]);
    let wide = r#"[{"key":"title:1"},{"tag":"owner:1"},{"all":true}]"#;
    expect(&rules, "dbz", &Message::of_entry(&moved), wide);
}

#[test]
fn messages_beside_the_rows_publish_nothing() {
    for body in
        ["", " ", "null", "default", r#"{"ts_ms":1}"#, r#"{"status":"BEGIN","id":"571","event_count":null}"#]
    {
        let outcome = expect(TABLES, "dbz", &Message::of_body(body.as_bytes()), "[]");
        assert_eq!(outcome, Outcome::default(), "{body}");
    }
    let tombstone = r#"{"schema":null,"payload":null}"#;
    expect(TABLES, "dbz", &Message::of_body(tombstone.as_bytes()), "[]");
}

#[test]
fn what_is_no_envelope_says_so() {
    let of_other = envelope("c", "null", r#"{"id":1}"#).replace("titles", "users");
    let why = r#"no [[map]] has a from for "public.users""#;
    refused(TABLES, "dbz", &Message::of_body(of_other.as_bytes()), "no-rule", why);
    for (body, why) in [
        (r#"{"id":1}"#.to_owned(), "there is no op"),
        (envelope("x", "null", "null"), "op is none of c, r, u, d, t and m"),
        (envelope("c", "null", "null"), "there is no row after the change: after is null"),
        (envelope("c", "null", "7"), "after is a number, and no row"),
        (r#"{"op":"d","before":{"id":1}}"#.to_owned(), "there is no source"),
    ] {
        let why = format!("no Debezium envelope: {why}");
        refused(TABLES, "dbz", &Message::of_body(body.as_bytes()), "debezium", &why);
    }
    let unnamed = envelope("c", "null", r#"{"owner":"x"}"#);
    assert_eq!(
        published(TABLES, "dbz", &Message::of_body(unnamed.as_bytes())).unwrap_err().kind(),
        "unnamed"
    );
}

#[test]
fn a_table_is_found_by_any_of_its_names_and_mongo_sends_texts() {
    let mongo = r#"{"op":"c","after":"{\"_id\":{\"$oid\":\"5f\"},\"id\":9}","source":{"db":"shop","collection":"titles"}}"#;
    for from in ["shop.titles", "titles"] {
        let rules =
            format!("[[map]]\nfrom = \"{from}\"\nformat = \"debezium\"\nkey = \"title:{{_id.$oid}}\"\n");
        expect(&rules, "x", &Message::of_body(mongo.as_bytes()), r#"[{"key":"title:5f"}]"#);
    }
    for from in ["public.titles", "shop.public.titles", "shop.titles", "titles", "server.*"] {
        let rules = format!("[[map]]\nfrom = \"{from}\"\nformat = \"debezium\"\nkey = \"title:{{id}}\"\n");
        let body = envelope("c", "null", r#"{"id":1}"#);
        expect(&rules, "server.public.titles", &Message::of_body(body.as_bytes()), r#"[{"key":"title:1"}]"#);
    }
    let rules = "[[map]]\nfrom = \"subtitles\"\nformat = \"debezium\"\nkey = \"title:{id}\"\n";
    let body = envelope("c", "null", r#"{"id":1}"#);
    assert_eq!(published(rules, "x", &Message::of_body(body.as_bytes())).unwrap_err().kind(), "no-rule");
}

#[test]
fn a_row_that_leaves_what_when_asks_for_is_gone() {
    let rules = "[[map]]\nfrom = \"titles\"\nformat = \"debezium\"\nkey = \"title:{id}\"\nwhen = { live = true }\n\
                 removed_when = { deleted = [true] }\n";
    let row = |live: bool, deleted: bool| format!(r#"{{"id":1,"live":{live},"deleted":{deleted}}}"#);
    let (live, draft, deleted) = (row(true, false), row(false, false), row(true, true));
    for (before, after, changes) in [
        (&live, &draft, r#"[{"key":"title:1","op":"remove"}]"#),
        (&draft, &live, r#"[{"key":"title:1"}]"#),
        (&draft, &draft, "[]"),
        (&live, &live, r#"[{"key":"title:1"}]"#),
        (&live, &deleted, r#"[{"key":"title:1","op":"remove"},{"key":"title:1","op":"remove"}]"#),
    ] {
        expect(rules, "x", &Message::of_body(envelope("u", before, after).as_bytes()), changes);
    }
    // A delete whose old row is not known whole is no reason to leave it out.
    let gone = envelope("d", r#"{"id":1}"#, "null");
    expect(rules, "x", &Message::of_body(gone.as_bytes()), r#"[{"key":"title:1","op":"remove"}]"#);
}

#[test]
fn what_may_have_been_missed_of_a_stream_is_what_its_rules_name() {
    let rules = EVENTS.to_owned() + "[[map]]\nfrom = \"lists\"\nkey = \"list:{id}\"\n";
    let wide = |rules: &str, from: &str| {
        let targets = Mapping::parse(rules).unwrap().wide_from(from);
        serde_json::to_string(&targets.into_iter().map(Change::of).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(wide(&rules, "catalog:netflix"), r#"[{"prefix":"title:"}]"#);
    assert_eq!(wide(&rules, "lists"), r#"[{"prefix":"list:"}]"#);
    assert_eq!(wide(&rules, "l*"), r#"[{"prefix":"list:"},{"prefix":"title:"}]"#);
    assert_eq!(wide(&rules, "users"), "[]");
    assert_eq!(wide("[[map]]\nfrom = \"s\"\nformat = \"publish\"\n", "s"), r#"[{"all":true}]"#);
    let widen = "[[map]]\nfrom = \"s\"\nformat = \"publish\"\nwiden = { prefix = \"title:\" }\n";
    assert_eq!(wide(widen, "s"), r#"[{"prefix":"title:"}]"#);
    assert_eq!(wide(TABLES, "dbz"), r#"[{"all":true}]"#);
}

#[test]
fn mistakes_of_a_form_have_their_place() {
    let file = "[[map]]\nfrom = \"s\"\nformat = \"json\"\nkey = \"a:{b}\"\nrows = \"items\"\nfield = \"\"\nwhen = { }\n\
                removed_when = { type = [], \"a.\" = 1.5 }\n[[map]]\nfrom = \"s\"\nformat = \"publish\"\nkey = \"a:{b}\"\n\
                [[map]]\nfrom = \"s\"\nformat = \"debezium\"\nrows = \"/a\"\nwhen = \"x\"\nkey = \"a:{b}\"\n";
    let mistakes = Mapping::parse(file).unwrap_err().to_string();
    let expected = [
        "3:10: there is no format \"json\": write \"row\", \"publish\", \"cloudevents\" or \"debezium\"",
        "5:8: rows is a JSON pointer to a list in the message: write rows = \"/items\"",
        "6:9: field is empty: write the name of the entry's field with the message",
        "7:8: when is a table of columns and their values: write when = { type = [\"TITLE_UPDATED\"] }",
        "8:25: removed_when holds for no value of type: write removed_when = { type = [\"TITLE_UPDATED\"] }",
        "8:29: \"a.\" is no column, such as type or \"event.type\": write the name of a column here",
        "8:36: a value of removed_when is a text, a whole number, true or false: write removed_when = { type = [\"TITLE_UPDATED\"] }",
        "12:7: a publish names its own targets: take key out, or write another format",
        "16:8: an envelope of Debezium has one row: take rows out",
        "17:8: when is a table of columns and their values: write when = { type = [\"TITLE_UPDATED\"] }",
    ];
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}
