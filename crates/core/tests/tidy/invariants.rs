//! Invariants: every test that the document names exists, and every test of an invariant is named there.

use crate::document::{PROTOCOL, quoted};
use crate::sources;

/// Crates with tests that the document lists. The other crates repeat the promises with tools of their own.
const PROMISING: [&str; 3] = ["core", "client", "edge"];

/// An invariant: its id, the tests of this crate that show it, and those of `e2e/`.
struct Invariant {
    id: &'static str,
    tests: Vec<&'static str>,
    e2e: Vec<String>,
}

fn invariants() -> Vec<Invariant> {
    let (_, section) = PROTOCOL.split_once("## Invariants").expect("the section");
    let each = section.split("\n**").skip(1);
    let read = each.map(|text| {
        let id = text.split([' ', '.']).next().unwrap_or_default();
        let (tests, e2e) = text.split_once("\n- e2e: ").unwrap_or((text, ""));
        // A title may go over the end of a line.
        let e2e = e2e.split_whitespace().collect::<Vec<_>>().join(" ");
        let e2e = e2e.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        Invariant { id, tests: quoted(tests), e2e }
    });
    read.collect()
}

#[test]
fn every_test_named_under_the_invariants_exists() {
    let invariants = invariants();
    let (rust, e2e_files) = (sources::rust(), sources::e2e());
    let ids: Vec<&str> = invariants.iter().map(|one| one.id).collect();
    assert_eq!(ids, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "D1", "D2", "D3", "S1", "S2", "E1"]);
    for Invariant { id, tests, e2e } in &invariants {
        assert!(!tests.is_empty() && !e2e.is_empty(), "{id} is shown by tests of both kinds");
        for name in tests {
            let declared = format!("fn {name}(");
            assert!(rust.iter().any(|one| one.text.contains(&declared)), "{id}: there is no test {name}");
        }
        for title in e2e {
            let declared = format!("test('{title}'");
            assert!(
                e2e_files.iter().any(|one| one.text.contains(&declared)),
                "{id}: there is no test {title:?}"
            );
        }
    }
}

#[test]
fn every_test_of_an_invariant_is_named_there() {
    let invariants = invariants();
    for source in sources::rust().iter().filter(|one| PROMISING.contains(&one.krate())) {
        let names = source.text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        for name in names {
            let ids = name.split('_').map(str::to_uppercase);
            // The first words of a test's name are the ids of the invariants that it shows.
            for id in ids.take_while(|word| invariants.iter().any(|one| one.id == word)) {
                let named = |one: &Invariant| one.id == id && one.tests.contains(&name);
                // The tests of a reader's promises are many, and a selection stands for them.
                let listed = id.starts_with('S') || invariants.iter().any(named);
                assert!(listed, "{}: {name} is not named under {id}", source.path);
            }
        }
    }
}

#[test]
fn every_end_to_end_test_of_an_invariant_is_named_there() {
    let invariants = invariants();
    for source in &sources::e2e() {
        let titles = source.text.split("test('").skip(1).filter_map(|rest| rest.split('\'').next());
        for title in titles {
            let (ids, _) = title.split_once(": ").unwrap_or_default();
            for one in invariants.iter().filter(|one| ids.split(", ").any(|id| id == one.id)) {
                let named = one.e2e.iter().any(|named| named == title);
                assert!(named, "{}: {title:?} is not named under {}", source.path, one.id);
            }
        }
    }
}
