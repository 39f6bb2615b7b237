//! Residues to token ids. One table per vocabulary; a model names the table it was trained with.

use std::ops::Range;

use crate::error::SettingError;

mod brought;

pub use brought::TokenList;

/// A model's tokens: a table, nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// Name and version, for provenance and cache keys. Changes whenever any token of any residue changes.
    pub identity: &'static str,
    /// `[V]` tokens by id.
    pub tokens: &'static [&'static str],
    /// `[26]` token of each letter `A..=Z`.
    letters: [u32; 26],
    /// Put before the residues.
    pub start: Option<u32>,
    /// Put after the residues.
    pub end: Option<u32>,
    /// Stands for nothing, in padded exchange formats alone.
    pub padding: u32,
    /// Stands for a residue that the table does not know, one token for each.
    pub unknown: u32,
    /// Stands for a hidden residue.
    pub mask: u32,
    /// Whether the start token speaks for the whole sequence.
    pub cls: bool,
    /// How many tokens a language model tells: the first so many.
    pub told: usize,
}

/// The 20 standard residues, in the order of the ESM-2 vocabulary.
pub const STANDARD_RESIDUES: &[u8; 20] = b"LAGVSERTIDPKQNFYMHWC";

const ESM2_TOKENS: [&str; 33] = [
    "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K", "Q", "N",
    "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-", "<null_1>", "<mask>",
];

/// ESM-2 (and ESM-1b): 33 tokens, the alphabet of fair-esm 2.0.0. J is unknown to it.
pub static ESM2: Vocabulary = Vocabulary {
    identity: "esm2-33/1",
    tokens: &ESM2_TOKENS,
    letters: letters_of(&ESM2_TOKENS, 3),
    start: Some(0),
    end: Some(2),
    padding: 1,
    unknown: 3,
    mask: 32,
    cls: true,
    told: ESM2_TOKENS.len(),
};

const PLUS_TOKENS: [&str; 22] = [
    "<end>", "A", "R", "N", "D", "C", "Q", "E", "G", "H", "I", "L", "K", "M", "F", "P", "S", "T", "W", "Y",
    "V", "X",
];

const PLUS_LETTERS: [u32; 26] = with_alias(with_alias(letters_of(&PLUS_TOKENS, 21), b'U', b'C'), b'O', b'K');

/// The recurrent models of PLUS: 22 tokens, the alphabet of mswzeus/PLUS `plus/data/alphabets.py`. Selenocysteine is read as
/// cysteine and pyrrolysine as lysine; X is the mask too, and whatever else is no standard residue is X. Both ends of a
/// sequence are the token 0. No language model tells X.
pub static PLUS: Vocabulary = Vocabulary {
    identity: "plus-22/1",
    tokens: &PLUS_TOKENS,
    letters: PLUS_LETTERS,
    start: Some(0),
    end: Some(0),
    padding: 0,
    unknown: 21,
    mask: 21,
    cls: false,
    told: 21,
};

const PLUS_TFM_TOKENS: [&str; 25] = [
    "<pad>", "A", "R", "N", "D", "C", "Q", "E", "G", "H", "I", "L", "K", "M", "F", "P", "S", "T", "W", "Y",
    "V", "X", "<mask>", "<cls>", "<sep>",
];

/// PLUS-TFM: the same letters with tokens of its own for the mask and the ends.
pub static PLUS_TFM: Vocabulary = Vocabulary {
    identity: "plus-tfm-25/1",
    tokens: &PLUS_TFM_TOKENS,
    letters: PLUS_LETTERS,
    start: Some(23),
    end: Some(24),
    padding: 0,
    unknown: 21,
    mask: 22,
    cls: true,
    told: PLUS_TFM_TOKENS.len(),
};

/// Every vocabulary that a model may name.
pub static VOCABULARIES: [&Vocabulary; 3] = [&ESM2, &PLUS, &PLUS_TFM];

/// The token of each letter where tokens of one letter stand for themselves.
const fn letters_of(tokens: &[&str], unknown: u32) -> [u32; 26] {
    let mut letters = [unknown; 26];
    let mut token = 0;
    while token < tokens.len() {
        let bytes = tokens[token].as_bytes();
        if bytes.len() == 1 && bytes[0].is_ascii_uppercase() {
            letters[(bytes[0] - b'A') as usize] = token as u32;
        }
        token += 1;
    }
    letters
}

/// The same with `letter` read as `other`.
const fn with_alias(mut letters: [u32; 26], letter: u8, other: u8) -> [u32; 26] {
    letters[(letter - b'A') as usize] = letters[(other - b'A') as usize];
    letters
}

/// The tokens of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// `[T]` token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Where the residues stand in `ids`: residue 0 is `residues.start`.
    pub residues: Range<usize>,
}

impl Vocabulary {
    /// The token of one residue letter of either case; the unknown token for any other byte.
    pub fn token(&self, residue: u8) -> u32 {
        let letter = residue.to_ascii_uppercase().wrapping_sub(b'A');
        self.letters.get(usize::from(letter)).copied().unwrap_or(self.unknown)
    }

    /// Whether the vocabulary has a token of its own for this residue letter.
    pub fn knows(&self, residue: u8) -> bool {
        self.token(residue) != self.unknown
    }

    /// The letter of the first residue, counted from 0, that a language model does not tell, with its place.
    pub fn untold(&self, residues: &[u8]) -> Option<(usize, u8)> {
        let untold = |&(_, residue): &(usize, u8)| self.token(residue) as usize >= self.told;
        residues.iter().copied().enumerate().find(untold)
    }

    /// The list of tokens of a model folder, one a line.
    pub fn text(&self) -> String {
        self.tokens.join("\n") + "\n"
    }

    /// The tokens of `residues` `[L]`: one for each residue, between the start and the end token.
    pub fn encode(&self, residues: &[u8]) -> Tokens {
        let mut ids = Vec::with_capacity(self.tokens_for(residues.len()));
        ids.extend(self.start);
        let first = ids.len();
        ids.extend(residues.iter().map(|&residue| self.token(residue)));
        let residues = first..ids.len();
        ids.extend(self.end);
        Tokens { ids, residues }
    }

    /// Tokens of a sequence of `residues` residues.
    pub fn tokens_for(&self, residues: usize) -> usize {
        residues + usize::from(self.start.is_some()) + usize::from(self.end.is_some())
    }

    /// The letters that this vocabulary does not know among `letters` (counts of `A..=Z`), with their counts:
    /// each of them becomes the unknown token, which deserves a warning.
    pub fn unknown_letters(&self, letters: &[u64; 26]) -> Vec<(char, u64)> {
        let counted = (b'A'..=b'Z').zip(letters).zip(&self.letters);
        counted
            .filter(|((_, count), token)| **count > 0 && **token == self.unknown)
            .map(|((letter, count), _)| (char::from(letter), *count))
            .collect()
    }

    /// Entropy of the tokens of letters that come as often as `letters` (counts of `A..=Z`) says, in nats; 0 of none.
    pub fn entropy(&self, letters: &[u64; 26]) -> f64 {
        let mut tokens = vec![0u64; self.tokens.len()];
        for (&token, &count) in self.letters.iter().zip(letters) {
            if let Some(sum) = tokens.get_mut(token as usize) {
                *sum += count;
            }
        }
        let all = letters.iter().sum::<u64>() as f64;
        let shares = tokens.iter().filter(|&&count| count > 0).map(|&count| count as f64 / all);
        shares.map(|share| -share * libm::log(share)).sum()
    }

    /// Checks that `vocab_txt`, a model folder's list of tokens (one a line), holds this vocabulary.
    ///
    /// # Errors
    /// [`SettingError`] naming the first token that differs.
    pub fn check(&self, vocab_txt: &str) -> Result<(), SettingError> {
        let found: Vec<&str> = vocab_txt.lines().map(str::trim_end).collect();
        let listed = found.iter().rposition(|token| !token.is_empty()).map_or(0, |last| last + 1);
        let found = &found[..listed];
        for (token, (&found, &wanted)) in found.iter().zip(self.tokens).enumerate() {
            if found != wanted {
                let (vocabulary, line) = (self.identity, token + 1);
                return Err(SettingError::Token { vocabulary, line, token, found: found.to_owned(), wanted });
            }
        }
        if found.len() != self.tokens.len() {
            let (vocabulary, wanted) = (self.identity, self.tokens.len());
            let token = found.len().min(wanted);
            return Err(SettingError::TokenCount { vocabulary, found: found.len(), wanted, token });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_the_token_of_fair_esm() {
        let wanted: [(u8, u32); 26] = [
            (b'A', 5),
            (b'B', 25),
            (b'C', 23),
            (b'D', 13),
            (b'E', 9),
            (b'F', 18),
            (b'G', 6),
            (b'H', 21),
            (b'I', 12),
            (b'J', 3),
            (b'K', 15),
            (b'L', 4),
            (b'M', 20),
            (b'N', 17),
            (b'O', 28),
            (b'P', 14),
            (b'Q', 16),
            (b'R', 10),
            (b'S', 8),
            (b'T', 11),
            (b'U', 26),
            (b'V', 7),
            (b'W', 22),
            (b'X', 24),
            (b'Y', 19),
            (b'Z', 27),
        ];
        for (letter, token) in wanted {
            assert_eq!(ESM2.token(letter), token, "{}", char::from(letter));
            assert_eq!(ESM2.token(letter.to_ascii_lowercase()), token);
        }
        for byte in [b'*', b'-', b'.', b'<', 0, 255] {
            assert_eq!(ESM2.token(byte), ESM2.unknown);
        }
    }

    /// The table of mswzeus/PLUS: letters in its order, then those that share the token of another.
    #[test]
    fn every_letter_has_the_token_of_plus() {
        for vocabulary in [&PLUS, &PLUS_TFM] {
            for (place, &letter) in b"ARNDCQEGHILKMFPSTWYV".iter().enumerate() {
                assert_eq!(vocabulary.token(letter), place as u32 + 1, "{}", char::from(letter));
                assert_eq!(vocabulary.token(letter.to_ascii_lowercase()), place as u32 + 1);
                assert_eq!(vocabulary.tokens[place + 1].as_bytes(), [letter]);
                assert!(vocabulary.knows(letter));
            }
            assert_eq!((vocabulary.token(b'U'), vocabulary.token(b'O')), (5, 12));
            for letter in [b'X', b'B', b'Z', b'J', b'*', b'-', 0, 255] {
                assert_eq!((vocabulary.token(letter), vocabulary.knows(letter)), (21, false));
            }
        }
        assert_eq!(PLUS.encode(b"MKX").ids, [0, 13, 12, 21, 0]);
        assert_eq!(PLUS_TFM.encode(b"MKX").ids, [23, 13, 12, 21, 24]);
        assert_eq!(PLUS.untold(b"MUKXB"), Some((3, b'X')));
        assert_eq!((PLUS.untold(b"MUKO"), PLUS_TFM.untold(b"MX"), ESM2.untold(b"MJ")), (None, None, None));
    }

    #[test]
    fn special_tokens_stand_where_the_table_says() {
        for (token, text) in [(0, "<cls>"), (1, "<pad>"), (2, "<eos>"), (3, "<unk>"), (32, "<mask>")] {
            assert_eq!(ESM2.tokens[token], text);
        }
        assert_eq!((ESM2.start, ESM2.end), (Some(0), Some(2)));
        assert_eq!((ESM2.padding, ESM2.unknown, ESM2.mask), (1, 3, 32));
    }

    #[test]
    fn unknown_residues_keep_their_places() {
        let tokens = ESM2.encode(b"AJJKA");
        assert_eq!(tokens.ids, [0, 5, 3, 3, 15, 5, 2]);
        assert_eq!(tokens.residues, 1..6);
        assert_eq!(tokens.ids.len(), ESM2.tokens_for(5));
        assert_eq!(ESM2.encode(b"").ids, [0, 2]);
    }

    #[test]
    fn only_letters_without_a_token_are_warned_of() {
        let mut letters = [1u64; 26];
        letters[9] = 7;
        assert_eq!(ESM2.unknown_letters(&letters), [('J', 7)]);
        letters[9] = 0;
        assert_eq!(ESM2.unknown_letters(&letters), []);
    }

    #[test]
    fn a_vocabulary_file_is_compared_token_by_token() {
        let text = ESM2_TOKENS.join("\n");
        assert_eq!(ESM2.check(&text), Ok(()));
        assert_eq!(ESM2.check(&(text.clone() + "\n")), Ok(()));
        assert_eq!(ESM2.check(&text.replace('\n', "\r\n")), Ok(()));
        let swapped = text.replace("\nL\nA\n", "\nA\nL\n");
        let error = ESM2.check(&swapped).unwrap_err().to_string();
        assert!(error.contains("line 5 holds 'A', but token 4 is 'L'"), "{error}");
        let longer = text.clone() + "\nJ\n";
        let error = ESM2.check(&longer).unwrap_err().to_string();
        assert!(error.contains("found 34 tokens, wanted 33"), "{error}");
        let shorter = text.replace("\n<mask>", "");
        assert!(matches!(ESM2.check(&shorter), Err(SettingError::TokenCount { token: 32, .. })));
        assert!(matches!(ESM2.check(""), Err(SettingError::TokenCount { found: 0, .. })));
    }
}
