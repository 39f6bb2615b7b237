//! A head that is asked and not taught.

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::heads::{Given, LoadedHead};
use pliant_nn::Live;
use pliant_tensor::{Tape, Tensor};

use crate::supervised::card::HeadFolder;

/// A head on a device. It computes in f32 whatever its encoder does.
pub struct Judge {
    head: LoadedHead,
    device: Device,
    width: usize,
}

impl Judge {
    /// The head of a folder.
    ///
    /// # Errors
    /// Weights that are damaged or do not fit.
    pub fn load(folder: &HeadFolder, device: &Device) -> anyhow::Result<Self> {
        let place = (device, Precision::F32);
        let head = LoadedHead::load(&folder.weights(), &folder.card.head, place, false)
            .with_context(|| format!("the head {} cannot be used", folder.path.display()))?;
        Ok(Self { head, device: device.clone(), width: folder.card.head.inputs })
    }

    /// Its weights under the names of files.
    pub(super) fn weights(&self) -> &[Live] {
        self.head.weights()
    }

    /// The numbers that the head gives for rows: vectors of sequences, or with `spans` states of residues and where those of
    /// each sequence stand; of pairs the first ones before the second ones. The numbers of one do not depend on the others.
    ///
    /// # Errors
    /// Rows that do not fit.
    pub fn answer(&self, rows: &[f32], spans: Option<&[(usize, usize)]>) -> anyhow::Result<Vec<f32>> {
        let tape = Tape::off(&self.device, Precision::F32);
        let rows = Tensor::from_f32(&self.device, [rows.len() / self.width, self.width], rows)?;
        let given = spans.map_or(Given::Vectors(&rows), |spans| Given::States(&rows, spans));
        Ok(self.head.forward(&tape, given)?.to_vec_f32())
    }
}
