//! A heat map as PNG, one byte a pixel.

use std::io;

use png::{BitDepth, ColorType, Compression, Encoder};

use super::canvas::Canvas;
use super::parts::Area;
use super::scene::Scene;
use super::shades::{SHADES, Shades};

/// Colours by their numbers; shades come behind them.
const WHITE: u8 = 0;
const BLACK: u8 = 1;
const GREY: u8 = 2;
const FIRST_SHADE: u8 = 3;

/// Red, green and blue of [`GREY`].
pub(super) const NO_VALUE: [u8; 3] = [150, 150, 150];

/// The scene as a PNG file.
///
/// # Errors
/// A picture larger than the format allows.
pub(super) fn png(scene: &Scene) -> io::Result<Vec<u8>> {
    let mut canvas = Canvas::new(scene.width, scene.height, WHITE);
    let Area { x, y, width, height } = scene.plot;
    let (wide, high) = (width / scene.columns, height / scene.rows);
    for (place, shade) in scene.cells.iter().enumerate() {
        let (row, column) = (place / scene.columns, place % scene.columns);
        let cell = Area { x: x + column * wide, y: y + row * high, width: wide, height: high };
        canvas.fill(cell, number(*shade));
    }
    let bar = scene.bar;
    for row in 0..bar.height {
        let shade = (bar.height - 1 - row) * usize::from(SHADES - 1) / (bar.height - 1).max(1);
        canvas.fill(Area { y: bar.y + row, height: 1, ..bar }, FIRST_SHADE + shade as u8);
    }
    scene.marks.iter().chain(&scene.ticks).for_each(|area| canvas.fill(*area, BLACK));
    [scene.plot, scene.bar].into_iter().for_each(|area| canvas.frame(area, BLACK));
    scene.texts.iter().for_each(|text| canvas.write(text, BLACK));
    encode((canvas.width, canvas.height), &canvas.pixels, scene.shades)
}

/// The cells alone, one pixel each.
///
/// # Errors
/// As [`png`].
pub(super) fn cells(scene: &Scene) -> io::Result<Vec<u8>> {
    let pixels: Vec<u8> = scene.cells.iter().map(|shade| number(*shade)).collect();
    encode((scene.columns, scene.rows), &pixels, scene.shades)
}

fn number(shade: Option<u8>) -> u8 {
    shade.map_or(GREY, |shade| FIRST_SHADE + shade)
}

/// A PNG file of numbers of colours, row by row.
fn encode((width, height): (usize, usize), pixels: &[u8], shades: Shades) -> io::Result<Vec<u8>> {
    let mut palette = [[255; 3], [0; 3], NO_VALUE].concat();
    (0..SHADES).for_each(|shade| palette.extend_from_slice(&shades.colour(shade)));
    file((width, height), pixels, Some(palette))
}

/// A PNG file of pixels, row by row: one byte each where there is a palette, else red, green and blue.
///
/// # Errors
/// A picture larger than the format allows.
pub(super) fn file(
    (width, height): (usize, usize),
    pixels: &[u8],
    palette: Option<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(if palette.is_some() { ColorType::Indexed } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    // The one level whose bytes do not depend on which deflate other crates have chosen.
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(pixels).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(bytes)
}
