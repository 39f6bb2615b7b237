//! Products of low rank beside matrices as these are taken: added to their numbers, or kept apart.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pliant_tensor::low_rank::merged;
use pliant_tensor::{LowRank, Param, ParamKind, Switch, TensorError};

use super::Weights;
use crate::error::CheckpointError;

/// The numbers of a product of low rank beside a matrix `[N,K]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRankValues {
    /// A, its rank.
    pub rank: usize,
    /// s, what the product counts.
    pub scale: f32,
    /// `A [A,K]`
    pub a: Vec<f32>,
    /// `B [N,A]`
    pub b: Vec<f32>,
}

/// What becomes of such products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Siding {
    /// They are added to the numbers of their matrices.
    Merged,
    /// They stay apart.
    Beside {
        /// Whether they can be trained; what they stand beside cannot.
        trainable: bool,
        /// Part of what they read that is dropped in training.
        dropout: f32,
    },
}

/// Products by the canonical names of their matrices.
#[derive(Debug)]
pub struct Sides {
    /// Their numbers.
    pub values: BTreeMap<String, LowRankValues>,
    /// What becomes of them.
    pub siding: Siding,
    /// What turns all of them on and off that stay apart.
    pub switch: Switch,
}

/// A product that stays apart.
#[derive(Debug, Clone)]
pub struct Side {
    /// Canonical name of its matrix.
    pub name: String,
    /// The product.
    pub low_rank: LowRank,
}

/// First number of what is dropped beside matrices: "LORA", the last bits counted on.
const DROPOUT: u32 = 0x4c4f_0000;

impl Weights {
    /// The same source with these products beside its matrices, or in them.
    #[must_use]
    pub fn with_sides(self, sides: Sides) -> Self {
        Self { sides: Some(Rc::new(sides)), ..self }
    }

    /// The products given out so far that stay apart.
    #[must_use]
    pub fn sides(&self) -> Vec<Side> {
        self.log.borrow().sides.clone()
    }

    /// The numbers of a matrix with those of its product, where that is to be added.
    pub(super) fn merged(
        &self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Vec<f32>, CheckpointError> {
        let Some(sides) = self.sides.as_deref().filter(|sides| sides.siding == Siding::Merged) else {
            return Ok(values);
        };
        let (Some(side), &[outputs, inputs]) = (sides.values.get(name), shape) else { return Ok(values) };
        let shape = [outputs, side.rank, inputs];
        merged(&self.device, &values, (&side.a, &side.b), shape, side.scale).map_err(failed(name))
    }

    /// A parameter with its product beside it, where that stays apart.
    pub(super) fn beside(
        &self,
        name: &str,
        param: Param,
        kept: bool,
    ) -> Result<(Param, Option<Side>), CheckpointError> {
        let Some(sides) = self.sides.as_deref().filter(|_| kept) else { return Ok((param, None)) };
        let Siding::Beside { trainable, dropout } = sides.siding else { return Ok((param, None)) };
        let place = sides.values.keys().position(|known| known == name);
        let (Some(place), &[outputs, inputs]) = (place, param.shape()) else { return Ok((param, None)) };
        let Some(side) = sides.values.get(name) else { return Ok((param, None)) };
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let narrow = |what: &str, shape: [usize; 2], values: &[f32]| -> Result<Arc<Param>, TensorError> {
            let name = format!("{module}.{what}.weight");
            let make = if trainable { Param::trainable } else { Param::frozen };
            make(&self.device, self.precision, &name, &shape, values, ParamKind::Matrix).map(Arc::new)
        };
        let low_rank = LowRank {
            a: narrow("lora_A", [side.rank, inputs], &side.a).map_err(failed(name))?,
            b: narrow("lora_B", [outputs, side.rank], &side.b).map_err(failed(name))?,
            scale: side.scale,
            dropout,
            op_id: DROPOUT + place as u32,
            active: sides.switch.clone(),
        };
        let param = param.with_side(low_rank.clone()).map_err(failed(name))?;
        Ok((param, Some(Side { name: name.to_owned(), low_rank })))
    }
}

fn failed(name: &str) -> impl Fn(TensorError) -> CheckpointError {
    move |source| CheckpointError::Parameter { name: name.to_owned(), source: Box::new(source) }
}
