//! Pictures for people to look at, as PNG or SVG: heat maps with a colour for each cell, numbered or named axes and a bar
//! of colours; and line [`chart`]s.
//!
//! | file | what it is |
//! |---|---|
//! | `parts` | what all pictures are made of: places, areas, lines of text |
//! | `canvas` | pixels that can be filled and written on |
//! | `scene` | where everything of a heat map stands |
//! | `shades` | values to colours |
//! | `raster` | a heat map as PNG |
//! | `vector` | a heat map as SVG: text that can be searched, and the cells as one embedded image |
//! | `chart` | line charts, in the same two formats |
//!
//! The bytes depend on what is shown and on nothing else.

mod canvas;
pub mod chart;
mod parts;
mod raster;
mod scene;
mod shades;
mod vector;

use std::io::Write;
use std::path::Path;

use crate::atomic::{Access, AtomicFile};
use crate::error::{Action, StoreError};

pub use shades::Shades;

/// A format of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// Text and lines, and the cells as an image.
    Svg,
}

impl PictureFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Png, Self::Svg];

    /// The name of the format, which is its suffix without the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }

    /// The format called `name`, in any case of letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format that the suffix of `path` stands for.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`] with the known suffixes.
    pub fn of_path(path: &Path) -> Result<Self, StoreError> {
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        let known = || Self::ALL.map(|format| format!(".{}", format.name())).join(", ");
        suffix
            .and_then(Self::from_name)
            .ok_or_else(|| StoreError::UnknownFormat { path: path.to_path_buf(), known: known() })
    }
}

/// What is shown: `[rows, columns]` values, row by row, the first row on top.
///
/// A side of more than 2,048 cells is shown by blocks of cells, each by its strongest value.
#[derive(Debug, Clone, Copy)]
pub struct HeatMap<'a> {
    /// What it is of, above the cells; shortened where it is longer than the picture is wide.
    pub title: &'a str,
    /// The values; one that is not finite is grey.
    pub values: &'a [f32],
    /// The vertical axis.
    pub rows: Axis<'a>,
    /// The horizontal axis.
    pub columns: Axis<'a>,
    /// What colour a value has.
    pub shades: Shades,
    /// What a value is, beside the bar of colours.
    pub quantity: &'a str,
    /// Cells (row, column) that have a dot.
    pub marks: &'a [(usize, usize)],
}

/// An axis of a heat map.
#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    /// What stands beside it.
    pub label: &'a str,
    /// What its cells are called.
    pub cells: Cells<'a>,
}

/// The cells along an axis.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    /// Cells with numbers, some of which are shown.
    Numbered {
        /// The number of the first.
        first: usize,
        /// How many there are.
        count: usize,
    },
    /// Cells with a name each.
    Named(&'a [&'a str]),
}

impl Cells<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Numbered { count, .. } => *count,
            Self::Named(names) => names.len(),
        }
    }
}

/// Draws a heat map. The file is then ready to be committed.
///
/// # Errors
/// [`StoreError::Plan`] for a map without cells or with another number of values than cells, and those of
/// [`AtomicFile::create`].
pub fn draw(path: &Path, format: PictureFormat, map: &HeatMap<'_>) -> Result<AtomicFile, StoreError> {
    let impossible = |reason| StoreError::Plan { path: path.to_path_buf(), reason };
    let (rows, columns) = (map.rows.cells.count(), map.columns.cells.count());
    if rows == 0 || columns == 0 {
        return Err(impossible("a picture needs at least one cell"));
    }
    if rows.checked_mul(columns) != Some(map.values.len()) {
        return Err(impossible("a picture needs a value for each cell"));
    }
    let scene = scene::Scene::of(map);
    let failed = |cause| StoreError::io(Action::Write, path, cause);
    let bytes = match format {
        PictureFormat::Png => raster::png(&scene),
        PictureFormat::Svg => vector::svg(&scene).map(String::into_bytes),
    };
    let bytes = bytes.map_err(failed)?;
    let mut file = AtomicFile::create(path, Access::Stream)?;
    file.write_all(&bytes).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
