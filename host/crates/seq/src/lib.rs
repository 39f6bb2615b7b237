//! Text to numbers: FASTA or tables to records, records to tokens, tokens to packs, for inference and for training. No tensor is
//! seen here.
//!
//! The doors, in the order of the data:
//!
//! | door | promise |
//! |---|---|
//! | [`Source`] | an input that can be opened again and again, whatever it is and however it is compressed |
//! | [`Record`] | upper-case letters only; `index` has no gaps; the same bytes in give the same records out |
//! | [`Tokens`] | one token for each residue; `residues` says where they are, so special tokens never leak |
//! | [`Pack`] | no padding; sequences whole; deterministic |
//! | [`Corpus`] | training sequences in memory, each once; `digest` names them |
//! | [`LabelledSet`](tables::LabelledSet) | examples with labels in memory; `digest` names them |
//! | [`Families`] | the same in families, from which pairs are drawn; [`PairSet`]: pairs that never change |
//! | [`TrainingPack`] | a pack with residues hidden, a pure function of corpus, settings and its number |
//! | [`PairPack`] | the same of pairs |
//!
//! What is wrong with one record is a value ([`Failure`]) and reading goes on; what is wrong with an input
//! ([`InputError`]) ends it. Nothing is repaired silently: gaps removed and stops dropped are counted in
//! [`Warnings`], letters without a token by [`Vocabulary::unknown_letters`].

mod corpus;
mod error;
mod families;
mod fasta;
mod hash;
mod id;
mod input;
mod kmers;
mod letters;
mod long;
mod order;
mod pack;
mod random;
mod reader;
mod record;
mod resample;
mod sampler;
mod scan;
mod shards;
pub mod tables;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use corpus::{Corpus, CorpusOptions, CorpusReport, Count, ExcludeList, LeftOut, LengthStatistics};
pub use error::{CorpusError, InputError, RecordError, SettingError};
pub use families::{
    Families, FamilyOptions, FamilyReport, Pair, PairForm, PairPack, PairReport, PairSampler, PairSet,
};
pub use hash::InputHasher;
pub use id::{IdStyle, MAX_ID_BYTES};
pub use input::{Progress, SequenceColumns, Source};
pub use kmers::{LEAST_WORDS, Nearest, WORD_LENGTHS, WordIndex};
pub use long::{Cut, LongPolicy, Span, Windows};
pub use order::epoch_order;
pub use pack::{Pack, plan_packs};
pub use reader::{DEFAULT_MAX_RESIDUES, ReadOptions, RecordReader, Totals};
pub use record::{Duplicate, Failure, Item, Record, Warnings};
pub use resample::resample;
pub use sampler::{Masked, MlmSettings, Replacement, Rounding, Sampler, SamplerSettings, TrainingPack};
pub use scan::{Longest, Summary, scan};
pub use shards::{shards, shards_of_residues};
pub use vocabulary::{ESM2, PLUS, PLUS_TFM, STANDARD_RESIDUES, TokenList, Tokens, VOCABULARIES, Vocabulary};
