//! What a model folder says of its model, and what the model costs.

use pliant_nn::{KeyReport, Record, Weights};

use crate::family::{Blueprint, Family, seconds};
use crate::identity;

/// What a model folder holds, as far as its config and headers tell.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Family, as in configs.
    pub family: &'static str,
    /// The keys of the config that change numbers, as JSON with sorted keys.
    pub config_summary: String,
    /// Number types of the stored parameters, such as `F16`; several are joined by `+`.
    pub dtype: String,
    /// Number of parameters that the family uses, a tied one once, tables that nobody trains not counted.
    pub parameters: u64,
    /// Bytes of those parameters as stored.
    pub stored_bytes: u64,
    /// Number of the last layer.
    pub layers: usize,
    /// Number of the first layer whose states can be had.
    pub first_layer: usize,
    /// C
    pub width: usize,
    /// Width of the projection z of the last states, where there is one.
    pub projection: Option<usize>,
    /// Residues of the longest sequence seen in training; `None` where the model has no such limit.
    pub training_length: Option<usize>,
    /// The most residues that can be computed together; `None` where there is no such limit.
    pub longest: Option<usize>,
    /// What a forward takes.
    pub cost: Cost,
    /// Identity of the vocabulary.
    pub vocabulary: &'static str,
    /// The folder's `vocab.txt`, where there is one, to be compared with that vocabulary.
    pub vocab_txt: Option<String>,
    /// What became of every stored name.
    pub report: KeyReport,
    /// Parts that a model of this family may have and this one has not.
    pub absent: Vec<&'static str>,
}

/// Tokens that are worth computing together where every token is a row of every product.
pub(crate) const PACK_TOKENS: usize = 4096;

/// What a forward takes without a tape: estimates from sizes alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Bytes held at the peak for each token of a pack.
    pub bytes_per_token: u64,
    /// Bytes held for each token beside those, but for no more than [`Cost::tile_tokens`].
    pub tile_bytes_per_token: u64,
    /// Tokens that are computed at once where a pack is computed piece by piece.
    pub tile_tokens: usize,
    /// Bytes for each token without which no forward can be: the states before and after a block.
    pub least_bytes_per_token: u64,
    /// Tokens that are worth computing together: with more of them nothing is gained.
    pub pack_tokens: usize,
    /// Operations for each token.
    pub flops_per_token: f64,
    /// Operations for each pair of tokens of one sequence.
    pub flops_per_pair: f64,
}

impl Cost {
    /// Bytes that a forward over `tokens` holds at its peak.
    #[must_use]
    pub fn pack_bytes(&self, tokens: usize) -> u64 {
        let tile = tokens.min(self.tile_tokens) as u64 * self.tile_bytes_per_token;
        tokens as u64 * self.bytes_per_token + tile
    }
}

impl About {
    pub(crate) fn new(
        family: &Family,
        blueprint: &dyn Blueprint,
        weights: &Weights,
        vocab_txt: Option<String>,
    ) -> Self {
        let (records, twins) = (weights.records(), blueprint.twins());
        let seconds = seconds(&twins);
        let counts =
            |record: &&Record| !identity::is_buffer(&record.name) && !seconds.contains(&*record.name);
        let parameters: Vec<&Record> = records.iter().filter(counts).collect();
        let elements = |record: &Record| record.shape.iter().product::<usize>() as u64;
        let mut dtypes: Vec<&str> = parameters.iter().map(|record| record.dtype.name()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        let stored_bytes = parameters.iter().map(|record| elements(record) * record.dtype.bytes()).sum();
        let parameters = parameters.iter().map(|record| elements(record)).sum();
        let (layers, width) = blueprint.sizes();
        Self {
            family: family.name,
            config_summary: identity::canonical_json(&blueprint.semantics()),
            dtype: dtypes.join("+"),
            parameters,
            stored_bytes,
            layers,
            first_layer: blueprint.first_layer(),
            width,
            projection: blueprint.projection(),
            training_length: blueprint.training_length(),
            longest: blueprint.longest(),
            cost: blueprint.cost(parameters),
            vocabulary: family.vocabulary,
            vocab_txt,
            report: weights.report(),
            absent: blueprint.absent(),
        }
    }
}
