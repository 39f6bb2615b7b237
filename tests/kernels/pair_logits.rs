//! Proofs of the head of pairs.

use pliant_kernels::ops::pair_logits::{self, Sizes, TOLERANCE, cpu, tolerance};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Inputs, Invariance, assert_close, devices};

/// First and second proteins and units: one, around groups of rows, vectors, pieces of work and the groups of units.
const SIZES: [(usize, usize, usize); 8] =
    [(1, 1, 1), (1, 17, 3), (5, 16, 4), (4, 15, 5), (33, 15, 7), (31, 33, 128), (67, 100, 17), (3, 1041, 12)];

/// How large the numbers of proteins are: below each of the limits in turn, and above the last.
const SPREADS: [f32; 4] = [1.0, 3.0, 7.0, 30.0];

/// Whether proteins are all of one spread, or each of another.
const SHAPES: [Option<f32>; 5] =
    [Some(SPREADS[0]), Some(SPREADS[1]), Some(SPREADS[2]), Some(SPREADS[3]), None];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    first: Vec<f32>,
    second: Vec<f32>,
    weights: Vec<f32>,
    bias: f32,
}

impl Problem {
    /// Proteins of one spread or of all; every fifth second one is nearly the opposite of a first one, so that large numbers
    /// meet others of the other sign.
    fn new((rows, columns, units): (usize, usize, usize), spread: Option<f32>) -> Self {
        let mut inputs = Inputs::new(&format!("pair_logits {rows} {columns} {units}"));
        let of = |row: usize| spread.unwrap_or(SPREADS[row * 7 % 11 % SPREADS.len()]);
        let mut draw = |count: usize| {
            let mut numbers = inputs.uniform(count * units, -1.5, 1.5);
            numbers.chunks_exact_mut(units).enumerate().for_each(|(row, numbers)| {
                numbers.iter_mut().for_each(|number| *number *= of(row));
            });
            numbers
        };
        let (first, mut second) = (draw(rows), draw(columns));
        for column in (0..columns).step_by(5) {
            let against = &first[column % rows * units..][..units];
            let own = second[column * units..].iter_mut();
            own.zip(against).for_each(|(own, against)| *own = 0.01 * *own - against);
        }
        let weights = inputs.normal(units, 1.0);
        Self { sizes: Sizes { rows, columns, units }, first, second, weights, bias: -0.75 }
    }

    fn plain(&self) -> Vec<f64> {
        let mut y = vec![0.0; self.sizes.rows * self.sizes.columns];
        let head = (&reals(&self.weights)[..], f64::from(self.bias));
        cpu::forward(self.sizes, (&reals(&self.first), &reals(&self.second)), head, &mut y);
        y
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [first, second, weights] =
            [&self.first, &self.second, &self.weights].map(|values| device.upload(values));
        let mut y = device.upload(&vec![f32::NAN; self.sizes.rows * self.sizes.columns]);
        pair_logits::forward(device, self.sizes, (&first, &second), (&weights, self.bias), &mut y).unwrap();
        vec![Found::new("y", &y)]
    }

    /// The lists exchanged.
    fn turned(&self) -> Self {
        let Sizes { rows, columns, units } = self.sizes;
        let sizes = Sizes { rows: columns, columns: rows, units };
        let Self { first, second, weights, bias, .. } = self.clone();
        Self { sizes, first: second, second: first, weights, bias }
    }

    /// Some of the first proteins with all second ones.
    fn of_rows(&self, rows: &[usize]) -> Self {
        let units = self.sizes.units;
        let first = rows.iter().flat_map(|&row| self.first[row * units..][..units].to_vec()).collect();
        Self { sizes: Sizes { rows: rows.len(), ..self.sizes }, first, ..self.clone() }
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize, usize), spread| {
        let problem = Problem::new(sizes, spread);
        let oracle = vec![Expected::new("y", problem.plain(), tolerance(&problem.weights))];
        let name = format!("pair_logits {}x{}x{} {spread:?}", sizes.0, sizes.1, sizes.2);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.into_iter().flat_map(|sizes| SHAPES.map(|spread| case(sizes, spread))).collect()
}

/// A first protein has the same logits whichever others are there, and so has a second one.
pub(crate) fn invariance() -> Vec<Invariance> {
    let problem = Problem::new((9, 37, 13), None);
    let [rows, columns] = [problem.clone(), problem.turned()];
    [("rows", rows), ("columns", columns)]
        .map(|(name, problem)| {
            let sequences = problem.sizes.rows;
            let run = move |device: &Device, order: &[usize]| {
                let bits = problem.of_rows(order).fast(device)[0].values.bits();
                bits.chunks_exact(problem.sizes.columns).map(<[u32]>::to_vec).collect()
            };
            Invariance { name: format!("pair_logits {name}"), sequences, run: Box::new(run) }
        })
        .into()
}

#[test]
fn exchanged_lists_give_the_same_bits_in_other_places() {
    for device in devices() {
        let problem = Problem::new((35, 50, 21), None);
        let [found, turned] =
            [problem.clone(), problem.turned()].map(|problem| problem.fast(device)[0].values.bits());
        for row in 0..35 {
            for column in 0..50 {
                assert_eq!(found[row * 50 + column], turned[column * 35 + row], "{row} {column}");
            }
        }
    }
}

/// The weight of a unit.
type Weight = fn(usize) -> f32;

/// Weights that are nothing, tiny beside others, not normal, all the same, of both signs, and larger than any a head has.
#[test]
fn weights_of_any_size_give_what_the_oracle_gives() {
    let kinds: [(&str, Weight); 6] = [
        ("none", |_| 0.0),
        ("some are none", |unit| if unit % 3 == 0 { 0.0 } else { 0.3 }),
        ("tiny beside others", |unit| [1.0, -1e-3, 1e-6, -1e-9, 2.5][unit % 5]),
        ("not normal", |unit| if unit % 2 == 0 { 1e-40 } else { -3e-41 }),
        ("one large", |unit| if unit == 2 { 1e6 } else { 1e-2 }),
        ("the same", |_| -0.125),
    ];
    for (name, weight) in kinds {
        for shape in SHAPES {
            let mut problem = Problem::new((7, 21, 22), shape);
            problem.weights = (0..22).map(weight).collect();
            for device in devices() {
                let found = problem.fast(device)[0].values.reals();
                assert_close(name, &found, &problem.plain(), tolerance(&problem.weights));
            }
        }
    }
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("pair_logits");
    let [first, second, weights, bias] = ["first", "second", "weights", "bias"].map(|name| file.f32(name));
    let units = weights.len();
    let sizes = Sizes { rows: first.len() / units, columns: second.len() / units, units };
    let problem = Problem { sizes, first, second, weights, bias: bias[0] };
    let golden = file.f64("y");
    assert_close("plain", &problem.plain(), &golden, Tolerance { absolute: 1e-13, relative: 1e-13 });
    for device in devices() {
        let found = problem.fast(device)[0].values.reals();
        assert_close("fast", &found, &golden, tolerance(&problem.weights));
    }
}

#[test]
fn a_broken_protein_breaks_its_own_pairs_alone() {
    for broken in [f32::NAN, f32::INFINITY] {
        let mut problem = Problem::new((6, 20, 9), Some(1.0));
        problem.first[2 * 9 + 4] = broken;
        problem.second[7 * 9 + 4] = -broken;
        for device in devices() {
            let y = problem.fast(device)[0].values.reals();
            for (place, value) in y.iter().enumerate() {
                let (row, column) = (place / 20, place % 20);
                let is_broken =
                    if broken.is_nan() { row == 2 || column == 7 } else { row == 2 && column == 7 };
                assert_eq!(value.is_nan(), is_broken, "{broken} {row} {column}: {value}");
            }
        }
    }
}

#[test]
fn no_proteins_and_no_units_are_no_error() {
    for device in devices() {
        for (rows, columns) in [(0, 3), (3, 0), (0, 0)] {
            assert!(Problem::new((rows.max(1), columns.max(1), 2), None).fast(device).len() == 1);
            let (first, second) = (device.zeros(rows * 2), device.zeros(columns * 2));
            let (weights, mut y) = (device.zeros(2), device.zeros(0));
            let sizes = Sizes { rows, columns, units: 2 };
            pair_logits::forward(device, sizes, (&first, &second), (&weights, 0.0), &mut y).unwrap();
        }
        let (none, mut y) = (device.zeros(0), device.zeros(6));
        let sizes = Sizes { rows: 2, columns: 3, units: 0 };
        pair_logits::forward(device, sizes, (&none, &none), (&none, 1.5), &mut y).unwrap();
        assert_eq!(y.as_slice(), [1.5; 6]);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let run = |[first, second, weights, y]: [usize; 4]| {
        let [first, second, weights] = [first, second, weights].map(|length| device.zeros(length));
        let sizes = Sizes { rows: 2, columns: 3, units: 4 };
        pair_logits::forward(device, sizes, (&first, &second), (&weights, 0.0), &mut device.zeros(y))
    };
    assert_eq!(run([8, 12, 4, 6]), Ok(()));
    for wrong in [[7, 12, 4, 6], [8, 11, 4, 6], [8, 12, 5, 6], [8, 12, 4, 5]] {
        assert!(matches!(run(wrong), Err(KernelError::Size { .. })), "{wrong:?}");
    }
    assert_eq!(tolerance(&[0.25, -0.5]), TOLERANCE);
}
