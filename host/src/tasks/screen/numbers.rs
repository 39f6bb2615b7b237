//! What every protein gives to the head: computed once, and kept for a screen that goes on. The file holds BLAKE3 of what
//! decides the numbers, the length of what made them and that as JSON, the numbers, and BLAKE3 of everything.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_store::{Access, Action, AtomicFile, Metadata, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::head::PairHead;
use super::kill::point;
use super::proteins::{Content, Intake};
use crate::Context;
use crate::cli::screen::ScreenPlan;
use crate::engine::{self, Card};
use crate::screen::ScreenError;
use crate::screen::checkpoint::NUMBERS;
use crate::tasks::asked::Asked;
use crate::tasks::encode::{Encoded, Wish, encode};

/// Bytes of a digest.
const DIGEST: usize = blake3::OUT_LEN;

/// Bytes of a length.
const LENGTH: usize = size_of::<u64>();

/// Where numbers come from.
pub(super) struct Numbers<'a> {
    pub(super) plan: &'a ScreenPlan,
    pub(super) head: &'a PairHead,
    pub(super) encoder: Option<&'a Encoder>,
    /// The folder of the screen.
    pub(super) scratch: Option<&'a Path>,
}

/// What encodes proteins, before its weights are read.
pub(super) struct Encoder {
    model: PathBuf,
    card: Card,
    layer: usize,
}

/// What made vectors, as the answer tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    model: Value,
    adapter: Value,
    layers: Value,
    pool: Value,
    precision: Value,
    numerics: Value,
}

impl Encoder {
    /// The encoder of a plan, where proteins are to be encoded.
    ///
    /// # Errors
    /// A model that cannot be used, or makes other vectors than the head takes.
    pub(super) fn of(plan: &ScreenPlan, asked: &Asked) -> anyhow::Result<Option<Self>> {
        if !plan.embeddings.is_empty() {
            return Ok(None);
        }
        let (model, card) = asked.card(plan.model.as_deref(), plan.run.adapter.as_deref())?;
        let layer = asked.layer(card.about.layers)?;
        asked.check_width(card.about.width)?;
        Ok(Some(Self { model, card, layer }))
    }

    /// What its folder says of it.
    pub(super) fn card(&self) -> &Card {
        &self.card
    }

    /// What is wanted of every protein.
    pub(super) fn wish(&self, plan: &ScreenPlan, asked: &Asked) -> Wish {
        let run = &plan.run;
        Wish {
            layer: self.layer,
            pool: Some(asked.pool()),
            long: run.long,
            compute: run.compute,
            cache: run.cache.clone(),
        }
    }

    /// Numbers of a vector.
    pub(super) fn width(&self) -> usize {
        self.card.about.width
    }

    /// Residues of the longest protein that it was trained on, where that is known.
    pub(super) fn longest(&self) -> Option<u32> {
        self.card.about.training_length.and_then(|length| u32::try_from(length).ok())
    }
}

impl Made {
    /// What a file of vectors says of itself, and where it says nothing what the head wants of it.
    fn of_vectors(asked: &Asked, file: Option<&Metadata>, (precision, numerics): (&str, &str)) -> Self {
        let wanted = asked.wanted();
        let said = |key: &str, otherwise: Value| {
            let wanted = || wanted.iter().find(|(_, own, _)| *own == key).map(|(_, _, value)| value.clone());
            file.and_then(|file| file.get(key)).cloned().or_else(wanted).unwrap_or(otherwise)
        };
        Self {
            model: said("model", Value::Null),
            adapter: said("adapter", Value::Null),
            layers: said("layers", Value::Null),
            pool: said("pool", Value::Null),
            precision: said("precision", json!(precision)),
            numerics: said("numerics", json!(numerics)),
        }
    }

    /// Tells it.
    pub(super) fn describe(self, metadata: Metadata) -> Metadata {
        metadata
            .with("model", self.model)
            .with("adapter", self.adapter)
            .with("layers", self.layers)
            .with("pool", self.pool)
            .with("precision", self.precision)
            .with("numerics", self.numerics)
    }
}

impl Numbers<'_> {
    /// `[proteins,K]` numbers, what made the vectors that they come from, and whether an earlier process did.
    ///
    /// # Errors
    /// A model that cannot be used, and what the device or the system says.
    pub(super) fn of(
        &self,
        intake: &Intake,
        device: &Device,
        context: &Context,
    ) -> anyhow::Result<(Vec<f32>, Made, bool)> {
        let asked = self.head.asked();
        let names = (self.plan.run.compute.precision.name(), device.numerics());
        let (sequences, encoder) = match (&intake.content, self.encoder) {
            (Content::Vectors(values), _) => {
                let made = Made::of_vectors(asked, intake.metadata.as_ref(), names);
                return Ok((self.head.numbers(values)?, made, false));
            }
            (Content::Sequences(sequences), encoder) => {
                (sequences, encoder.context("proteins without an encoder")?)
            }
        };
        let key = self.key(encoder, intake, device);
        if let Some((made, numbers)) = self.kept(&key, intake.count())
            && is_of(asked, encoder, &made)
        {
            return Ok((numbers, made, true));
        }
        let wish = encoder.wish(self.plan, asked);
        let list: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let family = encoder.card.about.family;
        let admit = |identity: &str| Ok(asked.check_encoder(&encoder.model, (identity, family))?);
        let encoded = encode(encoder.card.clone(), &[list], &wish, context, admit)?;
        let Encoded { sets, identity, adapter, numerics } = encoded;
        let numbers = self.head.numbers_of(sets.first().context("nothing was encoded")?)?;
        let made = Made {
            model: json!(identity),
            adapter: json!(adapter),
            layers: json!([encoder.layer]),
            pool: json!(asked.pool().name()),
            precision: json!(names.0),
            numerics: json!(numerics),
        };
        self.keep(&key, &made, &numbers)?;
        Ok((numbers, made, false))
    }

    /// BLAKE3 of everything that decides the numbers but the weights of the encoder, which the numbers themselves name.
    fn key(&self, encoder: &Encoder, intake: &Intake, device: &Device) -> blake3::Hash {
        let (asked, run) = (self.head.asked(), &self.plan.run);
        let words = json!([
            2,
            intake.digest,
            asked.identity(),
            encoder.card.about.family,
            encoder.card.adapter_identity(),
            encoder.layer,
            asked.pool().name(),
            format!("{:?}", run.long),
            run.compute.precision.name(),
            format!("{:?}", run.compute.device),
            engine::numerics_of(&encoder.card, device),
        ]);
        blake3::hash(words.to_string().as_bytes())
    }

    /// The numbers of an earlier process and what made them, where every byte is as it was written.
    fn kept(&self, key: &blake3::Hash, proteins: usize) -> Option<(Made, Vec<f32>)> {
        let bytes = fs::read(self.scratch?.join(NUMBERS)).ok()?;
        let (content, digest) = bytes.split_last_chunk::<DIGEST>()?;
        let (found, rest) = content.split_first_chunk::<DIGEST>()?;
        if found != key.as_bytes() || blake3::hash(content).as_bytes() != digest {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
        let (made, numbers) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let made = serde_json::from_slice(made).ok()?;
        let numbers: Vec<f32> =
            numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        numbers.len().is_multiple_of(proteins.max(1)).then_some((made, numbers))
    }

    fn keep(&self, key: &blake3::Hash, made: &Made, numbers: &[f32]) -> anyhow::Result<()> {
        let Some(scratch) = self.scratch else { return Ok(()) };
        fs::create_dir_all(scratch).map_err(ScreenError::io("make the folder", scratch))?;
        let path = scratch.join(NUMBERS);
        let made = serde_json::to_vec(made)?;
        let mut bytes = key.as_bytes().to_vec();
        bytes.extend((made.len() as u64).to_le_bytes());
        bytes.extend(made);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let digest = blake3::hash(&bytes);
        bytes.extend(digest.as_bytes());
        let mut file = AtomicFile::create(&path, Access::Stream)?;
        file.write_all(&bytes).map_err(|source| StoreError::io(Action::Write, &path, source))?;
        point("numbers: written");
        file.commit()?;
        point("numbers: named");
        Ok(())
    }
}

/// Whether numbers of an earlier process are those of the encoder as it is now. A head that was taught has looked whose they
/// are; one that was brought takes any encoder.
fn is_of(asked: &Asked, encoder: &Encoder, made: &Made) -> bool {
    match asked {
        Asked::Taught(head) => made.model == json!(head.card.encoder.identity),
        Asked::Brought(_) | Asked::Onnx(_) => {
            engine::verify(&encoder.card.folder).is_ok_and(|identity| made.model == json!(identity))
        }
    }
}
