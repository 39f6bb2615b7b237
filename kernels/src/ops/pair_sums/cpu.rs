//! Plain text of the sums over pairs; the oracle of the fast path.

use super::{Bars, Counted, Found, GROUP, MOST, Sums};

/// Sums and reached pairs of `y [rows,columns]`.
#[must_use]
pub fn forward(
    (rows, columns): (usize, usize),
    (y, inverse): (&[f32], f32),
    counted: Counted<'_>,
    bars: Bars<'_>,
) -> Found {
    let groups = columns.div_ceil(GROUP);
    let none = Sums::default();
    let mut found =
        Found { rows: vec![none; rows], columns: vec![none; columns], reached: vec![0; rows * groups] };
    for row in 0..rows {
        for column in 0..columns {
            let meet = counted.lists.is_none_or(|(own, others)| own[row] & others[column] != 0);
            if column < counted.begins[row] || !meet {
                continue;
            }
            let logit = y[row * columns + column];
            let wanted = f64::from(logit * inverse).round_ties_even();
            let whole =
                if wanted.is_nan() { -MOST } else { wanted.clamp(-f64::from(MOST), f64::from(MOST)) as i32 };
            found.rows[row].push(whole);
            found.columns[column].push(whole);
            let bar = bars.rows[row].min(bars.columns[column]);
            if logit.is_nan() || logit >= bar {
                found.reached[row * groups + column / GROUP] |= 1 << (column % GROUP);
            }
        }
    }
    found
}
