//! Fraction of the processor's measured peak that matrix products reach, packing of rows included.
//!
//! Every measurement is interleaved with a loop of nothing but multiply-adds in registers, so that a
//! change of clock or a busy neighbour hits both; the median of nine ratios counts.
//! `cargo bench -p pliant-kernels --bench ops [-- THREADS] [NAME...]`: only lines that hold all of the names.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to its user")]

use pliant_kernels::cpu::gemm::{Epilogue, Orientation, PackedMatrix, Product, Target, multiply};
use pliant_kernels::cpu::simd::{Simd, Task, Work};
use pliant_kernels::ops::attention;
use pliant_kernels::{Device, Input, Output, Precision};
use std::hint::black_box;
use std::time::Instant;

const CHAINS: usize = 12;
const STEPS: usize = 400_000;

/// Independent chains of multiply-adds: nothing but the arithmetic units limits them.
struct Peak(Precision);

impl Work for Peak {
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, _: Task) {
        if self.0 == Precision::Int8 {
            return bytes(s);
        }
        let mut sums = [s.splat(0.0); CHAINS];
        let (a, b) = (black_box(1.0_f32), black_box(1e-9_f32));
        let (x, y) = (s.splat(a), s.splat(b));
        let (p, q) = (s.splat_pair(a.to_bits() >> 16), s.splat_pair(b.to_bits() >> 16));
        for _ in 0..STEPS {
            for chain in 0..CHAINS {
                sums[chain] = match self.0 {
                    Precision::F32 => s.fma(x, y, sums[chain]),
                    Precision::Bf16 | Precision::Int8 => s.dot_pairs(sums[chain], p, q),
                };
            }
        }
        let mut total = s.splat(0.0);
        for sum in sums {
            total = s.add(total, sum);
        }
        black_box(s.sum(total));
    }
}

/// The same with products of bytes.
#[inline(always)]
fn bytes<S: Simd>(s: S) {
    let zero = s.load_sums(&[0; 16]);
    let mut sums = [zero; CHAINS];
    let (a, b) = (s.splat_quad(black_box(1)), s.load_quads(&[black_box(1); 64]));
    for _ in 0..STEPS {
        for chain in 0..CHAINS {
            sums[chain] = s.dot_quads(sums[chain], a, b);
        }
    }
    for sum in sums {
        black_box(s.sum(s.round_sums(sum)));
    }
}

/// Multiply-adds per second of the calibration loop.
fn peak(device: &Device, precision: Precision) -> f64 {
    let Device::Cpu(cpu) = device;
    let tasks = cpu.threads().count();
    let start = Instant::now();
    cpu.run(tasks, &Peak(precision));
    let per_lane = match precision {
        Precision::F32 => 1,
        Precision::Bf16 => 2,
        Precision::Int8 => 4,
    };
    (tasks * STEPS * CHAINS * 16 * per_lane) as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn product(device: &Device, precision: Precision, (m, n, k): (usize, usize, usize)) -> (f64, f64) {
    let Device::Cpu(cpu) = device;
    let weights: Vec<f32> = (0..n * k).map(|i| (i % 17) as f32 * 0.01 - 0.08).collect();
    let matrix = PackedMatrix::new(cpu, precision, &weights, (n, k), Orientation::Forward);
    let rows: Vec<f32> = (0..m * k).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect();
    let rows = device.upload(&rows);
    let halves: Vec<_> = rows.as_slice().iter().map(|&v| pliant_kernels::bf16::from_f32(v)).collect();
    let halves = device.upload(&halves);
    let input = match precision {
        Precision::F32 => Input::F32(&rows),
        Precision::Bf16 | Precision::Int8 => Input::Bf16(&halves),
    };
    let mut result = device.zeros::<f32>(m * n);
    let repeats = (2e9 / (m * n * k) as f64).ceil() as usize;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let limit = peak(device, precision);
        let start = Instant::now();
        for _ in 0..repeats {
            let target = Target::F32(result.as_mut_slice());
            multiply(
                cpu,
                m,
                input,
                &mut [Product { matrix: &matrix, bias: None, epilogue: Epilogue::Store, target }],
            );
        }
        let rate = (repeats * m * n * k) as f64 / start.elapsed().as_secs_f64();
        ratios.push(rate / limit);
        rates.push(rate);
    }
    black_box(result.as_slice()[0]);
    (median(ratios), median(rates))
}

/// Attention of equal sequences, both products counted.
fn attend(
    device: &Device,
    precision: Precision,
    heads: usize,
    head_width: usize,
    length: usize,
) -> (f64, f64) {
    let count = (4096 / length).max(1);
    let offsets: Vec<usize> = (0..=count).map(|b| b * length).collect();
    let width = heads * head_width;
    let values: Vec<f32> = (0..count * length * width).map(|i| (i % 29) as f32 * 0.05 - 0.7).collect();
    let full = device.upload(&values);
    let halves: Vec<_> = values.iter().map(|&v| pliant_kernels::bf16::from_f32(v)).collect();
    let halves = device.upload(&halves);
    let input = match precision {
        Precision::F32 => Input::F32(&full),
        Precision::Bf16 | Precision::Int8 => Input::Bf16(&halves),
    };
    let mut result = device.zeros::<f32>(values.len());
    let work = 2 * count * length * length * width;
    let repeats = (1e9 / work as f64).ceil() as usize;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let limit = peak(device, precision);
        let start = Instant::now();
        for _ in 0..repeats {
            let sizes = attention::Sizes { heads, head_width };
            let output = Output::F32(&mut result);
            attention::forward(device, sizes, &offsets, (input, input, input), output, None).unwrap();
        }
        let rate = (repeats * work) as f64 / start.elapsed().as_secs_f64();
        ratios.push(rate / limit);
        rates.push(rate);
    }
    (median(ratios), median(rates))
}

/// Which lines are measured.
struct Wanted(Vec<String>);

impl Wanted {
    fn of_arguments() -> Self {
        let names = std::env::args().skip(1);
        Self(names.filter(|arg| !arg.starts_with('-') && arg.parse::<usize>().is_err()).collect())
    }

    /// Measures and prints a line that is wanted: fraction of peak and multiply-adds per second.
    fn measure(&self, line: &str, measure: impl FnOnce() -> (f64, f64)) {
        if self.0.iter().all(|name| line.contains(name.as_str())) {
            let (ratio, rate) = measure();
            println!("{line}: {:5.1} % of peak, {:.0} GFLOP/s", 100.0 * ratio, 2e-9 * rate);
        }
    }
}

fn main() {
    let threads = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(2);
    let device = Device::cpu(threads).unwrap();
    println!("{}", device.describe());
    let wanted = Wanted::of_arguments();
    for precision in [Precision::F32, Precision::Bf16] {
        for (heads, head_width) in [(20, 16), (20, 24), (20, 32), (20, 64), (40, 128)] {
            for length in [100, 450, 2000] {
                let name = precision.name();
                let line = format!("{name} attention H {heads} D {head_width:3} L {length:4}");
                wanted.measure(&line, || attend(&device, precision, heads, head_width, length));
            }
        }
    }
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        println!("{} peak {:.0} GFLOP/s", precision.name(), 2e-9 * peak(&device, precision));
        for (name, n, k) in [
            ("8M qkv", 960, 320),
            ("8M out", 320, 320),
            ("8M fc1", 1280, 320),
            ("8M fc2", 320, 1280),
            ("650M out", 1280, 1280),
            ("650M fc1", 5120, 1280),
            ("650M fc2", 1280, 5120),
        ] {
            for m in [64, 128, 256, 512, 1024, 2048] {
                let line = format!("{} {name:9} M {m:5} N {n:5} K {k:5}", precision.name());
                wanted.measure(&line, || product(&device, precision, (m, n, k)));
            }
        }
    }
}
