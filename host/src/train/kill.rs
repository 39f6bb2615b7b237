//! Moments at which a process may be killed without harm; in tests of this program's own modules, and nowhere else, it is.

#[cfg(test)]
pub(crate) mod moments;

/// Passes one of the moments.
#[cfg(not(test))]
pub(crate) fn point(_name: &'static str) {}

/// Every moment, in the order of a run.
#[cfg(test)]
pub(crate) const POINTS: [&str; 16] = [
    "run: configuration named",
    "run: log cut",
    "run: update done",
    "log: line written",
    "checkpoint: folder made",
    "checkpoint: model written",
    "checkpoint: moments written",
    "checkpoint: state written",
    "checkpoint: named",
    "checkpoint: old one hidden",
    "checkpoint: old one removed",
    "result: begun",
    "result: vocab.txt named",
    "result: model.safetensors named",
    "result: training.json named",
    "result: config.json named",
];

/// Ends the process, as SIGKILL does, where a test asked for this moment.
#[cfg(test)]
pub(crate) fn point(name: &'static str) {
    crate::kill::pass(&POINTS, name);
}
