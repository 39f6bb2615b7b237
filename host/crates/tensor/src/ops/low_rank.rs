//! Linear layers beside whose matrices products of low rank stand.
//!
//! ```text
//! u = s·(drop(x)·Aᵀ)                      [R,A]   beside the products x·Wᵀ + b where nothing is dropped
//! y = epilogue((x·Wᵀ + b [+ r]) + u·Bᵀ)   [R,N]
//! ```
//!
//! With bf16 operands u is rounded to bf16 where it is multiplied; sums are 32-bit.

use std::sync::Arc;

use super::elementwise::widened;
use super::linear::{Epilogue, LinearPart, alone};
use super::{dropout, gelu, scale};
use crate::error::TensorError;
use crate::low_rank::LowRank;
use crate::param::Param;
use crate::tape::Tape;
use crate::tensor::{Dtype, Tensor};

/// All `parts` on `x [R,K]`, as [`super::linear`] has them.
pub(super) fn linear(tape: &Tape, x: &Tensor, parts: &[LinearPart<'_>]) -> Result<Vec<Tensor>, TensorError> {
    let sides = distinct(parts);
    let bases: Vec<LinearPart<'_>> = parts.iter().map(base).collect();
    let (mut results, lows) = products(tape, x, bases, &sides)?;
    for (part, result) in parts.iter().zip(&mut results) {
        let Some(side) = part.weight.side() else { continue };
        let low = sides.iter().zip(&lows).find(|(known, _)| Arc::ptr_eq(&known.a, &side.a));
        if let Some((_, low)) = low {
            *result = finished(tape, part, result, (low, side))?;
        }
    }
    Ok(results)
}

/// What stands beside the weights, each once.
fn distinct<'a>(parts: &'a [LinearPart<'_>]) -> Vec<&'a LowRank> {
    let mut sides: Vec<&LowRank> = Vec::new();
    for side in parts.iter().filter_map(|part| part.weight.side()) {
        if !sides.iter().any(|known| Arc::ptr_eq(&known.a, &side.a)) {
            sides.push(side);
        }
    }
    sides
}

/// A part without its last step, where something is still to be added before it.
fn base<'a>(part: &LinearPart<'a>) -> LinearPart<'a> {
    if part.weight.side().is_none() {
        return part.clone();
    }
    let epilogue = match part.epilogue {
        Epilogue::Gelu => Epilogue::Store,
        other => other,
    };
    LinearPart { epilogue, out: Dtype::F32, ..part.clone() }
}

/// The product with the first of the two narrow matrices.
fn narrow(side: &LowRank) -> LinearPart<'_> {
    LinearPart { weight: &side.a, rows: None, bias: &[], epilogue: Epilogue::Store, out: Dtype::F32 }
}

/// The results of `bases`, and `s·(drop(x)·Aᵀ)` of each of `sides`. What is not trained shares no record with what is, so
/// that no gradient is computed for it where none is wanted.
fn products<'a>(
    tape: &Tape,
    x: &Tensor,
    mut bases: Vec<LinearPart<'a>>,
    sides: &[&'a LowRank],
) -> Result<(Vec<Tensor>, Vec<Tensor>), TensorError> {
    let count = bases.len();
    let drops = |side: &LowRank| side.dropout > 0.0 && tape.learns();
    let whole = sides.iter().filter(|side| !drops(side)).map(|side| narrow(side));
    let (results, mut plain) = if x.is_tracked() || !tape.learns() {
        bases.extend(whole);
        let mut all = alone(tape, x, &bases)?;
        let plain = all.split_off(count);
        (all, plain)
    } else {
        (alone(tape, x, &bases)?, alone(tape, x, &whole.collect::<Vec<_>>())?)
    };
    plain.reverse();
    let mut lows = Vec::with_capacity(sides.len());
    for side in sides {
        let low = match drops(side) {
            true => {
                let left = dropout(tape, &widened(tape, x)?, side.dropout, side.op_id)?;
                alone(tape, &left, &[narrow(side)])?.pop()
            }
            false => plain.pop(),
        };
        let Some(low) = low else { continue };
        lows.push(if side.scale == 1.0 { low } else { scale(tape, &low, side.scale)? });
    }
    Ok((results, lows))
}

/// A part's result, `low [R,A]·Bᵀ` added to its sums.
fn finished(
    tape: &Tape,
    part: &LinearPart<'_>,
    sums: &Tensor,
    (low, side): (&Tensor, &LowRank),
) -> Result<Tensor, TensorError> {
    let is_gelu = matches!(part.epilogue, Epilogue::Gelu);
    let out = if is_gelu { Dtype::F32 } else { part.out };
    let weight: &Arc<Param> = &side.b;
    let last =
        LinearPart { weight, rows: part.rows.clone(), bias: &[], epilogue: Epilogue::Residual(sums), out };
    let mut sums = alone(tape, low, &[last])?;
    let sums = sums.swap_remove(0);
    if is_gelu { gelu(tape, &sums, part.out) } else { Ok(sums) }
}
