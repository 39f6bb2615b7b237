//! From a FASTA header to an id.

use crate::error::RecordError;

/// The longest id, in bytes. Anything longer is a header gone wrong, and result formats have limits of their
/// own.
pub const MAX_ID_BYTES: usize = 1024;

/// How much of an unusable id is shown in a message, in characters.
const SHOWN_CHARS: usize = 80;

/// Which part of the header line is the id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdStyle {
    /// The first word: `>sp|P12345|NAME_ECOLI text` gives `sp|P12345|NAME_ECOLI`.
    #[default]
    Word,
    /// The accession of `sp|P12345|NAME` and `tr|…|…`, here `P12345`; of anything else the first word.
    Uniprot,
    /// The whole line without the blanks around it.
    Full,
}

impl IdStyle {
    /// The id in a header. `header` is the line after `>` without leading and trailing blanks;
    /// `cut` says that it goes on after what is given.
    ///
    /// # Errors
    /// [`RecordError`] when there is no id, or it is too long, not UTF-8 or holds control characters.
    pub(crate) fn choose(self, header: &[u8], cut: bool) -> Result<&str, RecordError> {
        let word_end = header.iter().position(u8::is_ascii_whitespace);
        let word = &header[..word_end.unwrap_or(header.len())];
        let (id, id_cut) = match self {
            Self::Full => (header, cut),
            Self::Word => (word, cut && word_end.is_none()),
            Self::Uniprot => match accession(word) {
                Some(accession) => (accession, false),
                None => (word, cut && word_end.is_none()),
            },
        };
        check(id, id_cut)
    }
}

fn check(id: &[u8], cut: bool) -> Result<&str, RecordError> {
    if id.is_empty() {
        return Err(RecordError::NoId);
    }
    if cut || id.len() > MAX_ID_BYTES {
        return Err(RecordError::IdTooLong { limit: MAX_ID_BYTES });
    }
    if let Some(&byte) = id.iter().find(|byte| byte.is_ascii_control()) {
        return Err(RecordError::IdControl { byte });
    }
    std::str::from_utf8(id).map_err(|_| RecordError::IdNotText)
}

/// The middle part of `sp|P12345|NAME` or `tr|P12345|NAME`.
fn accession(word: &[u8]) -> Option<&[u8]> {
    let mut parts = word.split(|&byte| byte == b'|');
    let database = parts.next()?;
    let accession = parts.next()?;
    parts.next()?;
    (matches!(database, b"sp" | b"tr") && !accession.is_empty()).then_some(accession)
}

/// An id for messages, whatever the header holds: its first word, made printable and short.
pub(crate) fn shown(header: &[u8]) -> String {
    let word = header.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let text = String::from_utf8_lossy(word);
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_takes_its_part() {
        let header = b"sp|P0A7G6|RECA_ECOLI Protein RecA  OS=E. coli";
        assert_eq!(IdStyle::Word.choose(header, false), Ok("sp|P0A7G6|RECA_ECOLI"));
        assert_eq!(IdStyle::Uniprot.choose(header, false), Ok("P0A7G6"));
        assert_eq!(IdStyle::Full.choose(header, false), Ok("sp|P0A7G6|RECA_ECOLI Protein RecA  OS=E. coli"));
    }

    #[test]
    fn uniprot_falls_back_to_the_word() {
        for header in ["P12345 x", "sp||NAME", "sp|P12345", "gi|123|ref", "UniRef50_P1", "|a|b"] {
            let word = IdStyle::Word.choose(header.as_bytes(), false);
            assert_eq!(IdStyle::Uniprot.choose(header.as_bytes(), false), word, "{header}");
        }
        assert_eq!(IdStyle::Uniprot.choose(b"tr|A0A1-2|N|more", false), Ok("A0A1-2"));
    }

    #[test]
    fn the_limit_counts_bytes_of_the_chosen_part() {
        let exact = "a".repeat(MAX_ID_BYTES);
        let over = "a".repeat(MAX_ID_BYTES + 1);
        let too_long = Err(RecordError::IdTooLong { limit: MAX_ID_BYTES });
        assert_eq!(IdStyle::Word.choose(exact.as_bytes(), false), Ok(exact.as_str()));
        assert_eq!(IdStyle::Word.choose(exact.as_bytes(), true), too_long);
        assert_eq!(IdStyle::Word.choose(over.as_bytes(), false), too_long);
        let described = format!("x {over}");
        assert_eq!(IdStyle::Word.choose(described.as_bytes(), true), Ok("x"));
        assert_eq!(IdStyle::Full.choose(described.as_bytes(), false), too_long);
        let named = format!("sp|P1|{over}");
        assert_eq!(IdStyle::Uniprot.choose(named.as_bytes(), true), Ok("P1"));
    }

    #[test]
    fn ids_that_tables_cannot_carry_are_refused() {
        assert_eq!(IdStyle::Word.choose(b"a\0b", false), Err(RecordError::IdControl { byte: 0 }));
        assert_eq!(IdStyle::Full.choose(b"a\tb", false), Err(RecordError::IdControl { byte: b'\t' }));
        assert_eq!(IdStyle::Word.choose(b"a\xff", false), Err(RecordError::IdNotText));
        assert_eq!(IdStyle::Word.choose(b"", false), Err(RecordError::NoId));
        // A description in another encoding does not spoil the id.
        assert_eq!(IdStyle::Word.choose(b"a caf\xe9", false), Ok("a"));
        assert_eq!(IdStyle::Word.choose("β-lactamase x".as_bytes(), false), Ok("β-lactamase"));
    }

    #[test]
    fn shown_ids_are_printable_and_short() {
        assert_eq!(shown(b"a\0b rest"), "a\\u{0}b");
        assert_eq!(shown(&[b'x'; 500]).chars().count(), SHOWN_CHARS + 1);
        assert_eq!(shown(b""), "");
    }
}
