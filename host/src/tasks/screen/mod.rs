//! `pliant screen`: the pairs of many proteins, scored by a head.

mod dry_run;
mod gather;
mod head;
mod kill;
mod memory;
mod numbers;
mod pairs;
mod proteins;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pliant_kernels::Device;
use pliant_store::{Metadata, OutputSet, Target};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::reading::OnError;
use crate::cli::screen::{Cut, ScreenPlan};
use crate::exit::TaskError;
use crate::machine;
use crate::screen::asked::Asked;
use crate::screen::calibration::{CALIBRATION_FILE, Calibration};
use crate::screen::part::Head;
use crate::screen::report::{About, ReportFormat, Worth, prevalence};
use crate::screen::run::{Counts, Order};
use crate::screen::scorer::Scorer;
use crate::screen::work::wants_pairs;
use crate::screen::{ScreenError, Shard};
use crate::tasks::asked::Asked as HeadAsked;
use crate::tasks::plugin::pass_on;
use crate::tasks::{files, intake};
use dry_run::Screen;
pub(super) use gather::{gather, is_screen};
use head::PairHead;
use memory::Memory;
use numbers::{Encoder, Made, Numbers};
use proteins::Intake;

/// Between two checkpoints at least; tests see all that there can be.
const EVERY: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(2) };

/// Scores pairs and keeps the best.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &ScreenPlan, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    if plan.unused {
        context.print.note("--model is not used: the vectors of --embeddings are there already");
    }
    let device = Device::cpu_with(plan.run.compute.threads, plan.run.compute.cpu_path)?;
    let head = PairHead::open(plan, &device)?;
    let calibrated = Calibrated::read(plan, head.asked())?;
    let cut = calibrated.cut(plan)?;
    let encoder = Encoder::of(plan, head.asked())?;
    let mut intake = Intake::read(plan, (head.asked(), encoder.as_ref()), context)?;
    let asked = asked(plan, &mut intake)?;
    if plan.run.dry_run {
        let (head, encoder, is_calibrated) = (&head, encoder.as_ref(), calibrated.worth.is_some());
        return Screen { plan, head, encoder, intake: &intake, asked: &asked, is_calibrated }.tell(context);
    }
    refuse(plan, &intake)?;
    wants_pairs(&asked, intake.count(), &intake.inputs)?;
    intake.warnings.0.iter().for_each(|warning| context.print.warning(&warning.message));
    let scratch = scratch(&plan.out)?;
    let units = head.units(intake.width(encoder.as_ref()));
    let limits = Memory::of(plan, &intake, &asked, units).limits(plan)?;
    let place = Numbers { plan, head: &head, encoder: encoder.as_ref(), scratch: scratch.as_deref() };
    let (numbers, made, were_kept) = place.of(&intake, &device, context)?;
    let digest = digest_of(&numbers);
    let longest = encoder.as_ref().and_then(Encoder::longest);
    let facts = metadata((plan, &device), (head.asked(), made), (&intake, &asked), (&calibrated, cut));
    let about = about(plan, (head.asked(), longest), &facts, (&calibrated, cut));
    let (scorer, guests) = head.scorer(&intake.proteins.ids, numbers, plan.run.compute.threads)?;
    let part = part(plan, (about, cut), (&intake, &asked), (&scorer, &digest));
    let progress = context.print.progress(memory::pairs(plan, &intake, &asked), "pairs");
    let order = Order {
        scorer: &scorer,
        asked: &asked,
        head: part,
        limits,
        folder: scratch.as_deref().map(|scratch| (scratch, EVERY)),
        out: &plan.out,
        format: plan.format.filter(|_| plan.shard.is_none()),
    };
    let more = |files: &mut OutputSet, counts| {
        beside(files, plan, (&intake, were_kept), (counts, start.elapsed()), context)
    };
    let ended = crate::screen::run::run(order, |pairs| progress.advance(pairs), more);
    drop(progress);
    if let Some((name, lines)) = guests.take_log() {
        pass_on(&lines, &name, context);
    }
    ended
}

/// What the answer is made with.
fn about(
    plan: &ScreenPlan,
    (head, longest): (&HeadAsked, Option<u32>),
    metadata: &Metadata,
    (calibrated, cut): (&Calibrated, Option<f32>),
) -> About {
    About {
        metadata: metadata.to_json(),
        head: head.identity().to_owned(),
        calibration: calibrated.text.clone(),
        prevalence: plan.prevalence.clone(),
        cut: cut.map(f32::to_bits),
        longest,
        format: plan.format.map(|format| format.name().to_owned()),
    }
}

/// What the part says of itself.
fn part(
    plan: &ScreenPlan,
    (about, cut): (About, Option<f32>),
    (intake, asked): (&Intake, &Asked),
    (scorer, numbers): (&Scorer, &str),
) -> Head {
    // D-SCRIPT's file holds what is below the cut too.
    let least = cut.filter(|_| plan.format != Some(ReportFormat::Dscript)).unwrap_or(f32::NEG_INFINITY);
    Head {
        screen: screen_digest(&about, numbers, asked, (plan.top_k, least)),
        shard: plan.shard.unwrap_or(Shard::WHOLE),
        proteins: intake.proteins.clone(),
        about,
        largest: scorer.largest().to_bits(),
        best: plan.top_k,
        least: least.to_bits(),
        done: 0,
        edges: None,
    }
}

/// The calibration of the head, where there is one.
struct Calibrated {
    /// Where it is, or would be.
    path: PathBuf,
    text: Option<String>,
    worth: Option<Worth>,
}

impl Calibrated {
    fn read(plan: &ScreenPlan, head: &HeadAsked) -> anyhow::Result<Self> {
        let own = calibration_of(head);
        let is_named = plan.calibration.is_some();
        let path = plan.calibration.clone().unwrap_or(own);
        if !is_named && !path.exists() {
            return Ok(Self { path, text: None, worth: None });
        }
        let text = Calibration::text(&path)?;
        let calibration = Calibration::read(&text, &path, head.identity())?;
        let share = prevalence(&plan.prevalence).map_err(|what| TaskError::Usage { what })?;
        Ok(Self { path, text: Some(text), worth: Some(Worth::new(calibration, share)) })
    }

    /// The least logit that is asked for.
    fn cut(&self, plan: &ScreenPlan) -> Result<Option<f32>, ScreenError> {
        let worth = |asked| {
            self.worth.as_ref().ok_or_else(|| ScreenError::NotCalibrated { asked, path: self.path.clone() })
        };
        if plan.format.is_some_and(ReportFormat::wants_calibration) {
            worth("a format of probabilities")?;
        }
        Ok(match plan.cut {
            None => None,
            Some(Cut::Logit(logit)) => Some(logit),
            Some(Cut::Probability(wanted)) => Some(worth("--min-probability")?.least(wanted)?),
            Some(Cut::Precision(wanted)) => Some(worth("--expected-precision")?.reach(wanted)? as f32),
        })
    }
}

/// Where the calibration of a head lies: in its folder, or that of its manifest; of an ONNX file beside it, as there may be
/// several in a folder.
fn calibration_of(head: &HeadAsked) -> PathBuf {
    let path = head.path();
    match head {
        HeadAsked::Taught(_) => path.join(CALIBRATION_FILE),
        HeadAsked::Brought(_) => path.with_file_name(CALIBRATION_FILE),
        HeadAsked::Onnx(_) => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".");
            name.push(CALIBRATION_FILE);
            path.with_file_name(name)
        }
    }
}

/// Which pairs are scored.
fn asked(plan: &ScreenPlan, intake: &mut Intake) -> anyhow::Result<Asked> {
    if let Some(path) = &plan.pairs {
        let table = pairs::read(path, &intake.proteins.ids, &intake.inputs)?;
        intake.failures.extend(table.failures);
        intake.headers += table.rows;
        intake.warnings.add("repeated_pairs", table.repeated, || {
            let pairs =
                intake::counted(table.repeated, "pair repeats an earlier one", "pairs repeat earlier ones");
            format!("{pairs}, either way round: each is scored once")
        });
        return Ok(Asked::Listed(table.pairs));
    }
    Ok(intake.sides.take().map_or(Asked::All, Asked::Between))
}

/// Ends a run for its failures, unless it is told to go on.
fn refuse(plan: &ScreenPlan, intake: &Intake) -> anyhow::Result<()> {
    if plan.run.on_error == OnError::Fail && !intake.failures.is_empty() {
        intake::refuse(&intake.failures, intake.headers, plan.run.failures.as_deref())?;
    }
    Ok(())
}

/// The folder of what a screen that goes on needs, unless the answer goes to a stream.
fn scratch(out: &Path) -> anyhow::Result<Option<PathBuf>> {
    if Target::resolve(out)?.is_stream() {
        return Ok(None);
    }
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".screen");
    Ok(Some(out.with_file_name(name)))
}

/// What a table of the answer tells of itself.
fn metadata(
    (plan, device): (&ScreenPlan, &Device),
    (head, made): (&HeadAsked, Made),
    (intake, asked): (&Intake, &Asked),
    (calibrated, cut): (&Calibrated, Option<f32>),
) -> Metadata {
    let kind = match asked {
        Asked::All => "all",
        Asked::Between(_) => "between",
        Asked::Listed(_) => "listed",
    };
    let calibration = calibrated.text.as_ref().map(|text| blake3::hash(text.as_bytes()).to_hex().to_string());
    let metadata = Metadata::new().with("schema", 1).with("output", "screen");
    let metadata = match head {
        HeadAsked::Taught(_) => metadata.with("head_numerics", device.numerics()),
        HeadAsked::Brought(_) | HeadAsked::Onnx(_) => metadata,
    };
    made.describe(head.describe(metadata))
        .with("input", intake.digest.as_str())
        .with("long", intake.long.clone())
        .with("pairs", kind)
        .with("top_k", json!(plan.top_k))
        .with("cut", json!(cut.map(f64::from)))
        .with("prevalence", plan.prevalence.as_str())
        .with("calibration", json!(calibration))
}

/// BLAKE3 of numbers, in hex.
fn digest_of(numbers: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    for numbers in numbers.chunks(1 << 12) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// What makes a screen another one.
fn screen_digest(about: &About, numbers: &str, asked: &Asked, (best, least): (Option<usize>, f32)) -> String {
    let mut hasher = blake3::Hasher::new();
    let words = json!([about.metadata, about.calibration, numbers, best, least.to_bits()]);
    hasher.update(words.to_string().as_bytes());
    match asked {
        Asked::All => {}
        Asked::Between(sides) => {
            let bytes: Vec<u8> = sides.iter().map(|&side| side as u8).collect();
            hasher.update(&bytes);
        }
        Asked::Listed(pairs) => {
            for pair in pairs {
                pair.iter().for_each(|number| {
                    hasher.update(&number.to_le_bytes());
                });
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The list of failures and the summary, which tells of the whole screen and of what an earlier process had done of it.
fn beside(
    set: &mut OutputSet,
    plan: &ScreenPlan,
    (intake, were_kept): (&Intake, bool),
    (counts, whole): (Counts, Duration),
    context: &Context,
) -> anyhow::Result<()> {
    if let Some(path) = &plan.run.failures {
        files::add_failures(set, path, &intake.failures, plan.run.on_error)?;
    }
    let Some(path) = &plan.run.summary else { return Ok(()) };
    let warnings: Vec<Value> = intake.warnings.0.iter().map(intake::Warning::json).collect();
    let summary = json!({
        "schema": 1,
        "task": "screen",
        "versions": { "pliant": env!("CARGO_PKG_VERSION") },
        "command": context.command_line,
        "proteins": intake.count(),
        "proteins_resumed": if were_kept { intake.count() } else { 0 },
        "blocks": counts.units,
        "blocks_resumed": counts.units_resumed,
        "pairs_scored": counts.scored,
        "pairs_resumed": counts.resumed,
        "pairs_kept": counts.kept,
        "shard": plan.shard.map(|shard| shard.to_string()),
        "failures": intake.failures.len(),
        "warnings": warnings,
        "threads": plan.run.compute.threads,
        "scoring_seconds": counts.scoring.as_secs_f64(),
        "pairs_per_second": (counts.scored - counts.resumed) as f64 / counts.scoring.as_secs_f64(),
        "wall_seconds": whole.as_secs_f64(),
        "peak_memory_bytes": machine::peak_memory(),
    });
    set.push(files::text_file(path, &format!("{summary:#}\n"))?);
    Ok(())
}
