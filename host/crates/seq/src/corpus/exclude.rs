//! Sequences to leave out of training, by the hash of each.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use sha2::{Digest, Sha256};

use crate::error::InputError;
use crate::input::{Progress, Source, read_error};
use crate::letters;

/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// Bytes of a line that are held at most: a hash with blanks around it.
const LINE_BYTES: u64 = 256;

/// SHA-256 hashes of sequences: of the upper-case letters without gaps and without a stop at the end. The sequences
/// themselves need not be known, so that a list can tell what resembles a test set without giving it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExcludeList {
    hashes: HashSet<[u8; 32]>,
}

impl ExcludeList {
    /// The hashes of several files together: one a line, 64 hexadecimal digits of either case, blank lines between
    /// them as may be. Compressed files are read as FASTA is. Holds about 50 bytes for each hash.
    ///
    /// # Errors
    /// [`InputError::NotHash`] at the first line that is something else, [`InputError::NoHashes`] for a file without
    /// any, and what [`Source::open`] says.
    pub fn read(sources: &[Source]) -> Result<Self, InputError> {
        let mut list = Self::default();
        for source in sources {
            list.add(source)?;
        }
        Ok(list)
    }

    /// Number of hashes, each counted once.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether nothing is excluded.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether the sequence of these upper-case residues `[L]` is on the list.
    pub fn holds(&self, residues: &[u8]) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&<[u8; 32]>::from(Sha256::digest(residues)))
    }

    fn add(&mut self, source: &Source) -> Result<(), InputError> {
        let mut text = source.open(&Progress::default())?;
        let (mut line, mut number, mut found) = (Vec::new(), 0, false);
        loop {
            number += 1;
            line.clear();
            // One byte more than a line may have, so that a longer one is seen to be longer.
            let read = text.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut line);
            if read.map_err(|error| read_error(source.name(), number, error))? == 0 {
                break;
            }
            let text = line.trim_ascii();
            if text.is_empty() && line.len() as u64 <= LINE_BYTES {
                continue;
            }
            let hash = parsed(text).map_err(|found| InputError::NotHash {
                file: source.name().clone(),
                line: number,
                found,
            })?;
            found = true;
            self.hashes.insert(hash);
        }
        match found {
            true => Ok(()),
            false => Err(InputError::NoHashes { file: source.name().clone() }),
        }
    }
}

/// The hash that a line holds, or what it holds instead.
fn parsed(text: &[u8]) -> Result<[u8; 32], String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if let Some(at) = text.iter().take(DIGITS).position(|&byte| digit(byte).is_none()) {
        return Err(format!("{} at place {}", letters::shown(&text[at..]), at + 1));
    }
    if text.len() > DIGITS {
        return Err(format!("more than {DIGITS} characters"));
    }
    if text.len() < DIGITS {
        return Err(format!("{} digits", text.len()));
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, &letter| byte << 4 | digit(letter).unwrap_or_default());
    }
    Ok(hash)
}
