//! Plain text of soft symmetric alignment; the oracle of the fast path.

use crate::Real;

/// What one pair is judged by: matrices `[n,m]` and the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrices<F> {
    /// `s`
    pub similarities: Vec<F>,
    /// `α`
    pub by_row: Vec<F>,
    /// `β`
    pub by_column: Vec<F>,
    /// `c = α + β - α·β`
    pub weights: Vec<F>,
    /// `y = Σ c·s / Σ c`
    pub score: F,
}

/// Softmax of the numbers at some places.
fn softmax<F: Real>(values: &[F], places: &[usize], to: &mut [F]) {
    let mut largest = values[places[0]];
    for &place in places {
        if values[place] > largest {
            largest = values[place];
        }
    }
    let mut sum = F::ZERO;
    for &place in places {
        to[place] = (values[place] - largest).exp();
        sum += to[place];
    }
    for &place in places {
        to[place] = to[place] / sum;
    }
}

/// Matrices of the pair `a [n,D]`, `b [m,D]`.
pub fn matrices<F: Real>(width: usize, a: &[F], b: &[F]) -> Matrices<F> {
    let (n, m) = (a.len() / width, b.len() / width);
    let [mut similarities, mut by_row, mut by_column, mut weights] = [(); 4].map(|()| vec![F::ZERO; n * m]);
    for i in 0..n {
        for j in 0..m {
            for k in 0..width {
                let apart = a[i * width + k] - b[j * width + k];
                similarities[i * m + j] -= if apart < F::ZERO { -apart } else { apart };
            }
        }
    }
    for i in 0..n {
        softmax(&similarities, &(0..m).map(|j| i * m + j).collect::<Vec<_>>(), &mut by_row);
    }
    for j in 0..m {
        softmax(&similarities, &(0..n).map(|i| i * m + j).collect::<Vec<_>>(), &mut by_column);
    }
    let (mut sum, mut total) = (F::ZERO, F::ZERO);
    for place in 0..n * m {
        weights[place] = by_row[place] + by_column[place] - by_row[place] * by_column[place];
        sum += weights[place] * similarities[place];
        total += weights[place];
    }
    Matrices { similarities, by_row, by_column, weights, score: sum / total }
}

/// Slopes of the score by every similarity.
fn slopes<F: Real>(pair: &Matrices<F>, n: usize, m: usize) -> Vec<F> {
    let mut total = F::ZERO;
    for &weight in &pair.weights {
        total += weight;
    }
    let apart = |place: usize| (pair.similarities[place] - pair.score) / total;
    let (mut rows, mut columns) = (vec![F::ZERO; n], vec![F::ZERO; m]);
    for place in 0..n * m {
        let (row, column) = (pair.by_row[place], pair.by_column[place]);
        rows[place / m] += row * apart(place) * (F::ONE - column);
        columns[place % m] += column * apart(place) * (F::ONE - row);
    }
    (0..n * m)
        .map(|place| {
            let (row, column) = (pair.by_row[place], pair.by_column[place]);
            let through_row = row * (apart(place) * (F::ONE - column) - rows[place / m]);
            let through_column = column * (apart(place) * (F::ONE - row) - columns[place % m]);
            pair.weights[place] / total + through_row + through_column
        })
        .collect()
}

/// Gradients of both sides of one pair, for the gradient `dy` of its score.
pub fn backward<F: Real>(width: usize, (a, b): (&[F], &[F]), dy: F, (da, db): (&mut [F], &mut [F])) {
    let (n, m) = (a.len() / width, b.len() / width);
    let slopes = slopes(&matrices(width, a, b), n, m);
    da.fill(F::ZERO);
    db.fill(F::ZERO);
    for i in 0..n {
        for j in 0..m {
            for k in 0..width {
                let (at, to) = (i * width + k, j * width + k);
                let slope = dy * slopes[i * m + j];
                if a[at] > b[to] {
                    da[at] -= slope;
                    db[to] += slope;
                } else if a[at] < b[to] {
                    da[at] += slope;
                    db[to] -= slope;
                }
            }
        }
    }
}
