//! How the numbers of a head are told, whoever made the head.

use pliant_seq::tables::LabelKind;

use super::answers::meaning;
use super::card::HeadFolder;
use super::targets::Scale;

/// What the numbers of classes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scored {
    /// Scores that become probabilities.
    Scores,
    /// Probabilities already.
    Probabilities,
}

/// How the numbers of a head are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    /// What they are about.
    pub kind: LabelKind,
    /// Names of the classes; of numbers their names, or none of the only one.
    pub names: Vec<String>,
    /// Numbers of a row.
    pub width: usize,
    /// How numbers are scaled.
    pub scale: Scale,
    /// What the numbers of classes are.
    pub scored: Scored,
    /// Whether there is a row for each residue.
    pub by_residue: bool,
}

impl Telling {
    /// That of a head that was taught.
    pub fn of(head: &HeadFolder) -> Self {
        Self {
            kind: head.kind,
            names: head.card.labels.classes.clone(),
            width: head.card.head.outputs,
            scale: head.scale(),
            scored: Scored::Scores,
            by_residue: head.kind == LabelKind::Residues,
        }
    }

    /// What a row of numbers means: probabilities, or numbers. See [`meaning`].
    pub fn meaning(&self, row: &[f32]) -> Vec<f64> {
        let is_number = self.kind == LabelKind::Number;
        match self.scored {
            Scored::Probabilities => row.iter().map(|&number| shortest(number)).collect(),
            Scored::Scores if is_number && !self.names.is_empty() => {
                row.iter().map(|&number| shortest(number)).collect()
            }
            Scored::Scores => meaning(self.kind, self.scale, row),
        }
    }

    /// Numbers as scores whose meaning they are, as [`meaning`] takes them: of probabilities their logarithms, or those of
    /// their odds where classes do not exclude each other.
    pub fn scores(&self, given: Vec<f32>) -> Vec<f32> {
        // No smaller number of 32 bits has all its places.
        let logarithm = |chance: f64| libm::log(chance.max(f64::from(f32::MIN_POSITIVE)));
        let score = |number: f32| match (self.scored, self.kind) {
            (Scored::Scores, _) => number,
            (Scored::Probabilities, LabelKind::Classes) => {
                (logarithm(f64::from(number)) - logarithm(1.0 - f64::from(number))) as f32
            }
            (Scored::Probabilities, _) => logarithm(f64::from(number)) as f32,
        };
        given.into_iter().map(score).collect()
    }

    /// Whether an example has one score above which it holds: a number, one class, or the second of two classes.
    pub fn has_logit(&self) -> bool {
        match self.kind {
            LabelKind::Class => matches!(self.width, 1 | 2),
            LabelKind::Classes | LabelKind::Number => self.width == 1 && !self.by_residue,
            LabelKind::Level | LabelKind::Residues => false,
        }
    }

    /// That score of a row: a number as it is meant, else the logarithm of the odds of the class.
    pub fn logit(&self, row: &[f32]) -> f32 {
        let given = match self.kind {
            LabelKind::Number => self.meaning(row).into_iter().map(|number| number as f32).collect(),
            _ => self.scores(row.to_vec()),
        };
        match given.as_slice() {
            [first, second] => second - first,
            given => given.first().copied().unwrap_or(f32::NAN),
        }
    }

    /// The name of a class or number, where it has one.
    pub fn name(&self, place: usize) -> String {
        self.names.get(place).cloned().unwrap_or_else(|| place.to_string())
    }
}

/// The number whose shortest text is that of the 32-bit number.
pub fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_come_back_from_their_scores() {
        let telling = |kind, scored| {
            let names = ["x", "y"].map(str::to_owned).to_vec();
            Telling { kind, names, width: 2, scale: Scale::default(), scored, by_residue: false }
        };
        for (kind, row) in [
            (LabelKind::Class, [0.25, 0.75]),
            (LabelKind::Class, [0.0, 1.0]),
            (LabelKind::Residues, [0.5, 0.5]),
            (LabelKind::Classes, [0.9, 0.9]),
            (LabelKind::Classes, [0.0, 1.0]),
        ] {
            let scores = telling(kind, Scored::Probabilities).scores(row.to_vec());
            assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
            let found = telling(kind, Scored::Scores).meaning(&scores);
            for (found, wanted) in found.iter().zip(row) {
                // A score has 24 bits, and up to 88 of them before the point.
                assert!((found - f64::from(wanted)).abs() < 1e-5, "{kind}: {found} {wanted}");
            }
        }
        assert_eq!(telling(LabelKind::Number, Scored::Scores).meaning(&[0.1, -3.0]), [0.1, -3.0]);
    }

    #[test]
    fn an_example_has_one_logit_or_none() {
        let telling = |kind, width, scored, scale| {
            let names = if kind == LabelKind::Number { Vec::new() } else { vec!["x".to_owned(); width] };
            Telling { kind, names, width, scale, scored, by_residue: false }
        };
        let plain = Scale::default();
        let odds = |chance: f64| (chance / (1.0 - chance)).ln();
        for (told, row, wanted) in [
            (telling(LabelKind::Class, 2, Scored::Scores, plain), &[1.5_f32, -0.5][..], -2.0),
            (telling(LabelKind::Class, 2, Scored::Probabilities, plain), &[0.25, 0.75], odds(0.75)),
            (telling(LabelKind::Classes, 1, Scored::Scores, plain), &[0.5], 0.5),
            (telling(LabelKind::Classes, 1, Scored::Probabilities, plain), &[0.1], odds(0.1)),
            (telling(LabelKind::Number, 1, Scored::Scores, plain), &[0.25], 0.25),
            (telling(LabelKind::Number, 1, Scored::Scores, Scale { mean: 3.0, deviation: 2.0 }), &[0.5], 4.0),
        ] {
            assert!(told.has_logit());
            // Logarithms of probabilities in 32 bits.
            assert!((f64::from(told.logit(row)) - wanted).abs() < 1e-6, "{told:?}");
        }
        let certain = telling(LabelKind::Classes, 1, Scored::Probabilities, plain);
        assert!(certain.logit(&[1.0]).is_finite() && certain.logit(&[0.0]).is_finite());
        for (kind, width) in [
            (LabelKind::Class, 3),
            (LabelKind::Classes, 2),
            (LabelKind::Number, 2),
            (LabelKind::Level, 3),
            (LabelKind::Residues, 2),
        ] {
            assert!(!telling(kind, width, Scored::Scores, plain).has_logit(), "{kind} {width}");
        }
    }
}
