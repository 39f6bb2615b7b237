//! Recomputation: memory of a part of the model for the time of running it twice.

use crate::error::TensorError;
use crate::gradients::Gradients;
use crate::tape::Tape;
use crate::tensor::{Slot, Tensor};
use pliant_kernels::Buffer;

impl Tape {
    /// Runs `part` and keeps nothing of it but its `inputs`; the backward runs it again, recorded.
    ///
    /// Values and gradients have the same bits as without the checkpoint. Recorded tensors must come in
    /// through `inputs`, not be caught by the closure. `part` must do the same on every call.
    ///
    /// # Errors
    /// Those of `part`, and [`TensorError::Foreign`] when the closure has caught a recorded tensor.
    pub fn checkpoint(
        &self,
        inputs: &[&Tensor],
        part: impl Fn(&Self, &[Tensor]) -> Result<Tensor, TensorError> + 'static,
    ) -> Result<Tensor, TensorError> {
        let detached: Vec<_> = inputs.iter().map(|input| input.detach()).collect();
        if !self.is_on() {
            return part(self, &detached);
        }
        let watch = self.watch();
        let output = part(&watch, &detached)?;
        if output.is_tracked() {
            return Err(TensorError::Foreign { op: "checkpoint" });
        }
        let params = watch.touched();
        if !self.wants("checkpoint", inputs, &params.iter().collect::<Vec<_>>())? {
            return Ok(output);
        }
        let slots = inputs.iter().map(|input| input.slot()).collect();
        let saved = Saved { tape: watch.replay(), inputs: detached, slots };
        Ok(self.record(output, move |gradients, grad| saved.replay(gradients, grad, &part)))
    }
}

/// What a checkpoint keeps.
struct Saved {
    /// What the part is recorded on when it is run again.
    tape: Tape,
    inputs: Vec<Tensor>,
    slots: Vec<Option<Slot>>,
}

impl Saved {
    fn replay(
        self,
        outer: &mut Gradients,
        grad: Buffer<f32>,
        part: impl Fn(&Tape, &[Tensor]) -> Result<Tensor, TensorError>,
    ) -> Result<(), TensorError> {
        let leaves = self.leaves(outer);
        let Self { tape, slots, .. } = self;
        let output = part(&tape, &leaves)?;
        let mut inner = tape.gradients();
        // What later operations have already added to an input comes first, as it would on one tape:
        // sums of floats depend on their order.
        for (leaf, before) in leaves.iter().zip(&slots) {
            if let Some(sum) = before.and_then(|slot| outer.take(slot.index)) {
                inner.put(leaf.slot(), sum);
            }
        }
        inner.add(output.slot(), grad)?;
        tape.play(&mut inner)?;
        for (leaf, &slot) in leaves.iter().zip(&slots) {
            if let Some(sum) = leaf.slot().and_then(|slot| inner.take(slot.index)) {
                outer.put(slot, sum);
            }
        }
        outer.mark_all_of(&inner);
        Ok(())
    }

    /// The inputs on the inner tape. One that came in twice is one leaf, with one sum of gradients.
    fn leaves(&self, outer: &Gradients) -> Vec<Tensor> {
        let mut leaves: Vec<Tensor> = Vec::with_capacity(self.inputs.len());
        for (index, (input, slot)) in self.inputs.iter().zip(&self.slots).enumerate() {
            let twin = slot.and_then(|_| self.slots[..index].iter().position(|other| other == slot));
            leaves.push(match (twin, slot) {
                (Some(twin), _) => leaves[twin].clone(),
                (None, &Some(slot)) => {
                    let leaf = self.tape.leaf(input);
                    if let Some(sums) = outer.sums(slot) {
                        self.tape.through_gelu(leaf.slot(), sums);
                    }
                    leaf
                }
                (None, None) => input.clone(),
            });
        }
        leaves
    }
}
