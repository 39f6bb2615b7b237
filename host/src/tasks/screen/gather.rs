//! The parts of a screen to its answer.

use std::path::PathBuf;

use crate::Context;
use crate::cli::gather::GatherPlan;
use crate::cli::screen::report_format;
use crate::exit::TaskError;
use crate::screen::answer::Answer;
use crate::screen::part::{self, Part};
use crate::screen::report::{self, ReportFormat};
use crate::screen::{ScreenError, Shard};

/// Whether the parts of a plan are those of a screen.
pub(in crate::tasks) fn is_screen(plan: &GatherPlan) -> bool {
    plan.parts.iter().any(|path| part::is_part(path))
}

/// Joins the parts of a screen: every part once, all of the same screen. The file is, byte for byte, that of a screen in one
/// piece.
///
/// # Errors
/// Parts that are no whole, and what the system says.
pub(in crate::tasks) fn gather(plan: &GatherPlan, context: &Context) -> anyhow::Result<()> {
    if plan.split.is_some() {
        let what = "parts of a screen know each other: leave --split away".to_owned();
        return Err(TaskError::Usage { what }.into());
    }
    let (mut whole, mut seen): (Option<Part>, Vec<(Shard, PathBuf)>) = (None, Vec::new());
    let progress = context.print.progress(plan.parts.len() as u64, "parts");
    for path in &plan.parts {
        let found = part::read(path)?;
        let shard = found.head.shard;
        if let Some((_, first)) = seen.iter().find(|(own, _)| *own == shard) {
            let (first, second) = (first.clone(), path.clone());
            return Err(ScreenError::Doubled { first, second, shard }.into());
        }
        match &mut whole {
            None => whole = Some(found),
            Some(whole) if is_same(whole, &found) => whole.tally.add(found.tally),
            Some(_) => {
                let (first, second) = (plan.parts[0].clone(), path.clone());
                return Err(ScreenError::Foreign { first, second }.into());
            }
        }
        seen.push((shard, path.clone()));
        progress.advance(1);
    }
    drop(progress);
    let Some(Part { head, tally }) = whole else { return Ok(()) };
    let count = head.shard.count;
    let is_there = |number: &usize| seen.iter().any(|(shard, _)| shard.number == *number);
    let missing: Vec<usize> = (1..=count).filter(|number| !is_there(number)).collect();
    if !missing.is_empty() {
        return Err(ScreenError::Missing { missing, count }.into());
    }
    let named = plan.screen_format.or_else(|| head.about.format.as_deref().and_then(ReportFormat::from_name));
    let format = report_format(&plan.out, named)?;
    if format.wants_calibration() && head.about.calibration.is_none() {
        let path = plan.parts[0].clone();
        return Err(ScreenError::NotCalibrated { asked: "a format of probabilities", path }.into());
    }
    let cut = head.about.cut.map(f32::from_bits);
    if format == ReportFormat::Dscript && cut.is_some_and(|cut| head.least == cut.to_bits()) {
        let what = "the parts hold the pairs that reach the cut alone, and --format dscript tells the others too: give it to \
                    'pliant screen --shard', or choose another format";
        return Err(TaskError::Usage { what: what.to_owned() }.into());
    }
    let mut answer = Answer::of(tally, head.step());
    if let Some(cut) = cut.filter(|_| format != ReportFormat::Dscript) {
        answer.cut(cut);
    }
    let files = report::write(&plan.out, format, (&head.proteins, &answer), &head.about)?;
    files.paths().try_for_each(|path| plan.keeps_inputs(path))?;
    Ok(files.commit()?)
}

/// Whether two are parts of the same screen.
fn is_same(one: &Part, other: &Part) -> bool {
    let key = |part: &Part| (part.head.screen.clone(), part.head.shard.count, part.head.largest);
    key(one) == key(other) && one.head.proteins == other.head.proteins && one.head.about == other.head.about
}
