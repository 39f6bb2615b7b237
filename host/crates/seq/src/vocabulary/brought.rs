//! Vocabularies that models bring themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Vocabulary, letters_of};
use crate::error::SettingError;

/// The tokens of a model, and what some of them are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenList<'a> {
    /// `[V]` tokens by id; a capital letter alone stands for the residue.
    pub tokens: &'a [String],
    /// Put before the residues.
    pub start: Option<&'a str>,
    /// Put after the residues.
    pub end: Option<&'a str>,
    /// Stands for a letter without a token.
    pub unknown: &'a str,
    /// Stands for a hidden residue; where there is none, the unknown token does.
    pub mask: Option<&'a str>,
    /// Letters that are read as another.
    pub read_as: BTreeMap<&'a str, &'a str>,
    /// Whether the start token speaks for the whole sequence.
    pub cls: bool,
}

impl Vocabulary {
    /// The vocabulary of a list of tokens. Its identity follows from all that the list says. What is made stays until the
    /// program ends, as those that are built in do.
    ///
    /// # Errors
    /// [`SettingError::Tokens`] for a list with a token twice, without the tokens that it names, or without any residue.
    pub fn brought(list: &TokenList<'_>) -> Result<&'static Self, SettingError> {
        let refuse = |found: String, wanted| SettingError::Tokens { found, wanted };
        let mut seen = BTreeSet::new();
        if let Some(twice) = list.tokens.iter().find(|token| !seen.insert(token.as_str())) {
            return Err(refuse(format!("the token {twice:?} twice"), "each token once"));
        }
        let id = |token: &str| {
            let place = list.tokens.iter().position(|other| other == token);
            place
                .map(|place| place as u32)
                .ok_or_else(|| refuse(format!("no token {token:?}"), "the tokens that are named"))
        };
        let unknown = id(list.unknown)?;
        let [start, end, mask] = [list.start, list.end, list.mask].map(|token| token.map(id).transpose());
        let tokens: Vec<&'static str> =
            list.tokens.iter().map(|token| &*Box::leak(token.clone().into_boxed_str())).collect();
        let mut letters = letters_of(&tokens, unknown);
        for (&letter, &other) in &list.read_as {
            match (letter.as_bytes(), other.as_bytes()) {
                ([letter @ b'A'..=b'Z'], [other @ b'A'..=b'Z']) => {
                    letters[usize::from(letter - b'A')] = letters[usize::from(other - b'A')];
                }
                _ => return Err(refuse(format!("{letter:?} read as {other:?}"), "two capital letters")),
            }
        }
        if letters.iter().all(|&token| token == unknown) {
            return Err(refuse("no token of a residue".to_owned(), "capital letters among the tokens"));
        }
        let told = tokens.len();
        let hash = blake3::hash(format!("{list:?}").as_bytes()).to_hex();
        let identity = format!("brought-{told}/{}", &hash[..32]);
        Ok(Box::leak(Box::new(Self {
            identity: Box::leak(identity.into_boxed_str()),
            tokens: Box::leak(tokens.into_boxed_slice()),
            letters,
            start: start?,
            end: end?,
            padding: unknown,
            unknown,
            mask: mask?.unwrap_or(unknown),
            cls: list.cls,
            told,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_a_vocabulary() {
        let tokens = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "M", "K", "V"].map(str::to_owned);
        let read_as = BTreeMap::from([("L", "V")]);
        let (start, end, unknown) = (Some("[CLS]"), Some("[SEP]"), "[UNK]");
        let list = TokenList { tokens: &tokens, start, end, unknown, mask: None, read_as, cls: true };
        let vocabulary = Vocabulary::brought(&list).unwrap();
        assert_eq!(vocabulary.encode(b"MKLA").ids, [1, 4, 5, 6, 3, 2]);
        assert_eq!((vocabulary.told, vocabulary.mask, vocabulary.cls), (7, 3, true));
        assert_eq!(Vocabulary::brought(&list).unwrap().identity, vocabulary.identity);
        let other = TokenList { end: None, ..list.clone() };
        assert_ne!(Vocabulary::brought(&other).unwrap().identity, vocabulary.identity);
        let refused = |list: TokenList<'_>| Vocabulary::brought(&list).unwrap_err().to_string();
        assert!(refused(TokenList { unknown: "X", ..list.clone() }).contains("no token \"X\""));
        assert!(
            refused(TokenList { tokens: &tokens[..4], ..list.clone() }).contains("no token of a residue")
        );
        let twice = ["[UNK]", "M", "M", "[CLS]", "[SEP]"].map(str::to_owned);
        assert!(refused(TokenList { tokens: &twice, ..list.clone() }).contains("the token \"M\" twice"));
        assert!(
            refused(TokenList { read_as: BTreeMap::from([("LL", "V")]), ..list })
                .contains("two capital letters")
        );
    }
}
