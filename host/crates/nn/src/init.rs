//! First values of parameters that no checkpoint gives.

use pliant_kernels::rng::Philox;

/// How a parameter begins. Its values are a function of seed and name alone: neither the order in which
/// parameters are made nor the other parameters of a model change them.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Normal with mean zero.
    Normal {
        /// Standard deviation.
        deviation: f32,
    },
    /// Normal with mean zero, but one row of a table is zero.
    NormalWithZeroRow {
        /// Standard deviation.
        deviation: f32,
        /// The row.
        row: usize,
        /// Numbers in a row.
        width: usize,
    },
    /// Even between `-bound` and `bound`.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// The inverse of softplus, `d + ln(1 − e^-d)`, of steps d whose logarithms are even between those of `least` and
    /// `most`; a step below `floor` counts as `floor`.
    Steps {
        /// The least step.
        least: f32,
        /// The greatest step.
        most: f32,
        /// What no step is below.
        floor: f32,
    },
    /// These values, again and again.
    Repeated(Vec<f32>),
    /// These values.
    List(Vec<f32>),
}

impl Init {
    /// What PyTorch draws for a linear layer or a convolution of `inputs` terms: even within `±inputs^-½`
    /// (`kaiming_uniform_` with a = √5).
    #[must_use]
    pub fn kaiming(inputs: usize) -> Self {
        Self::Uniform { bound: 1.0 / (inputs as f32).sqrt() }
    }

    /// The first `length` values of the parameter `name` under `seed`.
    #[must_use]
    pub fn values(&self, seed: u64, name: &str, length: usize) -> Vec<f32> {
        match self {
            Self::Zeros => vec![0.0; length],
            Self::Ones => vec![1.0; length],
            Self::Normal { deviation } => normal(seed, name, *deviation, length),
            Self::NormalWithZeroRow { deviation, row, width } => {
                let mut values = normal(seed, name, *deviation, length);
                values.iter_mut().skip(row * width).take(*width).for_each(|value| *value = 0.0);
                values
            }
            Self::Uniform { bound } => {
                uniform(seed, name, length).map(|even| bound * (2.0 * even - 1.0)).collect()
            }
            Self::Steps { least, most, floor } => {
                let (from, to) = (f64::from(*least).ln(), f64::from(*most).ln());
                let step = |even: f32| (from + f64::from(even) * (to - from)).exp().max(f64::from(*floor));
                let inverse = |step: f64| step + (-(-step).exp_m1()).ln();
                uniform(seed, name, length).map(|even| inverse(step(even)) as f32).collect()
            }
            Self::Repeated(values) => values.iter().copied().cycle().take(length).collect(),
            Self::List(values) => values.clone(),
        }
    }
}

fn normal(seed: u64, name: &str, deviation: f32, length: usize) -> Vec<f32> {
    let stream = stream(seed, name);
    (0..length as u64).map(|index| deviation * stream.normal(index)).collect()
}

/// Even numbers in [0, 1).
fn uniform(seed: u64, name: &str, length: usize) -> impl Iterator<Item = f32> {
    let stream = stream(seed, name);
    (0..length as u64).map(move |index| stream.uniform(index))
}

fn stream(seed: u64, name: &str) -> Philox {
    let hash = blake3::hash(name.as_bytes());
    let word = |at: usize| {
        let bytes = hash.as_bytes();
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    Philox::new(seed, word(0), word(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Init = Init::Normal { deviation: 0.02 };

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let values = NORMAL.values(7, "layer.0.weight", 64);
        assert_eq!(values, NORMAL.values(7, "layer.0.weight", 64));
        assert_eq!(values[..16], NORMAL.values(7, "layer.0.weight", 16));
        assert_ne!(values, NORMAL.values(8, "layer.0.weight", 64));
        assert_ne!(values, NORMAL.values(7, "layer.1.weight", 64));
    }

    #[test]
    fn the_deviation_is_the_one_asked_for() {
        let values = NORMAL.values(1, "table", 20_000);
        let variance = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 20_000.0;
        assert!((variance.sqrt() - 0.02).abs() < 0.001, "{}", variance.sqrt());
    }

    #[test]
    fn even_numbers_fill_their_bounds() {
        let values = Init::kaiming(16).values(1, "weight", 20_000);
        let (least, most) =
            values.iter().fold((0.0f32, 0.0f32), |(a, b), &value| (a.min(value), b.max(value)));
        assert!((-0.25..-0.249).contains(&least) && (0.249..=0.25).contains(&most), "{least} {most}");
        let variance = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 20_000.0;
        assert!((variance.sqrt() - 0.25 / 3f64.sqrt()).abs() < 0.002, "{}", variance.sqrt());
        assert_ne!(values, Init::kaiming(16).values(2, "weight", 20_000));
    }

    /// Softplus of what is drawn is a step within the bounds, and as many lie below the middle as above.
    #[test]
    fn steps_lie_where_they_are_asked_for() {
        let init = Init::Steps { least: 1e-3, most: 0.1, floor: 1e-4 };
        let steps: Vec<f64> =
            init.values(3, "bias", 4000).iter().map(|&value| f64::from(value).exp().ln_1p()).collect();
        assert!(steps.iter().all(|step| (0.999e-3..0.1001).contains(step)));
        let below = steps.iter().filter(|&&step| step < 1e-2).count();
        assert!((1850..2150).contains(&below), "{below}");
        let floored = Init::Steps { least: 1e-3, most: 0.1, floor: 0.05 }.values(3, "bias", 4000);
        assert!(floored.iter().all(|&value| f64::from(value).exp().ln_1p() > 0.0499));
        assert_eq!(Init::Repeated(vec![0.0, 1.0]).values(3, "a", 5), [0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn one_row_can_be_zero() {
        let values = Init::NormalWithZeroRow { deviation: 0.02, row: 1, width: 4 }.values(7, "table", 12);
        assert_eq!(values[4..8], [0.0; 4]);
        assert!(values[..4].iter().chain(&values[8..]).all(|&value| value != 0.0));
    }
}
