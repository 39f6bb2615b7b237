//! Every source compiles for every architecture, and what comes out stays within its budget.

use crate::budget::budget;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolIndex};
use pliant_kernels::cuda::sources::source;
use pliant_kernels::cuda::{Architecture, Cache, Compiler, Cubin, SOURCES, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ARCHITECTURES: [Architecture; 2] = [Architecture::SM_80, Architecture::SM_90];

/// Shared memory that a block may have without asking for more.
const SHARED: u64 = 48 * 1024;

/// What a kernel uses.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    registers: u32,
    /// Bytes of a thread's own memory: registers that were saved there, or arrays that do not fit into registers.
    stack: u32,
    shared: u64,
}

/// The compilers that `PLIANT_TEST_NVRTC` names, or else the one that a user would get.
fn compilers() -> Vec<Compiler> {
    if let Some(paths) = std::env::var_os("PLIANT_TEST_NVRTC").filter(|paths| !paths.is_empty()) {
        let paths: Vec<PathBuf> = std::env::split_paths(&paths).collect();
        return paths
            .iter()
            .map(|path| Compiler::open(path).unwrap_or_else(|error| panic!("{error}")))
            .collect();
    }
    match Compiler::find() {
        Ok(compiler) => vec![compiler],
        Err(error) => {
            eprintln!(
                "SKIPPED: no CUDA kernel was compiled for a device (name libnvrtc in PLIANT_TEST_NVRTC): {error}"
            );
            Vec::new()
        }
    }
}

/// Compiled kernels that earlier runs left.
fn cache() -> Cache {
    Cache::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels-for-devices"))
}

/// What the kernels of a module use, from the notes that the assembler leaves in it: entries of a format and a kind of
/// one byte each and a length or a value of two; those of format 4 hold a symbol and a number.
fn usage(cubin: &Cubin) -> BTreeMap<String, Usage> {
    const REGISTERS: u8 = 0x2f;
    const FRAME: u8 = 0x11;
    let file = ElfFile64::<Endianness>::parse(&cubin.bytes[..]).unwrap();
    let mut found: BTreeMap<String, Usage> = BTreeMap::new();
    let entry = |name: &str| name.strip_prefix(".text.").map(str::to_owned);
    for name in file.sections().filter_map(|section| entry(section.name().unwrap())) {
        found.insert(name, Usage::default());
    }
    let notes = file.section_by_name(".nv.info").unwrap();
    let mut rest = notes.data().unwrap();
    while let [format, kind, low, high, after @ ..] = rest {
        let length = if *format == 4 { usize::from(u16::from_le_bytes([*low, *high])) } else { 0 };
        let (value, after) = after.split_at(length);
        rest = after;
        let ([REGISTERS | FRAME], Some((symbol, number))) = ([*kind], words(value)) else { continue };
        let symbol = file.symbol_by_index(SymbolIndex(symbol as usize)).unwrap();
        let Some(usage) = found.get_mut(symbol.name().unwrap()) else { continue };
        match *kind {
            REGISTERS => usage.registers = number,
            _ => usage.stack = number,
        }
    }
    for section in file.sections() {
        if let Some(usage) =
            section.name().unwrap().strip_prefix(".nv.shared.").and_then(|name| found.get_mut(name))
        {
            usage.shared = section.size();
        }
    }
    found
}

fn words(value: &[u8]) -> Option<(u32, u32)> {
    match value.as_chunks::<4>() {
        ([symbol, number], []) => Some((u32::from_le_bytes(*symbol), u32::from_le_bytes(*number))),
        _ => None,
    }
}

/// What is wrong with a module's use of a multiprocessor.
fn breaches(found: &BTreeMap<String, Usage>, source: &Source) -> Vec<String> {
    let budget = budget();
    let mut breaches = Vec::new();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let wanted: Vec<&str> = source.kernels.iter().map(|kernel| kernel.name).collect();
    if names != wanted {
        breaches.push(format!("the module has the kernels {names:?}, the table of sources {wanted:?}"));
    }
    for (name, usage) in found {
        let most = budget.get(name.as_str()).copied().unwrap_or(0);
        if usage.registers > most || usage.registers == 0 {
            breaches.push(format!("{name} uses {} registers, its budget is {most}", usage.registers));
        }
        if usage.stack > 0 {
            breaches
                .push(format!("{name} keeps {} bytes of a thread in memory, wanted are none", usage.stack));
        }
        if usage.shared > SHARED {
            breaches
                .push(format!("{name} uses {} bytes of shared memory, allowed are {SHARED}", usage.shared));
        }
    }
    breaches
}

#[test]
fn sources_compile_and_stay_within_their_budgets() {
    let cache = cache();
    for compiler in compilers() {
        let of = |architecture: Architecture| {
            let mut found = Vec::new();
            for source in SOURCES {
                let cubin =
                    cache.cubin(&compiler, source, architecture).unwrap_or_else(|error| panic!("{error}"));
                let wrong = breaches(&usage(&cubin), source);
                found.extend(wrong.iter().map(|wrong| format!("{compiler:?} {architecture}: {wrong}")));
            }
            found
        };
        let found: Vec<String> = std::thread::scope(|scope| {
            let jobs = ARCHITECTURES.map(|architecture| scope.spawn(move || of(architecture)));
            jobs.into_iter().flat_map(|job| job.join().unwrap()).collect()
        });
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn a_source_that_does_not_compile_says_where() {
    let wrong = Source {
        op: "wrong",
        text: "#include \"common.cuh\"\nKERNEL(32) wrong() { missing(); }\n",
        kernels: &[],
    };
    for compiler in compilers() {
        let error = compiler.compile(&wrong, Architecture::SM_80).unwrap_err().to_string();
        assert!(error.contains("wrong.cu(2)") && error.contains("missing"), "{error}");
    }
}

/// A thread's array that is indexed at run time lives in memory; a budget of nothing is exceeded.
#[test]
fn budgets_bite() {
    let text = "#include \"common.cuh\"\nKERNEL(32) layout_gather_f32(float* y, u32 place) {\n    float held[64];\n    \
                for (u32 at = 0; at < 64; at++) {\n        held[(at * place) & 63] = y[at];\n    }\n    y[0] = held[place & 63] + held[(place + 7) & 63];\n}\n";
    let wrong = Source { op: "layout", text, kernels: source("layout").unwrap().kernels };
    for compiler in compilers() {
        let cubin = compiler.compile(&wrong, Architecture::SM_90).unwrap();
        let found = breaches(&usage(&cubin), &wrong);
        assert!(found.iter().any(|breach| breach.contains("keeps 256 bytes")), "{found:?}");
        assert!(found.iter().any(|breach| breach.contains("the module has the kernels")), "{found:?}");
    }
}
