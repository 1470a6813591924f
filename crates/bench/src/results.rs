//! The numbers of a run, by section, row, system and round, in the order in which rows first appeared.

use anyhow::{Result, ensure};

use crate::work::{Finding, Unit};

/// All numbers of a run.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) sections: Vec<Section>,
}

/// The rows under one heading, and the systems that have numbers there.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) systems: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One thing that was measured of several systems.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// By system, in the order of the section's systems: a number for each round that has one.
    pub(crate) cells: Vec<Vec<Option<f64>>>,
}

impl Results {
    /// Adds what one round of a system gave.
    pub(crate) fn add(
        &mut self,
        title: &'static str,
        system: &str,
        round: usize,
        findings: Vec<Finding>,
    ) -> Result<()> {
        let at =
            self.sections.iter().position(|section| section.title == title).unwrap_or(self.sections.len());
        if at == self.sections.len() {
            self.sections.push(Section { title, systems: Vec::new(), rows: Vec::new() });
        }
        if let Some(section) = self.sections.get_mut(at) {
            section.add(system, round, findings)?;
        }
        Ok(())
    }
}

impl Section {
    fn add(&mut self, system: &str, round: usize, findings: Vec<Finding>) -> Result<()> {
        let column = self.systems.iter().position(|name| name == system).unwrap_or(self.systems.len());
        if column == self.systems.len() {
            self.systems.push(system.to_owned());
        }
        for Finding { row, unit, value } in findings {
            ensure!(value.is_finite(), "{row} of {system} is {value}");
            let at = self
                .rows
                .iter()
                .position(|one| one.name == row && one.unit == unit)
                .unwrap_or(self.rows.len());
            if at == self.rows.len() {
                self.rows.push(Row { name: row, unit, cells: Vec::new() });
            }
            if let Some(row) = self.rows.get_mut(at) {
                row.set(column, round, value);
            }
        }
        Ok(())
    }
}

impl Row {
    fn set(&mut self, column: usize, round: usize, value: f64) {
        if self.cells.len() <= column {
            self.cells.resize(column + 1, Vec::new());
        }
        if let Some(rounds) = self.cells.get_mut(column) {
            if rounds.len() <= round {
                rounds.resize(round + 1, None);
            }
            if let Some(cell) = rounds.get_mut(round) {
                *cell = Some(value);
            }
        }
    }

    /// Returns the rounds of a column, none where the system has no number in this row.
    pub(crate) fn rounds(&self, column: usize) -> &[Option<f64>] {
        self.cells.get(column).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_failed_leaves_a_gap_and_shifts_nothing() {
        let mut results = Results::default();
        let found = |value| vec![Finding::new("p50", Unit::Milliseconds, value)];
        results.add("Latency", "A", 0, found(1.0)).expect("a number");
        results.add("Latency", "B", 1, found(4.0)).expect("a number");
        results.add("Latency", "A", 1, found(2.0)).expect("a number");
        let section = results.sections.first().expect("a section");
        assert_eq!(section.systems, ["A", "B"]);
        let row = section.rows.first().expect("a row");
        assert_eq!(row.rounds(0), [Some(1.0), Some(2.0)]);
        assert_eq!(row.rounds(1), [None, Some(4.0)]);
        assert!(row.rounds(2).is_empty());
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let finding = vec![Finding::new("p50", Unit::Milliseconds, f64::NAN)];
        assert!(Results::default().add("Latency", "A", 0, finding).is_err());
    }
}
