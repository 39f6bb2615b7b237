//! A device of CUDA as operations see it: kernels by name, matrix products, small tables of numbers.

use super::blas::Blas;
use super::cache::Cache;
use super::compile::{Architecture, Compiler, Cubin};
use super::context::{Block, Context, Facts};
use super::driver::Handle;
use super::launch::elsewhere;
use super::sources::{SOURCES, Source};
use super::times::KernelTime;
use crate::buffer::{Buffer, Element, Pool};
use crate::error::KernelError;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tables of indices that are kept on the device, the last used first: those of a pack are asked for by every layer.
const TABLES: usize = 16;

/// What makes matrix products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Products {
    /// cuBLASLt where it is found, else the plain kernel.
    #[default]
    Auto,
    /// The plain kernel.
    Plain,
    /// cuBLASLt; without it there is no device.
    Library,
}

/// What makes attention of bf16 operands; that of f32 is plain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttentionChoice {
    /// Tensor cores once they have run on hardware ([`TENSOR_ATTENTION_PROVEN`](super::TENSOR_ATTENTION_PROVEN)), until
    /// then the plain kernel.
    #[default]
    Auto,
    /// The plain kernel.
    Plain,
    /// Tensor cores.
    TensorCores,
}

impl AttentionChoice {
    /// Whether tensor cores are taken.
    fn tensors(self) -> bool {
        match self {
            Self::Auto => super::TENSOR_ATTENTION_PROVEN,
            Self::Plain => false,
            Self::TensorCores => true,
        }
    }
}

/// How a device is opened.
#[derive(Debug, Clone, Default)]
pub struct CudaSettings {
    /// Its number among those that this process may use.
    pub ordinal: usize,
    /// What makes matrix products.
    pub products: Products,
    /// What makes attention.
    pub attention: AttentionChoice,
    /// Folder of compiled kernels, read and written.
    pub kernels: Option<PathBuf>,
    /// Whether to keep what each kernel takes.
    pub times: bool,
}

/// A kernel, loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) handle: Handle,
    pub(super) threads: u32,
}

/// Modules by operation, and their kernels by name.
#[derive(Default)]
struct Loaded {
    modules: BTreeMap<&'static str, Handle>,
    functions: BTreeMap<&'static str, Function>,
}

/// From where machine code comes.
struct Code {
    architecture: Architecture,
    cache: Option<Cache>,
    /// Or why there is none.
    compiler: Result<Compiler, KernelError>,
    version: (u32, u32),
}

/// Indices, and where the device has them.
type Table = (Vec<usize>, Arc<Buffer<u32>>);

/// A device of CUDA.
pub struct Cuda {
    code: Code,
    loaded: Mutex<Loaded>,
    blas: Option<Blas>,
    tensor_attention: bool,
    numerics: String,
    tables: Mutex<VecDeque<Table>>,
    /// Last, because the others are given back while it is there.
    context: Arc<Context>,
}

// SAFETY: handles of modules and functions are used under the locks or read only, and the driver and cuBLASLt may be
// called from any thread.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Code {
    fn find(architecture: Architecture, folder: Option<&PathBuf>) -> Result<Self, KernelError> {
        let cache = folder.map(|folder| Cache::new(folder.as_path()));
        let compiler = Compiler::find();
        let kept = || cache.as_ref()?.oldest_version(&SOURCES[0], architecture);
        let version = match &compiler {
            Ok(compiler) => compiler.version(),
            Err(error) => kept().ok_or_else(|| error.clone())?,
        };
        Ok(Self { architecture, cache, compiler, version })
    }

    fn cubin(&self, source: &Source) -> Result<Cubin, KernelError> {
        let kept = || self.cache.as_ref()?.get(source, self.architecture, self.version);
        match (&self.compiler, &self.cache) {
            (Ok(compiler), Some(cache)) => cache.cubin(compiler, source, self.architecture),
            (Ok(compiler), None) => compiler.compile(source, self.architecture),
            (Err(error), _) => kept().ok_or_else(|| error.clone()),
        }
    }
}

impl Cuda {
    /// Opens a device.
    ///
    /// # Errors
    /// [`KernelError::Library`] naming the library that is missing and what to install, [`KernelError::Device`] where
    /// there is no such device or it cannot be used.
    pub fn open(settings: &CudaSettings) -> Result<Self, KernelError> {
        let context = Context::open(settings.ordinal, settings.times)?;
        let architecture = context.facts.architecture()?;
        let code = Code::find(architecture, settings.kernels.as_ref())?;
        let blas = match settings.products {
            Products::Plain => None,
            Products::Auto => Blas::find().ok(),
            Products::Library => Some(Blas::find()?),
        };
        // The library chooses its algorithms by the number of multiprocessors, too.
        let products = blas.as_ref().map_or_else(
            || "plain".to_owned(),
            |blas| format!("cublaslt{}:{}mp", blas.version(), context.facts.multiprocessors),
        );
        let (major, minor) = code.version;
        let tensor_attention = settings.attention.tensors();
        let attention = if tensor_attention { ":tensor-attention" } else { "" };
        let numerics = format!("cuda-1:{architecture}:nvrtc{major}.{minor}:{products}{attention}");
        let (loaded, tables) = (Mutex::default(), Mutex::default());
        Ok(Self { context, code, loaded, blas, tensor_attention, numerics, tables })
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn host(&self) -> &Arc<Pool> {
        &self.context.host
    }

    pub(crate) fn blas(&self) -> Option<&Blas> {
        self.blas.as_ref()
    }

    /// Whether attention of bf16 operands is made by tensor cores.
    pub(crate) fn tensor_attention(&self) -> bool {
        self.tensor_attention
    }

    /// What the device is.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.context.facts
    }

    /// Name of the numerics class: architecture, compiler and what makes products decide the bits; where the library does,
    /// so does the number of multiprocessors, by which it chooses.
    #[must_use]
    pub fn numerics(&self) -> &str {
        &self.numerics
    }

    /// The device in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let Facts { ordinal, name, capability: (major, minor), .. } = self.facts();
        let products = match &self.blas {
            Some(blas) => format!("products by cuBLASLt {}", blas.version()),
            None => "plain products".to_owned(),
        };
        let attention = if self.tensor_attention { ", attention by tensor cores" } else { "" };
        format!("cuda:{ordinal} ({name}, compute capability {major}.{minor}, {products}{attention})")
    }

    /// What makes kernels: the compiler.
    ///
    /// # Errors
    /// The words why there is none.
    pub fn compiler(&self) -> Result<String, String> {
        self.code.compiler.as_ref().map(|compiler| format!("{compiler:?}")).map_err(ToString::to_string)
    }

    /// Where matrix products come from: version and path of cuBLASLt; `None` for the plain kernel.
    #[must_use]
    pub fn products(&self) -> Option<String> {
        self.blas.as_ref().map(|blas| format!("cuBLASLt {} at {}", blas.version(), blas.path().display()))
    }

    /// Products that were to come from cuBLASLt and that the plain kernel made, slowly, in words.
    #[must_use]
    pub fn refused_products(&self) -> Vec<String> {
        self.blas.as_ref().map(Blas::refusals).unwrap_or_default()
    }

    /// Bytes that may still be taken, those of the pool among them, and all that the device has.
    ///
    /// # Errors
    /// What went wrong on the device before.
    pub fn memory(&self) -> Result<(usize, usize), KernelError> {
        let (free, total) = self.context.memory()?;
        Ok((free + self.context.pooled(), total))
    }

    /// What each kernel and each product of cuBLASLt took on the device so far, the longest first; `None` where nobody asked
    /// for times ([`CudaSettings::times`]).
    ///
    /// # Errors
    /// What went wrong on the device before.
    pub fn kernel_times(&self) -> Result<Option<Vec<KernelTime>>, KernelError> {
        self.context.times()
    }

    /// Waits for all that was asked.
    ///
    /// # Errors
    /// What went wrong.
    pub fn wait(&self) -> Result<(), KernelError> {
        self.context.wait()
    }

    /// What went wrong and could not be told where it did; afterwards the device serves again, if the driver lets it. All
    /// memory that nobody holds returns to the driver.
    pub fn recover(&self) -> Option<KernelError> {
        let fault = self.context.take_fault();
        lock(&self.tables).clear();
        self.context.trim();
        fault
    }

    /// What went wrong and could not be told where it did.
    ///
    /// # Errors
    /// The fault, until [`Cuda::recover`].
    pub fn check(&self) -> Result<(), KernelError> {
        self.context.enter()
    }

    /// Room for numbers whose values are unspecified.
    pub(crate) fn scratch<T: Element>(&self, length: usize) -> Buffer<T> {
        Buffer::on_cuda(Block::new(&self.context, length * size_of::<T>()), length)
    }

    /// Zeros.
    pub(crate) fn zeros<T: Element>(&self, length: usize) -> Buffer<T> {
        Buffer::on_cuda(Block::zeros(&self.context, length * size_of::<T>()), length)
    }

    /// A copy of `values`.
    pub(crate) fn upload<T: Element>(&self, values: &[T]) -> Buffer<T> {
        Buffer::on_cuda(Block::from_bytes(&self.context, bytemuck::cast_slice(values)), values.len())
    }

    /// Sets all numbers to zero.
    pub(crate) fn clear<T: Element>(&self, buffer: &mut Buffer<T>) -> Result<(), KernelError> {
        let bytes = (buffer.len() * size_of::<T>()).next_multiple_of(4);
        let address = buffer.block_mut().map_or_else(|| Err(elsewhere("clear")), Block::address_mut)?;
        self.context.clear(address, bytes)
    }

    /// Stretches of buffers of this device, one after the other.
    pub(crate) fn copy<T: Element>(
        &self,
        parts: &[(&Buffer<T>, Range<usize>)],
    ) -> Result<Buffer<T>, KernelError> {
        let mut all = self.scratch(parts.iter().map(|(_, part)| part.len()).sum());
        let mut to = all.block_mut().map_or_else(|| Err(elsewhere("copy")), Block::address_mut)?;
        for (buffer, part) in parts {
            let inside = part.start <= part.end && part.end <= buffer.len();
            assert!(inside, "{part:?} is outside 0..{}", buffer.len());
            let from = buffer.block().map_or_else(|| Err(elsewhere("copy")), Block::address)?;
            let bytes = part.len() * size_of::<T>();
            if bytes > 0 {
                self.context.copy(to, from + (part.start * size_of::<T>()) as u64, bytes)?;
            }
            to += bytes as u64;
        }
        Ok(all)
    }

    /// Indices as kernels read them. The same as a few that were asked for last are there already.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] for one that has no 32 bits.
    pub(crate) fn indices(
        &self,
        op: &'static str,
        values: &[usize],
    ) -> Result<Arc<Buffer<u32>>, KernelError> {
        let mut tables = lock(&self.tables);
        if let Some(place) = tables.iter().position(|(known, _)| known == values)
            && let Some(found) = tables.remove(place)
        {
            let table = Arc::clone(&found.1);
            tables.push_front(found);
            return Ok(table);
        }
        let narrow = |&value: &usize| {
            u32::try_from(value).map_err(|_| KernelError::Unsupported {
                op,
                what: "index on cuda",
                found: value.to_string(),
                supported: "below 2^32",
            })
        };
        let words = values.iter().map(narrow).collect::<Result<Vec<u32>, KernelError>>()?;
        let table = Arc::new(self.upload(&words));
        tables.push_front((values.to_vec(), Arc::clone(&table)));
        tables.truncate(TABLES);
        Ok(table)
    }

    /// A kernel by name; the module of its operation is loaded when one of its kernels is asked for first.
    pub(super) fn function(&self, op: &'static str, kernel: &'static str) -> Result<Function, KernelError> {
        let mut loaded = lock(&self.loaded);
        if let Some(function) = loaded.functions.get(kernel) {
            return Ok(*function);
        }
        let missing = || KernelError::Unsupported {
            op,
            what: "kernel",
            found: kernel.to_owned(),
            supported: "those of kernels/src/cuda/sources.rs",
        };
        let has = |source: &&Source| source.kernels.iter().any(|known| known.name == kernel);
        let source = SOURCES.iter().find(has).ok_or_else(missing)?;
        let module = match loaded.modules.get(source.op) {
            Some(module) => *module,
            None => *loaded.modules.entry(source.op).or_insert(self.load(source)?),
        };
        let known = source.kernels.iter().find(|known| known.name == kernel).ok_or_else(missing)?;
        let function = Function { handle: self.find(module, kernel)?, threads: known.threads };
        loaded.functions.insert(known.name, function);
        Ok(function)
    }

    fn load(&self, source: &Source) -> Result<Handle, KernelError> {
        let cubin = self.code.cubin(source)?;
        let mut module = std::ptr::null_mut();
        // SAFETY: the place is a handle as it is written, and the bytes are a whole module: the compiler's own, or those
        // of a file whose hash fits. The module is unloaded in `drop`.
        let code = unsafe {
            (self.context.driver.functions.module_load)(&raw mut module, cubin.bytes.as_ptr().cast())
        };
        self.context.check(code)?;
        Ok(module)
    }

    fn find(&self, module: Handle, kernel: &str) -> Result<Handle, KernelError> {
        let name = CString::new(kernel).unwrap_or_default();
        let mut function = std::ptr::null_mut();
        // SAFETY: the place is a handle as it is written, the module is loaded, and the name ends in zero.
        let code = unsafe {
            (self.context.driver.functions.module_function)(&raw mut function, module, name.as_ptr())
        };
        self.context.check(code)?;
        Ok(function)
    }

    /// Loads every kernel, as the first pass over every model would.
    ///
    /// # Errors
    /// A source that does not compile or load.
    pub fn load_all(&self) -> Result<(), KernelError> {
        self.context.enter()?;
        SOURCES.iter().try_for_each(|source| {
            source.kernels.iter().try_for_each(|kernel| self.function(source.op, kernel.name).map(drop))
        })
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        lock(&self.tables).clear();
        if self.context.wait().is_err() {
            return;
        }
        for module in lock(&self.loaded).modules.values() {
            // SAFETY: loaded by this, and nothing that runs is of it: the stream was waited for.
            unsafe { (self.context.driver.functions.module_unload)(*module) };
        }
    }
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.describe())
    }
}
