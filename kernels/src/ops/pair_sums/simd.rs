//! Fast path of the sums over pairs: sixteen second proteins in the lanes of a vector.
//!
//! A number of steps has 22 bits, `q = 2^11·h + l`, and so 32-bit vectors hold sums of sixteen h, l, h², h·l and l² exactly,
//! and numbers of 64 bits those of 1024 squares.

use std::ops::Range;

use super::{Bars, Counted, Found, GROUP, MOST, ROUND, Sums};
use crate::Device;
use crate::cpu::CpuPath;
use crate::cpu::shared::Shared;
use crate::cpu::simd::{LANES, Simd, Task, Work, dispatch};

/// Numbers that are added up in vectors before they go to whole ones: rows of a tile, and vectors across it.
const MANY: usize = 16;

/// Rows of a task that are added up before they become whole numbers.
const TALL: usize = 1024;

/// Columns of a task.
const WIDE: usize = MANY * LANES;

/// Sums of h, l, h², h·l and l².
const PARTS: usize = 5;

// A bit field is a vector's.
const _: () = assert!(GROUP == LANES);

/// All lanes.
const ALL: u16 = u16::MAX;

pub(super) fn forward(
    device: &Device,
    (rows, columns): (usize, usize),
    (y, inverse): (&[f32], f32),
    counted: Counted<'_>,
    bars: Bars<'_>,
) -> Found {
    let (tasks, groups) = (columns.div_ceil(WIDE), columns.div_ceil(GROUP));
    let none = Sums::default();
    let mut found =
        Found { rows: vec![none; rows], columns: vec![none; columns], reached: vec![0; rows * groups] };
    // What every task finds for the rows.
    let mut shares = vec![none; tasks * rows];
    let block = Block {
        size: (rows, columns),
        y,
        inverse,
        counted,
        bars,
        shares: Shared::new(&mut shares),
        columns: Shared::new(&mut found.columns),
        reached: Shared::new(&mut found.reached),
    };
    match device {
        Device::Cpu(cpu) => cpu.run(tasks, &block),
        Device::Cuda(_) => {
            (0..tasks).for_each(|task| dispatch(CpuPath::best(), &block, Task { task, worker: 0 }));
        }
    }
    for share in shares.chunks_exact(rows.max(1)) {
        found.rows.iter_mut().zip(share).for_each(|(own, share)| own.add(share));
    }
    found
}

struct Block<'a> {
    size: (usize, usize),
    y: &'a [f32],
    inverse: f32,
    counted: Counted<'a>,
    bars: Bars<'a>,
    /// `[tasks, R]`
    shares: Shared<'a, Sums>,
    columns: Shared<'a, Sums>,
    reached: Shared<'a, u16>,
}

impl Work for Block<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, task: Task) {
        let (rows, columns) = self.size;
        let from = task.task * WIDE;
        let to = columns.min(from + WIDE);
        // SAFETY: every task owns its share and its columns.
        let (share, own) =
            unsafe { (self.shares.part(task.task * rows, rows), self.columns.part(from, to - from)) };
        for first in (0..rows).step_by(TALL) {
            let mut columns = [Reals::default(); MANY];
            for first in (first..rows.min(first + TALL)).step_by(MANY) {
                self.tile(s, first, from..to, (&mut columns, share));
            }
            for (columns, own) in columns.iter().zip(own.chunks_mut(LANES)) {
                for (lane, own) in own.iter_mut().enumerate() {
                    own.add(&columns.lane(lane));
                }
            }
        }
    }
}

impl Block<'_> {
    /// Some rows with the columns of a task: adds to what columns have, and to what rows have `[R]`.
    #[inline(always)]
    fn tile<S: Simd>(
        &self,
        s: S,
        first: usize,
        columns: Range<usize>,
        (down, share): (&mut [Reals; MANY], &mut [Sums]),
    ) {
        let count = MANY.min(self.size.0 - first);
        let mut across = [Parts::new(s); MANY];
        for (start, down) in columns.step_by(LANES).zip(down) {
            let panel = Panel::new(s, self, start);
            let mut own = Parts::new(s);
            let mut counted = [0; MANY];
            for place in 0..count {
                counted[place] = panel.counted(first + place);
            }
            if counted[..count].iter().all(|&counted| counted == ALL) {
                for place in 0..count {
                    panel.add::<true>(s, (first + place, ALL), &mut across[place], &mut own);
                }
            } else {
                for place in 0..count {
                    panel.add::<false>(s, (first + place, counted[place]), &mut across[place], &mut own);
                }
            }
            own.add_to(s, down);
        }
        for place in 0..count {
            let mut row = Reals::default();
            across[place].add_to(s, &mut row);
            share[first + place].add(&row.all());
        }
    }
}

/// Whole numbers of each lane, exact.
#[derive(Clone, Copy, Default)]
struct Reals {
    counts: [u32; LANES],
    sums: [f64; LANES],
    squares: [f64; LANES],
}

impl Reals {
    #[inline(always)]
    fn lane(&self, lane: usize) -> Sums {
        let (sum, squares) = (self.sums[lane] as i64, self.squares[lane] as i64);
        Sums { count: self.counts[lane], sum, squares }
    }

    /// Those of all lanes together.
    #[inline(always)]
    fn all(&self) -> Sums {
        let mut all = *self;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                all.counts[lane] += all.counts[lane + half];
                all.sums[lane] += all.sums[lane + half];
                all.squares[lane] += all.squares[lane + half];
            }
            half /= 2;
        }
        all.lane(0)
    }
}

/// Sums of some numbers in each lane.
#[derive(Clone, Copy)]
struct Parts<S: Simd> {
    sums: [S::F; PARTS],
    /// Numbers in every lane.
    whole: u32,
    /// Numbers beside those in each lane.
    lanes: [u32; LANES],
}

impl<S: Simd> Parts<S> {
    #[inline(always)]
    fn new(s: S) -> Self {
        Self { sums: [s.splat(0.0); PARTS], whole: 0, lanes: [0; LANES] }
    }

    #[inline(always)]
    fn count(&mut self, counted: u16) {
        if counted == ALL {
            self.whole += 1;
            return;
        }
        for lane in 0..LANES {
            self.lanes[lane] += u32::from(counted >> lane & 1);
        }
    }

    #[inline(always)]
    fn add(&mut self, s: S, (high, low): (S::F, S::F)) {
        self.sums[0] = s.add(self.sums[0], high);
        self.sums[1] = s.add(self.sums[1], low);
        self.sums[2] = s.fma(high, high, self.sums[2]);
        self.sums[3] = s.fma(high, low, self.sums[3]);
        self.sums[4] = s.fma(low, low, self.sums[4]);
    }

    /// Adds the whole numbers of each lane.
    #[inline(always)]
    fn add_to(&self, s: S, to: &mut Reals) {
        let mut parts = [[0.0; LANES]; PARTS];
        for part in 0..PARTS {
            s.store(self.sums[part], &mut parts[part]);
        }
        let [high, low, high_high, high_low, low_low] = &parts;
        for lane in 0..LANES {
            to.counts[lane] += self.whole + self.lanes[lane];
            to.sums[lane] += f64::from(high[lane]) * 2048.0 + f64::from(low[lane]);
            let squares = f64::from(high_high[lane]) * 1024.0 + f64::from(high_low[lane]);
            to.squares[lane] += squares * 4096.0 + f64::from(low_low[lane]);
        }
    }
}

/// Sixteen columns, or the last ones.
struct Panel<'a, S: Simd> {
    block: &'a Block<'a>,
    start: usize,
    /// Columns that there are.
    there: u16,
    bars: S::F,
    /// Lists that any of the columns is in, and lists that all of them are in.
    lists: (u8, u8),
}

impl<'a, S: Simd> Panel<'a, S> {
    #[inline(always)]
    fn new(s: S, block: &'a Block<'a>, start: usize) -> Self {
        let end = block.size.1.min(start + LANES);
        let mut lists = (0, u8::MAX);
        if let Some((_, others)) = block.counted.lists {
            for &other in &others[start..end] {
                lists = (lists.0 | other, lists.1 & other);
            }
        }
        let bars = s.load_any(&block.bars.columns[start..end]);
        Self { block, start, there: ALL >> (LANES - (end - start)), bars, lists }
    }

    /// Adds a row's pairs with the columns that count to its sums and to theirs; `FULL` says that all do.
    #[inline(always)]
    fn add<const FULL: bool>(
        &self,
        s: S,
        (row, counted): (usize, u16),
        across: &mut Parts<S>,
        down: &mut Parts<S>,
    ) {
        let (block, columns) = (self.block, self.block.size.1);
        let end = if FULL { self.start + LANES } else { columns.min(self.start + LANES) };
        let y = s.load_any(&block.y[row * columns + self.start..row * columns + end]);
        let bar = s.min(s.splat(block.bars.rows[row]), self.bars);
        let reached = !s.less(y, bar) & counted;
        if reached != 0 {
            let place = row * columns.div_ceil(GROUP) + self.start / GROUP;
            // SAFETY: every task owns its columns, and with them their bits.
            unsafe { self.block.reached.part(place, 1)[0] = reached };
        }
        let most = s.splat(MOST as f32);
        let mut steps = s.min(s.max(s.mul(y, s.splat(block.inverse)), s.sub(s.splat(0.0), most)), most);
        if !FULL {
            let mut kept = [0.0; LANES];
            for (lane, kept) in kept.iter_mut().enumerate() {
                *kept = f32::from(counted >> lane & 1);
            }
            steps = s.mul(steps, s.load(&kept));
        }
        let round = s.splat(ROUND);
        let steps = s.sub(s.add(steps, round), round);
        let high = s.sub(s.fma(steps, s.splat(1.0 / 2048.0), round), round);
        let low = s.fma(high, s.splat(-2048.0), steps);
        for parts in [across, down] {
            parts.add(s, (high, low));
            parts.count(counted);
        }
    }

    /// The lanes whose pairs with a row count.
    #[inline(always)]
    fn counted(&self, row: usize) -> u16 {
        let begin = self.block.counted.begins[row].saturating_sub(self.start);
        let from = if begin < LANES { ALL << begin } else { 0 };
        let counted = self.there & from;
        let Some((own, others)) = self.block.counted.lists else { return counted };
        let own = own[row];
        if own & self.lists.0 == 0 {
            return 0;
        }
        if own & self.lists.1 != 0 {
            return counted;
        }
        let others = others[self.start..].iter().take(LANES).enumerate();
        let meet = others.fold(0, |bits, (lane, other)| bits | u16::from(own & other != 0) << lane);
        counted & meet
    }
}
