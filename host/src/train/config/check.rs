//! Ranges of values, and values that do not go together.

use super::keys::PRETRAIN;
use super::{ConfigError, ObjectiveKind, RoundingKind, ScheduleKind, TrainConfig};

/// Checks every value.
///
/// # Errors
/// [`ConfigError::Value`] for the first that cannot be used; `place` is where the configuration comes from.
pub(super) fn check(config: &TrainConfig, place: &str) -> Result<(), ConfigError> {
    let Checked { place } = Checked { place }.ranges(config)?.sizes(config)?;
    choices(config, place)?;
    families(config, place)?;
    masking(config, place)?;
    schedule(config, place)
}

struct Checked<'a> {
    place: &'a str,
}

impl Checked<'_> {
    /// Refuses the value `found` of the key at `path` unless it `fits`.
    fn that(&self, path: &str, found: impl ToString, fits: bool) -> Result<(), ConfigError> {
        match PRETRAIN.of(path) {
            Some(key) if !fits => Err(ConfigError::value(self.place, key, found.to_string())),
            _ => Ok(()),
        }
    }

    fn ranges(self, config: &TrainConfig) -> Result<Self, ConfigError> {
        let TrainConfig { objective, data, masking, optimizer, schedule, run, checkpoint, .. } = config;
        let part = |number: f64| (0.0..=1.0).contains(&number);
        let below_one = |number: f64| (0.0..1.0).contains(&number);
        let positive = |number: f64| number > 0.0 && number.is_finite();
        let minutes = run.minutes.unwrap_or(1.0);
        for (path, found, fits) in [
            ("objective.mlm_weight", objective.mlm_weight, positive(objective.mlm_weight)),
            ("objective.sfp_weight", objective.sfp_weight, positive(objective.sfp_weight)),
            ("data.held_out", data.held_out, below_one(data.held_out)),
            ("masking.choose", masking.choose, part(masking.choose) && masking.choose > 0.0),
            ("masking.mask", masking.mask, part(masking.mask)),
            ("masking.random", masking.random, part(masking.random)),
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
        Ok(self)
    }

    fn sizes(self, config: &TrainConfig) -> Result<Self, ConfigError> {
        let TrainConfig { data, masking, schedule, run, checkpoint, log, .. } = config;
        let some = |number: Option<u64>| number.unwrap_or(1);
        let some_size = |number: Option<usize>| number.unwrap_or(1) as u64;
        for (path, found) in [
            ("data.min_family", data.min_family as u64),
            ("data.crop", some_size(data.crop)),
            ("data.min_residues", data.min_residues.into()),
            ("data.max_residues", data.max_residues.into()),
            ("masking.most", some_size(masking.most)),
            ("schedule.cycles", schedule.cycles),
            ("schedule.cycle_steps", some(schedule.cycle_steps)),
            ("schedule.steps", some(schedule.steps)),
            ("run.steps", some(run.steps)),
            ("run.epochs", some(run.epochs)),
            ("run.budget_tokens", run.budget_tokens as u64),
            ("run.least_sequences", run.least_sequences as u64),
            ("checkpoint.every_steps", some(checkpoint.every_steps)),
            ("checkpoint.keep_last", checkpoint.keep_last as u64),
            ("log.every_steps", log.every_steps),
            ("log.evaluate_every_steps", some(log.evaluate_every_steps)),
            ("log.evaluate_sequences", some_size(log.evaluate_sequences)),
            ("log.evaluate_pairs", log.evaluate_pairs as u64),
        ] {
            self.that(path, found, found > 0)?;
        }
        self.that("run.accumulate", run.accumulate, (1..=1 << 16).contains(&run.accumulate))?;
        Ok(self)
    }
}

fn at_least_zero(number: f64) -> bool {
    number >= 0.0 && number.is_finite()
}

/// Values of which there must be one, or that need each other.
fn choices(config: &TrainConfig, place: &str) -> Result<(), ConfigError> {
    let TrainConfig { model, data, run, log, .. } = config;
    let refuse = |key: &str, found: &str, wanted: &str| Err(ConfigError::with(place, key, found, wanted));
    match (&model.config, &model.init) {
        (None, None) => refuse("model.config", "missing", "the path of a config.json, or \"model.init\"")?,
        (Some(_), Some(_)) => refuse("model.init", "set beside \"model.config\"", "one of the two")?,
        _ => {}
    }
    if data.train.is_empty() {
        refuse("data.train", "missing", "a list of paths of FASTA files, or --train")?;
    }
    if data.held_out > 0.0 && data.held_out_file.is_some() {
        refuse("data.held_out_file", "set beside \"data.held_out\"", "one of the two")?;
    }
    if data.min_residues > data.max_residues {
        let wanted = format!("at least \"data.min_residues\", which is {}", data.min_residues);
        refuse("data.max_residues", &data.max_residues.to_string(), &wanted)?;
    }
    match (run.steps, run.epochs) {
        (None, None) => refuse("run.steps", "missing", "a whole number of at least 1, or \"run.epochs\"")?,
        (Some(_), Some(_)) => refuse("run.epochs", "set beside \"run.steps\"", "one of the two")?,
        _ => {}
    }
    if log.evaluate_every_steps.is_some() && !config.holds_out() {
        let wanted = "\"data.held_out\" or \"data.held_out_file\" beside it";
        refuse("log.evaluate_every_steps", "set without held-out sequences", wanted)?;
    }
    Ok(())
}

/// Families and pairs are for those who learn from them.
fn families(config: &TrainConfig, place: &str) -> Result<(), ConfigError> {
    let TrainConfig { objective, data, compat, .. } = config;
    let refuse = |key: &str, found: &str, wanted: &str| Err(ConfigError::with(place, key, found, wanted));
    let has_pairs = objective.kind == ObjectiveKind::MlmSfp;
    let with_pairs = "\"objective.kind\" = \"mlm+sfp\" beside it";
    if data.min_family > 1 && !config.has_families() {
        refuse("data.min_family", &data.min_family.to_string(), "1, or \"data.families\" = true")?;
    }
    if !data.pairs.is_empty() {
        if !has_pairs {
            refuse("data.pairs", "set", with_pairs)?;
        }
        for (key, is_set) in
            [("data.held_out", data.held_out > 0.0), ("data.held_out_file", data.held_out_file.is_some())]
        {
            if is_set {
                refuse("data.pairs", &format!("set beside \"{key}\""), "one of the two")?;
            }
        }
    }
    for (key, is_set) in
        [("compat.pair_loss", compat.pair_loss), ("compat.sfp_threshold", compat.sfp_threshold)]
    {
        if is_set && !has_pairs {
            refuse(key, "true", with_pairs)?;
        }
    }
    Ok(())
}

/// Something must be hidden of every sequence.
fn masking(config: &TrainConfig, place: &str) -> Result<(), ConfigError> {
    let TrainConfig { objective, data, masking, .. } = config;
    let refuse = |key: &str, found: &str, wanted: &str| Err(ConfigError::with(place, key, found, wanted));
    if masking.mask + masking.random > 1.0 {
        let wanted = format!("at most the rest beside \"masking.mask\", which is {}", masking.mask);
        refuse("masking.random", &masking.random.to_string(), &wanted)?;
    }
    if masking.rounding == RoundingKind::Chance {
        return match masking.most {
            Some(most) => {
                refuse("masking.most", &most.to_string(), "\"masking.rounding\" = \"down\" beside it")
            }
            None => Ok(()),
        };
    }
    let least = (1.0 / masking.choose).ceil();
    let wanted = format!("at least {least}, so that \"masking.choose\" rounded down leaves one residue");
    let crop = data.crop.unwrap_or(usize::MAX);
    for (key, found) in [("data.min_residues", data.min_residues as usize), ("data.crop", crop)] {
        let is_short = (masking.choose * found as f64) < 1.0;
        if is_short && objective.kind != ObjectiveKind::Bilm {
            refuse(key, &found.to_string(), &wanted)?;
        }
    }
    Ok(())
}

/// A schedule must have room for what it is made of.
fn schedule(config: &TrainConfig, place: &str) -> Result<(), ConfigError> {
    let TrainConfig { schedule, run, .. } = config;
    let end = schedule.steps.or(run.steps);
    if let Some(end) = end.filter(|end| schedule.warmup_steps >= *end && schedule.warmup_steps > 0) {
        let wanted = format!("fewer than the {end} steps of the whole schedule");
        let found = schedule.warmup_steps.to_string();
        return Err(ConfigError::with(place, "schedule.warmup_steps", found, wanted));
    }
    if schedule.cycles > 1 && schedule.kind != ScheduleKind::CosineRestarts {
        let wanted = "1, or \"schedule.kind\" = \"cosine-restarts\"";
        return Err(ConfigError::with(place, "schedule.cycles", schedule.cycles.to_string(), wanted));
    }
    if let Some(length) = schedule.cycle_steps
        && (schedule.kind != ScheduleKind::CosineRestarts || schedule.cycles > 1)
    {
        let wanted = "none, or \"schedule.kind\" = \"cosine-restarts\" beside it and no \"schedule.cycles\"";
        return Err(ConfigError::with(place, "schedule.cycle_steps", length.to_string(), wanted));
    }
    Ok(())
}
