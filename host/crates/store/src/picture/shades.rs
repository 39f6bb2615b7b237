//! Values to colours.
//!
//! Both scales were laid out in OKLab (Ottosson 2020), so that equal steps of a value look like equal steps: the rising
//! one falls evenly in lightness from 0.99 to 0.27 while its hue turns from green to indigo, the one around zero falls
//! evenly from 0.98 to 0.48 on both sides, in blue (hue 258°) below and red (hue 28°) above. Printed in grey the rising
//! one keeps its order, and the two sides of the other are told apart by people who see no difference between red and
//! green. Between the colours below, sRGB is interpolated linearly.

/// Shades of a scale: an odd number, so that zero has one of its own.
pub(super) const SHADES: u8 = 239;

/// From none to much.
const RISING: [[u8; 3]; 9] = [
    [252, 252, 252],
    [188, 234, 219],
    [116, 212, 207],
    [13, 185, 203],
    [1, 152, 187],
    [0, 120, 169],
    [0, 87, 153],
    [20, 55, 127],
    [26, 30, 86],
];

/// From far below zero over zero to far above it.
const AROUND: [[u8; 3]; 9] = [
    [11, 88, 187],
    [77, 130, 207],
    [132, 169, 225],
    [188, 209, 240],
    [248, 248, 248],
    [238, 196, 190],
    [219, 146, 136],
    [196, 95, 84],
    [169, 35, 30],
];

/// What colour a value has. Values beyond the ends have the colour of the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shades {
    /// From light to dark.
    Rising {
        /// The value of the lightest shade.
        from: f32,
        /// The value of the darkest, greater than `from`.
        to: f32,
    },
    /// Blue below zero, nearly white at zero, red above it.
    Around {
        /// The value of the darkest red; its negative has the darkest blue. Greater than zero.
        reach: f32,
    },
}

impl Shades {
    /// The values of the first and the last shade.
    pub(super) fn ends(self) -> (f32, f32) {
        match self {
            Self::Rising { from, to } => (from, to),
            Self::Around { reach } => (-reach, reach),
        }
    }

    /// The shade of a value, below [`SHADES`]; none of one that is not finite.
    pub(super) fn shade(self, value: f32) -> Option<u8> {
        let (from, to) = self.ends();
        let last = f32::from(SHADES - 1);
        value.is_finite().then(|| ((value - from) / (to - from) * last).round().clamp(0.0, last) as u8)
    }

    /// The stronger of two values: of those that are finite the one with more to say.
    pub(super) fn stronger(self, one: f32, other: f32) -> f32 {
        let strength = |value: f32| match self {
            _ if !value.is_finite() => f32::NEG_INFINITY,
            Self::Rising { .. } => value,
            Self::Around { .. } => value.abs(),
        };
        if strength(other) > strength(one) { other } else { one }
    }

    /// The colours between which the scale is linear, at equal distances.
    pub(super) fn stops(self) -> &'static [[u8; 3]; 9] {
        match self {
            Self::Rising { .. } => &RISING,
            Self::Around { .. } => &AROUND,
        }
    }

    /// Red, green and blue of a shade.
    pub(super) fn colour(self, shade: u8) -> [u8; 3] {
        let stops = self.stops();
        let parts = u32::from(SHADES - 1);
        let along = u32::from(shade.min(SHADES - 1)) * (stops.len() as u32 - 1);
        let (below, rest) = ((along / parts) as usize, along % parts);
        let above = (below + 1).min(stops.len() - 1);
        let mix = |one: u8, other: u8| {
            ((u32::from(one) * (parts - rest) + u32::from(other) * rest + parts / 2) / parts) as u8
        };
        std::array::from_fn(|part| mix(stops[below][part], stops[above][part]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles_have_their_colours() {
        let rising = Shades::Rising { from: 0.0, to: 1.0 };
        for (value, shade) in [(-1.0, 0), (0.0, 0), (0.5, 119), (1.0, 238), (7.0, 238)] {
            assert_eq!(rising.shade(value), Some(shade), "{value}");
        }
        assert_eq!(rising.shade(f32::NAN), None);
        let around = Shades::Around { reach: 4.0 };
        for (value, colour) in [(-9.0, AROUND[0]), (0.0, AROUND[4]), (4.0, AROUND[8]), (-2.0, AROUND[2])] {
            let found = around.colour(around.shade(value).unwrap());
            // A half of the reach lies between two shades.
            assert!(
                found.iter().zip(colour).all(|(one, other)| one.abs_diff(other) <= 1),
                "{value}: {found:?}"
            );
        }
    }

    /// A step too far or a stop out of place would show as an edge where the values have none.
    #[test]
    fn scales_are_even() {
        let lightness = |[red, green, blue]: [u8; 3]| {
            0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
        };
        let rising = Shades::Rising { from: 0.0, to: 1.0 };
        let falls =
            (1..SHADES).all(|shade| lightness(rising.colour(shade)) <= lightness(rising.colour(shade - 1)));
        assert!(falls, "a darker shade follows a lighter one");
        for shades in [rising, Shades::Around { reach: 1.0 }] {
            for shade in 1..SHADES {
                let (one, next) = (shades.colour(shade - 1), shades.colour(shade));
                assert!(one.iter().zip(next).all(|(one, next)| one.abs_diff(next) <= 4), "{one:?} {next:?}");
            }
        }
    }

    #[test]
    fn the_stronger_value_is_the_one_to_see() {
        let (rising, around) = (Shades::Rising { from: 0.0, to: 1.0 }, Shades::Around { reach: 1.0 });
        assert_eq!(rising.stronger(0.2, 0.1), 0.2);
        assert_eq!(around.stronger(0.2, -0.3), -0.3);
        assert_eq!(around.stronger(f32::NAN, -0.3), -0.3);
        assert!(around.stronger(f32::NAN, f32::NAN).is_nan());
    }
}
