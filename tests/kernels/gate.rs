//! Proofs of the gates among the operations on single numbers.

use pliant_kernels::ops::elementwise::{self, TOLERANCE_GATE, cpu};
use pliant_kernels::{Buffer, Device, Output, Tolerance, bf16};
use pliant_tests::kernels::compare::narrowed;
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Gradient, Inputs, assert_close, devices};

/// Lengths: one, around a vector, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 33, 16 * 1024 + 1, 100_003];

#[derive(Clone)]
struct Problem {
    a: Vec<f32>,
    b: Option<Vec<f32>>,
    z: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(length: usize, sum: bool) -> Self {
        let mut inputs = Inputs::new(&format!("gate {length} {sum}"));
        let mut next = |spread| inputs.normal(length, spread);
        Self { a: next(1.0), b: sum.then(|| next(1.0)), z: next(3.0), dy: next(1.0) }
    }

    /// Result, and the gradients of what is let through and of the gate.
    fn plain(&self) -> [Vec<f64>; 3] {
        let b = self.b.as_deref().map(reals);
        plain((&reals(&self.a), b.as_deref()), &reals(&self.z), &reals(&self.dy))
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let [a, z, dy] = [&self.a, &self.z, &self.dy].map(|values| device.upload(values));
        let b = self.b.as_ref().map(|b| device.upload(b));
        let passing: (&Buffer<f32>, _) = (&a, b.as_ref());
        let [mut y, mut da, mut dz] = [(); 3].map(|()| device.zeros::<f32>(z.len()));
        let mut narrow = device.zeros::<bf16>(z.len());
        elementwise::gate(device, passing, &z, Output::F32(&mut y)).unwrap();
        elementwise::gate(device, passing, &z, Output::Bf16(&mut narrow)).unwrap();
        elementwise::gate_backward(device, passing, (&z, &dy), (&mut da, &mut dz)).unwrap();
        let [y, da, dz] = [("y", &y), ("da", &da), ("dz", &dz)].map(|(what, found)| Found::new(what, found));
        vec![y, da, dz, Found::new("y in bf16", &narrow)]
    }
}

fn plain(passing: (&[f64], Option<&[f64]>), z: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let [mut y, mut da, mut dz] = [(); 3].map(|()| vec![0.0; z.len()]);
    cpu::gate(passing, z, &mut y);
    cpu::gate_backward(passing, (z, dy), (&mut da, &mut dz));
    [y, da, dz]
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(length, sum)| {
        let problem = Problem::new(length, sum);
        let [y, da, dz] = problem.plain();
        let narrow = Expected::new("y in bf16", y.clone(), narrowed(TOLERANCE_GATE));
        let mut oracle: Vec<_> = [("y", y), ("da", da), ("dz", dz)]
            .map(|(what, values)| Expected::new(what, values, TOLERANCE_GATE))
            .into();
        oracle.push(narrow);
        let name = format!("gate {length}{}", if sum { " of a sum" } else { "" });
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    LENGTHS.into_iter().flat_map(|length| [(length, false), (length, true)]).map(case).collect()
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let case = |sum: bool| {
        let problem = Problem::new(30, sum);
        let mut inputs = vec![("a", reals(&problem.a)), ("z", reals(&problem.z))];
        inputs.extend(problem.b.as_deref().map(|b| ("b", reals(b))));
        fn passing(values: &[Vec<f64>]) -> (&[f64], Option<&[f64]>) {
            (&values[0], values.get(2).map(Vec::as_slice))
        }
        let forward = |values: &[Vec<f64>]| {
            let [y, ..] = plain(passing(values), &values[1], &values[1]);
            y
        };
        let backward = move |values: &[Vec<f64>], dy: &[f64]| {
            let [_, da, dz] = plain(passing(values), &values[1], dy);
            if sum { vec![da.clone(), dz, da] } else { vec![da, dz] }
        };
        let name = format!("gate {sum}");
        Gradient { name, inputs, forward: Box::new(forward), backward: Box::new(backward) }
    };
    vec![case(false), case(true)]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("elementwise");
    let [a, b, z, dy] = ["a", "b", "z", "dy"].map(|name| file.f32(name));
    let both = Problem { a, b: Some(b), z, dy };
    let alone = Problem { b: None, ..both.clone() };
    let exact = Tolerance { absolute: 1e-13, relative: 1e-12 };
    for (place, name) in ["gated", "da", "dz"].into_iter().enumerate() {
        assert_close(name, &both.plain()[place], &file.f64(name), exact);
        for device in devices() {
            assert_close(name, &both.fast(device)[place].values.reals(), &file.f64(name), TOLERANCE_GATE);
        }
    }
    let wanted = file.f64("gated_alone");
    assert_close("gated alone", &alone.plain()[0], &wanted, exact);
    for device in devices() {
        assert_close("gated alone", &alone.fast(device)[0].values.reals(), &wanted, TOLERANCE_GATE);
    }
}

#[test]
fn large_gates_are_open_or_shut() {
    for device in devices() {
        let problem = Problem {
            a: vec![2.0; 5],
            b: None,
            z: vec![200.0, -200.0, 0.0, -1e30, f32::NAN],
            dy: vec![1.0; 5],
        };
        let found = problem.fast(device);
        let [y, da, dz] = [0, 1, 2].map(|place| found[place].values.reals());
        assert_eq!((y[0], da[0], dz[0]), (400.0, 200.0, 2.0));
        assert!(y[1].abs() < 1e-30 && dz[1].abs() < 1e-30 && y[2] == 0.0 && dz[2] == 1.0);
        assert!(y[3].abs() < 1e-6 && dz[3].abs() < 1e-6, "{y:?} {dz:?}");
        assert!([&y, &da, &dz].iter().all(|values| values[4].is_nan()));
    }
}

#[test]
fn lengths_that_differ_are_refused() {
    let device = &devices()[0];
    let (short, mut long) = (device.zeros::<f32>(3), device.zeros::<f32>(4));
    let z = device.zeros::<f32>(4);
    assert!(elementwise::multiply(device, &short, &short, &mut long).is_err());
    assert!(elementwise::gate(device, (&short, None), &z, Output::F32(&mut long)).is_err());
    assert!(elementwise::gate(device, (&z, Some(&short)), &z, Output::F32(&mut long)).is_err());
    let (mut da, mut dz) = (device.zeros(4), device.zeros(3));
    assert!(elementwise::gate_backward(device, (&z, None), (&z, &z), (&mut da, &mut dz)).is_err());
}
