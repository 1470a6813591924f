//! `newsreel trace`: the whole way of one change, from its rows to the edges that have applied it.

mod at_broker;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use newsreel_core::wire::{Traceparent, UnixMillis};
use serde_json::{Value, json};

use crate::broker::BrokerOptions;
use crate::exit::{Failure, print};
use crate::source::postgres::lsn::Lsn;
use crate::source::postgres::trace::{self, Line, TracedRow, TracedRows, Version};
use crate::source::watch::Applied;
use crate::utc::utc;

/// The examples that `newsreel trace --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel trace --lsn 16/B374D848
  newsreel trace --xid 4711 --state /var/lib/newsreel/edge.state
  newsreel trace --trace-id 4bf92f3577b34da6a3ce929d0e0e4736
  newsreel trace --version 46 --json
  newsreel trace --version 46 --catalog tv --token dev-admin";

/// The command's own flags.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["lsn", "xid", "published", "trace_id"]))]
pub(crate) struct TraceOptions {
    /// The change by a place in the log: that of its commit, or any before it and after the commit before, such as
    /// what `pg_current_wal_lsn()` gives after the commit.
    #[arg(long, env = "NEWSREEL_LSN", value_name = "LSN")]
    lsn: Option<Lsn>,
    /// The change by its transaction, as `pg_current_xact_id()` or `txid_current()` gives it.
    #[arg(long, env = "NEWSREEL_XID", value_name = "XID")]
    xid: Option<u64>,
    /// The change by the version that it became.
    #[arg(id = "published", long = "version", env = "NEWSREEL_VERSION", value_name = "VERSION")]
    version: Option<u64>,
    /// The change by the trace that it is part of: the 32 hex digits of the trace, or a whole `traceparent`. A transaction
    /// names it by `pg_logical_emit_message(true, 'traceparent', …)`.
    #[arg(long, env = "NEWSREEL_TRACE_ID", value_name = "ID", value_parser = trace_id)]
    trace_id: Option<String>,
    /// The replication slot of the source.
    #[arg(long, env = "NEWSREEL_SLOT", default_value = "newsreel", value_name = "NAME")]
    slot: String,
    /// The state file of the source, beside which it keeps its trace file [default: newsreel-SLOT.state].
    #[arg(long, env = "NEWSREEL_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// The change that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Lsn(Lsn),
    Xid(u64),
    Version(u64),
    Trace(String),
}

/// Why a change is not in the trace file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NotFound {
    #[error("the trace file has no version yet")]
    Empty,
    #[error(
        "the trace file has nothing that old: it begins with {begins}; --trace-mb of the source keeps more"
    )]
    Older { begins: String },
    #[error("nothing so new has been published: the trace file ends with {ends}")]
    Newer { ends: String },
    #[error(
        "the trace file has no transaction {xid}: it published nothing, is not published yet, or is older than what is \
         kept, from {begins} to {ends}; --trace-mb of the source keeps more"
    )]
    NoSuch { xid: u64, begins: String, ends: String },
    #[error(
        "the trace file has no change of the trace {id}, from {begins} to {ends}: a trace is kept if it is sampled"
    )]
    NoTrace { id: String, begins: String, ends: String },
}

/// The versions of a transaction, each with the first answer that says that it is applied.
type Way<'a> = Vec<(&'a Version, Option<&'a Applied>)>;

/// Prints the way of a change.
pub(crate) async fn run(options: &TraceOptions, at: BrokerOptions) -> Result<(), Failure> {
    let wanted = match options {
        TraceOptions { lsn: Some(lsn), .. } => Wanted::Lsn(*lsn),
        TraceOptions { xid: Some(xid), .. } => Wanted::Xid(*xid),
        TraceOptions { trace_id: Some(id), .. } => Wanted::Trace(id.clone()),
        TraceOptions { version, .. } => Wanted::Version(version.unwrap_or_default()),
    };
    let state = options.state.clone().unwrap_or_else(|| format!("newsreel-{}.state", options.slot).into());
    let path = trace::path(&state);
    let lines = trace::read(&path);
    let is_missing = matches!(&lines, Err(error) if error.kind() == io::ErrorKind::NotFound);
    if let (Wanted::Version(number), None, true) = (&wanted, &options.state, is_missing) {
        let way = at_broker::ask(*number, &at).await?;
        return if options.json { print(&format!("{}\n", way.as_json())) } else { print(&way.as_text()) };
    }
    let lines = lines.with_context(|| {
        format!(
            "no trace file {}: give --state or --slot of the source, which has to run with --trace-mb",
            path.display()
        )
    })?;
    let way = find(&lines, &wanted).map_err(anyhow::Error::from)?;
    if options.json { print(&format!("{}\n", as_json(&way))) } else { print(&as_text(&way)) }
}

/// Reads the id of a trace, alone or within a `traceparent`.
fn trace_id(text: &str) -> Result<String, String> {
    if let Ok(traceparent) = text.parse::<Traceparent>() {
        return Ok(traceparent.trace_id().to_owned());
    }
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase()).ok_or_else(|| "a trace id is 32 hex digits".to_owned())
}

fn find<'a>(lines: &'a [Line], wanted: &Wanted) -> Result<Way<'a>, NotFound> {
    let versions: Vec<&Version> = lines.iter().filter_map(version_of).collect();
    let (Some(first), Some(last)) = (versions.first(), versions.last()) else {
        return Err(NotFound::Empty);
    };
    let found = match *wanted {
        Wanted::Trace(ref id) => versions.iter().rev().find(|version| {
            version.publish.traceparent.as_ref().is_some_and(|traceparent| traceparent.trace_id() == id)
        }),
        Wanted::Version(number) => versions.iter().rev().find(|version| version.version == number),
        // The log has the lower half of what PostgreSQL's functions give.
        Wanted::Xid(xid) => versions
            .iter()
            .rev()
            .find(|version| version.xid == Some(xid) || version.xid == Some(xid & 0xffff_ffff)),
        Wanted::Lsn(lsn) if end(first) < lsn || is_of(first, lsn) => {
            versions.iter().find(|version| end(version) >= lsn)
        }
        Wanted::Lsn(_) => None,
    };
    let Some(found) = found else {
        let (begins, ends) = (place(first), place(last));
        return Err(match *wanted {
            Wanted::Trace(ref id) => NotFound::NoTrace { id: id.clone(), begins, ends },
            Wanted::Xid(xid) => NotFound::NoSuch { xid, begins, ends },
            Wanted::Version(number) if number < first.version => NotFound::Older { begins },
            Wanted::Lsn(lsn) if lsn <= end(first) => NotFound::Older { begins },
            Wanted::Version(_) | Wanted::Lsn(_) => NotFound::Newer { ends },
        });
    };
    let mut parts: Vec<&Version> = Vec::new();
    for version in versions.iter().copied() {
        let same =
            (version.xid, &version.lsn, version.committed_at) == (found.xid, &found.lsn, found.committed_at);
        // A version that was sent twice is there twice, and was durable the first time.
        if same && parts.iter().all(|part| part.position != version.position) {
            parts.push(version);
        }
    }
    Ok(parts.into_iter().map(|part| (part, applied(lines, part))).collect())
}

fn version_of(line: &Line) -> Option<&Version> {
    match line {
        Line::Version(version) => Some(version),
        Line::Applied(_) => None,
    }
}

/// Returns the place of a version's commit in the log, and its end as far as that is known.
fn span(version: &Version) -> (Lsn, Lsn) {
    let at =
        |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Lsn>().ok()).unwrap_or_default();
    let begin = at(&version.lsn);
    (begin, at(&version.end).max(begin))
}

fn end(version: &Version) -> Lsn {
    span(version).1
}

fn is_of(version: &Version, lsn: Lsn) -> bool {
    let (begin, end) = span(version);
    (begin..=end).contains(&lsn)
}

fn place(version: &Version) -> String {
    let lsn = version.lsn.as_deref().unwrap_or("unknown");
    format!("version {}, commit LSN {lsn} of {}", version.version, moment(version.committed_at))
}

/// Returns the first answer that says that a version is applied by all. A follower that has applied a later version has
/// applied those before.
fn applied<'a>(lines: &'a [Line], version: &Version) -> Option<&'a Applied> {
    let epoch = |position: &str| position.split(':').next().map(str::to_owned);
    lines.iter().find_map(|line| match line {
        Line::Applied(applied) => {
            let covers = applied.applied_version >= version.version
                && applied.followers.pending == 0
                && epoch(&applied.position) == epoch(&version.position);
            covers.then_some(applied)
        }
        Line::Version(_) => None,
    })
}

fn as_json(way: &Way<'_>) -> Value {
    let Some((first, _)) = way.first() else { return Value::Null };
    let versions: Vec<Value> = way
        .iter()
        .map(|(version, applied)| {
            json!({
                "version": version.version, "position": version.position,
                "changes": version.publish.changes, "idempotency_key": version.publish.idempotency_key,
                "traceparent": version.publish.traceparent,
                "broker_at": version.at, "durable_at": version.durable_at,
                "durable_ms": version.durable_at - version.committed_at,
                "applied": applied.map(|applied| json!({
                    "by_version": applied.applied_version, "at": applied.applied_at,
                    "ms": applied.applied_at - version.committed_at,
                    "followers": applied.followers.acked, "replicas": applied.applied, "offline": applied.offline,
                })),
            })
        })
        .collect();
    json!({
        "xid": first.xid, "lsn": first.lsn, "end": way.iter().find_map(|(version, _)| version.end.as_ref()), "committed_at": first.committed_at, "rows": first.rows,
        "versions": versions,
    })
}

fn as_text(way: &Way<'_>) -> String {
    let Some((first, _)) = way.first() else { return String::new() };
    let mut text = match first.xid {
        Some(xid) => format!("transaction  {xid}\n"),
        None => "transaction  none: a wide change of the source's own\n".to_owned(),
    };
    let Version { lsn, committed_at, .. } = first;
    let lsn = lsn.as_ref().map_or_else(String::new, |lsn| format!("  at LSN {lsn}"));
    let _ = writeln!(text, "committed    {}{lsn}", moment(*committed_at));
    if let Some(traceparent) = &first.publish.traceparent {
        let _ = writeln!(text, "trace        {traceparent}");
    }
    rows(&mut text, first.rows.as_ref());
    for (version, applied) in way {
        let Version { version: number, position, publish, at, durable_at, .. } = version;
        let _ = writeln!(text, "version      {number}  position {position}");
        for change in &publish.changes {
            let _ = writeln!(text, "  published  {change}");
        }
        let broker = moment(*at);
        let _ = writeln!(
            text,
            "  durable    {}  by the broker's clock {broker}",
            after(*committed_at, *durable_at)
        );
        let _ = writeln!(text, "  applied    {}", told(*committed_at, *number, *applied));
    }
    text
}

fn rows(text: &mut String, rows: Option<&TracedRows>) {
    let Some(TracedRows { tables, first }) = rows else { return };
    for TracedRow { table, change, columns, targets } in first {
        let targets: Vec<String> = targets.iter().map(Value::to_string).collect();
        let targets = if targets.is_empty() { "nothing".to_owned() } else { targets.join(" ") };
        let _ = writeln!(text, "  {table} {change} {columns}  gave {targets}");
    }
    for (table, counts) in tables {
        let counts = counts.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counts.map(|(change, count)| format!("{count} {change}")).collect();
        let _ = writeln!(text, "rows         {table}: {}", counts.join(", "));
    }
}

fn told(committed_at: i64, number: u64, applied: Option<&Applied>) -> String {
    let Some(applied) = applied else {
        return "not known: about one publish a second is asked after, and none since this one".to_owned();
    };
    let Applied { applied_version, applied_at, followers, .. } = applied;
    let at_most = if *applied_version == number { "" } else { "at most " };
    let of = if *applied_version == number {
        String::new()
    } else {
        format!(", told of version {applied_version}")
    };
    let names =
        if applied.applied.is_empty() { String::new() } else { format!(" ({})", applied.applied.join(", ")) };
    format!("{at_most}{}  by {} followers{names}{of}", after(committed_at, *applied_at), followers.acked)
}

fn after(committed_at: i64, at: i64) -> String {
    format!("{:>6} ms after the commit", at - committed_at)
}

fn moment(millis: i64) -> String {
    utc(UnixMillis(u64::try_from(millis).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64, xid: u32, lsn: u64, part: usize) -> Line {
        let line = json!({
            "xid": xid, "lsn": Lsn(lsn).to_string(), "end": Lsn(lsn + 8).to_string(), "committed_at": 934 + xid,
            "part": part, "version": number, "position": format!("E:{number}:x"), "at": 1_005, "durable_at": 1_010,
            "rows": {"tables": {"public.t": {"insert": 1, "update": 0}},
                "first": [{"table": "public.t", "change": "insert", "columns": {"id": 1}, "targets": [{"key": "t:1"}]}]},
            "publish": {"changes": [{"key": "t:1"}], "idempotency_key": "k"},
        });
        serde_json::from_value(line).unwrap()
    }

    fn applied(number: u64, pending: u64) -> Line {
        let line = json!({
            "applied_version": number, "position": format!("E:{number}:x"), "applied_at": 1_020, "applied": ["edge-a"],
            "pending": [], "offline": [], "followers": {"acked": 1, "pending": pending},
        });
        serde_json::from_value(line).unwrap()
    }

    fn numbers(found: Result<Way<'_>, NotFound>) -> Vec<(u64, Option<u64>)> {
        let way = found.unwrap();
        way.iter()
            .map(|(version, applied)| (version.version, applied.map(|applied| applied.applied_version)))
            .collect()
    }

    #[test]
    fn a_change_is_found_by_each_of_its_names() {
        let lines = [
            version(4, 70, 0x100, 0),
            version(5, 71, 0x200, 0),
            version(6, 71, 0x200, 0),
            applied(5, 1),
            applied(6, 0),
        ];
        let find = |wanted| find(&lines, &wanted);
        assert_eq!(
            numbers(find(Wanted::Version(4))),
            [(4, Some(6))],
            "a pending follower has not applied it"
        );
        assert_eq!(numbers(find(Wanted::Xid(70 | 3 << 32))), [(4, Some(6))]);
        for lsn in [0x100, 0x108] {
            assert_eq!(numbers(find(Wanted::Lsn(Lsn(lsn)))), [(4, Some(6))]);
        }
        let both = [(5, Some(6)), (6, Some(6))];
        assert_eq!(numbers(find(Wanted::Lsn(Lsn(0x109)))), both, "what follows the commit before");
    }

    #[test]
    fn a_change_is_found_by_its_trace_alone_or_within_a_traceparent() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut traced = version(5, 71, 0x200, 0);
        if let Line::Version(version) = &mut traced {
            version.publish.traceparent = TRACE.parse().ok();
        }
        let lines = [version(4, 70, 0x100, 0), traced];
        for text in [TRACE, "4BF92F3577B34DA6A3CE929D0E0E4736"] {
            let way = find(&lines, &Wanted::Trace(trace_id(text).unwrap()));
            assert!(as_text(way.as_ref().unwrap()).contains(&format!("\ntrace        {TRACE}\n")));
            assert_eq!(numbers(way), [(5, None)]);
        }
        assert!(trace_id("4bf9").is_err());
        let other = find(&lines, &Wanted::Trace("0".repeat(32))).unwrap_err();
        assert!(matches!(other, NotFound::NoTrace { .. }), "{other}");
    }

    #[test]
    fn a_change_that_is_not_kept_says_so() {
        let lines = [version(4, 70, 0x100, 0), version(5, 71, 0x200, 0)];
        let find = |wanted| find(&lines, &wanted).unwrap_err();
        assert!(matches!(find(Wanted::Version(3)), NotFound::Older { .. }));
        assert!(matches!(find(Wanted::Version(6)), NotFound::Newer { .. }));
        assert!(matches!(find(Wanted::Lsn(Lsn(0xff))), NotFound::Older { .. }));
        assert!(matches!(find(Wanted::Lsn(Lsn(0x209))), NotFound::Newer { .. }));
        let why = find(Wanted::Xid(9)).to_string();
        assert!(why.contains("transaction 9") && why.contains("0/100") && why.contains("0/200"), "{why}");
        assert_eq!(super::find(&[], &Wanted::Xid(9)), Err(NotFound::Empty));
    }

    #[test]
    fn the_text_tells_the_whole_way() {
        let lines = [version(4, 70, 0x100, 0), applied(4, 0)];
        let text = as_text(&find(&lines, &Wanted::Version(4)).unwrap());
        let expected = "transaction  70
committed    1970-01-01T00:00:01.004Z  at LSN 0/100
  public.t insert {\"id\":1}  gave {\"key\":\"t:1\"}
rows         public.t: 1 insert
version      4  position E:4:x
  published  {\"key\":\"t:1\"}
  durable         6 ms after the commit  by the broker's clock 1970-01-01T00:00:01.005Z
  applied        16 ms after the commit  by 1 followers (edge-a)
";
        assert_eq!(text, expected);
    }
}
