//! Why there is no labelled set. What is wrong with one example is a [`Failure`](crate::Failure).

use std::sync::Arc;

use thiserror::Error;

use crate::error::InputError;

/// What labels that are classes are called, one and several.
pub(super) const CLASSES: [&str; 2] = ["class", "classes"];

/// Why examples cannot be had of an input, or not enough of them.
#[derive(Debug, Error)]
pub enum TableError {
    /// An input cannot be read.
    #[error("the examples cannot be read")]
    Input(#[from] InputError),
    /// A line that no protein has.
    #[error("{file}: line {line} is longer than {limit_mib} MiB; is it a table of examples?")]
    LongLine {
        /// The input as it was given.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// The longest line, in MiB.
        limit_mib: u64,
    },
    /// Nothing stands in it, not even names of columns.
    #[error("{file}: found nothing, wanted a first line with the names of the columns")]
    NoHeader {
        /// The table.
        file: Arc<str>,
    },
    /// A table without a column.
    #[error("{file} has no column '{column}'; it has the columns {found}")]
    NoColumn {
        /// The table.
        file: Arc<str>,
        /// The column that was asked for.
        column: String,
        /// Those that are there.
        found: String,
    },
    /// A table with two columns of one name.
    #[error("{file} has more than one column '{column}'; give each a name of its own")]
    TwoColumns {
        /// The table.
        file: Arc<str>,
        /// The name.
        column: String,
    },
    /// A row with too few or too many cells.
    #[error("{file}: line {line}: found {found} cells, wanted {wanted}, one for each column")]
    Ragged {
        /// The table.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// Its cells.
        found: usize,
        /// The columns.
        wanted: usize,
    },
    /// A cell without an end.
    #[error("{file}: line {line}: found a quote that is opened and never closed")]
    OpenQuote {
        /// The table.
        file: Arc<str>,
        /// The line on which its row begins, from 1.
        line: u64,
    },
    /// Something that the parser of tables does not know.
    #[error("{file}: line {line}: is no row of a table")]
    NotTable {
        /// The table.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
    },
    /// Text that is not of the form that was asked for.
    #[error("{file}: line {line}: found {found}, wanted {wanted}")]
    Form {
        /// The input.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// A file that should hold one protein and does not.
    #[error("{file}: found {found}, wanted one protein, the wild type of the mutants")]
    WildType {
        /// The file.
        file: String,
        /// What is there.
        found: String,
    },
    /// Sequences that pairs refer to, of which one is bad.
    #[error("{file}: line {line}: the sequence '{id}' cannot be used: {reason}")]
    Sequence {
        /// The file.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Options that do not go together.
    #[error("{what}")]
    Options {
        /// What does not fit, and what would.
        what: &'static str,
    },
    /// No example is left.
    #[error(
        "no examples: of {rows} found in {inputs}, {failures} failed, {duplicates} repeat one and {left_out} are of no part that is wanted"
    )]
    Empty {
        /// Examples of the input.
        rows: u64,
        /// The inputs as they were named.
        inputs: String,
        /// Those that failed.
        failures: u64,
        /// Those with the id, the sequence and the label of an earlier one.
        duplicates: u64,
        /// Those that the options leave out.
        left_out: u64,
    },
    /// All labels are the same, so there is nothing to tell apart.
    #[error(
        "{inputs}: found one {} alone, '{class}', in {examples} examples; wanted at least two {}", what[0], what[1]
    )]
    OneClass {
        /// The inputs as they were named.
        inputs: String,
        /// What labels are: one of them, and several.
        what: [&'static str; 2],
        /// The class, or the number.
        class: String,
        /// The examples.
        examples: usize,
    },
    /// A part that no example is of.
    #[error("no example is of the part '{part}'; the parts are {found}")]
    NoPart {
        /// The part that was asked for.
        part: String,
        /// Those that are there.
        found: String,
    },
    /// More than can be numbered.
    #[error("more than {limit} {what}; split them over several runs")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The most there can be.
        limit: u64,
    },
    /// A share to hold out that is none.
    #[error("the fraction to hold out is {fraction}, wanted a number over 0 and under 1")]
    Fraction {
        /// The share as it was given.
        fraction: f64,
    },
    /// Holding out leaves one side empty.
    #[error(
        "holding out leaves {kept} of {examples} examples to train on and {held_out} held out, with {dropped} pairs of \
         proteins of both sides in neither, and both sides need one at least; give more examples or another fraction or \
         seed"
    )]
    OneSided {
        /// Examples before.
        examples: usize,
        /// Those left to train on.
        kept: usize,
        /// Those held out.
        held_out: usize,
        /// Pairs of which one protein is held out and the other is not.
        dropped: usize,
    },
}
