//! Labels beside the numbers of a head: what is lost on them.
//!
//! | labels | numbers of a head | loss of an example |
//! |---|---|---|
//! | class, a class for each residue | a score for each class | `-ln softmax(scores)[class]` |
//! | one of two classes | a score for the second alone | its binary cross-entropy |
//! | any of several classes | a score for each class | binary cross-entropy of each |
//! | level | a score for each level above 0: whether the level is at least that | binary cross-entropy of each |
//! | number | the number less the mean of the training labels, in their deviations | its squared error |
//!
//! The loss of a step is the sum of these over its places (examples, residues, or examples times classes), divided by their
//! number.

use pliant_kernels::Precision;
use pliant_seq::tables::{IGNORED, Label, LabelKind, LabelledSet, Members};
use pliant_tensor::ops::{
    IGNORE, Kind, LinearPart, SoftmaxKind, bce_with_logits_over, cross_entropy_over, linear, mse_over,
    multiply, pool, scale, softmax,
};
use pliant_tensor::{Dtype, Ids, Param, ParamKind, Tape, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use anyhow::Context as _;

/// Where numbers have their middle, and how far they lie from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; 1 where they are all the same.
    pub deviation: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

impl Scale {
    /// That of `set`, where its labels are numbers.
    pub fn of(set: &LabelledSet) -> Self {
        let number = |example| match set.label(example) {
            Label::Number(number) => Some(number),
            _ => None,
        };
        let numbers: Vec<f64> = (0..set.len()).filter_map(number).collect();
        if numbers.is_empty() {
            return Self::default();
        }
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let variance = numbers.iter().map(|number| (number - mean) * (number - mean)).sum::<f64>() / count;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Self { mean, deviation }
    }

    fn scaled(self, number: f64) -> f64 {
        (number - self.mean) / self.deviation
    }

    /// The number that a head means.
    pub fn meant(self, number: f32) -> f64 {
        f64::from(number) * self.deviation + self.mean
    }
}

/// How much labels count, so that each class counts as much as any other.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// Of examples that are not of a class, where an example may be of several.
    without: Vec<f32>,
    /// `[N]` of those that are.
    with: Vec<f32>,
}

impl Balance {
    /// That of `set`; nothing of numbers, which have no classes.
    pub fn of(set: &LabelledSet) -> Option<Self> {
        let counts: Vec<f64> = set.counts().into_iter().map(|count| count as f64).collect();
        let share = |all: f64, parts: f64, count: f64| if count > 0.0 { all / (parts * count) } else { 0.0 };
        let all = set.len() as f64;
        match set.kind() {
            LabelKind::Number => None,
            LabelKind::Class | LabelKind::Residues => {
                let (all, parts) = (counts.iter().sum::<f64>(), counts.len() as f64);
                let with = counts.iter().map(|&count| share(all, parts, count) as f32).collect();
                Some(Self { without: Vec::new(), with })
            }
            LabelKind::Classes | LabelKind::Level => {
                let positive: Vec<f64> = if set.kind() == LabelKind::Classes {
                    counts
                } else {
                    (1..counts.len()).map(|level| counts[level..].iter().sum()).collect()
                };
                let with = positive.iter().map(|&count| share(all, 2.0, count) as f32).collect();
                let without = positive.iter().map(|&count| share(all, 2.0, all - count) as f32).collect();
                Some(Self { without, with })
            }
        }
    }
}

/// Labels of a set, as a head is held to them.
pub struct Targets<'a> {
    /// The examples.
    pub set: &'a LabelledSet,
    /// Residues of a sequence that are looked at, at most.
    pub limit: usize,
    /// How numbers are scaled.
    pub scale: Scale,
    /// How much classes count.
    pub balance: Option<Balance>,
}

impl Targets<'_> {
    /// Rows of numbers that a head gives for an example.
    pub fn rows(&self, example: usize) -> usize {
        match (self.set.kind(), self.set.members(example)) {
            (LabelKind::Residues, Members::One(sequence)) => self.length(sequence),
            _ => 1,
        }
    }

    /// Residues of a sequence that are looked at.
    pub fn length(&self, sequence: usize) -> usize {
        self.set.sequence(sequence).len().min(self.limit)
    }

    /// Places of an example that count in the loss.
    pub fn places(&self, example: usize) -> usize {
        match self.set.label(example) {
            Label::Class(_) | Label::Number(_) => 1,
            Label::Classes(_) | Label::Level(_) => self.set.labels().width(),
            Label::Residues(classes) => {
                classes.iter().take(self.limit).filter(|class| **class != IGNORED).count()
            }
        }
    }

    /// The sum of what is lost on `examples`, whose numbers are the rows of `given`, divided by `denominator`: `[1,1]`.
    ///
    /// # Errors
    /// Numbers that are not as many as the labels want.
    pub fn loss(
        &self,
        tape: &Tape,
        given: &Tensor,
        examples: &[usize],
        denominator: usize,
    ) -> anyhow::Result<Tensor> {
        let weights = self.weights(examples);
        let weights = weights.as_deref();
        match self.set.kind() {
            LabelKind::Class if given.columns() == 1 => {
                let flags: Vec<f32> = examples.iter().map(|&example| self.second(example)).collect();
                Ok(bce_with_logits_over(tape, given, &flags, weights, denominator)?)
            }
            LabelKind::Class | LabelKind::Residues => {
                let classes: Vec<u32> = examples.iter().flat_map(|&example| self.classes(example)).collect();
                match weights {
                    None => {
                        let targets = Ids::new(tape.device(), &classes);
                        Ok(cross_entropy_over(tape, given, &targets, denominator)?)
                    }
                    Some(weights) => weighted(tape, given, (&classes, weights), denominator),
                }
            }
            LabelKind::Classes | LabelKind::Level => {
                let flags: Vec<f32> = examples.iter().flat_map(|&example| self.flags(example)).collect();
                Ok(bce_with_logits_over(tape, given, &flags, weights, denominator)?)
            }
            LabelKind::Number => {
                let numbers: Vec<f32> = examples.iter().map(|&example| self.number(example) as f32).collect();
                Ok(mse_over(tape, given, &numbers, weights, denominator)?)
            }
        }
    }

    /// What is lost on one example with these numbers, computed in 64 bits, without weights.
    pub fn lost(&self, given: &[f32], example: usize) -> f64 {
        match self.set.kind() {
            LabelKind::Class if given.len() == 1 => {
                binary(f64::from(given[0]), f64::from(self.second(example)))
            }
            LabelKind::Class | LabelKind::Residues => {
                let width = self.set.labels().width();
                let rows = given.chunks_exact(width).zip(self.classes(example));
                let counted = rows.filter(|(_, class)| *class != IGNORE);
                counted.map(|(row, class)| -log_softmax(row, class as usize)).sum()
            }
            LabelKind::Classes | LabelKind::Level => {
                let flags = self.flags(example);
                given.iter().zip(flags).map(|(&score, flag)| binary(f64::from(score), f64::from(flag))).sum()
            }
            LabelKind::Number => {
                let error = given.first().map_or(f64::NAN, |&x| f64::from(x)) - self.number(example);
                error * error
            }
        }
    }

    /// 1 of the second of two classes, else 0.
    fn second(&self, example: usize) -> f32 {
        if matches!(self.set.label(example), Label::Class(1)) { 1.0 } else { 0.0 }
    }

    fn classes(&self, example: usize) -> Vec<u32> {
        match self.set.label(example) {
            Label::Class(class) => vec![class],
            Label::Residues(classes) => {
                let target = |&class: &u8| if class == IGNORED { IGNORE } else { u32::from(class) };
                classes.iter().take(self.limit).map(target).collect()
            }
            _ => Vec::new(),
        }
    }

    fn flags(&self, example: usize) -> Vec<f32> {
        let flag = |is: bool| f32::from(u8::from(is));
        match self.set.label(example) {
            Label::Classes(of) => of.iter().map(|&is| flag(is)).collect(),
            Label::Level(level) => {
                (1..=self.set.labels().width()).map(|above| flag(usize::from(level) >= above)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn number(&self, example: usize) -> f64 {
        match self.set.label(example) {
            Label::Number(number) => self.scale.scaled(number),
            _ => 0.0,
        }
    }

    /// How much each place counts; nothing where all count alike.
    fn weights(&self, examples: &[usize]) -> Option<Vec<f32>> {
        if self.balance.is_none() && examples.iter().all(|&example| self.set.weight(example) == 1.0) {
            return None;
        }
        let mut weights = Vec::new();
        for &example in examples {
            let own = self.set.weight(example);
            match (self.set.kind(), &self.balance) {
                (LabelKind::Class | LabelKind::Residues, balance) => {
                    let of = |class: u32| match balance {
                        Some(balance) if class != IGNORE => balance.with[class as usize],
                        _ => 1.0,
                    };
                    weights.extend(self.classes(example).into_iter().map(|class| own * of(class)));
                }
                (LabelKind::Number, _) => weights.push(own),
                (_, None) => weights.extend(self.flags(example).iter().map(|_| own)),
                (_, Some(Balance { without, with })) => {
                    let flags = self.flags(example).into_iter().zip(with.iter().zip(without));
                    weights.extend(
                        flags.map(|(is, (with, without))| own * if is > 0.5 { *with } else { *without }),
                    );
                }
            }
        }
        Some(weights)
    }
}

/// Sum of the cross-entropies of rows, each times its weight, divided by `denominator`.
fn weighted(
    tape: &Tape,
    scores: &Tensor,
    (classes, weights): (&[u32], &[f32]),
    denominator: usize,
) -> anyhow::Result<Tensor> {
    let shape @ [rows, width] = scores.shape();
    let mut signs = vec![0.0; rows * width];
    for (row, (&class, &weight)) in classes.iter().zip(weights).enumerate() {
        if class != IGNORE {
            signs[row * width + class as usize] = -weight;
        }
    }
    let device = tape.device();
    let lost = softmax(tape, scores, SoftmaxKind::Logarithms)?;
    let lost = multiply(tape, &lost, &Tensor::from_f32(device, shape, &signs)?)?;
    let mean = pool(tape, &lost, Kind::Mean, &[(0, rows)])?;
    let part = scale(tape, &mean, rows as f32 / denominator as f32)?;
    let ones = vec![1.0; width];
    let ones = Param::frozen(device, Precision::F32, "ones", &[1, width], &ones, ParamKind::Matrix)?;
    let sum = LinearPart {
        weight: &Arc::new(ones),
        rows: None,
        bias: &[],
        epilogue: pliant_tensor::ops::Epilogue::Store,
        out: Dtype::F32,
    };
    linear(tape, &part, &[sum])?.pop().context("a sum without a number")
}

/// `ln softmax(row)[class]`.
fn log_softmax(row: &[f32], class: usize) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&score| libm::exp(f64::from(score - most))).sum();
    f64::from(row[class] - most) - libm::log(sum)
}

/// `-t·ln p - (1-t)·ln(1-p)` of a score before its logistic function.
fn binary(score: f64, target: f64) -> f64 {
    score.max(0.0) - score * target + libm::log1p(libm::exp(-score.abs()))
}
