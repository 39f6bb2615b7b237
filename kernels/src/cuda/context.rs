//! One device: its context, its one stream, and its memory.
//!
//! Everything that is asked of a device is asked on one stream and done in that order, so memory that one operation no
//! longer needs can be given to the next while the first still runs. Nothing waits for the device but the reading of
//! results. What goes wrong while nobody waits is kept as a fault: from then on the device refuses everything with the
//! same words, until the fault is taken.

use super::compile::Architecture;
use super::driver::{Address, Driver, Handle, OUT_OF_MEMORY, SUCCESS, driver};
use super::staging::{Half, Staging};
use super::times::{KernelTime, Times};
use crate::buffer::{Line, Pool};
use crate::error::KernelError;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Numbers of attributes in `cuda.h`.
const MULTIPROCESSORS: c_int = 16;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// Blocks of a device begin at multiples of this, which is what its own allocator promises.
const GRAIN: usize = 256;

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its number among those that this process may use.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Its id in hex, the same for every process whatever its number; parts of a GPU that is cut up (MIG) have ids of their
    /// own.
    pub uuid: String,
    /// Compute capability: major, minor.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory: usize,
}

impl Facts {
    /// Asks the driver for the device with a number.
    ///
    /// # Errors
    /// [`KernelError::Device`] where there is none of that number.
    pub fn of(driver: &Driver, ordinal: usize) -> Result<Self, KernelError> {
        Self::with_handle(driver, ordinal).map(|(facts, _)| facts)
    }

    fn with_handle(driver: &Driver, ordinal: usize) -> Result<(Self, c_int), KernelError> {
        let device = format!("cuda:{ordinal}");
        let count = driver.devices()?;
        if ordinal >= count {
            let reason = match count {
                0 => "the driver sees no GPU; see CUDA_VISIBLE_DEVICES and `nvidia-smi`".to_owned(),
                _ => format!("the driver sees {count}, numbered from 0; see CUDA_VISIBLE_DEVICES"),
            };
            return Err(KernelError::Device { device, reason });
        }
        let (functions, mut handle) = (&driver.functions, 0);
        // SAFETY: all places below are of the types and lengths that `cuda.h` says are written.
        unsafe {
            driver.check(
                &device,
                (functions.device_get)(&raw mut handle, c_int::try_from(ordinal).unwrap_or(0)),
            )?;
            let (mut name, mut uuid, mut memory) = ([0_u8; 256], [0_u8; 16], 0);
            driver.check(&device, (functions.device_name)(name.as_mut_ptr().cast(), 255, handle))?;
            driver.check(&device, (functions.device_uuid)(&raw mut uuid, handle))?;
            driver.check(&device, (functions.device_memory)(&raw mut memory, handle))?;
            let attribute = |number| {
                let mut value = 0;
                let code = (functions.device_attribute)(&raw mut value, number, handle);
                driver.check(&device, code).map(|()| u32::try_from(value).unwrap_or(0))
            };
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let facts = Self {
                ordinal,
                name: String::from_utf8_lossy(name).into_owned(),
                uuid: uuid.iter().map(|byte| format!("{byte:02x}")).collect(),
                capability: (attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?),
                multiprocessors: attribute(MULTIPROCESSORS)?,
                memory,
            };
            Ok((facts, handle))
        }
    }

    /// The architecture to compile for.
    ///
    /// # Errors
    /// [`KernelError::Device`] for devices without bf16.
    pub fn architecture(&self) -> Result<Architecture, KernelError> {
        Architecture::of_device(self.capability).ok_or_else(|| {
            let (major, minor) = self.capability;
            let reason = format!("{} has compute capability {major}.{minor}, wanted 8.0 or newer", self.name);
            KernelError::Device { device: format!("cuda:{}", self.ordinal), reason }
        })
    }
}

/// A device in use.
pub(crate) struct Context {
    pub(super) driver: &'static Driver,
    pub(super) facts: Facts,
    device: c_int,
    context: Handle,
    pub(super) stream: Handle,
    free: Mutex<BTreeMap<usize, Vec<Address>>>,
    staging: Mutex<Staging>,
    fault: Mutex<Option<KernelError>>,
    /// Where times are asked for.
    times: Option<Mutex<Times>>,
    /// Memory of the host for numbers that were read back.
    pub(super) host: Arc<Pool>,
}

// SAFETY: the handles belong to the driver, whose functions may be called from any thread once the context is current
// there, which every method sees to; what changes here is behind locks.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Opens the device with a number, `timed` to keep what its kernels take.
    ///
    /// # Errors
    /// [`KernelError`] where there is no driver, no such device, or no memory for its context.
    pub(super) fn open(ordinal: usize, timed: bool) -> Result<Arc<Self>, KernelError> {
        let driver = driver()?;
        let (facts, device) = Facts::with_handle(driver, ordinal)?;
        facts.architecture()?;
        let name = format!("cuda:{ordinal}");
        let (mut context, mut stream) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: both places are handles as they are written; 1 asks for a stream that waits for no other.
        unsafe {
            let functions = &driver.functions;
            driver.check(&name, (functions.context_retain)(&raw mut context, device))?;
            let code = match (functions.context_set)(context) {
                SUCCESS => (functions.stream_create)(&raw mut stream, 1),
                code => code,
            };
            if code != SUCCESS {
                (functions.context_release)(device);
                driver.check(&name, code)?;
            }
        }
        Ok(Arc::new(Self {
            driver,
            facts,
            device,
            context,
            stream,
            free: Mutex::default(),
            staging: Mutex::default(),
            fault: Mutex::default(),
            times: timed.then(Mutex::default),
            host: Arc::default(),
        }))
    }

    /// Makes the context current on this thread, unless something went wrong before.
    pub(super) fn enter(&self) -> Result<(), KernelError> {
        if let Some(fault) = &*lock(&self.fault) {
            return Err(fault.clone());
        }
        // SAFETY: the context lives as long as this.
        self.check(unsafe { (self.driver.functions.context_set)(self.context) })
    }

    /// What a code of the driver means.
    pub(super) fn check(&self, code: c_int) -> Result<(), KernelError> {
        if code == SUCCESS {
            return Ok(());
        }
        self.driver.check(&format!("cuda:{}", self.facts.ordinal), code)
    }

    /// Keeps what went wrong where nobody can be told, unless something did before.
    pub(super) fn keep_fault(&self, fault: KernelError) {
        lock(&self.fault).get_or_insert(fault);
    }

    /// The fault that is kept, which is forgotten.
    pub(super) fn take_fault(&self) -> Option<KernelError> {
        lock(&self.fault).take()
    }

    /// Bytes that are free on the device, beside those that the pool holds, and all that it has.
    pub(super) fn memory(&self) -> Result<(usize, usize), KernelError> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both places are numbers of the type that is written.
        self.check(unsafe { (self.driver.functions.memory_info)(&raw mut free, &raw mut total) })?;
        Ok((free, total))
    }

    /// Bytes that lie free in the pool.
    pub(super) fn pooled(&self) -> usize {
        lock(&self.free).iter().map(|(bytes, blocks)| bytes * blocks.len()).sum()
    }

    /// Gives the pool's free memory back to the driver.
    pub(super) fn trim(&self) {
        let free = std::mem::take(&mut *lock(&self.free));
        // SAFETY: the context lives as long as this; a code of failure leaves another one current, under which freeing
        // fails as well and nothing else happens.
        unsafe { (self.driver.functions.context_set)(self.context) };
        for address in free.into_values().flatten() {
            // SAFETY: the address came from the allocator and nobody holds it; the driver waits for work that uses it.
            unsafe { (self.driver.functions.free)(address) };
        }
    }

    /// Memory for `bytes`: its address and the bytes of its size class.
    pub(super) fn take(&self, bytes: usize) -> Result<(Address, usize), KernelError> {
        let class = crate::buffer::size_class(bytes.div_ceil(GRAIN)) * GRAIN;
        self.enter()?;
        if let Some(address) = lock(&self.free).get_mut(&class).and_then(Vec::pop) {
            return Ok((address, class));
        }
        match self.allocate(class)? {
            Some(address) => Ok((address, class)),
            None => {
                self.trim();
                self.allocate(class)?.map(|address| (address, class)).ok_or_else(|| self.out_of_memory(class))
            }
        }
    }

    fn allocate(&self, bytes: usize) -> Result<Option<Address>, KernelError> {
        let mut address = 0;
        // SAFETY: the place is a number of the type that is written, and the context is current.
        match unsafe { (self.driver.functions.allocate)(&raw mut address, bytes) } {
            OUT_OF_MEMORY => Ok(None),
            code => self.check(code).map(|()| Some(address)),
        }
    }

    fn out_of_memory(&self, wanted: usize) -> KernelError {
        let (free, total) = self.memory().unwrap_or((0, self.facts.memory));
        KernelError::OutOfMemory { device: format!("cuda:{}", self.facts.ordinal), wanted, free, total }
    }

    /// Gives memory of a size class back to the pool. What was asked of the stream before may still use it: whoever takes
    /// it next comes after that on the same stream.
    pub(super) fn give(&self, address: Address, class: usize) {
        lock(&self.free).entry(class).or_default().push(address);
    }

    /// Copies bytes to the device; returns when they may be changed, not when they are there.
    pub(super) fn upload(&self, to: Address, bytes: &[u8]) -> Result<(), KernelError> {
        self.enter()?;
        lock(&self.staging).upload(self, to, bytes)
    }

    /// Copies bytes from the device, after all that was asked of it before.
    pub(super) fn download(&self, from: Address, bytes: &mut [u8]) -> Result<(), KernelError> {
        self.enter()?;
        lock(&self.staging).download(self, from, bytes)
    }

    /// Copies from one place of the device to another.
    pub(super) fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), KernelError> {
        self.enter()?;
        // SAFETY: callers hold both blocks, which have that many bytes from there on.
        self.check(unsafe { (self.driver.functions.within)(to, from, bytes, self.stream) })
    }

    /// Fills with zeros; `bytes` is a multiple of four.
    pub(super) fn clear(&self, to: Address, bytes: usize) -> Result<(), KernelError> {
        self.enter()?;
        // SAFETY: callers hold the block, which has that many bytes.
        self.check(unsafe { (self.driver.functions.fill)(to, 0, bytes / 4, self.stream) })
    }

    /// Asks the device for something that has a name, whose time is kept where times are asked for.
    pub(super) fn timed(
        &self,
        name: impl FnOnce() -> String,
        work: impl FnOnce() -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        match &self.times {
            Some(times) => lock(times).around(self, name(), work),
            None => work(),
        }
    }

    /// What kernels took so far; `None` where nobody asked for times.
    pub(super) fn times(&self) -> Result<Option<Vec<KernelTime>>, KernelError> {
        let Some(times) = &self.times else { return Ok(None) };
        self.enter()?;
        lock(times).told(self).map(Some)
    }

    /// Waits for all that was asked.
    pub(super) fn wait(&self) -> Result<(), KernelError> {
        self.enter()?;
        // SAFETY: the stream lives as long as this.
        self.check(unsafe { (self.driver.functions.stream_wait)(self.stream) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let functions = &self.driver.functions;
        // SAFETY: nobody holds a block any more, because each holds this; the stream is waited for before its memory
        // goes, and the context goes last.
        unsafe {
            (functions.context_set)(self.context);
            (functions.stream_wait)(self.stream);
        }
        self.trim();
        lock(&self.staging).free(functions);
        if let Some(times) = &self.times {
            lock(times).free(functions);
        }
        // SAFETY: as above.
        unsafe {
            (functions.stream_destroy)(self.stream);
            (functions.context_release)(self.device);
        }
    }
}

/// Memory of a device; no address where there was none left, which the device keeps as its fault.
pub(crate) struct Block {
    address: Address,
    class: usize,
    /// The numbers as they were last read or written by the host.
    mirror: OnceLock<Box<[Line]>>,
    /// The same on their way to the host.
    flight: Mutex<Option<Half>>,
    context: Arc<Context>,
}

impl Block {
    /// Memory for `bytes`; a failure is kept as the device's fault.
    pub(crate) fn new(context: &Arc<Context>, bytes: usize) -> Self {
        let (address, class) = context.take(bytes).unwrap_or_else(|fault| {
            context.keep_fault(fault);
            (0, 0)
        });
        Self {
            address,
            class,
            mirror: OnceLock::new(),
            flight: Mutex::default(),
            context: Arc::clone(context),
        }
    }

    /// The same filled with zeros.
    pub(crate) fn zeros(context: &Arc<Context>, bytes: usize) -> Self {
        let block = Self::new(context, bytes);
        block.note(block.address().and_then(|to| context.clear(to, bytes.next_multiple_of(4))));
        block
    }

    /// The same with `bytes` in it.
    pub(crate) fn from_bytes(context: &Arc<Context>, bytes: &[u8]) -> Self {
        let block = Self::new(context, bytes.len());
        block.note(block.address().and_then(|to| context.upload(to, bytes)));
        if bytes.len() <= MIRRORED {
            let mut mirror = context.host.lines(bytes.len());
            bytemuck::cast_slice_mut(&mut mirror)[..bytes.len()].copy_from_slice(bytes);
            let _first = block.mirror.set(mirror);
        }
        block
    }

    fn note(&self, outcome: Result<(), KernelError>) {
        if let Err(fault) = outcome {
            self.context.keep_fault(fault);
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Result<Address, KernelError> {
        if self.address != 0 {
            return Ok(self.address);
        }
        self.context.enter()?;
        // The fault was taken while this was still held.
        Err(self.context.out_of_memory(0))
    }

    /// Bytes that it has room for, which are at least those that were asked for.
    pub(crate) fn room(&self) -> usize {
        self.class
    }

    /// Where it is, to be written: what the host knows of it is forgotten.
    pub(crate) fn address_mut(&mut self) -> Result<Address, KernelError> {
        self.forget();
        self.address()
    }

    /// Its first `bytes` bytes as the host's memory, read back when they are asked for first. Where that fails, all are
    /// 0xff (which is no number of any kind that is computed with), and the device keeps the fault.
    pub(crate) fn mirror(&self, bytes: usize) -> &[Line] {
        self.mirror.get_or_init(|| {
            let mut lines = self.context.host.lines(bytes);
            let place = &mut bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes];
            let flight = lock(&self.flight).take();
            let outcome = match flight {
                Some(half) => lock(&self.context.staging).land(&self.context, half, place),
                None => self.address().and_then(|from| self.context.download(from, place)),
            };
            if let Err(fault) = outcome {
                place.fill(0xff);
                self.context.keep_fault(fault);
            }
            lines
        })
    }

    /// Sends its first `bytes` bytes on their way to the host, for [`Block::mirror`] to wait for those alone.
    pub(crate) fn fetch(&self, bytes: usize) -> Result<(), KernelError> {
        self.context.enter()?;
        let from = self.address()?;
        let mut flight = lock(&self.flight);
        if flight.is_none() && self.mirror.get().is_none() {
            *flight = lock(&self.context.staging).start(&self.context, from, bytes)?;
        }
        Ok(())
    }

    /// Forgets what the host knows of it.
    fn forget(&mut self) {
        if let Some(mirror) = self.mirror.take() {
            self.context.host.give(mirror);
        }
        if let Some(half) = lock(&self.flight).take() {
            lock(&self.context.staging).forget(half);
        }
    }

    /// Whose memory it is.
    pub(crate) fn is_of(&self, context: &Arc<Context>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }
}

/// Bytes up to which the host keeps what it brings to a device, so that to look at it again is no question to the device.
const MIRRORED: usize = 1 << 20;

impl Drop for Block {
    fn drop(&mut self) {
        self.forget();
        if self.address != 0 {
            self.context.give(self.address, self.class);
        }
    }
}
