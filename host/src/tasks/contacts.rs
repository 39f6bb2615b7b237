//! `pliant contacts`: which residues of a protein touch.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use pliant_seq::Source;
use pliant_store::picture::{Axis, Cells, HeatMap, PictureFormat, Shades, draw};
use pliant_store::{MapPlan, MapWriter, Metadata, OutputSet, StoreError};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::contacts::ContactsPlan;
use crate::engine;
use crate::pipeline::{Masks, Output, Row};
use crate::supervised::card::digest;
use crate::tasks::files;
use crate::tasks::run::{ID_CHARS, Order, Ready, Selection, Sizes};

/// Letters of the name of a picture at most, without its suffix.
const NAME_LETTERS: usize = 100;

/// Pictures that wait with an open file each.
const OPEN_PICTURES: usize = 64;

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &ContactsPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let mut card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    card.contact_head.clone_from(&plan.contact_head);
    let contact_head = plan.contact_head.as_deref().map(digest).transpose()?;
    let layer = card.about.layers;
    let order = Order {
        start,
        task: "contacts",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: Output::Contacts,
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let table = |selection: &Selection, metadata| MapPlan {
        records: selection.records,
        // A sum of squares of residues: whole, and far below where floats have gaps.
        numbers: selection.computed_squares as usize,
        layer,
        dtype: plan.dtype,
        metadata,
    };
    let bytes = table(ready.selection(), Metadata::new()).estimated_bytes(plan.format, ID_CHARS);
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "contacts": bytes, "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    if plan.cache_unused {
        print.note("--cache is not used: a map takes more room in a cache than computing it is worth");
    }
    let session = ready.load(&sizes, print)?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = session.metadata("contacts", plan.dtype.name());
    // What is not there is what was always there, so that maps without it stay as they were.
    let metadata = match &contact_head {
        Some(digest) => metadata.with("contact_head", digest.as_str()),
        None => metadata,
    };
    let table = table(session.selection(), metadata);
    let mut writer = MapWriter::create(out, plan.format, &table)?;
    let mut pictures = plan.pictures.as_ref().map(Pictures::create).transpose()?;
    let computed = session.compute_contacts(print, |row| {
        let map = row.residues.first().map(Vec::as_slice).unwrap_or_default();
        writer.push(&row.id, row.length, map)?;
        pictures.as_mut().map_or(Ok(()), |pictures| pictures.add(&row, map))
    })?;
    let mut set = writer.finish()?;
    let mut details = vec![("dtype", json!(plan.dtype.name()))];
    if let Some(pictures) = pictures {
        details.push(("pictures", pictures.told));
        set.append(pictures.files);
    }
    session.finish(set, &computed, &details, context)
}

/// Pictures of maps, one file each.
struct Pictures {
    folder: PathBuf,
    format: PictureFormat,
    /// Names that are taken, in small letters.
    names: BTreeSet<String>,
    files: OutputSet,
    waiting: usize,
    /// `{"id", "file"}` of each, in the order of the input.
    told: Value,
}

impl Pictures {
    /// Makes the folder.
    fn create((folder, format): &(PathBuf, PictureFormat)) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        Ok(Self {
            folder: folder.clone(),
            format: *format,
            names: BTreeSet::new(),
            files: OutputSet::new(),
            waiting: 0,
            told: json!([]),
        })
    }

    /// Draws the map of a record.
    fn add(&mut self, row: &Row, map: &[f32]) -> anyhow::Result<()> {
        let name = self.name(&row.id);
        let path = self.folder.join(name);
        let axis = Axis { label: "residue", cells: Cells::Numbered { first: 1, count: row.length } };
        let picture = HeatMap {
            title: &row.id,
            values: map,
            rows: axis,
            columns: axis,
            shades: Shades::Rising { from: 0.0, to: 1.0 },
            quantity: "probability of contact",
            marks: &[],
        };
        self.files.push(draw(&path, self.format, &picture)?);
        self.waiting += 1;
        if self.waiting == OPEN_PICTURES {
            self.files.settle()?;
            self.waiting = 0;
        }
        if let Some(told) = self.told.as_array_mut() {
            told.push(json!({ "id": row.id, "file": files::path_text(&path) }));
        }
        Ok(())
    }

    /// A name that no other picture has, also where the file system does not tell large letters from small ones.
    fn name(&mut self, id: &str) -> String {
        let plain = plain(id);
        let mut name = plain.clone();
        let mut number = 1;
        while !self.names.insert(name.to_ascii_lowercase()) {
            number += 1;
            name = format!("{plain}.{number}");
        }
        format!("{name}.{}", self.format.name())
    }
}

/// An id as the name of a file: letters, digits and `-_.` stay, anything else becomes `_`.
fn plain(id: &str) -> String {
    let stays = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let mut name: String =
        id.chars().take(NAME_LETTERS).map(|letter| if stays(letter) { letter } else { '_' }).collect();
    // No hidden file, none that looks like an option, and none without a name.
    if name.is_empty() || name.starts_with(['.', '-']) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pictures_are_safe_and_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut pictures = Pictures::create(&(folder.path().join("a/b"), PictureFormat::Png)).unwrap();
        let ids = ["sp|P1|A_B", "sp/P1/A_B", "SP|p1|a_b", "", "..", "-x", "é", "sp_P1_A_B.2"];
        let names: Vec<String> = ids.iter().map(|id| pictures.name(id)).collect();
        let wanted = [
            "sp_P1_A_B.png",
            "sp_P1_A_B.2.png",
            "SP_p1_a_b.3.png",
            "_.png",
            "_...png",
            "_-x.png",
            "_.2.png",
            "sp_P1_A_B.2.2.png",
        ];
        assert_eq!(names, wanted);
        assert!(folder.path().join("a/b").is_dir());
        let long = pictures.name(&"é".repeat(300));
        assert_eq!(long.len(), NAME_LETTERS + 4);
    }
}
