//! The mapping of a hook, from its declaration.

use std::collections::BTreeSet;

use newsreel_core::access::hooks::{Hook, MappingSource};
use newsreel_mapping::Mapping;
use serde_json::{Map, Value};

/// A mapping that cannot be read, or that is about something else than its hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclaredMappingError {
    /// The text of a mapping has mistakes, each with its line and column.
    #[error("HOOKS.{hook}.mapping, {mistakes}")]
    Text {
        /// The name of the hook.
        hook: String,
        /// The mistakes, separated by `; `.
        mistakes: String,
    },
    /// The tables of a mapping have mistakes, each with the number of its table.
    #[error("HOOKS.{hook}.map, {mistakes}")]
    Tables {
        /// The name of the hook.
        hook: String,
        /// The mistakes, separated by `; `.
        mistakes: String,
    },
    /// No rule is about the hook.
    #[error("HOOKS.{hook}: no [[map]] is about this hook, but about {others}: write from = \"{hook}\"")]
    About {
        /// The name of the hook.
        hook: String,
        /// What the rules are about.
        others: String,
    },
}

/// Reads the mapping of a hook.
///
/// # Errors
/// [`DeclaredMappingError`] has every mistake, each with its place.
pub fn mapping_of(hook: &Hook) -> Result<Mapping, DeclaredMappingError> {
    let name = hook.name.clone();
    let mapping = match &hook.mapping {
        MappingSource::Text(text) => Mapping::parse(text).map_err(|mistakes| {
            let mistakes = mistakes.to_string().replace('\n', "; ");
            DeclaredMappingError::Text { hook: name, mistakes }
        })?,
        MappingSource::Tables(rules) => of_tables(&name, rules)?,
    };
    let is_about =
        |rule: &newsreel_mapping::Rule| rule.is_from(&hook.name) || rule.format() == Some("debezium");
    if mapping.rules.iter().any(is_about) {
        return Ok(mapping);
    }
    let others: BTreeSet<String> = mapping.rules.iter().map(|rule| format!("{:?}", rule.from())).collect();
    let others = others.into_iter().collect::<Vec<_>>().join(", ");
    Err(DeclaredMappingError::About {
        hook: hook.name.clone(),
        others: if others.is_empty() { "nothing".to_owned() } else { others },
    })
}

/// Reads the tables of a mapping as its file: a line for each field, so that a mistake's line tells its table.
fn of_tables(hook: &str, rules: &[Map<String, Value>]) -> Result<Mapping, DeclaredMappingError> {
    let mut text = String::new();
    let mut places = Vec::new();
    for (number, rule) in (1..).zip(rules) {
        text.push_str("[[map]]\n");
        places.push(format!("table {number}"));
        let from = Value::from(hook);
        let from = (!rule.contains_key("from")).then_some(("from", &from));
        for (field, value) in rule.iter().map(|(field, value)| (field.as_str(), value)).chain(from) {
            text.extend([&key(field), " = ", &toml(value), "\n"]);
            places.push(format!("table {number}, {field}"));
        }
    }
    Mapping::parse(&text).map_err(|mistakes| {
        let told = mistakes.0.iter().map(|mistake| {
            let place = places.get(mistake.line.saturating_sub(1)).map_or("the list", String::as_str);
            format!("{place}: {}", mistake.text)
        });
        let mistakes = told.collect::<Vec<_>>().join("; ");
        DeclaredMappingError::Tables { hook: hook.to_owned(), mistakes }
    })
}

/// Returns a key of TOML. A text of JSON is one of TOML: both escape alike.
fn key(text: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.bytes().all(is_bare) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// Writes a value of JSON in TOML, on one line.
fn toml(value: &Value) -> String {
    match value {
        // TOML has no null: the empty text gets the mistake of its field.
        Value::Null => "\"\"".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let fields = table.iter().map(|(field, value)| format!("{} = {}", key(field), toml(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::verify::tests::hook;

    fn told(fields: Value) -> String {
        mapping_of(&hook(fields)).unwrap_err().to_string()
    }

    #[test]
    fn tables_are_read_as_the_file_with_the_same_rules() {
        let tables = json!({ "scheme": "token", "map": [
            { "key": "title:{titleId}", "tags": ["platform:{platforms[]}"], "when": { "type": ["TITLE \"UPDATED\"\n"] } },
            { "from": "h", "also": [{ "tag": "owner:{\"a b\"}" }], "soft": true },
        ] });
        let text = "[[map]]\nfrom = \"h\"\nkey = \"title:{titleId}\"\ntags = [\"platform:{platforms[]}\"]\n\
                    when = { type = ['''TITLE \"UPDATED\"\n'''] }\n\
                    [[map]]\nfrom = \"h\"\nalso = [{ tag = 'owner:{\"a b\"}' }]\nsoft = true\n";
        let of_text = mapping_of(&hook(json!({ "scheme": "token", "mapping": text }))).unwrap();
        assert_eq!(mapping_of(&hook(tables)).unwrap(), of_text);
    }

    #[test]
    fn mistakes_have_the_place_where_their_author_wrote_them() {
        let tables = json!([{ "key": "title:{id" }, { "key": "a:{b}", "colour": null }]);
        let told_of_tables = told(json!({ "scheme": "token", "map": tables }));
        assert!(told_of_tables.starts_with("HOOKS.h.map, table 1, key: "), "{told_of_tables}");
        assert!(
            told_of_tables.contains("; table 2, colour: there is no field \"colour\""),
            "{told_of_tables}"
        );
        let text = told(json!({ "scheme": "token", "mapping": "[[map]]\nfrom = \"h\"\nkey = \"title\"\n" }));
        assert!(text.starts_with("HOOKS.h.mapping, 3:7: a key is class:id"), "{text}");
        assert!(told(json!({ "scheme": "token", "mapping": "[[map" })).contains("1:"), "no TOML");
        assert!(told(json!({ "scheme": "token", "map": [] })).contains("maps nothing"));
    }

    #[test]
    fn a_mapping_is_about_its_hook() {
        let other = told(json!({ "scheme": "token", "map": [{ "from": "titles", "key": "a:{b}" }] }));
        assert_eq!(other, "HOOKS.h: no [[map]] is about this hook, but about \"titles\": write from = \"h\"");
        let tables = json!([{ "from": "inventory.titles", "format": "debezium", "key": "a:{b}" }]);
        assert!(mapping_of(&hook(json!({ "scheme": "token", "map": tables }))).is_ok(), "found by the table");
        let any = json!([{ "from": "*", "key": "a:{b}" }]);
        assert!(mapping_of(&hook(json!({ "scheme": "token", "map": any }))).is_ok(), "a pattern");
    }
}
