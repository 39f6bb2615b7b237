//! What two residues of one sequence have in common.

use crate::error::{TensorError, in_op};
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor, Values};
use pliant_kernels::ops::pair_features::{self, Sizes};

const OP: &str = "pair_features";

/// `[|z_i - z_j|, z_i·z_j]` of every pair of rows of `z` (f32 `[L,C]`): `[L²,2C]`, row `i·L + j`, rounded to `out`.
///
/// # Errors
/// [`TensorError::Dtype`] when `z` is not f32.
pub fn pair_features(tape: &Tape, z: &Tensor, out: Dtype) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let [length, width] = z.shape();
    let (sizes, shape) = (Sizes { length, width }, [length * length, 2 * width]);
    let mut features = Values::scratch(device, out, sizes.features());
    pair_features::forward(device, sizes, z.f32_of(OP, "vectors")?, features.output())
        .map_err(in_op(OP, [z.shape()]))?;
    let features = Tensor::new(shape, features);
    if !tape.wants(OP, &[z], &[])? {
        return Ok(features);
    }
    let z = z.clone();
    Ok(tape.record(features, move |gradients, dfeatures| {
        let device = gradients.device();
        let mut dz = device.scratch(length * width);
        pair_features::backward(&device, sizes, z.f32_of(OP, "vectors")?, &dfeatures, &mut dz)
            .map_err(in_op(OP, [[length, width]]))?;
        gradients.add(z.slot(), dz)
    }))
}
