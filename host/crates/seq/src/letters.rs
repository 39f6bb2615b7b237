//! What each byte of a sequence line means.

use bio::alphabets::protein;

/// Letters in use for proteins beside the IUPAC alphabet of `bio`: J (leucine or isoleucine), O (pyrrolysine)
/// and U (selenocysteine). What they become is the vocabulary's matter.
const MORE_LETTERS: &[u8] = b"JOUjou";

/// The meaning of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A residue letter of either case.
    Letter,
    /// `-` or `.`: removed and counted.
    Gap,
    /// `*`: dropped as the last character, wrong anywhere else.
    Stop,
    /// A blank inside a line: skipped.
    Blank,
    /// The end of a line.
    LineEnd,
    /// Nothing that belongs in a sequence.
    Other,
}

/// The class of every byte.
#[derive(Debug, Clone)]
pub(crate) struct Letters([Class; 256]);

impl Letters {
    /// The table for proteins: the IUPAC alphabet of `bio` with J, O and U.
    pub(crate) fn proteins() -> Self {
        let mut alphabet = protein::iupac_alphabet();
        for &letter in MORE_LETTERS {
            alphabet.insert(letter);
        }
        let mut classes = [Class::Other; 256];
        for (byte, class) in (0u8..=255).zip(&mut classes) {
            *class = match byte {
                b'-' | b'.' => Class::Gap,
                b'*' => Class::Stop,
                b' ' | b'\t' | 0x0b | 0x0c => Class::Blank,
                b'\n' | b'\r' => Class::LineEnd,
                _ if alphabet.is_word([byte]) => Class::Letter,
                _ => Class::Other,
            };
        }
        Self(classes)
    }

    /// The class of `byte`.
    pub(crate) fn class(&self, byte: u8) -> Class {
        self.0[usize::from(byte)]
    }
}

/// A byte sequence's first character for a message: quoted where it can be shown, else its byte value.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.chars().next() {
        Some(letter) if letter != char::REPLACEMENT_CHARACTER && !letter.is_control() => {
            format!("'{letter}'")
        }
        _ => format!("byte 0x{:02x}", bytes.first().copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_ascii_letters_are_residues() {
        let letters = Letters::proteins();
        for byte in 0u8..=255 {
            assert_eq!(letters.class(byte) == Class::Letter, byte.is_ascii_alphabetic(), "byte {byte}");
        }
    }

    #[test]
    fn characters_are_shown_or_numbered() {
        assert_eq!(shown(b"@"), "'@'");
        assert_eq!(shown("é".as_bytes()), "'é'");
        assert_eq!(shown(&[0xc3]), "byte 0xc3");
        assert_eq!(shown(&[0]), "byte 0x00");
    }
}
