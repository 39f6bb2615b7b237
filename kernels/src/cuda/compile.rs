//! From source to machine code with NVRTC, the run-time compiler.
//!
//! The compiler's own functions are bound here rather than taken from a crate: they are eight, their codes may grow with
//! every version (a Rust enumeration of them would be undefined behaviour under a newer library), and two versions
//! have to be open side by side.

use super::library::{self, Opened};
use super::sources::{HEADER, HEADER_NAME, Source};
use crate::error::KernelError;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::str::FromStr;

/// An architecture of devices, as `sm_90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Architecture(u32);

impl Architecture {
    /// Ampere (A100), the oldest that has bf16.
    pub const SM_80: Self = Self(80);
    /// Hopper (H100, H200).
    pub const SM_90: Self = Self(90);

    /// The architecture of a device of compute capability `major.minor`; `None` for those without bf16.
    #[must_use]
    pub fn of_device((major, minor): (u32, u32)) -> Option<Self> {
        (major >= 8).then_some(Self(10 * major + minor))
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "sm_{}", self.0)
    }
}

impl FromStr for Architecture {
    type Err = KernelError;

    /// Reads `sm_80` and newer.
    fn from_str(text: &str) -> Result<Self, KernelError> {
        let number = text.strip_prefix("sm_").and_then(|digits| digits.parse().ok());
        number.filter(|number| (80..1000).contains(number)).map(Self).ok_or_else(|| {
            KernelError::Unsupported {
                op: "kernels",
                what: "architecture",
                found: text.to_owned(),
                supported: "sm_80 and newer, as sm_90",
            }
        })
    }
}

/// Options of every compilation besides the architecture. No contraction: products are fused where the text says so.
pub const OPTIONS: [&str; 3] = ["--std=c++17", "--fmad=false", "--ftz=true"];

/// Machine code of one source for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cubin {
    /// The module, an ELF file.
    pub bytes: Vec<u8>,
}

/// Name of what is compiled: BLAKE3 over the text, the header, the options and the architecture. With the version of the
/// compiler it is everything that can change the machine code.
#[must_use]
pub fn key(source: &Source, architecture: Architecture) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("pliant 2026 cubin of a kernel source");
    for part in [source.op, source.text, HEADER, &architecture.to_string(), &OPTIONS.join(" ")] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

type Program = *mut c_void;
type Texts = *const *const c_char;

/// The functions of the library, which stays open as long as they are there.
struct Functions {
    create: unsafe extern "C" fn(*mut Program, *const c_char, *const c_char, c_int, Texts, Texts) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, Texts) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    words: unsafe extern "C" fn(c_int) -> *const c_char,
}

/// A run-time compiler.
pub struct Compiler {
    functions: Functions,
    version: (u32, u32),
    opened: Opened,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NVRTC {}.{} at {}", self.version.0, self.version.1, self.opened.path.display())
    }
}

/// One function of the library.
fn function<T: Copy>(opened: &Opened, name: &CStr) -> Result<T, KernelError> {
    // SAFETY: callers name the type that NVIDIA's header `nvrtc.h` declares for this function, the same in CUDA 12 and
    // 13; the copy lives no longer than the library, which `Compiler` keeps.
    unsafe { opened.function(&library::NVRTC, name) }
}

impl Compiler {
    /// The first compiler among the loader's libraries, the CUDA toolkit, conda and wheels of pip.
    ///
    /// # Errors
    /// [`KernelError::Library`] that says what to install when there is none.
    pub fn find() -> Result<Self, KernelError> {
        library::find_with(&library::NVRTC, Self::of)
    }

    /// The compiler in the file `path`.
    ///
    /// # Errors
    /// [`KernelError::Library`] when it is none.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        Self::of(library::open(&library::NVRTC, path)?)
    }

    fn of(opened: Opened) -> Result<Self, KernelError> {
        let functions = Functions {
            create: function(&opened, c"nvrtcCreateProgram")?,
            compile: function(&opened, c"nvrtcCompileProgram")?,
            log_size: function(&opened, c"nvrtcGetProgramLogSize")?,
            log: function(&opened, c"nvrtcGetProgramLog")?,
            cubin_size: function(&opened, c"nvrtcGetCUBINSize")?,
            cubin: function(&opened, c"nvrtcGetCUBIN")?,
            destroy: function(&opened, c"nvrtcDestroyProgram")?,
            words: function(&opened, c"nvrtcGetErrorString")?,
        };
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int =
            function(&opened, c"nvrtcVersion")?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both places are numbers of the type that the function writes.
        unsafe { version(&raw mut major, &raw mut minor) };
        let version = (u32::try_from(major).unwrap_or(0), u32::try_from(minor).unwrap_or(0));
        Ok(Self { functions, version, opened })
    }

    /// Version of the compiler: major, minor.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The file that it was opened from, or the name that the loader knew.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Compiles a source.
    ///
    /// # Errors
    /// [`KernelError::Compile`] with the compiler's words.
    pub fn compile(&self, source: &Source, architecture: Architecture) -> Result<Cubin, KernelError> {
        let failed = |reason: String| KernelError::Compile {
            op: source.op,
            architecture: architecture.to_string(),
            reason,
        };
        let text = |text: &str| CString::new(text).map_err(|error| failed(error.to_string()));
        let (body, header) = (text(source.text)?, text(HEADER)?);
        let (name, header_name) = (text(&format!("{}.cu", source.op))?, text(HEADER_NAME)?);
        let (headers, names) = ([header.as_ptr()], [header_name.as_ptr()]);
        let mut options = vec![text(&format!("--gpu-architecture={architecture}"))?];
        for option in OPTIONS {
            options.push(text(option)?);
        }
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut job = Job { functions: &self.functions, program: std::ptr::null_mut() };
        // SAFETY: all texts end in zero and outlive the program, which `job` destroys.
        let code = unsafe {
            let (headers, names) = (headers.as_ptr(), names.as_ptr());
            (self.functions.create)(&raw mut job.program, body.as_ptr(), name.as_ptr(), 1, headers, names)
        };
        self.check(code).map_err(&failed)?;
        // SAFETY: the program was made above, and there are as many options as are said to be there.
        let code = unsafe { (self.functions.compile)(job.program, options.len() as c_int, options.as_ptr()) };
        if let Err(reason) = self.check(code) {
            let log = job.read(self.functions.log_size, self.functions.log).unwrap_or_default();
            return Err(failed(format!(
                "{reason}\n{}",
                String::from_utf8_lossy(&log).trim_end_matches('\0')
            )));
        }
        let bytes = job.read(self.functions.cubin_size, self.functions.cubin);
        Ok(Cubin { bytes: bytes.map_err(|code| failed(self.words(code)))? })
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == 0 { Ok(()) } else { Err(self.words(code)) }
    }

    fn words(&self, code: c_int) -> String {
        // SAFETY: the function gives static text for every number, known or not.
        let words = unsafe { (self.functions.words)(code) };
        if words.is_null() {
            return format!("code {code}");
        }
        // SAFETY: as above, and it ends in zero.
        unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
    }
}

/// A program of the compiler, destroyed when it is dropped.
struct Job<'a> {
    functions: &'a Functions,
    program: Program,
}

impl Job<'_> {
    /// What one of the compiler's pairs of size and content gives; the error is its code.
    fn read(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
        content: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    ) -> Result<Vec<u8>, c_int> {
        let mut length = 0;
        // SAFETY: the program is alive, and the place is a number of the type that is written.
        match unsafe { size(self.program, &raw mut length) } {
            0 => {}
            code => return Err(code),
        }
        let mut bytes = vec![0; length];
        // SAFETY: the place has as many bytes as the function has said that it writes.
        match unsafe { content(self.program, bytes.as_mut_ptr().cast()) } {
            0 => Ok(bytes),
            code => Err(code),
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: made by the same library and not destroyed before.
            unsafe { (self.functions.destroy)(&raw mut self.program) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_read_as_they_are_written() {
        assert_eq!("sm_90".parse(), Ok(Architecture::SM_90));
        assert_eq!(Architecture::SM_80.to_string(), "sm_80");
        for wrong in ["", "90", "sm_", "sm_75", "sm_9x", "sm_1000", "compute_90"] {
            assert!(wrong.parse::<Architecture>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn everything_that_can_change_the_code_changes_its_name() {
        let source = |op, text| Source { op, text, kernels: &[] };
        let first = source("a", "text");
        let wanted = key(&first, Architecture::SM_80);
        assert_eq!(wanted, key(&source("a", "text"), Architecture::SM_80));
        let others = [
            key(&source("a", "text "), Architecture::SM_80),
            key(&source("at", "ext"), Architecture::SM_80),
            key(&first, Architecture::SM_90),
        ];
        assert!(others.iter().all(|other| *other != wanted && other.len() == 64));
    }
}
