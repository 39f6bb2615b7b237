//! Matrix products of cuBLASLt, so that a row's bits depend on nothing but the row.
//!
//! For every pair of columns and inner dimension (and what else tells products apart, but never their rows) one algorithm is
//! pinned: the first that the library proposes for a
//! product of [`PROPOSED`] rows that adds the whole inner dimension in one place (no split of it, no reduction between
//! blocks). Every product runs it on a multiple of [`GRAIN`] rows: those that are left over run in a block of their own,
//! filled up with whatever is there. So neither the number of rows nor a row's place chooses how its sum is taken.

use super::context::Context;
use super::device::Cuda;
use super::driver::{Address, Handle};
use super::launch::elsewhere;
use super::library::{self, CUBLASLT, Opened};
use crate::buffer::{Buffer, Element};
use crate::error::KernelError;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Rows for which an algorithm is proposed.
const PROPOSED: usize = 4096;

/// Rows of a product are a multiple of this.
pub(super) const GRAIN: usize = 128;

/// Bytes of scratch memory that an algorithm may use.
const WORKSPACE: usize = 32 << 20;

/// Proposals that are looked at.
const PROPOSALS: usize = 16;

/// Numbers of `library_types.h`, `cublas_api.h` and `cublasLt.h`, the same in CUDA 12 and 13.
mod number {
    use std::ffi::c_int;

    pub(super) const F32: c_int = 0;
    pub(super) const BF16: c_int = 14;
    pub(super) const COMPUTE_F32: c_int = 68;
    pub(super) const TRANSPOSED: i32 = 1;
    pub(super) const DESCRIPTION_TRANSPOSE_A: c_int = 3;
    pub(super) const DESCRIPTION_EPILOGUE: c_int = 7;
    pub(super) const DESCRIPTION_BIAS: c_int = 8;
    pub(super) const EPILOGUE_BIAS: u32 = 4;
    pub(super) const PREFERENCE_WORKSPACE: c_int = 1;
    pub(super) const PREFERENCE_REDUCTIONS: c_int = 3;
    pub(super) const PREFERENCE_ALIGNMENT_A: c_int = 5;
    pub(super) const PREFERENCE_ALIGNMENT_D: c_int = 8;
    pub(super) const ALGORITHM_SPLITS: c_int = 2;
    pub(super) const ALGORITHM_REDUCTION: c_int = 3;
}

/// An algorithm as the library holds it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Algorithm([u64; 8]);

/// A proposal as the library writes it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Proposal {
    algorithm: Algorithm,
    workspace: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

type Code = c_int;
type Setter = unsafe extern "C" fn(Handle, c_int, *const c_void, usize) -> Code;
type Destroyer = unsafe extern "C" fn(Handle) -> Code;

/// Functions as `cublasLt.h` declares them.
struct Functions {
    create: unsafe extern "C" fn(*mut Handle) -> Code,
    destroy: Destroyer,
    version: unsafe extern "C" fn() -> usize,
    description: unsafe extern "C" fn(*mut Handle, c_int, c_int) -> Code,
    description_set: Setter,
    description_destroy: Destroyer,
    layout: unsafe extern "C" fn(*mut Handle, c_int, u64, u64, i64) -> Code,
    layout_destroy: Destroyer,
    preference: unsafe extern "C" fn(*mut Handle) -> Code,
    preference_set: Setter,
    preference_destroy: Destroyer,
    propose: Propose,
    algorithm_get: unsafe extern "C" fn(*const Algorithm, c_int, *mut c_void, usize, *mut usize) -> Code,
    check: Check,
    multiply: Multiply,
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

/// What an algorithm is pinned for: columns, inner dimension, number type of operands, bias, summand, alignments.
type Key = (usize, usize, c_int, bool, bool, [u32; 2]);

/// Largest alignment that makes a difference to the library; blocks of memory begin at multiples of it.
const ALIGNMENT: u32 = 256;

/// The largest power of two of which an address is a multiple, up to [`ALIGNMENT`].
fn alignment(address: Address) -> u32 {
    1 << address.trailing_zeros().min(ALIGNMENT.trailing_zeros())
}

/// The library, and the algorithms that are pinned; `None` where it proposed none that serves.
pub(crate) struct Blas {
    functions: Functions,
    handle: Handle,
    opened: Opened,
    pinned: Mutex<BTreeMap<Key, Option<Algorithm>>>,
}

/// One product `y = x·Wᵀ + b + r` on memory of the device, row by row.
pub(crate) struct Product<'a, T: Element> {
    /// R, N, K
    pub(crate) size: (usize, usize, usize),
    /// `x [R,K]`
    pub(crate) x: &'a Buffer<T>,
    /// `W`, and the element of its first row.
    pub(crate) weights: (&'a Buffer<T>, usize),
    /// `b`, and the element of its first number.
    pub(crate) bias: Option<(&'a Buffer<f32>, usize)>,
    /// `r [R,N]`
    pub(crate) residual: Option<&'a Buffer<f32>>,
    /// `y [R,N]`
    pub(crate) y: &'a mut Buffer<f32>,
}

/// Something of the library that is destroyed when it is dropped.
struct Owned(Handle, Destroyer);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by the library whose function this is, and destroyed once.
        unsafe { (self.1)(self.0) };
    }
}

/// The version of the library of this machine.
///
/// # Errors
/// [`KernelError::Library`] that says what to install where there is none.
pub fn version() -> Result<String, KernelError> {
    Blas::find().map(|blas| format!("{} at {}", blas.version(), blas.path().display()))
}

fn function<T: Copy>(opened: &Opened, name: &CStr) -> Result<T, KernelError> {
    // SAFETY: `Functions` names the types that NVIDIA's header `cublasLt.h` declares for these functions (an address of
    // the device is as wide as a pointer); the copies live no longer than the library, which `Blas` keeps.
    unsafe { opened.function(&CUBLASLT, name) }
}

impl Blas {
    /// The first library of the places that are searched. A device must be current.
    ///
    /// # Errors
    /// [`KernelError::Library`] that says what to install where there is none.
    pub(super) fn find() -> Result<Self, KernelError> {
        library::find_with(&CUBLASLT, Self::of)
    }

    fn of(opened: Opened) -> Result<Self, KernelError> {
        let functions = Functions {
            create: function(&opened, c"cublasLtCreate")?,
            destroy: function(&opened, c"cublasLtDestroy")?,
            version: function(&opened, c"cublasLtGetVersion")?,
            description: function(&opened, c"cublasLtMatmulDescCreate")?,
            description_set: function(&opened, c"cublasLtMatmulDescSetAttribute")?,
            description_destroy: function(&opened, c"cublasLtMatmulDescDestroy")?,
            layout: function(&opened, c"cublasLtMatrixLayoutCreate")?,
            layout_destroy: function(&opened, c"cublasLtMatrixLayoutDestroy")?,
            preference: function(&opened, c"cublasLtMatmulPreferenceCreate")?,
            preference_set: function(&opened, c"cublasLtMatmulPreferenceSetAttribute")?,
            preference_destroy: function(&opened, c"cublasLtMatmulPreferenceDestroy")?,
            propose: function(&opened, c"cublasLtMatmulAlgoGetHeuristic")?,
            algorithm_get: function(&opened, c"cublasLtMatmulAlgoConfigGetAttribute")?,
            check: function(&opened, c"cublasLtMatmulAlgoCheck")?,
            multiply: function(&opened, c"cublasLtMatmul")?,
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: the place is a handle as it is written.
        let code = unsafe { (functions.create)(&raw mut handle) };
        if code != 0 {
            return Err(KernelError::Library {
                name: CUBLASLT.name,
                reason: format!("{}: cublasLtCreate gives the code {code}", opened.path.display()),
                install: "install the version of the driver's CUDA, or compute without it",
            });
        }
        Ok(Self { functions, handle, opened, pinned: Mutex::default() })
    }

    /// Its version, as `13.1.0`.
    #[must_use]
    pub(crate) fn version(&self) -> String {
        // SAFETY: the function takes nothing and gives a number.
        let number = unsafe { (self.functions.version)() };
        format!("{}.{}.{}", number / 10000, number / 100 % 100, number % 100)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Runs a product; whether there is an algorithm for it, which depends on nothing but columns, inner dimension and
    /// types.
    ///
    /// # Errors
    /// What the library or the device cannot do.
    pub(crate) fn multiply<T: Element>(
        &self,
        cuda: &Cuda,
        product: &mut Product<'_, T>,
    ) -> Result<bool, KernelError> {
        let context = cuda.context();
        context.enter()?;
        let (rows, columns, inner) = product.size;
        let kind = if size_of::<T>() == 2 { number::BF16 } else { number::F32 };
        let address = |block: Option<&super::Block>| {
            block.map_or_else(|| Err(elsewhere("linear")), super::Block::address)
        };
        let x = address(product.x.block())?;
        let weights = address(product.weights.0.block())? + (product.weights.1 * size_of::<T>()) as u64;
        let bias = match product.bias {
            Some((bias, first)) => Some(address(bias.block())? + 4 * first as u64),
            None => None,
        };
        let residual = product.residual.map(|residual| address(residual.block())).transpose()?;
        let y = product.y.block_mut().map_or_else(|| Err(elsewhere("linear")), super::Block::address_mut)?;
        let call = Call { size: (columns, inner), kind, weights, bias };
        let Some(algorithm) = self.pinned(context, &call, residual.is_some())? else { return Ok(false) };
        let workspace: Buffer<u32> = cuda.scratch(WORKSPACE / 4);
        let workspace = address(workspace.block())?;
        let whole = rows / GRAIN * GRAIN;
        if whole > 0 {
            self.run(context, &call, (whole, algorithm, workspace), (x, residual, y))?;
        }
        if rows > whole {
            let tail = Tail { rows: rows - whole, x: x + (whole * inner * size_of::<T>()) as u64 };
            let place = (whole * columns * 4) as u64;
            let ends = (residual.map(|residual| residual + place), y + place);
            self.run_tail::<T>(cuda, &call, (tail, algorithm, workspace), ends)?;
        }
        Ok(true)
    }

    /// The rows that are left over, in a block of [`GRAIN`] of their own.
    fn run_tail<T: Element>(
        &self,
        cuda: &Cuda,
        call: &Call,
        (tail, algorithm, workspace): (Tail, Algorithm, Address),
        (residual, y): (Option<Address>, Address),
    ) -> Result<(), KernelError> {
        let (context, (columns, inner)) = (cuda.context(), call.size);
        let address = |block: Option<&super::Block>| {
            block.map_or_else(|| Err(elsewhere("linear")), super::Block::address)
        };
        // Zeros, lest a row that nobody looks at holds what is no number and costs time.
        let (filled, sums): (Buffer<T>, Buffer<f32>) =
            (cuda.zeros(GRAIN * inner), cuda.zeros(GRAIN * columns));
        let (from, to) = (address(filled.block())?, address(sums.block())?);
        context.copy(from, tail.x, tail.rows * inner * size_of::<T>())?;
        let bytes = tail.rows * columns * 4;
        if let Some(residual) = residual {
            context.copy(to, residual, bytes)?;
        }
        self.run(context, call, (GRAIN, algorithm, workspace), (from, residual.map(|_| to), to))?;
        context.copy(y, to, bytes)
    }

    fn run(
        &self,
        context: &Context,
        call: &Call,
        (rows, algorithm, workspace): (usize, Algorithm, Address),
        (x, residual, y): (Address, Option<Address>, Address),
    ) -> Result<(), KernelError> {
        let shape = self.shape(context, call, rows)?;
        let (one, summand) = (1.0_f32, if residual.is_some() { 1.0_f32 } else { 0.0 });
        let from = residual.unwrap_or(y);
        let [a, b, d] = shape.layouts();
        // SAFETY: callers hold all blocks, which are as large as the layouts say; the scalars are the host's and read at
        // once; the algorithm was proposed for the same description, and stays within the workspace.
        let code = unsafe {
            let (one, summand) = (&raw const one, &raw const summand);
            (self.functions.multiply)(
                self.handle,
                shape.description.0,
                one,
                call.weights,
                a,
                x,
                b,
                summand,
                from,
                d,
                y,
                d,
                &raw const algorithm,
                workspace,
                WORKSPACE,
                context.stream,
            )
        };
        self.told(context, "cublasLtMatmul", code)
    }

    /// The algorithm for products of these columns, inner dimension and types.
    fn pinned(
        &self,
        context: &Context,
        call: &Call,
        summand: bool,
    ) -> Result<Option<Algorithm>, KernelError> {
        let (columns, inner) = call.size;
        let key = (columns, inner, call.kind, call.bias.is_some(), summand, call.alignments());
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pinned.get(&key) {
            return Ok(*found);
        }
        let found = self.propose(context, call)?;
        pinned.insert(key, found);
        Ok(found)
    }

    fn propose(&self, context: &Context, call: &Call) -> Result<Option<Algorithm>, KernelError> {
        let (many, few) = (self.shape(context, call, PROPOSED)?, self.shape(context, call, GRAIN)?);
        let preference = self.made(context, self.functions.preference_destroy, |place| {
            // SAFETY: the place is a handle as it is written.
            unsafe { (self.functions.preference)(place) }
        })?;
        self.set(
            context,
            self.functions.preference_set,
            &preference,
            number::PREFERENCE_WORKSPACE,
            &WORKSPACE,
        )?;
        // No reduction between blocks: the set of admitted schemes is empty.
        self.set(context, self.functions.preference_set, &preference, number::PREFERENCE_REDUCTIONS, &0_u32)?;
        // Rows of a larger matrix, and their bias, may begin anywhere; all else begins where a block does.
        for (which, bytes) in [number::PREFERENCE_ALIGNMENT_A, number::PREFERENCE_ALIGNMENT_D]
            .into_iter()
            .zip(call.alignments())
        {
            self.set(context, self.functions.preference_set, &preference, which, &bytes)?;
        }
        let (mut proposals, mut found) = ([Proposal::default(); PROPOSALS], 0);
        let [a, b, d] = many.layouts();
        // SAFETY: all handles are alive, and there is room for as many proposals as are asked for.
        let code = unsafe {
            let (proposals, wanted) = (proposals.as_mut_ptr(), PROPOSALS as c_int);
            let (description, preference) = (many.description.0, preference.0);
            (self.functions.propose)(
                self.handle,
                description,
                a,
                b,
                d,
                d,
                preference,
                wanted,
                proposals,
                &raw mut found,
            )
        };
        if code != 0 {
            return Ok(None);
        }
        let count = usize::try_from(found).unwrap_or(0).min(PROPOSALS);
        let serves = |proposal: &&Proposal| {
            proposal.state == 0
                && self
                    .setting(&proposal.algorithm, number::ALGORITHM_SPLITS)
                    .is_some_and(|splits| splits <= 1)
                && self.setting(&proposal.algorithm, number::ALGORITHM_REDUCTION) == Some(0)
                && self.admits(&few, &proposal.algorithm)
        };
        Ok(proposals[..count].iter().find(serves).map(|proposal| proposal.algorithm))
    }

    /// One of an algorithm's settings.
    fn setting(&self, algorithm: &Algorithm, which: c_int) -> Option<u32> {
        let (mut value, mut written) = (0_u32, 0);
        // SAFETY: the place has the four bytes that are said to be there.
        let code = unsafe {
            let place = (&raw mut value).cast();
            (self.functions.algorithm_get)(&raw const *algorithm, which, place, 4, &raw mut written)
        };
        (code == 0 && written == 4).then_some(value)
    }

    /// Whether an algorithm runs on a shape within the workspace.
    fn admits(&self, shape: &Shape, algorithm: &Algorithm) -> bool {
        let mut takes = Proposal::default();
        let [a, b, d] = shape.layouts();
        // SAFETY: all handles are alive, and the place is of the type that is written.
        let code = unsafe {
            let description = shape.description.0;
            (self.functions.check)(
                self.handle,
                description,
                a,
                b,
                d,
                d,
                &raw const *algorithm,
                &raw mut takes,
            )
        };
        code == 0 && takes.workspace <= WORKSPACE
    }

    /// Description and layouts of a product of so many rows. The library counts columns first: its A is `W`, read as
    /// `[K,N]` and transposed, its B is `x`, read as `[K,R]`, and what it writes is `y`, read as `[N,R]`.
    fn shape(&self, context: &Context, call: &Call, rows: usize) -> Result<Shape, KernelError> {
        let (columns, inner) = call.size;
        let description = self.made(context, self.functions.description_destroy, |place| {
            // SAFETY: the place is a handle as it is written.
            unsafe { (self.functions.description)(place, number::COMPUTE_F32, number::F32) }
        })?;
        let set = self.functions.description_set;
        self.set(context, set, &description, number::DESCRIPTION_TRANSPOSE_A, &number::TRANSPOSED)?;
        if let Some(bias) = call.bias {
            self.set(context, set, &description, number::DESCRIPTION_EPILOGUE, &number::EPILOGUE_BIAS)?;
            self.set(context, set, &description, number::DESCRIPTION_BIAS, &bias)?;
        }
        let layout = |kind, down: usize, across: usize| {
            self.made(context, self.functions.layout_destroy, |place| {
                // SAFETY: the place is a handle as it is written.
                unsafe { (self.functions.layout)(place, kind, down as u64, across as u64, down as i64) }
            })
        };
        Ok(Shape {
            description,
            a: layout(call.kind, inner, columns)?,
            b: layout(call.kind, inner, rows)?,
            d: layout(number::F32, columns, rows)?,
        })
    }

    fn made(
        &self,
        context: &Context,
        destroy: Destroyer,
        make: impl Fn(*mut Handle) -> Code,
    ) -> Result<Owned, KernelError> {
        let mut handle = std::ptr::null_mut();
        let code = make(&raw mut handle);
        self.told(context, "making a description", code)?;
        Ok(Owned(handle, destroy))
    }

    fn set<V>(
        &self,
        context: &Context,
        set: Setter,
        of: &Owned,
        which: c_int,
        value: &V,
    ) -> Result<(), KernelError> {
        // SAFETY: the value is alive and as long as is said.
        let code = unsafe { set(of.0, which, std::ptr::from_ref(value).cast(), size_of::<V>()) };
        self.told(context, "setting a property", code)
    }

    fn told(&self, context: &Context, what: &str, code: Code) -> Result<(), KernelError> {
        if code == 0 {
            return Ok(());
        }
        let reason = format!("cuBLASLt {}: {what} gives the code {code}", self.version());
        Err(KernelError::Device { device: format!("cuda:{}", context.facts.ordinal), reason })
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: made by this library and destroyed once; the device has been waited for.
        unsafe { (self.functions.destroy)(self.handle) };
    }
}

/// What a product is, beside its rows.
struct Call {
    /// N, K
    size: (usize, usize),
    kind: c_int,
    weights: Address,
    bias: Option<Address>,
}

impl Call {
    /// Those of the weights and of the bias, which the library counts to the result's.
    fn alignments(&self) -> [u32; 2] {
        [alignment(self.weights), self.bias.map_or(ALIGNMENT, alignment)]
    }
}

/// Rows that are left over.
struct Tail {
    rows: usize,
    x: Address,
}

/// What the library is told of a product.
struct Shape {
    description: Owned,
    a: Owned,
    b: Owned,
    d: Owned,
}

impl Shape {
    fn layouts(&self) -> [Handle; 3] {
        [self.a.0, self.b.0, self.d.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_powers_of_two_up_to_that_of_a_block() {
        let found = [0x7f00_0000_0000, 0x7f00_0000_0080, 0x7f00_0000_0002, 0x7f00_0000_0034].map(alignment);
        assert_eq!(found, [256, 128, 2, 4]);
    }
}
