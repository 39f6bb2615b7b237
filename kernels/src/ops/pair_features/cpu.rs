//! Plain text of the features of pairs; the oracle of the fast path.

use super::Sizes;
use crate::Real;

/// `f_ij = [|z_i - z_j|, z_i·z_j]`.
pub fn forward<F: Real>(sizes: Sizes, z: &[F], features: &mut [F]) {
    let Sizes { length, width } = sizes;
    for i in 0..length {
        for j in 0..length {
            for c in 0..width {
                let (a, b) = (z[i * width + c], z[j * width + c]);
                let at = (i * length + j) * 2 * width + c;
                features[at] = if a > b { a - b } else { b - a };
                features[at + width] = a * b;
            }
        }
    }
}

/// Gradient of both vectors of every pair.
pub fn backward<F: Real>(sizes: Sizes, z: &[F], dfeatures: &[F], dz: &mut [F]) {
    let Sizes { length, width } = sizes;
    dz.fill(F::ZERO);
    for i in 0..length {
        for j in 0..length {
            for c in 0..width {
                let (a, b) = (z[i * width + c], z[j * width + c]);
                let at = (i * length + j) * 2 * width + c;
                let (apart, product) = (dfeatures[at], dfeatures[at + width]);
                if a > b {
                    dz[i * width + c] += apart;
                    dz[j * width + c] -= apart;
                } else if a < b {
                    dz[i * width + c] -= apart;
                    dz[j * width + c] += apart;
                }
                dz[i * width + c] += product * b;
                dz[j * width + c] += product * a;
            }
        }
    }
}
