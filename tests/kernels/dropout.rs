//! Proofs of dropout: parity, gradient, and that masks are random and repeatable.

use pliant_kernels::ops::dropout::{self, Mask, TOLERANCE, cpu};
use pliant_kernels::rng::Philox;
use pliant_kernels::{Device, Tolerance};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Case, Expected, Fixture, Found, Gradient, Inputs, assert_close, devices};

/// Lengths: one, around a block of words, over a piece of work, large.
const LENGTHS: [usize; 7] = [1, 3, 63, 64, 65, 16 * 1024 + 5, 100_003];

fn mask(probability: f32) -> Mask {
    Mask { stream: Philox::new(7, 3, 11), probability }
}

fn fast(device: &Device, mask: Mask, x: &[f32]) -> Vec<f32> {
    let (x, mut y) = (device.upload(x), device.zeros(x.len()));
    dropout::apply(device, mask, &x, &mut y).unwrap();
    y.as_slice().to_vec()
}

fn plain(mask: Mask, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    cpu::apply(mask, x, &mut y);
    y
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(length, probability): (usize, f32)| {
        let x = Inputs::new(&format!("dropout {length}")).normal(length, 1.0);
        let oracle = vec![Expected::new("y", plain(mask(probability), &reals(&x)), TOLERANCE)];
        let run = move |device: &Device| {
            let (x, mut y) = (device.upload(&x), device.zeros::<f32>(length));
            dropout::apply(device, mask(probability), &x, &mut y).unwrap();
            vec![Found::new("y", &y)]
        };
        Case { name: format!("dropout {length} {probability}"), fast: Box::new(run), oracle }
    };
    let probabilities = [0.1, 0.0, 0.5, 0.3, 0.9, 1e-3, 0.15];
    LENGTHS.into_iter().zip(probabilities).map(case).collect()
}

pub(crate) fn gradients() -> Vec<Gradient> {
    let x = reals(&Inputs::new("dropout gradients").normal(40, 1.0));
    vec![Gradient {
        name: "dropout".to_owned(),
        inputs: vec![("x", x)],
        forward: Box::new(|values| plain(mask(0.4), &values[0])),
        backward: Box::new(|_, dy| vec![plain(mask(0.4), dy)]),
    }]
}

#[test]
fn plain_and_fast_path_give_what_pytorch_gives() {
    let file = Fixture::open("dropout");
    let [seed, operation, step] = ["seed", "operation", "step"].map(|name| file.whole(name)[0]);
    let stream = Philox::new(seed as u64, operation as u32, step as u32);
    let mask = Mask { stream, probability: file.f32("probability")[0] };
    let exact = Tolerance { absolute: 1e-15, relative: 1e-14 };
    for (from, to) in [("x", "y"), ("dy", "dx")] {
        let (x, expected) = (file.f32(from), file.f64(to));
        assert_close(to, &plain(mask, &reals(&x)), &expected, exact);
        for device in devices() {
            assert_close(to, &reals(&fast(device, mask, &x)), &expected, TOLERANCE);
        }
    }
}

/// Which of so many numbers are kept.
fn kept(stream: Philox, probability: f32) -> Vec<bool> {
    let values = fast(&devices()[0], Mask { stream, probability }, &vec![1.0; 1 << 20]);
    values.into_iter().map(|value| value != 0.0).collect()
}

/// How far the share of `hits` lies from `wanted`, in standard deviations of so many independent draws.
fn distance(hits: impl Iterator<Item = bool>, wanted: f64) -> f64 {
    let (count, sum) =
        hits.fold((0.0, 0.0), |(count, sum), hit| (count + 1.0, sum + f64::from(u8::from(hit))));
    (sum - count * wanted).abs() / (count * wanted * (1.0 - wanted)).sqrt()
}

/// Seeds are fixed, so these can only fail when the generator or its use is changed.
#[test]
fn masks_drop_the_share_asked_for_and_nothing_else() {
    for probability in [0.01, 0.1, 0.5, 0.85] {
        let keep = 1.0 - f64::from(probability);
        let first = kept(Philox::new(1, 2, 3), probability);
        assert!(distance(first.iter().copied(), keep) < 4.0, "share of {probability}");
        // Places apart by these, and masks of another seed, operation or step, agree as often as chance has it.
        let agree = keep * keep + (1.0 - keep) * (1.0 - keep);
        for apart in [1, 2, 3, 4, 16, 64, 960, 16 * 1024] {
            let pairs = first.iter().zip(&first[apart..]).map(|(one, other)| one == other);
            // Pairs overlap, which widens their spread a little.
            assert!(distance(pairs, agree) < 6.0, "{probability}: places apart by {apart}");
        }
        for stream in [Philox::new(0, 2, 3), Philox::new(1, 3, 3), Philox::new(1, 2, 4)] {
            let other = kept(stream, probability);
            let pairs = first.iter().zip(&other).map(|(one, other)| one == other);
            assert!(distance(pairs, agree) < 4.5, "{probability}: {stream:?}");
        }
    }
}

#[test]
fn places_of_a_longer_matrix_have_the_same_mask() {
    let x = vec![1.0; 20_000];
    for device in devices() {
        let whole = fast(device, mask(0.5), &x);
        for length in [1, 63, 5_001, 16_385] {
            assert_eq!(fast(device, mask(0.5), &x[..length]), whole[..length]);
        }
    }
}

#[test]
fn probabilities_that_leave_nothing_are_refused() {
    let device = &devices()[0];
    let (x, mut y) = (device.upload(&[1.0_f32; 3]), device.zeros(3));
    for probability in [1.0, -0.1, f32::NAN, 2.0] {
        assert!(dropout::apply(device, mask(probability), &x, &mut y).is_err(), "{probability}");
    }
    assert_eq!(fast(device, mask(0.0), &[1.0, 2.0]), [1.0, 2.0]);
    // What is dropped is zero, whatever it was.
    let broken = fast(device, mask(0.5), &[f32::NAN; 64]);
    assert!(broken.contains(&0.0) && broken.iter().any(|value| value.is_nan()));
}
