//! Fraction of the processor's measured peak that products reach, forward and backward, packing of rows included.
//!
//! Every measurement is interleaved with a loop of nothing but multiply-adds in registers, so that a
//! change of clock or a busy neighbour hits both; the median of nine ratios counts.
//! `cargo bench -p pliant-kernels --bench ops [-- THREADS] [NAME...]`: only lines that hold all of the names.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to its user")]

use pliant_kernels::cpu::gemm::{Epilogue, Orientation, PackedMatrix, Product, Target, multiply};
use pliant_kernels::cpu::simd::{Simd, Task, Work};
use pliant_kernels::ops::linear::{self, Landing, Weights};
use pliant_kernels::ops::selective_scan::{self, Keep, Operands};
use pliant_kernels::ops::soft_alignment::{self, Pairs, Side};
use pliant_kernels::ops::{attention, conv1d, lstm, pair_logits};
use pliant_kernels::{Buffer, Device, Direction, Input, Output, Precision, Sequences, bf16};
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
    let Device::Cpu(cpu) = device else { panic!("{} is no processor", device.describe()) };
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

/// Runs `body` in turns with the calibration loop; gives the median fraction of the peak, and the median of
/// multiply-adds per second, of which one run makes `work`.
fn fraction(device: &Device, precision: Precision, work: usize, mut body: impl FnMut()) -> (f64, f64) {
    let repeats = (1e9 / work as f64).ceil() as usize;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let limit = peak(device, precision);
        let start = Instant::now();
        (0..repeats).for_each(|_| body());
        let rate = (repeats * work) as f64 / start.elapsed().as_secs_f64();
        ratios.push(rate / limit);
        rates.push(rate);
    }
    (median(ratios), median(rates))
}

/// Some numbers as both kinds of operand.
struct Numbers(Buffer<f32>, Buffer<bf16>);

impl Numbers {
    fn new(device: &Device, count: usize) -> Self {
        let values: Vec<f32> = (0..count).map(|i| (i % 29) as f32 * 0.05 - 0.7).collect();
        let halves: Vec<_> = values.iter().map(|&value| bf16::from_f32(value)).collect();
        Self(device.upload(&values), device.upload(&halves))
    }

    fn input(&self, precision: Precision) -> Input<'_> {
        match precision {
            Precision::F32 => Input::F32(&self.0),
            Precision::Bf16 | Precision::Int8 => Input::Bf16(&self.1),
        }
    }
}

/// `x [m,k] · Wᵀ [k,n]`
fn product(device: &Device, precision: Precision, (m, n, k): (usize, usize, usize)) -> (f64, f64) {
    let Device::Cpu(cpu) = device else { panic!("{} is no processor", device.describe()) };
    let weights: Vec<f32> = (0..n * k).map(|i| (i % 17) as f32 * 0.01 - 0.08).collect();
    let matrix = PackedMatrix::new(cpu, precision, &weights, (n, k), Orientation::Forward);
    let rows = Numbers::new(device, m * k);
    let mut result = device.zeros::<f32>(m * n);
    fraction(device, precision, m * n * k, || {
        let target = Target::F32(result.as_mut_slice());
        let product = Product { matrix: &matrix, bias: None, epilogue: Epilogue::Store, target };
        multiply(cpu, m, rows.input(precision), &mut [product]);
    })
}

/// Gradient of the input `[m,k]` of a layer with weights `[n,k]`.
fn input_gradient(device: &Device, precision: Precision, (m, n, k): (usize, usize, usize)) -> (f64, f64) {
    let weights = Numbers::new(device, n * k);
    let orientation = Orientation::InputGradient;
    let weights = Weights::pack(device, precision, weights.0.as_slice(), (n, k), orientation).unwrap();
    let (grad, mut dx) = (Numbers::new(device, m * n), device.zeros::<f32>(m * k));
    fraction(device, precision, m * n * k, || {
        linear::backward_input(device, m, (&grad.0, &weights), &mut dx, Landing::Write).unwrap();
    })
}

/// Gradient of the weights `[n,k]` and the bias of a layer, over m rows.
fn weight_gradient(device: &Device, precision: Precision, (m, n, k): (usize, usize, usize)) -> (f64, f64) {
    let (grad, rows) = (Numbers::new(device, m * n), Numbers::new(device, m * k));
    let (mut dw, mut db) = (device.zeros::<f32>(n * k), device.zeros::<f32>(n));
    fraction(device, precision, m * n * k, || {
        let operands = (&grad.0, rows.input(precision));
        linear::backward_weights(
            device,
            (m, precision),
            operands,
            ((n, k), 0..n),
            (&mut dw, true),
            Some(&mut db),
        )
        .unwrap();
    })
}

/// Attention of about 4096 tokens in equal sequences.
struct Attention {
    sizes: attention::Sizes,
    offsets: Vec<usize>,
    numbers: Numbers,
    /// Multiply-adds of one of its products.
    work: usize,
}

impl Attention {
    fn new(device: &Device, (heads, head_width): (usize, usize), length: usize) -> Self {
        let count = (4096 / length).max(1);
        let width = heads * head_width;
        Self {
            sizes: attention::Sizes { heads, head_width },
            offsets: (0..=count).map(|b| b * length).collect(),
            numbers: Numbers::new(device, count * length * width),
            work: count * length * length * width,
        }
    }

    /// Both products counted.
    fn forward(&self, device: &Device, precision: Precision) -> (f64, f64) {
        let input = self.numbers.input(precision);
        let mut result = device.zeros::<f32>(input.len());
        fraction(device, precision, 2 * self.work, || {
            let output = Output::F32(&mut result);
            attention::forward(device, self.sizes, &self.offsets, (input, input, input), output, None)
                .unwrap();
        })
    }

    /// All five products counted, that of the scores, which are made again, too.
    fn backward(&self, device: &Device, precision: Precision) -> (f64, f64) {
        let input = self.numbers.input(precision);
        let mut grads = [(); 3].map(|()| device.zeros::<f32>(input.len()));
        let tokens = self.offsets[self.offsets.len() - 1];
        let lse = device.upload(&vec![5.0; tokens * self.sizes.heads]);
        let saved = attention::Saved { q: input, k: input, v: input, out: input, lse: &lse };
        fraction(device, precision, 5 * self.work, || {
            let [dq, dk, dv] = &mut grads;
            let grads = attention::Grads { dq, dk, dv };
            attention::backward(device, self.sizes, &self.offsets, saved, &self.numbers.0, grads).unwrap();
        })
    }
}

/// Tokens and states of the measured filters and scans, four sequences of one length.
const RUN: (usize, usize) = (2048, 16);

fn waves(device: &Device, length: usize) -> Buffer<f32> {
    device.upload(&(0..length).map(|i| (i % 29) as f32 * 0.05 - 0.7).collect::<Vec<f32>>())
}

/// Seconds of one call, and multiply-adds that the calibration loop does meanwhile, by token and channel.
fn by_channel(device: &Device, width: usize, mut call: impl FnMut()) -> (f64, f64) {
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let limit = peak(device, Precision::F32);
        let start = Instant::now();
        call();
        let time = start.elapsed().as_secs_f64() / (RUN.0 * width) as f64;
        ratios.push(time * limit);
        times.push(time);
    }
    (median(ratios), median(times))
}

/// The filter of four taps: forward and, where asked for, its backward alone.
fn filter(device: &Device, width: usize, sequences: Sequences<'_>, backward: bool) -> (f64, f64) {
    let sizes = conv1d::Sizes { tokens: RUN.0, width, filter: 4 };
    let (x, w, b) = (waves(device, RUN.0 * width), waves(device, 4 * width), waves(device, width));
    let [mut u, mut dx] = [(); 2].map(|()| device.zeros(x.len()));
    let (mut dw, mut db) = (device.zeros(w.len()), device.zeros(width));
    by_channel(device, width, || {
        if backward {
            let grads = conv1d::Grads { dx: &mut dx, dw: &mut dw, db: &mut db };
            conv1d::backward(device, sizes, sequences, &x, (&w, &b), &x, grads).unwrap();
        } else {
            conv1d::forward(device, sizes, sequences, &x, (&w, &b), None, &mut u).unwrap();
        }
    })
}

/// The scan: forward and, where asked for, its backward alone.
fn scan(device: &Device, width: usize, sequences: Sequences<'_>, backward: bool) -> (f64, f64) {
    let (tokens, states) = RUN;
    let sizes = selective_scan::Sizes { tokens, width, states };
    let lengths = [tokens * width, tokens * width, 2 * tokens * states, width * states, width];
    let values = lengths.map(|length| waves(device, length));
    let mut results = lengths.map(|length| device.zeros::<f32>(length));
    let (mut y, mut borders) = (device.zeros(lengths[0]), device.zeros(sizes.borders(sequences)));
    let [u, delta, bc, a_log, d] = &values;
    let operands = Operands { u, delta, bc, a_log, d };
    let mut forward = |borders: &mut Buffer<f32>| {
        let keep = Keep::Borders(borders);
        selective_scan::forward(device, sizes, sequences, operands, keep, &mut y).unwrap();
    };
    if !backward {
        return by_channel(device, width, || forward(&mut borders));
    }
    forward(&mut borders);
    by_channel(device, width, || {
        let [du, ddelta, dbc, da_log, dd] = &mut results;
        let grads = selective_scan::Grads { du, ddelta, dbc, da_log, dd };
        selective_scan::backward(device, sizes, sequences, operands, &borders, u, grads).unwrap();
    })
}

/// Both directions of a layer of an LSTM on `count` sequences of one length, their recurrent products counted: forward,
/// what the backward needs kept, or the backward of the gate inputs alone.
fn recurrence(
    device: &Device,
    precision: Precision,
    (hidden, count, length): (usize, usize, usize),
    backward: bool,
) -> (f64, f64) {
    let sizes = lstm::Sizes { tokens: count * length, hidden };
    let offsets: Vec<usize> = (0..=count).map(|b| b * length).collect();
    let values: Vec<f32> = (0..hidden * hidden).map(|i| (i % 29) as f32 * 0.001 - 0.014).collect();
    let pack = |way| Weights::pack(device, precision, &values, (hidden, hidden), way).unwrap();
    // Every gate has weights of its own, as a step reads all of them anew.
    let all = |way| [(); 2].map(|()| [(); lstm::GATES].map(|()| pack(way)));
    let (ahead, back) = (all(Orientation::Forward), all(Orientation::InputGradient));
    let x = waves(device, sizes.gates());
    let mut kept = [(); 2].map(|()| lstm::Kept::scratch(device, sizes));
    let mut h = device.zeros(2 * sizes.cells());
    let work = 2 * lstm::GATES * hidden * sizes.cells();
    let mut forward = |kept: Option<&mut [lstm::Kept; 2]>| {
        let weights = ahead.each_ref().map(|gates| gates.each_ref());
        lstm::forward(device, sizes, &offsets, [&x, &x], weights, kept, &mut h).unwrap();
    };
    forward(Some(&mut kept));
    if !backward {
        return fraction(device, precision, work, || forward(None));
    }
    let (dy, mut dx) = (waves(device, 2 * sizes.cells()), [(); 2].map(|()| device.zeros(sizes.gates())));
    fraction(device, precision, work, || {
        let weights = back.each_ref().map(|gates| gates.each_ref());
        lstm::backward(device, sizes, &offsets, weights, &kept, &dy, dx.each_mut()).unwrap();
    })
}

fn recurrences(device: &Device, wanted: &Wanted) {
    for precision in [Precision::F32, Precision::Bf16] {
        for (hidden, count) in
            [(512, 64), (1024, 1), (1024, 4), (1024, 8), (1024, 14), (1024, 28), (1024, 56)]
        {
            for (name, backward) in [("forward", false), ("backward", true)] {
                let line = format!("{} lstm H {hidden:4} B {count:3} {name}", precision.name());
                wanted.measure(&line, || recurrence(device, precision, (hidden, count, 16), backward));
            }
        }
    }
}

fn runs(device: &Device, wanted: &Wanted) {
    let offsets: Vec<usize> = (0..=4).map(|b| b * RUN.0 / 4).collect();
    for (width, direction) in [512, 3072].into_iter().flat_map(|e| Direction::BOTH.map(|way| (e, way))) {
        let sequences = Sequences { offsets: &offsets, direction };
        for (name, backward) in [("forward", false), ("backward", true)] {
            let line = |op: &str| format!("{op} E {width:4} {:7} {name:8}", direction.name());
            wanted.time(&line("conv1d K 4"), || filter(device, width, sequences, backward));
            wanted.time(&line("selective_scan N 16"), || scan(device, width, sequences, backward));
        }
    }
}

/// Soft alignment of eight pairs of proteins of one length: forward or backward alone. Each difference of two numbers
/// counts as a multiply-add, in the backward a second time for the slopes.
fn pairs(device: &Device, length: usize, backward: bool) -> (f64, f64) {
    const PAIRS: usize = 8;
    const WIDTH: usize = 100;
    let offsets: Vec<usize> = (0..=PAIRS).map(|pair| pair * length).collect();
    let (a, b) = (waves(device, PAIRS * length * WIDTH), waves(device, PAIRS * length * WIDTH));
    let [a, b] = [&a, &b].map(|vectors| Side { vectors, offsets: &offsets });
    let pairs = Pairs { width: WIDTH, a, b };
    let work = PAIRS * length * length * WIDTH;
    let (mut scores, slopes) = (device.zeros(PAIRS), device.upload(&[1.0; PAIRS]));
    let [mut da, mut db] = [(); 2].map(|()| device.zeros(PAIRS * length * WIDTH));
    fraction(device, Precision::F32, if backward { 2 * work } else { work }, || {
        if backward {
            soft_alignment::backward(device, pairs, &slopes, (&mut da, &mut db)).unwrap();
        } else {
            soft_alignment::forward(device, pairs, &mut scores).unwrap();
        }
    })
}

/// All pairs of two lists of proteins by a head of 128 units whose numbers are as large as `spread`; gives pairs a second
/// too. Each unit of a pair counts as a multiply-add.
fn screen(device: &Device, spread: f32) -> (f64, f64) {
    let sizes = pair_logits::Sizes { rows: 512, columns: 4096, units: 128 };
    let numbers = |rows: usize| {
        let mut numbers = waves(device, rows * sizes.units);
        numbers.as_mut_slice().iter_mut().for_each(|number| *number *= spread);
        numbers
    };
    let (first, second, weights) = (numbers(sizes.rows), numbers(sizes.columns), waves(device, sizes.units));
    let mut y = device.zeros(sizes.rows * sizes.columns);
    fraction(device, Precision::F32, sizes.rows * sizes.columns * sizes.units, || {
        pair_logits::forward(device, sizes, (&first, &second), (&weights, 0.5), &mut y).unwrap();
    })
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

    /// Measures and prints a line that is wanted: time of all threads together by token and channel.
    fn time(&self, line: &str, measure: impl FnOnce() -> (f64, f64)) {
        if self.0.iter().all(|name| line.contains(name.as_str())) {
            let (worth, time) = measure();
            println!("{line}: {:.2} ns per token and channel, worth {worth:.0} multiply-adds", 1e9 * time);
        }
    }
}

fn main() {
    let threads = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(2);
    let device = Device::cpu(threads).unwrap();
    println!("{}", device.describe());
    let wanted = Wanted::of_arguments();
    runs(&device, &wanted);
    for length in [100, 450] {
        for (name, backward) in [("forward", false), ("backward", true)] {
            let line = format!("f32 soft_alignment D 100 L {length:4} {name:8}");
            wanted.measure(&line, || pairs(&device, length, backward));
        }
    }
    recurrences(&device, &wanted);
    for spread in [6.0, 13.0, 27.0, 40.0] {
        let line = format!("f32 pair_logits K 128 numbers up to {:4.1}", 0.7 * spread);
        wanted.measure(&line, || screen(&device, spread));
    }
    inference(&device, &wanted);
    training(&device, &wanted);
}

fn inference(device: &Device, wanted: &Wanted) {
    for precision in [Precision::F32, Precision::Bf16] {
        for (heads, head_width) in [(20, 16), (20, 24), (20, 32), (20, 64), (40, 128)] {
            for length in [100, 450, 2000] {
                let name = precision.name();
                let line = format!("{name} attention H {heads} D {head_width:3} L {length:4}");
                wanted.measure(&line, || {
                    Attention::new(device, (heads, head_width), length).forward(device, precision)
                });
            }
        }
    }
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        println!("{} peak {:.0} GFLOP/s", precision.name(), 2e-9 * peak(device, precision));
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
                wanted.measure(&line, || product(device, precision, (m, n, k)));
            }
        }
    }
}

fn training(device: &Device, wanted: &Wanted) {
    for precision in [Precision::F32, Precision::Bf16] {
        let name = precision.name();
        for head_width in [16, 24, 32, 64] {
            for length in [100, 450, 1000] {
                let line = format!("{name} backward of attention H 20 D {head_width:3} L {length:4}");
                wanted.measure(&line, || {
                    Attention::new(device, (20, head_width), length).backward(device, precision)
                });
            }
        }
        let m = 4096;
        for (layer, n, k) in [("35M out", 480, 480), ("35M fc1", 1920, 480), ("35M fc2", 480, 1920)] {
            let line = |what: &str| format!("{name} backward of {layer} {what} M {m} N {n:4} K {k:4}");
            wanted.measure(&line("for input  "), || input_gradient(device, precision, (m, n, k)));
            wanted.measure(&line("for weights"), || weight_gradient(device, precision, (m, n, k)));
        }
    }
}
