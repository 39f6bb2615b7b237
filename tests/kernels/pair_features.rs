//! Proofs of the features of pairs.

use pliant_kernels::ops::pair_features::{self, Sizes, TOLERANCE, TOLERANCE_BF16, TOLERANCE_GRADIENT, cpu};
use pliant_kernels::{Device, Output, Tolerance, bf16};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

/// Length and width: smallest, around vectors, of the width of real models.
const SIZES: [(usize, usize); 5] = [(1, 2), (3, 15), (4, 16), (17, 17), (23, 100)];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    z: Vec<f32>,
    dfeatures: Vec<f32>,
}

impl Problem {
    /// Some numbers of different residues are equal.
    fn new((length, width): (usize, usize)) -> Self {
        let mut inputs = Inputs::new(&format!("pair_features {length} {width}"));
        let sizes = Sizes { length, width };
        let mut z = inputs.normal(length * width, 1.0);
        (width..z.len()).step_by(11).for_each(|place| z[place] = z[place % width]);
        Self { sizes, z, dfeatures: inputs.normal(sizes.features(), 1.0) }
    }

    /// Features and gradient.
    fn plain(&self) -> [Vec<f64>; 2] {
        let (z, dfeatures) = (reals(&self.z), reals(&self.dfeatures));
        let (mut features, mut dz) = (vec![0.0; dfeatures.len()], vec![0.0; z.len()]);
        cpu::forward(self.sizes, &z, &mut features);
        cpu::backward(self.sizes, &z, &dfeatures, &mut dz);
        [features, dz]
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (z, dfeatures) = (device.upload(&self.z), device.upload(&self.dfeatures));
        let (mut wide, mut narrow) = (device.zeros(dfeatures.len()), device.zeros::<bf16>(dfeatures.len()));
        let mut dz = device.upload(&self.z);
        pair_features::forward(device, self.sizes, &z, Output::F32(&mut wide)).unwrap();
        pair_features::forward(device, self.sizes, &z, Output::Bf16(&mut narrow)).unwrap();
        pair_features::backward(device, self.sizes, &z, &dfeatures, &mut dz).unwrap();
        vec![Found::new("features", &wide), Found::new("features in bf16", &narrow), Found::new("dz", &dz)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |sizes: (usize, usize)| {
        let problem = Problem::new(sizes);
        let [features, dz] = problem.plain();
        let oracle = vec![
            Expected::new("features", features.clone(), TOLERANCE),
            Expected::new("features in bf16", features, TOLERANCE_BF16),
            Expected::new("dz", dz, TOLERANCE_GRADIENT),
        ];
        let name = format!("pair_features {}x{}", sizes.0, sizes.1);
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.map(case).into()
}

/// Residues are each other's neighbours here: the features of a pair depend on no third one.
pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTH: usize = 9;
    let problem = Problem::new((LENGTH, 21));
    let run = move |device: &Device, order: &[usize]| {
        let rows: Vec<f32> = order.iter().flat_map(|&i| problem.z[i * 21..(i + 1) * 21].to_vec()).collect();
        let sizes = Sizes { length: order.len(), width: 21 };
        let mut features = device.zeros(sizes.features());
        let z = device.upload(&rows);
        pair_features::forward(device, sizes, &z, Output::F32(&mut features)).unwrap();
        let bits = Found::new("features", &features).values.bits();
        let own = |i: usize| {
            let pair = i * order.len() + i;
            bits[pair * 42..(pair + 1) * 42].to_vec()
        };
        (0..order.len()).map(own).collect()
    };
    vec![Invariance { name: "pair_features".to_owned(), sequences: LENGTH, run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let sizes = Sizes { length: 4, width: 3 };
    // No two numbers are nearer to each other than the steps of the differences.
    let z: Vec<f64> = (0..12).map(|i| f64::from((i * 5) % 12) * 0.1 - 0.55).collect();
    let forward = move |values: &[Vec<f64>]| {
        let mut features = vec![0.0; sizes.features()];
        cpu::forward(sizes, &values[0], &mut features);
        features
    };
    let backward = move |values: &[Vec<f64>], dy: &[f64]| {
        let mut dz = vec![0.0; values[0].len()];
        cpu::backward(sizes, &values[0], dy, &mut dz);
        vec![dz]
    };
    let (forward, backward) = (Box::new(forward), Box::new(backward));
    vec![Gradient { name: "pair_features".to_owned(), inputs: vec![("z", z)], forward, backward }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("pair_features");
    let (z, dfeatures) = (file.f32("z"), file.f32("dfeatures"));
    // L²·2C numbers of features from L·C of vectors.
    let length = dfeatures.len() / z.len() / 2;
    let problem = Problem { sizes: Sizes { length, width: z.len() / length }, z, dfeatures };
    let golden = ["features", "dz"].map(|name| file.f64(name));
    let exact = Tolerance { absolute: 1e-14, relative: 1e-13 };
    for (plain, golden) in problem.plain().iter().zip(&golden) {
        assert_close("pair_features", plain, golden, exact);
    }
    for device in devices() {
        let found = problem.fast(device);
        assert_close("features", &found[0].values.reals(), &golden[0], TOLERANCE);
        assert_close("dz", &found[2].values.reals(), &golden[1], TOLERANCE_GRADIENT);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let device = &devices()[0];
    let (sizes, z) = (Sizes { length: 2, width: 3 }, device.zeros(6));
    let mut features = device.zeros::<f32>(24);
    assert!(pair_features::forward(device, sizes, &z, Output::F32(&mut features)).is_ok());
    let short = device.zeros(5);
    assert!(pair_features::forward(device, sizes, &short, Output::F32(&mut features)).is_err());
    assert!(pair_features::backward(device, sizes, &z, &short, &mut device.zeros(6)).is_err());
}
