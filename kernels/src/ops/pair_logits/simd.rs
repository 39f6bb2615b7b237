//! Fast path of the head of pairs: sixteen second proteins in the lanes of a vector, a few first ones side by side.

use super::Sizes;
use crate::buffer::Buffer;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work};
use crate::cpu::{Cpu, math};

/// Units that are taken together; those that are missing have no weight.
const UNITS: usize = 4;

/// First proteins of a task.
const ROWS: usize = 32;

/// Panels of sixteen second proteins of a task.
const PANELS: usize = 64;

/// Largest sizes of numbers up to which four fractions, two and one are taken for one division.
const LIMITS: [f32; 3] = [5.0, 10.0, 20.0];

/// The number of limits that a protein is above.
type Level = u8;

/// Fractions of a head in units of this part of its largest weight, so that nearly all of them stand with 1 above the line.
const PART: f32 = 1.0 / 4096.0;

/// What the numbers below the line of four fractions, each at least 1 and multiplied, may add to their size: e^80 of four powers
/// up to the first limit leave room for e^8.
const ROOM: f32 = 256.0;

/// The weighted fractions of a head, `-2·weight / (1 + x)` of each unit, four units at a time, as multiples of `scale`:
///
/// ```text
/// quads with 1 above:  1 / (c + c·x),  c = scale / (-2·weight),  c·x = (sign·root·e^2first) · (root·e^2second),  root = √|c|
/// others:              w / (1 + x),    w = -2·weight / scale
/// ```
///
/// Numbers above the line cost two operations each when fractions are added, ones cost none. Others are those whose weight is
/// tiny beside the largest, or which are missing.
struct Fractions {
    scale: f32,
    /// `[K]` c, or 1.
    constants: Vec<f32>,
    /// `[K]` what powers of the first proteins are multiplied by, and without its sign of the second ones.
    factors: Vec<f32>,
    /// `[K]` w, or 1.
    above: Vec<f32>,
    /// Quads with 1 above, and others.
    quads: [Vec<u32>; 2],
}

impl Fractions {
    fn new(weights: &[f32], units: usize) -> Self {
        let doubled: Vec<f32> =
            weights.iter().map(|weight| -2.0 * weight).chain([0.0; UNITS]).take(units).collect();
        let largest = doubled.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
        // A head whose weights are next to nothing stands as it is.
        let scale = if (largest * PART).is_normal() { largest * PART } else { 1.0 };
        let mut all = Self {
            scale,
            constants: vec![1.0; units],
            factors: vec![1.0; units],
            above: vec![1.0; units],
            quads: [Vec::new(), Vec::new()],
        };
        for (quad, own) in doubled.as_chunks::<UNITS>().0.iter().enumerate() {
            let constants = own.map(|weight| scale / weight);
            let size: f32 = constants.iter().map(|constant| constant.abs().max(1.0)).product();
            // A weight of nothing has an infinite constant, which is no fit.
            let fits = size <= ROOM && (largest * PART).is_normal();
            all.quads[usize::from(!fits)].push(quad as u32);
            for (unit, &weight) in own.iter().enumerate() {
                let place = quad * UNITS + unit;
                if fits {
                    all.constants[place] = constants[unit];
                    all.factors[place] = constants[unit].abs().sqrt().copysign(weight);
                } else {
                    all.above[place] = weight / scale;
                }
            }
        }
        all
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    sizes: Sizes,
    (first, second): (&Buffer<f32>, &Buffer<f32>),
    (weights, bias): (&[f32], f32),
    y: &mut Buffer<f32>,
) {
    let units = sizes.units.next_multiple_of(UNITS);
    let fractions = &Fractions::new(weights, units);
    let panels = sizes.columns.div_ceil(LANES);
    let mut powers = Buffer::<f32>::scratch(cpu.pool(), sizes.rows * units);
    let mut lanes = Buffer::<f32>::scratch(cpu.pool(), panels * units * LANES);
    let mut levels = [vec![0; sizes.rows], vec![0; panels * LANES]];
    let [row_levels, column_levels] = &mut levels;
    let (first, second) = (first.as_slice(), second.as_slice());
    cpu.run(
        sizes.rows.div_ceil(ROWS),
        &Rows {
            sizes,
            fractions,
            first,
            powers: Shared::new(powers.as_mut_slice()),
            levels: Shared::new(row_levels),
        },
    );
    cpu.run(
        panels,
        &Columns {
            sizes,
            fractions,
            second,
            lanes: Shared::new(lanes.as_mut_slice()),
            levels: Shared::new(column_levels),
        },
    );
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let tiles = Tiles {
        sizes,
        units,
        numbers: (first, second),
        powers: powers.as_slice(),
        lanes: lanes.as_slice(),
        levels: (&levels[0], &levels[1]),
        weights,
        fractions,
        bias,
        constant: (f64::from(bias) + total) as f32,
        y: Shared::new(y.as_mut_slice()),
    };
    cpu.run(tiles.tasks(), &tiles);
}

/// The level of a protein by its numbers.
#[inline(always)]
fn level(numbers: &[f32]) -> Level {
    let mut counts = [false; LIMITS.len()];
    for &number in numbers {
        for (above, limit) in counts.iter_mut().zip(LIMITS) {
            // What is no number is above every limit.
            *above |= !matches!(number.abs().partial_cmp(&limit), Some(order) if order.is_le());
        }
    }
    counts.into_iter().map(Level::from).sum()
}

/// `e^2x`; numbers above the last limit are not used.
#[inline(always)]
fn power<S: Simd>(s: S, x: S::F) -> S::F {
    let limit = LIMITS[LIMITS.len() - 1];
    let x = s.min(s.splat(limit), s.max(s.splat(-limit), x));
    math::exp(s, s.add(x, x))
}

/// Powers `[R,K]` of the first proteins times the factors, and their levels.
struct Rows<'a> {
    sizes: Sizes,
    fractions: &'a Fractions,
    first: &'a [f32],
    powers: Shared<'a, f32>,
    levels: Shared<'a, Level>,
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (from, width) = (task.task * ROWS, self.sizes.units);
        let factors = &self.fractions.factors;
        for row in from..self.sizes.rows.min(from + ROWS) {
            let numbers = &self.first[row * width..(row + 1) * width];
            // SAFETY: every task owns its rows.
            let (powers, own) =
                unsafe { (self.powers.part(row * factors.len(), factors.len()), self.levels.part(row, 1)) };
            own[0] = level(numbers);
            for start in (0..factors.len()).step_by(LANES) {
                let end = factors.len().min(start + LANES);
                let x = s.load_any(&numbers[start.min(width)..end.min(width)]);
                let powered = s.mul(power(s, x), s.load_any(&factors[start..end]));
                s.store_any(powered, &mut powers[start..end]);
            }
        }
    }
}

/// Powers of the second proteins times the size of the factors in panels `[K,16]`, and their levels.
struct Columns<'a> {
    sizes: Sizes,
    fractions: &'a Fractions,
    second: &'a [f32],
    lanes: Shared<'a, f32>,
    levels: Shared<'a, Level>,
}

impl Work for Columns<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (from, width) = (task.task * LANES, self.sizes.units);
        let there = LANES.min(self.sizes.columns - from);
        let units = self.fractions.factors.len();
        let length = units * LANES;
        // SAFETY: every task owns its panel.
        let (lanes, levels) =
            unsafe { (self.lanes.part(task.task * length, length), self.levels.part(from, LANES)) };
        let numbers = &self.second[from * width..(from + there) * width];
        for lane in 0..there {
            levels[lane] = level(&numbers[lane * width..(lane + 1) * width]);
        }
        for start in (0..units).step_by(LANES) {
            let end = units.min(start + LANES);
            let mut rows = [power(s, s.splat(0.0)); LANES];
            for lane in 0..there {
                let own = &numbers[lane * width..(lane + 1) * width];
                rows[lane] = power(s, s.load_any(&own[start.min(width)..end.min(width)]));
            }
            let turned = s.transpose(rows);
            for unit in start..end {
                let powered = s.mul(turned[unit - start], s.splat(self.fractions.factors[unit].abs()));
                s.store_any(powered, &mut lanes[unit * LANES..(unit + 1) * LANES]);
            }
        }
    }
}

/// The pairs of a few first proteins with many second ones.
struct Tiles<'a> {
    sizes: Sizes,
    /// K, up to a multiple of [`UNITS`].
    units: usize,
    numbers: (&'a [f32], &'a [f32]),
    powers: &'a [f32],
    lanes: &'a [f32],
    levels: (&'a [Level], &'a [Level]),
    weights: &'a [f32],
    fractions: &'a Fractions,
    bias: f32,
    /// `bias + Σ weight`
    constant: f32,
    y: Shared<'a, f32>,
}

impl Work for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let panels = self.sizes.columns.div_ceil(LANES);
        let across = panels.div_ceil(PANELS);
        let (down, side) = (task.task / across, task.task % across);
        let rows = down * ROWS..self.sizes.rows.min((down + 1) * ROWS);
        for panel in side * PANELS..panels.min((side + 1) * PANELS) {
            // Registers hold the sums of four rows where vectors are one register each, else of two.
            if S::VECTORS == 2 {
                self.panel::<S, 4>(s, rows.clone(), panel);
            } else {
                self.panel::<S, 2>(s, rows.clone(), panel);
            }
        }
    }
}

impl Tiles<'_> {
    fn tasks(&self) -> usize {
        let panels = self.sizes.columns.div_ceil(LANES);
        self.sizes.rows.div_ceil(ROWS) * panels.div_ceil(PANELS)
    }

    /// All `rows` with a panel of columns, `M` at a time.
    #[inline(always)]
    fn panel<S: Simd, const M: usize>(&self, s: S, rows: std::ops::Range<usize>, panel: usize) {
        let own = &self.levels.1[panel * LANES..(panel + 1) * LANES];
        let there = LANES.min(self.sizes.columns - panel * LANES);
        let (least, most) = ends(&own[..there]);
        let mut row = rows.start;
        while row < rows.end {
            let count = if rows.end - row >= M { M } else { 1 };
            let (row_least, row_most) = ends(&self.levels.0[row..row + count]);
            // Every pair of the tile has the same level.
            if row_least.max(least) == row_most.max(most) {
                if count == M {
                    self.put(s, self.tile::<S, M>(s, row, panel, row_most.max(most)), row, panel);
                } else {
                    self.put(s, self.tile::<S, 1>(s, row, panel, row_most.max(most)), row, panel);
                }
            } else {
                for row in row..row + count {
                    self.put(s, [self.mixed(s, row, panel)], row, panel);
                }
            }
            row += count;
        }
    }

    /// A row whose pairs have different levels: each level, and of each the lanes that have it.
    #[inline(always)]
    fn mixed<S: Simd>(&self, s: S, row: usize, panel: usize) -> S::F {
        let mut found = [0.0; LANES];
        let of: [Level; LANES] =
            std::array::from_fn(|lane| self.levels.0[row].max(self.levels.1[panel * LANES + lane]));
        for level in 0..=LIMITS.len() as Level {
            if of.contains(&level) {
                let [values] = self.tile::<S, 1>(s, row, panel, level);
                let values = s.to_array(values);
                for lane in 0..LANES {
                    if of[lane] == level {
                        found[lane] = values[lane];
                    }
                }
            }
        }
        s.load(&found)
    }

    #[inline(always)]
    fn put<S: Simd, const M: usize>(&self, s: S, values: [S::F; M], row: usize, panel: usize) {
        let columns = self.sizes.columns;
        let there = LANES.min(columns - panel * LANES);
        for place in 0..M {
            // SAFETY: every task owns the pairs of its rows with its panels.
            let y = unsafe { self.y.part((row + place) * columns + panel * LANES, there) };
            s.store_any(values[place], y);
        }
    }

    /// `M` rows from `row` on with a panel, all of one level.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&self, s: S, row: usize, panel: usize, level: Level) -> [S::F; M] {
        match level {
            0 => self.divided::<S, M, 4>(s, row, panel),
            1 => self.divided::<S, M, 2>(s, row, panel),
            2 => self.divided::<S, M, 1>(s, row, panel),
            _ => {
                let mut values = [s.splat(0.0); M];
                for place in 0..M {
                    values[place] = self.plain(s, row + place, panel);
                }
                values
            }
        }
    }

    /// The same with one division for `G` fractions: 4, 2 or 1.
    #[inline(always)]
    fn divided<S: Simd, const M: usize, const G: usize>(&self, s: S, row: usize, panel: usize) -> [S::F; M] {
        let quads = self.units / UNITS;
        let size = self.units * LANES;
        let lanes = &self.lanes[panel * size..(panel + 1) * size];
        let lanes = &lanes.as_chunks::<LANES>().0.as_chunks::<UNITS>().0[..quads];
        let constants = &self.fractions.constants.as_chunks::<UNITS>().0[..quads];
        let above = &self.fractions.above.as_chunks::<UNITS>().0[..quads];
        let rows: [&[[f32; UNITS]]; M] = std::array::from_fn(
            #[inline(always)]
            |place| {
                let start = (row + place) * self.units;
                &self.powers[start..start + self.units].as_chunks::<UNITS>().0[..quads]
            },
        );
        let mut sums = [s.splat(0.0); M];
        let [ones, others] = &self.fractions.quads;
        for &quad in ones {
            let quad = quad as usize;
            let (with, constants) = (vectors(s, &lanes[quad]), all(s, &constants[quad]));
            for place in 0..M {
                let below = below(s, &rows[place][quad], with, constants);
                sums[place] = with_ones::<S, G>(s, sums[place], below);
            }
        }
        for &quad in others {
            let quad = quad as usize;
            let (with, above) = (vectors(s, &lanes[quad]), all(s, &above[quad]));
            for place in 0..M {
                let below = below(s, &rows[place][quad], with, [s.splat(1.0); UNITS]);
                sums[place] = with_weights::<S, G>(s, sums[place], above, below);
            }
        }
        let (constant, scale) = (s.splat(self.constant), s.splat(self.fractions.scale));
        for sum in &mut sums {
            *sum = s.fma(*sum, scale, constant);
        }
        sums
    }

    /// A row with a panel by `tanh` itself.
    #[inline(always)]
    fn plain<S: Simd>(&self, s: S, row: usize, panel: usize) -> S::F {
        let units = self.sizes.units;
        let there = LANES.min(self.sizes.columns - panel * LANES);
        let mut sum = s.splat(0.0);
        for unit in 0..units {
            let mut with = [0.0; LANES];
            for (lane, with) in with[..there].iter_mut().enumerate() {
                *with = self.numbers.1[(panel * LANES + lane) * units + unit];
            }
            let x = s.add(s.splat(self.numbers.0[row * units + unit]), s.load(&with));
            sum = s.fma(s.splat(self.weights[unit]), math::tanh(s, x), sum);
        }
        s.add(sum, s.splat(self.bias))
    }
}

/// Smallest and largest of levels, of which there is at least one.
#[inline(always)]
fn ends(levels: &[Level]) -> (Level, Level) {
    let mut ends = (Level::MAX, Level::MIN);
    for &level in levels {
        ends = (ends.0.min(level), ends.1.max(level));
    }
    ends
}

// Vectors stand in loops and not in `map`, whose body the compiler may leave outside, without the instructions.

/// The vectors of a quad.
#[inline(always)]
fn vectors<S: Simd>(s: S, lanes: &[[f32; LANES]; UNITS]) -> [S::F; UNITS] {
    let mut vectors = [s.splat(0.0); UNITS];
    for unit in 0..UNITS {
        vectors[unit] = s.load(&lanes[unit]);
    }
    vectors
}

/// Each number of a quad in all lanes.
#[inline(always)]
fn all<S: Simd>(s: S, values: &[f32; UNITS]) -> [S::F; UNITS] {
    let mut vectors = [s.splat(0.0); UNITS];
    for unit in 0..UNITS {
        vectors[unit] = s.splat(values[unit]);
    }
    vectors
}

/// What stands below the line.
#[inline(always)]
fn below<S: Simd>(s: S, own: &[f32; UNITS], with: [S::F; UNITS], constants: [S::F; UNITS]) -> [S::F; UNITS] {
    let mut below = constants;
    for unit in 0..UNITS {
        below[unit] = s.fma(s.splat(own[unit]), with[unit], constants[unit]);
    }
    below
}

/// Adds `Σ 1 / below` of four units to `sum`, `G` fractions to a division.
#[inline(always)]
fn with_ones<S: Simd, const G: usize>(s: S, mut sum: S::F, below: [S::F; UNITS]) -> S::F {
    if G == 1 {
        let one = s.splat(1.0);
        for unit in 0..UNITS {
            sum = s.add(sum, s.div(one, below[unit]));
        }
        return sum;
    }
    let first = (s.add(below[0], below[1]), s.mul(below[0], below[1]));
    let second = (s.add(below[2], below[3]), s.mul(below[2], below[3]));
    of_two::<S, G>(s, sum, first, second)
}

/// Adds `Σ above / below` of four units to `sum`, `G` fractions to a division.
#[inline(always)]
fn with_weights<S: Simd, const G: usize>(
    s: S,
    mut sum: S::F,
    above: [S::F; UNITS],
    below: [S::F; UNITS],
) -> S::F {
    if G == 1 {
        for unit in 0..UNITS {
            sum = s.add(sum, s.div(above[unit], below[unit]));
        }
        return sum;
    }
    let first = joined(s, (above[0], below[0]), (above[1], below[1]));
    let second = joined(s, (above[2], below[2]), (above[3], below[3]));
    of_two::<S, G>(s, sum, first, second)
}

/// Adds two fractions to `sum`, by one division or two.
#[inline(always)]
fn of_two<S: Simd, const G: usize>(s: S, sum: S::F, first: (S::F, S::F), second: (S::F, S::F)) -> S::F {
    if G == 2 {
        return s.add(s.add(sum, s.div(first.0, first.1)), s.div(second.0, second.1));
    }
    let (above, below) = joined(s, first, second);
    s.add(sum, s.div(above, below))
}

/// Numerator and denominator of the sum of two fractions.
#[inline(always)]
fn joined<S: Simd>(s: S, one: (S::F, S::F), other: (S::F, S::F)) -> (S::F, S::F) {
    (s.fma(one.0, other.1, s.mul(other.0, one.1)), s.mul(one.1, other.1))
}
