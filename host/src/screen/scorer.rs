//! Numbers of proteins to logits of a block of pairs.

use std::ops::Range;

use pliant_kernels::ops::pair_logits::{self, Sizes};
use pliant_kernels::{Buffer, Device};

use super::ScreenError;
use super::asked::Asked;
use super::asks::{Asks, COMPANY, Group, Lanes, Vectors, of_block, of_list};
use super::tally::Step;
use crate::engine::Judge;

/// Groups of pairs that a head that was taught is asked about at once: 4096 pairs at most.
const TOGETHER: usize = 64;

/// A size of logits that is above all that make sense, where the head sets none.
const LARGEST: f64 = 256.0;

/// A head, and what it is given of every protein.
pub struct Scorer {
    device: Device,
    /// Numbers of a protein.
    width: usize,
    /// `[proteins,width]`
    numbers: Vec<f32>,
    form: Form,
    /// No logit is larger.
    largest: f64,
}

/// How numbers of two proteins become a logit.
enum Form {
    /// By the tanh of their sums, with weights and bias.
    Sums { weights: Buffer<f32>, bias: f32 },
    /// By whatever the head does with both vectors.
    Head(Box<Judge>),
    /// By whatever a head that was brought does with them; the ids of the proteins, for what goes wrong.
    Brought { lanes: Lanes, ids: Vec<String> },
}

impl Scorer {
    /// What `numbers [proteins,K]`, which proteins give to a hidden layer of K units, make with weights `[K]` and bias of the
    /// last layer. All of them are finite.
    ///
    /// # Errors
    /// [`ScreenError::NotFinite`] with the id of the protein.
    pub fn new(
        device: Device,
        ids: &[String],
        numbers: Vec<f32>,
        (weights, bias): (&[f32], f32),
    ) -> Result<Self, ScreenError> {
        let width = weights.len();
        check(ids, &numbers, width)?;
        // No unit is above 1, and rounding adds far less than what is left of the steps.
        let largest = weights.iter().chain([&bias]).map(|&weight| f64::from(weight).abs()).sum();
        let form = Form::Sums { weights: device.upload(weights), bias };
        Ok(Self { device, width, numbers, form, largest })
    }

    /// What a head makes of vectors `[proteins,C]`, which are finite. It gives one number, the logit, or two, of which the
    /// logit is the second less the first.
    ///
    /// # Errors
    /// [`ScreenError::NotFinite`] with the id of the protein.
    pub fn of_head(
        device: Device,
        ids: &[String],
        vectors: Vec<f32>,
        (judge, width): (Judge, usize),
    ) -> Result<Self, ScreenError> {
        check(ids, &vectors, width)?;
        Ok(Self { device, width, numbers: vectors, form: Form::Head(Box::new(judge)), largest: LARGEST })
    }

    /// What heads that a user brings, one for each thread, make of vectors `[proteins,C]`, which are finite.
    ///
    /// # Errors
    /// [`ScreenError::NotFinite`] with the id of the protein.
    pub fn of_brought(
        device: Device,
        ids: &[String],
        vectors: Vec<f32>,
        (heads, width): (Vec<Box<dyn Asks>>, usize),
    ) -> Result<Self, ScreenError> {
        check(ids, &vectors, width)?;
        let form = Form::Brought { lanes: Lanes::new(heads), ids: ids.to_vec() };
        Ok(Self { device, width, numbers: vectors, form, largest: LARGEST })
    }

    /// How many proteins.
    pub fn proteins(&self) -> usize {
        self.numbers.len() / self.width.max(1)
    }

    /// In what steps logits are added up.
    pub fn step(&self) -> Step {
        Step::of(self.largest)
    }

    /// A size that no logit is above.
    pub fn largest(&self) -> f64 {
        self.largest
    }

    /// What computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Where a block ends that is to end about there.
    pub fn end(&self, about: usize) -> usize {
        match &self.form {
            Form::Sums { .. } | Form::Head(_) => about,
            // The company of a pair is never cut.
            Form::Brought { .. } => about.next_multiple_of(COMPANY),
        }
    }

    /// Logits `[R,N]` of proteins of two ranges; those of pairs that are not asked for may be no numbers. A pair is one with
    /// the lower number first.
    ///
    /// # Errors
    /// What the device or the head cannot do.
    pub fn block(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        asked: &Asked,
    ) -> anyhow::Result<Buffer<f32>> {
        if let Form::Sums { .. } = &self.form {
            let [first, second] = [&rows, &columns]
                .map(|range| &self.numbers[range.start * self.width..range.end * self.width]);
            return self.sums((first, rows.len()), (second, columns.len()));
        }
        let groups = of_block(rows.clone(), &columns, asked);
        let mut logits = vec![f32::NAN; rows.len() * columns.len()];
        for (group, told) in groups.iter().zip(self.told(&groups)?) {
            let row = (group.first - rows.start) * columns.len();
            for (second, logit) in group.seconds.iter().zip(told) {
                logits[row + second - columns.start] = logit;
            }
        }
        Ok(self.device.upload(&logits))
    }

    /// The logits of named pairs, those of one first protein standing together.
    ///
    /// # Errors
    /// What the device or the head cannot do.
    pub fn listed(&self, pairs: &[[u32; 2]]) -> anyhow::Result<Vec<f32>> {
        if let Form::Sums { .. } = &self.form {
            let groups = of_list(pairs, pairs.len().max(1));
            let mut logits = Vec::with_capacity(pairs.len());
            for group in &groups {
                let of = |number: usize| &self.numbers[number * self.width..(number + 1) * self.width];
                let others: Vec<f32> = group.seconds.iter().flat_map(|&second| of(second)).copied().collect();
                let own = self.sums((of(group.first), 1), (&others, group.seconds.len()))?;
                logits.extend_from_slice(own.as_slice());
            }
            return Ok(logits);
        }
        Ok(self.told(&of_list(pairs, COMPANY))?.concat())
    }

    /// Logits `[R,N]` of two lists of numbers.
    fn sums(
        &self,
        (first, rows): (&[f32], usize),
        (second, columns): (&[f32], usize),
    ) -> anyhow::Result<Buffer<f32>> {
        let Form::Sums { weights, bias } = &self.form else { return Ok(self.device.upload(&[])) };
        let mut y = self.device.scratch(rows * columns);
        let sizes = Sizes { rows, columns, units: self.width };
        let given = (&self.device.upload(first), &self.device.upload(second));
        pair_logits::forward(&self.device, sizes, given, (weights, *bias), &mut y)?;
        Ok(y)
    }

    /// The logits of groups of pairs, of a head that is asked about each.
    fn told(&self, groups: &[Group]) -> anyhow::Result<Vec<Vec<f32>>> {
        let vectors = Vectors { ids: &[], values: &self.numbers, width: self.width };
        let judge = match &self.form {
            Form::Sums { .. } => return Ok(Vec::new()),
            Form::Brought { lanes, ids } => return lanes.ask(groups, Vectors { ids, ..vectors }),
            Form::Head(judge) => judge,
        };
        let mut told = Vec::with_capacity(groups.len());
        for groups in groups.chunks(TOGETHER) {
            let answers = judge.answer(&vectors.both(groups), None)?;
            let pairs: usize = groups.iter().map(|group| group.seconds.len()).sum();
            let logit = |given: &[f32]| if let [first, second] = given { second - first } else { given[0] };
            let mut logits = answers.chunks_exact((answers.len() / pairs).max(1)).map(logit);
            told.extend(groups.iter().map(|group| logits.by_ref().take(group.seconds.len()).collect()));
        }
        Ok(told)
    }
}

/// Refuses numbers that are none.
fn check(ids: &[String], numbers: &[f32], width: usize) -> Result<(), ScreenError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(place) => {
            let (id, unit, value) = (ids[place / width].clone(), place % width, numbers[place]);
            Err(ScreenError::NotFinite { id, unit, value })
        }
    }
}
