//! The plan of a statement: whether it reads a whole table for each key.

use serde_json::Value;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Returns the tables of which a statement reads every row, because no index finds the row of a key.
///
/// PostgreSQL is told to avoid such scans, so that a small table, of which it would rather read all, counts only where
/// nothing else is possible.
///
/// # Errors
/// When PostgreSQL refuses the statement.
pub(super) async fn scanned_tables(
    client: &Client,
    sql: &str,
    parameters: usize,
) -> Result<Vec<String>, Error> {
    let nulls = vec!["NULL"; parameters].join(", ");
    let given = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
    client
        .batch_execute(
            "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off",
        )
        .await?;
    client.batch_execute(&format!("PREPARE newsreel_plan AS {sql}\n")).await?;
    let explained =
        client.simple_query(&format!("EXPLAIN (FORMAT JSON) EXECUTE newsreel_plan{given}")).await?;
    client.batch_execute("DEALLOCATE newsreel_plan; ROLLBACK").await?;
    let line = |message: &SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0).map(str::to_owned)
    };
    let plan: String = explained.iter().filter_map(line).collect();
    let mut tables = Vec::new();
    collect_scans(&serde_json::from_str(&plan).unwrap_or_default(), &mut tables);
    Ok(tables)
}

fn collect_scans(plan: &Value, tables: &mut Vec<String>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| collect_scans(part, tables)),
        Value::Object(node) => {
            if node.get("Node Type").and_then(Value::as_str) == Some("Seq Scan") {
                tables.extend(node.get("Relation Name").and_then(Value::as_str).map(str::to_owned));
            }
            node.values().for_each(|part| collect_scans(part, tables));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_found_wherever_the_plan_has_it() {
        let plan = r#"[{"Plan": {"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Index Scan", "Relation Name": "titles"},
            {"Node Type": "Hash", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "genres"}]}]}}]"#;
        let mut tables = Vec::new();
        collect_scans(&serde_json::from_str(plan).unwrap(), &mut tables);
        assert_eq!(tables, ["genres"]);
    }
}
