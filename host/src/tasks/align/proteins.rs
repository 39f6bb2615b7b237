//! The two proteins of a pair.

use std::path::PathBuf;

use pliant_seq::{Failure, Item, ReadOptions, Record, RecordReader, Source};

use super::error::AlignError;

/// A protein.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Protein {
    pub(super) id: String,
    /// Upper-case letters.
    pub(super) residues: Vec<u8>,
}

/// Two proteins, and where they are.
pub(super) struct Pair {
    pub(super) sources: Vec<Source>,
    pub(super) a: Protein,
    pub(super) b: Protein,
}

impl Pair {
    /// Reads two inputs of one record each, or one of two.
    ///
    /// # Errors
    /// [`AlignError::Count`], [`AlignError::Record`], and an input that cannot be read.
    pub(super) fn read(inputs: &[PathBuf]) -> anyhow::Result<Self> {
        let sources = Source::from_arguments(inputs)?;
        let wanted = if sources.len() == 1 { 2 } else { 1 };
        let mut proteins = Vec::new();
        for source in &sources {
            let before = proteins.len();
            let records = RecordReader::new(std::slice::from_ref(source), ReadOptions::default());
            for item in records {
                proteins.push(match item? {
                    Item::Record(Record { id, residues, .. }) => Protein { id, residues },
                    // The one before it in this input.
                    Item::Duplicate(_) => proteins.last().cloned().unwrap_or_default(),
                    Item::Failure(failure) => return Err(refused(failure).into()),
                });
            }
            let found = (proteins.len() - before) as u64;
            if found != wanted {
                return Err(AlignError::Count { file: source.name().to_string(), found, wanted }.into());
            }
        }
        let b = proteins.pop().unwrap_or_default();
        Ok(Self { sources, a: proteins.pop().unwrap_or_default(), b })
    }

    /// Pairs of a residue of each.
    pub(super) fn residue_pairs(&self) -> u64 {
        self.a.residues.len() as u64 * self.b.residues.len() as u64
    }
}

fn refused(failure: Failure) -> AlignError {
    let Failure { file, line, id, reason, .. } = failure;
    AlignError::Record { file: file.to_string(), line, id, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Result<Pair, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |(number, text): (usize, &&str)| {
            let path = folder.path().join(format!("{number}.fasta"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let inputs: Vec<PathBuf> = files.iter().enumerate().map(write).collect();
        Pair::read(&inputs).map_err(|error| {
            let text = error.to_string();
            text.replace(folder.path().to_str().unwrap(), "")
        })
    }

    #[test]
    fn a_pair_is_two_records_wherever_they_are() {
        for files in [&[">a x\nMKV\n>b\nGL\n"][..], &[">a\nmkv\n", ">b\nGL*\n"]] {
            let pair = read(files).unwrap();
            assert_eq!((&*pair.a.id, &*pair.a.residues, &*pair.b.id), ("a", &b"MKV"[..], "b"));
            assert_eq!((pair.b.residues.as_slice(), pair.residue_pairs()), (&b"GL"[..], 6));
        }
        let twin = read(&[">a\nMKV\n>a\nMKV\n"]).unwrap();
        assert_eq!((twin.a.clone(), twin.residue_pairs()), (twin.b, 9));
    }

    #[test]
    fn any_other_number_is_refused() {
        for (files, error) in [
            (&[">a\nMKV\n"][..], "/0.fasta: found 1 protein, wanted 2"),
            (&[">a\nM\n>b\nM\n>c\nM\n"], "/0.fasta: found 3 proteins, wanted 2"),
            (&[">a\nM\n", ">b\nM\n>c\nM\n"], "/1.fasta: found 2 proteins, wanted 1"),
            (&[">a\nM\n", "\n>b x\n"], "/1.fasta:2 b: the record has no residues"),
            (&[">a\nM\n", ""], "/1.fasta: found 0 proteins, wanted 1"),
        ] {
            assert_eq!(read(files).map(|_| ()).unwrap_err(), error);
        }
    }
}
