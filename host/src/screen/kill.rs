//! Moments at which a process may be killed without harm; in tests of this program's own modules, and nowhere else, it is.

/// Passes one of the moments.
#[cfg(not(test))]
pub(super) fn point(_name: &'static str) {}

/// Every moment, in the order of a screen.
#[cfg(test)]
pub(crate) const POINTS: [&str; 7] = [
    "checkpoint: begun",
    "unit: done",
    "checkpoint: edges written",
    "checkpoint: tally written",
    "checkpoint: named",
    "answer: written",
    "answer: named",
];

/// Ends the process, as SIGKILL does, where a test asked for this moment.
#[cfg(test)]
pub(super) fn point(name: &'static str) {
    crate::kill::pass(&POINTS, name);
}
