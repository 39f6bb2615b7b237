//! Adapters as the host sees them: read for a model, and found beside a head.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::adapter::read_adapter;
use pliant_models::{Adapter, Adapting, load_adapted};

use super::family::{Card, card};
use crate::exit::TaskError;
use crate::supervised::HeadError;
use crate::supervised::card::HeadFolder;

/// An adapter for the model of a card.
#[derive(Debug, Clone)]
pub struct CardAdapter {
    /// Where it was read.
    pub folder: PathBuf,
    /// The adapter.
    pub adapter: Arc<Adapter>,
    /// What it is, in hex.
    pub identity: String,
}

impl Card {
    /// The same model with the adapter in `folder`, where one is named.
    ///
    /// # Errors
    /// An adapter that cannot be used, or is of another model.
    pub fn adapted(self, folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else { return Ok(self) };
        if self.sidecar.is_some() {
            let what = "--adapter: an adapter changes weights, and those of an ONNX file stay as they are"
                .to_owned();
            return Err(TaskError::Usage { what }.into());
        }
        let adapter = read_adapter(folder, &self.folder)
            .with_context(|| format!("the adapter {} cannot be used", folder.display()))?;
        let identity = adapter.identity();
        let adapter = CardAdapter { folder: folder.to_owned(), adapter: Arc::new(adapter), identity };
        Ok(Self { adapter: Some(adapter), ..self })
    }

    /// The identity of the adapter, where there is one.
    pub fn adapter_identity(&self) -> Option<&str> {
        self.adapter.as_ref().map(|adapter| adapter.identity.as_str())
    }
}

/// The card of a model, with an adapter where one is named.
///
/// # Errors
/// As [`card`], and an adapter that cannot be used.
pub fn adapted_card(model: &Path, adapter: Option<&Path>) -> anyhow::Result<Card> {
    card(model)?.adapted(adapter)
}

/// Writes the model of a card with its adapter added to its weights as the model folder `out`, in 32 bits.
///
/// # Errors
/// A model or an adapter that cannot be used, and a folder that cannot be made.
pub fn merge(card: &Card, out: &Path) -> anyhow::Result<()> {
    let unusable = || format!("the model {} cannot be used", card.folder.display());
    let adapter = card.adapter.as_ref().context("a model without an adapter")?;
    let device = Device::cpu(1)?;
    let merged = Adapting::Merged(&adapter.adapter);
    let loaded = load_adapted(&card.folder, (&device, Precision::F32), merged).with_context(unusable)?;
    Ok(loaded.save(&card.vocabulary.text(), out)?)
}

/// The card of the encoder that a head reads, with the adapter that it was taught with: the model named, or the head's own.
/// Its weights are to be compared when they are loaded ([`HeadFolder::check_encoder`]).
///
/// # Errors
/// As [`card`], and an adapter that is missing, cannot be used, or is not the one that the head was taught with.
pub fn card_of_head(head: &HeadFolder, model: Option<&Path>, adapter: Option<&Path>) -> anyhow::Result<Card> {
    let own = head.adapter();
    let card = card(&head.encoder(model)?)?.adapted(adapter.or(own.as_deref()))?;
    let (found, wanted) = (card.adapter_identity(), head.card.encoder.adapter.as_deref());
    if found == wanted {
        return Ok(card);
    }
    let told = |identity: Option<&str>| identity.unwrap_or("none").to_owned();
    let folder = head.path.clone();
    Err(HeadError::Adapter { folder, found: told(found), wanted: told(wanted) }.into())
}
