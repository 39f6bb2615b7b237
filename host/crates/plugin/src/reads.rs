//! What a head reads, as its author says it in the manifest: which states of which encoder.

use serde::Deserialize;

/// Which of the three functions of a head is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// One vector for each protein.
    Pooled,
    /// The states of its residues.
    Residues,
    /// Two vectors for each pair of proteins.
    Pairs,
}

impl Way {
    /// Every way, the first that a head takes being the one that is meant where nothing is said.
    pub const ALL: [Self; 3] = [Self::Pooled, Self::Residues, Self::Pairs];

    /// Its name in manifests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Residues => "residues",
            Self::Pairs => "pairs",
        }
    }
}

/// How the states of a protein become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooled {
    /// The mean of its residues.
    Mean,
    /// The state of the token before its residues.
    Cls,
    /// The largest value of its residues, column by column.
    Max,
    /// The sum of its residues.
    Sum,
}

/// `[reads]` of a manifest. What is not said is open: any encoder, its last layer, the mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    /// Which function, of a head that has several.
    pub what: Option<Way>,
    /// The identity of the encoder that it was made on, in 64 hexadecimal digits.
    pub model: Option<String>,
    /// The layer; negative numbers count from the last.
    pub layer: Option<i64>,
    /// How states become one vector.
    pub pool: Option<Pooled>,
}
