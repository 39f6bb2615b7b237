//! The learning rate over a run, as a fraction of the highest.
//!
//! With t the updates already done, w those of the warm-up, n those of the whole run, f the final fraction:
//!
//! | | t < w | w ≤ t < n | n ≤ t |
//! |---|---|---|---|
//! | constant | t/w | 1 | 1 |
//! | linear | t/w | f + (1 - f)(1 - x) | f |
//! | bert | t/w | 1 - t/n | 0 |
//! | cosine | t/w | f + (1 - f)(1 + cos πx)/2 | f |
//! | cosine with restarts | t/w | f + (1 - f)(1 + cos π(cx mod 1))/2 | f |
//!
//! with x = (t - w)/(n - w) and c cycles of equal length. This is `get_*_schedule_with_warmup` of transformers
//! (`optimization.py`) with f = 0, and PyTorch's `LinearLR`, `CosineAnnealingLR` and `CosineAnnealingWarmRestarts`
//! behind a linear warm-up with `eta_min` = f times the highest rate; bert is `warmup_linear` of BertAdam. As there, the first update of a run with warm-up
//! has the rate 0.

use std::f64::consts::PI;

use super::error::{OptimError, check};

/// How the learning rate changes with the number of updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The highest rate once warmed up.
    Constant {
        /// w
        warmup_steps: u64,
    },
    /// Falls by the same amount at every update.
    Linear {
        /// w
        warmup_steps: u64,
        /// n, warm-up included.
        steps: u64,
        /// f
        final_fraction: f64,
    },
    /// Falls by the same amount at every update as if it had done so from the first one on.
    Bert {
        /// w
        warmup_steps: u64,
        /// n, warm-up included.
        steps: u64,
    },
    /// Falls along half a wave.
    Cosine {
        /// w
        warmup_steps: u64,
        /// n, warm-up included.
        steps: u64,
        /// f
        final_fraction: f64,
    },
    /// Falls along half a wave again and again.
    CosineRestarts {
        /// w
        warmup_steps: u64,
        /// n, warm-up included.
        steps: u64,
        /// f, at the end of every cycle.
        final_fraction: f64,
        /// c
        cycles: u64,
    },
}

impl Schedule {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`OptimError::Setting`] for a final fraction outside 0 to 1, for no cycles, and for a warm-up longer than the
    /// run.
    pub fn check(&self) -> Result<(), OptimError> {
        let (warmup, steps, fraction, cycles) = match *self {
            Self::Constant { .. } => return Ok(()),
            Self::Bert { warmup_steps, steps } => (warmup_steps, steps, 0.0, 1),
            Self::Linear { warmup_steps, steps, final_fraction }
            | Self::Cosine { warmup_steps, steps, final_fraction } => {
                (warmup_steps, steps, final_fraction, 1)
            }
            Self::CosineRestarts { warmup_steps, steps, final_fraction, cycles } => {
                (warmup_steps, steps, final_fraction, cycles)
            }
        };
        check("warmup_steps", warmup as f64, "at most as many as steps", warmup <= steps)?;
        check("final_fraction", fraction, "a number from 0 to 1", (0.0..=1.0).contains(&fraction))?;
        check("cycles", cycles as f64, "at least 1", cycles > 0)
    }

    /// Fraction of the highest learning rate for the update that follows `step` others.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant { warmup_steps } => warm(step, warmup_steps).unwrap_or(1.0),
            Self::Bert { warmup_steps, steps } => {
                warm(step, warmup_steps).unwrap_or_else(|| 1.0 - step.min(steps) as f64 / steps.max(1) as f64)
            }
            Self::Linear { warmup_steps, steps, final_fraction } => {
                falling(step, (warmup_steps, steps, 1), final_fraction, |passed| 1.0 - passed)
            }
            Self::Cosine { warmup_steps, steps, final_fraction } => {
                falling(step, (warmup_steps, steps, 1), final_fraction, half_wave)
            }
            Self::CosineRestarts { warmup_steps, steps, final_fraction, cycles } => {
                falling(step, (warmup_steps, steps, cycles), final_fraction, half_wave)
            }
        }
    }
}

/// The factor of an update of the warm-up.
fn warm(step: u64, warmup: u64) -> Option<f64> {
    (step < warmup).then(|| step as f64 / warmup as f64)
}

/// From 1 to `last` in every cycle, along `shape`, which goes from 1 to 0 over 0 to 1.
fn falling(
    step: u64,
    (warmup, steps, cycles): (u64, u64, u64),
    last: f64,
    shape: impl Fn(f64) -> f64,
) -> f64 {
    if let Some(factor) = warm(step, warmup) {
        return factor;
    }
    if step >= steps {
        return last;
    }
    // Whole numbers, so that a cycle begins exactly where it should.
    let length = u128::from(steps - warmup);
    let passed = u128::from(step - warmup) * u128::from(cycles) % length;
    last + (1.0 - last) * shape(passed as f64 / length as f64)
}

fn half_wave(passed: f64) -> f64 {
    0.5 * (1.0 + (PI * passed).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Schedule =
        Schedule::CosineRestarts { warmup_steps: 4, steps: 34, final_fraction: 0.25, cycles: 3 };

    #[test]
    fn cycles_begin_at_the_top_and_the_end_is_the_final_fraction() {
        let factors: Vec<f64> = [0, 1, 4, 9, 14, 24, 34, 1000].map(|step| RUN.factor(step)).into();
        assert_eq!(factors, [0.0, 0.25, 1.0, 0.625, 1.0, 1.0, 0.25, 0.25]);
        assert!(RUN.factor(33) < 0.3);
    }

    #[test]
    fn bert_goes_down_as_if_there_were_no_warm_up() {
        let bert = Schedule::Bert { warmup_steps: 2, steps: 200 };
        let factors: Vec<f64> = [0, 1, 2, 50, 199, 200, 999].map(|step| bert.factor(step)).into();
        assert_eq!(factors, [0.0, 0.5, 0.99, 0.75, 1.0 - 199.0 / 200.0, 0.0, 0.0]);
        assert_eq!(Schedule::Bert { warmup_steps: 0, steps: 0 }.factor(0), 1.0);
    }

    #[test]
    fn runs_of_no_length_have_a_rate_all_the_same() {
        let at = |warmup_steps, steps, step| {
            Schedule::Linear { warmup_steps, steps, final_fraction: 0.5 }.factor(step)
        };
        assert_eq!([at(0, 0, 0), at(0, 1, 0), at(3, 3, 3), at(0, u64::MAX, u64::MAX)], [0.5, 1.0, 0.5, 0.5]);
        assert_eq!(Schedule::Constant { warmup_steps: 0 }.factor(0), 1.0);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refused = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        assert!(RUN.check().is_ok() && Schedule::Constant { warmup_steps: 9 }.check().is_ok());
        let linear =
            |warmup_steps, final_fraction| Schedule::Linear { warmup_steps, steps: 10, final_fraction };
        assert_eq!(refused(linear(11, 0.0)), "warmup_steps is 11, wanted at most as many as steps");
        assert_eq!(refused(linear(1, 1.5)), "final_fraction is 1.5, wanted a number from 0 to 1");
        assert!(linear(1, f64::NAN).check().is_err());
        let cycles = Schedule::CosineRestarts { warmup_steps: 0, steps: 9, final_fraction: 0.0, cycles: 0 };
        assert_eq!(refused(cycles), "cycles is 0, wanted at least 1");
    }
}
