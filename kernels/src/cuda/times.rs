//! How long each kernel and each product takes on a device, by events around its launch, for those who ask for it.
//!
//! Whoever asks changes no result: the same work is asked in the same order. Where the device waits for the host, the time of
//! waiting counts as well.

use super::context::Context;
use super::driver::{Functions, Handle};
use crate::error::KernelError;
use std::collections::BTreeMap;

/// Launches whose events are kept before their times are read.
const KEPT: usize = 4096;

/// What one kernel, or one product of the library, took on the device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KernelTime {
    /// The kernel, or the product with its columns, inner dimension and type.
    pub name: String,
    /// Launches.
    pub calls: u64,
    /// Of all launches together.
    pub milliseconds: f64,
    /// Of the first launch, which may have waited for code to be loaded.
    pub first_milliseconds: f64,
}

/// Events around a launch.
struct Span {
    name: String,
    begin: Handle,
    end: Handle,
}

/// Times so far, and events that are to be read.
#[derive(Default)]
pub(super) struct Times {
    open: Vec<Span>,
    spare: Vec<Handle>,
    sums: BTreeMap<String, KernelTime>,
}

impl Times {
    /// Runs `work`, which asks the device for something, between two events.
    pub(super) fn around(
        &mut self,
        context: &Context,
        name: String,
        work: impl FnOnce() -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        if self.open.len() >= KEPT {
            self.settle(context)?;
        }
        let begin = self.mark(context)?;
        let done = work();
        let end = self.mark(context)?;
        self.open.push(Span { name, begin, end });
        done
    }

    /// An event that is recorded now.
    fn mark(&mut self, context: &Context) -> Result<Handle, KernelError> {
        let functions = &context.driver.functions;
        let mut event = self.spare.pop().unwrap_or(std::ptr::null_mut());
        // SAFETY: the place is a handle as it is written, 0 asks for an event that has a time, and the stream lives as long
        // as the context.
        unsafe {
            if event.is_null() {
                context.check((functions.event_create)(&raw mut event, 0))?;
            }
            context.check((functions.event_record)(event, context.stream))?;
        }
        Ok(event)
    }

    /// Reads all events, once the device has come to them.
    fn settle(&mut self, context: &Context) -> Result<(), KernelError> {
        let functions = &context.driver.functions;
        for Span { name, begin, end } in self.open.drain(..) {
            let mut milliseconds = 0.0_f32;
            // SAFETY: both events were recorded on the stream, and the place is a number of the type that is written.
            let found = unsafe {
                context.check((functions.event_wait)(end)).and_then(|()| {
                    functions
                        .event_elapsed
                        .map_or(Ok(()), |elapsed| context.check(elapsed(&raw mut milliseconds, begin, end)))
                })
            };
            self.spare.extend([begin, end]);
            found?;
            let first_milliseconds = f64::from(milliseconds);
            let sum = self.sums.entry(name).or_insert_with_key(|name| KernelTime {
                name: name.clone(),
                first_milliseconds,
                ..KernelTime::default()
            });
            sum.calls += 1;
            sum.milliseconds += f64::from(milliseconds);
        }
        Ok(())
    }

    /// All times so far, the longest first.
    pub(super) fn told(&mut self, context: &Context) -> Result<Vec<KernelTime>, KernelError> {
        self.settle(context)?;
        let mut told: Vec<KernelTime> = self.sums.values().cloned().collect();
        told.sort_by(|one, other| other.milliseconds.total_cmp(&one.milliseconds));
        Ok(told)
    }

    /// Gives the events back.
    pub(super) fn free(&mut self, functions: &Functions) {
        let spans = self.open.drain(..).flat_map(|span| [span.begin, span.end]);
        for event in spans.chain(self.spare.drain(..)) {
            // SAFETY: made by this driver, and destroyed once.
            unsafe { (functions.event_destroy)(event) };
        }
    }
}
