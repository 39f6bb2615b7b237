//! What an entry is found by: everything that can change its numbers, and nothing else.

use std::fmt;

use crate::metadata::Metadata;

/// Names the form of what is hashed: another form must have another name.
const FORM: &str = "pliant cache key 1";

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// The name of an entry: BLAKE3 over facts and sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub(super) [u8; KEY_BYTES]);

impl Key {
    /// The key in a column, if it has the length of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The part of a key that the records of a run share.
#[derive(Debug, Clone)]
pub struct KeyBase {
    hasher: blake3::Hasher,
}

impl KeyBase {
    /// The base for `facts`: everything but the sequence that decides the numbers. Their canonical text is hashed
    /// with its length before it, so that no two pairs of facts and sequence run together.
    pub fn new(facts: &Metadata) -> Self {
        let text = facts.to_json();
        let mut hasher = blake3::Hasher::new_derive_key(FORM);
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        Self { hasher }
    }

    /// The key of the result of `sequence`, the letters of its residues.
    pub fn key(&self, sequence: &[u8]) -> Key {
        let mut hasher = self.hasher.clone();
        hasher.update(&(sequence.len() as u64).to_le_bytes()).update(sequence);
        Key(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_and_every_letter_is_in_the_key() {
        let facts = || Metadata::new().with("model", "m").with("layers", vec![6]).with("pool", "mean");
        let key = KeyBase::new(&facts()).key(b"MKV");
        assert_eq!(KeyBase::new(&facts()).key(b"MKV"), key);
        for other in [
            facts().with("model", "n"),
            facts().with("layers", vec![5]),
            facts().with("pool", serde_json::Value::Null),
            facts().with("new", serde_json::Value::Null),
        ] {
            assert_ne!(KeyBase::new(&other).key(b"MKV"), key, "{}", other.to_json());
        }
        for sequence in [&b"MKW"[..], b"MK", b"MKVV", b""] {
            assert_ne!(KeyBase::new(&facts()).key(sequence), key);
        }
    }

    #[test]
    fn the_form_of_keys_is_fixed() {
        // A change here loses every cache of every user: it must be meant.
        let key = KeyBase::new(&Metadata::new().with("model", "m")).key(b"MKV");
        assert_eq!(key.to_string(), "73b75cc8546e5fea4a39aa70978fd50b9aea860bc5f3c268e7620f3d900acce4");
    }
}
