//! The head of a screen, and what it is given of every protein.
//!
//! A head of the mean of two vectors with a hidden layer and tanh takes them apart: the hidden layer of the mean is the sum
//! of what half of each vector makes of it. Any other head of pooled vectors is asked about pair after pair; one that was
//! brought by as many guests as there are threads.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::heads::{Activation, Given, Head, LoadedHead};
use pliant_nn::Linear;
use pliant_plugin::{LogLine, Way};
use pliant_seq::tables::LabelKind;
use pliant_tensor::ops::Epilogue;
use pliant_tensor::{Dtype, Tape, Tensor};

use crate::cli::screen::ScreenPlan;
use crate::engine::Judge;
use crate::screen::asks::Asks;
use crate::screen::scorer::Scorer;
use crate::supervised::HeadError;
use crate::supervised::brought::{Brought, is_brought};
use crate::supervised::card::HeadFolder;
use crate::supervised::onnx_head::OnnxHead;
use crate::supervised::stored::Stored;
use crate::supervised::telling::Telling;
use crate::tasks::asked::Asked;

/// Operations of a unit of a pair, so many that the rate that estimates assume is half of what was measured.
const UNIT_FLOPS: f64 = 8.0;

/// Proteins that are taken together.
const TOGETHER: usize = 4096;

/// A head of pairs.
pub(super) struct PairHead {
    asked: Asked,
    taught: Option<TaughtHead>,
    device: Device,
}

/// One that was taught here, ready to compute.
struct TaughtHead {
    loaded: LoadedHead,
    judge: Judge,
    inputs: usize,
}

/// The guests of a plugin that answer at the same time.
pub(super) struct Guests(Vec<Arc<Mutex<Brought>>>);

impl PairHead {
    /// The head that a plan names: a folder, a manifest or an ONNX file.
    ///
    /// # Errors
    /// One that tells no two classes of pairs, and no number, by their vectors; weights that are damaged or no numbers.
    pub(super) fn open(plan: &ScreenPlan, device: &Device) -> anyhow::Result<Self> {
        // Whatever else a plugin takes, it is asked about pairs.
        let way = is_brought(&plan.head).then_some(Way::Pairs);
        let asked = Asked::open(&plan.head, (&plan.guest, way), 0)?;
        let taught = match &asked {
            Asked::Taught(folder) => Some(TaughtHead::load(folder, device)?),
            Asked::Brought(_) | Asked::Onnx(_) => None,
        };
        let (path, telling) = (asked.path().display(), asked.telling());
        let unfit = |found: String, wanted: &str| {
            let what = format!("{path} is no head that a screen can be made with: {found}, wanted {wanted}");
            Err(HeadError::Unfit { what }.into())
        };
        if taught.is_none() && asked.way() != Way::Pairs {
            return unfit(format!("it reads {}", asked.way().name()), "one that reads pairs of vectors");
        }
        if taught.is_none() && !telling.has_logit() {
            let found =
                format!("it tells {} numbers of a pair ({})", telling.width, telling.names.join(", "));
            return unfit(found, "one number, or those of two classes");
        }
        Ok(Self { asked, taught, device: device.clone() })
    }

    /// The head as other commands ask it.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Numbers of a protein that the scorer is given, of vectors of `width`.
    pub(super) fn units(&self, width: usize) -> usize {
        self.taught.as_ref().map_or(width, TaughtHead::units)
    }

    /// Operations that a pair costs, about; nothing of a head that was brought, which is asked whatever it does.
    pub(super) fn pair_flops(&self) -> Option<f64> {
        self.taught.as_ref().map(TaughtHead::pair_flops)
    }

    /// `[proteins,units]` what the scorer is given of vectors `[proteins,C]`: half of what the hidden layer makes of each, or
    /// the vectors as they are.
    ///
    /// # Errors
    /// What the device cannot do.
    pub(super) fn numbers(&self, vectors: &[f32]) -> anyhow::Result<Vec<f32>> {
        let Some((taught, (hidden, _))) =
            self.taught.as_ref().and_then(|taught| Some((taught, taught.layers()?)))
        else {
            return Ok(vectors.to_vec());
        };
        let tape = Tape::off(&self.device, Precision::F32);
        let mut numbers = Vec::new();
        for vectors in vectors.chunks(TOGETHER * taught.inputs) {
            let sides = [vectors.len() / taught.inputs, taught.inputs];
            let rows = Tensor::from_f32(&self.device, sides, vectors)?;
            let rows = taught.loaded.vectors(&tape, Given::Vectors(&rows))?;
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
            if vectors.len() >= TOGETHER * stored.width() {
                numbers.extend(self.numbers(&vectors)?);
                vectors.clear();
            }
        }
        numbers.extend(self.numbers(&vectors)?);
        Ok(numbers)
    }

    /// What scores the pairs of proteins with these numbers, and the guests in it; `threads` heads that were brought answer
    /// at the same time.
    ///
    /// # Errors
    /// Numbers that are none, and what goes wrong as a guest starts.
    pub(super) fn scorer(
        self,
        ids: &[String],
        numbers: Vec<f32>,
        threads: usize,
    ) -> anyhow::Result<(Scorer, Guests)> {
        let width = numbers.len() / ids.len().max(1);
        let (telling, threads) = (self.asked.telling(), threads.max(1));
        let mut guests = Guests(Vec::new());
        let heads: Vec<Box<dyn Asks>> = match self.asked {
            Asked::Taught(_) => {
                let taught = self.taught.context("a head that was taught is loaded")?;
                return Ok((taught.scorer(self.device, ids, numbers)?, guests));
            }
            Asked::Brought(first) => {
                let others = (1..threads).map(|_| first.again()).collect::<anyhow::Result<Vec<_>>>()?;
                let all = std::iter::once(*first).chain(others);
                guests.0 = all.map(|guest| Arc::new(Mutex::new(guest))).collect();
                let asks = |head: &Arc<Mutex<Brought>>| {
                    let (head, telling) = (Arc::clone(head), telling.clone());
                    Box::new(Guest { head, telling, width }) as Box<dyn Asks>
                };
                guests.0.iter().map(asks).collect()
            }
            Asked::Onnx(head) => {
                let head: Arc<OnnxHead> = Arc::from(head);
                let asks = |_| {
                    let (head, telling) = (Arc::clone(&head), telling.clone());
                    Box::new(OnnxFile { head, telling }) as Box<dyn Asks>
                };
                (0..threads).map(asks).collect()
            }
        };
        Ok((Scorer::of_brought(self.device, ids, numbers, (heads, width))?, guests))
    }
}

impl TaughtHead {
    /// The head of a folder.
    fn load(folder: &HeadFolder, device: &Device) -> anyhow::Result<Self> {
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
        Ok(Self { loaded, judge: Judge::load(folder, device)?, inputs: config.inputs })
    }

    /// The hidden layer and that of the outputs, where the head can be taken apart.
    fn layers(&self) -> Option<(&Linear, &Linear)> {
        let Head::Average(head) = &self.loaded.head else { return None };
        let (hidden, output) = head.layers();
        (head.activation() == Activation::Tanh).then_some((hidden?, output))
    }

    fn units(&self) -> usize {
        self.layers().map_or(self.inputs, |(hidden, _)| hidden.weight.shape()[0])
    }

    fn pair_flops(&self) -> f64 {
        let parameters: usize =
            self.loaded.weights().iter().map(|weight| weight.shape.iter().product::<usize>()).sum();
        // Of a head that is taken apart: a sum, the part of a division, and the weight of each unit.
        if self.layers().is_some() { UNIT_FLOPS * self.units() as f64 } else { 2.0 * parameters as f64 }
    }

    fn scorer(self, device: Device, ids: &[String], numbers: Vec<f32>) -> anyhow::Result<Scorer> {
        let width = self.units();
        let Some((weights, bias)) = self.last()? else {
            return Ok(Scorer::of_head(device, ids, numbers, (self.judge, width))?);
        };
        Ok(Scorer::new(device, ids, numbers, (&weights, bias))?)
    }

    /// Weights `[K]` and bias of the logit, where the head can be taken apart. Of two outputs the logit is the second less
    /// the first.
    fn last(&self) -> anyhow::Result<Option<(Vec<f32>, f32)>> {
        let Some((_, output)) = self.layers() else { return Ok(None) };
        let (weights, units) = (output.weight.values()?, self.units());
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

/// A guest as a thread asks it.
struct Guest {
    head: Arc<Mutex<Brought>>,
    telling: Telling,
    width: usize,
}

impl Asks for Guest {
    fn logits(&mut self, both: &[f32]) -> anyhow::Result<Vec<f32>> {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let told = head.answer(both, self.width)?;
        Ok(told.chunks_exact(self.telling.width).map(|row| self.telling.logit(row)).collect())
    }
}

/// An ONNX file as a thread asks it: a whole block of its rows at a time.
struct OnnxFile {
    head: Arc<OnnxHead>,
    telling: Telling,
}

impl Asks for OnnxFile {
    fn logits(&mut self, both: &[f32]) -> anyhow::Result<Vec<f32>> {
        let told = self.head.answer(both)?;
        Ok(told.chunks_exact(self.telling.width).map(|row| self.telling.logit(row)).collect())
    }
}

impl Guests {
    /// What the guests have written, with the name of their plugin: a line that several have written once.
    pub(super) fn take_log(&self) -> Option<(String, Vec<LogLine>)> {
        let mut all: Option<(String, Vec<LogLine>)> = None;
        for guest in &self.0 {
            let (name, lines) = guest.lock().unwrap_or_else(PoisonError::into_inner).take_log();
            let (_, kept) = all.get_or_insert_with(|| (name, Vec::new()));
            for line in lines {
                if !kept.contains(&line) {
                    kept.push(line);
                }
            }
        }
        all
    }
}
