//! The mapping file: TOML, read strictly, with every mistake told at once.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use newsreel_core::wire::{Catalog, Change, Target};
use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::DeTable;

use crate::feed::{self, Feed};
use crate::fields::{Fields, constant_target, template};
use crate::message::form::Form;
use crate::mistake::{Findings, Mistakes};
use crate::read::Read;
use crate::rule::{Also, RowChange, Rule};
use crate::skip::Skips;
use crate::template::Template;

const FILE_FIELDS: &[&str] = &["catalog", "wide_above", "map", "read", "hot", "feed"];
const READ_FIELDS: &[&str] = &["key", "sql", "content_type"];
const MAP_FIELDS: &[&str] = &[
    "from",
    "key",
    "tags",
    "only_if_changed",
    "also",
    "soft",
    "publish_moved_tags",
    "truncate",
    "widen",
    "format",
    "field",
    "rows",
    "when",
    "removed_when",
];
const ALSO_FIELDS: &[&str] = &["key", "tag", "prefix", "all"];
const ALSO: &str = "write also = [{ tag = \"title:{title_id}\" }]";

/// How many targets of one class are published apart, unless the file says so.
pub const WIDE_ABOVE: usize = 10_000;

/// What the rows of a source are called in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The catalog that is published to, if the file names one.
    pub catalog: Option<Catalog>,
    /// Above how many targets of one class one prefix is published.
    pub wide_above: usize,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// The statements that give the values of keys, in the order of the file.
    pub reads: Vec<Read>,
    /// The statement that lists the keys that are read most, with how often, the hottest first.
    pub hot: Option<String>,
    /// The addresses that are asked for changes, in the order of the file.
    pub feeds: Vec<Feed>,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// Every mistake of the file, each with its place and what to write.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut findings = Findings::about(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            findings.note(error.span().map_or(0, |span| span.start), format!("no TOML: {}", error.message()));
        }
        // The rest of a file that is no TOML would only give mistakes that its author did not make.
        let mapping = errors.is_empty().then(|| read(&document, &mut findings));
        findings.into_result(mapping)
    }

    /// Gives the tables without a schema this one.
    #[must_use]
    pub fn with_schema(mut self, schema: &str) -> Self {
        for rule in self.rules.iter_mut().filter(|rule| !rule.from.contains('.')) {
            rule.from = format!("{schema}.{}", rule.from);
        }
        self
    }

    /// Returns the rules about a table.
    pub fn rules_of<'a>(&'a self, from: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.from == from)
    }

    /// Hands the changes that a changed row of a table publishes to `publish`.
    pub fn apply(
        &self,
        from: &str,
        change: &RowChange<'_>,
        skips: &mut Skips,
        publish: &mut impl FnMut(Change),
    ) {
        self.rules_of(from).for_each(|rule| rule.apply(change, skips, publish));
    }

    /// Returns targets that cover every row that the mapping ever named.
    #[must_use]
    pub fn wide(&self) -> BTreeSet<Target> {
        let targets: BTreeSet<Target> = self.rules.iter().flat_map(Rule::wide).collect();
        if targets.contains(&Target::All) { BTreeSet::from([Target::All]) } else { targets }
    }

    /// Returns 16 hex digits that tell this mapping from any that publishes something else. Comments and
    /// spaces do not count.
    #[must_use]
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(format!("{:?}", (&self.catalog, self.wide_above, &self.rules)));
        hash.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn read(document: &Spanned<DeTable<'_>>, findings: &mut Findings<'_>) -> Mapping {
    let fields = Fields::of(document.get_ref(), document.span(), "the file", FILE_FIELDS, findings);
    let catalog = fields.text("catalog", findings).and_then(|text| {
        let catalog = Catalog::new(*text.get_ref());
        catalog.map_err(|why| findings.note_at(&text.span(), why.to_string())).ok()
    });
    let wide_above = fields.number("wide_above", findings).unwrap_or(WIDE_ABOVE);
    let maps = fields.tables("map", "[[map]] on a line of its own", findings);
    let reads = fields.tables("read", "[[read]] on a line of its own", findings);
    if fields.value("map").is_none() && fields.value("read").is_none() {
        findings.note(0, "the file maps nothing: write [[map]], then from = \"…\" and key = \"class:{id}\"");
    }
    let rules = maps.into_iter().filter_map(|(table, span)| {
        let fields = Fields::of(table, span, "[[map]]", MAP_FIELDS, findings);
        rule(&fields, findings)
    });
    let rules: Vec<Rule> = rules.collect();
    let feeds = read_feeds(&fields, findings);
    let reads = reads.into_iter().filter_map(|(table, span)| {
        let fields = Fields::of(table, span, "[[read]]", READ_FIELDS, findings);
        read_of_key(&fields, findings)
    });
    let reads = reads.collect();
    let hot = fields.text("hot", findings).map(|sql| (*sql.get_ref()).to_owned());
    Mapping { catalog, wide_above, rules, reads, hot, feeds }
}

fn read_feeds(fields: &Fields<'_>, findings: &mut Findings<'_>) -> Vec<Feed> {
    let tables = fields.tables("feed", "[[feed]] on a line of its own", findings);
    let maps = fields.tables("map", "", &mut Findings::about(""));
    let text = |table: &DeTable<'_>, field: &str| {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == field)?;
        Some(Spanned::new(value.span(), value.get_ref().as_str()?.to_owned()))
    };
    let mapped: BTreeSet<String> =
        maps.iter().filter_map(|(table, _)| text(table, "from").map(Spanned::into_inner)).collect();
    let mut names = BTreeSet::new();
    let feeds = tables.into_iter().filter_map(|(table, span)| {
        if let Some(name) = text(table, "name") {
            if !names.insert(name.get_ref().clone()) {
                findings.note_at(&name.span(), "there are two feeds of this name");
            } else if !mapped.contains(name.get_ref()) {
                let from = name.get_ref();
                let why = format!(
                    "nothing says what the rows of the feed are called: write [[map]], from = {from:?} and key = \"class:{{id}}\""
                );
                findings.note_at(&name.span(), why);
            }
        }
        feed::table::read(table, span, findings)
    });
    feeds.collect()
}

fn read_of_key(fields: &Fields<'_>, findings: &mut Findings<'_>) -> Option<Read> {
    const SQL: &str = "\"SELECT … WHERE id = $1\"";
    let key = fields.template("key", findings);
    if fields.value("key").is_none() {
        findings.note_at(fields.span(), "[[read]] has no key: write key = \"class:{id}\"");
    }
    if let (Some(key), Some(text)) = (&key, fields.text("key", findings)) {
        check_key(key, &text, findings);
        if !key.is_invertible() {
            let why = "a key that is read cannot be taken apart again: write its places without filters, and text between them";
            findings.note_at(&text.span(), why);
        }
    }
    let sql = fields.needed("sql", SQL, findings);
    if let Some(sql) = &sql
        && sql.get_ref().trim().is_empty()
    {
        findings.note_at(&sql.span(), format!("sql is empty: write sql = {SQL}"));
    }
    let content_type = fields.text("content_type", findings);
    if let Some(text) = &content_type
        && !text.get_ref().contains('/')
    {
        let why = "content_type is a media type: write content_type = \"application/octet-stream\"";
        findings.note_at(&text.span(), why);
    }
    let owned = |text: Spanned<&str>| (*text.get_ref()).to_owned();
    Some(Read { key: key?, sql: owned(sql?), content_type: content_type.map(owned) })
}

fn rule(fields: &Fields<'_>, findings: &mut Findings<'_>) -> Option<Rule> {
    let from = fields.needed("from", "\"public.titles\"", findings);
    if let Some(from) = &from
        && from.get_ref().trim().is_empty()
    {
        findings.note_at(&from.span(), "from is empty: write the table, such as \"public.titles\"");
    }
    let key = fields.template("key", findings);
    if let (Some(key), Some(text)) = (&key, fields.text("key", findings)) {
        check_key(key, &text, findings);
    }
    let form = Form::read(fields, findings);
    if fields.value("key").is_none() && fields.value("also").is_none() && !form.is_publish() {
        let why = "[[map]] names no target: write key = \"class:{id}\", or also = [ … ]";
        findings.note_at(fields.span(), why);
    }
    let tags = fields.texts("tags", findings);
    if let (Some(first), None) = (tags.first(), fields.value("key")) {
        findings.note_at(&first.span(), "tags are those of a key: write key, or use also");
    }
    let tags = tags.iter().filter_map(|text| template(text, findings)).collect();
    let also = fields.tables("also", "also = [{ tag = \"…\" }]", findings);
    let also = also.into_iter().filter_map(|(table, span)| {
        let fields = Fields::of(table, span, "also", ALSO_FIELDS, findings);
        read_also(&fields, table.len(), findings)
    });
    let also = also.collect();
    let constant = |field, findings: &mut Findings<'_>| {
        fields.value(field).and_then(|value| constant_target(field, value, findings))
    };
    let matter = fields.texts("only_if_changed", findings);
    let rule = Rule {
        key,
        tags,
        also,
        only_if_changed: matter.iter().map(|column| (*column.get_ref()).to_owned()).collect(),
        soft: fields.flag("soft", findings),
        publish_moved_tags: fields.flag("publish_moved_tags", findings),
        truncate: constant("truncate", findings).unwrap_or(Target::All),
        widen: constant("widen", findings),
        form,
        from: (*from?.get_ref()).to_owned(),
    };
    Some(rule)
}

/// Checks what can be known of a key without a row.
fn check_key(key: &Template, text: &Spanned<&str>, findings: &mut Findings<'_>) {
    if key.has_list() {
        let why = "a row has one key: take [] out, and name further keys with also = [{ key = \"…\" }]";
        findings.note_at(&text.span(), why);
    }
    let first = key.beginning();
    if first.starts_with(':') || (key.is_constant() && !first.contains(':')) || key.to_string().is_empty() {
        findings.note_at(&text.span(), "a key is class:id: write key = \"class:{id}\"");
    } else if !key.to_string().contains(':') {
        let why =
            format!("a key is class:id: write key = \"class:{key}\", unless the column has its own ':'");
        findings.note_at(&text.span(), why);
    }
}

fn read_also(fields: &Fields<'_>, count: usize, findings: &mut Findings<'_>) -> Option<Also> {
    if count != 1 {
        findings.note_at(fields.span(), format!("each of also names one target: {ALSO}"));
        return None;
    }
    if fields.value("all").is_some() {
        return fields.flag("all", findings).then_some(Also::All);
    }
    for kind in ["key", "tag", "prefix"] {
        if fields.value(kind).is_some() {
            return fields.template(kind, findings).map(|template| Also::Named(kind, template));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const EXAMPLE: &str = r#"
        catalog = "tv"
        [[map]]
        from = "public.titles"                       # a table
        key  = "title:{id}"
        tags = ["platform:{platforms[]}", "genre:{genres[] | slug}", "type:{kind | slug}"]
        only_if_changed = ["name", "platforms", "genres"]
        [[map]]
        from = "public.availability"
        key  = "availability:{platform}:{title_id}"
        also = [{ tag = "title:{title_id}" }]
        soft = false
        truncate = { prefix = "availability:" }
        widen = { all = true }
    "#;

    #[test]
    fn the_example_is_read() {
        let mapping = Mapping::parse(EXAMPLE).unwrap();
        assert_eq!((mapping.rules.len(), mapping.wide_above), (2, WIDE_ABOVE));
        let titles = mapping.rules_of("public.titles").next().unwrap();
        assert_eq!(
            titles.columns().into_iter().collect::<Vec<_>>(),
            ["genres", "id", "kind", "name", "platforms"]
        );
        assert_eq!(titles.old_columns().into_iter().collect::<Vec<_>>(), ["id"]);
        assert_eq!(format!("{:?}", titles.wide()), r#"{Prefix(Prefix("title:"))}"#);
        assert!(mapping.rules_of("public.availability").next().unwrap().is_widened());
        assert_eq!(mapping.wide(), BTreeSet::from([Target::All]));
        assert_eq!(
            mapping.digest(),
            "61ae85f136f7c353",
            "a source that was upgraded knows its mapping again"
        );
        let respaced = EXAMPLE.replace("# a table", "").replace("  key", "key");
        assert_eq!(Mapping::parse(&respaced).unwrap().digest(), mapping.digest());
        assert_ne!(Mapping::parse(&EXAMPLE.replace("title:", "film:")).unwrap().digest(), mapping.digest());
    }

    #[test]
    fn all_mistakes_are_told_at_once_each_with_its_place_and_what_to_write() {
        let file = r#"catalog = "TV"
wide_above = 0
[[map]]
form = "public.titles"
key = "title:{id"
tags = ["a:{x | upper}", 7]
soft = "no"
truncate = { prefix = "a:{id}" }
also = [{ tag = "x", key = "y:1" }, {}]
[[map]]
from = "t"
[[map]]
from = "u"
key = "{id}"
also = { tag = "x" }
widen = { all = false }
[[map]]
from = "v"
key = "a:{b[]}"
only_if_changed = "name"
"#;
        let mistakes = Mapping::parse(file).unwrap_err().to_string();
        let expected = [
            "1:11: a catalog is 1 to 64 of a-z, 0-9 and '-'",
            "2:14: wide_above is a whole number above 0",
            "3:1: [[map]] has no from: write from = \"public.titles\"",
            "4:1: there is no field \"form\": write \"from\"",
            "5:17: a { without its }: write {{ for the character itself",
            "6:17: there is no filter \"upper\": the filters are slug, lower and default:\"…\"",
            "6:26: tags takes texts in quotes; this one is of type integer",
            "7:8: soft is true or false, without quotes",
            "8:23: truncate stands for the whole table, so its target has no {places}",
            "9:9: each of also names one target: write also = [{ tag = \"title:{title_id}\" }]",
            "9:37: each of also names one target: write also = [{ tag = \"title:{title_id}\" }]",
            "10:1: [[map]] names no target: write key = \"class:{id}\", or also = [ … ]",
            "14:7: a key is class:id: write key = \"class:{id}\", unless the column has its own ':'",
            "15:8: also is a list: write also = [ … ]",
            "16:9: all is true or absent",
            "19:7: a row has one key: take [] out, and name further keys with also = [{ key = \"…\" }]",
            "20:19: only_if_changed is a list: write only_if_changed = [ … ]",
        ];
        assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_table_without_a_schema_is_given_one() {
        let text = "[[map]]\nfrom = \"titles\"\nkey = \"a:{b}\"\n[[map]]\nfrom = \"other.titles\"\nkey = \"b:{b}\"\n";
        let mapping = Mapping::parse(text).unwrap().with_schema("public");
        let names: Vec<_> = mapping.rules.iter().map(Rule::from).collect();
        assert_eq!(names, ["public.titles", "other.titles"]);
    }

    #[test]
    fn a_file_that_is_no_toml_says_so_everywhere() {
        let mistakes = Mapping::parse("catalog = tv\n[[map]\nfrom = \"a\"\n").unwrap_err();
        assert!(mistakes.0.len() >= 2, "{mistakes}");
        assert!(mistakes.0.iter().all(|mistake| mistake.text.starts_with("no TOML: ")), "{mistakes}");
        let empty = Mapping::parse("").unwrap_err().to_string();
        assert!(empty.starts_with("1:1: the file maps nothing: write [[map]]"), "{empty}");
    }
}
