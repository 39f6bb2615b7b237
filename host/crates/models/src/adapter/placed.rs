//! An adapter in a model: added to its matrices, or beside them, where it can be trained, changed and turned off.

use std::path::Path;

use pliant_kernels::{Device, Precision};
use pliant_nn::{LowRankValues, Side, Sides, Siding, Take};
use pliant_tensor::Switch;

use super::{Adapted, Adapter, RECURRENT, listed};
use crate::error::ModelError;
use crate::import::Import;
use crate::{Loaded, assembled};

/// What becomes of an adapter in a model.
#[derive(Debug, Clone, Copy)]
pub enum Adapting<'a> {
    /// It is added to the matrices, which costs nothing afterwards.
    Merged(&'a Adapter),
    /// It stays beside them and alone can be trained.
    Beside(&'a Adapter),
}

impl Adapting<'_> {
    fn adapter(&self) -> &Adapter {
        match self {
            Self::Merged(adapter) | Self::Beside(adapter) => adapter,
        }
    }
}

/// An adapter beside the matrices of a model.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The adapter as it was put there.
    begun: Adapter,
    sides: Vec<Side>,
    switch: Switch,
}

/// Loads a model folder with an adapter; the weights of the model itself never change.
///
/// # Errors
/// As [`crate::load`], and for an adapter that is none of this model.
pub fn load_adapted(
    folder: &Path,
    (device, precision): (&Device, Precision),
    adapting: Adapting<'_>,
) -> Result<Loaded, ModelError> {
    let import = Import::open(folder, device, precision)?;
    import.require_all(folder)?;
    let adapter = adapting.adapter();
    let known: Vec<(String, Option<usize>)> =
        listed(&*import.blueprint).map(|(_, name, layer)| (name, layer)).collect();
    if let Some(name) = adapter.matrices.keys().find(|name| !known.iter().any(|(known, _)| known == *name)) {
        let problem = format!("the adapter is of another model: it adapts {name:?}");
        return Err(ModelError::Adapter { path: folder.to_owned(), problem });
    }
    if matches!(adapting, Adapting::Beside(_)) && adapter.dropout > 0.0 {
        let mut recurrent = listed(&*import.blueprint).filter(|(word, ..)| *word == RECURRENT);
        if let Some((_, name, _)) = recurrent.find(|(_, name, _)| adapter.matrices.contains_key(name)) {
            let problem = format!(
                "the adapter drops numbers before {name:?}, which a layer multiplies its own states with: take a dropout of 0, or \
                 no {RECURRENT} matrices"
            );
            return Err(ModelError::Adapter { path: folder.to_owned(), problem });
        }
    }
    let (last, _) = import.blueprint.sizes();
    let layer = |name: &str| {
        let found = known.iter().find(|(known, _)| known == name);
        Some(found.and_then(|(_, layer)| *layer).unwrap_or(last))
    };
    let still = adapter.lowest(layer).map_or(0, |lowest| lowest - 1);
    let siding = match adapting {
        Adapting::Merged(_) => Siding::Merged,
        Adapting::Beside(_) => Siding::Beside { trainable: true, dropout: adapter.dropout as f32 },
    };
    let switch = Switch::default();
    let values = adapter.matrices.iter().map(|(name, adapted)| (name.clone(), adapted.values.clone()));
    let sides = Sides { values: values.collect(), siding, switch: switch.clone() };
    let weights = import.weights.take(Take::Values { trainable: false }).with_sides(sides);
    let loaded = assembled(&import, folder, &weights)?;
    let placed = matches!(adapting, Adapting::Beside(_)).then(|| Placed {
        begun: adapter.clone(),
        sides: weights.sides(),
        switch,
    });
    Ok(Loaded { still, placed, ..loaded })
}

impl Loaded {
    /// The adapter beside the matrices with the numbers that it has now; none where there is none.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when a device does not give its numbers.
    pub fn adapter(&self) -> Result<Option<Adapter>, ModelError> {
        let Some(Placed { begun, sides, .. }) = &self.placed else { return Ok(None) };
        let mut adapter = begun.clone();
        for Side { name, low_rank } in sides {
            if let Some(Adapted { values, .. }) = adapter.matrices.get_mut(name) {
                (values.a, values.b) = (low_rank.a.values()?, low_rank.b.values()?);
            }
        }
        Ok(Some(adapter))
    }

    /// Turns the adapter beside the matrices on or off; off, the model is what it is without.
    pub fn switch_adapter(&self, on: bool) {
        if let Some(Placed { switch, .. }) = &self.placed {
            switch.set(on);
        }
    }

    /// Puts another adapter of the same form into the place of the one beside the matrices.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] where there is no adapter, or one of other matrices, ranks or scales; nothing has changed then.
    pub fn swap_adapter(&self, other: &Adapter) -> Result<(), ModelError> {
        let refuse = |problem: &str| {
            Err(ModelError::Adapter { path: "the adapter".into(), problem: problem.to_owned() })
        };
        let Some(Placed { begun, sides, .. }) = &self.placed else {
            return refuse("has none beside the matrices to take the place of");
        };
        let form = |adapter: &Adapter| -> Vec<(String, usize, u32)> {
            let of = |(name, Adapted { values, .. }): (&String, &Adapted)| {
                let LowRankValues { rank, scale, .. } = values;
                (name.clone(), *rank, scale.to_bits())
            };
            adapter.matrices.iter().map(of).collect()
        };
        if form(begun) != form(other) {
            return refuse("has other matrices, ranks or scales than the one whose place it is to take");
        }
        for Side { name, low_rank } in sides {
            if let Some(Adapted { values, .. }) = other.matrices.get(name) {
                low_rank.a.set_values(&values.a)?;
                low_rank.b.set_values(&values.b)?;
            }
        }
        Ok(())
    }
}
