//! Numbers to places on an axis, and which numbers stand beside it.

use super::Scale;

/// The narrowest range, as a part of its greatest number: below it floats have gaps that would be seen.
const NARROWEST: f64 = 1e-9;

/// Room beyond the lowest and the highest number of a vertical axis, as a part of the range.
const ROOM: f64 = 0.04;

/// What an axis reaches from and to, and how numbers lie on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    scale: Scale,
    /// The lowest number.
    from: f64,
    /// The highest, above `from`.
    to: f64,
}

/// A number beside an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// Its place: 0 at the start of the axis, 1 at its end.
    pub(super) place: f64,
    /// The number as it is written.
    pub(super) text: String,
}

impl Range {
    /// The range of those of `values` that have a place; none where none has.
    pub(super) fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let ends = values.filter(|value| has_place(scale, *value)).fold(None, |ends, value| {
            let (from, to) = ends.unwrap_or((value, value));
            Some((value.min(from), value.max(to)))
        });
        let (from, to) = ends?;
        // As far as floats reach, no further: on a scale of logarithms their ratio has to be one.
        let (lowest, highest) = match scale {
            Scale::Linear => (f64::MIN / 4.0, f64::MAX / 4.0),
            Scale::Log => (1e-150, 1e150),
        };
        let (from, to) = (from.clamp(lowest, highest), to.clamp(lowest, highest));
        let least = NARROWEST * from.abs().max(to.abs());
        if to - from > least {
            return Some(Self { scale, from, to });
        }
        // One number alone lies in the middle.
        let around = if least > 0.0 { (to - from).max(0.05 * to.abs()) } else { 1.0 };
        Some(Self { scale, from: from - around, to: to + around })
    }

    /// The range with room at both ends.
    pub(super) fn with_room(self) -> Self {
        let Self { scale, from, to } = self;
        match scale {
            Scale::Linear => {
                let room = (to - from) * ROOM;
                Self { from: from - room, to: to + room, ..self }
            }
            Scale::Log => {
                let room = libm::pow(to / from, ROOM);
                Self { from: from / room, to: to * room, ..self }
            }
        }
    }

    /// Where a number lies: 0 at the start of the axis, 1 at its end; none where it has no place.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let Self { scale, from, to } = *self;
        has_place(scale, value).then(|| match scale {
            Scale::Linear => (value - from) / (to - from),
            Scale::Log => libm::log10(value / from) / libm::log10(to / from),
        })
    }

    /// Round numbers on the axis, about `most` of them at most.
    pub(super) fn marks(&self, most: usize) -> Vec<Mark> {
        let found = match self.scale {
            Scale::Log if self.to / self.from >= 10.0 => self.powers(most),
            _ => self.steps(most),
        };
        let marked = |(value, text)| self.place(value).map(|place| Mark { place, text });
        found.into_iter().filter_map(marked).filter(|mark| (0.0..=1.0).contains(&mark.place)).collect()
    }

    /// Multiples of the least step of 1, 2 or 5 with a power of ten that leaves no more than `most` of them.
    fn steps(&self, most: usize) -> Vec<(f64, String)> {
        let Self { from, to, .. } = *self;
        let wide = (to - from) / most.max(1) as f64;
        let power = libm::floor(libm::log10(wide)) as i32;
        let candidates = [(1, power), (2, power), (5, power), (1, power + 1), (2, power + 1)];
        let size = |&(digit, power): &(i64, i32)| number(digit, power);
        let Some(step) = candidates.into_iter().find(|step| size(step) >= wide) else { return Vec::new() };
        let (first, last) = ((from / size(&step)).ceil() as i64, (to / size(&step)).floor() as i64);
        let greatest = from.abs().max(to.abs());
        let written = |times: i64| {
            let digits = times.saturating_mul(step.0);
            (number(digits, step.1), written(digits, step.1, greatest))
        };
        (first..=last).take(2 * most + 2).map(written).collect()
    }

    /// Powers of ten, and twice and five times them where there is room for it.
    fn powers(&self, most: usize) -> Vec<(f64, String)> {
        let Self { from, to, .. } = *self;
        let (first, last) = (libm::floor(libm::log10(from)) as i32, libm::ceil(libm::log10(to)) as i32);
        let decades = (last - first).max(1) as usize;
        let digits: &[i64] = if 3 * decades <= most { &[1, 2, 5] } else { &[1] };
        let every = decades.div_ceil(most.max(1));
        let powers = (first..=last).step_by(every);
        let mark = |(power, &digit): (i32, &i64)| {
            let plain = (-3..4).contains(&power);
            let text =
                if plain { written(digit, power, number(digit, power)) } else { format!("{digit}e{power}") };
            (number(digit, power), text)
        };
        powers.flat_map(|power| digits.iter().map(move |digit| mark((power, digit)))).collect()
    }
}

fn has_place(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

/// `digits` with a power of ten: the float nearest to it, which no product of floats is.
fn number(digits: i64, power: i32) -> f64 {
    format!("{digits}e{power}").parse().unwrap_or(f64::NAN)
}

/// `digits` with a power of ten in few letters, on an axis that reaches to `greatest`.
fn written(digits: i64, power: i32, greatest: f64) -> String {
    let (shift, unit) = match greatest {
        greatest if !(1e-3..1e15).contains(&greatest) => return format!("{:e}", number(digits, power)),
        greatest if greatest < 1e4 => (0, ""),
        greatest if greatest < 1e6 => (3, "k"),
        greatest if greatest < 1e9 => (6, "M"),
        greatest if greatest < 1e12 => (9, "G"),
        _ => (12, "T"),
    };
    if digits == 0 {
        return "0".to_owned();
    }
    let power = power - shift;
    let decimals = usize::try_from(-power).unwrap_or(0);
    format!("{:.decimals$}{unit}", number(digits, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, from: f64, to: f64, most: usize) -> Vec<String> {
        let range = Range::of(scale, [from, to].into_iter()).unwrap();
        range.marks(most).into_iter().map(|mark| mark.text).collect()
    }

    #[test]
    fn marks_are_round_numbers_in_few_letters() {
        for (from, to, most, wanted) in [
            (2.31, 2.94, 4, "2.4 2.6 2.8"),
            (0.0, 1000.0, 6, "0 200 400 600 800 1000"),
            (0.0, 20_000.0, 5, "0 5k 10k 15k 20k"),
            (1.2e6, 3.6e6, 6, "1.5M 2.0M 2.5M 3.0M 3.5M"),
            (0.0, 4e-4, 5, "0e0 1e-4 2e-4 3e-4 4e-4"),
            (-1.0, 1.0, 5, "-1.0 -0.5 0 0.5 1.0"),
        ] {
            assert_eq!(texts(Scale::Linear, from, to, most).join(" "), wanted, "{from} {to}");
        }
        assert_eq!(texts(Scale::Log, 0.5, 20.0, 10).join(" "), "0.5 1 2 5 10 20");
        assert_eq!(texts(Scale::Log, 1e-6, 1e3, 5).join(" "), "1e-6 1e-4 0.01 1 100");
        assert_eq!(texts(Scale::Log, 2.3, 2.9, 4).join(" "), "2.4 2.6 2.8");
    }

    #[test]
    fn places_run_from_the_start_to_the_end() {
        let linear = Range::of(Scale::Linear, [3.0, f64::NAN, 1.0, 2.0].into_iter()).unwrap();
        assert_eq!([1.0, 2.0, 3.0].map(|value| linear.place(value)), [Some(0.0), Some(0.5), Some(1.0)]);
        let log = Range::of(Scale::Log, [0.0, -1.0, 1.0, 100.0].into_iter()).unwrap();
        assert_eq!([1.0, 10.0, 100.0].map(|value| log.place(value)), [Some(0.0), Some(0.5), Some(1.0)]);
        assert_eq!((log.place(0.0), log.place(f64::INFINITY)), (None, None));
        assert_eq!(Range::of(Scale::Log, [0.0].into_iter()), None);
        let roomy = linear.with_room();
        assert!(roomy.place(1.0).unwrap() > 0.03 && roomy.place(3.0).unwrap() < 0.97);
    }

    #[test]
    fn numbers_that_hardly_differ_and_those_at_the_end_of_floats_have_marks() {
        for ends in [[7.0, 7.0], [0.0, 0.0], [1.0, 1.0 + 1e-15], [f64::MIN, f64::MAX], [1e-300, 2e-300]] {
            let range = Range::of(Scale::Linear, ends.into_iter()).unwrap();
            let marks = range.marks(6);
            assert!((1..=8).contains(&marks.len()), "{ends:?}: {marks:?}");
            assert!(marks.iter().all(|mark| mark.text.len() < 12), "{ends:?}: {marks:?}");
        }
        let log = Range::of(Scale::Log, [f64::MIN_POSITIVE, f64::MAX].into_iter()).unwrap();
        assert!((2..=8).contains(&log.marks(6).len()));
    }
}
