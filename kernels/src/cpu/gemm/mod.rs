//! Matrix products on panels packed once.
//!
//! `y[R,N] = x[R,K] · W` with one sum per output that takes K in ascending order by fused multiply-add.
//! The order never depends on R, on the tile or on the threads, so a row's result does not depend on
//! its neighbours. With bf16 operands each pair of inner indices adds its odd product first and its even
//! one second, as `vdpbf16ps` does. With 8-bit operands sums are whole numbers, exact in any order.

mod outer;
mod own;
mod pack;
mod tile;

use super::math;
use super::pack::Matrix;
use super::shared::Shared;
use super::simd::{LANES, Simd, Task, Work, prefetch};
use super::{Cpu, Precision};
use crate::buffer::{Buffer, Input};
use half::bf16;
pub use outer::{CHUNK, Outer, add_outer};
use own::Own;
use pack::PackedValues;
pub(crate) use pack::Panel;
pub use pack::{Orientation, PackedMatrix};
use std::ops::Range;
pub use tile::PANEL;
use tile::{BytePanel, tile_int8};
pub(crate) use tile::{Sums, tile_bf16, tile_f32};

/// What happens to a finished sum before it is stored.
pub enum Epilogue<'a> {
    /// Store it.
    Store,
    /// Add it to what is there.
    Accumulate,
    /// Store its GELU, and the sum itself in the second place where one is given.
    Gelu(Option<&'a mut [f32]>),
    /// Store it plus these numbers `[R, N]`.
    Residual(&'a [f32]),
    /// Store it times the slope of GELU at these numbers `[R, N]`.
    GeluSlope(&'a [f32]),
}

/// Where results go.
pub enum Target<'a> {
    /// 32-bit numbers `[R, N]`.
    F32(&'a mut [f32]),
    /// bf16 numbers `[R, N]`.
    Bf16(&'a mut [bf16]),
}

/// One product of several that share their rows.
pub struct Product<'a> {
    /// Right operand.
    pub matrix: &'a PackedMatrix,
    /// Added to every row.
    pub bias: Option<&'a [f32]>,
    /// Last step.
    pub epilogue: Epilogue<'a>,
    /// Result.
    pub target: Target<'a>,
}

/// Multiplies `input` `[R, K]` with every product's matrix.
///
/// # Panics
/// When sizes do not fit, or matrices differ in precision or inner dimension: the callers check.
pub fn multiply(cpu: &Cpu, rows: usize, input: Input<'_>, products: &mut [Product<'_>]) {
    let Some(first) = products.first() else { return };
    let inner = first.matrix.inner;
    run(cpu, rows, Matrix::rows(input.into(), rows, inner, inner), products);
}

/// Bytes of packed rows that are multiplied before the next rows are packed: they stay in a common
/// third-level cache while every panel passes over them.
const PACKED_BYTES: usize = 8 * 1024 * 1024;

/// Rows of one task when there are more tasks than needed: enough that a panel is worth loading.
const TASK_ROWS_MIN: usize = 112;

fn run(cpu: &Cpu, rows: usize, source: Matrix<'_>, products: &mut [Product<'_>]) {
    if rows == 0 || source.inner() == 0 || products.is_empty() {
        return;
    }
    let precision = products[0].matrix.precision();
    let strip_length = strip_length(precision, source.inner());
    let height = strip_rows(cpu);
    let views: Vec<View<'_>> = products.iter_mut().map(View::new).collect();
    let panels: usize = views.iter().map(|view| view.columns.div_ceil(PANEL)).sum();
    let threads = cpu.threads().count();
    let strips = rows.div_ceil(height);
    let own = Own::of(strips, (height, strip_length), panels, threads);
    let block = match own {
        Some(_) => rows,
        None => (PACKED_BYTES / 4 / strip_length).next_multiple_of(height).min(rows),
    };
    let held = own.map_or(block.next_multiple_of(height), |own| threads * own.strips(strips) * height);
    let mut scratch = Buffer::<u32>::scratch(cpu.pool(), held * strip_length);
    let shared = Shared::new(scratch.as_mut_slice());
    for first in (0..rows).step_by(block) {
        let count = block.min(rows - first);
        let wanted = (4 * threads).div_ceil(panels);
        let chunk = count.div_ceil(wanted).max(TASK_ROWS_MIN).next_multiple_of(height);
        let job = Job {
            source,
            first,
            count,
            chunk,
            panels,
            strip_length,
            precision,
            views: &views,
            scratch: &shared,
        };
        if let Some(own) = own {
            cpu.run(own.chunks * own.groups, &PackAndMultiply(&job, own));
        } else {
            cpu.run(count.div_ceil(height), &PackStrips(&job));
            cpu.run(panels * count.div_ceil(chunk), &Multiply(&job));
        }
    }
}

/// Packed words of one row.
fn strip_length(precision: Precision, inner: usize) -> usize {
    match precision {
        Precision::F32 => inner,
        Precision::Bf16 => inner.div_ceil(2),
        // And the scale of the row.
        Precision::Int8 => inner.div_ceil(4) + 1,
    }
}

/// Rows of a full strip on the device's path.
pub(crate) fn strip_rows(cpu: &Cpu) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    struct Height(AtomicUsize);
    impl Work for Height {
        #[inline(always)]
        fn run<S: Simd>(&self, _: S, _: Task) {
            self.0.store(S::ROWS, Ordering::Relaxed);
        }
    }
    let height = Height(AtomicUsize::new(1));
    super::simd::dispatch(cpu.path(), &height, Task { task: 0, worker: 0 });
    height.0.load(Ordering::Relaxed)
}

/// A product with its writable places shared between threads.
struct View<'a> {
    columns: usize,
    first_panel: usize,
    values: &'a PackedValues,
    bias: Option<&'a [f32]>,
    step: Step<'a>,
    target: SharedTarget<'a>,
}

enum Step<'a> {
    Store,
    Accumulate,
    Gelu(Option<Shared<'a, f32>>),
    Residual(&'a [f32]),
    GeluSlope(&'a [f32]),
}

enum SharedTarget<'a> {
    F32(Shared<'a, f32>),
    Bf16(Shared<'a, bf16>),
}

impl<'a> View<'a> {
    fn new(product: &'a mut Product<'_>) -> Self {
        let step = match &mut product.epilogue {
            Epilogue::Store => Step::Store,
            Epilogue::Accumulate => Step::Accumulate,
            Epilogue::Gelu(before) => Step::Gelu(before.as_mut().map(|values| Shared::new(values))),
            Epilogue::Residual(values) => Step::Residual(values),
            Epilogue::GeluSlope(values) => Step::GeluSlope(values),
        };
        let target = match &mut product.target {
            Target::F32(values) => SharedTarget::F32(Shared::new(values)),
            Target::Bf16(values) => SharedTarget::Bf16(Shared::new(values)),
        };
        let PackedMatrix { columns, first_panel, values, .. } = product.matrix;
        let (columns, first_panel) = (*columns, *first_panel);
        Self { columns, first_panel, values, bias: product.bias, step, target }
    }
}

struct Job<'a> {
    source: Matrix<'a>,
    /// Rows of this block.
    first: usize,
    count: usize,
    /// Rows of one task.
    chunk: usize,
    /// Panels of all products.
    panels: usize,
    /// Packed words of one row.
    strip_length: usize,
    precision: Precision,
    views: &'a [View<'a>],
    scratch: &'a Shared<'a, u32>,
}

/// First all rows of the block are packed …
struct PackStrips<'a>(&'a Job<'a>);

impl Work for PackStrips<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let row = task.task * S::ROWS;
        self.0.pack(s, row, row);
    }
}

/// … then every task multiplies some of them with one panel.
struct Multiply<'a>(&'a Job<'a>);

impl Work for Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let job = self.0;
        let row = task.task / job.panels * job.chunk;
        let count = job.chunk.min(job.count - row);
        job.multiply_panel(s, task.task % job.panels, (row, count), row);
    }
}

/// A task of its own rows: packed into the worker's place, then multiplied with its stretch of panels.
struct PackAndMultiply<'a>(&'a Job<'a>, Own);

impl Work for PackAndMultiply<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let Self(job, own) = *self;
        let strips = job.count.div_ceil(S::ROWS);
        let (chunk, group) = (task.task / own.groups, task.task % own.groups);
        let row = chunk * strips / own.chunks * S::ROWS;
        let end = ((chunk + 1) * strips / own.chunks * S::ROWS).min(job.count);
        let place = task.worker * own.strips(strips) * S::ROWS;
        for strip in (row..end).step_by(S::ROWS) {
            job.pack(s, strip, place + strip - row);
        }
        for panel in group * job.panels / own.groups..(group + 1) * job.panels / own.groups {
            job.multiply_panel(s, panel, (row, end - row), place);
        }
    }
}

/// Rows of the next strip when `left` are left: full strips first, then the lowest that holds the rest,
/// whose missing rows count as zeros.
#[inline(always)]
pub(crate) const fn strip_height<S: Simd>(left: usize) -> usize {
    height_of(S::ROWS, left)
}

#[inline(always)]
const fn height_of(full: usize, left: usize) -> usize {
    match left {
        0..=4 if full > 4 => 4,
        5..=8 if full > 8 => 8,
        _ => full,
    }
}

/// Rows of all strips of `rows` rows, those that count as zeros included, where a full strip has `full`.
pub(crate) const fn rows_of_strips(rows: usize, full: usize) -> usize {
    match rows % full {
        0 => rows,
        left => rows - left + height_of(full, left),
    }
}

/// Whether strips of `rows` rows occur on this path; what never occurs need not be compiled.
#[inline(always)]
pub(crate) const fn strip_occurs<S: Simd>(rows: usize) -> bool {
    rows == S::ROWS || strip_height::<S>(rows) == rows
}

impl Job<'_> {
    /// Packs the strip that begins with row `row` of the block, as rows of the scratch from `place` on.
    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, row: usize, place: usize) {
        let left = self.count - row;
        let height = strip_height::<S>(left);
        let start = place * self.strip_length;
        // SAFETY: every task packs its own strip, or strips in the place of its worker.
        let strip = unsafe { self.scratch.part(start, height * self.strip_length) };
        let rows = self.first + row..self.first + row + height.min(left);
        match height {
            14 => self.pack_strip::<S, 14>(s, rows, strip),
            8 => self.pack_strip::<S, 8>(s, rows, strip),
            6 => self.pack_strip::<S, 6>(s, rows, strip),
            _ => self.pack_strip::<S, 4>(s, rows, strip),
        }
    }

    #[inline(always)]
    fn pack_strip<S: Simd, const R: usize>(&self, s: S, rows: Range<usize>, strip: &mut [u32]) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        let strip = strip.as_chunks_mut::<R>().0;
        match self.precision {
            Precision::F32 => {
                self.source.pack::<S, R>(s, rows, bytemuck::cast_slice_mut::<[u32; R], [f32; R]>(strip));
            }
            Precision::Bf16 => self.source.pack_pairs(s, rows, strip),
            Precision::Int8 => self.source.pack_quads(s, rows, strip),
        }
    }

    /// Multiplies `count` rows of the block from `first` on, packed from row `place` of the scratch on, with one
    /// of the panels of all products.
    #[inline(always)]
    fn multiply_panel<S: Simd>(&self, s: S, mut panel: usize, (first, count): (usize, usize), place: usize) {
        let mut views = self.views.iter();
        let view = loop {
            let Some(view) = views.next() else { return };
            let panels = view.columns.div_ceil(PANEL);
            if panel < panels {
                break view;
            }
            panel -= panels;
        };
        let mut done = 0;
        while done < count {
            let height = strip_height::<S>(count - done);
            let start = (place + done) * self.strip_length;
            // SAFETY: packing of these rows has ended: nobody writes them while this task reads.
            let strip = unsafe { self.scratch.read(start, height * self.strip_length) };
            let place = Place { row: self.first + first + done, valid: height.min(count - done), panel };
            match height {
                14 => self.tile::<S, 14>(s, view, place, strip),
                8 => self.tile::<S, 8>(s, view, place, strip),
                6 => self.tile::<S, 6>(s, view, place, strip),
                _ => self.tile::<S, 4>(s, view, place, strip),
            }
            done += height;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&self, s: S, view: &View<'_>, place: Place, strip: &[u32]) {
        if !const { strip_occurs::<S>(R) } {
            return;
        }
        view.foresee(place);
        if S::VECTORS == 2 {
            view.finish::<S, R, 2>(s, place, 0, self.sums(s, view, place.panel, strip, 0));
        } else {
            view.finish::<S, R, 1>(s, place, 0, self.sums(s, view, place.panel, strip, 0));
            view.finish::<S, R, 1>(s, place, 1, self.sums(s, view, place.panel, strip, 1));
        }
    }

    #[inline(always)]
    fn sums<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        view: &View<'_>,
        panel: usize,
        strip: &[u32],
        half: usize,
    ) -> Sums<S, R, V> {
        let size = self.strip_length * PANEL;
        let panel = view.first_panel + panel;
        match view.values {
            PackedValues::F32(values) => {
                let panel = &values.as_slice()[panel * size..(panel + 1) * size];
                tile_f32::<S, R, V>(s, bytemuck::cast_slice(strip), panel, half)
            }
            PackedValues::Bf16(values) => {
                let panel = &values.as_slice()[panel * 2 * size..(panel + 1) * 2 * size];
                tile_bf16::<S, R, V>(s, strip, panel, half)
            }
            PackedValues::Int8(bytes) => {
                let size = (self.strip_length - 1) * 4 * PANEL;
                let columns = 2 * panel..2 * panel + 2;
                let panel = BytePanel {
                    quads: &bytes.quads.as_slice()[panel * size..(panel + 1) * size],
                    corrections: &bytes.corrections.as_slice().as_chunks().0[columns.clone()],
                    scales: &bytes.scales.as_slice().as_chunks().0[columns],
                };
                tile_int8::<S, R, V>(s, strip, panel, half)
            }
        }
    }
}

/// Where a tile lies: its first row, how many of its rows exist, and its panel.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    valid: usize,
    panel: usize,
}

impl View<'_> {
    /// Asks for what the last step reads or writes, to be there when the sums are finished.
    #[inline(always)]
    fn foresee(&self, place: Place) {
        let column = place.panel * PANEL;
        for row in place.row..place.row + place.valid {
            for column in (column..self.columns.min(column + PANEL)).step_by(LANES) {
                let at = row * self.columns + column;
                match &self.step {
                    Step::Residual(values) | Step::GeluSlope(values) => prefetch(values, at),
                    Step::Gelu(Some(before)) => before.prefetch(at),
                    Step::Store | Step::Accumulate | Step::Gelu(None) => {}
                }
                match &self.target {
                    SharedTarget::F32(target) => target.prefetch(at),
                    SharedTarget::Bf16(target) => target.prefetch(at),
                }
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        place: Place,
        half: usize,
        sums: Sums<S, R, V>,
    ) {
        let column = place.panel * PANEL + half * LANES;
        if place.valid < R || column + V * LANES > self.columns {
            return self.finish_any(s, place, column, sums);
        }
        let at = place.row * self.columns + column;
        // Steps of one addition at most take a whole tile's sums from their registers, the others by way of memory.
        match (&self.step, &self.target) {
            (Step::Store, SharedTarget::F32(target)) => {
                let bias = self.bias_of::<S, V>(s, column);
                for r in 0..R {
                    // SAFETY: every output belongs to one tile, and every tile to one task.
                    let to = unsafe { target.part(at + r * self.columns, V * LANES) };
                    for v in 0..V {
                        s.store_any(s.add(sums[r][v], bias[v]), &mut to[v * LANES..]);
                    }
                }
            }
            (Step::Store, SharedTarget::Bf16(target)) => {
                let bias = self.bias_of::<S, V>(s, column);
                for r in 0..R {
                    // SAFETY: as above.
                    let to = unsafe { target.part(at + r * self.columns, V * LANES) };
                    for v in 0..V {
                        s.store_any_bf16(s.add(sums[r][v], bias[v]), &mut to[v * LANES..]);
                    }
                }
            }
            (Step::Residual(values), SharedTarget::F32(target)) => {
                let bias = self.bias_of::<S, V>(s, column);
                for r in 0..R {
                    let from = &values[at + r * self.columns..][..V * LANES];
                    // SAFETY: as above.
                    let to = unsafe { target.part(at + r * self.columns, V * LANES) };
                    for v in 0..V {
                        let sum = s.add(sums[r][v], bias[v]);
                        let sum = s.add(s.load_any(&from[v * LANES..]), sum);
                        s.store_any(sum, &mut to[v * LANES..]);
                    }
                }
            }
            _ => self.finish_any(s, place, column, sums),
        }
    }

    /// What is added to the columns of a tile that lies inside the matrix.
    #[inline(always)]
    fn bias_of<S: Simd, const V: usize>(&self, s: S, column: usize) -> [S::F; V] {
        let mut parts = [s.splat(0.0); V];
        if let Some(bias) = self.bias {
            for v in 0..V {
                parts[v] = s.load_any(&bias[column + v * LANES..]);
            }
        }
        parts
    }

    /// Any step, for tiles that need not lie inside the matrix.
    #[inline(always)]
    fn finish_any<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        place: Place,
        first: usize,
        sums: Sums<S, R, V>,
    ) {
        for v in 0..V {
            let column = first + v * LANES;
            let lanes = LANES.min(self.columns.saturating_sub(column));
            if lanes == 0 {
                return;
            }
            let bias = match self.bias {
                Some(bias) => s.load_part(&bias[column..column + lanes], 0.0),
                None => s.splat(0.0),
            };
            for (r, row) in sums.iter().enumerate().take(place.valid) {
                let at = (place.row + r) * self.columns + column;
                self.store(s, at, lanes, s.add(row[v], bias));
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, s: S, at: usize, lanes: usize, sum: S::F) {
        let value = match &self.step {
            Step::Store => sum,
            Step::Accumulate => match &self.target {
                // SAFETY: every output belongs to one tile, and every tile to one task.
                SharedTarget::F32(target) => s.add(s.load_any(unsafe { target.part(at, lanes) }), sum),
                SharedTarget::Bf16(_) => sum,
            },
            Step::Gelu(before) => {
                if let Some(before) = before {
                    // SAFETY: as above.
                    s.store_any(sum, unsafe { before.part(at, lanes) });
                }
                math::gelu(s, sum)
            }
            Step::Residual(values) => s.add(s.load_any(&values[at..at + lanes]), sum),
            Step::GeluSlope(values) => s.mul(sum, math::gelu_slope(s, s.load_any(&values[at..at + lanes]))),
        };
        match &self.target {
            // SAFETY: as above.
            SharedTarget::F32(target) => s.store_any(value, unsafe { target.part(at, lanes) }),
            SharedTarget::Bf16(target) => {
                // SAFETY: as above.
                s.store_any_bf16(value, unsafe { target.part(at, lanes) });
            }
        }
    }
}
