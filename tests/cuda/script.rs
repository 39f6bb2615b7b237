//! What a program of kernels is asked to do: buffers, and launches that read and write them.
//!
//! The form on the program's standard input, all words 64-bit in the machine's order: order of the threads; number of
//! buffers, each with whether it may be written, its length in bytes and its bytes; number of launches, each with the
//! length of the kernel's name, the name, blocks, threads, number of arguments, each with its kind (0 null, 1 buffer, 4 or
//! 8 a number of so many bytes) and its value. What comes back are the bytes of the buffers that may be written.

use pliant_kernels::bf16;
use pliant_kernels::cuda::sources::SOURCES;
use pliant_tests::kernels::Values;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How blocks and threads are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Blocks of every launch.
    pub(crate) blocks: u64,
    /// Order of blocks, and of threads between two meetings: ascending, descending, mixed.
    pub(crate) order: u64,
}

/// Results must be the same bits with all of them.
pub(crate) const PLANS: [Plan; 3] =
    [Plan { blocks: 5, order: 0 }, Plan { blocks: 1, order: 1 }, Plan { blocks: 64, order: 2 }];

/// Type of a buffer's numbers.
#[derive(Debug, Clone, Copy)]
enum Type {
    F32,
    Bf16,
    U32,
}

/// A buffer of a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    index: usize,
    kind: Type,
}

/// What buffers hold.
pub(crate) trait Number: Copy {
    /// Type of the buffer.
    #[allow(private_interfaces, reason = "a place is made by scripts alone")]
    const TYPE: Type;
    /// Bytes of a number.
    fn bytes(self) -> Vec<u8>;
}

#[allow(private_interfaces, reason = "as above")]
impl Number for f32 {
    const TYPE: Type = Type::F32;
    fn bytes(self) -> Vec<u8> {
        self.to_ne_bytes().to_vec()
    }
}

#[allow(private_interfaces, reason = "as above")]
impl Number for bf16 {
    const TYPE: Type = Type::Bf16;
    fn bytes(self) -> Vec<u8> {
        self.to_bits().to_ne_bytes().to_vec()
    }
}

#[allow(private_interfaces, reason = "as above")]
impl Number for u32 {
    const TYPE: Type = Type::U32;
    fn bytes(self) -> Vec<u8> {
        self.to_ne_bytes().to_vec()
    }
}

/// An argument of a kernel: kind and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument(u64, u64);

/// No buffer.
pub(crate) const NULL: Argument = Argument(0, 0);

impl From<Place> for Argument {
    fn from(place: Place) -> Self {
        Self(1, place.index as u64)
    }
}

impl From<Option<Place>> for Argument {
    fn from(place: Option<Place>) -> Self {
        place.map_or(NULL, Self::from)
    }
}

impl From<usize> for Argument {
    fn from(number: usize) -> Self {
        Self(4, u64::from(u32::try_from(number).unwrap()))
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self(8, number)
    }
}

impl From<f32> for Argument {
    fn from(number: f32) -> Self {
        Self(4, u64::from(number.to_bits()))
    }
}

#[derive(Debug, Clone)]
struct Buffer {
    writable: bool,
    bytes: Vec<u8>,
}

/// One launch.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    kernel: &'static str,
    threads: u32,
    arguments: Vec<Argument>,
}

impl Launch {
    /// Adds an argument.
    pub(crate) fn give(&mut self, argument: impl Into<Argument>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }
}

/// Buffers and launches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    buffers: Vec<Buffer>,
    launches: Vec<Launch>,
}

impl Script {
    fn add<T: Number>(&mut self, writable: bool, bytes: Vec<u8>) -> Place {
        self.buffers.push(Buffer { writable, bytes });
        Place { index: self.buffers.len() - 1, kind: T::TYPE }
    }

    /// Numbers that kernels may read.
    pub(crate) fn reads<T: Number>(&mut self, numbers: &[T]) -> Place {
        self.add::<T>(false, numbers.iter().flat_map(|number| number.bytes()).collect())
    }

    /// Numbers that kernels may read and write.
    pub(crate) fn changes<T: Number>(&mut self, numbers: &[T]) -> Place {
        self.add::<T>(true, numbers.iter().flat_map(|number| number.bytes()).collect())
    }

    /// Room for numbers, filled with what is not a number.
    pub(crate) fn writes<T: Number>(&mut self, length: usize) -> Place {
        self.add::<T>(true, vec![0xff; length * size_of::<T>()])
    }

    /// Runs a kernel after those that stand here already.
    pub(crate) fn launch(&mut self, kernel: &'static str) -> &mut Launch {
        let mut known = SOURCES.iter().flat_map(|source| source.kernels);
        let threads = known.find(|known| known.name == kernel).map_or(64, |kernel| kernel.threads);
        self.launches.push(Launch { kernel, threads, arguments: Vec::new() });
        self.launches.last_mut().unwrap()
    }

    /// Runs everything in a program of its own.
    ///
    /// # Errors
    /// What the program says is wrong.
    pub(crate) fn run(&self, program: &Path, plan: Plan) -> Result<Results, String> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let text = self.text(plan);
        // It reads all before it writes anything, so no pipe can block; one that ended early says why itself.
        let sent = input.write_all(&text);
        drop(input);
        let output = child.wait_with_output().unwrap();
        if !output.status.success() || sent.is_err() {
            return Err(format!("{}{}", String::from_utf8_lossy(&output.stderr), output.status));
        }
        let mut rest = &output.stdout[..];
        let mut take = |buffer: &Buffer| {
            if !buffer.writable {
                return Vec::new();
            }
            let (bytes, after) = rest.split_at(buffer.bytes.len());
            rest = after;
            bytes.to_vec()
        };
        Ok(Results(self.buffers.iter().map(&mut take).collect()))
    }

    fn text(&self, plan: Plan) -> Vec<u8> {
        let mut text = Vec::new();
        let word = |text: &mut Vec<u8>, word: u64| text.extend(word.to_ne_bytes());
        word(&mut text, plan.order);
        word(&mut text, self.buffers.len() as u64);
        for buffer in &self.buffers {
            word(&mut text, u64::from(buffer.writable));
            word(&mut text, buffer.bytes.len() as u64);
            text.extend(&buffer.bytes);
        }
        word(&mut text, self.launches.len() as u64);
        for launch in &self.launches {
            word(&mut text, launch.kernel.len() as u64);
            text.extend(launch.kernel.bytes());
            word(&mut text, plan.blocks);
            word(&mut text, u64::from(launch.threads));
            word(&mut text, launch.arguments.len() as u64);
            for Argument(kind, value) in &launch.arguments {
                word(&mut text, *kind);
                word(&mut text, *value);
            }
        }
        text
    }
}

/// The buffers that may be written, after a run.
#[derive(Debug)]
pub(crate) struct Results(Vec<Vec<u8>>);

impl Results {
    /// Numbers of a buffer.
    pub(crate) fn values(&self, place: Place) -> Values {
        let words = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks().0.iter().map(|&bytes| u32::from_ne_bytes(bytes)).collect()
        };
        let bytes = &self.0[place.index];
        match place.kind {
            Type::F32 => Values::F32(words(bytes).into_iter().map(f32::from_bits).collect()),
            Type::U32 => Values::U32(words(bytes)),
            Type::Bf16 => {
                let halves = bytes.as_chunks().0.iter();
                Values::Bf16(halves.map(|&bytes| bf16::from_bits(u16::from_ne_bytes(bytes))).collect())
            }
        }
    }
}
