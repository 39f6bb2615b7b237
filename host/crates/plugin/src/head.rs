//! A head that is alive: vectors in, predictions out, every answer checked.
//!
//! Letters: B proteins or pairs, T residues, C width of vectors, K columns of predictions.

use crate::contract::{HeadInfo, Inputs, Meaning, Row, Tensor, TensorView};
use crate::error::PluginError;
use crate::guest::{Blueprint, Guest, LINE_CHARS, LogLine, plain};
use crate::plugin::Setup;

/// Columns of predictions at most: those of a head over all terms of the Gene Ontology, and room.
const MOST_OUTPUTS: usize = 100_000;

const PREDICT: &str = "predict";
const PREDICT_RESIDUES: &str = "predict-residues";
const PREDICT_PAIRS: &str = "predict-pairs";

/// What a head says about itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAbout {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it takes one vector for each protein.
    pub takes_pooled: bool,
    /// Whether it takes the state of each residue.
    pub takes_residues: bool,
    /// Whether it takes pairs of vectors.
    pub takes_pairs: bool,
    /// C, where it wants a certain one.
    pub width: Option<usize>,
    /// The names of the K columns.
    pub outputs: Vec<String>,
    /// What a row of [`Head::predict_residues`] belongs to.
    pub row: Row,
    /// What the numbers are.
    pub meaning: Meaning,
}

/// A head that is alive. What ends a call early ends the guest too; the next call then begins with a new one.
pub struct Head {
    blueprint: Blueprint,
    setup: Setup,
    about: HeadAbout,
    guest: Option<Guest>,
    log: Vec<LogLine>,
}

impl Head {
    pub(crate) fn new(blueprint: Blueprint, setup: Setup) -> Result<Self, PluginError> {
        let mut guest = blueprint.live()?;
        let about = begin(&mut guest, &setup)?;
        Ok(Self { blueprint, setup, about, guest: Some(guest), log: Vec::new() })
    }

    /// What it says about itself.
    pub fn about(&self) -> &HeadAbout {
        &self.about
    }

    /// K, numbers of a row.
    pub fn columns(&self) -> usize {
        self.about.outputs.len()
    }

    /// Pooled vectors `[B, C]` to `[B, K]`.
    ///
    /// # Errors
    /// [`PluginError::Input`] where they do not fit, and whatever goes wrong within the guest.
    pub fn predict(&mut self, vectors: &[f32], width: usize) -> Result<Vec<f32>, PluginError> {
        self.fits(PREDICT, self.about.takes_pooled, "pooled vectors", width)?;
        let rows = rows(PREDICT, vectors, width)?;
        let mut answers = Vec::with_capacity(rows * self.columns());
        for part in vectors.chunks(self.rows_a_call(width) * width) {
            answers.extend(
                self.answer(PREDICT, part.len() / width, |guest| guest.ask(PREDICT, (view(part, width),)))?,
            );
        }
        Ok(answers)
    }

    /// Pooled vectors `[B, C]`, where one that goes wrong leaves the others alone: `[K]` or an error for each.
    ///
    /// Where a call over many fails, it is repeated for each of them alone.
    ///
    /// # Errors
    /// Where the vectors do not fit at all.
    pub fn predict_each(
        &mut self,
        vectors: &[f32],
        width: usize,
    ) -> Result<Vec<Result<Vec<f32>, PluginError>>, PluginError> {
        self.fits(PREDICT, self.about.takes_pooled, "pooled vectors", width)?;
        rows(PREDICT, vectors, width)?;
        let columns = self.columns();
        let mut answers = Vec::new();
        for part in vectors.chunks(self.rows_a_call(width) * width) {
            match self.predict(part, width) {
                Ok(values) => answers.extend(values.chunks(columns).map(|row| Ok(row.to_vec()))),
                Err(error) if error.concerns_input() => {
                    answers.extend(part.chunks(width).map(|row| self.predict(row, width)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// States of residues `[T, C]` of proteins between `offsets [B + 1]` to `[T, K]` or `[B, K]`, as [`HeadAbout::row`]
    /// says. Proteins go in whole.
    ///
    /// # Errors
    /// [`PluginError::Input`] where they do not fit, [`PluginError::Limit`] where one protein is larger than a call may
    /// be, and whatever goes wrong within the guest.
    pub fn predict_residues(
        &mut self,
        states: &[f32],
        width: usize,
        offsets: &[usize],
    ) -> Result<Vec<f32>, PluginError> {
        self.fits(PREDICT_RESIDUES, self.about.takes_residues, "states of residues", width)?;
        let rows = rows(PREDICT_RESIDUES, states, width)?;
        check_offsets(PREDICT_RESIDUES, offsets, rows)?;
        let mut answers = Vec::new();
        let mut first = 0;
        while first + 1 < offsets.len() {
            let end = self.proteins_a_call(offsets, first, width)?;
            let start = offsets[first];
            let part = &states[start * width..offsets[end] * width];
            let inner: Vec<u32> = offsets[first..=end].iter().map(|offset| (offset - start) as u32).collect();
            let wanted = match self.about.row {
                Row::Residue => offsets[end] - start,
                Row::Protein => end - first,
            };
            answers.extend(self.answer(PREDICT_RESIDUES, wanted, |guest| {
                guest.ask(PREDICT_RESIDUES, (view(part, width), inner.as_slice()))
            })?);
            first = end;
        }
        Ok(answers)
    }

    /// Both sides of pairs, `[B, C]` twice, to `[B, K]`.
    ///
    /// # Errors
    /// [`PluginError::Input`] where they do not fit, and whatever goes wrong within the guest.
    pub fn predict_pairs(
        &mut self,
        first: &[f32],
        second: &[f32],
        width: usize,
    ) -> Result<Vec<f32>, PluginError> {
        self.fits(PREDICT_PAIRS, self.about.takes_pairs, "pairs of vectors", width)?;
        let (rows, other) = (rows(PREDICT_PAIRS, first, width)?, rows(PREDICT_PAIRS, second, width)?);
        if rows != other {
            return Err(input(
                PREDICT_PAIRS,
                format!("{rows} and {other} vectors"),
                "as many of each side".to_owned(),
            ));
        }
        let mut answers = Vec::with_capacity(rows * self.columns());
        let values = (self.rows_a_call(width) / 2).max(1) * width;
        for (first, second) in first.chunks(values).zip(second.chunks(values)) {
            answers.extend(self.answer(PREDICT_PAIRS, first.len() / width, |guest| {
                guest.ask(PREDICT_PAIRS, (view(first, width), view(second, width)))
            })?);
        }
        Ok(answers)
    }

    /// The lines that it has written since they were taken last.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        let mut log = std::mem::take(&mut self.log);
        if let Some(guest) = &mut self.guest {
            log.extend(guest.take_log());
        }
        log
    }

    /// One call and the check of its answer: `rows` rows of K numbers that are finite.
    fn answer(
        &mut self,
        call: &'static str,
        rows: usize,
        ask: impl FnOnce(&mut Guest) -> Result<Tensor, PluginError>,
    ) -> Result<Vec<f32>, PluginError> {
        let mut guest = match self.guest.take() {
            Some(guest) => guest,
            None => self.again()?,
        };
        let answer = ask(&mut guest);
        match answer {
            Ok(_) | Err(PluginError::Refused { .. }) => self.guest = Some(guest),
            // Whatever it holds may be half done.
            Err(_) => self.log.extend(guest.take_log()),
        }
        let answer = answer?;
        check(call, &answer, rows, &self.about)?;
        Ok(answer.data)
    }

    /// A new guest in the place of one that has died.
    fn again(&self) -> Result<Guest, PluginError> {
        let mut guest = self.blueprint.live()?;
        let about = begin(&mut guest, &self.setup)?;
        if about != self.about {
            return Err(PluginError::Answer {
                call: "describe",
                found: "another description than before".to_owned(),
                wanted: "the same each time".to_owned(),
            });
        }
        Ok(guest)
    }

    fn fits(&self, call: &'static str, takes: bool, what: &str, width: usize) -> Result<(), PluginError> {
        if !takes {
            return Err(input(call, what.to_owned(), format!("what the head {:?} takes", self.about.name)));
        }
        match self.about.width {
            Some(wanted) if wanted != width => {
                Err(input(call, format!("vectors of {width} numbers"), format!("{wanted} numbers")))
            }
            _ => Ok(()),
        }
    }

    /// Rows of `width` numbers, and of K answers, that fit in one call.
    fn rows_a_call(&self, width: usize) -> usize {
        let limits = self.blueprint.limits();
        let answers = limits.output_bytes() / 4 / 2 / self.columns().max(1);
        (limits.batch_values() / width.max(1)).min(answers).max(1)
    }

    /// The protein behind the last of those from `first` on that fit in one call.
    fn proteins_a_call(&self, offsets: &[usize], first: usize, width: usize) -> Result<usize, PluginError> {
        let most = self.rows_a_call(width);
        let mut end = first + 1;
        while end + 1 < offsets.len() && offsets[end + 1] - offsets[first] <= most {
            end += 1;
        }
        let bytes = (offsets[end] - offsets[first]).saturating_mul(width).saturating_mul(4);
        let limits = self.blueprint.limits();
        if bytes as u64 > limits.memory_bytes() {
            return Err(PluginError::Limit {
                call: PREDICT_RESIDUES,
                most: format!("{} MiB of memory for one protein of {bytes} bytes", limits.memory_mib),
                limit: "memory_mib",
            });
        }
        Ok(end)
    }
}

/// `init` and `describe`.
fn begin(guest: &mut Guest, setup: &Setup) -> Result<HeadAbout, PluginError> {
    guest.ask::<_, ()>("init", (setup.config.as_str(), setup.weights.as_deref()))?;
    let (info,): (HeadInfo,) = guest.call("describe", ())?;
    let (again,): (HeadInfo,) = guest.call("describe", ())?;
    if info != again {
        return Err(lie("two descriptions that differ", "the same each time"));
    }
    about(info)
}

fn about(info: HeadInfo) -> Result<HeadAbout, PluginError> {
    let HeadInfo { name, version, takes, width, outputs, row, meaning } = info;
    let Inputs { pooled: takes_pooled, residues: takes_residues, pairs: takes_pairs } = takes;
    check_names(&name, &version, &outputs)?;
    if outputs.is_empty() || outputs.len() > MOST_OUTPUTS {
        return Err(lie(&format!("{} outputs", outputs.len()), &format!("1 to {MOST_OUTPUTS}")));
    }
    if !takes_pooled && !takes_residues && !takes_pairs {
        return Err(lie("a head that takes nothing", "at least one of pooled, residues and pairs"));
    }
    if width == Some(0) {
        return Err(lie("a width of 0", "at least 1, or none"));
    }
    let width = width.map(|width| width as usize);
    Ok(HeadAbout { name, version, takes_pooled, takes_residues, takes_pairs, width, outputs, row, meaning })
}

/// Names stand in the heads of tables: they must be there, differ, and hold no control characters.
pub(crate) fn check_names(name: &str, version: &str, columns: &[String]) -> Result<(), PluginError> {
    let is_fine = |text: &str| !text.is_empty() && text.chars().count() <= LINE_CHARS && plain(text) == text;
    let all = [name, version].into_iter().chain(columns.iter().map(String::as_str));
    if let Some(bad) = all.clone().find(|text| !is_fine(text)) {
        let shown: String = plain(bad).chars().take(40).collect();
        return Err(lie(&format!("the name {shown:?}"), "1 to 1000 letters and no control characters"));
    }
    let mut sorted: Vec<&String> = columns.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(lie(&format!("the name {:?} twice", pair[0]), "names that differ")),
        None => Ok(()),
    }
}

pub(crate) fn lie(found: &str, wanted: &str) -> PluginError {
    PluginError::Answer { call: "describe", found: found.to_owned(), wanted: wanted.to_owned() }
}

fn check(call: &'static str, answer: &Tensor, rows: usize, about: &HeadAbout) -> Result<(), PluginError> {
    let columns = about.outputs.len();
    let wrong = |found: String, wanted: String| Err(PluginError::Answer { call, found, wanted });
    if answer.rows as usize != rows || answer.columns as usize != columns {
        return wrong(
            format!("{} rows and {} columns", answer.rows, answer.columns),
            format!("{rows} rows and {columns} columns"),
        );
    }
    if answer.data.len() != rows * columns {
        return wrong(
            format!("{} numbers", answer.data.len()),
            format!("{} numbers for {rows} rows and {columns} columns", rows * columns),
        );
    }
    let bad = |value: &f32| match about.meaning {
        Meaning::Probabilities => !(0.0..=1.0).contains(value),
        Meaning::Values | Meaning::Logits => !value.is_finite(),
    };
    match answer.data.iter().position(bad) {
        None => Ok(()),
        Some(place) => {
            let wanted = match about.meaning {
                Meaning::Probabilities => "a probability from 0 to 1",
                Meaning::Values | Meaning::Logits => "a finite number",
            };
            let (row, column) = (place / columns, place % columns);
            wrong(format!("{} in row {row}, column {column}", answer.data[place]), wanted.to_owned())
        }
    }
}

fn view(data: &[f32], width: usize) -> TensorView<'_> {
    // A part is at most some gigabytes long, as batches are.
    TensorView { rows: (data.len() / width) as u32, columns: width as u32, data }
}

fn input(call: &'static str, found: String, wanted: String) -> PluginError {
    PluginError::Input { call, found, wanted }
}

/// The number of rows of a matrix without what is not finite.
fn rows(call: &'static str, values: &[f32], width: usize) -> Result<usize, PluginError> {
    if width == 0 || !values.len().is_multiple_of(width) || u32::try_from(values.len()).is_err() {
        let wanted = "whole rows, and less than 2³² numbers".to_owned();
        return Err(input(call, format!("{} numbers in rows of {width}", values.len()), wanted));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(place) => {
            let found = format!("{} in row {}, column {}", values[place], place / width, place % width);
            Err(input(call, found, "finite numbers".to_owned()))
        }
        None => Ok(values.len() / width),
    }
}

/// Offsets begin with 0, do not descend, and end with the number of rows.
pub(crate) fn check_offsets(call: &'static str, offsets: &[usize], rows: usize) -> Result<(), PluginError> {
    let whole = offsets.first() == Some(&0) && offsets.last() == Some(&rows);
    if whole && offsets.windows(2).all(|pair| pair[0] <= pair[1]) {
        return Ok(());
    }
    Err(input(call, format!("{} offsets", offsets.len()), format!("ascending offsets from 0 to {rows}")))
}
