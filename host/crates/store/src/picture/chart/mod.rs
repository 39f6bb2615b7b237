//! Line charts: panels one below the other over a common horizontal axis, with a legend above them.
//!
//! | file | what it is |
//! |---|---|
//! | `scale` | numbers to places on an axis, and which numbers stand beside it |
//! | `layout` | where everything stands, in pixels |
//! | `raster` | a chart as PNG, its lines with smooth edges |
//! | `vector` | a chart as SVG, its lines as lines |
//!
//! A line of more points than the picture has columns keeps the lowest and the highest of each column, so a file stays
//! small whatever was drawn.

mod layout;
mod raster;
mod scale;
mod vector;

use std::io::Write;
use std::path::Path;

use super::PictureFormat;
use crate::atomic::{Access, AtomicFile};
use crate::error::{Action, StoreError};

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Chart<'a> {
    /// What it is of, above everything; nothing where it is empty.
    pub title: &'a str,
    /// What the horizontal axis counts.
    pub across: &'a str,
    /// What the lines are.
    pub legend: &'a [Key<'a>],
    /// At least one, from the top.
    pub panels: &'a [Panel<'a>],
}

/// A line of the legend.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// What such lines are.
    pub name: &'a str,
    /// How they look.
    pub pen: Pen,
}

/// Lines over a common vertical axis.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// What the vertical axis counts.
    pub label: &'a str,
    /// How numbers become heights.
    pub scale: Scale,
    /// The lines; later ones lie above earlier ones.
    pub lines: &'a [Line],
}

/// How numbers become heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances for equal differences.
    Linear,
    /// Equal distances for equal ratios; only numbers above zero have a place.
    Log,
}

/// Points that are joined in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How it looks.
    pub pen: Pen,
    /// Across and up. One that is not finite, or has no place on the scale, is a gap.
    pub points: Vec<(f64, f64)>,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pen {
    /// Number of its colour. Seven differ by their hue, and all that follow by their lightness too.
    pub colour: usize,
    /// Number of its dashes: 0 is one stroke; four differ.
    pub dash: usize,
    /// Whether it is drawn pale and thin, behind what it belongs to.
    pub pale: bool,
}

impl Pen {
    /// The colour of what is said of dashes alone.
    pub const GREY: usize = usize::MAX;

    /// A full line of a colour.
    pub fn of(colour: usize, dash: usize) -> Self {
        Self { colour, dash, pale: false }
    }
}

/// Draws a chart. The file is then ready to be committed.
///
/// # Errors
/// [`StoreError::Plan`] where no line has a point with a place in its panel, and those of [`AtomicFile::create`].
pub fn draw_chart(path: &Path, format: PictureFormat, chart: &Chart<'_>) -> Result<AtomicFile, StoreError> {
    let reason = "a chart needs a point in each of its panels";
    let impossible = || StoreError::Plan { path: path.to_path_buf(), reason };
    let sketch = layout::Sketch::of(chart).ok_or_else(impossible)?;
    let failed = |cause| StoreError::io(Action::Write, path, cause);
    let bytes = match format {
        PictureFormat::Png => raster::png(&sketch),
        PictureFormat::Svg => vector::svg(&sketch).map(String::into_bytes),
    };
    let bytes = bytes.map_err(failed)?;
    let mut file = AtomicFile::create(path, Access::Stream)?;
    file.write_all(&bytes).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
