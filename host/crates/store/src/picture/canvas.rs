//! Pixels that can be filled, framed and written on.

use font8x8::legacy::BASIC_LEGACY;

use super::parts::{Anchor, Area, LETTER, Text};

/// Pixels, row by row: numbers of colours, or colours.
pub(super) struct Canvas<P> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<P>,
}

impl<P: Copy> Canvas<P> {
    pub(super) fn new(width: usize, height: usize, ground: P) -> Self {
        Self { width, height, pixels: vec![ground; width * height] }
    }

    /// What lies outside is left out.
    pub(super) fn fill(&mut self, area: Area, colour: P) {
        let columns = area.x.min(self.width)..(area.x + area.width).min(self.width);
        for row in area.y..(area.y + area.height).min(self.height) {
            self.pixels[row * self.width..][columns.clone()].fill(colour);
        }
    }

    /// A line around an area.
    pub(super) fn frame(&mut self, Area { x, y, width, height }: Area, colour: P) {
        let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
        for y in [top, y + height] {
            self.fill(Area { x: left, y, width: width + 2, height: 1 }, colour);
        }
        for x in [left, x + width] {
            self.fill(Area { x, y: top, width: 1, height: height + 2 }, colour);
        }
    }

    pub(super) fn write(&mut self, text: &Text, colour: P) {
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
                        self.pixels[y * self.width + x] = colour;
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
