//! The only place where a model meets records: a loaded model on a device, and what it makes of packs.

mod adapter;
mod align;
mod brought;
mod export_head;
mod family;
mod judge;
mod learner;
mod maps;
mod mlm;
mod pairs;
mod pupil;

use std::error::Error as StdError;
use std::ops::Range;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::{Adapting, Model, ModelError, Purpose, composition, load_adapted};
use pliant_seq::{Pack, Vocabulary};
use pliant_tensor::ops::{Kind, SoftmaxKind, columns, pool, softmax};
use pliant_tensor::{Ids, Offsets, Tape, Tensor};

use crate::cli::embed::Pool;
use crate::device::Place;
use crate::exit::Code;
use crate::machine;
pub use adapter::{CardAdapter, adapted_card, card_of_head, merge};
pub use align::Aligned;
use brought::Brought;
pub use brought::{
    limits as onnx_limits, onnx_file, pool as onnx_pool, read as read_onnx, try_out as try_onnx,
};
pub use export_head::export_head;
pub use family::{Card, Export, card, export, import, new_folder, verify};
pub use judge::Judge;
pub use learner::{Group, LearnError, Learner, LearnerSettings, Lesson};
use maps::Maps;
pub use mlm::{Examination, examine_mlm, mlm_loss};
pub use pairs::{PairCounts, PairSums, PairWeights, examine_pairs, pair_loss};
pub use pupil::{Begin, Pupil};

/// What a model makes of every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Its states `[T, C]` in these layers, counted from 0, the embedding.
    States(Vec<usize>),
    /// The same with the first token of every sequence apart: see [`Model::encode_apart`].
    Apart(Vec<usize>),
    /// The projection z `[T, W]` of its states in the last layer.
    Projection,
    /// The natural logarithms `[T, V]` of the probabilities of all V tokens in its place.
    LogProbs,
    /// The probabilities `[L, L]` that the residues of each sequence touch, from the attention of all layers.
    Contacts,
}

/// A model on a device, and what is asked of it.
pub struct Engine {
    place: Place,
    precision: Precision,
    core: Core,
    card: Card,
    identity: String,
    head: Head,
    /// What tells contacts, where that is not the model.
    maps: Option<Maps>,
    threads: usize,
}

/// What computes.
enum Core {
    /// A model of one of the families.
    Own(Box<Model>),
    /// A file that a user brings.
    Brought(Box<Brought>),
}

/// What a model made of a pack: for each layer the rows `[T, W]`.
pub struct Hidden {
    states: Vec<Tensor>,
}

impl Engine {
    /// Reads the weights of the model that `card` describes and packs them for the device of `place`.
    ///
    /// # Errors
    /// A folder that is damaged or holds another model than its configuration says, and a model without the head.
    pub fn load(card: Card, place: Place, precision: Precision, head: Head) -> anyhow::Result<Self> {
        let unusable = || format!("the model {} cannot be used", card.folder.display());
        let threads = machine::cores().0;
        if let Some(sidecar) = &card.sidecar {
            let brought = Brought::load(&card, sidecar, &head).with_context(unusable)?;
            let (identity, core) = (brought.identity().to_owned(), Core::Brought(Box::new(brought)));
            return Ok(Self { place, precision, core, card, identity, head, maps: None, threads });
        }
        let loaded = match &card.adapter {
            _ if card.about.family == composition::NAME => {
                pliant_models::composition(&place.device, precision)
            }
            // Added to the weights it costs nothing.
            Some(adapter) => {
                load_adapted(&card.folder, (&place.device, precision), Adapting::Merged(&adapter.adapter))
            }
            None => pliant_models::load(&card.folder, &place.device, precision, Purpose::Inference),
        };
        let loaded = loaded.with_context(unusable)?;
        let (model, identity) = (loaded.model, loaded.identity);
        if head == Head::Projection && model.projection().is_none() {
            return Err(ModelError::NoProjection).with_context(unusable);
        }
        if head == Head::LogProbs && !model.has_lm_head() {
            return Err(ModelError::NoHead).with_context(unusable);
        }
        if matches!(head, Head::Apart(_)) {
            model.check_apart().with_context(unusable)?;
        }
        let named = card.contact_head.as_deref().filter(|_| head == Head::Contacts);
        let maps = named.map(|path| Maps::load(path, &model, &place.device)).transpose();
        let maps = maps.with_context(unusable)?;
        if head == Head::Contacts && maps.is_none() {
            model.check_contacts().with_context(unusable)?;
        }
        place.device.check().with_context(unusable)?;
        let core = Core::Own(Box::new(model));
        Ok(Self { place, precision, core, card, identity, head, maps, threads })
    }

    /// BLAKE3 of what the model is, in hex.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What the folder says of the model.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.place.device
    }

    /// What went wrong on the device while results were read.
    ///
    /// # Errors
    /// The fault; the results are none then.
    pub fn check(&self) -> anyhow::Result<()> {
        Ok(self.device().check()?)
    }

    /// Name of the class of its numbers: that of the device; before it that of what runs a file that a user brings.
    pub fn numerics(&self) -> String {
        numerics_of(&self.card, self.device())
    }

    /// Lets a file that a user brings compute so many records at a time.
    pub fn use_threads(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// The model, of one of the families.
    fn model(&self) -> anyhow::Result<&Model> {
        match &self.core {
            Core::Own(model) => Ok(model),
            Core::Brought(_) => Err(brought::only_states("neither contacts nor pairs").into()),
        }
    }

    /// W, numbers of a row: C of states, those of a projection, V of log-probabilities, 1 of contacts, whose rows are pairs of residues.
    pub fn width(&self) -> usize {
        self.card.row_width(&self.head)
    }

    /// The layers that rows come from, counted from 0, the embedding: log-probabilities and contacts from the last.
    pub fn layers(&self) -> Vec<usize> {
        self.card.row_layers(&self.head)
    }

    /// How residues become tokens.
    pub fn vocabulary(&self) -> &'static Vocabulary {
        self.card.vocabulary
    }

    /// What the head makes of a pack.
    ///
    /// # Errors
    /// What the model or the device cannot do.
    pub fn encode(&self, pack: &Pack) -> anyhow::Result<Hidden> {
        let tape = self.tape();
        let ids = Ids::new(self.device(), &pack.ids);
        let offsets = Offsets::new(&pack.offsets)?;
        let model = match &self.core {
            Core::Own(model) => model,
            Core::Brought(brought) => {
                let rows = brought.encode(&self.card, self.device(), pack, self.threads)?;
                let rows = if self.head == Head::LogProbs { self.log_probs(&tape, &rows)? } else { rows };
                return Ok(Hidden { states: vec![rows] });
            }
        };
        let states = match &self.head {
            Head::Apart(layers) => model.encode_apart(&tape, &ids, &offsets, layers),
            _ => model.encode(&tape, &ids, &offsets, &self.layers()),
        };
        let states = states.with_context(|| format!("computing {} tokens", pack.tokens()))?;
        let states = match (&self.head, states.as_slice()) {
            (Head::Projection, [last]) => vec![model.project(&tape, last)?],
            (Head::LogProbs, [last]) => vec![self.log_probs(&tape, &model.lm_logits(&tape, last)?)?],
            _ => states,
        };
        for state in &states {
            // Rows are read as f32 below.
            state.f32()?;
        }
        Ok(Hidden { states })
    }

    /// The logarithms of the probabilities of tokens.
    fn log_probs(&self, tape: &Tape, logits: &Tensor) -> anyhow::Result<Tensor> {
        let (all, tokens) = (softmax(tape, logits, SoftmaxKind::Logarithms)?, self.width());
        // The vocabulary's tokens are the first. A table may have more rows than there are tokens; they take part in the
        // probabilities, as in the training, and nobody asks for theirs.
        Ok(if all.columns() == tokens { all } else { columns(tape, &all, 0..tokens)? })
    }

    /// The probabilities that residues touch: for each sequence of the pack `[L, L]`, symmetric.
    ///
    /// # Errors
    /// A model without contact head, and what the model or the device cannot do.
    pub fn contacts(&self, pack: &Pack) -> anyhow::Result<Vec<Vec<f32>>> {
        let ids = Ids::new(self.device(), &pack.ids);
        let offsets = Offsets::new(&pack.offsets)?;
        let (model, tape) = (self.model()?, self.tape());
        let contacts = match &self.maps {
            Some(maps) => maps.of((model, &tape), (&ids, &offsets), &pack.residues),
            None => model.contacts(&tape, &ids, &offsets, &pack.residues).map_err(anyhow::Error::from),
        };
        let contacts = contacts.with_context(|| format!("computing {} tokens", pack.tokens()))?;
        self.check()?;
        Ok(contacts)
    }

    /// One vector for each of the B `spans` of token rows: `[B, C]`, on their way from the device.
    ///
    /// # Errors
    /// An empty span.
    pub fn pool(
        &self,
        hidden: &Hidden,
        layer: usize,
        kind: Pool,
        spans: &[(usize, usize)],
    ) -> anyhow::Result<Pooled> {
        // Every row is the vector of its protein there.
        let kind = if self.card.pools_itself() { Pool::Cls } else { kind };
        let pooled = pool(&self.tape(), &hidden.states[layer], kernel_kind(kind), spans)?;
        pooled.f32()?.fetch()?;
        Ok(Pooled(pooled))
    }

    /// One vector `[C]` of the states `[L, C]` of one record.
    ///
    /// # Errors
    /// A record without residues.
    pub fn pool_states(&self, states: &[f32], kind: Pool) -> anyhow::Result<Vec<f32>> {
        let rows = states.len() / self.width();
        let states = Tensor::from_f32(self.device(), [rows, self.width()], states)?;
        let pooled = pool(&self.tape(), &states, kernel_kind(kind), &[(0, rows)])?.to_vec_f32();
        self.check()?;
        Ok(pooled)
    }

    fn tape(&self) -> Tape {
        Tape::off(self.device(), self.precision)
    }
}

/// Name of the class of the numbers that a model makes on a device: that of the device; before it that of what runs a file
/// that a user brings.
pub fn numerics_of(card: &Card, device: &Device) -> String {
    match &card.sidecar {
        None => device.numerics().to_owned(),
        Some(_) => format!("{}+{}", pliant_onnx::numerics(), device.numerics()),
    }
}

/// Vectors of a pack, `[B, C]`, on their way from the device.
pub struct Pooled(Tensor);

impl Pooled {
    /// The vectors, one after the other; the device is asked for its faults afterwards.
    pub fn to_vec(&self) -> Vec<f32> {
        self.0.to_vec_f32()
    }
}

impl Hidden {
    /// The rows of a range of tokens of the pack, one after the other, for the `layer`-th of the layers asked for.
    pub fn rows(&self, layer: usize, tokens: Range<usize>) -> &[f32] {
        let states = &self.states[layer];
        let width = states.columns();
        // Checked when the states were made.
        let values = states.f32().map(|values| values.as_slice()).unwrap_or_default();
        &values[tokens.start * width..tokens.end * width]
    }
}

fn kernel_kind(pool: Pool) -> Kind {
    match pool {
        Pool::Mean => Kind::Mean,
        Pool::Cls | Pool::ClsApart => Kind::Cls,
        Pool::Max => Kind::Max,
        Pool::Sum => Kind::Sum,
    }
}

/// The exit code of errors of the rooms below, which have no cause with a code of its own.
pub fn error_code(cause: &(dyn StdError + 'static)) -> Option<Code> {
    family::error_code(cause)
}
