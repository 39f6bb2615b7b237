//! Rows of a table for tokens.

use crate::error::{TensorError, in_op};
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Ids, Offsets, Tensor};
pub use pliant_kernels::ops::embedding::TokenDropout;
use pliant_kernels::ops::embedding::{self, Sizes};
use std::sync::Arc;

const OP: &str = "embedding";

/// The rows of `table` `[V,C]` named by `ids` `[T]`, as f32 `[T,C]`; with `dropout` scaled per sequence
/// and zero at masks.
///
/// # Errors
/// [`TensorError`] when there are not as many ids as tokens, an id lies outside the table, or `table` is a
/// frozen matrix, whose plain values are not held.
pub fn embedding(
    tape: &Tape,
    ids: &Ids,
    offsets: &Offsets,
    table: &Arc<Param>,
    dropout: Option<TokenDropout>,
) -> Result<Tensor, TensorError> {
    look_up(tape, (ids, offsets), table, dropout, None)
}

/// The same without dropout, where row `still` of the table gets no gradient: it stays as it is.
///
/// # Errors
/// As [`embedding`].
pub fn embedding_with_still_row(
    tape: &Tape,
    ids: &Ids,
    offsets: &Offsets,
    table: &Arc<Param>,
    still: u32,
) -> Result<Tensor, TensorError> {
    look_up(tape, (ids, offsets), table, None, Some(still))
}

fn look_up(
    tape: &Tape,
    (ids, offsets): (&Ids, &Offsets),
    table: &Arc<Param>,
    dropout: Option<TokenDropout>,
    still: Option<u32>,
) -> Result<Tensor, TensorError> {
    let device = tape.device();
    let (vocabulary, width) = table.matrix_shape(OP)?;
    let sizes = Sizes { tokens: ids.len(), vocabulary, width };
    let shape = [ids.len(), width];
    let mut y = device.scratch(shape[0] * shape[1]);
    let values = table.buffer(OP)?;
    embedding::forward(device, sizes, offsets.as_slice(), ids.buffer(), &values, dropout, &mut y)
        .map_err(in_op(OP, [shape]))?;
    let y = Tensor::from_buffer(shape, y);
    if !tape.wants(OP, &[], &[table])? {
        return Ok(y);
    }
    let (ids, offsets, table) = (ids.clone(), offsets.clone(), Arc::clone(table));
    Ok(tape.record(y, move |gradients, mut dy| {
        let device = gradients.device();
        if let Some(still) = still {
            let rows = ids.as_slice().iter().zip(dy.as_mut_slice().chunks_exact_mut(width));
            rows.filter(|(id, _)| **id == still).for_each(|(_, row)| row.fill(0.0));
        }
        let mut grad = table.take_gradient();
        embedding::backward(&device, sizes, offsets.as_slice(), ids.buffer(), dropout, &dy, &mut grad)
            .map_err(in_op(OP, [shape]))?;
        gradients.give(&table, grad);
        Ok(())
    }))
}
