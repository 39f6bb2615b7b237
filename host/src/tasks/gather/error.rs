//! What can be wrong with the parts of a whole. Every error names both: the part, and what it does not fit.

use std::path::PathBuf;

/// Shards that are named one by one.
const NAMED_SHARDS: usize = 10;

/// Why parts are not gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A file that does not say what it was computed from.
    #[error("{} does not say which input it was computed from, so it cannot be placed by {}", part.display(), split.display())]
    Nameless {
        /// The part.
        part: PathBuf,
        /// The split file.
        split: PathBuf,
    },
    /// A part of another input.
    #[error("{} was not computed from a shard of {}: no shard has its input hash {input}", part.display(), split.display())]
    Foreign {
        /// The part.
        part: PathBuf,
        /// The split file.
        split: PathBuf,
        /// The hash that the part names.
        input: String,
        /// The part of the headers that the shards have as their ids.
        id: String,
        /// Whether it is the hash of the whole input.
        whole: bool,
    },
    /// Two parts of one shard.
    #[error("{} and {} were both computed from {shard}", first.display(), second.display())]
    Doubled {
        /// The part named first.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The file of their shard.
        shard: String,
    },
    /// Shards without a part.
    #[error("{} of {} shards of {} have no part: {}", missing.len(), shards, split.display(), listed(missing))]
    Missing {
        /// The files of those shards.
        missing: Vec<String>,
        /// Shards of the split.
        shards: usize,
        /// The split file.
        split: PathBuf,
    },
    /// Parts that were computed in different ways.
    #[error("{} and {} cannot be one result: {what} is {first_value} in the first and {second_value} in the second",
        first.display(), second.display())]
    Differ {
        /// A part.
        first: PathBuf,
        /// A part that differs from it.
        second: PathBuf,
        /// The key of the metadata, or the property of the file.
        what: String,
        /// As the first has it.
        first_value: String,
        /// As the second has it.
        second_value: String,
    },
    /// A part with more records than its shard.
    #[error("{} has {found} records, but {shard} of {} has only {wanted}", part.display(), split.display())]
    TooMany {
        /// The part.
        part: PathBuf,
        /// The split file.
        split: PathBuf,
        /// The file of its shard.
        shard: String,
        /// Records of the part.
        found: usize,
        /// Records of the shard.
        wanted: u64,
    },
    /// A part with fewer records than its shard, and no list that explains it.
    #[error(
        "{} has {found} of the {wanted} records of {shard}, but {}",
        part.display(),
        match list {
            Some((list, listed)) => format!("{} lists {listed} failed records", list.display()),
            None => "no list of failed records stands beside it".to_owned(),
        }
    )]
    TooFew {
        /// The part.
        part: PathBuf,
        /// The file of its shard.
        shard: String,
        /// Records of the part.
        found: usize,
        /// Records of the shard.
        wanted: u64,
        /// The list of failures and its rows, where there is one.
        list: Option<(PathBuf, u64)>,
    },
    /// A target that tells lengths, from parts that do not.
    #[error("{} does not tell the lengths of proteins, which {format} needs for {}", part.display(), out.display())]
    NoLengths {
        /// The part.
        part: PathBuf,
        /// The target.
        out: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// Scores, which are joined as text, for another format.
    #[error("{} holds scores in named columns, which cannot be gathered as {format} into {}", part.display(), out.display())]
    ScoresAsText {
        /// A part.
        part: PathBuf,
        /// The target.
        out: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// A part that is not any more what it was when it was looked at.
    #[error("{} changed while it was read: found {found}, wanted {wanted}", part.display())]
    Changed {
        /// The part.
        part: PathBuf,
        /// What it holds now.
        found: String,
        /// What it held.
        wanted: String,
    },
}

impl GatherError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Nameless { .. } => "parts are files that 'pliant embed' wrote from shards",
            Self::Foreign { whole: true, .. } => {
                "it was computed from the whole input: nothing is to be gathered for it"
            }
            Self::Foreign { id, .. } => {
                return Some(format!(
                    "embed the shards beside that split file, with --id {id} and the --max-residues of the split; \
                     after a new split, embed what changed"
                ));
            }
            Self::Doubled { .. } => "give one of them",
            Self::Missing { .. } => "embed these shards, and give all parts",
            Self::Differ { what, .. } => return Some(differ_hint(what).to_owned()),
            Self::TooMany { .. } => "embed the shard again",
            Self::TooFew { .. } => {
                "if records of it failed, put its list beside it as '<part>.failures.tsv'; else the part is cut \
                 short: embed the shard again"
            }
            Self::NoLengths { .. } => {
                "choose another --format, or embed the shards in one that tells lengths"
            }
            Self::ScoresAsText { .. } => "choose a name that ends with .tsv, or --format tsv",
            Self::Changed { .. } => "run again when nothing writes to the parts any more",
        };
        Some(text.to_owned())
    }
}

fn differ_hint(key: &str) -> &'static str {
    match key {
        "numerics" => {
            "the parts were computed on processors of different kinds: embed all shards with the same --cpu-path, \
             or on the same kind of machine"
        }
        "layers" => "formats with a file for each layer are gathered layer by layer",
        "output" | "kind" => "gather pooled vectors and states of residues each by themselves",
        _ => "embed all shards with the same settings, the same model and the same version",
    }
}

fn listed(shards: &[String]) -> String {
    let mut text = shards.iter().take(NAMED_SHARDS).cloned().collect::<Vec<_>>().join(", ");
    if shards.len() > NAMED_SHARDS {
        text.push_str(&format!(" and {} more", shards.len() - NAMED_SHARDS));
    }
    text
}
