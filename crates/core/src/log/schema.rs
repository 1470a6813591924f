//! The schema of a database: which migrations it still needs, and whether it may be used at all. Knows no
//! SQL.
//!
//! A database has a table `meta` of names and values, in which `schema` says how many migrations were
//! applied. Each migration is applied in one transaction with its number, so an interruption leaves the
//! schema before it. Released migrations never change: a new schema is one more migration at the end of the
//! list.

use crate::wire::{Code, Problem};

/// Returns the migrations that a database still needs, each with the schema after it, in order.
///
/// `stored` is the value of `schema` in `meta`; `None` for a database without tables.
///
/// # Errors
/// `newer-schema` when a newer build wrote the database, or when `stored` is no number: nothing may be
/// written then.
pub fn pending<'a>(
    stored: Option<&str>,
    migrations: &'a [&'a str],
) -> Result<impl Iterator<Item = (usize, &'a str)>, Problem> {
    let applied = stored.map_or(Some(0), |schema| schema.parse().ok());
    match applied.filter(|applied| *applied <= migrations.len()) {
        Some(applied) => Ok((1..).zip(migrations.iter().copied()).skip(applied)),
        None => Err(Problem::new(
            Code::NewerSchema,
            format!(
                "the data is of schema {}, this build knows {}: deploy the build that wrote it, or a newer one",
                stored.unwrap_or_default(),
                migrations.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_database_gets_the_migrations_after_its_own_in_order() {
        let pending = |stored| pending(stored, &["a", "b", "c"]).unwrap().collect::<Vec<_>>();
        assert_eq!(pending(None), [(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(pending(Some("1")), [(2, "b"), (3, "c")]);
        assert_eq!(pending(Some("3")), []);
    }

    #[test]
    fn a_newer_schema_and_one_that_is_none_are_refused() {
        for stored in ["4", "18446744073709551616", "-1", "1.5", "", "v2"] {
            let problem = pending(Some(stored), &["a", "b", "c"]).err().unwrap();
            assert_eq!((problem.code(), problem.status()), ("newer-schema", 503));
            assert!(
                problem.detail().contains(&format!("schema {stored}, this build knows 3")),
                "{}",
                problem.detail()
            );
        }
    }
}
