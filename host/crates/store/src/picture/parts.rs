//! What pictures are made of: places, areas, lines of text. Units are pixels, from the upper left corner.

/// The side of a letter and of the cell of a glyph.
pub(super) const LETTER: usize = 8;

/// Space between parts, and the length of a tick.
pub(super) const GAP: usize = 8;
pub(super) const TICK: usize = 4;

/// Which point of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text; its place is in the middle of its height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) anchor: Anchor,
    /// Read from below; its anchor is the middle.
    pub(super) turned: bool,
    pub(super) text: String,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The text, or its beginning with dots where it has more than `fits` letters.
pub(super) fn shortened(text: &str, fits: usize) -> String {
    if text.chars().count() <= fits {
        return text.to_owned();
    }
    text.chars().take(fits.saturating_sub(3)).chain("...".chars().take(fits)).collect()
}
