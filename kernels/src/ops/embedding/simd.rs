//! The token embedding over vectors.

use super::{Sizes, TokenDropout};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::cpu::rows::{ROWS, map, update};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{Simd, Task, Work};

/// What becomes of a token's row.
#[derive(Clone, Copy)]
enum Rule {
    Copy,
    Zero,
    /// `(row · kept) / left`
    Scale {
        kept: f32,
        left: f32,
    },
}

/// The rule of every token, from the masks of its sequence.
fn rules(offsets: &[usize], ids: &[u32], dropout: Option<TokenDropout>) -> Vec<Rule> {
    let Some(TokenDropout { mask_id, train_fraction }) = dropout else { return vec![Rule::Copy; ids.len()] };
    let kept = 1.0 - train_fraction;
    let mut rules = Vec::with_capacity(ids.len());
    for sequence in offsets.windows(2) {
        let ids = &ids[sequence[0]..sequence[1]];
        let masks = ids.iter().filter(|&&id| id == mask_id).count();
        let left = 1.0 - masks as f32 / ids.len() as f32;
        let scale = Rule::Scale { kept, left };
        rules.extend(ids.iter().map(|&id| if id == mask_id { Rule::Zero } else { scale }));
    }
    rules
}

struct Forward<'a> {
    sizes: Sizes,
    ids: &'a [u32],
    rules: &'a [Rule],
    table: &'a [f32],
    y: Shared<'a, f32>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { tokens, width, .. } = self.sizes;
        let first = task.task * ROWS;
        for token in first..(first + ROWS).min(tokens) {
            let row = &self.table[self.ids[token] as usize * width..][..width];
            // SAFETY: every row belongs to one task.
            let y = unsafe { self.y.part(token * width, width) };
            match self.rules[token] {
                Rule::Copy => y.copy_from_slice(row),
                Rule::Zero => y.fill(0.0),
                Rule::Scale { kept, left } => {
                    let (kept, left) = (s.splat(kept), s.splat(left));
                    map(
                        s,
                        [row],
                        y,
                        #[inline(always)]
                        |[e]| s.div(s.mul(e, kept), left),
                    );
                }
            }
        }
    }
}

/// Columns of the table whose gradient one task sums: rows are read in runs of cache lines, and a small
/// table's columns stay in a first-level cache.
const COLUMNS: usize = 128;

struct Backward<'a> {
    sizes: Sizes,
    ids: &'a [u32],
    rules: &'a [Rule],
    dy: &'a [f32],
    dtable: Shared<'a, f32>,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Sizes { tokens, width, .. } = self.sizes;
        let first = task.task * COLUMNS;
        let columns = COLUMNS.min(width - first);
        for token in 0..tokens {
            let (kept, left) = match self.rules[token] {
                Rule::Zero => continue,
                Rule::Copy => (s.splat(1.0), s.splat(1.0)),
                Rule::Scale { kept, left } => (s.splat(kept), s.splat(left)),
            };
            let dy = &self.dy[token * width + first..][..columns];
            // SAFETY: every column belongs to one task.
            let sum = unsafe { self.dtable.part(self.ids[token] as usize * width + first, columns) };
            update(
                s,
                [dy],
                sum,
                #[inline(always)]
                |[dy], sum| s.add(sum, s.div(s.mul(dy, kept), left)),
            );
        }
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    (sizes, offsets, ids): (Sizes, &[usize], &Buffer<u32>),
    table: &Buffer<f32>,
    dropout: Option<TokenDropout>,
    y: &mut Buffer<f32>,
) {
    let ids = ids.as_slice();
    let rules = rules(offsets, ids, dropout);
    let y = Shared::new(y.as_mut_slice());
    let work = Forward { sizes, ids, rules: &rules, table: table.as_slice(), y };
    cpu.run(sizes.tokens.div_ceil(ROWS), &work);
}

pub(super) fn backward(
    cpu: &Cpu,
    (sizes, offsets, ids): (Sizes, &[usize], &Buffer<u32>),
    dropout: Option<TokenDropout>,
    dy: &Buffer<f32>,
    dtable: &mut Buffer<f32>,
) {
    let ids = ids.as_slice();
    let rules = rules(offsets, ids, dropout);
    let dtable = Shared::new(dtable.as_mut_slice());
    let work = Backward { sizes, ids, rules: &rules, dy: dy.as_slice(), dtable };
    cpu.run(sizes.width.div_ceil(COLUMNS), &work);
}
