//! The scale of the vectors that a head will read.

use pliant_kernels::{Device, Precision};
use pliant_seq::epoch_order;
use pliant_tensor::Tape;

use super::{Lecture, Side};

/// Examples that are looked at: means are then off by a thirtieth of a deviation.
const EXAMPLES: usize = 1024;

impl Lecture<'_> {
    /// Gives a standardized head the means and deviations of the vectors of the first examples of the first epoch, by the
    /// encoder as it is now.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn standardize(&self, (device, precision): (&Device, Precision)) -> anyhow::Result<()> {
        let tape = Tape::off(device, precision);
        let mut order = epoch_order(self.batches.seed, 0, self.usable.len());
        order.truncate(EXAMPLES);
        let examples: Vec<usize> = order.into_iter().map(|number| self.usable[number]).collect();
        let (mut count, mut sums) = (0.0, Vec::new());
        for pack in self.packs(Side::Train, &examples, false) {
            let vectors = self.made(&tape, (Side::Train, &pack), |given| self.head.vectors(&tape, given))?;
            let (width, values) = (vectors.columns(), vectors.to_vec_f32());
            sums.resize(width, Moments::default());
            for row in values.chunks_exact(width) {
                count += 1.0;
                sums.iter_mut().zip(row).for_each(|(sums, &value)| sums.add(count, f64::from(value)));
            }
        }
        let means: Vec<f64> = sums.iter().map(|sums| sums.mean).collect();
        let deviations: Vec<f64> = sums.iter().map(|sums| (sums.squares / count).sqrt()).collect();
        Ok(self.head.standardize(&means, &deviations)?)
    }
}

/// The mean of numbers and the sum of the squares of their distances from it, without the difference of two large sums
/// (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes the `count`th number.
    fn add(&mut self, count: f64, value: f64) {
        let before = value - self.mean;
        self.mean += before / count;
        self.squares += before * (value - self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    #[test]
    fn moments_of_numbers_far_from_zero_are_exact() {
        let mut moments = Moments::default();
        for (count, value) in [1e9 + 1.0, 1e9 + 2.0, 1e9 + 6.0].into_iter().enumerate() {
            moments.add(count as f64 + 1.0, value);
        }
        assert_eq!((moments.mean, moments.squares), (1e9 + 3.0, 14.0));
    }
}
