//! How large answers will be, about.

use pliant_store::Format;

use super::ReportFormat;
use super::table::names_of;
use crate::screen::Proteins;

/// Letters of a number of six significant digits with what stands before the next.
const NUMBER_CHARS: f64 = 9.5;

/// The same of a count.
const COUNT_CHARS: f64 = 4.5;

/// Bytes of a float in a table of columns.
const NUMBER_BYTES: f64 = 8.0;

/// The same of a count, and of an id, that stands in a dictionary.
const CODE_BYTES: f64 = 1.75;

/// What compression leaves of ids and scores, which hardly repeat.
const PACKED: f64 = 0.4;

/// Bytes of a row of an answer, about: ids are as long as they are on average.
pub fn row_bytes(format: ReportFormat, proteins: &Proteins, is_calibrated: bool, is_packed: bool) -> f64 {
    let all: usize = proteins.ids.iter().map(String::len).sum();
    let ids = 2.0 * all as f64 / proteins.ids.len().max(1) as f64;
    let names = names_of(proteins, is_calibrated);
    let counts = names.iter().filter(|(_, is_count)| *is_count).count() as f64;
    let numbers = names.len() as f64 - counts;
    let text = NUMBER_CHARS * numbers + COUNT_CHARS * counts;
    match format {
        // Ids, and flags, which are mostly empty, end with a tab or a line feed.
        ReportFormat::Table(Format::Tsv) => ids + 3.0 + text,
        ReportFormat::Table(_) => NUMBER_BYTES * numbers + CODE_BYTES * (counts + 2.0),
        ReportFormat::Dscript => ids + 2.0 + NUMBER_CHARS,
        ReportFormat::Links => (ids + 5.0) * if is_packed { PACKED } else { 1.0 },
        ReportFormat::GraphMl => {
            let of_pair =
                names.iter().filter(|(name, _)| !name.contains("length") && !name.contains("identity"));
            let data: usize = of_pair.map(|(name, _)| r#"<data key=""></data>"#.len() + name.len()).sum();
            ids + 50.0 + data as f64 + text
        }
    }
}
