//! What the logits of a head of pairs are worth, from labelled pairs.

use pliant_plugin::Way;
use pliant_seq::tables::{Label, LabelKind, LabelledSet, Members};
use pliant_store::OutputSet;

use crate::cli::evaluate::EvaluatePlan;
use crate::screen::calibration::{Calibration, Labelled, fits};
use crate::supervised::HeadError;
use crate::tasks::asked::Asked;
use crate::tasks::files;

/// Adds the calibration of what was told to the files of the run, where one is asked for.
///
/// # Errors
/// A head that tells no two classes of pairs, too few pairs, and what the system says to a new file.
pub(super) fn add(
    to: &mut OutputSet,
    plan: &EvaluatePlan,
    (asked, set): (&Asked, &LabelledSet),
    told: &[Vec<f32>],
) -> anyhow::Result<()> {
    let Some(path) = &plan.calibration else { return Ok(()) };
    let is_fit = match asked {
        Asked::Taught(head) => {
            let classes = head.card.labels.classes.len();
            head.card.head.kind.takes_pairs() && head.kind == LabelKind::Class && classes == 2
        }
        Asked::Brought(_) | Asked::Onnx(_) => {
            let telling = asked.telling();
            asked.way() == Way::Pairs && telling.kind == LabelKind::Class && telling.has_logit()
        }
    };
    if !is_fit {
        let what = "--calibration is for heads that tell two classes of pairs".to_owned();
        return Err(HeadError::Unfit { what }.into());
    }
    let mut labelled = Vec::with_capacity(told.len());
    for (example, given) in told.iter().enumerate() {
        // One number is the logit; of two it is the second less the first.
        let (Some(&last), before) = (given.last(), given.len().checked_sub(2)) else { continue };
        let logit = f64::from(last - before.map_or(0.0, |place| given[place]));
        let Members::Two(both) = set.members(example) else { continue };
        let [first, second] = both.map(|number| String::from_utf8_lossy(set.sequence(number)));
        let is_true = matches!(set.label(example), Label::Class(1));
        labelled.push(Labelled { logit, is_true, fits: fits(&first, &second) });
    }
    let pairs = set.digest();
    let calibration = Calibration::fit(&labelled, plan.curve, (asked.identity(), &pairs))?;
    to.push(files::text_file(path, &format!("{}\n", serde_json::to_string_pretty(&calibration)?))?);
    Ok(())
}
