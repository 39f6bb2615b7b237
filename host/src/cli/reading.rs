//! Words that every command with FASTA input or result files has.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use pliant_seq::{DEFAULT_MAX_RESIDUES, IdStyle, ReadOptions};
use pliant_store::picture::PictureFormat;
use pliant_store::{Format, H5Layout, StoreError, Target};
use serde::{Deserialize, Serialize};

use crate::exit::TaskError;

/// How records are read, and what a failed one does.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Longer proteins fail
    #[arg(long, env = "PLIANT_MAX_RESIDUES", value_name = "N", value_parser = count::<u32>,
          default_value_t = DEFAULT_MAX_RESIDUES)]
    max_residues: u32,
    /// What a failed record does
    #[arg(
        long,
        env = "PLIANT_ON_ERROR",
        value_name = "WHAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What a failed record does: fail ends the run before anything is computed, skip leaves the \
                  record out; both list it in a file .failures.tsv beside the results"
    )]
    pub(super) on_error: OnError,
    /// Which part of a header is the id
    #[arg(
        long,
        env = "PLIANT_ID",
        value_name = "PART",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "Which part of a header is the id: its first word, the accession in sp|…|… and tr|…|… (uniprot), \
                  or the full line"
    )]
    pub(super) id: IdPart,
}

impl ReadArgs {
    /// The rules for the reader.
    pub(super) fn options(&self) -> ReadOptions {
        let id_style = match self.id {
            IdPart::Word => IdStyle::Word,
            IdPart::Uniprot => IdStyle::Uniprot,
            IdPart::Full => IdStyle::Full,
        };
        ReadOptions { id_style, max_residues: self.max_residues }
    }
}

/// What a failed record does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It ends the run before anything is computed.
    #[default]
    Fail,
    /// It is left out and listed.
    Skip,
}

/// Which part of a header is the id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum IdPart {
    /// Its first word.
    #[default]
    Word,
    /// The accession where there is one.
    Uniprot,
    /// The whole line.
    Full,
}

impl IdPart {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Uniprot => "uniprot",
            Self::Full => "full",
        }
    }
}

/// A number of things of which there must be one.
pub(super) fn count<N: FromStr + Default + PartialEq>(text: &str) -> Result<N, &'static str> {
    let found = text.parse().ok().filter(|number| *number != N::default());
    found.ok_or("wanted a whole number, at least 1")
}

/// Threads that a process may have for computing: more than any machine runs, and few enough for every system to start.
const MOST_THREADS: usize = 1024;

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    let found = text.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
    found.ok_or_else(|| format!("wanted a whole number from 1 to {MOST_THREADS}"))
}

/// The format of that name.
pub(super) fn format_named(name: &str) -> Result<Format, String> {
    let names = || Format::ALL.map(Format::name).join(", ");
    Format::from_name(name).ok_or_else(|| format!("known formats are {}", names()))
}

/// The format of pictures of that name.
pub(super) fn picture_format_named(name: &str) -> Result<PictureFormat, String> {
    let names = || PictureFormat::ALL.map(PictureFormat::name).join(", ");
    PictureFormat::from_name(name).ok_or_else(|| format!("known formats are {}", names()))
}

/// The layout of that name.
pub(super) fn layout_named(name: &str) -> Result<H5Layout, String> {
    let names = || H5Layout::ALL.map(H5Layout::name).join(", ");
    H5Layout::from_name(name).ok_or_else(|| format!("known layouts are {}", names()))
}

/// The format of a suffix; of a stream, which has none, the one that can be read as it comes.
///
/// # Errors
/// A suffix that no format has.
pub fn format_of(out: &Path) -> anyhow::Result<Format> {
    match Format::of_path(out) {
        Ok(format) => Ok(format),
        Err(_) if Target::resolve(out)?.is_stream() => Ok(Format::Tsv),
        Err(unknown) => Err(unknown.into()),
    }
}

/// An output that replaces an input would destroy it in a run that succeeds.
pub(super) fn not_an_input(inputs: &[PathBuf], output: &Path) -> Result<(), TaskError> {
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    let same = |input: &&PathBuf| place.is_file() && input.canonicalize().is_ok_and(|input| input == place);
    match inputs.iter().find(same) {
        None => Ok(()),
        Some(input) => Err(TaskError::Usage {
            what: format!(
                "the output {} is the input {}: give it another path",
                output.display(),
                input.display()
            ),
        }),
    }
}

/// The format of a suffix, where it is one of `able`; of a stream, which has none, and of no output at all, the first of
/// them.
///
/// # Errors
/// Any other suffix.
pub(crate) fn format_among(out: Option<&Path>, able: &[Format]) -> Result<Format, StoreError> {
    let Some(out) = out else { return Ok(able[0]) };
    match Format::of_path(out) {
        Ok(format) if able.contains(&format) => Ok(format),
        Err(_) if Target::resolve(out)?.is_stream() => Ok(able[0]),
        _ => {
            let known: Vec<String> = able.iter().map(|format| format!(".{}", format.name())).collect();
            Err(StoreError::UnknownFormat { path: out.to_path_buf(), known: known.join(", ") })
        }
    }
}
