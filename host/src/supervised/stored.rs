//! Numbers of sequences that were computed once: pooled vectors, or the states of all residues.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Context as _;

/// Bytes that are kept in memory; more go to a file without a name.
const MOST_BYTES: usize = 256 << 20;

/// Rows of numbers of sequences, in the order of the sequences.
pub struct Stored {
    width: usize,
    /// `[sequences+1]` where the rows of each begin.
    offsets: Vec<usize>,
    values: Vec<f32>,
    /// What came after the values in memory were too many, which are then in it too.
    file: Option<File>,
}

impl Stored {
    /// Nothing yet, with rows of `width` numbers.
    pub fn new(width: usize) -> Self {
        Self { width, offsets: vec![0], values: Vec::new(), file: None }
    }

    /// Bytes of memory that so many numbers take.
    pub fn held_bytes(numbers: usize) -> u64 {
        let bytes = numbers.saturating_mul(size_of::<f32>());
        // More than that goes to the file.
        bytes.min(MOST_BYTES) as u64
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Sequences so far.
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of a sequence.
    pub fn rows(&self, sequence: usize) -> usize {
        self.offsets[sequence + 1] - self.offsets[sequence]
    }

    /// Takes the rows of the next sequence.
    ///
    /// # Errors
    /// What the system says to a file of what does not fit into memory.
    pub fn push(&mut self, rows: &[f32]) -> anyhow::Result<()> {
        let end = self.offsets.last().copied().unwrap_or_default();
        if self.file.is_none() && size_of_val(self.values.as_slice()) + size_of_val(rows) > MOST_BYTES {
            let file = tempfile::tempfile().context("cannot make a file for states")?;
            write(&file, &self.values, 0)?;
            self.values = Vec::new();
            self.file = Some(file);
        }
        match &self.file {
            Some(file) => write(file, rows, end * self.width)?,
            None => self.values.extend_from_slice(rows),
        }
        self.offsets.push(end + rows.len() / self.width);
        Ok(())
    }

    /// Adds the rows of a sequence to `to`.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, sequence: usize, to: &mut Vec<f32>) -> anyhow::Result<()> {
        let (start, end) = (self.offsets[sequence] * self.width, self.offsets[sequence + 1] * self.width);
        let Some(file) = &self.file else {
            to.extend_from_slice(&self.values[start..end]);
            return Ok(());
        };
        let mut bytes = vec![0; (end - start) * size_of::<f32>()];
        file.read_exact_at(&mut bytes, (start * size_of::<f32>()) as u64)
            .context("cannot read states again")?;
        to.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)));
        Ok(())
    }
}

fn write(file: &File, values: &[f32], at: usize) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    file.write_all_at(&bytes, (at * size_of::<f32>()) as u64).context("cannot keep states in a file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_comes_back_from_a_file() {
        let mut stored = Stored::new(2);
        stored.push(&[1.0, 2.0]).unwrap();
        let many: Vec<f32> = (0..2 * (MOST_BYTES / 8)).map(|number| number as f32).collect();
        stored.push(&many).unwrap();
        stored.push(&[5.0, 6.0, 7.0, 8.0]).unwrap();
        assert!(stored.file.is_some() && stored.values.is_empty());
        assert_eq!((stored.sequences(), stored.rows(2)), (3, 2));
        let mut found = Vec::new();
        for sequence in [2, 0] {
            stored.read(sequence, &mut found).unwrap();
        }
        assert_eq!(found, [5.0, 6.0, 7.0, 8.0, 1.0, 2.0]);
        found.clear();
        stored.read(1, &mut found).unwrap();
        assert!(found == many);
    }
}
