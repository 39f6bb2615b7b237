//! Names of mutants, such as `A24G:K30R`.

use pliant_seq::Vocabulary;

/// The amino acids of a scan, in the order of its rows.
pub(super) const AMINO_ACIDS: &[u8; 20] = b"ACDEFGHIKLMNPQRSTVWY";

/// What is between the mutations of a mutant.
const SEPARATOR: char = ':';

/// One residue in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mutation {
    /// The place, from 0.
    pub(super) place: usize,
    /// The letter of the wild type.
    pub(super) wild: u8,
    /// The letter of the mutant.
    pub(super) mutated: u8,
}

impl Mutation {
    /// Its name, where the first residue has the number `offset`.
    pub(super) fn name(&self, offset: i64) -> String {
        format!("{}{}{}", char::from(self.wild), self.number(offset), char::from(self.mutated))
    }

    /// The number of its place, where that of the first is `offset`.
    pub(super) fn number(&self, offset: i64) -> i64 {
        offset.saturating_add_unsigned(self.place as u64)
    }
}

/// What is wrong with the name of a mutant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) found: String,
    pub(super) wanted: String,
    /// Whether it is about a place of the wild type.
    pub(super) place: bool,
}

impl Wrong {
    fn new(found: String, wanted: impl Into<String>) -> Self {
        Self { found, wanted: wanted.into(), place: false }
    }

    fn at_place(found: String, wanted: impl Into<String>) -> Self {
        Self { found, wanted: wanted.into(), place: true }
    }
}

/// What mutants are read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grammar {
    /// The number of the first residue.
    pub(super) offset: i64,
    /// The letters that the model knows.
    pub(super) vocabulary: &'static Vocabulary,
}

impl Grammar {
    /// The mutations of the mutant `text` of the protein `wild`, in the order of their places.
    ///
    /// # Errors
    /// What was found and what was wanted.
    pub(super) fn read(&self, text: &str, wild: &[u8]) -> Result<Vec<Mutation>, Wrong> {
        let names = text.trim().split(SEPARATOR);
        let mut mutations = names.map(|name| self.one(name, wild)).collect::<Result<Vec<_>, _>>()?;
        mutations.sort_by_key(|mutation| mutation.place);
        match mutations.array_windows().find(|[one, next]| one.place == next.place) {
            None => Ok(mutations),
            Some([one, next]) => {
                let (one, next) = (one.name(self.offset), next.name(self.offset));
                Err(Wrong::new(format!("{one} and {next} in one mutant"), "one mutation for each place"))
            }
        }
    }

    fn one(&self, name: &str, wild: &[u8]) -> Result<Mutation, Wrong> {
        let Some((from, number, to)) = parts(name) else {
            let found = if name.is_empty() { "nothing".to_owned() } else { format!("{name:?}") };
            return Err(Wrong::new(found, "mutations such as A24G, joined by ':'"));
        };
        let place = number
            .checked_sub(self.offset)
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| *place < wild.len());
        let Some(place) = place else {
            let last = self.offset.saturating_add_unsigned(wild.len() as u64).saturating_sub(1);
            let wanted = format!("a position from {} to {last}, as the wild type has them", self.offset);
            return Err(Wrong::at_place(format!("{name} at position {number}"), wanted));
        };
        if wild[place] != from {
            let (found, wanted) = (char::from(from), char::from(wild[place]));
            let wanted = format!("{wanted}, which the wild type has there");
            return Err(Wrong::at_place(format!("{found} at position {number} ({name})"), wanted));
        }
        if let Some((_, letter)) = self.vocabulary.untold(&[from]) {
            let found = format!("the letter {} of the wild type ({name})", char::from(letter));
            return Err(Wrong::at_place(found, "an amino acid that the model tells apart"));
        }
        if self.vocabulary.token(to) == self.vocabulary.unknown {
            let found = format!("the letter {} ({name})", char::from(to));
            return Err(Wrong::new(found, "an amino acid that the model knows"));
        }
        Ok(Mutation { place, wild: from, mutated: to })
    }
}

/// Letter, number and letter of one mutation.
fn parts(name: &str) -> Option<(u8, i64, u8)> {
    let (&from, rest) = name.as_bytes().split_first()?;
    let (&to, number) = rest.split_last()?;
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let well = from.is_ascii_uppercase()
        && to.is_ascii_uppercase()
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    well.then_some((from, number, to))
}

/// Every single mutant of a protein, place by place.
pub(super) fn scan(wild: &[u8]) -> Vec<Mutation> {
    let at = |(place, &wild): (usize, &u8)| {
        let others = AMINO_ACIDS.iter().filter(move |&&letter| letter != wild);
        others.map(move |&mutated| Mutation { place, wild, mutated })
    };
    wild.iter().enumerate().flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_seq::ESM2;

    fn read(text: &str, offset: i64) -> Result<Vec<Mutation>, String> {
        let read = Grammar { offset, vocabulary: &ESM2 }.read(text, b"MKVA");
        read.map_err(|wrong| format!("found {}, wanted {}", wrong.found, wrong.wanted))
    }

    #[test]
    fn mutants_are_read_in_the_order_of_their_places() {
        let mutation = |place, wild, mutated| Mutation { place, wild, mutated };
        assert_eq!(read("M1A", 1), Ok(vec![mutation(0, b'M', b'A')]));
        assert_eq!(read(" A4G:K2R ", 1), Ok(vec![mutation(1, b'K', b'R'), mutation(3, b'A', b'G')]));
        assert_eq!(read("M24A", 24), Ok(vec![mutation(0, b'M', b'A')]));
        assert_eq!(read("M-2A:A1G", -2), Ok(vec![mutation(0, b'M', b'A'), mutation(3, b'A', b'G')]));
        assert_eq!(read("M0M", 0), Ok(vec![mutation(0, b'M', b'M')]), "the wild type itself");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, wanted) in [
            ("", "found nothing, wanted mutations such as A24G"),
            ("M1A:", "found nothing"),
            ("M1=", "found \"M1=\""),
            ("m1a", "found \"m1a\""),
            ("MA", "found \"MA\""),
            ("M1", "found \"M1\""),
            ("M+1A", "found \"M+1A\""),
            ("M99999999999999999999A", "wanted mutations"),
            ("é1A", "found \"é1A\""),
            ("p.Met1Ala", "wanted mutations"),
            ("M1A;K2R", "found \"M1A;K2R\""),
            ("A5G", "found A5G at position 5, wanted a position from 1 to 4"),
            ("M0A", "at position 0"),
            ("M-9223372036854775808A", "wanted a position"),
            ("V2A", "found V at position 2 (V2A), wanted K"),
            ("M1J", "found the letter J (M1J), wanted an amino acid that the model knows"),
            ("M1A:M1C", "found M1A and M1C in one mutant"),
        ] {
            let found = read(text, 1).unwrap_err();
            assert!(found.contains(wanted), "{text}: {found}");
        }
    }

    #[test]
    fn a_scan_has_nineteen_mutants_for_each_place() {
        let found = scan(b"MX");
        assert_eq!(found.len(), 19 + 20);
        assert_eq!(found[0].name(1), "M1A");
        assert_eq!(found[18].name(10), "M10Y");
        assert!(found.iter().all(|mutation| mutation.wild != mutation.mutated));
    }
}
