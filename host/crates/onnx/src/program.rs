//! A file as tract runs it: inputs of fixed or open sides, one output, sizes told before anything is made.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::{
    DatumType, InferenceFact, InferenceModelExt as _, IntoRunnable as _, IntoTValue as _, Symbol, TDim,
    TValue, TVec, Tensor, ToDim as _, TractResult, TypedModel, TypedRunnableModel,
};
use tract_onnx::tract_core::optim::Optimizer;

use crate::error::OnnxError;
use crate::file::ModelFile;
use crate::limits::Limits;
use crate::numerics::check_environment;
use crate::results::Results;

/// The name of the open side: tokens of a record, or rows.
const OPEN: &str = "pliant_tokens";

/// Bytes of the stack of a thread that reads or runs files of others: graphs can be deep.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// Operations of a pair of tokens, about: those of attention in a layer of a hundred numbers.
const OPERATIONS_OF_PAIR: f64 = 400.0;

/// Letters of what tract says, at most.
const MOST_LETTERS: usize = 800;

/// An input as it will be given.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    /// Its name.
    pub(crate) name: String,
    /// Its number type.
    pub(crate) dtype: DatumType,
    /// Its sides; `None` is the open one.
    pub(crate) sides: Vec<Option<usize>>,
}

/// A file that is ready to run.
pub(crate) struct Program {
    path: PathBuf,
    output: String,
    plan: Arc<TypedRunnableModel>,
    /// Places of the inputs of the signature among those of the plan.
    inputs: Vec<String>,
    results: Results,
    /// Operations of a token or row, about: two for each weight.
    operations: f64,
    limits: Limits,
}

impl Program {
    /// Makes a file ready for inputs of these signatures, of which every one of the file has one, and for one output.
    ///
    /// # Errors
    /// What of the file cannot be run, or can become too large.
    pub(crate) fn new(
        file: &ModelFile,
        inputs: &[Signature],
        output: &str,
        limits: &Limits,
    ) -> Result<Self, OnnxError> {
        check_environment()?;
        check_signature(file, inputs, output)?;
        let build = || -> TractResult<(TypedModel, Symbol)> {
            let onnx = tract_onnx::onnx().with_ignore_value_info(true);
            let mut parsed = onnx.parse(file.proto(), None)?;
            if let Some(name) = parsed.unresolved_inputs.first() {
                tract_onnx::tract_core::internal::bail!("nothing makes {name:?}, which a node takes");
            }
            let open = parsed.model.symbols.sym(OPEN);
            parsed.model.symbols.add_assertion(format!("{OPEN}>=1"))?;
            for signature in inputs {
                let sides = signature
                    .sides
                    .iter()
                    .map(|side| side.map_or_else(|| open.to_dim(), |side| side.to_dim()));
                let fact = InferenceFact::dt_shape(signature.dtype, sides.collect::<TVec<TDim>>());
                let outlet = parsed.outlets_by_name[&signature.name];
                parsed.model.set_outlet_fact(outlet, fact)?;
            }
            let outlet = parsed.outlets_by_name[output];
            parsed.model.select_output_outlets(&[outlet])?;
            let mut typed = parsed.model.into_typed()?;
            simplify(&mut typed)?;
            Ok((typed, open))
        };
        let path = file.path();
        let (typed, open) = guarded(path, "reading the graph", build)?;
        let results = Results::of(path, &typed, open)?;
        results.check(path, 1, limits)?;
        let prepare = move || -> TractResult<_> {
            let mut typed = typed;
            typed.optimize()?;
            let plan = typed.into_runnable()?;
            let model = plan.model();
            let names = model.inputs.iter().map(|outlet| model.nodes()[outlet.node].name.clone());
            let names = names.collect::<Vec<_>>();
            Ok((plan, names))
        };
        let (plan, inputs) = guarded(path, "preparing the graph", prepare)?;
        let operations = 2.0 * file.parameters() as f64;
        let (path, output) = (path.to_owned(), output.to_owned());
        Ok(Self { path, output, plan, inputs, results, operations, limits: *limits })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its output.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Runs it on inputs by name, whose open side is `open`: the shape of the output, and its numbers as f32.
    ///
    /// # Errors
    /// Results that would be too large, a call that takes too long, and what goes wrong within tract.
    pub(crate) fn run(
        &self,
        given: &mut BTreeMap<&str, Tensor>,
        open: usize,
    ) -> Result<(Vec<usize>, Vec<f32>), OnnxError> {
        self.results.check(&self.path, open, &self.limits)?;
        let mut inputs: Vec<Tensor> = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs {
            let Some(tensor) = given.remove(name.as_str()) else {
                let reason = format!("nothing is given for the input {name:?}");
                return Err(OnnxError::Signature { path: self.path.clone(), reason });
            };
            inputs.push(tensor);
        }
        let (plan, path) = (Arc::clone(&self.plan), self.path.clone());
        let work = move || {
            guarded_here(&path, "running it", || {
                let inputs: TVec<TValue> = inputs.into_iter().map(Tensor::into_tvalue).collect();
                let outputs = plan.run(inputs)?;
                let Some(output) = outputs.first() else { return Ok((Vec::new(), Vec::new())) };
                let values = output.cast_to::<f32>()?;
                Ok((values.shape().to_vec(), values.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()))
            })
        };
        let tokens = open as f64;
        let time = self.limits.time(tokens * (self.operations + OPERATIONS_OF_PAIR * tokens));
        within(&self.path, time, work)
    }

    /// Refuses numbers of rows of `width` that are none.
    pub(crate) fn check_finite(&self, values: &[f32], width: usize) -> Result<(), OnnxError> {
        let Some(place) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let (path, output, width) = (self.path.clone(), self.output.clone(), width.max(1));
        Err(OnnxError::NotFinite {
            path,
            output,
            row: place / width,
            column: place % width,
            value: values[place],
        })
    }

    /// The error of an output of another shape.
    pub(crate) fn wrong_shape(&self, found: Vec<usize>, wanted: String) -> OnnxError {
        OnnxError::Shape { path: self.path.clone(), output: self.output.clone(), found, wanted }
    }
}

/// Simplifies a graph as tract does, but for one step: where a mask is the same everywhere, it puts one number in its place and
/// forgets how wide the table was that the mask was to make.
fn simplify(model: &mut TypedModel) -> TractResult<()> {
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with("FoldUniformMask"));
    optimizer.optimize(model)
}

/// Compares what will be given with what the file takes.
fn check_signature(file: &ModelFile, inputs: &[Signature], output: &str) -> Result<(), OnnxError> {
    let refuse = |reason| Err(OnnxError::Signature { path: file.path().to_owned(), reason });
    let taken = file.inputs();
    let names = |names: Vec<&str>| names.join(", ");
    if let Some((name, _)) = taken.iter().find(|(name, _)| !inputs.iter().any(|input| input.name == *name)) {
        return refuse(format!("it takes the input {name:?}, which the sidecar does not give"));
    }
    if let Some(input) = inputs.iter().find(|input| !taken.iter().any(|(name, _)| *name == input.name)) {
        let taken = names(taken.iter().map(|(name, _)| *name).collect());
        return refuse(format!("the sidecar gives {:?}, and it takes {taken}", input.name));
    }
    if !file.outputs().contains(&output) {
        return refuse(format!(
            "the sidecar wants the output {output:?}, and it has {}",
            names(file.outputs())
        ));
    }
    Ok(())
}

/// The number type of an input that takes whole numbers or numbers.
pub(crate) fn datum_type(dtype: DataType) -> Option<DatumType> {
    match dtype {
        DataType::Int64 => Some(DatumType::I64),
        DataType::Int32 => Some(DatumType::I32),
        DataType::Float => Some(DatumType::F32),
        DataType::Bool => Some(DatumType::Bool),
        _ => None,
    }
}

thread_local! {
    /// Whether a panic of this thread is expected, and is nobody's to see.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Does something with a file of others on a thread with a deep stack; whatever goes wrong is an error.
fn guarded<T: Send>(
    path: &Path,
    stage: &'static str,
    work: impl FnOnce() -> TractResult<T> + Send,
) -> Result<T, OnnxError> {
    let failed = |source| OnnxError::Io { action: "start a thread for", path: path.to_owned(), source };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("onnx".to_owned()).stack_size(STACK_BYTES);
        let thread = builder.spawn_scoped(scope, || guarded_here(path, stage, work)).map_err(failed)?;
        thread.join().unwrap_or_else(|cause| Err(panicked(path, stage, &*cause)))
    })
}

/// Does something on a thread with a deep stack, for so long and no longer. Nothing within tract can be stopped, so a thread
/// that takes longer is left behind, and ends with the program, which its error ends.
fn within<T: Send + 'static>(
    path: &Path,
    time: Duration,
    work: impl FnOnce() -> Result<T, OnnxError> + Send + 'static,
) -> Result<T, OnnxError> {
    let (sender, receiver) = mpsc::channel();
    let builder = thread::Builder::new().name("onnx".to_owned()).stack_size(STACK_BYTES);
    // Nobody listens to who comes too late.
    let spawned = builder.spawn(move || drop(sender.send(work())));
    spawned.map_err(|source| OnnxError::Io {
        action: "start a thread for",
        path: path.to_owned(),
        source,
    })?;
    receiver.recv_timeout(time).unwrap_or_else(|cause| match cause {
        RecvTimeoutError::Timeout => Err(OnnxError::Slow { path: path.to_owned(), time }),
        RecvTimeoutError::Disconnected => Err(panicked(path, "running it", &"its thread has ended")),
    })
}

/// The same on this thread.
fn guarded_here<T>(
    path: &Path,
    stage: &'static str,
    work: impl FnOnce() -> TractResult<T>,
) -> Result<T, OnnxError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if !EXPECTED.get() {
                before(about);
            }
        }));
    });
    let was = EXPECTED.replace(true);
    // What is left half done is dropped: a program that panicked answers for this record no more.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(was);
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let reason = shortened(&format!("{error:#}"));
            Err(OnnxError::Graph { path: path.to_owned(), stage, reason })
        }
        Err(cause) => Err(panicked(path, stage, &*cause)),
    }
}

fn panicked(path: &Path, stage: &'static str, cause: &(dyn Any + Send)) -> OnnxError {
    let text =
        cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    let reason = format!("tract gave up: {}", shortened(text.unwrap_or("for no reason that it tells")));
    OnnxError::Graph { path: path.to_owned(), stage, reason }
}

/// The beginning of a text, in one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_file_and_stage() {
        let path = Path::new("m.onnx");
        for work in [
            || -> TractResult<()> { panic!("beyond the end") },
            || -> TractResult<()> {
                let empty: Vec<u8> = Vec::new();
                Err(tract_onnx::tract_core::internal::format_err!("{}", empty[0]))
            },
        ] {
            for error in [guarded(path, "running it", work), guarded_here(path, "running it", work)] {
                let told = error.unwrap_err().to_string();
                assert!(told.starts_with("m.onnx: running it: tract gave up: "), "{told}");
            }
        }
        assert!(!EXPECTED.get());
    }

    #[test]
    fn what_takes_too_long_is_left_behind() {
        let path = Path::new("m.onnx");
        let done = within(path, Duration::from_secs(60), || Ok(7));
        assert_eq!(done.unwrap(), 7);
        let slow = || {
            thread::sleep(Duration::from_secs(5));
            Ok(7)
        };
        let told = within(path, Duration::from_millis(20), slow).unwrap_err().to_string();
        assert_eq!(told, "m.onnx: running it took more than 0.02 s");
        let told = within::<()>(path, Duration::from_secs(60), || panic!("gone")).unwrap_err().to_string();
        assert!(told.contains("its thread has ended"), "{told}");
    }
}
