//! The door to the CUDA driver: its library is opened in one guarded function, and nothing else touches it.
//!
//! The functions are bound here rather than taken from a crate, as those of the compiler are: they are few, the codes that
//! they give may grow with every driver (a Rust enumeration of them would be undefined behaviour under a newer one), a
//! machine without a driver is an error and never a panic, and one program serves drivers of CUDA 12 and 13.

use super::library::{self, DRIVER, Opened};
use crate::error::KernelError;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A handle of the driver: context, stream, event, module or function.
pub(super) type Handle = *mut c_void;

/// A device's memory.
pub(super) type Address = u64;

/// Codes that have a meaning here; every other one is told in the driver's words.
pub(super) const SUCCESS: c_int = 0;
pub(super) const OUT_OF_MEMORY: c_int = 2;
const NO_DEVICE: c_int = 100;

type Code = c_int;

/// Functions as `cuda.h` declares them, the same in CUDA 12 and 13.
pub(super) struct Functions {
    pub(super) init: unsafe extern "C" fn(c_uint) -> Code,
    pub(super) driver_version: unsafe extern "C" fn(*mut c_int) -> Code,
    pub(super) device_count: unsafe extern "C" fn(*mut c_int) -> Code,
    pub(super) device_get: unsafe extern "C" fn(*mut c_int, c_int) -> Code,
    pub(super) device_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> Code,
    pub(super) device_uuid: unsafe extern "C" fn(*mut [u8; 16], c_int) -> Code,
    pub(super) device_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Code,
    pub(super) device_memory: unsafe extern "C" fn(*mut usize, c_int) -> Code,
    pub(super) context_retain: unsafe extern "C" fn(*mut Handle, c_int) -> Code,
    pub(super) context_release: unsafe extern "C" fn(c_int) -> Code,
    pub(super) context_set: unsafe extern "C" fn(Handle) -> Code,
    pub(super) memory_info: unsafe extern "C" fn(*mut usize, *mut usize) -> Code,
    pub(super) allocate: unsafe extern "C" fn(*mut Address, usize) -> Code,
    pub(super) free: unsafe extern "C" fn(Address) -> Code,
    pub(super) host_allocate: unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> Code,
    pub(super) host_free: unsafe extern "C" fn(*mut c_void) -> Code,
    pub(super) to_device: unsafe extern "C" fn(Address, *const c_void, usize, Handle) -> Code,
    pub(super) to_host: unsafe extern "C" fn(*mut c_void, Address, usize, Handle) -> Code,
    pub(super) within: unsafe extern "C" fn(Address, Address, usize, Handle) -> Code,
    pub(super) fill: unsafe extern "C" fn(Address, c_uint, usize, Handle) -> Code,
    pub(super) stream_create: unsafe extern "C" fn(*mut Handle, c_uint) -> Code,
    pub(super) stream_wait: unsafe extern "C" fn(Handle) -> Code,
    pub(super) stream_destroy: unsafe extern "C" fn(Handle) -> Code,
    pub(super) event_create: unsafe extern "C" fn(*mut Handle, c_uint) -> Code,
    pub(super) event_record: unsafe extern "C" fn(Handle, Handle) -> Code,
    pub(super) event_wait: unsafe extern "C" fn(Handle) -> Code,
    pub(super) event_destroy: unsafe extern "C" fn(Handle) -> Code,
    /// For times alone, hence not demanded; the first event comes first.
    pub(super) event_elapsed: Option<unsafe extern "C" fn(*mut f32, Handle, Handle) -> Code>,
    pub(super) module_load: unsafe extern "C" fn(*mut Handle, *const c_void) -> Code,
    pub(super) module_function: unsafe extern "C" fn(*mut Handle, Handle, *const c_char) -> Code,
    pub(super) module_unload: unsafe extern "C" fn(Handle) -> Code,
    pub(super) launch: Launch,
    words: unsafe extern "C" fn(Code, *mut *const c_char) -> Code,
}

/// Function; blocks in three directions; threads in three; bytes of shared memory; stream; addresses of the arguments;
/// nothing.
type Launch = unsafe extern "C" fn(
    Handle,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    Handle,
    *mut *mut c_void,
    *mut *mut c_void,
) -> Code;

/// The driver, opened and started.
pub struct Driver {
    pub(super) functions: Functions,
    version: (u32, u32),
    path: PathBuf,
    /// Keeps the functions where they are.
    _opened: Opened,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CUDA driver {}.{} at {}", self.version.0, self.version.1, self.path.display())
    }
}

/// The driver of this machine: opened and started when it is asked for first, and by nobody else.
///
/// # Errors
/// [`KernelError::Library`] that says what to install where there is none, [`KernelError::Device`] where it does not start.
pub fn driver() -> Result<&'static Driver, KernelError> {
    static DRIVER_OF_MACHINE: OnceLock<Result<Driver, KernelError>> = OnceLock::new();
    DRIVER_OF_MACHINE.get_or_init(|| library::find_with(&DRIVER, Driver::of)).as_ref().map_err(Clone::clone)
}

/// One function of the library.
fn function<T: Copy>(opened: &Opened, name: &CStr) -> Result<T, KernelError> {
    // SAFETY: `Functions` names the types that NVIDIA's header `cuda.h` declares for these functions; the copies live no
    // longer than the library, which `Driver` keeps.
    unsafe { opened.function(&DRIVER, name) }
}

impl Driver {
    fn of(opened: Opened) -> Result<Self, KernelError> {
        let opened_functions = functions(&opened)?;
        let mut driver =
            Self { functions: opened_functions, version: (0, 0), path: opened.path.clone(), _opened: opened };
        // SAFETY: the one argument is reserved and must be zero.
        driver.check("cuda", unsafe { (driver.functions.init)(0) })?;
        let mut version = 0;
        // SAFETY: the place is a number of the type that is written.
        driver.check("cuda", unsafe { (driver.functions.driver_version)(&raw mut version) })?;
        let version = u32::try_from(version).unwrap_or(0);
        driver.version = (version / 1000, version % 1000 / 10);
        Ok(driver)
    }

    /// The version of CUDA that it serves: major, minor.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The file that it was opened from, or the name that the loader knew.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Devices that this process may use.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the driver does not say.
    pub fn devices(&self) -> Result<usize, KernelError> {
        let mut count = 0;
        // SAFETY: the place is a number of the type that is written.
        match unsafe { (self.functions.device_count)(&raw mut count) } {
            NO_DEVICE => Ok(0),
            code => self.check("cuda", code).map(|()| usize::try_from(count).unwrap_or(0)),
        }
    }

    /// What a code means, for the device named so.
    pub(super) fn check(&self, device: &str, code: c_int) -> Result<(), KernelError> {
        if code == SUCCESS {
            return Ok(());
        }
        Err(KernelError::Device { device: device.to_owned(), reason: self.words(code) })
    }

    fn words(&self, code: c_int) -> String {
        let mut words = std::ptr::null();
        // SAFETY: the place is a pointer of the type that is written; it is left alone for unknown codes.
        let found = unsafe { (self.functions.words)(code, &raw mut words) };
        if found != SUCCESS || words.is_null() {
            return format!("the driver gives the code {code}");
        }
        // SAFETY: static text of the library that ends in zero.
        let words = unsafe { CStr::from_ptr(words) }.to_string_lossy();
        format!("the driver says: {words} (code {code})")
    }
}

fn functions(opened: &Opened) -> Result<Functions, KernelError> {
    Ok(Functions {
        init: function(opened, c"cuInit")?,
        driver_version: function(opened, c"cuDriverGetVersion")?,
        device_count: function(opened, c"cuDeviceGetCount")?,
        device_get: function(opened, c"cuDeviceGet")?,
        device_name: function(opened, c"cuDeviceGetName")?,
        device_uuid: function(opened, c"cuDeviceGetUuid_v2")?,
        device_attribute: function(opened, c"cuDeviceGetAttribute")?,
        device_memory: function(opened, c"cuDeviceTotalMem_v2")?,
        context_retain: function(opened, c"cuDevicePrimaryCtxRetain")?,
        context_release: function(opened, c"cuDevicePrimaryCtxRelease_v2")?,
        context_set: function(opened, c"cuCtxSetCurrent")?,
        memory_info: function(opened, c"cuMemGetInfo_v2")?,
        allocate: function(opened, c"cuMemAlloc_v2")?,
        free: function(opened, c"cuMemFree_v2")?,
        host_allocate: function(opened, c"cuMemHostAlloc")?,
        host_free: function(opened, c"cuMemFreeHost")?,
        to_device: function(opened, c"cuMemcpyHtoDAsync_v2")?,
        to_host: function(opened, c"cuMemcpyDtoHAsync_v2")?,
        within: function(opened, c"cuMemcpyDtoDAsync_v2")?,
        fill: function(opened, c"cuMemsetD32Async")?,
        stream_create: function(opened, c"cuStreamCreate")?,
        stream_wait: function(opened, c"cuStreamSynchronize")?,
        stream_destroy: function(opened, c"cuStreamDestroy_v2")?,
        event_create: function(opened, c"cuEventCreate")?,
        event_record: function(opened, c"cuEventRecord")?,
        event_wait: function(opened, c"cuEventSynchronize")?,
        event_destroy: function(opened, c"cuEventDestroy_v2")?,
        event_elapsed: function(opened, c"cuEventElapsedTime").ok(),
        module_load: function(opened, c"cuModuleLoadData")?,
        module_function: function(opened, c"cuModuleGetFunction")?,
        module_unload: function(opened, c"cuModuleUnload")?,
        launch: function(opened, c"cuLaunchKernel")?,
        words: function(opened, c"cuGetErrorString")?,
    })
}
