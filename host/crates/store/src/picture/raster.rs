//! A scene as PNG, one byte a pixel.

use std::io;

use font8x8::legacy::BASIC_LEGACY;
use png::{BitDepth, ColorType, Compression, Encoder};

use super::scene::{Anchor, Area, LETTER, Scene, Text};
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
    let mut canvas = Canvas::new(scene.width, scene.height);
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
    [scene.plot, scene.bar].into_iter().for_each(|area| canvas.frame(area));
    scene.texts.iter().for_each(|text| canvas.write(text));
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

/// A PNG file of pixels, row by row.
fn encode((width, height): (usize, usize), pixels: &[u8], shades: Shades) -> io::Result<Vec<u8>> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let mut palette = [[255; 3], [0; 3], NO_VALUE].concat();
    (0..SHADES).for_each(|shade| palette.extend_from_slice(&shades.colour(shade)));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette);
    // The one level whose bytes do not depend on which deflate other crates have chosen.
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(pixels).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(bytes)
}

/// Pixels, each the number of a colour.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![WHITE; width * height] }
    }

    /// What lies outside is left out.
    fn fill(&mut self, area: Area, colour: u8) {
        let columns = area.x.min(self.width)..(area.x + area.width).min(self.width);
        for row in area.y..(area.y + area.height).min(self.height) {
            self.pixels[row * self.width..][columns.clone()].fill(colour);
        }
    }

    /// A black line around an area.
    fn frame(&mut self, Area { x, y, width, height }: Area) {
        let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
        for y in [top, y + height] {
            self.fill(Area { x: left, y, width: width + 2, height: 1 }, BLACK);
        }
        for x in [left, x + width] {
            self.fill(Area { x, y: top, width: 1, height: height + 2 }, BLACK);
        }
    }

    fn write(&mut self, text: &Text) {
        let letters: Vec<char> = text.text.chars().collect();
        let length = letters.len() * LETTER;
        let before = match text.anchor {
            Anchor::Start => 0,
            Anchor::Middle => length / 2,
            Anchor::End => length,
        };
        for (place, letter) in letters.iter().enumerate() {
            for (down, bits) in glyph(*letter).into_iter().enumerate() {
                for right in (0..LETTER).filter(|bit| bits >> bit & 1 == 1) {
                    let along = (place * LETTER + right).wrapping_sub(before);
                    let across = down.wrapping_sub(LETTER / 2);
                    let (x, y) = if text.turned {
                        (text.x.wrapping_add(across), text.y.wrapping_sub(along))
                    } else {
                        (text.x.wrapping_add(along), text.y.wrapping_add(across))
                    };
                    if x < self.width && y < self.height {
                        self.pixels[y * self.width + x] = BLACK;
                    }
                }
            }
        }
    }
}

/// Eight rows of eight pixels, the lowest bit on the left; what the font does not have is a question mark.
fn glyph(letter: char) -> [u8; LETTER] {
    let shown = if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    BASIC_LEGACY[shown as usize & 0x7f]
}
