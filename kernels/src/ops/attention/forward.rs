//! Attention on tiles: scores of a strip of queries against 512 keys at a time, a running maximum and
//! sum, weights times values. Memory is linear in the length.
//!
//! Keys and values are first packed once per sequence and head; then every task takes some queries of
//! one head. A query's numbers depend on its own sequence only: keys are taken in ascending order, and
//! the blocks of 512 start at the sequence's first key.

use super::Sizes;
use crate::buffer::{Buffer, Input, Output};
use crate::cpu::Cpu;
use crate::cpu::gemm::{PANEL, Sums, strip_height, strip_occurs, tile_bf16, tile_f32};
use crate::cpu::math;
use crate::cpu::pack::{Matrix, Values};
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work, apart};
use half::bf16;
use std::ops::Range;

/// Keys whose scores are held at once; the running maximum is updated once per block.
const BLOCK: usize = 512;

/// Words of a row of scores: a little over [`BLOCK`], so that rows do not fall into the same cache set.
const STRIDE: usize = BLOCK + 2 * LANES;

/// Queries of one task.
const TASK_ROWS: usize = 112;

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// Where results go, shared between tasks.
enum Target<'a> {
    F32(Shared<'a, f32>),
    Bf16(Shared<'a, bf16>),
}

/// Packed operands of one sequence and head, in words: one f32, or a pair of bf16.
#[derive(Clone, Copy)]
struct Unit {
    /// First token and length of the sequence.
    start: usize,
    length: usize,
    head: usize,
    /// Panels of 32 keys before this unit.
    panels_before: usize,
}

impl Unit {
    fn panels(&self) -> usize {
        self.length.div_ceil(PANEL)
    }
}

struct Job<'a> {
    sizes: Sizes,
    half: bool,
    query: Values<'a>,
    key: Values<'a>,
    value: Values<'a>,
    units: &'a [Unit],
    /// Unit and queries of every task.
    tasks: &'a [(usize, Range<usize>)],
    keys: Shared<'a, u32>,
    values: Shared<'a, u32>,
    scratch: Shared<'a, u32>,
    out: Target<'a>,
    lse: Option<Shared<'a, f32>>,
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    offsets: &[usize],
    (query, key, value): (Input<'_>, Input<'_>, Input<'_>),
    out: Output<'_>,
    lse: Option<&mut Buffer<f32>>,
) {
    let (units, tasks) = plan(sizes, offsets);
    let Some(last) = units.last() else { return };
    let half = matches!(query, Input::Bf16(_));
    let words = if half { 2 } else { 1 };
    let groups = sizes.head_width.div_ceil(LANES);
    let panels = last.panels_before + last.panels();
    let mut keys = Buffer::scratch(cpu.pool(), panels * PANEL * sizes.head_width / words);
    let mut values = Buffer::scratch(cpu.pool(), panels * PANEL * groups * LANES / words);
    let mut scratch = Buffer::scratch(cpu.pool(), cpu.threads().count() * Job::scratch_words(sizes));
    let out = match out {
        Output::F32(out) => Target::F32(Shared::new(out.as_mut_slice())),
        Output::Bf16(out) => Target::Bf16(Shared::new(out.as_mut_slice())),
    };
    let job = Job {
        sizes,
        half,
        query: query.into(),
        key: key.into(),
        value: value.into(),
        units: &units,
        tasks: &tasks,
        keys: Shared::new(keys.as_mut_slice()),
        values: Shared::new(values.as_mut_slice()),
        scratch: Shared::new(scratch.as_mut_slice()),
        out,
        lse: lse.map(|lse| Shared::new(lse.as_mut_slice())),
    };
    cpu.run(units.len(), &Pack(&job));
    cpu.run(tasks.len(), &Attend(&job));
}

fn plan(sizes: Sizes, offsets: &[usize]) -> (Vec<Unit>, Vec<(usize, Range<usize>)>) {
    let (mut units, mut tasks, mut panels_before) = (Vec::new(), Vec::new(), 0);
    for pair in offsets.windows(2).filter(|pair| pair[1] > pair[0]) {
        let (start, length) = (pair[0], pair[1] - pair[0]);
        for head in 0..sizes.heads {
            let rows = (0..length).step_by(TASK_ROWS);
            tasks.extend(rows.map(|row| (units.len(), row..length.min(row + TASK_ROWS))));
            let unit = Unit { start, length, head, panels_before };
            panels_before += unit.panels();
            units.push(unit);
        }
    }
    (units, tasks)
}

/// First step: keys into panels of 32 columns, values into groups of 16 columns.
struct Pack<'a>(&'a Job<'a>);

impl Work for Pack<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let job = self.0;
        let unit = job.units[task.task];
        let (key_size, value_size) = (job.key_panel_words(), job.value_panel_words());
        let before = unit.panels_before;
        // SAFETY: every task packs the keys of its own unit.
        let keys = unsafe { job.keys.part(before * key_size, unit.panels() * key_size) };
        // SAFETY: and its own values.
        let values = unsafe { job.values.part(before * value_size, unit.panels() * value_size) };
        let key = job.head_rows(job.key, unit);
        let value = job.head_rows(job.value, unit);
        for (panel, to) in keys.chunks_exact_mut(key_size).enumerate() {
            let first = panel * PANEL;
            let count = PANEL.min(unit.length - first);
            if job.half {
                key.pack_pairs(s, first..first + count, to.as_chunks_mut::<PANEL>().0);
            } else {
                key.pack(s, first..first + count, as_reals(to.as_chunks_mut::<PANEL>().0));
            }
        }
        let group_size = values.len() / job.sizes.head_width.div_ceil(LANES);
        for (group, to) in values.chunks_exact_mut(group_size).enumerate() {
            let columns = group * LANES..job.sizes.head_width.min((group + 1) * LANES);
            if job.half {
                value.copy_row_pairs(s, columns, to.as_chunks_mut::<LANES>().0);
            } else {
                let to: &mut [f32] = bytemuck::cast_slice_mut(to);
                value.copy_rows(s, columns, to.as_chunks_mut::<LANES>().0);
            }
        }
    }
}

/// Second step: the queries of one task.
struct Attend<'a>(&'a Job<'a>);

impl Work for Attend<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let job = self.0;
        let (unit, rows) = job.tasks[task.task].clone();
        let unit = job.units[unit];
        let mut row = rows.start;
        while row < rows.end {
            let height = strip_height::<S>(rows.end - row);
            let valid = row..rows.end.min(row + height);
            match (height, job.half) {
                (14, false) => job.strip::<S, 14, false>(s, unit, valid, task.worker),
                (8, false) => job.strip::<S, 8, false>(s, unit, valid, task.worker),
                (6, false) => job.strip::<S, 6, false>(s, unit, valid, task.worker),
                (_, false) => job.strip::<S, 4, false>(s, unit, valid, task.worker),
                (14, true) => job.strip::<S, 14, true>(s, unit, valid, task.worker),
                (8, true) => job.strip::<S, 8, true>(s, unit, valid, task.worker),
                (6, true) => job.strip::<S, 6, true>(s, unit, valid, task.worker),
                (_, true) => job.strip::<S, 4, true>(s, unit, valid, task.worker),
            }
            row += height;
        }
    }
}

/// Running softmax of a strip of `R` queries.
struct Running<S: Simd> {
    /// Largest score so far; lane `r` belongs to query `r`.
    maximum: S::F,
    /// Sums of weights of query `r`, still by lane of the keys.
    sums: [S::F; LANES],
}

impl Job<'_> {
    /// Words of one thread: packed queries, scores, results.
    fn scratch_words(sizes: Sizes) -> usize {
        const ROWS_MAX: usize = 14;
        ROWS_MAX * (sizes.head_width + STRIDE + sizes.head_width.div_ceil(LANES) * LANES)
    }

    fn words(&self) -> usize {
        if self.half { 2 } else { 1 }
    }

    fn key_panel_words(&self) -> usize {
        PANEL * self.sizes.head_width / self.words()
    }

    fn value_panel_words(&self) -> usize {
        PANEL * self.sizes.head_width.div_ceil(LANES) * LANES / self.words()
    }

    /// The `[L, D]` matrix of one sequence and head inside `[T, H·D]`.
    #[inline(always)]
    fn head_rows<'a>(&self, values: Values<'a>, unit: Unit) -> Matrix<'a> {
        let width = self.sizes.heads * self.sizes.head_width;
        let first = unit.start * width + unit.head * self.sizes.head_width;
        Matrix::rows(values.from(first), unit.length, self.sizes.head_width, width)
    }

    #[inline(always)]
    fn strip<S: Simd, const R: usize, const HALF: bool>(
        &self,
        s: S,
        unit: Unit,
        rows: Range<usize>,
        worker: usize,
    ) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        let all = Self::scratch_words(self.sizes);
        // SAFETY: the scratch belongs to this worker, which runs one task at a time.
        let scratch = unsafe { self.scratch.part(worker * all, all) };
        let (queries, rest) = scratch.split_at_mut(R * self.sizes.head_width / self.words());
        let (scores, rest) = rest.split_at_mut(R * STRIDE);
        let groups = self.sizes.head_width.div_ceil(LANES);
        let results: &mut [f32] = bytemuck::cast_slice_mut(&mut rest[..R * groups * LANES]);
        let Some(scores) = scores.as_chunks_mut::<STRIDE>().0.first_chunk_mut::<R>() else { return };
        let results = results.as_chunks_mut::<LANES>().0;
        let query = self.head_rows(self.query, unit);
        if HALF {
            query.pack_pairs(s, rows.clone(), queries.as_chunks_mut::<R>().0);
        } else {
            query.pack(s, rows.clone(), as_reals(queries.as_chunks_mut::<R>().0));
        }
        let mut running = Running::<S> { maximum: s.splat(f32::NEG_INFINITY), sums: [s.splat(0.0); LANES] };
        for place in results.iter_mut() {
            s.store(s.splat(0.0), place);
        }
        for first in (0..unit.length).step_by(BLOCK) {
            let keys = first..unit.length.min(first + BLOCK);
            let largest = self.scores::<S, R, HALF>(s, unit, queries, keys.clone(), scores);
            running.weights::<R, HALF>(s, largest, keys.len(), scores, results);
            self.weigh::<S, R, HALF>(s, unit, keys, scores, results);
        }
        self.finish::<S, R>(s, unit, rows, &running, results);
    }

    /// Scores of `R` queries against a block of keys; returns their largest by lane.
    #[inline(always)]
    fn scores<S: Simd, const R: usize, const HALF: bool>(
        &self,
        s: S,
        unit: Unit,
        queries: &[u32],
        keys: Range<usize>,
        scores: &mut [[u32; STRIDE]; R],
    ) -> [S::F; LANES] {
        let mut largest = [s.splat(f32::NEG_INFINITY); LANES];
        let size = self.key_panel_words();
        for first in keys.clone().step_by(PANEL) {
            let panel = unit.panels_before + first / PANEL;
            // SAFETY: packing has ended, all tasks only read.
            let panel = unsafe { self.keys.read(panel * size, size) };
            let valid = keys.end - first;
            let place = first - keys.start;
            if S::VECTORS == 2 && valid > LANES {
                let sums: Sums<S, R, 2> = score_tile::<S, R, 2, HALF>(s, queries, panel, 0);
                keep(s, sums, (place, valid), scores, &mut largest);
            } else {
                let sums: Sums<S, R, 1> = score_tile::<S, R, 1, HALF>(s, queries, panel, 0);
                keep(s, sums, (place, valid), scores, &mut largest);
                if valid > LANES {
                    let sums: Sums<S, R, 1> = score_tile::<S, R, 1, HALF>(s, queries, panel, 1);
                    keep(s, sums, (place + LANES, valid - LANES), scores, &mut largest);
                }
            }
        }
        largest
    }

    /// Adds weights times values of a block to the results.
    #[inline(always)]
    fn weigh<S: Simd, const R: usize, const HALF: bool>(
        &self,
        s: S,
        unit: Unit,
        keys: Range<usize>,
        weights: &[[u32; STRIDE]; R],
        results: &mut [[f32; LANES]],
    ) {
        let groups = self.sizes.head_width.div_ceil(LANES);
        let size = self.value_panel_words();
        // SAFETY: packing has ended, all tasks only read.
        let packed = unsafe { self.values.read(unit.panels_before * size, unit.panels() * size) };
        let values = packed.as_chunks::<LANES>().0;
        let words = keys.start / self.words()..keys.end.div_ceil(self.words());
        apart(s, &Weigh::<R, HALF> { weights, values, words, groups, results: Shared::new(results) });
    }

    /// Divides by the sums and stores.
    #[inline(always)]
    fn finish<S: Simd, const R: usize>(
        &self,
        s: S,
        unit: Unit,
        rows: Range<usize>,
        running: &Running<S>,
        results: &[[f32; LANES]],
    ) {
        let Sizes { heads, head_width } = self.sizes;
        let sums = s.join_rows(
            running.sums,
            #[inline(always)]
            |a, b| s.add(a, b),
        );
        let inverse = s.to_array(s.div(s.splat(1.0), sums));
        let (sums, maximum) = (s.to_array(sums), s.to_array(running.maximum));
        for r in 0..rows.len().min(R) {
            let token = unit.start + rows.start + r;
            if let Some(lse) = &self.lse {
                // SAFETY: one task owns a query of a head.
                let to = unsafe { lse.part(token * heads + unit.head, 1) };
                to[0] = maximum[r] + libm::logf(sums[r]);
            }
            for group in 0..head_width.div_ceil(LANES) {
                let lanes = LANES.min(head_width - group * LANES);
                let at = (token * heads + unit.head) * head_width + group * LANES;
                let value = s.mul(s.load(&results[group * R + r]), s.splat(inverse[r]));
                match &self.out {
                    // SAFETY: one task owns a query of a head.
                    Target::F32(out) => s.store_any(value, unsafe { out.part(at, lanes) }),
                    // SAFETY: as above.
                    Target::Bf16(out) => s.store_any_bf16(value, unsafe { out.part(at, lanes) }),
                }
            }
        }
    }
}

/// Words as the f32 numbers that they hold.
#[inline(always)]
fn as_reals<const W: usize>(words: &mut [[u32; W]]) -> &mut [[f32; W]] {
    bytemuck::cast_slice_mut(words)
}

#[inline(always)]
fn score_tile<S: Simd, const R: usize, const V: usize, const HALF: bool>(
    s: S,
    queries: &[u32],
    panel: &[u32],
    half: usize,
) -> Sums<S, R, V> {
    if HALF {
        tile_bf16::<S, R, V>(s, queries, bytemuck::cast_slice(panel), half)
    } else {
        tile_f32::<S, R, V>(s, bytemuck::cast_slice(queries), bytemuck::cast_slice(panel), half)
    }
}

/// Stores a tile of scores at `place` of every row; beyond the `valid` keys they are minus infinity.
#[inline(always)]
fn keep<S: Simd, const R: usize, const V: usize>(
    s: S,
    sums: Sums<S, R, V>,
    (place, valid): (usize, usize),
    scores: &mut [[u32; STRIDE]; R],
    largest: &mut [S::F; LANES],
) {
    if valid >= V * LANES {
        for r in 0..R {
            for v in 0..V {
                keep_vector(s, sums[r][v], &mut scores[r][place + v * LANES..], &mut largest[r]);
            }
        }
        return;
    }
    let mut limits = [s.splat(0.0); V];
    for v in 0..V {
        let mut limit = [f32::NEG_INFINITY; LANES];
        limit[..valid.saturating_sub(v * LANES).min(LANES)].fill(f32::INFINITY);
        limits[v] = s.load(&limit);
    }
    for r in 0..R {
        for v in 0..V {
            let cut = valid < (v + 1) * LANES;
            let score = if cut { s.min(sums[r][v], limits[v]) } else { sums[r][v] };
            keep_vector(s, score, &mut scores[r][place + v * LANES..], &mut largest[r]);
        }
    }
}

#[inline(always)]
fn keep_vector<S: Simd>(s: S, value: S::F, to: &mut [u32], largest: &mut S::F) {
    *largest = s.max(value, *largest);
    if let Some(to) = to.first_chunk_mut::<LANES>() {
        s.store(value, bytemuck::cast_mut(to));
    }
}

impl<S: Simd> Running<S> {
    /// Turns a block's scores into weights `e^(score - maximum)` and rescales what came before.
    #[inline(always)]
    fn weights<const R: usize, const HALF: bool>(
        &mut self,
        s: S,
        largest: [S::F; LANES],
        keys: usize,
        scores: &mut [[u32; STRIDE]; R],
        results: &mut [[f32; LANES]],
    ) {
        let block = s.join_rows(
            largest,
            #[inline(always)]
            |a, b| s.max(a, b),
        );
        let maximum = s.max(block, self.maximum);
        let fall = s.mul(s.sub(self.maximum, maximum), s.splat(LOG2_E));
        let rescale = s.to_array(math::exp2(s, fall));
        let shift = s.to_array(s.mul(maximum, s.splat(-LOG2_E)));
        self.maximum = maximum;
        let count = keys.div_ceil(LANES);
        for r in 0..R {
            let (rescale, shift) = (s.splat(rescale[r]), s.splat(shift[r]));
            let sum = s.mul(self.sums[r], rescale);
            self.sums[r] = if HALF {
                narrow_weights(s, shift, sum, &mut scores[r], count)
            } else {
                weights(s, shift, sum, &mut scores[r], count)
            };
            for group in results.chunks_exact_mut(R) {
                let value = s.mul(s.load(&group[r]), rescale);
                s.store(value, &mut group[r]);
            }
        }
    }
}

/// `e^(score - maximum)` in place of the first `count` vectors of scores; returns `sum` plus all of them.
#[inline(always)]
fn weights<S: Simd>(s: S, shift: S::F, sum: S::F, scores: &mut [u32; STRIDE], count: usize) -> S::F {
    let mut sum = sum;
    for place in scores.as_chunks_mut::<LANES>().0.iter_mut().take(count) {
        let place: &mut [f32; LANES] = bytemuck::cast_mut(place);
        let weight = math::exp2(s, s.fma(s.load(place), s.splat(LOG2_E), shift));
        sum = s.add(sum, weight);
        s.store(weight, place);
    }
    sum
}

/// As [`weights`], rounded to bf16: the pairs lie in front of the scores that are still to be read.
#[inline(always)]
fn narrow_weights<S: Simd>(s: S, shift: S::F, sum: S::F, scores: &mut [u32; STRIDE], count: usize) -> S::F {
    let mut sum = sum;
    for index in 0..count.min(STRIDE / LANES) {
        let place: &[f32; LANES] = bytemuck::cast_ref(&scores.as_chunks::<LANES>().0[index]);
        let weight = math::exp2(s, s.fma(s.load(place), s.splat(LOG2_E), shift));
        sum = s.add(sum, weight);
        s.store_bf16(weight, bytemuck::cast_mut(&mut scores.as_chunks_mut::<{ LANES / 2 }>().0[index]));
    }
    sum
}

/// Weights of a block times its values, for all groups of columns. A function of its own, so that what the softmax holds in
/// registers does not compete with the sums; of two groups together the compiler still keeps some of them in memory.
struct Weigh<'a, const R: usize, const HALF: bool> {
    weights: &'a [[u32; STRIDE]; R],
    /// Values of all keys, group by group.
    values: &'a [[u32; LANES]],
    /// Words of a group's values that belong to the block.
    words: Range<usize>,
    groups: usize,
    results: Shared<'a, [f32; LANES]>,
}

impl<const R: usize, const HALF: bool> Work for Weigh<'_, R, HALF> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, _: Task) {
        let mut done = 0;
        if S::VECTORS == 2 {
            while done + 2 <= self.groups {
                self.tile::<S, 2>(s, done);
                done += 2;
            }
        }
        while done < self.groups {
            self.tile::<S, 1>(s, done);
            done += 1;
        }
    }
}

impl<const R: usize, const HALF: bool> Weigh<'_, R, HALF> {
    /// The groups from `first` on.
    #[inline(always)]
    fn tile<S: Simd, const V: usize>(&self, s: S, first: usize) {
        // SAFETY: the results are borrowed for this work alone, which is not shared out.
        let results = unsafe { self.results.part(first * R, V * R) };
        let mut sums: Sums<S, R, V> = [[s.splat(0.0); V]; R];
        for r in 0..R {
            for v in 0..V {
                sums[r][v] = s.load(&results[v * R + r]);
            }
        }
        let rows = self.values.len() / self.groups;
        let group = |group: usize| &self.values[group * rows..][self.words.clone()];
        // A window begins with the weight of a key of the first row and ends with that of the last.
        let keys = self.weights.as_flattened().windows((R - 1) * STRIDE + 1);
        for (weights, (low, high)) in keys.zip(group(first).iter().zip(group(first + V - 1))) {
            if HALF {
                let mut with = [s.load_pairs(bytemuck::cast_ref(low)); V];
                with[V - 1] = s.load_pairs(bytemuck::cast_ref(high));
                for r in 0..R {
                    let weight = s.splat_pair(weights[r * STRIDE]);
                    for v in 0..V {
                        sums[r][v] = s.dot_pairs(sums[r][v], weight, with[v]);
                    }
                }
            } else {
                let mut with = [s.load(bytemuck::cast_ref(low)); V];
                with[V - 1] = s.load(bytemuck::cast_ref(high));
                for r in 0..R {
                    let weight = s.splat(f32::from_bits(weights[r * STRIDE]));
                    for v in 0..V {
                        sums[r][v] = s.fma(weight, with[v], sums[r][v]);
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                s.store(sums[r][v], &mut results[v * R + r]);
            }
        }
    }
}
