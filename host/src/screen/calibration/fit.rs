//! Curves of probabilities.

use super::{Curve, Labelled};

/// Steps of Newton's method, far more than it takes.
const STEPS: usize = 100;

/// Platt's curve: `Σ -t·ln p - (1 - t)·ln(1 - p)` is least, with targets t of `(P + 1)/(P + 2)` for P true pairs and
/// `1/(N + 2)` for N false ones (Platt, 1999). The sum is convex, and Newton's method with halved steps finds its end.
pub(super) fn platt(pairs: &[Labelled]) -> Curve {
    let [all_true, all_false] = super::counts(pairs).map(|count| count as f64);
    let targets = [1.0 / (all_false + 2.0), (all_true + 1.0) / (all_true + 2.0)];
    // Logits of about one make the two numbers alike in size.
    let largest = pairs.iter().map(|pair| pair.logit.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let points: Vec<(f64, f64)> =
        pairs.iter().map(|pair| (pair.logit / largest, targets[usize::from(pair.is_true)])).collect();
    let (mut slope, mut shift) = (0.0, libm::log((all_true + 1.0) / (all_false + 1.0)));
    let mut loss = lost(&points, slope, shift);
    for _ in 0..STEPS {
        let (mut gradient, mut curvature) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for &(x, target) in &points {
            let p = 1.0 / (1.0 + libm::exp(-(slope * x + shift)));
            let (off, weight) = (p - target, p * (1.0 - p));
            gradient = [gradient[0] + off * x, gradient[1] + off];
            curvature = [curvature[0] + weight * x * x, curvature[1] + weight * x, curvature[2] + weight];
        }
        let [a, b, c] = curvature;
        let determinant = a * c - b * b;
        let step = [
            -(c * gradient[0] - b * gradient[1]) / determinant,
            -(a * gradient[1] - b * gradient[0]) / determinant,
        ];
        let mut part = 1.0;
        let found = loop {
            let next = (slope + part * step[0], shift + part * step[1]);
            let found = lost(&points, next.0, next.1);
            if found < loss || part < 1e-10 {
                break (next, found);
            }
            part /= 2.0;
        };
        if found.1 >= loss {
            break;
        }
        ((slope, shift), loss) = found;
    }
    Curve::Platt { slope: slope / largest, shift }
}

/// The sum that is to be least.
fn lost(points: &[(f64, f64)], slope: f64, shift: f64) -> f64 {
    let one = |&(x, target): &(f64, f64)| {
        let z = slope * x + shift;
        // ln(1 + e^z) - t·z, without overflow.
        z.max(0.0) + libm::log1p(libm::exp(-z.abs())) - target * z
    };
    points.iter().map(one).sum()
}

/// The curve that never falls and whose squared distance to the labels is least: neighbours that fall are joined into their
/// mean until none do. Ends of joined runs are its points; equal logits are one.
pub(super) fn isotonic(pairs: &[Labelled]) -> Curve {
    struct Run {
        first: f64,
        last: f64,
        sum: f64,
        count: f64,
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|one, other| one.logit.total_cmp(&other.logit));
    let mut runs: Vec<Run> = Vec::new();
    for pairs in sorted.chunk_by(|one, other| one.logit == other.logit) {
        let [all_true, _] = super::counts(pairs);
        let logit = pairs.first().map_or(0.0, |pair| pair.logit);
        let mut run = Run { first: logit, last: logit, sum: all_true as f64, count: pairs.len() as f64 };
        while let Some(before) = runs.last() {
            if before.sum * run.count < run.sum * before.count {
                break;
            }
            run = Run {
                first: before.first,
                sum: before.sum + run.sum,
                count: before.count + run.count,
                ..run
            };
            runs.pop();
        }
        runs.push(run);
    }
    let (mut logits, mut probabilities) = (Vec::new(), Vec::new());
    for Run { first, last, sum, count } in runs {
        let ends = if first < last { &[first, last][..] } else { &[first][..] };
        for &end in ends {
            logits.push(end);
            probabilities.push(sum / count);
        }
    }
    Curve::Isotonic { logits, probabilities }
}
