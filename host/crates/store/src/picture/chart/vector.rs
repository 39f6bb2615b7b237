//! A chart as SVG 1.1.

use std::fmt::Write;
use std::io;

use super::layout::{Sketch, Stroke};
use super::raster::{DOT, GRID};
use crate::picture::parts::Area;
use crate::picture::vector::{begin, end};

/// The chart as an SVG file.
///
/// # Errors
/// None but those of the formatting of text.
pub(super) fn svg(sketch: &Sketch) -> io::Result<String> {
    write(sketch).map_err(io::Error::other)
}

fn write(sketch: &Sketch) -> Result<String, std::fmt::Error> {
    let mut svg = String::new();
    begin(&mut svg, (sketch.width, sketch.height), &sketch.title)?;
    for area in &sketch.grid {
        rectangle(&mut svg, *area, &format!("fill=\"{}\"", hex(GRID)))?;
    }
    for area in &sketch.panels {
        rectangle(&mut svg, *area, "fill=\"none\" stroke=\"#000000\"")?;
    }
    for area in &sketch.ticks {
        rectangle(&mut svg, *area, "fill=\"#000000\"")?;
    }
    sketch.strokes.iter().try_for_each(|stroke| line(&mut svg, stroke))?;
    end(&mut svg, &sketch.texts)?;
    Ok(svg)
}

fn rectangle(svg: &mut String, Area { x, y, width, height }: Area, paint: &str) -> std::fmt::Result {
    writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {paint}/>")
}

fn line(svg: &mut String, stroke: &Stroke) -> std::fmt::Result {
    let colour = hex(stroke.colour);
    let points: Vec<String> = stroke.points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if points.len() > 1 {
        let dashes: Vec<String> = stroke.dashes.iter().map(f64::to_string).collect();
        let dashes = match dashes.as_slice() {
            [] => String::new(),
            dashes => format!(" stroke-dasharray=\"{}\"", dashes.join(",")),
        };
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dashes} \
             points=\"{}\"/>",
            stroke.width,
            points.join(" ")
        )?;
    }
    let dots = if stroke.dots { stroke.points.as_slice() } else { &[] };
    dots.iter().try_for_each(|(x, y)| {
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\" fill=\"{colour}\"/>")
    })
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
