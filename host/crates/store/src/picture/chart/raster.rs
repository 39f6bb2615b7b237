//! A chart as PNG.
//!
//! A pixel has the part of the colour of a line that the line covers of it, taken from the distance of its middle: the
//! same on every machine, as nothing but sums, products and square roots are needed for it.

use std::io;

use super::layout::{Sketch, Stroke};
use crate::picture::canvas::Canvas;
use crate::picture::raster::file;

/// Radius of dots.
pub(super) const DOT: f64 = 2.6;

const WHITE: [u8; 3] = [255; 3];
const BLACK: [u8; 3] = [0; 3];

/// The colour of lines under everything.
pub(super) const GRID: [u8; 3] = [226; 3];

/// The chart as a PNG file.
///
/// # Errors
/// A picture larger than the format allows.
pub(super) fn png(sketch: &Sketch) -> io::Result<Vec<u8>> {
    let mut canvas = Canvas::new(sketch.width, sketch.height, WHITE);
    sketch.grid.iter().for_each(|area| canvas.fill(*area, GRID));
    sketch.panels.iter().for_each(|area| canvas.frame(*area, BLACK));
    sketch.ticks.iter().for_each(|area| canvas.fill(*area, BLACK));
    for stroke in &sketch.strokes {
        draw(&mut canvas, stroke);
    }
    sketch.texts.iter().for_each(|text| canvas.write(text, BLACK));
    file((canvas.width, canvas.height), canvas.pixels.as_flattened(), None)
}

fn draw(canvas: &mut Canvas<[u8; 3]>, stroke: &Stroke) {
    let mut ink = Ink { width: canvas.width, height: canvas.height, cover: vec![0; canvas.pixels.len()] };
    let half = stroke.width / 2.0;
    for (from, to) in pieces(&stroke.points, stroke.dashes) {
        ink.line(from, to, half);
    }
    if stroke.dots {
        stroke.points.iter().for_each(|&point| ink.line(point, point, DOT));
    }
    // Once for the whole line, so that it is no darker where its pieces meet.
    for (pixel, &cover) in canvas.pixels.iter_mut().zip(&ink.cover).filter(|(_, cover)| **cover > 0) {
        let mixed = |ground: u8, ink: u8| {
            let cover = u32::from(cover);
            ((u32::from(ground) * (255 - cover) + u32::from(ink) * cover + 127) / 255) as u8
        };
        for (ground, ink) in pixel.iter_mut().zip(stroke.colour) {
            *ground = mixed(*ground, ink);
        }
    }
}

/// The straight pieces of a line that are not gaps between dashes.
fn pieces(points: &[(f64, f64)], dashes: &[f64]) -> Vec<((f64, f64), (f64, f64))> {
    let sides = points.windows(2).map(|pair| (pair[0], pair[1]));
    if dashes.is_empty() {
        return sides.collect();
    }
    let mut found = Vec::new();
    let (mut dash, mut left) = (0, dashes[0]);
    for (from, to) in sides {
        let (wide, high) = (to.0 - from.0, to.1 - from.1);
        let length = (wide * wide + high * high).sqrt();
        let at = |done: f64| (from.0 + wide * done / length, from.1 + high * done / length);
        let mut done = 0.0;
        while done < length {
            let end = (done + left).min(length);
            if dash % 2 == 0 {
                found.push((at(done), at(end)));
            }
            left -= end - done;
            if left <= 0.0 {
                dash = (dash + 1) % dashes.len();
                left = dashes[dash];
            }
            done = end;
        }
    }
    found
}

/// How much of each pixel is covered, 255 for all of it.
struct Ink {
    width: usize,
    height: usize,
    cover: Vec<u8>,
}

impl Ink {
    /// A straight line with round ends; `half` is half its width.
    fn line(&mut self, from: (f64, f64), to: (f64, f64), half: f64) {
        let reach = half + 1.0;
        let pixels = |one: f64, other: f64, most: usize| {
            let (least, greatest) = (one.min(other) - reach, one.max(other) + reach);
            (least.max(0.0) as usize)..((greatest.max(0.0) as usize + 1).min(most))
        };
        for row in pixels(from.1, to.1, self.height) {
            for column in pixels(from.0, to.0, self.width) {
                let middle = (column as f64 + 0.5, row as f64 + 0.5);
                let part = (half + 0.5 - distance(middle, from, to)).clamp(0.0, 1.0);
                let cover = &mut self.cover[row * self.width + column];
                *cover = (*cover).max((part * 255.0).round() as u8);
            }
        }
    }
}

/// The distance of a point from a straight line that ends at both ends.
fn distance(point: (f64, f64), from: (f64, f64), to: (f64, f64)) -> f64 {
    let (wide, high) = (to.0 - from.0, to.1 - from.1);
    let (right, down) = (point.0 - from.0, point.1 - from.1);
    let square = wide * wide + high * high;
    let along = if square > 0.0 { ((right * wide + down * high) / square).clamp(0.0, 1.0) } else { 0.0 };
    let (right, down) = (right - along * wide, down - along * high);
    (right * right + down * down).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_have_their_lengths_around_corners() {
        let corner = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)];
        let found = pieces(&corner, &[3.0, 1.0]);
        let wanted = [
            ((0.0, 0.0), (3.0, 0.0)),
            ((4.0, 0.0), (5.0, 0.0)),
            ((5.0, 0.0), (5.0, 2.0)),
            ((5.0, 3.0), (5.0, 5.0)),
        ];
        assert_eq!(found, wanted);
        assert_eq!(pieces(&corner, &[]).len(), 2);
        assert!(pieces(&[(1.0, 1.0), (1.0, 1.0)], &[3.0, 1.0]).is_empty());
    }

    #[test]
    fn ink_covers_what_lies_under_a_line() {
        let mut ink = Ink { width: 6, height: 5, cover: vec![0; 30] };
        ink.line((1.0, 2.5), (5.0, 2.5), 1.0);
        let column: Vec<u8> = (0..5).map(|row| ink.cover[row * 6 + 3]).collect();
        assert_eq!(column, [0, 128, 255, 128, 0]);
        ink.line((-9.0, -9.0), (-8.0, -9.0), 1.0);
        ink.line((90.0, 2.0), (91.0, 2.0), 1.0);
        assert_eq!(ink.cover[0], 0, "what lies outside leaves nothing");
    }
}
