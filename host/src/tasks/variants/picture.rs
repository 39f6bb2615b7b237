//! The scan of a protein as a heat map: amino acids down, places across, the wild type marked.

use std::path::Path;

use pliant_store::picture::{Axis, Cells, HeatMap, PictureFormat, Shades, draw};
use pliant_store::{AtomicFile, StoreError};

use super::input::Input;
use crate::cli::variants::VariantsPlan;

/// The amino acids, those alike side by side: aliphatic, aromatic, polar, basic, acidic.
const LETTERS: [&str; 20] =
    ["G", "A", "V", "L", "I", "M", "P", "F", "W", "Y", "S", "T", "C", "N", "Q", "H", "K", "R", "D", "E"];

/// Draws the scores of all single mutants of the one wild type of `input`, complete but for the name of the file.
///
/// # Errors
/// What the system says to a new file.
pub(super) fn write(
    (path, format): &(impl AsRef<Path>, PictureFormat),
    plan: &VariantsPlan,
    input: &Input,
    scores: &[f64],
) -> Result<AtomicFile, StoreError> {
    let wild_type = &input.wild_types[0];
    let length = wild_type.len();
    let row = |letter: u8| LETTERS.iter().position(|name| name.as_bytes() == [letter]);
    // What is no mutant of one of the letters stays without a colour.
    let mut values = vec![f32::NAN; LETTERS.len() * length];
    let mutations = input.variants.iter().flat_map(|variant| &variant.mutations);
    for (mutation, &score) in mutations.zip(scores) {
        if let Some(row) = row(mutation.mutated) {
            values[row * length + mutation.place] = score as f32;
        }
    }
    let mut marks = Vec::with_capacity(length);
    for (place, &letter) in wild_type.iter().enumerate() {
        if let Some(row) = row(letter) {
            values[row * length + place] = 0.0;
            marks.push((row, place));
        }
    }
    let reach =
        values.iter().filter(|value| value.is_finite()).fold(0.0_f32, |most, value| most.max(value.abs()));
    // Only residues without a negative number have one that an axis can show.
    let (first, label) = match usize::try_from(plan.offset) {
        Ok(first) => (first, "residue"),
        Err(_) => (1, "residue, counted from 1"),
    };
    // The folder is left out: the same scan gives the same picture wherever its input lies.
    let title = Path::new(&input.name).file_name().unwrap_or_default().to_string_lossy();
    let map = HeatMap {
        title: &title,
        values: &values,
        rows: Axis { label: "mutation", cells: Cells::Named(&LETTERS) },
        columns: Axis { label, cells: Cells::Numbered { first, count: length } },
        shades: Shades::Around { reach: if reach > 0.0 { reach } else { 1.0 } },
        quantity: plan.score.name(),
        marks: &marks,
    };
    draw(path.as_ref(), *format, &map)
}
