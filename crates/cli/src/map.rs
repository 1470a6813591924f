//! `newsreel map`: checks a mapping file, and shows what a row or a message publishes by it.

mod message;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use newsreel_core::wire::Change;
use newsreel_mapping::{Batch, Feed, Limits, Mapping, Row, RowChange, Skips};
use serde_json::json;

use crate::exit::{Failure, note, print};
use crate::input;

/// The examples that `newsreel map check --help` prints last.
const CHECK_EXAMPLES: &str = "Examples:
  newsreel map check newsreel-map.toml";

/// The examples that `newsreel map try --help` prints last.
const TRY_EXAMPLES: &str = "Examples:
  echo '{\"id\":603,\"platforms\":[\"netflix\"]}' | newsreel map try newsreel-map.toml
  newsreel map try newsreel-map.toml --from public.titles --row new.json --old old.json
  newsreel map try newsreel-map.toml --from public.titles --op delete < row.json
  newsreel map try newsreel-map.toml --from catalog:netflix --message event.json
  newsreel map try newsreel-map.toml --from hook --message data.json --header ce-type=title.updated
  echo '{\"type\":\"TITLE_UPDATED\",\"titleId\":\"7\"}' | newsreel map try newsreel-map.toml --entry -";

/// The commands below `map`.
#[derive(clap::Subcommand)]
pub(crate) enum MapCommand {
    /// Check a mapping file. Reports every mistake at once, each with its line, its column and what to write;
    /// the exit code is 3 then.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckOptions),
    /// Print what a row or a message publishes: one publish a line, as JSON.
    ///
    /// What the row does not name, such as a tag of a null, is told on stderr. A message that is not mapped is told with
    /// the reason; the exit code is 3 then.
    #[command(after_long_help = TRY_EXAMPLES)]
    Try(TryOptions),
}

/// The flags of `map check`.
#[derive(clap::Args)]
pub(crate) struct CheckOptions {
    /// The mapping file.
    #[arg(env = "NEWSREEL_MAP", value_name = "FILE")]
    map: PathBuf,
}

/// The flags of `map try`.
#[derive(clap::Args)]
pub(crate) struct TryOptions {
    /// The mapping file.
    #[arg(env = "NEWSREEL_MAP", value_name = "FILE")]
    map: PathBuf,
    /// The table of the row, or where the message came from; needed if the file maps more than one.
    #[arg(long, env = "NEWSREEL_FROM", value_name = "NAME")]
    from: Option<String>,
    /// A file with the row as a JSON object; `-` reads stdin.
    #[arg(long, env = "NEWSREEL_ROW", value_name = "FILE", default_value = "-")]
    row: PathBuf,
    /// A file with the row before an update. Without it an update changed nothing that names the row.
    #[arg(long, env = "NEWSREEL_OLD", value_name = "FILE")]
    old: Option<PathBuf>,
    /// What happened to the row [default: update with --old, otherwise insert].
    #[arg(long, env = "NEWSREEL_ROW_OP", value_enum, conflicts_with = "old")]
    op: Option<RowOperation>,
    #[command(flatten)]
    message: message::MessageOptions,
}

/// What happens to a row.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RowOperation {
    /// The row was inserted.
    Insert,
    /// The row was updated.
    Update,
    /// The row was deleted.
    Delete,
    /// The table was truncated. Reads no row.
    Truncate,
}

/// Runs one of the commands.
pub(crate) fn run(command: MapCommand) -> Result<(), Failure> {
    match command {
        MapCommand::Check(options) => check(&options),
        MapCommand::Try(options) => try_row(&options),
    }
}

/// Reads a mapping file.
///
/// # Errors
/// Every mistake of the file, a line each.
pub(crate) fn mapping(path: &Path) -> Result<Mapping, Failure> {
    let wrong = |mistakes: newsreel_mapping::Mistakes| {
        let lines: String =
            mistakes.to_string().lines().map(|mistake| format!("\n  {}:{mistake}", path.display())).collect();
        Failure::Input(format!("{} is wrong:{lines}", path.display()))
    };
    Mapping::parse(&input::text(path)?).map_err(wrong)
}

/// Reads a mapping of the tables of a database: a table without a schema is one of `public`.
///
/// # Errors
/// As [`mapping`].
pub(crate) fn mapping_of_tables(path: &Path) -> Result<Mapping, Failure> {
    Ok(mapping(path)?.with_schema("public"))
}

fn check(options: &CheckOptions) -> Result<(), Failure> {
    let mapping = mapping(&options.map)?;
    let lines: String = mapping
        .rules
        .iter()
        .map(|rule| {
            let columns = |columns: std::collections::BTreeSet<&str>| match columns.len() {
                0 => "none".to_owned(),
                _ => columns.into_iter().collect::<Vec<_>>().join(", "),
            };
            let (all, old) = (columns(rule.columns()), columns(rule.old_columns()));
            let messages =
                rule.format().map_or_else(String::new, |format| format!(" in messages ({format})"));
            format!("{}{messages}: reads {all}; needs the old {old} of rows that change\n", rule.from())
        })
        .collect();
    let feed = |feed: &Feed| {
        let (kind, every) = (feed.kind.name(), feed.every);
        format!("feed {}: {kind}, asked every {every:?}: {}\n", feed.name, feed.url)
    };
    print(&(lines + &mapping.feeds.iter().map(feed).collect::<String>()))
}

fn try_row(options: &TryOptions) -> Result<(), Failure> {
    let mapping = mapping(&options.map)?;
    if options.message.is_given() {
        return message::try_message(&mapping, options.from.as_deref(), &options.message);
    }
    let from = table(&mapping, options)?;
    let operation = match (options.op, &options.old) {
        (Some(operation), _) => operation,
        (None, Some(_)) => RowOperation::Update,
        (None, None) => RowOperation::Insert,
    };
    let row = match operation {
        RowOperation::Truncate => Row::new(),
        RowOperation::Insert | RowOperation::Update | RowOperation::Delete => row(&options.row)?,
    };
    let old = options.old.as_deref().map(row_of).transpose()?;
    let change = match operation {
        RowOperation::Insert => RowChange::Insert { new: &row },
        RowOperation::Update => RowChange::Update { old: old.as_ref().unwrap_or(&row), new: &row },
        RowOperation::Delete => RowChange::Delete { old: &row },
        RowOperation::Truncate => RowChange::Truncate,
    };
    let mut skips = Skips::default();
    let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
    mapping.apply(&from, &change, &mut skips, &mut |change: Change| batch.add(change));
    show(batch, &mut skips, "row")
}

/// Prints the publishes, and what named nothing.
fn show(batch: Batch, skips: &mut Skips, what: &str) -> Result<(), Failure> {
    for skip in skips.take_new() {
        note!("map: {skip}");
    }
    if batch.is_empty() {
        note!("map: the {what} publishes nothing");
    }
    let publish = |changes: Vec<Change>| format!("{}\n", json!({ "changes": changes }));
    print(&batch.into_publishes().into_iter().map(|part| publish(part.changes)).collect::<String>())
}

/// Returns the table that the row is of.
fn table(mapping: &Mapping, options: &TryOptions) -> Result<String, Failure> {
    let mut tables: Vec<&str> = mapping.rules.iter().map(newsreel_mapping::Rule::from).collect();
    tables.dedup();
    match (&options.from, tables.as_slice()) {
        (Some(from), tables) if tables.contains(&from.as_str()) => Ok(from.clone()),
        (None, [only]) => Ok((*only).to_owned()),
        (from, tables) => {
            let which = from.as_ref().map_or_else(String::new, |from| format!(" and not {from:?}"));
            let tables = tables.join(", ");
            Err(Failure::Input(format!("the file maps {tables}{which}: give one of them with --from")))
        }
    }
}

fn row(path: &Path) -> Result<Row, Failure> {
    if path.as_os_str() == "-" && std::io::stdin().is_terminal() {
        note!("map: reading the row from the terminal: a JSON object, then Ctrl-D");
    }
    row_of(path)
}

fn row_of(path: &Path) -> Result<Row, Failure> {
    let text = input::text(path)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Input(format!("{}: a row is one JSON object: {error}", path.display())))
}
