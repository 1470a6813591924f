//! Reads one `[[feed]]` of a mapping file, and notes every mistake with its place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::duration::{DURATION, duration, percent};
use super::{
    Address, BodyFormat, CursorPlace, Feed, FeedKind, Identity, Next, Paging, Place, Pointer, TimeForm,
    Window,
};
use crate::fields::Fields;
use crate::mistake::Findings;

const FEED_FIELDS: &[&str] = &[
    "name",
    "kind",
    "url",
    "headers",
    "every",
    "jitter",
    "timeout",
    "max_mb",
    "format",
    "items",
    "error",
    "expired",
    "next",
    "pages",
    "first_page",
    "still",
    "overlap",
    "window",
    "reach",
    "time",
    "cursor",
    "last",
    "more",
    "start",
    "id",
    "stamp",
    "repeat",
];
/// The fields that one kind alone has.
const FIELDS_OF_KINDS: &[(&str, FeedKind)] = &[
    ("overlap", FeedKind::UpdatedSince),
    ("window", FeedKind::UpdatedSince),
    ("reach", FeedKind::UpdatedSince),
    ("time", FeedKind::UpdatedSince),
    ("repeat", FeedKind::UpdatedSince),
    ("still", FeedKind::UpdatedSince),
    ("cursor", FeedKind::Cursor),
    ("last", FeedKind::Cursor),
    ("more", FeedKind::Cursor),
    ("start", FeedKind::Cursor),
];
const KINDS: [FeedKind; 4] = [FeedKind::Etag, FeedKind::UpdatedSince, FeedKind::Cursor, FeedKind::WholeFile];
const FORMATS: &[(&str, BodyFormat)] = &[
    ("json", BodyFormat::Json),
    ("ndjson", BodyFormat::Ndjson),
    ("csv", BodyFormat::Csv),
    ("xml", BodyFormat::Xml),
];
const TIMES: &[(&str, TimeForm)] = &[
    ("seconds", TimeForm::Seconds),
    ("millis", TimeForm::Millis),
    ("rfc3339", TimeForm::Rfc3339),
    ("date", TimeForm::Date),
];
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads a feed.
pub(crate) fn read(table: &DeTable<'_>, span: Range<usize>, findings: &mut Findings<'_>) -> Option<Feed> {
    let fields = Fields::of(table, span, "[[feed]]", FEED_FIELDS, findings);
    let reader = Reader { fields: &fields };
    let name = fields.needed("name", "\"tmdb-movies\"", findings);
    if let Some(name) = &name {
        check_name(name, findings);
    }
    let kind = reader.kind(findings);
    let url = reader.url(findings);
    let format = reader.choice("format", FORMATS, findings).unwrap_or(BodyFormat::Json);
    let feed = Feed {
        headers: reader.headers(findings),
        every: reader.duration("every", 15 * MINUTE, findings),
        jitter: reader.jitter(findings),
        timeout: reader.duration("timeout", MINUTE, findings),
        max_bytes: fields.number("max_mb", findings).unwrap_or(64).saturating_mul(1 << 20),
        format,
        items: reader.pointer("items", findings).unwrap_or_default(),
        error: reader.pointer("error", findings),
        expired: reader.expired(findings),
        paging: reader.paging(findings),
        window: reader.window(findings),
        cursor: reader.cursor(findings),
        identity: reader.identity(findings),
        name: (*name?.get_ref()).to_owned(),
        kind: kind?,
        url: url?,
    };
    reader.check(&feed, findings);
    Some(feed)
}

/// A feed's name is part of the names of its files.
fn check_name(name: &Spanned<&str>, findings: &mut Findings<'_>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let text = name.get_ref();
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.bytes().all(plain) {
        let why = "the name of a feed is 1 to 64 letters, digits, '-', '_' and '.', and begins with no '.'";
        findings.note_at(&name.span(), why);
    }
}

struct Reader<'a> {
    fields: &'a Fields<'a>,
}

impl Reader<'_> {
    fn kind(&self, findings: &mut Findings<'_>) -> Option<FeedKind> {
        if self.fields.value("kind").is_none() {
            let why = "[[feed]] has no kind: write kind = \"etag\", \"updated-since\", \"cursor\" or \"whole-file\"";
            findings.note_at(self.fields.span(), why);
        }
        let kind = self.choice("kind", &KINDS.map(|kind| (kind.name(), kind)), findings)?;
        for (field, of) in FIELDS_OF_KINDS.iter().filter(|(_, of)| *of != kind) {
            if let Some(value) = self.fields.value(field) {
                findings.note_at(&value.span(), format!("{field} belongs to kind = {:?}", of.name()));
            }
        }
        Some(kind)
    }

    fn url(&self, findings: &mut Findings<'_>) -> Option<Address> {
        let text =
            self.fields.needed("url", "\"https://api.example.com/changes?since={since}\"", findings)?;
        let begins = |scheme| text.get_ref().starts_with(scheme);
        if !["http://", "https://", "${"].into_iter().any(begins) {
            findings.note_at(&text.span(), "an address begins with http:// or https://");
        }
        address(&text, findings)
    }

    fn headers(&self, findings: &mut Findings<'_>) -> Vec<(String, Address)> {
        const EXAMPLE: &str = "write headers = { Authorization = \"Bearer ${TOKEN}\" }";
        let Some(value) = self.fields.value("headers") else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            findings.note_at(&value.span(), format!("headers is a table: {EXAMPLE}"));
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (name, value) in table {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.get_ref().is_empty() || !name.get_ref().bytes().all(token) {
                findings.note_at(&name.span(), "the name of a header is letters, digits, '-' and '_'");
            }
            let Some(text) = value.get_ref().as_str() else {
                findings.note_at(&value.span(), format!("a header is a text: {EXAMPLE}"));
                continue;
            };
            let text = Spanned::new(value.span(), text);
            let Some(filled) = address(&text, findings) else { continue };
            if [Place::Cursor, Place::Since, Place::Until, Place::Page]
                .into_iter()
                .any(|place| filled.has(place))
            {
                findings.note_at(&text.span(), "a header has places for the environment alone: ${NAME}");
            }
            headers.push((name.get_ref().to_string(), filled));
        }
        headers
    }

    fn jitter(&self, findings: &mut Findings<'_>) -> u32 {
        let Some(text) = self.fields.text("jitter", findings) else { return 10 };
        percent(text.get_ref()).unwrap_or_else(|| {
            findings.note_at(&text.span(), "jitter is a share of every: write jitter = \"10%\"");
            0
        })
    }

    /// Returns the statuses that say that the API forgot.
    fn expired(&self, findings: &mut Findings<'_>) -> Vec<u16> {
        const WHY: &str = "expired is a list of statuses from 400 to 499: write expired = [400, 410]";
        let Some(value) = self.fields.value("expired") else { return vec![410] };
        let status = |number: &str| number.parse().ok().filter(|status| (400..500).contains(status));
        let statuses: Option<Vec<u16>> = value.get_ref().as_array().and_then(|elements| {
            let read = |element: &Spanned<toml::de::DeValue<'_>>| {
                element.get_ref().as_integer().and_then(|number| status(number.as_str()))
            };
            elements.iter().map(read).collect()
        });
        statuses.unwrap_or_else(|| {
            findings.note_at(&value.span(), WHY);
            Vec::new()
        })
    }

    fn paging(&self, findings: &mut Findings<'_>) -> Paging {
        let is_link = |text: &Spanned<&str>| text.get_ref().eq_ignore_ascii_case("link");
        let next = match self.fields.text("next", findings) {
            Some(text) if is_link(&text) => Some(Next::Link),
            Some(_) => self.pointer("next", findings).map(Next::Body),
            None => None,
        };
        // 0 is a number of a page too.
        let first = self.fields.value("first_page").map(|value| {
            let number = value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
            number.unwrap_or_else(|| {
                findings.note_at(&value.span(), "first_page is a whole number");
                0
            })
        });
        Paging {
            next,
            pages: self.pointer("pages", findings),
            first_page: first.unwrap_or(1),
            still: self.fields.flag("still", findings),
        }
    }

    fn window(&self, findings: &mut Findings<'_>) -> Window {
        Window {
            overlap: self.duration("overlap", 5 * MINUTE, findings),
            longest: self.optional_duration("window", findings),
            reach: self.optional_duration("reach", findings),
            time: self.choice("time", TIMES, findings).unwrap_or(TimeForm::Seconds),
        }
    }

    fn cursor(&self, findings: &mut Findings<'_>) -> CursorPlace {
        let start = self.fields.text("start", findings);
        CursorPlace {
            next: self.pointer("cursor", findings),
            last: self.pointer("last", findings),
            more: self.pointer("more", findings),
            start: start.map_or_else(String::new, |text| (*text.get_ref()).to_owned()),
        }
    }

    fn identity(&self, findings: &mut Findings<'_>) -> Identity {
        let is_list = self.fields.value("id").is_some_and(|value| value.get_ref().as_array().is_some());
        let id = match is_list {
            true => self.fields.texts("id", findings),
            false => self.fields.text("id", findings).into_iter().collect(),
        };
        Identity {
            id: id.iter().filter_map(|text| pointer(text, findings)).collect(),
            stamp: self.pointer("stamp", findings),
            repeat: self.optional_duration("repeat", findings),
        }
    }

    /// Checks what one field says against another.
    fn check(&self, feed: &Feed, findings: &mut Findings<'_>) {
        let span = self.fields.value("url").map_or(self.fields.span().clone(), Spanned::span);
        let needed = match feed.kind {
            FeedKind::UpdatedSince => Some(Place::Since),
            FeedKind::Cursor => Some(Place::Cursor),
            FeedKind::Etag | FeedKind::WholeFile => None,
        };
        if let Some(place) = needed.filter(|place| !feed.url.has(*place)) {
            findings.note_at(&span, format!("the url of this kind has a place {}", place.written()));
        }
        let may_have = match feed.kind {
            FeedKind::UpdatedSince => &[Place::Since, Place::Until, Place::Page][..],
            FeedKind::Cursor => &[Place::Cursor][..],
            FeedKind::Etag | FeedKind::WholeFile => &[][..],
        };
        for place in [Place::Cursor, Place::Since, Place::Until, Place::Page] {
            if feed.url.has(place) && !may_have.contains(&place) {
                findings.note_at(&span, format!("the url of this kind has no place {}", place.written()));
            }
        }
        match feed.kind {
            FeedKind::UpdatedSince => self.check_window(feed, findings),
            FeedKind::Cursor => self.check_cursor(feed, findings),
            FeedKind::Etag | FeedKind::WholeFile => {}
        }
        if matches!(feed.format, BodyFormat::Csv | BodyFormat::Ndjson) && feed.kind != FeedKind::WholeFile {
            self.note("format", "rows of this format are read by kind = \"whole-file\"", findings);
        }
    }

    fn check_window(&self, feed: &Feed, findings: &mut Findings<'_>) {
        let Window { overlap, longest, reach, time } = &feed.window;
        if feed.identity.stamp.is_none() && feed.identity.repeat.is_none() {
            let why = "a row that is listed twice may have changed twice: write stamp = \"/updated_at\", the value that \
                 differs then (\"\" is the whole row), or repeat = \"1 h\", to publish it again while it is listed";
            findings.note_at(self.fields.span(), why);
        }
        let least = if *time == TimeForm::Date { DAY } else { Duration::from_secs(1) };
        if let Some(longest) = longest
            && *longest < *overlap + least
        {
            let why =
                "window is longer than overlap, and with time = \"date\" by a day: it would never move on";
            self.note("window", why, findings);
        }
        if let Some(reach) = reach
            && reach <= overlap
        {
            self.note("reach", "reach is longer than overlap", findings);
        }
        if longest.is_some() && !feed.url.has(Place::Until) {
            self.note("window", "a window has an end: write {until} into the url", findings);
        }
        if feed.paging.pages.is_some() && !feed.url.has(Place::Page) {
            self.note("pages", "pages are numbered: write {page} into the url", findings);
        }
    }

    fn check_cursor(&self, feed: &Feed, findings: &mut Findings<'_>) {
        if feed.cursor.next.is_none() {
            let why =
                "[[feed]] has no cursor: write cursor = \"/next_cursor\", where an answer has the next one";
            findings.note_at(self.fields.span(), why);
        }
        for field in ["next", "pages", "first_page"] {
            self.note(field, "the pages of kind = \"cursor\" are those of its cursor", findings);
        }
    }

    /// Notes a mistake at a field, if the file has it.
    fn note(&self, field: &'static str, why: &str, findings: &mut Findings<'_>) {
        if let Some(value) = self.fields.value(field) {
            findings.note_at(&value.span(), why);
        }
    }

    fn duration(&self, field: &'static str, otherwise: Duration, findings: &mut Findings<'_>) -> Duration {
        self.optional_duration(field, findings).unwrap_or(otherwise)
    }

    fn optional_duration(&self, field: &'static str, findings: &mut Findings<'_>) -> Option<Duration> {
        let text = self.fields.text(field, findings)?;
        let read = duration(text.get_ref()).filter(|read| !read.is_zero() || field == "overlap");
        if read.is_none() {
            findings.note_at(&text.span(), format!("{field} is {DURATION}"));
        }
        read
    }

    fn pointer(&self, field: &'static str, findings: &mut Findings<'_>) -> Option<Pointer> {
        pointer(&self.fields.text(field, findings)?, findings)
    }

    fn choice<T: Copy>(
        &self,
        field: &'static str,
        choices: &[(&str, T)],
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let text = self.fields.text(field, findings)?;
        let chosen = choices.iter().find(|(name, _)| name == text.get_ref()).map(|(_, chosen)| *chosen);
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            findings.note_at(&text.span(), format!("{field} is one of {}", names.join(", ")));
        }
        chosen
    }
}

fn pointer(text: &Spanned<&str>, findings: &mut Findings<'_>) -> Option<Pointer> {
    Pointer::parse(text.get_ref()).map_err(|why| findings.note_at(&text.span(), why.to_string())).ok()
}

fn address(text: &Spanned<&str>, findings: &mut Findings<'_>) -> Option<Address> {
    let note = |mistake: super::address::AddressMistake, findings: &mut Findings<'_>| {
        findings.note(text.span().start + 1 + mistake.at, mistake.to_string());
    };
    Address::parse(text.get_ref()).map_err(|mistake| note(mistake, findings)).ok()
}

#[cfg(test)]
mod tests {
    use crate::Mapping;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const MAP: &str = "[[map]]\nfrom = \"f\"\nkey = \"movie:{id}\"\n";

    #[track_caller]
    fn mistakes(feed: &str, expected: &[&str]) {
        let told = Mapping::parse(&format!("{feed}\n{MAP}")).unwrap_err().to_string();
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_feed_is_read() {
        let text = r#"[[feed]]
name = "f"
kind = "updated-since"
url = "https://h/changes?start={since}&end={until}&page={page}&key=${KEY}"
headers = { Authorization = "Bearer ${TOKEN}" }
every = "15 min"
jitter = "20%"
overlap = "1 d"
window = "14 d"
reach = "14 d"
time = "date"
items = "/results"
pages = "/total_pages"
repeat = "1 h"
error = "/status_message"
expired = [400, 422]
"#;
        let mapping = Mapping::parse(&format!("{text}{MAP}")).unwrap();
        let feed = mapping.feeds.first().unwrap();
        assert_eq!((feed.kind, feed.jitter, feed.every), (FeedKind::UpdatedSince, 20, 15 * MINUTE));
        assert_eq!(
            (feed.window.overlap, feed.window.longest, feed.window.reach),
            (DAY, Some(14 * DAY), Some(14 * DAY))
        );
        assert_eq!((feed.expired.as_slice(), feed.paging.first_page), (&[400, 422][..], 1));
        assert_eq!(feed.headers.first().unwrap().1.variables().collect::<Vec<_>>(), ["TOKEN"]);
        let without = Mapping::parse(MAP).unwrap();
        assert_eq!(
            without.digest(),
            mapping.digest(),
            "a feed says where rows are from, not what they publish"
        );
    }

    #[test]
    fn mistakes_of_a_feed_are_told_with_what_to_write() {
        mistakes(
            "[[feed]]\nname = \"f/\"\n",
            &[
                "1:1: [[feed]] has no kind: write kind = \"etag\", \"updated-since\", \"cursor\" or \"whole-file\"",
                "1:1: [[feed]] has no url: write url = \"https://api.example.com/changes?since={since}\"",
                "2:8: nothing says what the rows of the feed are called: write [[map]], from = \"f/\" and key = \"class:{id}\"",
                "2:8: the name of a feed is 1 to 64 letters, digits, '-', '_' and '.', and begins with no '.'",
            ],
        );
        mistakes(
            "[[feed]]\nname = \"f\"\nkind = \"etag\"\nurl = \"ftp://h/{page}{x}\"\nevery = \"5\"\njitter = \"5\"\n\
             overlap = \"1 d\"\nitems = \"a\"\nexpired = [200]\nheaders = { A = \"{page}\" }\nform = 1",
            &[
                "4:7: an address begins with http:// or https://",
                "4:22: an address has the places {cursor}, {since}, {until} and {page}, and ${NAME} for the environment",
                "5:9: every is a number and ms, s, min, h or d: \"30 s\", \"15 min\", \"14 d\"",
                "6:10: jitter is a share of every: write jitter = \"10%\"",
                "7:11: overlap belongs to kind = \"updated-since\"",
                "8:9: a JSON pointer begins with '/': \"/results\", or is empty and stands for the whole answer",
                "9:11: expired is a list of statuses from 400 to 499: write expired = [400, 410]",
                "10:17: a header has places for the environment alone: ${NAME}",
                "11:1: there is no field \"form\": write \"format\"",
            ],
        );
    }

    #[test]
    fn a_window_that_could_lose_a_change_or_never_move_on_is_a_mistake() {
        mistakes(
            "[[feed]]\nname = \"f\"\nkind = \"updated-since\"\nurl = \"http://h\"\noverlap = \"1 d\"\nwindow = \"1 d\"\n\
             time = \"date\"\nreach = \"1 h\"",
            &[
                "1:1: a row that is listed twice may have changed twice: write stamp = \"/updated_at\", the value that \
                 differs then (\"\" is the whole row), or repeat = \"1 h\", to publish it again while it is listed",
                "4:7: the url of this kind has a place {since}",
                "6:10: a window has an end: write {until} into the url",
                "6:10: window is longer than overlap, and with time = \"date\" by a day: it would never move on",
                "8:9: reach is longer than overlap",
            ],
        );
        mistakes(
            "[[feed]]\nname = \"f\"\nkind = \"cursor\"\nurl = \"http://h/{cursor}{page}\"\nnext = \"Link\"",
            &[
                "1:1: [[feed]] has no cursor: write cursor = \"/next_cursor\", where an answer has the next one",
                "4:7: the url of this kind has no place {page}",
                "5:8: the pages of kind = \"cursor\" are those of its cursor",
            ],
        );
    }

    #[test]
    fn a_feed_has_a_name_of_its_own_and_rows_that_are_mapped() {
        let feed = |name| format!("[[feed]]\nname = \"{name}\"\nkind = \"etag\"\nurl = \"http://h\"");
        mistakes(
            &format!("{}\n{}\n{}", feed("f"), feed("f"), feed("g")),
            &[
                "6:8: there are two feeds of this name",
                "10:8: nothing says what the rows of the feed are called: write [[map]], from = \"g\" and key = \"class:{id}\"",
            ],
        );
    }
}
