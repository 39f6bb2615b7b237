//! Gradients against differences of the forward, in 64 bits.

use super::{Inputs, assert_bites, assert_close};
use pliant_kernels::Tolerance;

/// Largest distance of a derivative from the differences: with a step of 1e-3 the five-point formula's
/// own error is some 1e-12 of the fifth derivative, and 64-bit rounding adds 1e-13 of the sum.
pub const TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 1e-9 };

const STEP: f64 = 1e-3;

/// From inputs to outputs, in 64 bits.
pub type Forward = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64>>;

/// From inputs and the outputs' gradient to the gradient of every input, in 64 bits.
pub type Backward = Box<dyn Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>>>;

/// One row of the gradient table.
pub struct Gradient {
    /// Operation and options.
    pub name: String,
    /// Inputs with a gradient, each with its name.
    pub inputs: Vec<(&'static str, Vec<f64>)>,
    /// Plain forward.
    pub forward: Forward,
    /// Plain backward.
    pub backward: Backward,
}

impl Gradient {
    /// Checks every derivative of a randomly weighted sum of the outputs.
    ///
    /// # Panics
    /// With the case and the input whose gradient is wrong.
    pub fn check(&self) {
        let values: Vec<Vec<f64>> = self.inputs.iter().map(|(_, values)| values.clone()).collect();
        let outputs = (self.forward)(&values).len();
        let weights: Vec<f64> =
            Inputs::new(&self.name).normal(outputs, 1.0).iter().map(|&weight| f64::from(weight)).collect();
        let gradients = (self.backward)(&values, &weights);
        assert_eq!(gradients.len(), values.len(), "{}: gradients", self.name);
        for (input, (what, _)) in self.inputs.iter().enumerate() {
            let expected = self.differences(&values, input, &weights);
            let name = format!("gradient of {} for {what}", self.name);
            assert_close(&name, &gradients[input], &expected, TOLERANCE);
            assert_bites(&name, &gradients[input], &expected, TOLERANCE);
        }
    }

    fn differences(&self, values: &[Vec<f64>], input: usize, weights: &[f64]) -> Vec<f64> {
        let mut values = values.to_vec();
        (0..values[input].len())
            .map(|place| {
                let center = values[input][place];
                let mut at = |steps: f64| {
                    values[input][place] = center + steps * STEP;
                    let outputs = (self.forward)(&values);
                    outputs.iter().zip(weights).map(|(output, weight)| output * weight).sum::<f64>()
                };
                let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
                values[input][place] = center;
                slope
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn cube(factor: f64) -> Gradient {
        Gradient {
            name: "cube".to_owned(),
            inputs: vec![("x", vec![0.5, -1.0, 2.0])],
            forward: Box::new(|values| values[0].iter().map(|x| x * x * x).collect()),
            backward: Box::new(move |values, dy| {
                vec![values[0].iter().zip(dy).map(|(x, dy)| factor * x * x * dy).collect()]
            }),
        }
    }

    #[test]
    fn a_wrong_gradient_is_refused() {
        cube(3.0).check();
        assert!(catch_unwind(AssertUnwindSafe(|| cube(3.000_001).check())).is_err());
    }
}
