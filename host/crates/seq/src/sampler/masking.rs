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

/// Settings that were checked, with the tokens they work on.
#[derive(Debug, Clone)]
pub(super) struct Masking {
    settings: MlmSettings,
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
        Ok(Self { settings, mask: vocabulary.mask, unknown: vocabulary.unknown, standard })
    }

    /// Hides residues of one sequence. None is hidden only where the vocabulary knows none of them.
    pub(super) fn hide(&self, mut tokens: Tokens, random: &mut ChaCha8Rng) -> Masked {
        let Tokens { ids, residues } = &mut tokens;
        let mut places: Vec<usize> = residues.clone().filter(|&place| ids[place] != self.unknown).collect();
        let known = places.len();
        // Rounding up as often as the fraction says makes the mean exact.
        let rounded = (self.settings.choose * known as f64 + random::unit(random)) as usize;
        let chosen = rounded.clamp(known.min(1), known);
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

    /// What the model sees in place of `token`.
    fn shown(&self, token: u32, random: &mut ChaCha8Rng) -> u32 {
        let MlmSettings { mask, random: other, .. } = self.settings;
        let fate = random::unit(random);
        if fate < mask {
            self.mask
        } else if fate < mask + other {
            self.standard[random::below(random, 20) as usize]
        } else {
            token
        }
    }
}
