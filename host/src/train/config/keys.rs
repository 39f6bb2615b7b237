//! Every key of a configuration: what it is for, and what it may be.

/// The keys of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// The command that lists them with `--print-config`.
    pub(crate) command: &'static str,
    /// All of them, in the order in which a configuration is written.
    pub(crate) all: &'static [Key],
}

impl Keys {
    /// The key of that section and name.
    pub(crate) fn find(self, section: &str, name: &str) -> Option<&'static Key> {
        self.all.iter().find(|key| key.parts() == (section, name))
    }

    /// The key of that path.
    pub(crate) fn of(self, path: &str) -> Option<&'static Key> {
        self.all.iter().find(|key| key.path == path)
    }
}

/// The keys of a pretraining.
pub(super) const PRETRAIN: Keys = Keys { command: "pretrain", all: &KEYS };

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Section and name, as in `run.steps`.
    pub(crate) path: &'static str,
    /// What it may be.
    pub(crate) wanted: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Whether it has no default.
    pub(crate) required: bool,
    /// Whether a run that goes on must have the value that it began with.
    pub(crate) binds: bool,
    /// Whether it names files.
    pub(crate) names_files: bool,
    /// Whether runs have begun without it, which went on as its default says.
    pub(crate) is_later: bool,
}

impl Key {
    /// The section and the name in it.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or((self.path, ""))
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The key does not decide what a run that goes on has in common with its beginning.
    pub(crate) const fn free(self) -> Self {
        Self { binds: false, ..self }
    }

    /// Runs have begun before there was the key.
    pub(crate) const fn later(self) -> Self {
        Self { is_later: true, ..self }
    }

    /// What the key names is compared by content.
    pub(crate) const fn files(self) -> Self {
        Self { names_files: true, binds: false, ..self }
    }
}

pub(crate) const fn key(path: &'static str, wanted: &'static str, about: &'static str) -> Key {
    Key { path, wanted, about, required: false, binds: true, names_files: false, is_later: false }
}

/// All keys, in the order in which a configuration is written.
pub(super) const KEYS: [Key; 54] = [
    key("model.config", "the path of a config.json", "begin with random weights of this model configuration")
        .files(),
    key("model.init", "the path of a model folder", "begin with the weights of this model instead").files(),
    key("objective.kind", "\"mlm\", \"mlm+sfp\" or \"bilm\"", "what is learnt").later(),
    key("objective.mlm_weight", "a number above 0", "of the loss of hidden residues in \"mlm+sfp\"").later(),
    key("objective.sfp_weight", "a number above 0", "of the loss of pairs in \"mlm+sfp\"").later(),
    key("data.train", "a list of paths of FASTA files", "what is learnt from").files(),
    key(
        "data.families",
        "true or false",
        "read families too: FASTA with the headers of Pfam, or tables; \"mlm+sfp\" does",
    )
    .later(),
    key("data.min_family", "a whole number of at least 1", "families of fewer sequences are left out")
        .later(),
    key("data.pairs", "a list of paths of tables", "pairs that \"mlm+sfp\" is evaluated with").files(),
    key(
        "data.held_out",
        "a number from 0 to below 1",
        "fraction of the sequences kept apart, chosen by their hash",
    ),
    key("data.held_out_file", "the path of a FASTA file", "what is kept apart instead").files(),
    key("data.exclude", "a list of paths", "files of SHA-256 hashes of sequences that are left out").files(),
    key("data.on_error", "\"fail\" or \"skip\"", "what a record that cannot be read does").free(),
    key(
        "data.crop",
        "a whole number of at least 1",
        "longest stretch of a sequence in residues; not set: whole sequences",
    ),
    key("data.min_residues", "a whole number of at least 1", "shorter sequences are left out"),
    key("data.max_residues", "a whole number of at least 1", "longer records fail"),
    key("masking.choose", "a number above 0 and up to 1", "fraction of the residues that are to be told"),
    key("masking.mask", "a number from 0 to 1", "fraction of those that are hidden"),
    key(
        "masking.random",
        "a number from 0 to 1",
        "fraction of those that another residue takes the place of",
    ),
    key(
        "masking.rounding",
        "\"chance\" or \"down\"",
        "what becomes of a fraction of a residue: up as often as it says, or dropped",
    )
    .later(),
    key(
        "masking.most",
        "a whole number of at least 1",
        "residues of a sequence that are chosen at most; not set: any number",
    )
    .later(),
    key("optimizer.kind", "\"adamw\" or \"bert-adam\"", "how a step is taken; Adam is AdamW without decay")
        .later(),
    key("optimizer.learning_rate", "a number above 0", "peak of the schedule").required(),
    key("optimizer.beta1", "a number from 0 to below 1", "decay of the mean of gradients").required(),
    key("optimizer.beta2", "a number from 0 to below 1", "decay of the mean of their squares").required(),
    key("optimizer.epsilon", "a number above 0", "added to the root of that mean").required(),
    key(
        "optimizer.weight_decay",
        "a number of at least 0",
        "of matrices and tables, not of biases and norms; \"bert-adam\": of all",
    )
    .required(),
    key(
        "optimizer.clip",
        "a number of at least 0",
        "largest norm of all gradients (\"bert-adam\": of each parameter's); 0: any",
    )
    .required(),
    key(
        "schedule.kind",
        "\"constant\", \"linear\", \"bert\", \"cosine\" or \"cosine-restarts\"",
        "how the learning rate goes down",
    ),
    key("schedule.warmup_steps", "a whole number", "steps in which it goes up from 0"),
    key("schedule.final_fraction", "a number from 0 to 1", "where it ends, of its peak"),
    key("schedule.cycles", "a whole number of at least 1", "descents of \"cosine-restarts\""),
    key(
        "schedule.cycle_steps",
        "a whole number of at least 1",
        "steps of each of them instead, as published for LoRA: 10",
    )
    .later(),
    // Where it ends is compared in itself, whichever key says it.
    key("schedule.steps", "a whole number of at least 1", "where it ends; not set: with the run").free(),
    key("run.steps", "a whole number of at least 1", "updates of the weights").free(),
    key("run.epochs", "a whole number of at least 1", "passes over the sequences instead").free(),
    key("run.minutes", "a number above 0", "stop after that time with a checkpoint, to go on with --resume")
        .free(),
    key("run.budget_tokens", "a whole number of at least 1", "tokens of a pack"),
    key(
        "run.least_sequences",
        "a whole number of at least 1",
        "sequences of a pack at least, whatever their tokens; recurrent networks are slow with few",
    )
    .later(),
    key("run.accumulate", "a whole number from 1 to 65536", "packs of an update"),
    key("run.seed", "a whole number", "everything random is a function of it and of the step"),
    key("run.precision", "\"f32\" or \"bf16\"", "number type of matrix operands; weights are kept in f32"),
    key(
        "run.recompute",
        "true or false",
        "compute blocks again for their gradients: less memory, the same numbers",
    )
    .free(),
    key("checkpoint.every_steps", "a whole number of at least 1", "steps from one checkpoint to the next")
        .free(),
    key("checkpoint.every_minutes", "a number above 0", "longest time from one to the next").free(),
    key("checkpoint.keep_last", "a whole number of at least 1", "newest checkpoints that are kept").free(),
    key(
        "checkpoint.keep_best",
        "a whole number",
        "checkpoints with the least held-out loss that are kept beside them",
    )
    .free(),
    key("log.every_steps", "a whole number of at least 1", "steps of a line of the log").free(),
    key(
        "log.evaluate_every_steps",
        "a whole number of at least 1",
        "steps from one held-out loss to the next; not set: at the end",
    )
    .free(),
    key(
        "log.evaluate_sequences",
        "a whole number of at least 1",
        "sequences that it is taken of; not set: all",
    )
    .free(),
    key(
        "log.evaluate_pairs",
        "a whole number of at least 1",
        "pairs of held-out sequences that \"mlm+sfp\" is evaluated with, where \"data.pairs\" names none",
    )
    .free(),
    key(
        "compat.pair_loss",
        "true or false",
        "as PLUS was published: nothing is learnt of the residues of a pair's second member",
    )
    .later(),
    key(
        "compat.sfp_threshold",
        "true or false",
        "as PLUS was published: one family is where the logit, not the probability, is over one half",
    )
    .later(),
    key(
        "compat.random_range",
        "true or false",
        "as PLUS was published: a residue is replaced by any of the tokens 1 to 21, the mask among them",
    )
    .later(),
];
