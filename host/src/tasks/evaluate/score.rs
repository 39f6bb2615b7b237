//! Answers to numbers: means over proteins of like length, and how far chance would carry them.

use pliant_seq::Vocabulary;

use crate::cli::evaluate::Bins;
use crate::eval::bootstrap::{Interval, ends};

/// What became of one protein.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Protein {
    /// L, its residues.
    pub(super) length: usize,
    /// Residues that were asked for.
    pub(super) chosen: u64,
    /// Those of them in whose place the mask stood.
    pub(super) masked: u64,
    /// The sum of -ln p of the true ones, in nats.
    pub(super) lost: f64,
    /// That of those in whose place the mask stood.
    pub(super) masked_lost: f64,
    /// How many of them are the likeliest.
    pub(super) right: u64,
}

impl Protein {
    /// The mean loss and that of masked residues in nats, and the part that was right; what nothing was asked for is no
    /// number.
    pub(super) fn means(&self) -> [f64; 3] {
        Sums::of([self].into_iter()).means()
    }
}

/// Sums over proteins.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    chosen: u64,
    masked: u64,
    lost: f64,
    masked_lost: f64,
    right: u64,
}

impl Sums {
    /// In the order in which they come.
    fn of<'a>(proteins: impl Iterator<Item = &'a Protein>) -> Self {
        proteins.fold(Self::default(), |sums, protein| Self {
            chosen: sums.chosen + protein.chosen,
            masked: sums.masked + protein.masked,
            lost: sums.lost + protein.lost,
            masked_lost: sums.masked_lost + protein.masked_lost,
            right: sums.right + protein.right,
        })
    }

    /// Loss, loss of masked residues, accuracy.
    fn means(&self) -> [f64; 3] {
        let chosen = self.chosen as f64;
        [self.lost / chosen, self.masked_lost / self.masked as f64, self.right as f64 / chosen]
    }
}

/// A number with its interval; what is not known is not a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measure {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Measure {
    /// The measure of a rising function of this one.
    pub(super) fn through(self, function: impl Fn(f64) -> f64) -> Self {
        Self { value: function(self.value), low: function(self.low), high: function(self.high) }
    }
}

/// The proteins of a bin, or all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// Their shortest and longest length in residues; the last bin has no end, and all proteins have neither.
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
    pub(super) proteins: u64,
    pub(super) residues: u64,
    /// Residues that were asked for, and those of them that were masked.
    pub(super) chosen: u64,
    pub(super) masked: u64,
    /// Nats.
    pub(super) loss: Measure,
    pub(super) masked_loss: Measure,
    pub(super) accuracy: Measure,
    /// Entropy of single residues, in nats.
    pub(super) entropy: f64,
}

impl Scored {
    /// The name of the bin.
    pub(super) fn name(&self) -> String {
        match (self.from, self.to) {
            (None, _) => "all".to_owned(),
            (Some(from), None) => format!("{from}+"),
            (Some(from), Some(to)) => format!("{from}-{to}"),
        }
    }
}

/// Everything that was answered.
pub(super) struct Scores {
    /// Where bins begin, ascending, with one before them where they leave lengths out.
    edges: Vec<usize>,
    /// Per bin the proteins in the order of the input, and how often each letter stands in them.
    bins: Vec<(Vec<Protein>, [u64; 26])>,
    /// All proteins, in the order of the input.
    all: Vec<Protein>,
}

impl Scores {
    /// No answers yet. What is shorter than the first bin has a bin of its own.
    pub(super) fn new(bins: &Bins) -> Self {
        let below = bins.0.first().is_some_and(|&first| first > 0).then_some(0);
        let edges: Vec<usize> = below.into_iter().chain(bins.0.iter().copied()).collect();
        let bins = vec![(Vec::new(), [0; 26]); edges.len()];
        Self { edges, bins, all: Vec::new() }
    }

    /// Takes the next protein, with its letters.
    pub(super) fn push(&mut self, protein: Protein, letters: &[u8]) {
        let bin = self.edges.partition_point(|&edge| edge <= protein.length).saturating_sub(1);
        let (proteins, counts) = &mut self.bins[bin];
        proteins.push(protein);
        for letter in letters {
            if let Some(count) = counts.get_mut(usize::from(letter.wrapping_sub(b'A'))) {
                *count += 1;
            }
        }
        self.all.push(protein);
    }

    /// The mean loss over all residues that were asked for, in nats.
    pub(super) fn loss(&self) -> f64 {
        Sums::of(self.all.iter()).means()[0]
    }

    /// Every bin with proteins, from the shortest, and all proteins together as the last.
    pub(super) fn lines(&self, vocabulary: &Vocabulary, interval: &Interval) -> Vec<Scored> {
        let mut all_letters = [0; 26];
        let mut lines = Vec::new();
        for (bin, (proteins, letters)) in self.bins.iter().enumerate() {
            all_letters.iter_mut().zip(letters).for_each(|(all, count)| *all += count);
            if !proteins.is_empty() {
                let to = self.edges.get(bin + 1).map(|edge| edge - 1);
                let entropy = vocabulary.entropy(letters);
                lines.push(scored(proteins, (Some(self.edges[bin]), to), entropy, interval));
            }
        }
        lines.push(scored(&self.all, (None, None), vocabulary.entropy(&all_letters), interval));
        lines
    }
}

fn scored(
    proteins: &[Protein],
    (from, to): (Option<usize>, Option<usize>),
    entropy: f64,
    interval: &Interval,
) -> Scored {
    let sums = Sums::of(proteins.iter());
    let means = sums.means();
    let drawn = interval.draws(proteins.len(), |drawn| Sums::of(drawn.map(|place| &proteins[place])).means());
    let [loss, masked_loss, accuracy] = [0, 1, 2].map(|place| {
        // Draws of proteins of which nothing was asked say nothing.
        let ends = ends(drawn.iter().map(|means| means[place]).collect());
        let (low, high) = ends.unwrap_or((f64::NAN, f64::NAN));
        Measure { value: means[place], low, high }
    });
    Scored {
        from,
        to,
        proteins: proteins.len() as u64,
        residues: proteins.iter().map(|protein| protein.length as u64).sum(),
        chosen: sums.chosen,
        masked: sums.masked,
        loss,
        masked_loss,
        accuracy,
        entropy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_seq::ESM2;

    fn protein(length: usize, chosen: u64, lost: f64, right: u64) -> Protein {
        let masked = chosen / 2;
        let masked_lost = if masked > 0 { lost / 4.0 } else { 0.0 };
        Protein { length, chosen, masked, lost, masked_lost, right }
    }

    const INTERVAL: Interval = Interval { seed: 3, draws: 1000 };

    #[test]
    fn proteins_are_counted_in_the_bin_of_their_length() {
        let mut scores = Scores::new(&Bins(vec![4, 8]));
        for (protein, letters) in [
            (protein(8, 2, 4.0, 1), "AAAACCCC"),
            (protein(3, 1, 3.0, 0), "MMM"),
            (protein(7, 1, 1.0, 1), "AAAAAAA"),
            (protein(900, 4, 2.0, 4), "CCCCCCCC"),
        ] {
            scores.push(protein, letters.as_bytes());
        }
        let lines = scores.lines(&ESM2, &INTERVAL);
        let names: Vec<String> = lines.iter().map(Scored::name).collect();
        assert_eq!(names, ["0-3", "4-7", "8+", "all"]);
        let counts: Vec<[u64; 4]> =
            lines.iter().map(|line| [line.proteins, line.residues, line.chosen, line.masked]).collect();
        assert_eq!(counts, [[1, 3, 1, 0], [1, 7, 1, 0], [2, 908, 6, 3], [4, 918, 8, 3]]);
        assert!(lines[0].masked_loss.value.is_nan() && lines[2].masked_loss.value == 0.5);
        let values: Vec<(f64, f64)> =
            lines.iter().map(|line| (line.loss.value, line.accuracy.value)).collect();
        assert_eq!(values, [(3.0, 0.0), (1.0, 1.0), (1.0, 5.0 / 6.0), (1.25, 0.75)]);
        assert_eq!(scores.loss(), 1.25);
        // Four A and twelve C: a quarter and three quarters.
        let entropy = -(0.25 * 0.25_f64.ln() + 0.75 * 0.75_f64.ln());
        assert!((lines[2].entropy - entropy).abs() < 1e-12, "{}", lines[2].entropy);
        assert_eq!(lines[0].entropy, 0.0);
        assert!(lines[0].loss.low.is_nan(), "one protein says nothing of others");
        assert!(lines[2].loss.low <= 1.0 && lines[2].loss.high >= 1.0);
    }

    #[test]
    fn a_bin_without_proteins_has_no_line() {
        let mut scores = Scores::new(&Bins(vec![0, 10, 20]));
        scores.push(protein(25, 1, 1.0, 1), b"A");
        let names: Vec<String> = scores.lines(&ESM2, &INTERVAL).iter().map(Scored::name).collect();
        assert_eq!(names, ["20+", "all"]);
    }

    #[test]
    fn intervals_are_those_of_the_normal_distribution_where_it_holds() {
        // Losses 0 and 2 with equal chance: mean 1, standard deviation 1, of a mean of 400 a twentieth.
        let proteins: Vec<Protein> =
            (0..400).map(|number| protein(9, 2, f64::from(number % 2) * 4.0, 0)).collect();
        let line = scored(&proteins, (None, None), 0.0, &INTERVAL);
        assert_eq!(line.loss.value, 1.0);
        let wide = 1.96 / 20.0;
        assert!((line.loss.low - (1.0 - wide)).abs() < 0.02, "{:?}", line.loss);
        assert!((line.loss.high - (1.0 + wide)).abs() < 0.02, "{:?}", line.loss);
        assert_eq!(line, scored(&proteins, (None, None), 0.0, &INTERVAL));
        // Losses of which no two are alike: other draws have other means.
        let spread: Vec<Protein> =
            (0..400).map(|number| protein(9, 2, f64::from(number).sqrt(), 0)).collect();
        let lows =
            [3, 4].map(|seed| scored(&spread, (None, None), 0.0, &Interval { seed, ..INTERVAL }).loss.low);
        assert!(lows[0] != lows[1], "{lows:?}");
        let none = scored(&proteins, (None, None), 0.0, &Interval { draws: 0, ..INTERVAL });
        assert!(none.loss.low.is_nan() && none.loss.value == 1.0);
    }
}
