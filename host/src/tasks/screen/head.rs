//! The head of a screen, and what it is given of every protein.
//!
//! A head of the mean of two vectors with a hidden layer and tanh takes them apart: the hidden layer of the mean is the sum
//! of what half of each vector makes of it. Any other head of pooled vectors is asked about pair after pair.

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::heads::{Activation, Given, Head, LoadedHead};
use pliant_nn::Linear;
use pliant_seq::tables::LabelKind;
use pliant_tensor::ops::Epilogue;
use pliant_tensor::{Dtype, Tape, Tensor};

use crate::engine::Judge;
use crate::screen::scorer::Scorer;
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;
use crate::supervised::stored::Stored;

/// Proteins that are taken together.
const TOGETHER: usize = 4096;

/// A head of pairs.
pub(super) struct PairHead {
    loaded: LoadedHead,
    judge: Judge,
    device: Device,
    inputs: usize,
}

impl PairHead {
    /// The head of a folder.
    ///
    /// # Errors
    /// One that tells no two classes of pairs by their vectors, and weights that are damaged or no numbers.
    pub(super) fn load(folder: &HeadFolder, device: &Device) -> anyhow::Result<Self> {
        let config = &folder.card.head;
        let is_fit = config.kind.takes_pairs()
            && !config.reads_states()
            && folder.kind == LabelKind::Class
            && folder.card.labels.classes.len() == 2;
        if !is_fit {
            let what = format!(
                "{} is no head that a screen can be made with: wanted one that tells two classes of pairs by pooled vectors",
                folder.path.display()
            );
            return Err(HeadError::Unfit { what }.into());
        }
        let loaded = LoadedHead::load(&folder.weights(), config, (device, Precision::F32), false)
            .with_context(|| format!("the head {} cannot be used", folder.path.display()))?;
        let judge = Judge::load(folder, device)?;
        Ok(Self { loaded, judge, device: device.clone(), inputs: config.inputs })
    }

    /// The hidden layer and that of the outputs, where the head can be taken apart.
    fn layers(&self) -> Option<(&Linear, &Linear)> {
        let Head::Average(head) = &self.loaded.head else { return None };
        let (hidden, output) = head.layers();
        (head.activation() == Activation::Tanh).then_some((hidden?, output))
    }

    /// Numbers of a protein that the scorer is given.
    pub(super) fn width(&self) -> usize {
        self.layers().map_or(self.inputs, |(hidden, _)| hidden.weight.shape()[0])
    }

    /// `[proteins,width]` what the scorer is given of vectors `[proteins,C]`: half of what the hidden layer makes of each, or
    /// the vectors as they are.
    ///
    /// # Errors
    /// What the device cannot do.
    pub(super) fn numbers(&self, vectors: &[f32]) -> anyhow::Result<Vec<f32>> {
        let Some((hidden, _)) = self.layers() else { return Ok(vectors.to_vec()) };
        let tape = Tape::off(&self.device, Precision::F32);
        let mut numbers = Vec::new();
        for vectors in vectors.chunks(TOGETHER * self.inputs) {
            let rows = Tensor::from_f32(&self.device, [vectors.len() / self.inputs, self.inputs], vectors)?;
            let rows = self.loaded.vectors(&tape, Given::Vectors(&rows))?;
            let sums = hidden.forward(&tape, &rows, Epilogue::Store, Dtype::F32)?;
            numbers.extend(sums.to_vec_f32().into_iter().map(|sum| 0.5 * sum));
        }
        Ok(numbers)
    }

    /// The same of vectors that were computed.
    ///
    /// # Errors
    /// What the device cannot do, or the system.
    pub(super) fn numbers_of(&self, stored: &Stored) -> anyhow::Result<Vec<f32>> {
        let (mut numbers, mut vectors) = (Vec::new(), Vec::new());
        for sequence in 0..stored.sequences() {
            stored.read(sequence, &mut vectors)?;
            if vectors.len() >= TOGETHER * self.inputs {
                numbers.extend(self.numbers(&vectors)?);
                vectors.clear();
            }
        }
        numbers.extend(self.numbers(&vectors)?);
        Ok(numbers)
    }

    /// What scores the pairs of proteins with these numbers.
    ///
    /// # Errors
    /// Numbers that are none.
    pub(super) fn scorer(self, ids: &[String], numbers: Vec<f32>) -> anyhow::Result<Scorer> {
        let width = self.width();
        let Some((weights, bias)) = self.last()? else {
            return Ok(Scorer::of_head(self.device, ids, numbers, (self.judge, width))?);
        };
        Ok(Scorer::new(self.device, ids, numbers, (&weights, bias))?)
    }

    /// Weights `[K]` and bias of the logit, where the head can be taken apart. Of two outputs the logit is the second less
    /// the first.
    fn last(&self) -> anyhow::Result<Option<(Vec<f32>, f32)>> {
        let Some((_, output)) = self.layers() else { return Ok(None) };
        let (weights, units) = (output.weight.values()?, self.width());
        let bias = output.bias.as_ref().map(|bias| bias.values()).transpose()?;
        let bias = bias.unwrap_or_else(|| vec![0.0; weights.len() / units]);
        Ok(Some(match bias.as_slice() {
            [first, second] => {
                let (one, other) = weights.split_at(units);
                (other.iter().zip(one).map(|(second, first)| second - first).collect(), second - first)
            }
            _ => (weights, bias.first().copied().unwrap_or_default()),
        }))
    }
}
