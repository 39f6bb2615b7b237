//! Proofs of the sums over pairs: of whole numbers, so that all is the same as in the plain text, bit for bit.

use pliant_kernels::ops::pair_sums::{self, Bars, Counted, Found, GROUP, MOST, Sums, TOLERANCE, cpu, steps};
use pliant_kernels::{Device, KernelError};
use pliant_tests::kernels::{Case, Expected, Fixture, Inputs, Values, devices};

/// Rows and columns: one, around vectors, tiles of sixteen rows and tasks of 256 columns.
const SIZES: [(usize, usize); 9] =
    [(1, 1), (1, 17), (15, 16), (16, 15), (17, 33), (33, 255), (5, 257), (48, 600), (512, 31)];

struct Problem {
    size: (usize, usize),
    y: Vec<f32>,
    begins: Vec<usize>,
    lists: Option<(Vec<u8>, Vec<u8>)>,
    rows: Vec<f32>,
    columns: Vec<f32>,
    inverse: f32,
}

/// Steps of a 1; logits are such that some halves of steps are among them, and some are beyond the most steps.
const INVERSE: f32 = 131_072.0;

impl Problem {
    fn new((rows, columns): (usize, usize), kind: &str) -> Self {
        let mut inputs = Inputs::new(&format!("pair_sums {rows} {columns} {kind}"));
        let mut y = inputs.normal(rows * columns, 6.0);
        for (place, value) in y.iter_mut().enumerate() {
            match place % 13 {
                3 => *value = ((place % 7) as f32 - 2.5) / INVERSE,
                5 => *value = 40.0,
                7 => *value = -16.0,
                11 if kind == "no numbers" => *value = [f32::NAN, f32::INFINITY, -f32::INFINITY][place % 3],
                _ => {}
            }
        }
        let begins = (0..rows)
            .map(|row| match kind {
                "after the row" => (row * 3).min(columns + 1),
                _ => 0,
            })
            .collect();
        let lists = match kind {
            "lists" => {
                let of = |number: usize| [1, 2, 3, 0, 1][number / 20 % 5].max((number % 41 == 7).into());
                Some(((0..rows).map(of).collect(), (0..columns).map(of).collect()))
            }
            _ => None,
        };
        let bars = inputs.normal(rows + columns, 9.0);
        let (of_rows, of_columns) = bars.split_at(rows);
        let (of_rows, of_columns) = (of_rows.to_vec(), of_columns.to_vec());
        Self { size: (rows, columns), y, begins, lists, rows: of_rows, columns: of_columns, inverse: INVERSE }
    }

    fn counted(&self) -> Counted<'_> {
        let lists = self.lists.as_ref().map(|(own, others)| (own.as_slice(), others.as_slice()));
        Counted { begins: &self.begins, lists }
    }

    fn bars(&self) -> Bars<'_> {
        Bars { rows: &self.rows, columns: &self.columns }
    }

    fn plain(&self) -> Found {
        cpu::forward(self.size, (&self.y, self.inverse), self.counted(), self.bars())
    }

    fn fast(&self, device: &Device) -> Found {
        let y = device.upload(&self.y);
        pair_sums::forward(device, self.size, (&y, self.inverse), self.counted(), self.bars()).unwrap()
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |size: (usize, usize), kind: &str| {
        let problem = Problem::new(size, kind);
        let plain = numbers(&problem.plain());
        let oracle = plain.map(|(what, values)| Expected::new(what, values, TOLERANCE)).into();
        let found = move |device: &Device| {
            let found = numbers(&problem.fast(device));
            found.map(|(what, values)| pliant_tests::kernels::Found::new(what, Values::F64(values))).into()
        };
        Case { name: format!("pair_sums {}x{} {kind}", size.0, size.1), fast: Box::new(found), oracle }
    };
    let kinds = ["all", "no numbers", "after the row", "lists"];
    SIZES.into_iter().flat_map(|size| kinds.map(|kind| case(size, kind))).collect()
}

/// What was found as numbers, which 64 bits hold exactly. Beside the bits stands a further one, as there may be none.
fn numbers(found: &Found) -> [(&'static str, Vec<f64>); 3] {
    let of = |sums: &[Sums]| {
        let sums = sums.iter().flat_map(|sums| [f64::from(sums.count), sums.sum as f64, sums.squares as f64]);
        sums.collect()
    };
    let reached = found.reached.iter().map(|&reached| f64::from(1 << GROUP | u32::from(reached))).collect();
    [("rows", of(&found.rows)), ("columns", of(&found.columns)), ("reached", reached)]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("pair_sums");
    let whole = |name: &str| file.whole(name);
    let lists = |name: &str| whole(name).into_iter().map(|value| value as u8).collect::<Vec<_>>();
    let (rows, columns) = (file.f32("bars_rows"), file.f32("bars_columns"));
    let problem = Problem {
        size: (rows.len(), columns.len()),
        y: file.f32("y"),
        begins: whole("begins"),
        lists: Some((lists("own"), lists("others"))),
        rows,
        columns,
        inverse: 65_536.0,
    };
    let groups = problem.size.1.div_ceil(GROUP);
    let mut reached = vec![f64::from(1 << GROUP); problem.size.0 * groups];
    for (place, is_reached) in whole("reached").into_iter().enumerate() {
        let (row, column) = (place / problem.size.1, place % problem.size.1);
        reached[row * groups + column / GROUP] += (is_reached << (column % GROUP)) as f64;
    }
    let golden = [("rows", file.f64("rows")), ("columns", file.f64("columns")), ("reached", reached)];
    assert_eq!(numbers(&problem.plain()), golden);
    for device in devices() {
        assert_eq!(numbers(&problem.fast(device)), golden, "{}", device.describe());
    }
}

/// The largest sums that a lane of a tile can have.
#[test]
fn a_block_of_the_most_steps_is_added_up_exactly() {
    let size = (512, 300);
    for logit in [1e9, -1e9] {
        let (begins, bars) = (vec![0; size.0], [vec![f32::MAX; size.0], vec![f32::MAX; size.1]]);
        for device in devices() {
            let y = device.upload(&vec![logit; size.0 * size.1]);
            let counted = Counted { begins: &begins, lists: None };
            let bars = Bars { rows: &bars[0], columns: &bars[1] };
            let found = pair_sums::forward(device, size, (&y, 1.0), counted, bars).unwrap();
            let sign = if logit > 0.0 { 1 } else { -1 };
            for (sums, count) in found
                .rows
                .iter()
                .map(|sums| (sums, size.1))
                .chain(found.columns.iter().map(|sums| (sums, size.0)))
            {
                assert_eq!(sums.count as usize, count);
                assert_eq!(sums.sum, sign * i64::from(MOST) * count as i64);
                assert_eq!(sums.squares, i64::from(MOST) * i64::from(MOST) * count as i64);
            }
            assert!(found.reached.iter().all(|&reached| reached == 0));
        }
    }
}

#[test]
fn steps_are_rounded_to_even_and_have_a_most() {
    let cases = [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (1e12, MOST), (-1e12, -MOST), (7.0, 7)];
    for (logit, wanted) in cases {
        assert_eq!(steps(logit, 1.0), wanted, "{logit}");
    }
    assert_eq!(steps(f32::NAN, 1.0), -MOST);
}

#[test]
fn nothing_has_no_sums() {
    for device in devices() {
        for size in [(0, 5), (5, 0), (0, 0)] {
            let problem = Problem::new(size, "all");
            assert_eq!(problem.fast(device), problem.plain());
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let run = |[y, begins, rows, columns, lists]: [usize; 5]| {
        let (y, begins) = (device.zeros(y), vec![0; begins]);
        let (rows, columns, lists) = (vec![0.0; rows], vec![0.0; columns], vec![1; lists]);
        let counted = Counted { begins: &begins, lists: Some((&lists[..2.min(lists.len())], &lists)) };
        let bars = Bars { rows: &rows, columns: &columns };
        pair_sums::forward(device, (2, 3), (&y, 1.0), counted, bars)
    };
    assert!(run([6, 2, 2, 3, 3]).is_ok());
    for wrong in [[5, 2, 2, 3, 3], [6, 1, 2, 3, 3], [6, 2, 3, 3, 3], [6, 2, 2, 2, 3], [6, 2, 2, 3, 4]] {
        assert!(matches!(run(wrong), Err(KernelError::Size { .. })), "{wrong:?}");
    }
}
