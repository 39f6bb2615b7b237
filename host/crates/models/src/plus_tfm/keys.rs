//! How files spell the parameters of PLUS-TFM: as [`crate::plus`] says.

/// The table of tokens `[V,C]`, which is the decoder too.
pub(super) const TOKENS: &str = "transformer.embed.tok_embed.weight";

/// The other name of that table.
pub(super) const DECODER: &str = "decoder.weight";

/// What is added to every token's logit `[V]`.
pub(super) const DECODER_BIAS: &str = "decoder_bias";

/// The table of segments `[2,C]`.
pub(super) const SEGMENTS: &str = "transformer.embed.seg_embed.weight";

/// The sinusoid of places, stored as `[1,rows,C]`.
pub(crate) const PLACES: &str = "transformer.embed.pos_embed.pe";

/// The table of places `[rows,C]` where it is learnt.
pub(super) const PLACES_LEARNT: &str = "transformer.embed.pos_embed.weight";

/// A parameter without which there is no language-model head.
pub(super) const LM_HEAD: &str = "fc_lm.weight";

/// The classifier `[K,C]` of first tokens.
pub(super) const CLASSIFIER: &str = "cls.weight";
