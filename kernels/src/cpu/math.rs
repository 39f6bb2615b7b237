//! Elementary functions on sixteen lanes, the same bits on every path.
//!
//! What is not a number stays so, that a fault is seen in the result: bounds stand first in [`Simd::max`] and
//! [`Simd::min`], which give their second operand then. It may have no low bits, as those that processors
//! make and those widened from bf16.

use super::simd::Simd;

/// 1.5 · 2^23: adding it rounds to the nearest integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// 2^f = 1 + f·(c0 + f·(c1 + …)) for |f| ≤ ½, relative error 9.2e-8 (minimax fit).
#[allow(clippy::approx_constant, reason = "the fit's first coefficient lies near ln 2 but is not ln 2")]
const EXP2: [f32; 5] = [0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_513, 0.001_326_472_7];

/// Smallest exponent whose power is a normal number.
const EXPONENT_MIN: f32 = -126.0;

/// 2^x for x ≤ 127; below -126 the result stays 2^-126, of infinity it is not a number. Relative error at most
/// 2e-7.
#[inline(always)]
pub fn exp2<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(EXPONENT_MIN), x);
    let steps = s.add(x, s.splat(ROUND));
    let fraction = s.sub(x, s.sub(steps, s.splat(ROUND)));
    s.add_exponent(exp2_fraction(s, fraction), steps)
}

#[inline(always)]
fn exp2_fraction<S: Simd>(s: S, fraction: S::F) -> S::F {
    let mut sum = s.splat(EXP2[4]);
    for coefficient in [EXP2[3], EXP2[2], EXP2[1], EXP2[0], 1.0] {
        sum = s.fma(sum, fraction, s.splat(coefficient));
    }
    sum
}

/// e^x for x ≤ 88; below -87.3 the result stays about 1.2e-38, of infinity it is not a number. Relative error
/// at most 3e-7.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // ln 2 in two parts: the first has few enough bits that its product with a whole exponent is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = s.max(s.splat(EXPONENT_MIN * std::f32::consts::LN_2), x);
    let steps = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let exponent = s.sub(steps, s.splat(ROUND));
    let rest = s.fma(exponent, s.splat(-LN2_HIGH), x);
    let rest = s.fma(exponent, s.splat(-LN2_LOW), rest);
    let fraction = s.mul(rest, s.splat(std::f32::consts::LOG2_E));
    s.add_exponent(exp2_fraction(s, fraction), steps)
}

/// Φ(x) - ½ = x·P(x²)/Q(x²) for |x| ≤ 5.5, weighted minimax fit: |x| times its error is below 3e-8
/// before rounding.
const NORMAL_P: [f32; 6] =
    [0.398_942_14, 0.034_883_928, 0.004_744_449, 0.000_179_899_03, 6.478_289e-6, 2.224_057_6e-8];
const NORMAL_Q: [f32; 6] = [1.0, 0.254_105_78, 0.029_246_69, 0.001_946_517_4, 7.747_246e-5, 1.192_079_1e-6];

/// Where Φ(x) - ½ is cut: there it is ½ in 32 bits.
const NORMAL_CUT: f32 = 5.5;

/// Φ(x), the probability of a standard normal number below x, with an absolute error of at most 2e-7:
/// ½·(1 + erf(x/√2)).
#[inline(always)]
pub fn normal_below<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(NORMAL_CUT), s.max(s.splat(-NORMAL_CUT), x));
    let square = s.mul(x, x);
    let (mut p, mut q) = (s.splat(NORMAL_P[5]), s.splat(NORMAL_Q[5]));
    for index in (0..5).rev() {
        p = s.fma(p, square, s.splat(NORMAL_P[index]));
        q = s.fma(q, square, s.splat(NORMAL_Q[index]));
    }
    let half = s.splat(0.5);
    let inner = s.div(s.mul(x, p), q);
    s.add(s.max(s.splat(-0.5), s.min(half, inner)), half)
}

/// GELU in its exact form: x · Φ(x).
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    s.mul(x, normal_below(s, x))
}

/// Derivative of GELU: Φ(x) + x · φ(x) with φ(x) = e^(-x²/2) / √(2π).
#[inline(always)]
pub fn gelu_slope<S: Simd>(s: S, x: S::F) -> S::F {
    const INVERSE_ROOT_TAU: f32 = 0.398_942_3;
    let density = exp(s, s.mul(s.mul(x, x), s.splat(-0.5)));
    s.fma(s.mul(x, s.splat(INVERSE_ROOT_TAU)), density, normal_below(s, x))
}

/// `1 / (1 + e^-z)`, by the exponential of a number that is not positive. Relative error at most 6e-7; below -87.3
/// the result stays about 1.2e-38.
#[inline(always)]
pub fn logistic<S: Simd>(s: S, z: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let minus = s.sub(zero, z);
    let power = exp(s, s.min(z, minus));
    let above = s.add(s.keep_if_less(z, zero, power), s.sub(one, s.keep_if_less(z, zero, one)));
    s.div(above, s.add(one, power))
}

/// `SiLU(z) = z / (1 + e^-z)`, relative error at most 7e-7.
#[inline(always)]
pub fn silu<S: Simd>(s: S, z: S::F) -> S::F {
    s.mul(z, logistic(s, z))
}

/// SiLU and its derivative `p·(1 + z·(1 - p))` with `p = 1 / (1 + e^-z)`, absolute error of the derivative at most 1.1e-6.
#[inline(always)]
pub fn silu_and_slope<S: Simd>(s: S, z: S::F) -> (S::F, S::F) {
    let (below, one) = (logistic(s, z), s.splat(1.0));
    (s.mul(z, below), s.mul(below, s.fma(z, s.sub(one, below), one)))
}

/// `tanh(x) = (e^2x - 1) / (e^2x + 1)`, relative error at most 1e-6, also where x is tiny.
///
/// With `e^2x = 2^n·(1 + p)` the numerator is `(2^n - 1) + 2^n·p`, in which nothing is lost: `p` alone where n is 0.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    /// There the result is 1 in 32 bits.
    const CUT: f32 = 10.0;
    let x = s.min(s.splat(CUT), s.max(s.splat(-CUT), x));
    let powers = s.mul(x, s.splat(2.0 * std::f32::consts::LOG2_E));
    let steps = s.add(powers, s.splat(ROUND));
    let fraction = s.sub(powers, s.sub(steps, s.splat(ROUND)));
    let mut sum = s.splat(EXP2[4]);
    for coefficient in [EXP2[3], EXP2[2], EXP2[1], EXP2[0]] {
        sum = s.fma(sum, fraction, s.splat(coefficient));
    }
    let whole = s.add_exponent(s.splat(1.0), steps);
    let less_one = s.fma(s.mul(sum, fraction), whole, s.sub(whole, s.splat(1.0)));
    s.div(less_one, s.add(less_one, s.splat(2.0)))
}

/// artanh(w)/w = 1 + q·(c0 + q·(c1 + …)) with q = w² for |w| ≤ ⅓, relative error 5.5e-9 (minimax fit).
const ARTANH: [f32; 4] = [0.333_332_1, 0.200_107_63, 0.140_009_03, 0.140_059_93];

/// ln(1 + e^x), relative error at most 5e-7; below -87.3 the result stays about 1.2e-38.
///
/// What is added to the larger of x and 0 is ln(1 + z) with z = e^-|x|, which is 2·artanh(z/(2 + z)). Above 17
/// that is lost in the rounding of x, so the function is linear there, as PyTorch's is above 20.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let power = exp(s, s.min(x, s.sub(s.splat(0.0), x)));
    let w = s.div(power, s.add(s.splat(2.0), power));
    let square = s.mul(w, w);
    let mut sum = s.splat(ARTANH[3]);
    for coefficient in [ARTANH[2], ARTANH[1], ARTANH[0]] {
        sum = s.fma(sum, square, s.splat(coefficient));
    }
    let twice = s.add(w, w);
    s.add(s.max(s.splat(0.0), x), s.fma(s.mul(sum, square), twice, twice))
}

#[cfg(test)]
mod tests {
    use super::super::CpuPath;
    use super::super::portable::Portable;
    use super::super::simd::{Task, Work, dispatch};
    use super::*;

    fn worst(from: f32, to: f32, fast: impl Fn(f32) -> f32, error: impl Fn(f32, f64) -> f64) -> f64 {
        let steps = 200_000;
        (0..=steps)
            .map(|step| from + (to - from) * step as f32 / steps as f32)
            .map(|x| error(x, f64::from(fast(x))))
            .fold(0.0, f64::max)
    }

    #[test]
    fn powers_are_within_their_stated_error() {
        let fast = |x| exp2(Portable, [x; 16])[0];
        let error = worst(-125.9, 126.9, fast, |x, y| (y / libm::exp2(f64::from(x)) - 1.0).abs());
        assert!(error < 2e-7, "exp2 {error:e}");
        let fast = |x| exp(Portable, [x; 16])[0];
        let error = worst(-87.2, 87.9, fast, |x, y| (y / libm::exp(f64::from(x)) - 1.0).abs());
        assert!(error < 3e-7, "exp {error:e}");
        assert_eq!(exp2(Portable, [f32::NEG_INFINITY; 16])[0], f32::MIN_POSITIVE);
        assert_eq!(exp2(Portable, [0.0; 16])[0], 1.0);
    }

    #[test]
    fn gelu_and_its_slope_are_within_their_stated_error() {
        let exact = |x: f64| 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2));
        let fast = |x| normal_below(Portable, [x; 16])[0];
        let error = worst(-12.0, 12.0, fast, |x, y| (y - exact(f64::from(x))).abs());
        assert!(error < 2e-7, "normal {error:e}");
        assert_eq!(gelu(Portable, [-100.0; 16])[0], 0.0);
        assert_eq!(gelu(Portable, [100.0; 16])[0], 100.0);
        let slope = |x: f64| exact(x) + x * libm::exp(-0.5 * x * x) / libm::sqrt(std::f64::consts::TAU);
        let fast = |x| gelu_slope(Portable, [x; 16])[0];
        let error = worst(-12.0, 12.0, fast, |x, y| (y - slope(f64::from(x))).abs());
        assert!(error < 5e-7, "slope {error:e}");
    }

    #[test]
    fn silu_and_its_slope_are_within_their_stated_error() {
        let logistic = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        let fast = |x| silu(Portable, [x; 16])[0];
        let wanted = |x: f32| f64::from(x) * logistic(f64::from(x));
        let error = worst(-80.0, 80.0, fast, |x, y| (y - wanted(x)).abs() / wanted(x).abs().max(1e-30));
        assert!(error < 7e-7, "silu {error:e}");
        let slope = |x: f64| logistic(x) * (1.0 + x * (1.0 - logistic(x)));
        let fast = |x| silu_and_slope(Portable, [x; 16]).1[0];
        let error = worst(-80.0, 80.0, fast, |x, y| (y - slope(f64::from(x))).abs());
        assert!(error < 1.1e-6, "slope {error:e}");
        assert_eq!(silu_and_slope(Portable, [0.0; 16]), ([0.0; 16], [0.5; 16]));
    }

    #[test]
    fn tanh_is_within_its_stated_error() {
        let fast = |x| tanh(Portable, [x; 16])[0];
        let error = |x: f32, y: f64| (y / libm::tanh(f64::from(x)) - 1.0).abs();
        for (from, to) in [(-12.0, 12.0), (-0.4, 0.4), (-1e-3, 1e-3), (-1e-20, 1e-20), (11.0, 1e30)] {
            let error = worst(from, to, fast, |x, y| if x == 0.0 { y.abs() } else { error(x, y) });
            assert!(error < 1e-6, "tanh {from}..{to} {error:e}");
        }
        assert_eq!(
            [0.0, 20.0, -20.0, f32::INFINITY, f32::NEG_INFINITY].map(fast),
            [0.0, 1.0, -1.0, 1.0, -1.0]
        );
    }

    #[test]
    fn softplus_is_within_its_stated_error() {
        let fast = |x| softplus(Portable, [x; 16])[0];
        let exact = |x: f64| x.max(0.0) + libm::log1p(libm::exp(-x.abs()));
        let error = worst(-87.2, 40.0, fast, |x, y| (y / exact(f64::from(x)) - 1.0).abs());
        assert!(error < 5e-7, "softplus {error:e}");
        for x in [20.0_f32, 20.5, 1e10, f32::INFINITY] {
            assert_eq!(fast(x), x);
        }
        assert!((0.0..1.3e-38).contains(&fast(f32::NEG_INFINITY)));
    }

    /// The functions on every path that this processor has.
    struct Probe {
        x: [f32; 16],
        found: std::sync::Mutex<[[f32; 16]; 9]>,
    }

    impl Work for Probe {
        #[inline(always)]
        fn run<S: Simd>(&self, s: S, _: Task) {
            let x = s.load(&self.x);
            let (silu, slope) = silu_and_slope(s, x);
            let (below, plus) = (normal_below(s, x), softplus(s, x));
            let (power2, power, gelu, gelu_slope) = (exp2(s, x), exp(s, x), gelu(s, x), gelu_slope(s, x));
            let results = [power2, power, below, gelu, gelu_slope, silu, slope, plus, tanh(s, x)];
            *self.found.lock().unwrap() = results.map(|result| s.to_array(result));
        }
    }

    fn on_every_path(x: f32, check: impl Fn(CpuPath, [f32; 9])) {
        for path in CpuPath::ALL.into_iter().filter(|path| path.available()) {
            let probe = Probe { x: [x; 16], found: std::sync::Mutex::new([[0.0; 16]; 9]) };
            dispatch(path, &probe, Task { task: 0, worker: 0 });
            let found = probe.found.into_inner().unwrap();
            for lane in 0..16 {
                check(path, found.map(|lanes| lanes[lane]));
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so_on_every_path() {
        let from_bf16 = half::bf16::from_bits(0xffc1).to_f32();
        for x in [f32::NAN, -f32::NAN, from_bf16] {
            on_every_path(x, |path, found| {
                assert!(found.iter().all(|y| y.is_nan()), "{} of {x}: {found:?}", path.name());
            });
        }
    }

    #[test]
    fn infinities_give_what_is_promised_on_every_path() {
        on_every_path(f32::NEG_INFINITY, |path, [power2, power, below, gelu, slope, ..]| {
            assert_eq!(power2, f32::MIN_POSITIVE, "{}", path.name());
            assert!(power > 0.0 && power < 1.3e-38, "{} {power:e}", path.name());
            // As IEEE has it, infinity times zero is not a number.
            assert!(below == 0.0 && gelu.is_nan() && !slope.is_finite(), "{} {gelu} {slope}", path.name());
        });
        on_every_path(f32::INFINITY, |path, [power2, power, below, gelu, slope, ..]| {
            assert!(power2.is_nan() && power.is_nan(), "{} {power2} {power}", path.name());
            assert!(below == 1.0 && gelu == f32::INFINITY && !slope.is_finite(), "{} {gelu}", path.name());
        });
    }
}
