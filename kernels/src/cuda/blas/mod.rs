//! Matrix products of cuBLASLt, so that a row's bits depend on nothing but the row.
//!
//! For every pair of columns and inner dimension (and what else tells products apart, but never their rows) one algorithm is
//! pinned: the first that the library proposes for a product of [`PROPOSED`] rows that adds the whole inner dimension in one place (no split of it, no reduction between
//! blocks). Every product runs it on a multiple of [`GRAIN`] rows: beyond the last row stands whatever is there, where memory
//! has room for that; where it has none, the rows that are left over run in a block of their own. So neither the number of
//! rows nor a row's place chooses how its sum is taken.

mod functions;

use self::functions::{Algorithm, Code, Destroyer, Functions, Proposal, Setter, number};
use super::context::Context;
use super::device::Cuda;
use super::driver::{Address, Handle};
use super::launch::elsewhere;
use super::library::{self, CUBLASLT, Opened};
use crate::buffer::{Buffer, Element};
use crate::error::KernelError;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_int;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Rows for which an algorithm is proposed: those of packs that are worth a large GPU, lest it be one of small tiles that fill
/// the multiprocessors where there are few rows.
const PROPOSED: usize = 32_768;

/// Rows of a product are a multiple of this.
pub(super) const GRAIN: usize = 128;

/// Bytes of scratch memory that an algorithm may use.
const WORKSPACE: usize = 32 << 20;

/// Proposals that are looked at.
const PROPOSALS: usize = 16;

/// Sets of schemes by which blocks may add up an inner dimension that is split: none, and all.
const NO_REDUCTION: u32 = 0;
const ANY_REDUCTION: u32 = 7;

/// Why no algorithm serves: the library's code, and how many it proposed.
type Refusal = (Code, usize);

/// What an algorithm is pinned for: columns, inner dimension, number type of operands, bias, summand, alignments.
type Key = (usize, usize, c_int, bool, bool, [u32; 2]);

/// Largest alignment that makes a difference to the library; blocks of memory begin at multiples of it.
const ALIGNMENT: u32 = 256;

/// The largest power of two of which an address is a multiple, up to [`ALIGNMENT`].
fn alignment(address: Address) -> u32 {
    1 << address.trailing_zeros().min(ALIGNMENT.trailing_zeros())
}

/// The library, and the algorithms that are pinned.
pub(crate) struct Blas {
    functions: Functions,
    handle: Handle,
    opened: Opened,
    pinned: Mutex<BTreeMap<Key, Result<Algorithm, Refusal>>>,
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

impl<T: Element> Product<'_, T> {
    /// Whether all that is read and written has room for so many rows.
    fn has_room_for(&self, rows: usize) -> bool {
        let (_, columns, inner) = self.size;
        let holds = |block: Option<&super::Block>, bytes| block.is_some_and(|block| block.room() >= bytes);
        holds(self.x.block(), rows * inner * size_of::<T>())
            && holds(self.y.block(), rows * columns * size_of::<f32>())
            && self.residual.is_none_or(|residual| holds(residual.block(), rows * columns * size_of::<f32>()))
    }
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

impl Blas {
    /// The first library of the places that are searched. A device must be current.
    ///
    /// # Errors
    /// [`KernelError::Library`] that says what to install where there is none.
    pub(super) fn find() -> Result<Self, KernelError> {
        library::find_with(&CUBLASLT, Self::of)
    }

    fn of(opened: Opened) -> Result<Self, KernelError> {
        let functions = Functions::of(&opened)?;
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

    /// Products that the plain kernel made because the library had no algorithm that serves, in words.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let words = pinned.iter().filter_map(|(key, found)| {
            let ((columns, inner, kind, ..), (code, count)) = (key, found.as_ref().err()?);
            let kind = if *kind == number::BF16 { "bf16" } else { "f32" };
            Some(format!("{columns} columns of {inner} {kind} (code {code}, {count} proposals)"))
        });
        words.collect::<BTreeSet<String>>().into_iter().collect()
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
        let padded = rows.next_multiple_of(GRAIN);
        let roomy = product.has_room_for(padded);
        let y = product.y.block_mut().map_or_else(|| Err(elsewhere("linear")), super::Block::address_mut)?;
        let call = Call { size: (columns, inner), kind, weights, bias };
        let Some(algorithm) = self.pinned(context, &call, residual.is_some())? else { return Ok(false) };
        let workspace: Buffer<u32> = cuda.scratch(WORKSPACE / 4);
        let workspace = address(workspace.block())?;
        let whole = if roomy { padded } else { rows / GRAIN * GRAIN };
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
        let ask = || unsafe {
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
        let name = || call.name(residual.is_some());
        context.timed(name, || self.told(context, "cublasLtMatmul", ask()))
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
            return Ok(found.ok());
        }
        // The library filters by reductions itself. Should it know no proposal so, those of all reductions are looked through.
        let mut found = self.propose(context, call, NO_REDUCTION)?;
        if found.is_err() {
            found = self.propose(context, call, ANY_REDUCTION)?;
        }
        pinned.insert(key, found);
        Ok(found.ok())
    }

    /// The first proposal that serves among those with reductions that a mask admits.
    fn propose(
        &self,
        context: &Context,
        call: &Call,
        reductions: u32,
    ) -> Result<Result<Algorithm, Refusal>, KernelError> {
        let (many, few) = (self.shape(context, call, PROPOSED)?, self.shape(context, call, GRAIN)?);
        let preference = self.preference(context, call, reductions)?;
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
        let count = if code == 0 { usize::try_from(found).unwrap_or(0).min(PROPOSALS) } else { 0 };
        let serves = |proposal: &&Proposal| {
            proposal.state == 0
                && self
                    .setting(&proposal.algorithm, number::ALGORITHM_SPLITS)
                    .is_some_and(|splits| splits <= 1)
                && self.setting(&proposal.algorithm, number::ALGORITHM_REDUCTION) == Some(0)
                && self.admits(&few, &proposal.algorithm)
        };
        let first = proposals[..count].iter().find(serves);
        Ok(first.map(|proposal| proposal.algorithm).ok_or((code, count)))
    }

    /// What algorithms may do.
    fn preference(&self, context: &Context, call: &Call, reductions: u32) -> Result<Owned, KernelError> {
        let preference = self.made(context, self.functions.preference_destroy, |place| {
            // SAFETY: the place is a handle as it is written.
            unsafe { (self.functions.preference)(place) }
        })?;
        let set = self.functions.preference_set;
        self.set(context, set, &preference, number::PREFERENCE_WORKSPACE, &WORKSPACE)?;
        self.set(context, set, &preference, number::PREFERENCE_REDUCTIONS, &reductions)?;
        // Rows of a larger matrix, and their bias, may begin anywhere; all else begins where a block does.
        for (which, bytes) in [number::PREFERENCE_ALIGNMENT_A, number::PREFERENCE_ALIGNMENT_D]
            .into_iter()
            .zip(call.alignments())
        {
            self.set(context, set, &preference, which, &bytes)?;
        }
        Ok(preference)
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
    /// Columns, inner dimension and what else tells it apart, in words.
    fn name(&self, summand: bool) -> String {
        let (columns, inner) = self.size;
        let kind = if self.kind == number::BF16 { "bf16" } else { "f32" };
        let [bias, summand] = [(self.bias.is_some(), " + bias"), (summand, " + residual")]
            .map(|(there, words)| if there { words } else { "" });
        format!("product {columns} x {inner} {kind}{bias}{summand}")
    }

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
