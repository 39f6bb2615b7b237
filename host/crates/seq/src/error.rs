//! What can go wrong, in kinds that callers treat differently.
//!
//! [`InputError`] ends the run, [`RecordError`] spoils one record and is passed on as a value,
//! [`SettingError`] refuses something the user configured, and [`CorpusError`] says why there is nothing to train on.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::corpus::LeftOut;
use crate::tables::TableError;

/// An input that cannot be read to its end. Nothing after it can be trusted, so the run stops.
#[derive(Debug, Error)]
pub enum InputError {
    /// The path names nothing.
    #[error("{file}: no such file; give the path of an input, or '-' for standard input")]
    Missing {
        /// The path as it was given.
        file: Arc<str>,
    },
    /// The path names a folder.
    #[error("{file}: is a folder, but a file was wanted; name the files in it")]
    Folder {
        /// The path as it was given.
        file: Arc<str>,
    },
    /// The file is there and cannot be opened, for instance for want of permission.
    #[error("{file}: cannot be opened: {source}")]
    Open {
        /// The path as it was given.
        file: Arc<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// Standard input was named more than once, and can be read only once.
    #[error("'-' (standard input) is named more than once; name it once")]
    StdinTwice,
    /// An input that can be read only once could not be kept for a second pass.
    #[error(
        "{file}: cannot be kept in a temporary file in {folder}: {source}; \
         set TMPDIR to a folder with room for it"
    )]
    Spool {
        /// The input as it was given.
        file: Arc<str>,
        /// The folder of temporary files.
        folder: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system failed while the file was read.
    #[error("{file}: reading failed at line {line}: {source}")]
    Read {
        /// The input as it was given.
        file: Arc<str>,
        /// The line (1-based) that was being read.
        line: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// The compressed data is cut short or altered.
    #[error(
        "{file}: the compressed data is damaged or cut short, at line {line} of its text: \
         {source}; fetch or write the file again"
    )]
    Damaged {
        /// The input as it was given.
        file: Arc<str>,
        /// The line (1-based) of the text that was being read.
        line: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// There is text before the first header: this is not FASTA.
    #[error(
        "{file}: line {line}: found {found} where the first FASTA header was wanted; \
         a header is a line that begins with '>'"
    )]
    NotFasta {
        /// The input as it was given.
        file: Arc<str>,
        /// The line (1-based) of the text.
        line: u64,
        /// The first character found, quoted, or its byte value.
        found: String,
    },
    /// A table of sequences cannot be read.
    #[error("{0}")]
    Table(#[source] Box<TableError>),
    /// A line of an exclude list is no hash.
    #[error(
        "{file}: line {line}: found {found} where the SHA-256 of a sequence was wanted, 64 hexadecimal digits; \
         an exclude list has one a line"
    )]
    NotHash {
        /// The input as it was given.
        file: Arc<str>,
        /// The line (1-based) of the text.
        line: u64,
        /// What stands there: its length, or its first character that is no digit.
        found: String,
    },
    /// An exclude list without any hash, which would exclude nothing silently.
    #[error("{file}: holds no hash; an exclude list has one SHA-256 of a sequence a line")]
    NoHashes {
        /// The input as it was given.
        file: Arc<str>,
    },
}

/// Why one record is not computed. The others are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The header is `>` alone.
    #[error("the header has no id after '>'")]
    NoId,
    /// The id is longer than [`MAX_ID_BYTES`](crate::MAX_ID_BYTES).
    #[error("the id is longer than {limit} bytes; shorten it or choose another --id style")]
    IdTooLong {
        /// The longest id admitted, in bytes.
        limit: usize,
    },
    /// The id is not UTF-8 text.
    #[error("the id is not UTF-8 text; convert the file to UTF-8")]
    IdNotText,
    /// The id holds a control character, which result tables cannot carry.
    #[error("the id holds the control character 0x{byte:02x}; remove it or choose --id word")]
    IdControl {
        /// The first control character.
        byte: u8,
    },
    /// No residue stands below the header.
    #[error("the record has no residues")]
    Empty,
    /// A character that is no residue letter, gap, stop or blank.
    #[error(
        "found {found} at position {position} of the sequence (line {line}), where a residue letter \
         was wanted"
    )]
    Character {
        /// The character, quoted, or its byte value.
        found: String,
        /// 1-based position in the sequence, blanks not counted.
        position: u64,
        /// 1-based line of the file.
        line: u64,
    },
    /// A stop `*` that is not the last character.
    #[error(
        "found a stop '*' inside the sequence, at position {position} (line {line}); only one at the \
         end is dropped"
    )]
    InnerStop {
        /// 1-based position in the sequence, blanks not counted.
        position: u64,
        /// 1-based line of the file.
        line: u64,
    },
    /// The header does not say to which family the record belongs.
    #[error(
        "the header names no family; wanted a third word like 'PF00001.20;7tm_1;', whose second field is the family"
    )]
    NoFamily,
    /// The sequence is longer than the reader was told to admit.
    #[error(
        "has {residues} residues, more than --max-residues {max_residues} admits; raise \
         --max-residues to compute it"
    )]
    TooLong {
        /// Residues of the record.
        residues: u64,
        /// The limit in force.
        max_residues: u32,
    },
    /// The sequence is longer than the model was trained on, and the policy refuses that.
    #[error(
        "has {residues} residues, more than the {trained} the model was trained on; choose another \
         --long policy to compute it"
    )]
    OverTrained {
        /// Residues of the record.
        residues: usize,
        /// The training length of the model, in residues.
        trained: usize,
    },
    /// The sequence, or a piece of it that is computed together, is longer than the model can be.
    #[error(
        "has {residues} residues to be computed together, more than the {limit} that this model has positions for; \
         choose --long window, truncate or skip"
    )]
    OverLimit {
        /// Residues of the piece.
        residues: usize,
        /// The most that the model computes together.
        limit: usize,
    },
    /// A residue whose probability the model does not tell.
    #[error(
        "the letter {letter} at position {position} is none that this model tells apart, so its likelihood cannot be \
         had; leave the record out (--on-error skip)"
    )]
    Untold {
        /// The letter.
        letter: char,
        /// 1-based position in the sequence.
        position: usize,
    },
    /// What was asked about the record has no answer.
    #[error("no answer: {reason}")]
    NoAnswer {
        /// Who has none, and why.
        reason: String,
    },
    /// A cell or a label that is wrong.
    #[error("{place}: found {found}, wanted {wanted}")]
    Cell {
        /// The column, or what else it is.
        place: String,
        /// What was found.
        found: String,
        /// What would be right.
        wanted: String,
    },
    /// An earlier example has the same id and the same sequence, and another label.
    #[error(
        "the example at {file} line {line} has another label at {first_file} line {first_line}; keep the right one"
    )]
    OtherLabel {
        /// File of this example.
        file: Arc<str>,
        /// Line of this example.
        line: u64,
        /// File of the first one.
        first_file: Arc<str>,
        /// Line of the first one.
        first_line: u64,
    },
    /// An earlier record has the same id and another sequence.
    #[error(
        "the id at {file} line {line} already stands for another sequence at {first_file} line \
         {first_line}; give each sequence its own id"
    )]
    IdTaken {
        /// File of this record.
        file: Arc<str>,
        /// Header line of this record.
        line: u64,
        /// File of the record that has the id.
        first_file: Arc<str>,
        /// Header line of the record that has the id.
        first_line: u64,
    },
}

/// A setting or a model file that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// A token of a model's vocabulary file differs from the table built in.
    #[error(
        "vocabulary {vocabulary}: line {line} holds '{found}', but token {token} is '{wanted}'; this \
         model needs another vocabulary"
    )]
    Token {
        /// Identity of the vocabulary built in.
        vocabulary: &'static str,
        /// 1-based line of the vocabulary file.
        line: usize,
        /// Id of the token, 0-based.
        token: usize,
        /// What the file holds.
        found: String,
        /// What the table holds.
        wanted: &'static str,
    },
    /// A model's vocabulary file has another number of tokens.
    #[error(
        "vocabulary {vocabulary}: found {found} tokens, wanted {wanted}; the first that differs is \
         token {token}; this model needs another vocabulary"
    )]
    TokenCount {
        /// Identity of the vocabulary built in.
        vocabulary: &'static str,
        /// Tokens in the file.
        found: usize,
        /// Tokens in the table.
        wanted: usize,
        /// The first token, 0-based, that only one of the two has.
        token: usize,
    },
    /// A list of tokens that is no vocabulary.
    #[error("a list of tokens: found {found}, wanted {wanted}")]
    Tokens {
        /// What is wrong.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
    /// Windows that are empty or that would leave residues out.
    #[error(
        "windows of {window} residues every {stride}: the stride must lie between 1 and the window length"
    )]
    Stride {
        /// Residues of a window.
        window: usize,
        /// Residues between the starts of neighbouring windows.
        stride: usize,
    },
    /// Families of which pairs are to be drawn, and there is one alone.
    #[error("all sequences are of the family '{name}', wanted two families at least to draw pairs from")]
    OneFamily {
        /// The family.
        name: String,
    },
    /// A setting of the sampler outside its range.
    #[error("{name} is {found}, wanted {wanted}")]
    Sampler {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// The values it may have.
        wanted: &'static str,
    },
}

/// Why there is nothing to train on, or nothing to check the training with.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// An input cannot be read.
    #[error("the sequences cannot be read")]
    Input(#[from] InputError),
    /// No sequence is left.
    #[error(
        "no sequences to train on: of {headers} records {failures} failed, {duplicates} repeat an id with its \
         sequence, and left out were {left_out}; give more sequences or leave out fewer"
    )]
    Empty {
        /// Headers seen.
        headers: u64,
        /// Records that failed.
        failures: u64,
        /// Records with the id and the sequence of an earlier one.
        duplicates: u64,
        /// Good records left out, by reason.
        left_out: LeftOut,
    },
    /// A table cannot be read.
    #[error("the sequences cannot be read")]
    Table(#[from] TableError),
    /// All families are too small.
    #[error(
        "no sequences to train on: each of the {families} families has fewer than {least}; give more sequences or admit \
         smaller families"
    )]
    SmallFamilies {
        /// Families.
        families: u64,
        /// Sequences that a family must have.
        least: usize,
    },
    /// No pair is left.
    #[error("no pairs to examine with: of {rows} rows {failures} failed")]
    NoPairs {
        /// Rows of the tables.
        rows: u64,
        /// Those that failed.
        failures: u64,
    },
    /// More sequences than can be numbered.
    #[error("more than {limit} sequences; split them over several runs")]
    TooMany {
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
        "holding out {fraction} of {sequences} sequences takes {held_out} of them, and both sides need one at least; \
         give more sequences or another fraction or seed"
    )]
    OneSided {
        /// Sequences before.
        sequences: usize,
        /// The share to hold out.
        fraction: f64,
        /// Sequences that fell on the side held out.
        held_out: usize,
    },
    /// Every sequence stands in the other corpus too.
    #[error("all {sequences} sequences are among those held out; train on other sequences")]
    AllHeldOut {
        /// Sequences before.
        sequences: usize,
    },
}
