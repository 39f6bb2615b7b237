//! Measures that users bring: guests that are given answers and labels, asked where a built-in measure would be.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pliant_plugin::{LogLine, Manifest, Metric, PluginError, Rows, ScoreInfo, World};
use pliant_seq::tables::{IGNORED, Label, LabelKind, LabelledSet};
use serde_json::{Value, json};

use super::error::HeadError;
use crate::cli::plugin::GuestFlags;
use crate::eval::Interval;
use crate::eval::bootstrap::ends;
use crate::plugins::{self, GuestWords};

/// Numbers that are given in one call, at least: those of a protein are not parted.
const NUMBERS_A_CALL: usize = 1 << 20;

/// A measure that was brought, alive.
pub struct BroughtMetric {
    name: String,
    identity: String,
    described: Value,
    scores: Vec<ScoreInfo>,
    guest: RefCell<Metric>,
}

/// What such a measure says.
#[derive(Debug, Clone, PartialEq)]
pub struct BroughtScore {
    /// The name of the plugin and of its score, with a dot between.
    pub name: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The value; none where these answers leave it undefined.
    pub value: Option<f64>,
    /// Where 95 of 100 draws of examples lie.
    pub interval: Option<(f64, f64)>,
}

/// Answers beside the examples that they are about.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// The examples.
    pub set: &'a LabelledSet,
    /// For each its answer: probabilities of classes, of levels or of being of each class, or a number; of residues those
    /// of each. `[R, K]`
    pub answers: &'a [Vec<f32>],
}

impl BroughtMetric {
    /// Reads, checks and compiles the plugin of a manifest.
    ///
    /// # Errors
    /// Everything that keeps a guest out, and a plugin that is no metric.
    pub fn open(path: &Path, words: &GuestWords) -> anyhow::Result<Self> {
        let named = || format!("plugin {}", path.display());
        let (manifest, plugin) = plugins::load(path, words).with_context(named)?;
        if plugin.world() != World::Metric {
            let what = format!("{} is a {}, and a metric was wanted", path.display(), plugin.world());
            return Err(HeadError::Unfit { what }.into());
        }
        let guest = plugin.metric().with_context(named)?;
        let about = guest.about();
        let described = json!({
            "name": about.name, "version": about.version, "sha256": manifest.sha256(),
            "identity": plugin.identity(),
        });
        Ok(Self {
            name: manifest.name().to_owned(),
            identity: plugin.identity().to_owned(),
            described,
            scores: about.scores.clone(),
            guest: RefCell::new(guest),
        })
    }

    /// Those of several manifests, beside a head that may be a plugin of the name `head`. Where there are several plugins, a
    /// key that is set begins with the name of its own.
    ///
    /// # Errors
    /// As [`BroughtMetric::open`]; two of one name, and words for plugins where there are none.
    pub fn all(paths: &[PathBuf], flags: &GuestFlags, head: Option<&str>) -> anyhow::Result<Vec<Self>> {
        let unfit = |what: String| HeadError::Unfit { what };
        let is_only = paths.len() + usize::from(head.is_some()) == 1;
        let mut all: Vec<Self> = Vec::new();
        for path in paths {
            let manifest = Manifest::read(path)?;
            let name = manifest.name();
            if all.iter().any(|other| other.name == name) {
                return Err(
                    unfit(format!("two metrics are named {name}: ask for one of them at a time")).into()
                );
            }
            all.push(Self::open(path, &flags.words_to(name, is_only))?);
        }
        if is_only {
            return Ok(all);
        }
        let names: Vec<&str> = all.iter().map(|metric| metric.name.as_str()).chain(head).collect();
        let is_meant = |key: &str| {
            names.iter().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        };
        let stray = flags.set.iter().map(|(key, _)| key).find(|key| !is_meant(key));
        if let Some(key) = stray {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let what = format!(
                "--set {key}: wanted the name of a plugin, a dot and its key, as in --set NAME.{key}; the plugins are {known}"
            );
            return Err(unfit(what).into());
        }
        Ok(all)
    }

    /// SHA-256 over all that its answers depend on.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What results say of it.
    pub fn described(&self) -> &Value {
        &self.described
    }

    /// Less is better: a value of the score of that number, or none, which is worse than any.
    pub fn rank(&self, place: usize, value: Option<f64>) -> f64 {
        let higher_is_better = self.scores.get(place).is_some_and(|score| score.higher_is_better);
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        value.map_or(f64::MAX, |value| sign * value)
    }

    /// The names of its scores, with that of the plugin before each.
    pub fn names(&self) -> Vec<String> {
        self.scores.iter().map(|score| format!("{}.{}", self.name, score.name)).collect()
    }

    /// Its scores of all examples.
    ///
    /// # Errors
    /// Whatever goes wrong within the guest.
    pub fn measure(&self, judged: Judged<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        self.of(judged, &mut (0..judged.set.len())).with_context(|| format!("plugin {}", self.name))
    }

    /// The same, with intervals from draws of examples.
    ///
    /// # Errors
    /// As [`BroughtMetric::measure`]; a draw without an answer is left out.
    pub fn scores(&self, judged: Judged<'_>, interval: &Interval) -> anyhow::Result<Vec<BroughtScore>> {
        let values = self.measure(judged)?;
        let mut drawn = interval.draws(judged.set.len(), |items| self.of(judged, items).unwrap_or_default());
        drawn.retain(|draw| !draw.is_empty());
        let score = |(place, (name, value)): (usize, (String, Option<f64>))| {
            let each = drawn.iter().filter_map(|draw| draw[place]).collect();
            let interval = value.and_then(|_| ends(each));
            let higher_is_better = self.scores[place].higher_is_better;
            BroughtScore { name, higher_is_better, value, interval }
        };
        Ok(self.names().into_iter().zip(values).enumerate().map(score).collect())
    }

    /// The lines that it has written since they were taken last, with its name.
    pub fn take_log(&self) -> (String, Vec<LogLine>) {
        (self.name.clone(), self.guest.borrow_mut().take_log())
    }

    /// Its scores of some examples, in that order.
    fn of(
        &self,
        judged: Judged<'_>,
        items: &mut dyn Iterator<Item = usize>,
    ) -> Result<Vec<Option<f64>>, PluginError> {
        let mut guest = self.guest.borrow_mut();
        guest.restart()?;
        let mut waiting = Waiting::default();
        for example in items {
            waiting.push(judged, example);
            if waiting.predictions.len() >= NUMBERS_A_CALL {
                waiting.give(&mut guest, judged.set)?;
            }
        }
        waiting.give(&mut guest, judged.set)?;
        Ok(guest.finish()?.into_iter().map(|score| score.value).collect())
    }
}

/// Rows on their way to a guest.
#[derive(Default)]
struct Waiting {
    predictions: Vec<f32>,
    labels: Vec<f32>,
    /// Where the rows of each example end.
    ends: Vec<usize>,
}

impl Waiting {
    fn push(&mut self, judged: Judged<'_>, example: usize) {
        let answer = &judged.answers[example];
        self.predictions.extend_from_slice(answer);
        let rows = match judged.set.label(example) {
            Label::Class(class) => self.one(class as f32),
            Label::Level(level) => self.one(f32::from(level)),
            Label::Number(number) => self.one(number as f32),
            Label::Classes(flags) => {
                self.labels.extend(flags.iter().map(|&is| f32::from(u8::from(is))));
                1
            }
            Label::Residues(classes) => {
                let rows = answer.len() / judged.set.labels().width().max(1);
                let known = |&class: &u8| if class == IGNORED { f32::NAN } else { f32::from(class) };
                self.labels.extend(classes.iter().take(rows).map(known));
                rows
            }
        };
        self.ends.push(self.ends.last().copied().unwrap_or_default() + rows);
    }

    fn one(&mut self, label: f32) -> usize {
        self.labels.push(label);
        1
    }

    fn give(&mut self, guest: &mut Metric, set: &LabelledSet) -> Result<(), PluginError> {
        let rows = self.ends.last().copied().unwrap_or_default();
        if let Some(columns) = self.predictions.len().checked_div(rows) {
            let offsets: Vec<usize> = std::iter::once(0).chain(self.ends.iter().copied()).collect();
            let label_columns = if set.kind() == LabelKind::Classes { set.labels().width() } else { 1 };
            guest.add(&Rows {
                predictions: &self.predictions,
                columns,
                labels: &self.labels,
                label_columns,
                offsets: &offsets,
            })?;
        }
        *self = Self::default();
        Ok(())
    }
}
