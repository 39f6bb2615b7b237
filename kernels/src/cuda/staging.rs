//! Pinned memory between host and device, in halves that take turns: while one is on its way, the other is filled or read.

use super::context::Context;
use super::driver::{Address, Functions, Handle};
use crate::error::KernelError;
use std::ffi::c_void;

/// Bytes of a half.
const HALF: usize = 4 << 20;

/// Parts of a half begin at multiples of this.
const GRAIN: usize = 64;

/// A piece of pinned memory, and when the device is done with it.
pub(super) struct Half {
    memory: *mut u8,
    event: Handle,
}

// SAFETY: the memory belongs to whoever holds this, and events may be waited for by any thread.
unsafe impl Send for Half {}

/// Two halves for each way.
#[derive(Default)]
pub(super) struct Staging {
    up: Vec<Half>,
    /// Which of them is being filled, and how much of it.
    turn: usize,
    used: usize,
    down: Vec<Half>,
    /// For results on their way that somebody reads later.
    idle: Vec<Half>,
}

impl Half {
    fn new(context: &Context) -> Result<Self, KernelError> {
        let functions = &context.driver.functions;
        let (mut memory, mut event): (*mut c_void, Handle) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: both places are pointers as they are written, and the context is current; 2 asks for events that keep
        // no time.
        unsafe {
            context.check((functions.host_allocate)(&raw mut memory, HALF, 0))?;
            if let Err(error) = context.check((functions.event_create)(&raw mut event, 2)) {
                (functions.host_free)(memory);
                return Err(error);
            }
        }
        Ok(Self { memory: memory.cast(), event })
    }

    /// From now on, the event is done when all that was asked of the device so far is.
    fn mark(&self, context: &Context) -> Result<(), KernelError> {
        // SAFETY: event and stream live as long as the device.
        context.check(unsafe { (context.driver.functions.event_record)(self.event, context.stream) })
    }

    /// Waits until the device is done with it.
    fn wait(&self, context: &Context) -> Result<(), KernelError> {
        // SAFETY: as above; an event that was never marked is done.
        context.check(unsafe { (context.driver.functions.event_wait)(self.event) })
    }
}

fn pair(context: &Context, halves: &mut Vec<Half>) -> Result<(), KernelError> {
    while halves.len() < 2 {
        halves.push(Half::new(context)?);
    }
    Ok(())
}

impl Staging {
    /// Brings bytes on their way to the device.
    pub(super) fn upload(&mut self, context: &Context, to: Address, bytes: &[u8]) -> Result<(), KernelError> {
        pair(context, &mut self.up)?;
        let mut done = 0;
        while done < bytes.len() {
            if self.used == HALF {
                self.up[self.turn].mark(context)?;
                (self.turn, self.used) = (1 - self.turn, 0);
                self.up[self.turn].wait(context)?;
            }
            let part = &bytes[done..][..(bytes.len() - done).min(HALF - self.used)];
            // SAFETY: the half has room for the part from there on, and the device is done with that place: it was waited
            // for when this half's turn began. The caller holds the block, which has room for all bytes.
            let code = unsafe {
                let place = self.up[self.turn].memory.add(self.used);
                place.copy_from_nonoverlapping(part.as_ptr(), part.len());
                (context.driver.functions.to_device)(
                    to + done as u64,
                    place.cast(),
                    part.len(),
                    context.stream,
                )
            };
            context.check(code)?;
            done += part.len();
            self.used = (self.used + part.len()).next_multiple_of(GRAIN).min(HALF);
        }
        Ok(())
    }

    /// Brings bytes from the device, one half on its way while the other is read.
    pub(super) fn download(
        &mut self,
        context: &Context,
        from: Address,
        bytes: &mut [u8],
    ) -> Result<(), KernelError> {
        pair(context, &mut self.down)?;
        let count = bytes.len().div_ceil(HALF);
        let lengths: Vec<usize> = bytes.chunks(HALF).map(<[u8]>::len).collect();
        let send = |part: usize, half: &Half| {
            let place = from + (part * HALF) as u64;
            // SAFETY: the half has room for the part and nobody reads it now; the caller holds the block it comes from.
            let code = unsafe {
                (context.driver.functions.to_host)(half.memory.cast(), place, lengths[part], context.stream)
            };
            context.check(code).and_then(|()| half.mark(context))
        };
        if count > 0 {
            send(0, &self.down[0])?;
        }
        for part in 0..count {
            if part + 1 < count {
                send(part + 1, &self.down[(part + 1) % 2])?;
            }
            let half = &self.down[part % 2];
            half.wait(context)?;
            let place = &mut bytes[part * HALF..][..lengths[part]];
            // SAFETY: the device has written so many bytes there and is done.
            unsafe { place.as_mut_ptr().copy_from_nonoverlapping(half.memory, place.len()) };
        }
        Ok(())
    }

    /// Sends bytes on their way from the device, to be read later; `None` where they are too many for that.
    pub(super) fn start(
        &mut self,
        context: &Context,
        from: Address,
        bytes: usize,
    ) -> Result<Option<Half>, KernelError> {
        if bytes > HALF {
            return Ok(None);
        }
        let half = match self.idle.pop() {
            Some(half) => half,
            None => Half::new(context)?,
        };
        // SAFETY: the half has room for the bytes, and nobody else holds it; the caller holds the block they come from,
        // whose memory is given only to what comes later on the same stream.
        let code =
            unsafe { (context.driver.functions.to_host)(half.memory.cast(), from, bytes, context.stream) };
        context.check(code)?;
        half.mark(context)?;
        Ok(Some(half))
    }

    /// Waits for what was sent on its way, and nothing else.
    pub(super) fn land(
        &mut self,
        context: &Context,
        half: Half,
        bytes: &mut [u8],
    ) -> Result<(), KernelError> {
        half.wait(context)?;
        // SAFETY: so many bytes were written there, and the device is done.
        unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(half.memory, bytes.len()) };
        self.idle.push(half);
        Ok(())
    }

    /// Takes back what nobody will read. The next use of it comes later on the same stream.
    pub(super) fn forget(&mut self, half: Half) {
        self.idle.push(half);
    }

    /// Gives the memory back; the device is done with everything.
    pub(super) fn free(&mut self, functions: &Functions) {
        for half in self.up.drain(..).chain(self.down.drain(..)).chain(self.idle.drain(..)) {
            // SAFETY: made by the same driver, and used by nobody any more.
            unsafe {
                (functions.event_destroy)(half.event);
                (functions.host_free)(half.memory.cast());
            }
        }
    }
}
