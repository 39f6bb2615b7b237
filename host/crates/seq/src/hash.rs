//! The name of an input, made of its records alone.

/// Names the way records enter the hash; changes when that way changes.
const DOMAIN: &[u8] = b"pliant input records 1\n";

/// BLAKE3 over ids and residues of records, in order, each with its length before it.
#[derive(Debug, Clone)]
pub struct InputHasher(blake3::Hasher);

impl InputHasher {
    /// The hash of no records.
    pub fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        Self(hasher)
    }

    /// Adds the next record: its id and its upper-case residues `[L]`.
    pub fn push(&mut self, id: &str, residues: &[u8]) {
        for part in [id.as_bytes(), residues] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The hash of the records so far: 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Default for InputHasher {
    fn default() -> Self {
        Self::new()
    }
}
