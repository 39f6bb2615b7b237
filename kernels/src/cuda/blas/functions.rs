//! The functions of cuBLASLt, their numbers and their structures, the same in CUDA 12 and 13.

use crate::cuda::driver::{Address, Handle};
use crate::cuda::library::{CUBLASLT, Opened};
use crate::error::KernelError;
use std::ffi::{CStr, c_int, c_void};

/// Numbers of `library_types.h`, `cublas_api.h` and `cublasLt.h`, the same in CUDA 12 and 13.
pub(super) mod number {
    use std::ffi::c_int;

    pub(in super::super) const F32: c_int = 0;
    pub(in super::super) const BF16: c_int = 14;
    pub(in super::super) const COMPUTE_F32: c_int = 68;
    pub(in super::super) const TRANSPOSED: i32 = 1;
    pub(in super::super) const DESCRIPTION_TRANSPOSE_A: c_int = 3;
    pub(in super::super) const DESCRIPTION_EPILOGUE: c_int = 7;
    pub(in super::super) const DESCRIPTION_BIAS: c_int = 8;
    pub(in super::super) const EPILOGUE_BIAS: u32 = 4;
    pub(in super::super) const PREFERENCE_WORKSPACE: c_int = 1;
    pub(in super::super) const PREFERENCE_REDUCTIONS: c_int = 3;
    pub(in super::super) const PREFERENCE_ALIGNMENT_A: c_int = 5;
    pub(in super::super) const PREFERENCE_ALIGNMENT_D: c_int = 8;
    pub(in super::super) const ALGORITHM_SPLITS: c_int = 2;
    pub(in super::super) const ALGORITHM_REDUCTION: c_int = 3;
}

/// An algorithm as the library holds it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Algorithm([u64; 8]);

/// A proposal as the library writes it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Proposal {
    pub(super) algorithm: Algorithm,
    pub(super) workspace: usize,
    pub(super) state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

pub(super) type Code = c_int;
pub(super) type Setter = unsafe extern "C" fn(Handle, c_int, *const c_void, usize) -> Code;
pub(super) type Destroyer = unsafe extern "C" fn(Handle) -> Code;

/// Functions as `cublasLt.h` declares them.
pub(super) struct Functions {
    pub(super) create: unsafe extern "C" fn(*mut Handle) -> Code,
    pub(super) destroy: Destroyer,
    pub(super) version: unsafe extern "C" fn() -> usize,
    pub(super) description: unsafe extern "C" fn(*mut Handle, c_int, c_int) -> Code,
    pub(super) description_set: Setter,
    pub(super) description_destroy: Destroyer,
    pub(super) layout: unsafe extern "C" fn(*mut Handle, c_int, u64, u64, i64) -> Code,
    pub(super) layout_destroy: Destroyer,
    pub(super) preference: unsafe extern "C" fn(*mut Handle) -> Code,
    pub(super) preference_set: Setter,
    pub(super) preference_destroy: Destroyer,
    pub(super) propose: Propose,
    pub(super) algorithm_get:
        unsafe extern "C" fn(*const Algorithm, c_int, *mut c_void, usize, *mut usize) -> Code,
    pub(super) check: Check,
    pub(super) multiply: Multiply,
}

/// Library, description, the layouts of A, B, C and D, preference, number wanted, proposals, number found.
type Propose = unsafe extern "C" fn(
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    c_int,
    *mut Proposal,
    *mut c_int,
) -> Code;

/// Library, description, the four layouts, algorithm, what it takes.
type Check = unsafe extern "C" fn(
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    *const Algorithm,
    *mut Proposal,
) -> Code;

/// Library, description, α, A, its layout, B, its layout, β, C, its layout, D, its layout, algorithm, workspace and its
/// bytes, stream.
type Multiply = unsafe extern "C" fn(
    Handle,
    Handle,
    *const f32,
    Address,
    Handle,
    Address,
    Handle,
    *const f32,
    Address,
    Handle,
    Address,
    Handle,
    *const Algorithm,
    Address,
    usize,
    Handle,
) -> Code;

fn function<T: Copy>(opened: &Opened, name: &CStr) -> Result<T, KernelError> {
    // SAFETY: `Functions` names the types that NVIDIA's header `cublasLt.h` declares for these functions (an address of
    // the device is as wide as a pointer); the copies live no longer than the library, which `Blas` keeps.
    unsafe { opened.function(&CUBLASLT, name) }
}

impl Functions {
    /// Those of an opened library.
    ///
    /// # Errors
    /// [`KernelError::Library`] where it lacks one.
    pub(super) fn of(opened: &Opened) -> Result<Self, KernelError> {
        Ok(Self {
            create: function(opened, c"cublasLtCreate")?,
            destroy: function(opened, c"cublasLtDestroy")?,
            version: function(opened, c"cublasLtGetVersion")?,
            description: function(opened, c"cublasLtMatmulDescCreate")?,
            description_set: function(opened, c"cublasLtMatmulDescSetAttribute")?,
            description_destroy: function(opened, c"cublasLtMatmulDescDestroy")?,
            layout: function(opened, c"cublasLtMatrixLayoutCreate")?,
            layout_destroy: function(opened, c"cublasLtMatrixLayoutDestroy")?,
            preference: function(opened, c"cublasLtMatmulPreferenceCreate")?,
            preference_set: function(opened, c"cublasLtMatmulPreferenceSetAttribute")?,
            preference_destroy: function(opened, c"cublasLtMatmulPreferenceDestroy")?,
            propose: function(opened, c"cublasLtMatmulAlgoGetHeuristic")?,
            algorithm_get: function(opened, c"cublasLtMatmulAlgoConfigGetAttribute")?,
            check: function(opened, c"cublasLtMatmulAlgoCheck")?,
            multiply: function(opened, c"cublasLtMatmul")?,
        })
    }
}
