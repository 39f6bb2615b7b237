//! Where tests of this program's own modules end the process, to see what a kill leaves behind.

use std::sync::Mutex;

use rustix::process::{Signal, getpid, kill_process};

/// Names the moment, and how often it is passed before, at which the process ends.
pub(crate) const KILL_AT: &str = "PLIANT_TEST_KILL_AT";

/// Passes one of `points`: ends the process, as SIGKILL does, where a test asked for this moment.
pub(crate) fn pass(points: &[&str], name: &str) {
    static PASSED: Mutex<u32> = Mutex::new(0);
    assert!(points.contains(&name), "{name} is in no test");
    let Ok(asked) = std::env::var(KILL_AT) else { return };
    let Some((wanted, times)) = asked.rsplit_once('#') else { return };
    if wanted != name {
        return;
    }
    let mut passed = PASSED.lock().unwrap();
    if passed.to_string() == times {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
    *passed += 1;
}
