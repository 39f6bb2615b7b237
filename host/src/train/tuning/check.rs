//! Ranges of values, and values that do not go together.

use pliant_models::heads::Pooling;

use super::keys::FINETUNE;
use super::{BestBy, EncoderTuning, TuningConfig};
use crate::train::config::{Beginning, ConfigError, ScheduleKind};

/// Checks every value.
///
/// # Errors
/// [`ConfigError::Value`] for the first that cannot be used; `place` is where the configuration comes from.
pub(super) fn check(config: &TuningConfig, place: &str) -> Result<(), ConfigError> {
    let checked = Checked { place };
    checked.ranges(config)?;
    checked.sizes(config)?;
    choices(config, place)?;
    encoder(config, place)
}

struct Checked<'a> {
    place: &'a str,
}

impl Checked<'_> {
    /// Refuses the value `found` of the key at `path` unless it `fits`.
    fn that(&self, path: &str, found: impl ToString, fits: bool) -> Result<(), ConfigError> {
        match FINETUNE.of(path) {
            Some(key) if !fits => Err(ConfigError::value(self.place, key, found.to_string())),
            _ => Ok(()),
        }
    }

    fn ranges(&self, config: &TuningConfig) -> Result<(), ConfigError> {
        let TuningConfig { data, head, tuning, masking, optimizer, schedule, run, checkpoint, .. } = config;
        let part = |number: f64| (0.0..=1.0).contains(&number);
        let below_one = |number: f64| (0.0..1.0).contains(&number);
        let positive = |number: f64| number > 0.0 && number.is_finite();
        let at_least_zero = |number: f64| number >= 0.0 && number.is_finite();
        let fraction = data.valid_fraction.unwrap_or(0.5);
        let minutes = run.minutes.unwrap_or(1.0);
        for (path, found, fits) in [
            ("data.valid_fraction", fraction, below_one(fraction) && fraction > 0.0),
            ("head.dropout", head.dropout, below_one(head.dropout)),
            ("tuning.encoder_rate", tuning.encoder_rate, positive(tuning.encoder_rate)),
            ("tuning.head_rate", tuning.head_rate, positive(tuning.head_rate)),
            ("tuning.lora_alpha", tuning.lora_alpha, positive(tuning.lora_alpha)),
            ("tuning.lora_dropout", tuning.lora_dropout, below_one(tuning.lora_dropout)),
            ("tuning.prefix_gigabytes", tuning.prefix_gigabytes, at_least_zero(tuning.prefix_gigabytes)),
            ("tuning.task_weight", tuning.task_weight, positive(tuning.task_weight)),
            ("tuning.mlm_weight", tuning.mlm_weight, at_least_zero(tuning.mlm_weight)),
            ("masking.choose", masking.choose, part(masking.choose) && masking.choose > 0.0),
            ("masking.mask", masking.mask, part(masking.mask)),
            ("masking.random", masking.random, part(masking.random) && masking.mask + masking.random <= 1.0),
            ("optimizer.learning_rate", optimizer.learning_rate, positive(optimizer.learning_rate)),
            ("optimizer.beta1", optimizer.beta1, below_one(optimizer.beta1)),
            ("optimizer.beta2", optimizer.beta2, below_one(optimizer.beta2)),
            ("optimizer.epsilon", optimizer.epsilon, positive(optimizer.epsilon)),
            ("optimizer.weight_decay", optimizer.weight_decay, at_least_zero(optimizer.weight_decay)),
            ("optimizer.clip", optimizer.clip, at_least_zero(optimizer.clip)),
            ("schedule.final_fraction", schedule.final_fraction, part(schedule.final_fraction)),
            ("run.minutes", minutes, positive(minutes)),
            ("checkpoint.every_minutes", checkpoint.every_minutes, positive(checkpoint.every_minutes)),
        ] {
            self.that(path, found, fits)?;
        }
        Ok(())
    }

    fn sizes(&self, config: &TuningConfig) -> Result<(), ConfigError> {
        let TuningConfig { data, head, tuning, schedule, run, checkpoint, .. } = config;
        let some = |number: Option<u64>| number.unwrap_or(1);
        for (path, found) in [
            ("data.max_residues", data.form.max_residues.into()),
            ("data.draw", some(data.draw.map(u64::from))),
            ("head.hidden", some(head.hidden.map(|width| width as u64))),
            ("head.embedding", some(head.embedding.map(|width| width as u64))),
            ("tuning.top_layers", some(tuning.top_layers.map(|layers| layers as u64))),
            ("schedule.cycles", schedule.cycles),
            ("schedule.cycle_steps", some(schedule.cycle_steps)),
            ("schedule.steps", some(schedule.steps)),
            ("run.epochs", run.epochs),
            ("run.epoch_examples", some(run.epoch_examples.map(|examples| examples as u64))),
            ("run.patience", some(run.patience)),
            ("run.budget_tokens", run.budget_tokens as u64),
            ("checkpoint.every_steps", some(checkpoint.every_steps)),
            ("checkpoint.keep_last", checkpoint.keep_last as u64),
            ("checkpoint.keep_best", checkpoint.keep_best as u64),
        ] {
            self.that(path, found, found > 0)?;
        }
        self.that("tuning.lora_rank", tuning.lora_rank, (1..=1 << 16).contains(&tuning.lora_rank))?;
        let zero = tuning.lora_layers.contains(&0);
        self.that("tuning.lora_layers", "a list with 0 in it", !zero)?;
        self.that("run.batch", run.batch, (1..=1 << 16).contains(&run.batch))
    }
}

/// Values of which there must be one, or that need each other.
fn choices(config: &TuningConfig, place: &str) -> Result<(), ConfigError> {
    let TuningConfig { model, data, schedule, run, .. } = config;
    let refuse = |key: &str, found: &str, wanted: &str| Err(ConfigError::with(place, key, found, wanted));
    match (&model.config, &model.init) {
        (None, None) => {
            refuse("model.init", "missing", "a model (--model), or \"model.config\" (--model-config)")?
        }
        (Some(_), Some(_)) => refuse("model.init", "set beside \"model.config\"", "one of the two")?,
        _ => {}
    }
    if data.train.is_empty() {
        refuse("data.train", "missing", "a list of paths of examples, or --train")?;
    }
    let apart = [
        ("data.valid", !data.valid.is_empty()),
        ("data.valid_parts", !data.valid_parts.is_empty()),
        ("data.valid_fraction", data.valid_fraction.is_some()),
    ];
    let mut set = apart.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key);
    if let (Some(first), Some(second)) = (set.next(), set.next()) {
        refuse(second, &format!("set beside \"{first}\""), "one of the two")?;
    }
    if run.patience.is_some() && !config.holds_out() {
        refuse(
            "run.patience",
            "set without examples kept apart",
            "\"data.valid\", \"data.valid_parts\" or \"data.valid_fraction\" beside it",
        )?;
    }
    if run.plugin.is_some() && !config.holds_out() {
        refuse(
            "run.plugin",
            "set without examples kept apart",
            "\"data.valid\", \"data.valid_parts\" or \"data.valid_fraction\" beside it",
        )?;
    }
    for (key, words) in [("run.plugin_set", &run.plugin_set), ("run.plugin_limits", &run.plugin_limits)] {
        if run.plugin.is_none() && !words.is_empty() {
            refuse(key, "set without a plugin", "\"run.plugin\" beside it")?;
        }
    }
    if schedule.cycles > 1 && schedule.kind != ScheduleKind::CosineRestarts {
        let found = schedule.cycles.to_string();
        refuse("schedule.cycles", &found, "1, or \"schedule.kind\" = \"cosine-restarts\"")?;
    }
    if let Some(length) = schedule.cycle_steps
        && (schedule.kind != ScheduleKind::CosineRestarts || schedule.cycles > 1)
    {
        let wanted = "none, or \"schedule.kind\" = \"cosine-restarts\" beside it and no \"schedule.cycles\"";
        refuse("schedule.cycle_steps", &length.to_string(), wanted)?;
    }
    if run.metric.is_some() && run.best_by != BestBy::Metric {
        refuse("run.metric", "set", "\"run.best_by\" = \"metric\" beside it")?;
    }
    Ok(())
}

/// What learns must be there to learn.
fn encoder(config: &TuningConfig, place: &str) -> Result<(), ConfigError> {
    let TuningConfig { model, tuning, .. } = config;
    let refuse = |key: &str, found: &str, wanted: &str| Err(ConfigError::with(place, key, found, wanted));
    let is_random = matches!(model.beginning(), Beginning::Random(_));
    match (tuning.encoder, tuning.top_layers) {
        (EncoderTuning::Top, None) => refuse("tuning.top_layers", "missing", "how many layers \"top\" is")?,
        (EncoderTuning::Top, Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            refuse("tuning.top_layers", "set", "\"tuning.encoder\" = \"top\" beside it")?;
        }
    }
    if (tuning.encoder == EncoderTuning::Names) == tuning.names.is_empty() {
        match tuning.names.is_empty() {
            true => refuse("tuning.names", "missing", "words of names of what learns")?,
            false => refuse("tuning.names", "set", "\"tuning.encoder\" = \"names\" beside it")?,
        }
    }
    if tuning.adapter.is_some() && !matches!(tuning.encoder, EncoderTuning::Lora | EncoderTuning::Frozen) {
        refuse("tuning.adapter", "set", "\"tuning.encoder\" = \"lora\" or \"frozen\" beside it")?;
    }
    if is_random && matches!(tuning.encoder, EncoderTuning::Lora | EncoderTuning::Top | EncoderTuning::Names)
    {
        let found = format!("\"{}\"", tuning.encoder.name());
        let wanted = "\"all\" beside \"model.config\": random weights that never change are none to build on";
        refuse("tuning.encoder", &found, wanted)?;
    }
    if is_random && tuning.encoder == EncoderTuning::Frozen {
        let wanted =
            "\"all\" beside \"model.config\": nothing can be read from random states that never change";
        refuse("tuning.encoder", "\"frozen\"", wanted)?;
    }
    if config.head.pooling == Pooling::Published && tuning.encoder != EncoderTuning::Frozen {
        let wanted =
            "\"random\", or \"tuning.encoder\" = \"frozen\" beside it: its states are for comparison alone";
        refuse("head.pooling", "\"published\"", wanted)?;
    }
    if tuning.mlm_weight > 0.0 && tuning.encoder == EncoderTuning::Frozen {
        let wanted = "0 beside \"tuning.encoder\" = \"frozen\", or an encoder that learns";
        refuse("tuning.mlm_weight", &tuning.mlm_weight.to_string(), wanted)?;
    }
    Ok(())
}
