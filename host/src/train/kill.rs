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

/// Names the moment, and how often it is passed before, at which the process ends.
#[cfg(test)]
pub(crate) const KILL_AT: &str = "PLIANT_TEST_KILL_AT";

/// Ends the process, as SIGKILL does, where a test asked for this moment.
#[cfg(test)]
pub(crate) fn point(name: &'static str) {
    use std::sync::Mutex;
    static PASSED: Mutex<u32> = Mutex::new(0);
    assert!(POINTS.contains(&name), "{name} is in no test");
    let Ok(asked) = std::env::var(KILL_AT) else { return };
    let Some((wanted, times)) = asked.rsplit_once('#') else { return };
    if wanted != name {
        return;
    }
    let mut passed = PASSED.lock().unwrap();
    if passed.to_string() == times {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
    *passed += 1;
}
