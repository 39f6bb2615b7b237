//! Every key of a fine-tuning: what it is for, and what it may be.

use crate::train::config::keys::{Key, Keys, key};

/// The keys of a fine-tuning.
pub(super) const FINETUNE: Keys = Keys { command: "finetune", all: &KEYS };

/// All keys, in the order in which a configuration is written.
const KEYS: [Key; 85] = [
    key("task.name", "the name of a task", "what is learnt; 'pliant finetune --help' lists the tasks")
        .required(),
    key("model.config", "the path of a config.json", "begin with random weights of this model configuration")
        .files(),
    key("model.init", "the path or the name of a model", "encode with this model instead").files(),
    key("data.train", "a list of paths", "examples that are learnt from: tables, or FASTA with labels")
        .files(),
    key("data.valid", "a list of paths", "examples that are kept apart to look at what was learnt").files(),
    key(
        "data.exclude",
        "a list of paths",
        "files of SHA-256 hashes of sequences: examples with one of them are not learnt from",
    )
    .files(),
    key("data.train_parts", "a list of words", "parts of the training files that are learnt from; none: all"),
    key("data.valid_parts", "a list of words", "parts of the training files that are kept apart"),
    key(
        "data.valid_fraction",
        "a number above 0 and below 1",
        "fraction of the examples kept apart instead, like with like",
    ),
    key(
        "data.draw",
        "a whole number from 1 to 4294967295",
        "of homology: pairs that are drawn of files of domains with their codes of structure",
    ),
    key("data.proteins", "the path of a FASTA file or table", "sequences of the proteins that pairs name")
        .files(),
    key(
        "data.wild_type",
        "the path of a FASTA file",
        "the protein that mutants are written as differences from",
    )
    .files(),
    key(
        "data.sequence_columns",
        "a list of names of columns",
        "where sequences are, two of pairs; none: as the task has it",
    ),
    key(
        "data.label_columns",
        "a list of names of columns",
        "where labels are; several of 0 and 1 are a class each",
    ),
    key("data.id_columns", "a list of names of columns", "what names an example, two of pairs"),
    key("data.part_column", "the name of a column", "which part an example is of"),
    key("data.mask_column", "the name of a column", "1 for each residue whose label counts"),
    key("data.weight_column", "the name of a column", "how much an example counts"),
    key("data.group_column", "the name of a column", "what stays on one side where some are kept apart"),
    key("data.classes", "a list of names", "the classes there are; none: those that are found"),
    key("data.separator", "one character", "what stands between the classes of an example"),
    key("data.letters", "letters", "those of the classes of residues, in their order"),
    key("data.ignored", "letters", "those of residues of which nothing is known"),
    key("data.max_residues", "a whole number of at least 1", "longer proteins fail"),
    key("data.on_error", "\"fail\" or \"skip\"", "what an example that cannot be read does").free(),
    key(
        "data.long",
        "\"whole\" or \"truncate\"",
        "what becomes of proteins longer than those the model was trained on",
    ),
    key(
        "head.pooling",
        "\"mean\", \"cls\", \"max\", \"sum\", \"attention\", \"random\" or \"published\"",
        "how the states of a protein become one vector; \"random\" is the frozen random pooler of the published heads, \
         \"published\" that on a token that no other sees, as their code computes it (of ESM-2, frozen)",
    ),
    key(
        "head.pairs",
        "\"symmetric\", \"average\" or \"alignment\"",
        "of pairs: distances and products of vectors, the mean of both as published for interactions, or a soft alignment of residues with ordered levels as PLUS",
    ),
    key(
        "head.embedding",
        "a whole number of at least 1",
        "width of what \"alignment\" projects states to; not set: 100",
    ),
    key(
        "head.hidden",
        "a whole number of at least 1",
        "width of a hidden layer; not set: the head is linear",
    ),
    key("head.activation", "\"relu\" or \"tanh\"", "what becomes of the sums of the hidden layer"),
    key("head.dropout", "a number from 0 to below 1", "part of the hidden numbers that is dropped"),
    key(
        "head.standardize",
        "true or false",
        "whether every number of a pooled vector is put on one scale first, by its mean and deviation over training examples: \
         where proteins are much alike, as mutants of one",
    ),
    key(
        "tuning.encoder",
        "\"frozen\", \"lora\", \"top\", \"names\" or \"all\"",
        "what of the encoder learns: nothing, an adapter beside it, its last layers, what is named or all",
    ),
    key("tuning.top_layers", "a whole number of at least 1", "how many layers \"top\" is"),
    key(
        "tuning.names",
        "a list of words of names of parameters",
        "what \"names\" is: parameters with one of them in their names, whole between dots, as layer.3",
    )
    .later(),
    key(
        "tuning.adapter",
        "the path of a folder",
        "an adapter as PEFT writes it: \"lora\" begins with it, \"frozen\" encodes with it",
    )
    .files(),
    key("tuning.lora_rank", "a whole number from 1 to 65536", "width of what a new adapter of \"lora\" goes through").later(),
    key("tuning.lora_alpha", "a number above 0", "an adapter counts this divided by its rank").later(),
    key("tuning.lora_dropout", "a number from 0 to below 1", "part of what an adapter reads that is dropped").later(),
    key(
        "tuning.lora_targets",
        "a list of words of the model's family",
        "matrices that are adapted: of ESM-2 query, key, value, output, fc1, fc2; none: key and value where there are \
         such, else all but recurrent",
    )
    .later(),
    key(
        "tuning.lora_layers",
        "a list of whole numbers but 0",
        "layers that are adapted, from 1; negative numbers count from the last; none: all",
    )
    .later(),
    key(
        "tuning.prefix_gigabytes",
        "a number of at least 0",
        "room for states below the lowest layer that learns, which are then computed once; 0: they are computed each time",
    )
    .free(),
    key(
        "tuning.layer",
        "a whole number",
        "the layer that the head reads; negative numbers count from the last",
    ),
    key("tuning.encoder_rate", "a number above 0", "what the learning rate is multiplied by for the encoder"),
    key("tuning.head_rate", "a number above 0", "and for the head"),
    key("tuning.class_weights", "\"none\" or \"balanced\"", "whether each class counts as much as any other"),
    key("tuning.task_weight", "a number above 0", "of the loss of the task"),
    key(
        "tuning.mlm_weight",
        "a number of at least 0",
        "of the loss of hidden residues beside it; 0 hides none",
    ),
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
    ),
    key("masking.most", "a whole number of at least 1", "residues of a sequence that are chosen at most"),
    key("optimizer.kind", "\"adamw\" or \"bert-adam\"", "how a step is taken; Adam is AdamW without decay"),
    key("optimizer.learning_rate", "a number above 0", "peak of the schedule"),
    key("optimizer.beta1", "a number from 0 to below 1", "decay of the mean of gradients"),
    key("optimizer.beta2", "a number from 0 to below 1", "decay of the mean of their squares"),
    key("optimizer.epsilon", "a number above 0", "added to the root of that mean"),
    key(
        "optimizer.weight_decay",
        "a number of at least 0",
        "of matrices and tables, not of biases and norms",
    ),
    key(
        "optimizer.clip",
        "a number of at least 0",
        "largest norm of the gradients of the encoder and of those of the head; 0: any",
    ),
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
    ),
    key("schedule.steps", "a whole number of at least 1", "where it ends; not set: with the run").free(),
    key("run.epochs", "a whole number of at least 1", "passes over the examples").free(),
    key(
        "run.patience",
        "a whole number of at least 1",
        "epochs without a better one after which the run is over",
    ),
    key(
        "run.best_by",
        "\"loss\" or \"metric\"",
        "by what of the examples kept apart epochs are better or worse",
    ),
    key("run.metric", "the name of a measure", "which measure that is; not set: that of the plugin, or the main one of the task"),
    key("run.plugin", "the path of a plugin.toml", "a measure that you bring, told beside those of the task as NAME.SCORE")
        .files(),
    key("run.plugin_set", "a list of KEY=VALUE", "keys of that plugin"),
    key("run.plugin_limits", "a list of NAME=NUMBER", "what that plugin may take, where it is more than usual").free(),
    key("run.minutes", "a number above 0", "stop after that time with a checkpoint, to go on with --resume")
        .free(),
    key(
        "run.epoch_examples",
        "a whole number of at least 1",
        "examples of an epoch, drawn anew for each; not set: all",
    ),
    key("run.batch", "a whole number from 1 to 65536", "examples of an update"),
    key(
        "run.budget_tokens",
        "a whole number of at least 1",
        "tokens of a pack; an update is cut into such packs",
    ),
    key("run.seed", "a whole number", "everything random is a function of it and of the step"),
    key("run.precision", "\"f32\" or \"bf16\"", "number type of matrix operands; weights are kept in f32"),
    key(
        "run.recompute",
        "true or false",
        "compute blocks again for their gradients: less memory, the same numbers",
    )
    .free(),
    key("checkpoint.every_steps", "a whole number of at least 1", "updates from one checkpoint to the next")
        .free(),
    key("checkpoint.every_minutes", "a number above 0", "longest time from one to the next").free(),
    key("checkpoint.keep_last", "a whole number of at least 1", "newest checkpoints that are kept").free(),
    key(
        "checkpoint.keep_best",
        "a whole number of at least 1",
        "best checkpoints that are kept beside them: so many by the loss, and so many by the measure",
    )
        .free(),
];
