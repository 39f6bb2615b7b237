//! The sizes of all that a graph makes on the way, told before anything is made.

use std::collections::BTreeMap;
use std::path::Path;

use tract_onnx::prelude::{Symbol, SymbolValues, TDim, TVec, TypedFact, TypedModel};
use tract_onnx::tract_core::ops::scan::Scan;

use crate::error::OnnxError;
use crate::limits::Limits;

/// The sizes of all that is made on the way, and what of it is held at once.
pub(crate) struct Results {
    open: Symbol,
    shapes: Vec<Shape>,
    /// In the order of running.
    steps: Vec<Step>,
}

/// A shape that something has.
struct Shape {
    sides: TVec<TDim>,
    /// Bytes of a number.
    width: u64,
    /// The first node that makes it.
    node: String,
}

/// A node as it runs: the shapes of what it makes, and of what nobody needs after it.
#[derive(Default)]
struct Step {
    made: Vec<usize>,
    over: Vec<usize>,
}

impl Results {
    /// Those of a graph whose open side is `open`.
    ///
    /// # Errors
    /// A size that does not follow from the open side.
    pub(crate) fn of(path: &Path, model: &TypedModel, open: Symbol) -> Result<Self, OnnxError> {
        let mut found = BTreeMap::new();
        collect(model, &mut found);
        let numbers: BTreeMap<String, usize> = found.keys().cloned().zip(0..).collect();
        let steps = steps(model, &numbers).map_err(|reason| OnnxError::Graph {
            path: path.to_owned(),
            stage: "reading the graph",
            reason,
        })?;
        let results = Self { open, shapes: found.into_values().collect(), steps };
        for Shape { sides, node, .. } in &results.shapes {
            if results.elements(sides, 1).is_none() {
                let reason =
                    format!("the size of what node {node:?} makes does not follow from the number of tokens");
                return Err(OnnxError::Graph { path: path.to_owned(), stage: "reading the graph", reason });
            }
        }
        Ok(results)
    }

    /// The product of sides once the open one is known.
    fn elements(&self, sides: &[TDim], open: usize) -> Option<u64> {
        let values = SymbolValues::default().with(&self.open, i64::try_from(open).ok()?);
        let side = |side: &TDim| side.eval_to_i64(&values).ok().map(|side| u64::try_from(side).unwrap_or(0));
        sides.iter().map(side).try_fold(1u64, |product, side| Some(product.saturating_mul(side?)))
    }

    /// Refuses an open side with which something, or all that is held at once, would be too large.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`].
    pub(crate) fn check(&self, path: &Path, open: usize, limits: &Limits) -> Result<(), OnnxError> {
        let refuse = |what: String, found, limit| {
            Err(OnnxError::TooLarge { path: path.to_owned(), what, found, limit })
        };
        let mut sizes = Vec::with_capacity(self.shapes.len());
        for Shape { sides, width, node } in &self.shapes {
            let size = self.elements(sides, open).unwrap_or(u64::MAX).saturating_mul(*width);
            if size > limits.result_bytes {
                let what = format!("what node {node:?} makes of {open} tokens or rows, in bytes");
                return refuse(what, size, limits.result_bytes);
            }
            sizes.push(size);
        }
        let mut held = 0u64;
        for Step { made, over } in &self.steps {
            held = made.iter().fold(held, |held, &shape| held.saturating_add(sizes[shape]));
            if held > limits.held_bytes {
                let what = format!("what it holds at once of {open} tokens or rows, in bytes");
                return refuse(what, held, limits.held_bytes);
            }
            held = over.iter().fold(held, |held, &shape| held.saturating_sub(sizes[shape]));
        }
        Ok(())
    }
}

/// What tells shapes apart.
fn key(fact: &TypedFact) -> String {
    let sides: TVec<TDim> = fact.shape.iter().cloned().collect();
    format!("{} {sides:?}", width(fact))
}

fn width(fact: &TypedFact) -> u64 {
    fact.datum_type.size_of().max(1) as u64
}

/// The shapes of all results of a graph and of the bodies within it. What is constant is there already.
fn collect(model: &TypedModel, found: &mut BTreeMap<String, Shape>) {
    for node in model.nodes() {
        for fact in node.outputs.iter().map(|output| &output.fact).filter(|fact| fact.konst.is_none()) {
            found.entry(key(fact)).or_insert_with(|| Shape {
                sides: fact.shape.iter().cloned().collect(),
                width: width(fact),
                node: node.name.clone(),
            });
        }
        if let Some(scan) = node.op_as::<Scan>() {
            collect(&scan.body, found);
        }
    }
}

/// The nodes of a graph in their order, with what is made and what is needed no more.
fn steps(model: &TypedModel, numbers: &BTreeMap<String, usize>) -> Result<Vec<Step>, String> {
    let order = model.eval_order().map_err(|error| format!("{error:#}"))?;
    let places: BTreeMap<usize, usize> = order.iter().copied().zip(0..).collect();
    let mut steps: Vec<Step> = order.iter().map(|_| Step::default()).collect();
    for (place, &number) in order.iter().enumerate() {
        for (slot, output) in model.nodes()[number].outputs.iter().enumerate() {
            let shape = numbers.get(&key(&output.fact)).filter(|_| output.fact.konst.is_none());
            let Some(&shape) = shape else { continue };
            steps[place].made.push(shape);
            let is_last = model.outputs.iter().any(|outlet| (outlet.node, outlet.slot) == (number, slot));
            let users = output.successors.iter().filter_map(|inlet| places.get(&inlet.node));
            // What nobody takes is over at once.
            let last = users.copied().max().unwrap_or(place);
            if !is_last {
                steps[last].over.push(shape);
            }
        }
    }
    Ok(steps)
}
