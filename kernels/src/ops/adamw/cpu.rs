//! Plain text of a step of AdamW; the oracle of the fast path.

use super::Step;
use crate::Real;

/// Values p, first moment m and second moment v after one step along `gradient`.
pub fn update<F: Real>(step: &Step, gradient: &[F], values: &mut [F], first: &mut [F], second: &mut [F]) {
    let real = F::from_f64;
    let bias = |beta: f64| 1.0 - beta.powf(step.number as f64);
    let step_size = real(step.learning_rate / bias(step.beta1));
    let root_of_bias = real(bias(step.beta2).sqrt());
    for i in 0..values.len() {
        let g = real(step.factor) * gradient[i];
        let kept = values[i] * real(1.0 - step.learning_rate * step.weight_decay);
        first[i] = first[i] + real(1.0 - step.beta1) * (g - first[i]);
        second[i] = real(step.beta2) * second[i] + real(1.0 - step.beta2) * g * g;
        let denominator = second[i].sqrt() / root_of_bias + real(step.epsilon);
        values[i] = kept - step_size * (first[i] / denominator);
    }
}
