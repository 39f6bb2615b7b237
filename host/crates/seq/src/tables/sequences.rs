//! Tables of sequences as records, as FASTA has them.

use super::error::TableError;
use super::lines::{Rows, Separator};
use crate::fasta::{RawRecord, record_of_cells};
use crate::input::{Progress, SequenceColumns, Source};
use crate::letters::Letters;

/// The rows of a table of sequences.
pub(crate) struct SequenceRows {
    rows: Rows,
    sequence: usize,
    /// The columns that together name a row; none where its line does.
    id: Vec<usize>,
    letters: Letters,
    max_residues: u32,
}

impl SequenceRows {
    /// Opens a table and looks for its columns.
    pub(crate) fn open(
        source: &Source,
        columns: &SequenceColumns,
        (max_residues, progress): (u32, &Progress),
    ) -> Result<Self, TableError> {
        let rows = Rows::watched(source, Separator::of(source)?, progress)?;
        let there = |name: &&String| rows.has(name);
        let sequence = columns.sequence.iter().find(there).or(columns.sequence.first());
        let named = columns.id.iter().find(|names| names.iter().all(|name| rows.has(name)));
        let named = named.or(columns.id.first().filter(|_| columns.must_be_named));
        let id = named.into_iter().flatten().map(|name| rows.column(name)).collect::<Result<_, _>>()?;
        let sequence = rows.column(sequence.map_or("sequence", String::as_str))?;
        Ok(Self { rows, sequence, id, letters: Letters::proteins(), max_residues })
    }

    /// The next record, or `None` at the end of the table.
    pub(crate) fn next_record(&mut self) -> Result<Option<RawRecord>, TableError> {
        if !self.rows.next_row()? {
            return Ok(None);
        }
        let line = self.rows.line();
        let id =
            if self.id.is_empty() { format!("line{line}").into_bytes() } else { self.rows.joined(&self.id) };
        let residues = self.rows.cell(self.sequence);
        Ok(Some(record_of_cells(line, &id, residues, (&self.letters, self.max_residues))))
    }
}
