//! What every task does that computes something of proteins: read, load, compute, tell.

mod cached;
mod estimate;
mod provenance;
mod survey;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pliant_kernels::{Device, Precision};
use pliant_seq::{Item, LongPolicy, RecordError, RecordReader, Source, Windows};
use pliant_store::{Metadata, OutputSet};
use serde_json::Value;

use crate::cli::print::{Printer, Progress};
use crate::cli::reading::OnError;
use crate::cli::shared::{ComputePlan, DeviceChoice, Long, LongPlan, RunPlan};
use crate::engine::{Card, Engine};
use crate::exit::TaskError;
use crate::pipeline::{self, Masks, Output, Reading, Recall, Row, Work};
use crate::tasks::{files, intake};
use crate::{Context, device, machine};
use estimate::Estimate;
pub(super) use estimate::{ID_CHARS, PROGRAM_BYTES, assumed_flops_per_second};
use provenance::{Ended, Provenance};
pub(super) use survey::{Selection, Survey};

/// What is asked of a run.
pub(super) struct Order<'a> {
    /// When it began.
    pub(super) start: Instant,
    /// The name of the task.
    pub(super) task: &'static str,
    /// What every command has.
    pub(super) plan: &'a RunPlan,
    /// The inputs in their order.
    pub(super) sources: Vec<Source>,
    /// What is computed.
    pub(super) output: Output,
    /// Which residues are masked.
    pub(super) masks: Masks,
}

/// Sizes of the files of a run.
pub(super) struct Sizes {
    /// Bytes of results that wait in the writers.
    pub(super) held_bytes: u64,
    /// Bytes of the files, for the answer to `--dry-run`.
    pub(super) output_bytes: Value,
}

/// A run whose input was read once.
pub(super) struct Ready<'a> {
    order: Order<'a>,
    card: Card,
    long: LongPolicy,
    survey: Survey,
}

/// A run whose model is loaded.
pub(super) struct Session<'a> {
    order: Order<'a>,
    engine: Engine,
    long: LongPolicy,
    survey: Survey,
    recall: Option<Recall>,
    batch_tokens: usize,
}

/// What the computing took.
pub(super) struct Computed {
    reading: Reading,
    time: Duration,
}

impl<'a> Ready<'a> {
    /// Reads the input once, to know what there is.
    ///
    /// # Errors
    /// A device that is not there, windows that cannot be, and an input that cannot be read.
    pub(super) fn new(card: Card, order: Order<'a>) -> anyhow::Result<Self> {
        device::check(&order.plan.compute)?;
        check_brought(&card, &order)?;
        let long = long_policy(&order.plan.long, card.about.training_length)?;
        let rules = survey::Rules {
            read: order.plan.read,
            long,
            asked: order.plan.long.policy,
            trained: trained(&card, &long),
            ability: order.output.ability(&card),
            masks: &order.masks,
        };
        let survey = Survey::of(&order.sources, &rules)?;
        Ok(Self { order, card, long, survey })
    }

    /// Numbers of a row of the results.
    pub(super) fn width(&self) -> usize {
        self.card.row_width(&self.order.output.head())
    }

    /// What is computed, once the policy for long records is known.
    pub(super) fn selection(&self) -> &Selection {
        &self.survey.selection
    }

    /// The answer to `--dry-run`.
    pub(super) fn answer(&self, sizes: &Sizes) -> Value {
        estimate::dry_run(self, sizes)
    }

    /// Writes the answer to `--dry-run`.
    ///
    /// # Errors
    /// A standard output that cannot be written.
    pub(super) fn tell(&self, sizes: &Sizes, print: &Printer) -> anyhow::Result<()> {
        Ok(print.data(&format!("{:#}\n", self.answer(sizes)))?)
    }

    /// Loads the model and opens the cache, once nothing speaks against it.
    ///
    /// # Errors
    /// Failed records, where they end a run; no record at all; more memory than there is; and a model that cannot be
    /// used.
    pub(super) fn load(self, sizes: &Sizes, print: &Printer) -> anyhow::Result<Session<'a>> {
        refuse_failures(self.order.plan, &self.survey)?;
        self.survey.wants_records()?;
        self.survey.warnings.iter().for_each(|warning| print.warning(&warning.message));
        fits_in_memory(&Estimate::of(&self, sizes))?;
        let Self { order, card, long, survey } = self;
        let precision = order.plan.compute.precision;
        let place = match card.sidecar {
            // tract computes on the processor alone, and so does what pools its states.
            Some(_) => device::open(&ComputePlan { device: DeviceChoice::Cpu, ..order.plan.compute }, print)?,
            None => device::open(&order.plan.compute, print)?,
        };
        let mut engine = Engine::load(card, place, precision, order.output.head())?;
        engine.use_threads(order.plan.compute.threads);
        let bytes = engine.card().pack_bytes(1024).div_ceil(1024);
        let batch_tokens =
            device::batch_tokens(engine.device(), &order.plan.compute, &engine.card().about, bytes)?;
        let mut session = Session { order, engine, long, survey, recall: None, batch_tokens };
        session.recall =
            session.order.plan.cache.as_ref().map(|place| cached::open(place, &session.provenance()));
        Ok(session)
    }
}

impl Session<'_> {
    /// What computes.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is computed.
    pub(super) fn selection(&self) -> &Selection {
        &self.survey.selection
    }

    /// What a table of the results called `kind` tells of itself. The layers are filled in by the writers.
    pub(super) fn metadata(&self, kind: &str, dtype: &str) -> Metadata {
        self.provenance().metadata(kind, dtype)
    }

    /// The name of what is computed, for results of residues: with `masked-` before it where they are masked.
    pub(super) fn kind(&self) -> &'static str {
        provenance::kind(&self.order.output, &self.order.masks)
    }

    /// Computes every record and hands its row to `write`, in the order of the input, after looking whether it is made
    /// of numbers.
    ///
    /// # Errors
    /// The first of what the writer, the device or the reader could not do, and a result that is no number.
    pub(super) fn compute(
        &self,
        print: &Printer,
        mut write: impl FnMut(Row) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<Computed> {
        let (layers, width) = (self.engine.layers(), self.engine.width());
        self.timed(print, |work, progress| {
            pipeline::run(work, &self.engine, progress, |row| {
                check_finite(&row, &layers, width)?;
                write(row)
            })
        })
    }

    /// The same of contacts, in an order of work of their own.
    ///
    /// # Errors
    /// As [`Session::compute`].
    pub(super) fn compute_contacts(
        &self,
        print: &Printer,
        mut write: impl FnMut(Row) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<Computed> {
        let layers = self.engine.layers();
        self.timed(print, |work, progress| {
            pipeline::contacts::run(work, &self.engine, progress, |row| {
                check_finite(&row, &layers, row.length)?;
                write(row)
            })
        })
    }

    /// Does the work, and checks that the input is still the one that was read first.
    fn timed(
        &self,
        print: &Printer,
        work_off: impl FnOnce(&Work<'_>, &Progress) -> anyhow::Result<Reading>,
    ) -> anyhow::Result<Computed> {
        let plan = self.order.plan;
        let work = Work {
            sources: &self.order.sources,
            read: plan.read,
            long: self.long,
            trained: trained(self.engine.card(), &self.long),
            output: self.order.output.clone(),
            masks: &self.order.masks,
            batch_tokens: self.batch_tokens,
            recall: self.recall.as_ref(),
        };
        let begin = Instant::now();
        let progress = print.progress(self.survey.selection.rows as u64, "residues");
        let reading = work_off(&work, &progress)?;
        drop(progress);
        tell_slow_products(self.engine.device(), print);
        intake::same_input(&self.survey.summary.input_hash, &reading.input_hash)?;
        Ok(Computed { reading, time: begin.elapsed() })
    }

    /// Adds records by their ids that have no answer after all, each with its reason: to the failures, with a warning.
    ///
    /// # Errors
    /// An input that cannot be read again.
    pub(super) fn add_failures(
        &mut self,
        failed: Vec<(String, String)>,
        print: &Printer,
    ) -> anyhow::Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        print.warning(&intake::unanswered(failed.len()));
        let mut reasons: BTreeMap<String, String> = failed.into_iter().collect();
        for item in RecordReader::new(&self.order.sources, self.order.plan.read) {
            let Item::Record(record) = item? else { continue };
            if let Some(reason) = reasons.remove(&record.id) {
                self.survey.failures.push(record.failure(RecordError::NoAnswer { reason }));
            }
        }
        self.survey.failures.sort_by_key(|failure| failure.record);
        Ok(())
    }

    /// Gives the files their names, with the list of failures and the summary; `details` are the task's own words in it.
    ///
    /// # Errors
    /// What the system says to the files.
    pub(super) fn finish(
        mut self,
        mut files: OutputSet,
        computed: &Computed,
        details: &[(&'static str, Value)],
        context: &Context,
    ) -> anyhow::Result<()> {
        let plan = self.order.plan;
        let cache = cached::finish(self.recall.take(), plan.cache.as_ref(), &context.print);
        if let Some(path) = &plan.failures {
            files::add_failures(&mut files, path, &self.survey.failures, plan.on_error)?;
        }
        if let Some(path) = &plan.summary {
            let outputs = files.paths().collect();
            let command_line = context.command_line.as_slice();
            let Computed { reading, time } = computed;
            let ended =
                Ended { computed: reading.computed, cache, time: *time, command_line, outputs, details };
            let text = format!("{:#}\n", self.provenance().summary(&ended));
            files.push(files::text_file(path, &text)?);
        }
        Ok(files.commit()?)
    }

    /// Ends a run without files of its own: what is still to be kept is kept.
    pub(super) fn close(mut self, print: &Printer) {
        cached::finish(self.recall.take(), self.order.plan.cache.as_ref(), print);
    }

    fn provenance(&self) -> Provenance<'_> {
        let Self { order, engine, survey, long, batch_tokens, .. } = self;
        Provenance { order, engine, survey, long: long.to_string(), batch_tokens: *batch_tokens }
    }
}

/// Says which products of a GPU came from a kernel that is slow.
fn tell_slow_products(device: &Device, print: &Printer) {
    let Device::Cuda(cuda) = device else { return };
    let refused = cuda.refused_products();
    if !refused.is_empty() {
        print.note(&format!(
            "cuBLASLt has no algorithm for some products, which the plain kernel made, slowly: {}",
            refused.join("; ")
        ));
    }
}

/// What the model of a card leaves out of what is to be computed, for those who must name it by files of their own: a
/// function that says why residues are not computed, if they are not.
///
/// # Errors
/// Windows that cannot be.
pub(super) fn refusing(
    card: &Card,
    plan: &LongPlan,
    output: &Output,
) -> Result<impl Fn(&[u8]) -> Option<RecordError> + use<>, TaskError> {
    let long = long_policy(plan, card.about.training_length)?;
    let (trained, ability) = (trained(card, &long), output.ability(card));
    Ok(move |residues: &[u8]| survey::refusal(residues, (&long, trained), &ability))
}

/// The policy for long proteins with its lengths, as results tell it.
///
/// # Errors
/// Windows that cannot be.
pub(super) fn long_name(card: &Card, plan: &LongPlan) -> Result<String, TaskError> {
    Ok(long_policy(plan, card.about.training_length)?.to_string())
}

/// Refuses what an ONNX file cannot give.
fn check_brought(card: &Card, order: &Order<'_>) -> Result<(), TaskError> {
    if card.sidecar.is_none() {
        return Ok(());
    }
    let usage = |what: &str| Err(TaskError::Usage { what: what.to_owned() });
    if order.plan.compute.precision != Precision::F32 {
        return usage(
            "--precision: an ONNX file is computed in the number types that it holds; leave the flag away",
        );
    }
    if matches!(order.plan.compute.device, DeviceChoice::Cuda(_)) {
        return usage("--device cuda: an ONNX file is computed on the processor; leave the flag away");
    }
    if !card.pools_itself() {
        return Ok(());
    }
    match &order.output {
        Output::States { residues: true, .. } => {
            usage("the model makes one vector of a protein: it has no states of residues")
        }
        Output::States { .. } if order.plan.long.policy == Long::Window => {
            usage("--long window: the model makes one vector of a protein, and windows have one each")
        }
        _ => Ok(()),
    }
}

/// Refuses a row with a value that is no number.
fn check_finite(row: &Row, layers: &[usize], width: usize) -> Result<(), TaskError> {
    for values in [&row.pooled, &row.residues] {
        for (&layer, values) in layers.iter().zip(values) {
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let (id, column, value) = (row.id.clone(), place % width, values[place]);
                return Err(TaskError::NotFinite { id, layer, column, value });
            }
        }
    }
    Ok(())
}

/// The policy with the lengths that the user left to the model.
fn long_policy(plan: &LongPlan, trained: Option<usize>) -> Result<LongPolicy, TaskError> {
    Ok(match plan.policy {
        Long::Whole => LongPolicy::Whole,
        Long::Error => LongPolicy::Error,
        Long::Skip => LongPolicy::Skip,
        Long::Truncate => LongPolicy::Truncate,
        Long::Window => {
            let no_length = || {
                TaskError::Usage {
                what: "--long window: the model has no longest sequence, it computes all of them whole; say how long \
                       with --window to cut them all the same"
                    .to_owned(),
            }
            };
            let window = plan.window.or(trained).ok_or_else(no_length)?;
            let stride = plan.stride.unwrap_or(window.div_ceil(2));
            let windows = Windows::new(window, stride);
            LongPolicy::Window(windows.map_err(|error| TaskError::Usage { what: error.to_string() })?)
        }
    })
}

/// Residues of the longest sequence that the policy leaves whole. Where the model sets no limit, windows set theirs.
fn trained(card: &Card, long: &LongPolicy) -> usize {
    let windows = match long {
        LongPolicy::Window(windows) => windows.window(),
        LongPolicy::Whole | LongPolicy::Error | LongPolicy::Skip | LongPolicy::Truncate => usize::MAX,
    };
    card.about.training_length.unwrap_or(windows)
}

/// Ends a run that is told to fail and has failures, after listing them.
fn refuse_failures(plan: &RunPlan, survey: &Survey) -> anyhow::Result<()> {
    if survey.fatal == 0 || plan.on_error == OnError::Skip {
        return Ok(());
    }
    let headers = survey.summary.totals.headers;
    intake::refuse(&survey.failures, headers, plan.failures.as_deref())
}

/// Refuses what certainly does not fit, before hours of work end in the killing of the process.
fn fits_in_memory(estimate: &Estimate) -> Result<(), TaskError> {
    match machine::memory_limit() {
        Some(limit) if estimate.least_memory_bytes > limit.bytes => Err(TaskError::Memory {
            needed_mib: estimate.least_memory_bytes >> 20,
            limit_mib: limit.bytes >> 20,
            limit: limit.by,
        }),
        _ => Ok(()),
    }
}
