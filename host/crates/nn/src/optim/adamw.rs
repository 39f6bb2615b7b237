//! AdamW over the parameters of a model (Loshchilov and Hutter, ICLR 2019), as `torch.optim.AdamW` with
//! `torch.nn.utils.clip_grad_norm_`; the equations stand in `pliant_kernels::ops::adamw`.
//!
//! The same kernel takes the steps of BertAdam (the optimiser of the first BERT in PyTorch), see [`Rule`].
//!
//! Everything is a fixed function of gradients and state: sums over parameters go in the order in which they were
//! given, and neither threads nor a restart in between change a bit.

use std::collections::BTreeSet;
use std::sync::Arc;

use pliant_tensor::ops::{Moments, Step, adamw, gradient_squares};
use pliant_tensor::{Param, TensorError};

use super::error::{OptimError, check};

/// What `clip_grad_norm_` adds to a norm before it divides by it (`torch/nn/utils/clip_grad.py`).
const NORM_EPSILON: f64 = 1e-6;

/// How a step is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// Moments are corrected for their start from zero; parameters with [`Param::decay`] decay; the norm that gradients are
    /// clipped to is that of all of them.
    #[default]
    AdamW,
    /// BertAdam: `p = p - α·(m/(√v + ε) + decay·p)`. Nothing is corrected, every parameter decays, and the norm is that of
    /// each parameter for itself.
    Bert,
}

/// Settings that hold for a whole run. There are no defaults: those of published programs differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// β₁, how much of the mean of gradients a step keeps; 0 to below 1.
    pub beta1: f64,
    /// β₂, the same for the mean of their squares.
    pub beta2: f64,
    /// ε, added to the root of the latter; above 0.
    pub epsilon: f64,
    /// Decay of parameters, to be multiplied by the learning rate; at least 0.
    pub weight_decay: f64,
    /// How a step is taken.
    pub rule: Rule,
}

impl AdamWSettings {
    fn check(&self) -> Result<(), OptimError> {
        for (what, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            check(what, beta, "a number from 0 to below 1", (0.0..1.0).contains(&beta))?;
        }
        let Self { epsilon, weight_decay, .. } = *self;
        check("epsilon", epsilon, "a finite number above 0", epsilon.is_finite() && epsilon as f32 > 0.0)?;
        let good = weight_decay.is_finite() && weight_decay >= 0.0;
        check("weight_decay", weight_decay, "a finite number of at least 0", good)
    }
}

/// What a step met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Root of the sum of squares of all gradients, before clipping.
    pub gradient_norm: f64,
    /// Whether they were made smaller.
    pub clipped: bool,
}

#[derive(Debug)]
struct Entry {
    param: Arc<Param>,
    moments: Moments,
}

/// The optimiser: parameters with the running means of their gradients.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    entries: Vec<Entry>,
    steps_done: u64,
}

impl AdamW {
    /// An optimiser of those of `params` that are trainable, before its first step.
    ///
    /// # Errors
    /// [`OptimError::Setting`] for settings that make no sense, [`OptimError::Nothing`] when nothing is trainable,
    /// [`OptimError::Twice`] when a name comes twice.
    pub fn new(params: &[Arc<Param>], settings: AdamWSettings) -> Result<Self, OptimError> {
        settings.check()?;
        let mut names = BTreeSet::new();
        let mut entries = Vec::new();
        for param in params.iter().filter(|param| param.is_trainable()) {
            if !names.insert(param.name()) {
                return Err(OptimError::Twice { name: param.name().to_owned() });
            }
            entries.push(Entry { param: Arc::clone(param), moments: Moments::zeros(param) });
        }
        if entries.is_empty() {
            return Err(OptimError::Nothing { given: params.len() });
        }
        Ok(Self { settings, entries, steps_done: 0 })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> AdamWSettings {
        self.settings
    }

    /// Number of steps taken.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Root of the sum of squares of all gradients, in 64 bits, parameters in the order given.
    ///
    /// # Errors
    /// [`OptimError::NotFinite`] naming the first parameter whose gradient is not, [`TensorError::NoGradient`] naming
    /// all that got none since the last step.
    pub fn gradient_norm(&self) -> Result<f64, OptimError> {
        Ok(self.squares()?.iter().sum::<f64>().sqrt())
    }

    /// The sum of squares of the gradient of each parameter.
    fn squares(&self) -> Result<Vec<f64>, OptimError> {
        let (mut all, mut without) = (Vec::with_capacity(self.entries.len()), Vec::new());
        for Entry { param, .. } in &self.entries {
            match gradient_squares(param)? {
                None => without.push(param.name().to_owned()),
                Some(squares) if squares.is_finite() => all.push(squares),
                Some(_) => return Err(not_finite(param)),
            }
        }
        if without.is_empty() { Ok(all) } else { Err(TensorError::NoGradient { names: without }.into()) }
    }

    /// Moves every parameter one step along its gradient and forgets the gradients. With `clip`, gradients whose
    /// norm is larger are scaled down to it.
    ///
    /// # Errors
    /// Those of [`AdamW::gradient_norm`] and [`OptimError::Setting`] for a rate or a norm that makes no sense; nothing
    /// has been changed then.
    pub fn step(&mut self, learning_rate: f64, clip: Option<f64>) -> Result<StepReport, OptimError> {
        let good = learning_rate.is_finite() && learning_rate >= 0.0;
        check("the learning rate", learning_rate, "a finite number of at least 0", good)?;
        let largest = clip.unwrap_or(1.0);
        let good = largest.is_finite() && largest > 0.0;
        check("the norm to clip to", largest, "a finite number above 0", good)?;
        let squares = self.squares()?;
        let gradient_norm = squares.iter().sum::<f64>().sqrt();
        let factor_of = |norm: f64| clip.map_or(1.0, |largest| (largest / (norm + NORM_EPSILON)).min(1.0));
        let AdamWSettings { beta1, beta2, epsilon, weight_decay, rule } = self.settings;
        // What a correction comes to in the end is none.
        let number = if rule == Rule::Bert { u64::MAX } else { self.steps_done + 1 };
        let mut clipped = false;
        for (Entry { param, moments }, squares) in self.entries.iter_mut().zip(squares) {
            let decays = rule == Rule::Bert || param.decay();
            let weight_decay = if decays { weight_decay } else { 0.0 };
            let factor = factor_of(if rule == Rule::Bert { squares.sqrt() } else { gradient_norm });
            clipped |= factor < 1.0;
            let step = Step { number, learning_rate, beta1, beta2, epsilon, weight_decay, factor };
            adamw(param, moments, &step)?;
            param.zero_grad();
        }
        self.steps_done += 1;
        Ok(StepReport { gradient_norm, clipped })
    }

    /// Every parameter with the running means of its gradients and of their squares: together with
    /// [`AdamW::steps_done`] all there is to save.
    pub fn moments(&self) -> impl Iterator<Item = (&Arc<Param>, &[f32], &[f32])> {
        self.entries.iter().map(|Entry { param, moments }| (param, moments.first(), moments.second()))
    }

    /// Goes on where another optimiser stopped after `steps_done` steps. `saved` are the names of the parameters whose
    /// moments were saved, and `read` gives those of one: means of gradients, then of their squares.
    ///
    /// # Errors
    /// [`OptimError`] naming the parameter: one of which nothing was saved or whose moments `read` does not give, a
    /// name that is no parameter here, moments of another size, or values that no gradients leave. Moments are taken
    /// one parameter after another, so an optimiser that could not be restored is of no further use.
    pub fn restore<'a>(
        &mut self,
        steps_done: u64,
        saved: impl IntoIterator<Item = &'a str>,
        mut read: impl FnMut(&str) -> Option<(Vec<f32>, Vec<f32>)>,
    ) -> Result<(), OptimError> {
        let saved: BTreeSet<&str> = saved.into_iter().collect();
        let known: BTreeSet<&str> = self.entries.iter().map(|entry| entry.param.name()).collect();
        if let Some(&name) = saved.difference(&known).next() {
            return Err(OptimError::UnknownMoments { name: name.into() });
        }
        let missing = |name: &str| OptimError::MissingMoments { name: name.to_owned() };
        if let Some(name) = known.difference(&saved).next() {
            return Err(missing(name));
        }
        for Entry { param, moments } in &mut self.entries {
            let (first, second) = read(param.name()).ok_or_else(|| missing(param.name()))?;
            check_moment(param, "first", &first, "a finite number", f32::is_finite)?;
            let good = |value: f32| value.is_finite() && value >= 0.0;
            check_moment(param, "second", &second, "a finite number of at least 0", good)?;
            moments.set(&first, &second)?;
        }
        self.steps_done = steps_done;
        Ok(())
    }
}

/// Where a gradient is not finite.
fn not_finite(param: &Param) -> OptimError {
    let gradient = param.grad();
    let index = gradient.iter().position(|value| !value.is_finite()).unwrap_or(0);
    OptimError::NotFinite { name: param.name().to_owned(), index, value: gradient[index] }
}

fn check_moment(
    param: &Param,
    moment: &'static str,
    values: &[f32],
    wanted: &'static str,
    good: impl Fn(f32) -> bool,
) -> Result<(), OptimError> {
    let name = || param.name().to_owned();
    if values.len() != param.len() {
        let (found, wanted) = (values.len(), param.len());
        return Err(OptimError::MomentSize { name: name(), moment, found, wanted });
    }
    match values.iter().position(|&value| !good(value)) {
        None => Ok(()),
        Some(index) => {
            Err(OptimError::MomentValue { name: name(), moment, index, value: values[index], wanted })
        }
    }
}
