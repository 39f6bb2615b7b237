//! Plain text of attention pooling; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// `p [T]`.
pub fn weights<F: Real>(spans: &[(usize, usize)], scores: &[F]) -> Vec<F> {
    let mut weights = vec![F::ZERO; scores.len()];
    for &(start, end) in spans {
        let mut largest = scores[start];
        for &score in &scores[start..end] {
            if score > largest {
                largest = score;
            }
        }
        let mut sum = F::ZERO;
        for token in start..end {
            weights[token] = (scores[token] - largest).exp();
            sum += weights[token];
        }
        for weight in &mut weights[start..end] {
            *weight = *weight / sum;
        }
    }
    weights
}

/// `y_b = Σ_t p_t·x_t`.
pub fn forward<F: Real>(sizes: Sizes, spans: &[(usize, usize)], x: &[F], weights: &[F], y: &mut [F]) {
    for (b, &(start, end)) in spans.iter().enumerate() {
        for c in 0..sizes.width {
            let mut sum = F::ZERO;
            for token in start..end {
                sum += weights[token] * x[token * sizes.width + c];
            }
            y[b * sizes.width + c] = sum;
        }
    }
}

/// `dx_t += p_t·dy_b`, `dz_t = p_t·(x_t·dy_b - Σ p·(x·dy_b))`.
pub fn backward<F: Real>(
    sizes: Sizes,
    spans: &[(usize, usize)],
    (x, weights): (&[F], &[F]),
    dy: &[F],
    (dx, dscores): (&mut [F], &mut [F]),
) {
    dscores.fill(F::ZERO);
    for (b, &(start, end)) in spans.iter().enumerate() {
        let mut mean = F::ZERO;
        for token in start..end {
            for c in 0..sizes.width {
                let slope = dy[b * sizes.width + c];
                dscores[token] += x[token * sizes.width + c] * slope;
                dx[token * sizes.width + c] += weights[token] * slope;
            }
            mean += weights[token] * dscores[token];
        }
        for token in start..end {
            dscores[token] = weights[token] * (dscores[token] - mean);
        }
    }
}
