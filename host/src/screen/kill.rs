//! Moments at which a process may be killed without harm; in tests of this program's own modules, and nowhere else, it is.

/// Passes one of the moments.
#[cfg(not(test))]
pub(super) fn point(_name: &'static str) {}

/// Every moment, in the order of a screen.
#[cfg(test)]
pub(super) const POINTS: [&str; 7] = [
    "checkpoint: begun",
    "unit: done",
    "checkpoint: edges written",
    "checkpoint: tally written",
    "checkpoint: named",
    "answer: written",
    "answer: named",
];

/// Names the moment, and how often it is passed before, at which the process ends.
#[cfg(test)]
pub(super) const KILL_AT: &str = "PLIANT_TEST_KILL_AT";

/// Ends the process, as SIGKILL does, where a test asked for this moment.
#[cfg(test)]
pub(super) fn point(name: &'static str) {
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
