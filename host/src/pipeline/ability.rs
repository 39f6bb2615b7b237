//! What a model can compute of a record, whatever the policy for long ones says.

use pliant_seq::{Cut, RecordError, Vocabulary};

/// What a model, and what is asked of it, can compute.
#[derive(Debug, Clone, Copy)]
pub struct Ability {
    /// How residues become tokens.
    pub vocabulary: &'static Vocabulary,
    /// The most residues that are computed together; `None` where there is no limit.
    pub longest: Option<usize>,
    /// Whether the likelihood of every residue is wanted.
    pub likelihoods: bool,
}

impl Ability {
    /// Why a record that is cut so cannot be computed, if it cannot.
    pub fn refusal(&self, residues: &[u8], cut: &Cut) -> Option<RecordError> {
        let (pieces, all) = match cut {
            Cut::Whole => (residues.len(), residues.len()),
            Cut::Beginning(beginning) => (beginning.len(), beginning.end),
            Cut::Windows(spans) => {
                (spans.iter().map(|span| span.residues.len()).max().unwrap_or(0), residues.len())
            }
            Cut::Refused | Cut::Skipped => return None,
        };
        if let Some(limit) = self.longest.filter(|limit| pieces > *limit) {
            return Some(RecordError::OverLimit { residues: pieces, limit });
        }
        if !self.likelihoods {
            return None;
        }
        let (place, letter) = self.vocabulary.untold(&residues[..all])?;
        Some(RecordError::Untold { letter: char::from(letter), position: place + 1 })
    }

    /// Whether an input with records of these `lengths` and these counts of letters may hold one that cannot be computed.
    pub fn may_refuse(&self, lengths: &[u32], letters: &[u64; 26]) -> bool {
        let long = self.longest.is_some_and(|limit| lengths.iter().any(|&length| length as usize > limit));
        let counted = || (b'A'..=b'Z').zip(letters).filter(|(_, count)| **count > 0);
        long || self.likelihoods && counted().any(|(letter, _)| self.vocabulary.untold(&[letter]).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_seq::{ESM2, PLUS, Windows};

    #[test]
    fn what_cannot_be_computed_is_refused_with_its_reason() {
        let ability = |vocabulary, longest, likelihoods| Ability { vocabulary, longest, likelihoods };
        let refused = |ability: Ability, text: &[u8], cut: Cut| {
            ability.refusal(text, &cut).map(|reason| reason.to_string()).unwrap_or_default()
        };
        let four = ability(&PLUS, Some(4), false);
        assert_eq!(refused(four, b"MKVX", Cut::Whole), "");
        assert!(
            refused(four, b"MKVLA", Cut::Whole)
                .contains("5 residues to be computed together, more than the 4")
        );
        assert_eq!(refused(four, b"MKVLA", Cut::Beginning(0..4)), "");
        assert_eq!(refused(four, b"MKVLA", Cut::Windows(Windows::new(4, 2).unwrap().over(5))), "");
        assert_ne!(refused(four, b"MKVLAT", Cut::Windows(Windows::new(5, 2).unwrap().over(6))), "");
        assert_eq!(refused(four, b"MKVLA", Cut::Skipped), "");
        let told = ability(&PLUS, None, true);
        assert!(refused(told, b"MUOXB", Cut::Whole).contains("the letter X at position 4"));
        assert_eq!(refused(told, b"MUOXB", Cut::Beginning(0..3)), "");
        assert_eq!(refused(ability(&PLUS, None, false), b"MX", Cut::Whole), "");
        assert_eq!(refused(ability(&ESM2, None, true), b"MXJ", Cut::Whole), "");
        let mut letters = [0; 26];
        letters[0] = 3;
        assert!(four.may_refuse(&[3, 5], &letters) && !four.may_refuse(&[4], &letters));
        assert!(!told.may_refuse(&[5000], &letters));
        letters[23] = 1;
        assert!(told.may_refuse(&[5], &letters));
    }
}
