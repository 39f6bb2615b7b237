//! The pairs of a table.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use pliant_seq::{Failure, RecordError, Source};

/// Longest line that is read.
const LINE_BYTES: u64 = 1 << 16;

/// Names that columns of ids are known to have.
const NAMES: [[&str; 2]; 5] =
    [["protein1", "protein2"], ["id_a", "id_b"], ["p0", "p1"], ["protein_a", "protein_b"], ["a", "b"]];

/// Pairs by the numbers of their proteins: each once, with the lower number first, sorted.
pub(super) struct Table {
    pub(super) pairs: Vec<[u32; 2]>,
    /// Lines that name no pair of the proteins.
    pub(super) failures: Vec<Failure>,
    /// Lines with pairs.
    pub(super) rows: u64,
    /// Pairs that were there before, either way round.
    pub(super) repeated: u64,
}

/// Reads pairs of the proteins `ids`: two ids a line, with a tab or a comma between; what comes after them is left alone, and
/// so are a first line with the names of columns and lines that begin with `#`.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read(path: &Path, ids: &[String], proteins: &str) -> anyhow::Result<Table> {
    let numbers: BTreeMap<&str, u32> = ids.iter().map(String::as_str).zip(0..).collect();
    let sources = Source::from_arguments(&[path])?;
    let mut table = Table { pairs: Vec::new(), failures: Vec::new(), rows: 0, repeated: 0 };
    let file: Arc<str> = path.display().to_string().into();
    for source in &sources {
        let mut input = source.open(&pliant_seq::Progress::default())?;
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = std::io::Read::take(&mut input, LINE_BYTES).read_until(b'\n', &mut line);
            if read.map_err(|source| pliant_seq::InputError::Read {
                file: Arc::clone(&file),
                line: number + 1,
                source,
            })? == 0
            {
                break;
            }
            number += 1;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let cells = cells(text);
            if table.rows == 0 && is_names(cells, &numbers) {
                continue;
            }
            table.rows += 1;
            match pair(cells, &numbers, proteins) {
                Ok(pair) => table.pairs.push(pair),
                Err(reason) => table.failures.push(Failure {
                    file: Arc::clone(&file),
                    line: number,
                    record: table.rows,
                    id: cells.map_or_else(|| text.to_owned(), |cells| cells.join("/")),
                    reason,
                }),
            }
        }
    }
    let before = table.pairs.len();
    table.pairs.sort_unstable();
    table.pairs.dedup();
    table.repeated = (before - table.pairs.len()) as u64;
    Ok(table)
}

/// The first two cells of a line.
fn cells(text: &str) -> Option<[&str; 2]> {
    let between = if text.contains('\t') { '\t' } else { ',' };
    let mut cells = text.split(between).map(|cell| cell.trim().trim_matches('"'));
    Some([cells.next()?, cells.next()?])
}

/// Whether the first line holds the names of columns.
fn is_names(cells: Option<[&str; 2]>, numbers: &BTreeMap<&str, u32>) -> bool {
    let Some(cells) = cells else { return false };
    let is_known = |cell: &str| numbers.contains_key(cell);
    let lower = cells.map(str::to_ascii_lowercase);
    !cells.iter().any(|cell| is_known(cell)) && NAMES.iter().any(|names| lower == *names)
}

fn pair(
    cells: Option<[&str; 2]>,
    numbers: &BTreeMap<&str, u32>,
    proteins: &str,
) -> Result<[u32; 2], RecordError> {
    let wrong =
        |found: String, wanted: String| RecordError::Cell { place: "the pair".to_owned(), found, wanted };
    let Some(cells) = cells else {
        let wanted = "two ids with a tab or a comma between".to_owned();
        return Err(wrong("one cell".to_owned(), wanted));
    };
    let mut found = [0; 2];
    for (found, cell) in found.iter_mut().zip(cells) {
        let Some(&number) = numbers.get(cell) else {
            return Err(wrong(format!("the id '{cell}'"), format!("an id of {proteins}")));
        };
        *found = number;
    }
    let [first, second] = found;
    if first == second {
        return Err(wrong(format!("'{}' twice", cells[0]), "two different proteins".to_owned()));
    }
    Ok([first.min(second), first.max(second)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.tsv");
        std::fs::write(&path, text).unwrap();
        read(&path, &["x", "y", "z"].map(str::to_owned), "p.fasta").unwrap()
    }

    #[test]
    fn pairs_are_read_with_and_without_names_and_once() {
        for text in [
            "y\tx\nz\tx\t1\n",
            "protein1,protein2,score\ny,x,2\n\n# a line\nx,y\nz,x\n",
            "\u{feff}P0\tP1\r\nx\ty\r\nx\tz",
        ] {
            let table = table(text);
            assert_eq!(table.pairs, [[0, 1], [0, 2]], "{text}");
            assert!(table.failures.is_empty(), "{text}");
        }
        assert_eq!(table("x\ty\ny\tx\nx\ty\n").repeated, 2);
    }

    #[test]
    fn what_names_no_pair_is_told_with_its_line() {
        let table = table("x\ty\nx\tnobody\nz\tz\nx\n");
        assert_eq!(table.pairs, [[0, 1]]);
        let told: Vec<String> = table
            .failures
            .iter()
            .map(|failure| format!("{} {} {}", failure.line, failure.id, failure.reason))
            .collect();
        assert_eq!(
            told,
            [
                "2 x/nobody the pair: found the id 'nobody', wanted an id of p.fasta",
                "3 z/z the pair: found 'z' twice, wanted two different proteins",
                "4 x the pair: found one cell, wanted two ids with a tab or a comma between",
            ]
        );
    }
}
