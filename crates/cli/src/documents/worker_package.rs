//! The npm package `newsreel-worker`: the types of its variables, and the schema that editors check
//! `wrangler.toml` and `wrangler.jsonc` with.

use newsreel_core::variables::{AnyVariable, BINDINGS, BindingKind, POLICY, SECRETS, VARIABLES};
use serde_json::{Map, Value, json};

use super::{RENEW, check_file, wrapped};

/// The longest line of a comment.
const WIDTH: usize = 116;

/// The fields of a hook that every scheme has.
const HOOK_FIELDS: [&str; 8] = [
    "  scheme: string;\n",
    "  secret?: string | string[];\n",
    "  catalog?: string;\n",
    "  mapping?: string;\n",
    "  map?: object[];\n",
    "  window_s?: number;\n",
    "  id?: string;\n",
    "  [field: string]: unknown;\n",
];

/// Writes a comment of TypeScript, within an interface.
fn comment(text: &str) -> String {
    match wrapped(text, WIDTH).as_slice() {
        [line] => format!("  /** {line} */\n"),
        lines => {
            let lines: String = lines.iter().map(|line| format!("   * {line}\n")).collect();
            format!("  /**\n{lines}   */\n")
        }
    }
}

/// Returns the type of TypeScript that a schema stands for.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return any.iter().map(type_of).collect::<Vec<_>>().join(" | ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => "number",
        Some("boolean") => "boolean",
        Some("array") => "string[]",
        Some("object") if schema.pointer("/additionalProperties/required").is_some() => {
            "Record<string, Hook>"
        }
        Some("object") => "Record<string, Policy>",
        _ => "string",
    }
    .to_owned()
}

/// Returns the schema of the fields of a class in `POLICY`.
fn policy_fields() -> Map<String, Value> {
    let schema = POLICY.schema();
    let fields = schema.pointer("/anyOf/0/additionalProperties/properties").and_then(Value::as_object);
    fields.expect("POLICY is a table of classes").clone()
}

fn interface(name: &str, meaning: &str, fields: impl IntoIterator<Item = String>) -> String {
    let fields: String = fields.into_iter().collect();
    format!("\n/** {meaning} */\nexport interface {name} {{\n{fields}}}\n")
}

fn types() -> String {
    let policy = policy_fields().into_iter().map(|(name, schema)| {
        let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        format!("{}  {name}?: {};\n", comment(meaning), type_of(&schema))
    });
    let variables = VARIABLES.iter().map(|variable| {
        let meaning = format!("{} Default: {}.", variable.meaning(), default_words(*variable));
        format!("{}  {}?: {};\n", comment(&meaning), variable.name(), type_of(&variable.schema()))
    });
    let secrets =
        SECRETS.iter().map(|secret| format!("{}  {}?: string;\n", comment(secret.meaning()), secret.name()));
    let bindings = BINDINGS.iter().map(|binding| {
        let of = match binding.kind {
            BindingKind::DurableObjects { .. } => "DurableObjectNamespace",
            BindingKind::KvNamespace => "KVNamespace",
            BindingKind::R2Bucket => "R2Bucket",
            BindingKind::AnalyticsDataset => "AnalyticsEngineDataset",
            BindingKind::Queue => "Queue<string>",
        };
        let optional = if binding.without.starts_with("Required.") { "" } else { "?" };
        format!(
            "{}  {}{optional}: {of};\n",
            comment(&format!("{} {}", binding.meaning, binding.without)),
            binding.name
        )
    });
    [
        format!("// The variables, secrets and bindings of Newsreel's Worker. Generated: {RENEW}\n"),
        interface("Policy", "What a class of keys promises, where it differs from the default.", policy),
        interface("Hook", "A webhook; docs/sources.md has its fields.", HOOK_FIELDS.map(str::to_owned)),
        interface("Variables", "The variables, the table `vars` of `wrangler.toml`.", variables),
        interface("Secrets", "The secrets, which are set with `wrangler secret put`.", secrets),
        interface("Bindings", "The platform's services that the Worker reaches.", bindings),
    ]
    .concat()
}

/// Returns what an absent variable stands for. The table that `POLICY`'s default names is in `docs/configuration.md`.
fn default_words(variable: &dyn AnyVariable) -> String {
    if variable.name() == POLICY.name {
        "the table of docs/configuration.md".to_owned()
    } else {
        variable.default_words()
    }
}

fn schema() -> String {
    let described = |variable: &&dyn AnyVariable| {
        let mut schema = variable.schema();
        let meaning = format!("{} Default: {}.", variable.meaning(), default_words(*variable));
        schema
            .as_object_mut()
            .expect("a schema is an object")
            .insert("description".to_owned(), meaning.into());
        (variable.name().to_owned(), schema)
    };
    let vars = json!({ "properties": VARIABLES.iter().map(described).collect::<Map<_, _>>() });
    let all = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": format!("Wrangler's own schema, and Newsreel's variables. Generated: {RENEW}"),
        "allOf": [{ "$ref": "../wrangler/config-schema.json" }],
        "definitions": { "vars": vars },
        "properties": {
            "vars": { "$ref": "#/definitions/vars" },
            "env": { "additionalProperties": { "properties": { "vars": { "$ref": "#/definitions/vars" } } } },
        },
    });
    format!("{all:#}\n")
}

#[test]
fn the_types_of_newsreel_worker_are_up_to_date() {
    check_file("packages/newsreel-worker/variables.d.ts", &types());
}

#[test]
fn the_schema_of_newsreel_worker_is_up_to_date() {
    check_file("packages/newsreel-worker/wrangler.schema.json", &schema());
}
