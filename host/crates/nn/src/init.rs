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
    /// These values.
    List(Vec<f32>),
}

impl Init {
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
            Self::List(values) => values.clone(),
        }
    }
}

fn normal(seed: u64, name: &str, deviation: f32, length: usize) -> Vec<f32> {
    let hash = blake3::hash(name.as_bytes());
    let word = |at: usize| {
        let bytes = hash.as_bytes();
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let stream = Philox::new(seed, word(0), word(4));
    (0..length as u64).map(|index| deviation * stream.normal(index)).collect()
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
    fn one_row_can_be_zero() {
        let values = Init::NormalWithZeroRow { deviation: 0.02, row: 1, width: 4 }.values(7, "table", 12);
        assert_eq!(values[4..8], [0.0; 4]);
        assert!(values[..4].iter().chain(&values[8..]).all(|&value| value != 0.0));
    }
}
