//! Masked language modelling: which residues are hidden, and by what.

use rand_chacha::ChaCha8Rng;

use super::Masked;
use crate::error::SettingError;
use crate::random;
use crate::vocabulary::{STANDARD_RESIDUES, Tokens, Vocabulary};

/// Shares of masked language modelling (Devlin et al. 2019, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MlmSettings {
    /// Share of residues asked for.
    pub choose: f64,
    /// Share of those that become the mask token.
    pub mask: f64,
    /// Share of those that become one of the 20 standard residues, evenly, be it the one that stood there. The rest
    /// stays as it is.
    pub random: f64,
}

impl Default for MlmSettings {
    fn default() -> Self {
        Self { choose: 0.15, mask: 0.8, random: 0.1 }
    }
}

/// How many residues of a sequence are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rounding {
    /// The share of those that the vocabulary knows, a fraction of a residue rounded up as often as it says; one at least.
    #[default]
    Chance,
    /// The share of all residues, fractions dropped and `most` at most: the rule of PLUS. None where they are too few.
    Down {
        /// The most that are asked for.
        most: usize,
    },
}

/// What takes the place of a residue that is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replacement {
    /// One of the 20 standard residues, evenly.
    #[default]
    Standard,
    /// One of the tokens from 1 to this one, evenly. PLUS drew from 1 to 21, where 21 is its mask.
    UpTo(u32),
}

/// Settings that were checked, with the tokens they work on.
#[derive(Debug, Clone)]
pub(crate) struct Masking {
    settings: MlmSettings,
    rounding: Rounding,
    replacement: Replacement,
    mask: u32,
    unknown: u32,
    /// Tokens of the standard residues.
    standard: [u32; 20],
}

impl Masking {
    pub(super) fn new(vocabulary: &Vocabulary, settings: MlmSettings) -> Result<Self, SettingError> {
        let MlmSettings { choose, mask, random } = settings;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let wanted = [
            ("choose", choose, share(choose) && choose > 0.0, "a number over 0 and at most 1"),
            ("mask", mask, share(mask), "a number from 0 to 1"),
            ("random", random, share(random), "a number from 0 to 1"),
            ("mask + random", mask + random, share(mask + random), "1 at most"),
        ];
        for (name, value, good, wanted) in wanted {
            if !good {
                return Err(SettingError::Sampler { name, found: value.to_string(), wanted });
            }
        }
        let standard = STANDARD_RESIDUES.map(|residue| vocabulary.token(residue));
        let (mask, unknown) = (vocabulary.mask, vocabulary.unknown);
        let (rounding, replacement) = (Rounding::default(), Replacement::default());
        Ok(Self { settings, rounding, replacement, mask, unknown, standard })
    }

    pub(super) fn with(self, rounding: Rounding, replacement: Replacement) -> Self {
        Self { rounding, replacement, ..self }
    }

    /// Hides residues of one sequence. Rounding by chance, none is hidden only where the vocabulary knows none of them.
    pub(crate) fn hide(&self, tokens: Tokens, random: &mut ChaCha8Rng) -> Masked {
        self.hide_some(tokens, None, random)
    }

    /// The same with so many residues asked for, as far as the vocabulary knows so many of them.
    pub(crate) fn hide_some(
        &self,
        mut tokens: Tokens,
        count: Option<usize>,
        random: &mut ChaCha8Rng,
    ) -> Masked {
        let Tokens { ids, residues } = &mut tokens;
        let mut places: Vec<usize> = residues.clone().filter(|&place| ids[place] != self.unknown).collect();
        let known = places.len();
        let chosen = match count {
            Some(count) => count.min(known),
            None => self.count(known, residues.len(), random),
        };
        random::draw(random, &mut places, chosen);
        places.truncate(chosen);
        places.sort_unstable();
        let mut targets = Vec::with_capacity(chosen);
        for &place in &places {
            targets.push(ids[place]);
            ids[place] = self.shown(ids[place], random);
        }
        Masked { tokens, places, targets }
    }

    /// How many of `known` residues among `all` are asked for.
    fn count(&self, known: usize, all: usize, random: &mut ChaCha8Rng) -> usize {
        match self.rounding {
            Rounding::Chance => {
                // Rounding up as often as the fraction says makes the mean exact.
                let rounded = (self.settings.choose * known as f64 + random::unit(random)) as usize;
                rounded.clamp(known.min(1), known)
            }
            Rounding::Down { most } => ((self.settings.choose * all as f64) as usize).min(most).min(known),
        }
    }

    /// How many residues of each member are asked for where two, of these lengths, stand in one chain of `tokens` tokens:
    /// those of all tokens are shared by length. `None` where each member has its own number.
    pub(crate) fn shares(&self, [first, second]: [usize; 2], tokens: usize) -> Option<[usize; 2]> {
        let Rounding::Down { most } = self.rounding else { return None };
        let all = ((self.settings.choose * tokens as f64) as usize).min(most);
        let own = all * first / (first + second).max(1);
        Some([own, all - own])
    }

    /// What the model sees in place of `token`.
    fn shown(&self, token: u32, random: &mut ChaCha8Rng) -> u32 {
        let MlmSettings { mask, random: other, .. } = self.settings;
        let fate = random::unit(random);
        if fate < mask {
            self.mask
        } else if fate < mask + other {
            match self.replacement {
                Replacement::Standard => self.standard[random::below(random, 20) as usize],
                Replacement::UpTo(last) => 1 + random::below(random, last),
            }
        } else {
            token
        }
    }
}
