//! A metric that is alive: predictions and labels in, numbers out, every answer checked.
//!
//! Letters: K columns of predictions, M columns of labels, R rows.

use crate::contract::{MetricInfo, Score, ScoreInfo, TensorView};
use crate::error::PluginError;
use crate::guest::{Blueprint, Guest, LogLine};
use crate::head::{check_names, check_offsets, lie};
use crate::plugin::Setup;

/// Scores at most.
const MOST_SCORES: usize = 10_000;

const ADD: &str = "add";
const FINISH: &str = "finish";

/// What a metric says about itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricAbout {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// K, where it wants a certain one.
    pub columns: Option<usize>,
    /// What it tells.
    pub scores: Vec<ScoreInfo>,
}

/// Rows that a metric is given.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Predictions `[R, K]`.
    pub predictions: &'a [f32],
    /// K.
    pub columns: usize,
    /// Labels `[R, M]`; one that is not known is not a number.
    pub labels: &'a [f32],
    /// M.
    pub label_columns: usize,
    /// Protein `i` has the rows `offsets[i]` to `offsets[i + 1]`.
    pub offsets: &'a [usize],
}

/// A metric that is alive. After an error it is dead, for what it has added up is lost.
pub struct Metric {
    about: MetricAbout,
    guest: Guest,
    config: String,
    batch_values: usize,
    dead: bool,
}

impl Metric {
    pub(crate) fn new(blueprint: &Blueprint, setup: &Setup) -> Result<Self, PluginError> {
        let mut guest = blueprint.live()?;
        guest.ask::<_, ()>("init", (setup.config.as_str(),))?;
        let (info,): (MetricInfo,) = guest.call("describe", ())?;
        let (again,): (MetricInfo,) = guest.call("describe", ())?;
        if info != again {
            return Err(lie("two descriptions that differ", "the same each time"));
        }
        let batch_values = blueprint.limits().batch_values();
        Ok(Self { about: about(info)?, guest, config: setup.config.clone(), batch_values, dead: false })
    }

    /// What it says about itself.
    pub fn about(&self) -> &MetricAbout {
        &self.about
    }

    /// Forgets what was added.
    ///
    /// # Errors
    /// Whatever goes wrong within the guest.
    pub fn restart(&mut self) -> Result<(), PluginError> {
        self.alive("init")?;
        let config = self.config.clone();
        let answer = self.guest.ask::<_, ()>("init", (config.as_str(),));
        self.noticed(answer)
    }

    /// Adds rows, whole proteins at a time.
    ///
    /// # Errors
    /// [`PluginError::Input`] where they do not fit together, and whatever goes wrong within the guest.
    pub fn add(&mut self, rows: &Rows<'_>) -> Result<(), PluginError> {
        self.alive(ADD)?;
        let count = self.check(rows)?;
        check_offsets(ADD, rows.offsets, count)?;
        let most = (self.batch_values / (rows.columns + rows.label_columns)).max(1);
        let mut first = 0;
        while first + 1 < rows.offsets.len() {
            let mut end = first + 1;
            while end + 1 < rows.offsets.len() && rows.offsets[end + 1] - rows.offsets[first] <= most {
                end += 1;
            }
            self.add_part(rows, first, end)?;
            first = end;
        }
        Ok(())
    }

    /// The scores of all that was added: the names of [`MetricAbout::scores`] in their order.
    ///
    /// # Errors
    /// [`PluginError::Answer`] for other names or a number that is not finite, and whatever goes wrong within the guest.
    pub fn finish(&mut self) -> Result<Vec<Score>, PluginError> {
        self.alive(FINISH)?;
        let answer = self.guest.ask::<_, Vec<Score>>(FINISH, ());
        let scores = self.noticed(answer)?;
        let wrong = |found: String, wanted: String| Err(PluginError::Answer { call: FINISH, found, wanted });
        if scores.len() != self.about.scores.len() {
            return wrong(format!("{} scores", scores.len()), format!("{} scores", self.about.scores.len()));
        }
        for (score, info) in scores.iter().zip(&self.about.scores) {
            if score.name != info.name {
                let found: String = score.name.chars().take(40).collect();
                return wrong(format!("the score {found:?}"), format!("the score {:?}", info.name));
            }
            if let Some(value) = score.value.filter(|value| !value.is_finite()) {
                return wrong(format!("{value} for {:?}", info.name), "a finite number, or none".to_owned());
            }
        }
        Ok(scores)
    }

    /// The lines that it has written since they were taken last.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.guest.take_log()
    }

    /// Proteins `first` to `end`.
    fn add_part(&mut self, rows: &Rows<'_>, first: usize, end: usize) -> Result<(), PluginError> {
        let (start, stop) = (rows.offsets[first], rows.offsets[end]);
        let view = |values, columns: usize| -> TensorView<'_> {
            let values: &[f32] = values;
            let data = &values[start * columns..stop * columns];
            TensorView { rows: (stop - start) as u32, columns: columns as u32, data }
        };
        let predictions = view(rows.predictions, rows.columns);
        let labels = view(rows.labels, rows.label_columns);
        let offsets: Vec<u32> =
            rows.offsets[first..=end].iter().map(|offset| (offset - start) as u32).collect();
        let answer = self.guest.ask::<_, ()>(ADD, (predictions, labels, offsets.as_slice()));
        self.noticed(answer)
    }

    /// The number of rows.
    fn check(&self, rows: &Rows<'_>) -> Result<usize, PluginError> {
        let input = |found: String, wanted: String| Err(PluginError::Input { call: ADD, found, wanted });
        let Rows { predictions, columns, labels, label_columns, .. } = *rows;
        if columns == 0 || label_columns == 0 || !predictions.len().is_multiple_of(columns) {
            return input(
                format!("{columns} and {label_columns} columns"),
                "whole rows of at least 1".to_owned(),
            );
        }
        let count = predictions.len() / columns;
        if labels.len() != count * label_columns
            || u32::try_from(predictions.len().max(labels.len())).is_err()
        {
            return input(
                format!("{} labels for {count} rows", labels.len()),
                "as many rows of both".to_owned(),
            );
        }
        if let Some(wanted) = self.about.columns.filter(|wanted| *wanted != columns) {
            return input(format!("predictions of {columns} columns"), format!("{wanted} columns"));
        }
        if let Some(place) = predictions.iter().position(|value| !value.is_finite()) {
            return input(
                format!("{} in row {}", predictions[place], place / columns),
                "finite predictions".to_owned(),
            );
        }
        Ok(count)
    }

    fn alive(&self, call: &'static str) -> Result<(), PluginError> {
        if !self.dead {
            return Ok(());
        }
        Err(PluginError::Trap { call, reason: "an earlier call has ended the guest".to_owned() })
    }

    fn noticed<T>(&mut self, answer: Result<T, PluginError>) -> Result<T, PluginError> {
        self.dead |= matches!(&answer, Err(error) if !matches!(error, PluginError::Refused { .. }));
        answer
    }
}

fn about(info: MetricInfo) -> Result<MetricAbout, PluginError> {
    let MetricInfo { name, version, columns, scores } = info;
    let names: Vec<String> = scores.iter().map(|score| score.name.clone()).collect();
    check_names(&name, &version, &names)?;
    if scores.is_empty() || scores.len() > MOST_SCORES {
        return Err(lie(&format!("{} scores", scores.len()), &format!("1 to {MOST_SCORES}")));
    }
    if columns == Some(0) {
        return Err(lie("0 columns", "at least 1, or none"));
    }
    Ok(MetricAbout { name, version, columns: columns.map(|columns| columns as usize), scores })
}
