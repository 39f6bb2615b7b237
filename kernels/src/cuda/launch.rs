//! Launches: the arguments of a kernel, each checked to be on its device, and how many blocks walk its grid.

use super::Cuda;
use super::context::Block;
use super::driver::Address;
use crate::buffer::{Buffer, Element, Input, Output};
use crate::error::KernelError;
use std::ffi::c_void;

/// Blocks of a grid for every multiprocessor; grids are walked in strides, so no result depends on their number, and where all
/// have the same to do, more are of no use.
const BLOCKS_EACH: usize = 16;

/// Blocks that any grid may have.
const BLOCKS_MOST: usize = 1 << 30;

/// A kernel that is about to run. Its arguments are given in the order of its text; the first that does not fit is told
/// by [`Launch::over`].
pub(crate) struct Launch<'a> {
    cuda: &'a Cuda,
    op: &'static str,
    kernel: &'static str,
    words: Vec<u64>,
    fault: Option<KernelError>,
}

/// What a launch has as many blocks as needed for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grid {
    /// A block for each.
    Blocks(usize),
    /// The same for work of which some takes long: the device gives out blocks as others end.
    Uneven(usize),
    /// A warp for each.
    Warps(usize),
    /// A thread for each.
    Threads(usize),
}

impl Cuda {
    /// A kernel of an operation.
    pub(crate) fn launch(&self, op: &'static str, kernel: &'static str) -> Launch<'_> {
        Launch { cuda: self, op, kernel, words: Vec::new(), fault: None }
    }
}

impl Launch<'_> {
    fn push(&mut self, word: Result<u64, KernelError>) {
        match word {
            Ok(word) => self.words.push(word),
            Err(fault) => {
                self.fault.get_or_insert(fault);
            }
        }
    }

    fn address(&self, block: Option<&Block>) -> Result<Address, KernelError> {
        match block {
            Some(block) if block.is_of(self.cuda.context()) => block.address(),
            _ => Err(elsewhere(self.op)),
        }
    }

    /// Numbers to read.
    pub(crate) fn reads<T: Element>(mut self, buffer: &Buffer<T>) -> Self {
        let address = self.address(buffer.block());
        self.push(address);
        self
    }

    /// Numbers to read, from the element `first` on.
    pub(crate) fn reads_from<T: Element>(mut self, buffer: &Buffer<T>, first: usize) -> Self {
        let address = self.address(buffer.block());
        self.push(address.map(|address| address + (first * size_of::<T>()) as u64));
        self
    }

    /// Numbers to read, or null.
    pub(crate) fn may_read<T: Element>(self, buffer: Option<&Buffer<T>>) -> Self {
        match buffer {
            Some(buffer) => self.reads(buffer),
            None => self.nothing(),
        }
    }

    /// An operand to read.
    pub(crate) fn operand(self, operand: Input<'_>) -> Self {
        match operand {
            Input::F32(buffer) => self.reads(buffer),
            Input::Bf16(buffer) => self.reads(buffer),
        }
    }

    /// Numbers to write.
    pub(crate) fn writes<T: Element>(mut self, buffer: &mut Buffer<T>) -> Self {
        let context = self.cuda.context();
        let address = match buffer.block_mut() {
            Some(block) if block.is_of(context) => block.address_mut(),
            _ => Err(elsewhere(self.op)),
        };
        self.push(address);
        self
    }

    /// Numbers to write, from the element `first` on.
    pub(crate) fn writes_from<T: Element>(self, buffer: &mut Buffer<T>, first: usize) -> Self {
        let mut launch = self.writes(buffer);
        if let Some(word) = launch.words.last_mut() {
            *word += (first * size_of::<T>()) as u64;
        }
        launch
    }

    /// Numbers to write, or null.
    pub(crate) fn may_write<T: Element>(self, buffer: Option<&mut Buffer<T>>) -> Self {
        match buffer {
            Some(buffer) => self.writes(buffer),
            None => self.nothing(),
        }
    }

    /// A result to write.
    pub(crate) fn result(self, output: &mut Output<'_>) -> Self {
        match output {
            Output::F32(buffer) => self.writes(buffer),
            Output::Bf16(buffer) => self.writes(buffer),
        }
    }

    /// A null pointer.
    pub(crate) fn nothing(mut self) -> Self {
        self.words.push(0);
        self
    }

    /// A number of 32 bits.
    pub(crate) fn count(mut self, number: usize) -> Self {
        let op = self.op;
        let word = u32::try_from(number).map(u64::from).map_err(|_| KernelError::Unsupported {
            op,
            what: "size on cuda",
            found: number.to_string(),
            supported: "below 2^32",
        });
        self.push(word);
        self
    }

    /// A number of 64 bits.
    pub(crate) fn wide(mut self, number: usize) -> Self {
        self.words.push(number as u64);
        self
    }

    /// A number of 32 bits with a point.
    pub(crate) fn real(mut self, number: f32) -> Self {
        self.words.push(u64::from(number.to_bits()));
        self
    }

    /// Asks the device to run it, with as many blocks as there is work for.
    ///
    /// # Errors
    /// The first argument that did not fit, a kernel that cannot be had, and what went wrong on the device before.
    pub(crate) fn over(mut self, grid: Grid) -> Result<(), KernelError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let context = self.cuda.context();
        context.enter()?;
        let function = self.cuda.function(self.op, self.kernel)?;
        let threads = function.threads as usize;
        let needed = match grid {
            Grid::Blocks(blocks) | Grid::Uneven(blocks) => blocks,
            Grid::Warps(warps) => warps.div_ceil(threads / 32),
            Grid::Threads(items) => items.div_ceil(threads),
        };
        if needed == 0 {
            return Ok(());
        }
        let most = match grid {
            Grid::Uneven(_) => BLOCKS_MOST,
            _ => context.facts.multiprocessors.max(1) as usize * BLOCKS_EACH,
        };
        let blocks = needed.min(most) as u32;
        let mut places: Vec<*mut c_void> =
            self.words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let launch = context.driver.functions.launch;
        // SAFETY: the function belongs to a module that lives as long as the device; the arguments are those of the
        // kernel's text in its order, which tests of every launch hold, each in a word of its own from whose first bytes
        // its number is read; sizes were checked against buffers, whose memory returns to the pool only for work that
        // comes later on the same stream.
        let mut ask = || unsafe {
            let (nothing, stream) = (std::ptr::null_mut(), context.stream);
            let places = places.as_mut_ptr();
            launch(function.handle, blocks, 1, 1, function.threads, 1, 1, 0, stream, places, nothing)
        };
        context.timed(|| self.kernel.to_owned(), || context.check(ask()))
    }
}

pub(super) fn elsewhere(op: &'static str) -> KernelError {
    KernelError::Unsupported {
        op,
        what: "place of a buffer",
        found: "another device".to_owned(),
        supported: "the device that computes",
    }
}

/// What an operation without kernels answers a device of CUDA.
pub(crate) fn cpu_only(op: &'static str) -> KernelError {
    KernelError::Unsupported { op, what: "device", found: "cuda".to_owned(), supported: "cpu" }
}

/// What a gradient answers a device of CUDA.
pub(crate) fn no_training(op: &'static str) -> KernelError {
    KernelError::Unsupported { op, what: "device of a gradient", found: "cuda".to_owned(), supported: "cpu" }
}
