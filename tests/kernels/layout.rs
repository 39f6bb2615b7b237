//! Proofs of picking rows and columns.

use pliant_kernels::ops::layout::{self, Columns, Sizes, TOLERANCE, cpu};
use pliant_kernels::{Device, Input, Output};
use pliant_tests::kernels::inputs::{Operand, gather, reals, rounded_reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Rows, width and picked rows: ones, around vectors, several pieces of work, all rows.
const SIZES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (31, 15, 3), (40, 16, 33), (70, 33, 32), (33, 17, 33), (300, 129, 97)];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    rows: Vec<usize>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    /// Rows in an order of their own.
    fn new((rows, width, picked): (usize, usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("layout {rows} {width} {picked}"));
        let keys = inputs.words(rows);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|&row| keys[row]);
        order.truncate(picked);
        let (x, dy) = (inputs.normal(rows * width, 1.0), inputs.normal(picked * width, 1.0));
        Self { sizes: Sizes { rows, width }, rows: order, x, dy }
    }

    /// The inner columns of `x`, where there are, and where they go: after three of seven more.
    fn columns(&self) -> Columns {
        let Sizes { rows, width } = self.sizes;
        let kept = width.saturating_sub(2).max(1);
        Columns { rows, width: kept, from: (width, (width - kept) / 2), to: (kept + 7, 3) }
    }

    /// Picked rows of both types, their gradient put back, the same added to `x`, and columns.
    fn fast(&self, device: &Device) -> Vec<Found> {
        let (x, dy) = (device.upload(&self.x), device.upload(&self.dy));
        let narrow = Operand::upload(device, pliant_kernels::Precision::Bf16, &self.x);
        let (mut y, mut y_narrow) = (device.zeros(dy.len()), device.zeros(dy.len()));
        layout::gather_rows(device, self.sizes, &self.rows, Input::F32(&x), Output::F32(&mut y)).unwrap();
        layout::gather_rows(device, self.sizes, &self.rows, narrow.input(), Output::Bf16(&mut y_narrow))
            .unwrap();
        let (mut dx, mut added) = (device.upload(&self.x), device.upload(&self.x));
        layout::scatter_rows(device, self.sizes, &self.rows, &dy, &mut dx, false).unwrap();
        layout::scatter_rows(device, self.sizes, &self.rows, &dy, &mut added, true).unwrap();
        let columns = self.columns();
        let mut apart = device.zeros(columns.rows * columns.to.0);
        layout::copy_columns(device, columns, &x, &mut apart).unwrap();
        vec![
            Found::new("y", &y),
            Found::new("y in bf16", &y_narrow),
            Found::new("dx", &dx),
            Found::new("added", &added),
            Found::new("columns", &apart),
        ]
    }

    fn plain(&self) -> Vec<Expected> {
        let pick = |x: &[f64]| {
            let mut y = vec![0.0; self.dy.len()];
            cpu::gather_rows(self.sizes.width, &self.rows, x, &mut y);
            y
        };
        let (mut dx, mut added) = (vec![0.0; self.x.len()], reals(&self.x));
        cpu::scatter_rows(self.sizes.width, &self.rows, &reals(&self.dy), &mut dx);
        cpu::scatter_rows(self.sizes.width, &self.rows, &reals(&self.dy), &mut added);
        let columns = self.columns();
        let mut apart = vec![0.0; columns.rows * columns.to.0];
        cpu::copy_columns(columns, &reals(&self.x), &mut apart);
        vec![
            Expected::new("y", pick(&reals(&self.x)), TOLERANCE),
            Expected::new("y in bf16", pick(&rounded_reals(&self.x)), TOLERANCE),
            Expected::new("dx", dx, TOLERANCE),
            Expected::new("added", added, TOLERANCE),
            Expected::new("columns", apart, TOLERANCE),
        ]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize, usize)| {
        let problem = Problem::new(sizes);
        let (oracle, name) = (problem.plain(), format!("layout {sizes:?}"));
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

/// The last row of every sequence but the first rows too.
pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 2, 70];
    let width = 19;
    let problems = LENGTHS.map(|length| Problem::new((length, width, length.div_ceil(2))));
    let run = move |device: &Device, order: &[usize]| {
        let x = gather(&problems.each_ref().map(|problem| problem.x.clone()), order);
        let dy = gather(&problems.each_ref().map(|problem| problem.dy.clone()), order);
        let mut rows = Vec::new();
        let mut first = 0;
        for &sequence in order {
            rows.extend(problems[sequence].rows.iter().map(|row| first + row));
            first += LENGTHS[sequence];
        }
        let sizes = Sizes { rows: first, width };
        let found = Problem { sizes, rows, x, dy }.fast(device);
        let picked = order.iter().map(|&sequence| LENGTHS[sequence].div_ceil(2) * width);
        let y = split(&found[0].values.bits(), picked);
        let dx = split(&found[2].values.bits(), order.iter().map(|&sequence| LENGTHS[sequence] * width));
        y.into_iter().zip(dx).map(|(y, dx)| [y, dx].concat()).collect()
    };
    vec![Invariance { name: "layout".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let Problem { rows, x, .. } = Problem::new((6, 3, 4));
    let picked = rows.clone();
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; 12];
        cpu::gather_rows(3, &picked, &values[0], &mut y);
        y
    };
    let backward = move |_: &[Vec<f64>], dy: &[f64]| {
        let mut dx = vec![0.0; 18];
        cpu::scatter_rows(3, &rows, dy, &mut dx);
        vec![dx]
    };
    let inputs = vec![("x", reals(&x))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    let rows = Gradient { name: "layout".to_owned(), inputs, forward, backward };
    let there = Columns { rows: 6, width: 2, from: (3, 1), to: (5, 2) };
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; 30];
        cpu::copy_columns(there, &values[0], &mut y);
        y
    };
    let backward = move |_: &[Vec<f64>], dy: &[f64]| {
        let mut dx = vec![0.0; 18];
        cpu::copy_columns(Columns { from: there.to, to: there.from, ..there }, dy, &mut dx);
        vec![dx]
    };
    let inputs = vec![("x", reals(&x))];
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![rows, Gradient { name: "columns".to_owned(), inputs, forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("layout");
    let (x, rows, dy) = (file.f32("x"), file.whole("rows"), file.f32("dy"));
    let width = dy.len() / rows.len();
    let problem = Problem { sizes: Sizes { rows: x.len() / width, width }, rows, x, dy };
    let plain = problem.plain();
    assert_eq!((&plain[0].values, &plain[2].values), (&file.f64("y"), &file.f64("dx")));
    for device in devices() {
        let found = problem.fast(device);
        for (place, name) in [(0, "y"), (2, "dx")] {
            assert_close(name, &found[place].values.reals(), &file.f64(name), TOLERANCE);
        }
    }
}

#[test]
fn rows_outside_and_rows_twice_are_refused() {
    let device = &devices()[0];
    let sizes = Sizes { rows: 3, width: 2 };
    let (x, mut y) = (device.zeros::<f32>(6), device.zeros::<f32>(4));
    let mut pick = |rows: &[usize]| {
        layout::gather_rows(device, sizes, rows, Input::F32(&x), Output::F32(&mut y))
            .map_err(|error| error.to_string())
    };
    assert_eq!(pick(&[2, 0]), Ok(()));
    assert_eq!(pick(&[0, 3]), Err("gather_rows: row 3 is outside 0..3".to_owned()));
    let twice = "gather_rows: a row picked twice is 1, supported: every row at most once";
    assert_eq!(pick(&[1, 1]), Err(twice.to_owned()));
    assert!(pick(&[1]).is_err());
    let mut dx = device.zeros::<f32>(6);
    assert!(layout::scatter_rows(device, sizes, &[1, 1], &x, &mut dx, true).is_err());
    let mut narrow = device.zeros(4);
    assert!(layout::gather_rows(device, sizes, &[1, 2], Input::F32(&x), Output::Bf16(&mut narrow)).is_err());
}
