//! Compiling, bounded in time and memory.
//!
//! A compiler cannot be stopped from within its process, so a guest is first compiled in a process of its own, which
//! limits its own memory and is ended when its time is over. What it compiles it leaves in wasmtime's cache, where this
//! process then finds it; without a cache this process compiles once more what has proved to be bounded. That it has is
//! noted down beside the cache, so that a guest is compiled apart once.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;

use crate::contract::World;
use crate::encode;
use crate::error::PluginError;
use crate::limits::Limits;
use crate::plugin::sha256;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::structure;

/// Between two looks whether the other process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The suffix of the folder beside the cache that says what was compiled within its limits.
const PROOFS: &str = "proved";

/// Letters of what the compiler says that are passed on.
const REASON_CHARS: usize = 2000;

/// A program that calls [`serve`] with its standard input and output.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program.
    pub program: PathBuf,
    /// Its words.
    pub arguments: Vec<OsString>,
}

/// What the other process is asked for: one line before the bytes of the guest.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    world: String,
    deterministic: bool,
    cache: Option<PathBuf>,
    compile_mib: u64,
}

/// What it says: nothing where all is well.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Verdict {
    /// The guest does not keep the contract, or is damaged.
    contract: Option<String>,
    /// The compiler refuses it.
    compile: Option<String>,
}

/// Compiles a guest for `sandbox`; first in a process of its own where there is one.
///
/// # Errors
/// Those of [`structure::examine`], [`PluginError::Contract`], [`PluginError::Compile`] and
/// [`PluginError::CompileLimit`].
pub(crate) fn compile(
    sandbox: &Sandbox,
    bytes: &[u8],
    world: World,
    limits: &Limits,
) -> Result<Component, PluginError> {
    let structure = structure::examine(bytes, limits)?;
    if let Some(compiler) = &sandbox.options.compiler {
        let proof = sandbox.options.cache.as_deref().map(|cache| proof(cache, sandbox, bytes, world, limits));
        if !proof.as_deref().is_some_and(Path::exists) {
            apart(compiler, &sandbox.options, bytes, world, limits)?;
            // What cannot be noted down is proved again the next time.
            let _ = proof.map(|proof| note(&proof));
        }
    }
    here(sandbox, bytes, &structure, world)
}

/// The file that says that this guest was compiled within these limits by this compiler. Who can write there could put what
/// was compiled there as well.
fn proof(cache: &Path, sandbox: &Sandbox, bytes: &[u8], world: World, limits: &Limits) -> PathBuf {
    let mut compiler = DefaultHasher::new();
    sandbox.engine.precompile_compatibility_hash().hash(&mut compiler);
    let words = format!(
        "{:016x} {} {} {} {}",
        compiler.finish(),
        world.name(),
        limits.compile_ms,
        limits.compile_mib,
        sha256(bytes)
    );
    // Not within the cache, which the engine clears of what it does not know.
    cache.with_extension(PROOFS).join(sha256(words.as_bytes()))
}

fn note(proof: &Path) -> io::Result<()> {
    if let Some(folder) = proof.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    fs::write(proof, b"")
}

/// Compiles in this process, or takes what the cache has.
fn here(
    sandbox: &Sandbox,
    bytes: &[u8],
    structure: &structure::Structure,
    world: World,
) -> Result<Component, PluginError> {
    let component = encode::component(bytes, structure, world)?;
    Component::from_binary(&sandbox.engine, &component)
        .map_err(|error| PluginError::Compile { reason: format!("{error:#}") })
}

/// What the program of a [`Compiler`] does: reads an order and a guest, compiles it, and writes a verdict.
///
/// # Errors
/// What the system says to reading and writing.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let order: Order = serde_json::from_slice(&bytes[..end])?;
    let most = Some(order.compile_mib << 20);
    setrlimit(Resource::As, Rlimit { current: most, maximum: most })?;
    let verdict = judge(&order, &bytes[end + 1..]);
    output.write_all(&serde_json::to_vec(&verdict)?)?;
    output.flush()
}

fn judge(order: &Order, bytes: &[u8]) -> Verdict {
    let verdict = || -> Result<(), PluginError> {
        let Order { deterministic, cache, .. } = order;
        let sandbox = Sandbox::new(SandboxOptions {
            deterministic: *deterministic,
            cache: cache.clone(),
            compiler: None,
        })?;
        let world = World::ALL.into_iter().find(|world| world.name() == order.world).unwrap_or(World::Head);
        // The other process has held it to the limits that the user gave.
        let mut limits = Limits::default();
        for (name, most) in Limits::most() {
            limits.set(name, most)?;
        }
        let structure = structure::examine(bytes, &limits)?;
        here(&sandbox, bytes, &structure, world).map(drop)
    };
    let short = |text: String| Some(text.chars().take(REASON_CHARS).collect());
    match verdict() {
        Ok(()) => Verdict::default(),
        Err(PluginError::Compile { reason }) => Verdict { compile: short(reason), ..Verdict::default() },
        Err(PluginError::Contract { reason, .. }) => {
            Verdict { contract: short(reason), ..Verdict::default() }
        }
        Err(other) => Verdict { compile: short(other.to_string()), ..Verdict::default() },
    }
}

/// Lets the other process compile, and ends it where it takes too long.
fn apart(
    compiler: &Compiler,
    options: &SandboxOptions,
    bytes: &[u8],
    world: World,
    limits: &Limits,
) -> Result<(), PluginError> {
    let broken = |error: io::Error| PluginError::Machine {
        reason: format!("{} cannot be run to compile: {error}", compiler.program.display()),
    };
    let order = Order {
        world: world.name().to_owned(),
        deterministic: options.deterministic,
        cache: options.cache.clone(),
        compile_mib: limits.compile_mib,
    };
    let mut message = serde_json::to_vec(&order).map_err(|error| broken(error.into()))?;
    message.push(b'\n');
    message.extend_from_slice(bytes);
    let mut child = Command::new(&compiler.program)
        .args(&compiler.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(broken)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (ended, answer) = thread::scope(|scope| {
        // A process that dies early breaks its pipe, which its end tells better.
        scope.spawn(move || input.map(|mut input| input.write_all(&message)));
        let answer = scope.spawn(move || {
            let mut answer = Vec::new();
            output.map(|output| output.take(1 << 20).read_to_end(&mut answer));
            answer
        });
        let ended = wait(&mut child, Duration::from_millis(limits.compile_ms));
        (ended, answer.join().unwrap_or_default())
    });
    verdict(ended.map_err(broken)?, &answer, world, limits)
}

/// How the process has ended; `None` where it was ended.
fn wait(child: &mut Child, most: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn verdict(
    ended: Option<ExitStatus>,
    answer: &[u8],
    world: World,
    limits: &Limits,
) -> Result<(), PluginError> {
    let Some(status) = ended else {
        let most = format!("{} ms", limits.compile_ms);
        return Err(PluginError::CompileLimit { most, limit: "compile_ms" });
    };
    match (status.success(), serde_json::from_slice::<Verdict>(answer)) {
        (true, Ok(Verdict { contract: None, compile: None })) => Ok(()),
        (true, Ok(Verdict { contract: Some(reason), .. })) => {
            Err(PluginError::Contract { world: world.name(), reason })
        }
        (true, Ok(Verdict { compile: Some(reason), .. })) => Err(PluginError::Compile { reason }),
        // Rust ends a process that gets no more memory with this signal.
        _ if status.signal() == Some(rustix::process::Signal::ABORT.as_raw()) => {
            let most = format!("{} MiB", limits.compile_mib);
            Err(PluginError::CompileLimit { most, limit: "compile_mib" })
        }
        _ => {
            Err(PluginError::Compile { reason: format!("the process that compiles has ended with {status}") })
        }
    }
}
