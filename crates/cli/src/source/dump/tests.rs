//! Tests of dumps: every form, compressed and not, cut off at every place.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const LINES: &str = "{\"id\":1,\"name\":\"ä\"}\n\n{\"id\":2,\"name\":null}\r\n";
const ARRAY: &str = "\u{feff}[\n  {\"id\":1,\"name\":\"ä\"},\n  {\"id\":2,\n   \"name\":null}\n]\n";
const CSV: &str = "id,name\n1,ä\n2,\n";

fn rows(bytes: &[u8]) -> Result<Vec<(String, u64)>, DumpError<String>> {
    let mut rows = Vec::new();
    read(bytes, Format::Auto, &mut |DumpRow { row, line, .. }| {
        rows.push((serde_json::json!(row).to_string(), line));
        Ok(())
    })?;
    Ok(rows)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn every_form_gives_the_same_rows_with_their_lines() {
    let (one, two) = (r#"{"id":1,"name":"ä"}"#.to_owned(), r#"{"id":2,"name":null}"#.to_owned());
    let texts = [r#"{"id":"1","name":"ä"}"#.to_owned(), r#"{"id":"2","name":null}"#.to_owned()];
    let cases = [
        (LINES, vec![(one.clone(), 1), (two.clone(), 3)]),
        (ARRAY, vec![(one, 2), (two, 4)]),
        (CSV, vec![(texts[0].clone(), 2), (texts[1].clone(), 3)]),
    ];
    for (text, expected) in cases {
        let twice = [gzip(&text.as_bytes()[..9]), gzip(&text.as_bytes()[9..])].concat();
        let frames = [zstd(&text.as_bytes()[..9]), zstd(&text.as_bytes()[9..])].concat();
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes()), zstd(text.as_bytes()), twice, frames] {
            assert_eq!(rows(&bytes).unwrap(), expected, "{text}");
        }
    }
}

#[test]
fn a_dump_that_is_cut_off_says_so_wherever_it_is_cut() {
    let whole = |text: &str| rows(text.as_bytes()).unwrap().len();
    for text in [LINES, ARRAY] {
        let most = text.trim_end().len();
        for end in (1..most).filter(|end| text.is_char_boundary(*end)) {
            let cut = rows(&text.as_bytes()[..end]);
            // A dump of lines that ends with a line is whole, as far as can be told.
            let ends_with_a_row = text == LINES && text[..end].trim_end().ends_with('}');
            assert_eq!(
                cut.is_err(),
                !ends_with_a_row && text[..end].trim() != "\u{feff}",
                "{:?}",
                &text[..end]
            );
        }
        assert_eq!(whole(text), 2);
    }
    for pack in [gzip, zstd] {
        let packed = pack(LINES.repeat(100).as_bytes());
        for end in 5..packed.len() {
            assert!(rows(&packed[..end]).is_err(), "{end} of {}", packed.len());
        }
    }
}

#[track_caller]
fn expect(text: &str, why: &str) {
    let told = rows(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(told, why, "{text}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    expect("", "the dump is empty");
    expect(
        "{\"id\":1}\n{\"id\":\n",
        "line 2: column 6: EOF while parsing a value: a row is one JSON object on a line; the dump is cut off here",
    );
    expect("{\"id\":1}\n[2]\n", "line 2: a row is one JSON object on a line");
    expect(
        "{\"id\":1}\n{\"id\":1}x\n",
        "line 2: column 9: trailing characters: a row is one JSON object on a line",
    );
    expect(
        "[{\"id\":1},\n7]",
        "line 2: invalid type: integer `7`, expected a map: a dump is an array of JSON objects",
    );
    expect(
        "[{\"id\":1},\n{\"id\":2}",
        "line 2: EOF while parsing a list: a dump is an array of JSON objects; the dump is cut off here",
    );
    expect("[]\n[]", "line 2: trailing characters: a dump is an array of JSON objects");
    expect(
        "id,name\n1,a\n2\n",
        "line 3: the row has 1 fields, and the first line 2: is the dump cut off here?",
    );
    expect("id,name\n1,a\n2,\"b\n3,c\n", "line 3: a quote is not closed: the dump is cut off here");
    expect("id,id\n1,a\n", "line 1: two columns are named \"id\"");
    expect("id,\n1,a\n", "line 1: column 2 has no name: the first line has the names of the columns");
}

#[test]
fn fields_of_csv_are_texts_lists_and_nothing() {
    let (row, _) = rows(b"id;tags;size\n1;\"[\"\"a\"\",\"\"b;c\"\"]\";5\"\n").unwrap().remove(0);
    assert_eq!(row, r#"{"id":"1","size":"5\"","tags":["a","b;c"]}"#);
    assert_eq!(rows(b"id\tname\n1\t[a\n").unwrap()[0].0, r#"{"id":"1","name":"[a"}"#);
    assert_eq!(rows(b"id\n").unwrap(), []);
}
