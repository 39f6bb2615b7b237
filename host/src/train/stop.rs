//! What ends a run before its last step: a signal, or the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Signals that ask a program to end, by their names.
const SIGNALS: [(i32, &str); 2] = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")];

/// Watches for them.
#[derive(Debug)]
pub struct Stop {
    asked: [Arc<AtomicBool>; SIGNALS.len()],
    deadline: Option<Instant>,
}

impl Stop {
    /// Watches from now on; a second signal ends the program at once.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(minutes: Option<f64>) -> anyhow::Result<Self> {
        let asked: [Arc<AtomicBool>; SIGNALS.len()] = Default::default();
        for (flag, (signal, _)) in asked.iter().zip(SIGNALS) {
            // In this order: the first signal sets what the second finds.
            flag::register_conditional_default(signal, Arc::clone(flag))?;
            flag::register(signal, Arc::clone(flag))?;
        }
        let limit = minutes.and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok());
        Ok(Self { asked, deadline: limit.and_then(|limit| Instant::now().checked_add(limit)) })
    }

    /// What asks the run to end, if anything does.
    pub fn asked(&self) -> Option<&'static str> {
        let mut asked = self.asked.iter().zip(SIGNALS);
        let signal = asked.find(|(flag, _)| flag.load(Ordering::Relaxed)).map(|(_, (_, name))| name);
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        signal.or(late.then_some("run.minutes"))
    }
}
