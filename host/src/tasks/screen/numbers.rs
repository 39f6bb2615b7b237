//! What every protein gives to the head: computed once, and kept for a screen that goes on. The file holds BLAKE3 of what
//! decides the numbers, the numbers, and BLAKE3 of both.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_store::{Access, Action, AtomicFile, StoreError};
use serde_json::json;

use super::card;
use super::head::PairHead;
use super::proteins::{Content, Intake};
use crate::Context;
use crate::cli::screen::ScreenPlan;
use crate::screen::ScreenError;
use crate::screen::checkpoint::NUMBERS;
use crate::supervised::card::HeadFolder;
use crate::tasks::encode::{Encoded, Wish, encode, pool};

/// Bytes of a digest.
const DIGEST: usize = blake3::OUT_LEN;

/// Where numbers come from.
pub(super) struct Numbers<'a> {
    pub(super) plan: &'a ScreenPlan,
    pub(super) folder: &'a HeadFolder,
    pub(super) head: &'a PairHead,
    /// The folder of the screen.
    pub(super) scratch: Option<&'a Path>,
}

impl Numbers<'_> {
    /// `[proteins,K]` numbers, and the residues of the longest protein that the encoder was trained on.
    ///
    /// # Errors
    /// A model that cannot be used, and what the device or the system says.
    pub(super) fn of(
        &self,
        intake: &Intake,
        device: &Device,
        context: &Context,
    ) -> anyhow::Result<(Vec<f32>, Option<u32>)> {
        let sequences = match &intake.content {
            Content::Vectors(values) => return Ok((self.head.numbers(values)?, None)),
            Content::Sequences(sequences) => sequences,
        };
        let (model, card) = card(self.plan, self.folder)?;
        let longest = card.about.training_length.and_then(|length| u32::try_from(length).ok());
        let key = self.key(intake, device);
        if let Some(numbers) = self.kept(&key, intake.count()) {
            return Ok((numbers, longest));
        }
        let wish = Wish {
            layer: self.folder.card.encoder.layer,
            pool: Some(pool(self.folder.pooling())),
            long: self.plan.run.long,
            compute: self.plan.run.compute,
            cache: self.plan.run.cache.clone(),
        };
        let list: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let admit = |identity: &str| Ok(self.folder.check_encoder(&model, identity)?);
        let Encoded { sets, .. } = encode(card, &[list], &wish, context, admit)?;
        let numbers = self.head.numbers_of(sets.first().context("nothing was encoded")?)?;
        self.keep(&key, &numbers)?;
        Ok((numbers, longest))
    }

    /// BLAKE3 of everything that decides the numbers.
    fn key(&self, intake: &Intake, device: &Device) -> blake3::Hash {
        let (encoder, run) = (&self.folder.card.encoder, &self.plan.run);
        let words = json!([
            1,
            intake.digest,
            self.folder.card.weights,
            encoder.identity,
            encoder.adapter,
            encoder.layer,
            self.folder.pooling().name(),
            format!("{:?}", run.long),
            run.compute.precision.name(),
            format!("{:?}", run.compute.device),
            device.numerics(),
        ]);
        blake3::hash(words.to_string().as_bytes())
    }

    /// The numbers of an earlier process, where every byte of them is as it was written.
    fn kept(&self, key: &blake3::Hash, proteins: usize) -> Option<Vec<f32>> {
        let bytes = fs::read(self.scratch?.join(NUMBERS)).ok()?;
        let (content, digest) = bytes.split_last_chunk::<DIGEST>()?;
        let (found, numbers) = content.split_first_chunk::<DIGEST>()?;
        let is_own = found == key.as_bytes() && blake3::hash(content).as_bytes() == digest;
        let numbers: Vec<f32> =
            numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (is_own && numbers.len().is_multiple_of(proteins.max(1))).then_some(numbers)
    }

    fn keep(&self, key: &blake3::Hash, numbers: &[f32]) -> anyhow::Result<()> {
        let Some(scratch) = self.scratch else { return Ok(()) };
        fs::create_dir_all(scratch).map_err(ScreenError::io("make the folder", scratch))?;
        let path = scratch.join(NUMBERS);
        let mut bytes = key.as_bytes().to_vec();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let digest = blake3::hash(&bytes);
        bytes.extend(digest.as_bytes());
        let mut file = AtomicFile::create(&path, Access::Stream)?;
        file.write_all(&bytes).map_err(|source| StoreError::io(Action::Write, &path, source))?;
        Ok(file.commit()?)
    }
}
