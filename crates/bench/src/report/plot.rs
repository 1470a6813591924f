//! One plot a section: how many times as good Newsreel is as each other system, row by row, on a logarithmic scale.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::{advantages, rounded};
use crate::results::{Row, Section};
use crate::spread::Spread;

const WIDTH: u32 = 1000;
const LABELS: i32 = 420;
const RIGHT: i32 = 30;
const TOP: i32 = 60;
const LINE: i32 = 24;
/// From a hundredth to a hundred times as good; what is beyond stands at the edge.
const DECADES: f64 = 2.0;
const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
];

/// Returns the plot as SVG.
pub(crate) fn plot(section: &Section) -> Result<String> {
    let mut svg = String::new();
    let lines = i32::try_from(section.rows.len())?;
    let height = u32::try_from(TOP + lines * LINE + 40)?;
    {
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let drawn = || -> Result<(), DrawingAreaErrorKind<_>> {
            canvas.fill(&WHITE)?;
            legend(&canvas, section)?;
            scale(&canvas, TOP + lines * LINE)?;
            for (row, y) in section.rows.iter().zip((TOP + LINE / 2..).step_by(24)) {
                canvas.draw(&Text::new(label(row), (LABELS - 10, y), text(13, HPos::Right)))?;
                for (column, color) in (1..section.systems.len()).zip(COLORS.iter().cycle()) {
                    dot(&canvas, row, column, y, *color)?;
                }
            }
            canvas.present()
        };
        drawn().map_err(|error| anyhow!("a plot of {}: {error}", section.title))?;
    }
    Ok(svg)
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn label(row: &Row) -> String {
    format!("{}, {}", row.name, row.unit.text())
}

fn text(size: i32, side: HPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(side, VPos::Center))
}

/// Returns where a ratio stands from left to right.
fn across(ratio: f64) -> i32 {
    let share = (ratio.log10().clamp(-DECADES, DECADES) + DECADES) / (2.0 * DECADES);
    let room = f64::from(i32::try_from(WIDTH).unwrap_or(i32::MAX) - LABELS - RIGHT);
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the width of the plot")]
    let pixels = (share * room).round() as i32;
    LABELS + pixels
}

fn legend<'a>(canvas: &Canvas<'a>, section: &Section) -> Drawn<'a> {
    let title = format!("{}: how many times as good Newsreel is as …", section.title);
    canvas.draw(&Text::new(title, (10, 14), text(15, HPos::Left)))?;
    let others = section.systems.iter().skip(1);
    for ((name, color), x) in others.zip(COLORS.iter().cycle()).zip((10..).step_by(190)) {
        canvas.draw(&Circle::new((x + 5, 38), 5, color.filled()))?;
        canvas.draw(&Text::new(name.clone(), (x + 15, 38), text(13, HPos::Left)))?;
    }
    Ok(())
}

fn scale<'a>(canvas: &Canvas<'a>, bottom: i32) -> Drawn<'a> {
    for ratio in [0.01, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 100.0] {
        let x = across(ratio);
        let color = if ratio == 1.0 { BLACK } else { RGBColor(220, 220, 220) };
        canvas.draw(&PathElement::new([(x, TOP), (x, bottom)], color))?;
        canvas.draw(&Text::new(format!("×{ratio}"), (x, bottom + 14), text(12, HPos::Center)))?;
    }
    Ok(())
}

/// Draws the median of the rounds' ratios, and a line from the least to the greatest.
fn dot<'a>(canvas: &Canvas<'a>, row: &Row, column: usize, y: i32, color: RGBColor) -> Drawn<'a> {
    let Some(spread) = Spread::of(&advantages(row, column)) else {
        return Ok(());
    };
    canvas.draw(&PathElement::new([(across(spread.least), y), (across(spread.most), y)], color))?;
    canvas.draw(&Circle::new((across(spread.median), y), 5, color.filled()))?;
    if spread.median.log10().abs() > DECADES {
        canvas.draw(&Text::new(
            rounded(spread.median),
            (across(spread.median), y),
            text(10, HPos::Center),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::work::{Finding, Unit};

    #[test]
    fn twice_as_good_stands_as_far_from_the_middle_as_half_as_good() {
        let middle = across(1.0);
        assert!((across(2.0) - middle - (middle - across(0.5))).abs() <= 1);
        assert_eq!(across(1e9), across(100.0));
    }

    #[test]
    fn a_plot_names_rows_and_systems() {
        let mut results = Results::default();
        for (system, value) in [("Newsreel", 10.0), ("Peer & Sons", 20.0)] {
            let finding = Finding::new("p50", Unit::Milliseconds, value);
            results.add("Latency", system, 0, vec![finding]).expect("a number");
        }
        let svg = plot(results.sections.first().expect("a section")).expect("a plot");
        assert!(svg.contains("p50, ms") && svg.contains("Peer &amp; Sons"), "{svg}");
    }
}
