//! Numbers of proteins to logits of a block of pairs.

use std::ops::Range;

use pliant_kernels::ops::pair_logits::{self, Sizes};
use pliant_kernels::{Buffer, Device};

use super::ScreenError;
use super::tally::Step;
use crate::engine::Judge;

/// Pairs that a head is asked about at once.
const TOGETHER: usize = 4096;

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

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        match &self.device {
            Device::Cpu(cpu) => cpu.threads().count(),
            Device::Cuda(_) => 1,
        }
    }

    /// Logits `[R,N]` of proteins of two ranges.
    ///
    /// # Errors
    /// What the device cannot do.
    pub fn block(&self, rows: Range<usize>, columns: Range<usize>) -> anyhow::Result<Buffer<f32>> {
        let [first, second] =
            [&rows, &columns].map(|range| &self.numbers[range.start * self.width..range.end * self.width]);
        self.logits((first, rows.len()), (second, columns.len()))
    }

    /// Logits of one protein with some others.
    ///
    /// # Errors
    /// What the device cannot do.
    pub fn row(&self, first: usize, partners: &[usize]) -> anyhow::Result<Buffer<f32>> {
        let of = |number: usize| &self.numbers[number * self.width..(number + 1) * self.width];
        let others: Vec<f32> = partners.iter().flat_map(|&partner| of(partner)).copied().collect();
        self.logits((of(first), 1), (&others, partners.len()))
    }

    fn logits(
        &self,
        (first, rows): (&[f32], usize),
        (second, columns): (&[f32], usize),
    ) -> anyhow::Result<Buffer<f32>> {
        let Form::Sums { weights, bias } = &self.form else {
            return self.asked((first, rows), (second, columns));
        };
        let mut y = self.device.scratch(rows * columns);
        let sizes = Sizes { rows, columns, units: self.width };
        let given = (&self.device.upload(first), &self.device.upload(second));
        pair_logits::forward(&self.device, sizes, given, (weights, *bias), &mut y)?;
        Ok(y)
    }

    /// The head asked about pair after pair.
    fn asked(
        &self,
        (first, rows): (&[f32], usize),
        (second, columns): (&[f32], usize),
    ) -> anyhow::Result<Buffer<f32>> {
        let Form::Head(judge) = &self.form else { return Ok(self.device.upload(&[])) };
        let (width, pairs) = (self.width, rows * columns);
        let mut logits = Vec::with_capacity(pairs);
        for start in (0..pairs).step_by(TOGETHER) {
            let range = start..pairs.min(start + TOGETHER);
            let mut given = Vec::with_capacity(2 * range.len() * width);
            for pair in range.clone() {
                given.extend_from_slice(&first[pair / columns * width..][..width]);
            }
            for pair in range.clone() {
                given.extend_from_slice(&second[pair % columns * width..][..width]);
            }
            let answers = judge.answer(&given, None)?;
            let outputs = answers.len() / range.len();
            let logit = |given: &[f32]| if let [first, second] = given { second - first } else { given[0] };
            logits.extend(answers.chunks_exact(outputs).map(logit));
        }
        Ok(self.device.upload(&logits))
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
