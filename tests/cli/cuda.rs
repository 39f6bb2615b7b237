//! The whole way to a GPU on stand-ins of its libraries (`tests/cuda/standin`): the program itself, from the command line
//! to launches and back. No GPU is here, and nothing of this is a proof of hardware.

use std::time::{Duration, Instant};

use pliant_tests::standin::{StandIns, stand_ins};

use crate::contacts::{TWIN, arrays, floats};
use crate::tool::{ECOLI, Ended, Run, Scratch};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/");

const MODELS: [&str; 3] = ["esm2_tiny_random", "lc_plm_tiny_random", "plus_rnn_tiny_random"];

/// Proteins of lengths around the tiles of kernels.
const PROTEINS: &str = ">one\nM\n>short\nMKVLATGSHRDEWYFPQINC\n>masked\nMKX\n>long\n\
    GSHRDEWYFPQINCMKVLATGSHRDEWYFPQINCMKVLATGSHRDEWYFPQINCMKVLATGSHRDEWYFPQINCMKVLAT\n\
    >other\nMAAAALLLKKKTTTRRRSSSGGGDDEE\n>last\nWWYYHH\n";

/// A folder with proteins, and the program with the stand-ins.
struct Bench {
    scratch: Scratch,
    stand_ins: &'static StandIns,
}

impl Bench {
    /// `None` without a C++ compiler, which is said.
    fn new() -> Option<Self> {
        let stand_ins = stand_ins(env!("CARGO_TARGET_TMPDIR"))?;
        let scratch = Scratch::new();
        scratch.write("in.fasta", PROTEINS);
        Some(Self { scratch, stand_ins })
    }

    /// The program with these words and these libraries of CUDA.
    fn with(&self, libraries: &str, words: &[&str]) -> Run {
        let run = self.scratch.run(words).env("LD_LIBRARY_PATH", libraries);
        let [kernels, locks] = ["kernels", "locks"].map(|name| self.scratch.path(name).display().to_string());
        run.env("PLIANT_KERNELS", &kernels).env("PLIANT_GPU_LOCKS", &locks).env("HOME", "/nowhere")
    }

    /// The same with all libraries.
    fn run(&self, words: &[&str]) -> Run {
        self.with(&self.stand_ins.all(), words)
    }

    /// A command over the proteins with a model and more words, on a device.
    fn words<'a>(&self, command: &'a str, model: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec![command, "in.fasta", "--model", model, "--out", out];
        words.extend(more);
        words
    }

    fn numbers(&self, name: &str, array: &str) -> Vec<f32> {
        let found = arrays(&self.scratch.read(name));
        floats(&found.get(array).unwrap_or_else(|| panic!("{array} of {:?}", found.keys())).1)
    }

    /// How often the stand-in of the driver was asked for something, by what it wrote to a file.
    fn calls(&self, log: &str) -> impl Fn(&str) -> u64 + use<> {
        let log = self.scratch.text(log);
        move |name| {
            let line = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map_or(0, |number| number.parse().unwrap())
        }
    }

    fn numerics(&self, name: &str) -> String {
        let metadata = self.scratch.npz(name).metadata.unwrap();
        metadata.get("numerics").unwrap().as_str().unwrap().to_owned()
    }
}

fn path(model: &str) -> String {
    format!("{FIXTURES}{model}")
}

/// The largest distance of two lists of numbers, which must be as long.
fn apart(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    assert!(one.iter().any(|value| *value != 0.0) && other.iter().all(|value| value.is_finite()));
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// The least cosine of rows of two matrices.
fn cosine(one: &[f32], other: &[f32], width: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let rows = one.chunks_exact(width).zip(other.chunks_exact(width));
    rows.map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).fold(1.0, f64::min)
}

#[test]
fn embeddings_are_those_of_the_processor_in_every_way() {
    let Some(bench) = Bench::new() else { return };
    for model in MODELS.map(path) {
        for precision in ["f32", "bf16"] {
            let more = ["--precision", precision, "--layer", "1,-1", "--device"];
            let on =
                |device: &'static str, products: &'static str, out: &'static str, states: &'static str| {
                    let mut words = bench.words("embed", &model, out, &more);
                    words.extend([device, "--gpu-products", products, "--residues", states]);
                    bench.run(&words).go().code(0)
                };
            on("cpu", "auto", "cpu.npz", "cpu_states.npz");
            for products in ["plain", "cublaslt"] {
                let ended = on("cuda", products, "cuda.npz", "cuda_states.npz");
                assert!(ended.stderr.contains("STAND-IN DRIVER"), "{}", ended.stderr);
                for array in ["embeddings.1", "embeddings.2"] {
                    let pooled = [bench.numbers("cpu.npz", array), bench.numbers("cuda.npz", array)];
                    let states =
                        [bench.numbers("cpu_states.npz", array), bench.numbers("cuda_states.npz", array)];
                    let what = format!("{model} {precision} {products} {array}");
                    let limits = if precision == "f32" { (2e-6, 1e-5) } else { (5e-3, 6e-2) };
                    let found = (apart(&pooled[0], &pooled[1]), apart(&states[0], &states[1]));
                    assert!(found.0 <= limits.0 && found.1 <= limits.1, "{what}: {found:?}");
                    let cosine = cosine(&pooled[0], &pooled[1], 32);
                    assert!(cosine >= 0.9999, "{what}: {cosine}");
                }
            }
        }
    }
}

#[test]
fn probabilities_losses_and_contacts_are_those_of_the_processor() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    for device in ["cpu", "cuda"] {
        let (logits, contacts, scores) =
            (format!("{device}_l.npz"), format!("{device}_c.npz"), format!("{device}_p.tsv"));
        let device = ["--device", device];
        bench.run(&bench.words("logits", &model, &logits, &device)).go().code(0);
        bench.run(&bench.words("perplexity", &model, &scores, &device)).go().code(0);
        bench.run(&bench.words("contacts", TWIN, &contacts, &device)).go().code(0);
    }
    let pair =
        |cpu: &str, cuda: &str, array: &str| apart(&bench.numbers(cpu, array), &bench.numbers(cuda, array));
    assert!(pair("cpu_l.npz", "cuda_l.npz", "logprobs") <= 1e-5);
    assert!(pair("cpu_c.npz", "cuda_c.npz", "contacts") <= 1e-5);
    let table = |name: &str| -> Vec<f32> {
        let text = bench.scratch.text(name);
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        rows.map(|line| line.split('\t').next_back().unwrap().parse().unwrap()).collect()
    };
    assert!(apart(&table("cpu_p.tsv"), &table("cuda_p.tsv")) <= 1e-3);
}

#[test]
fn the_bytes_are_the_same_whatever_the_budget_and_however_late_the_device() {
    let Some(bench) = Bench::new() else { return };
    for model in MODELS.map(path) {
        for products in ["plain", "cublaslt"] {
            let run = |out: &'static str, tokens: &'static str, order: &str, log: &str| {
                let more = ["--device", "cuda", "--gpu-products", products, "--max-batch-tokens", tokens];
                let run = bench.run(&bench.words("embed", &model, out, &more));
                let log = bench.scratch.path(log).display().to_string();
                run.env("PLIANT_STANDIN_ORDER", order).env("PLIANT_STANDIN_LOG", &log).go().code(0);
                bench.scratch.read(out)
            };
            let wanted = run("all.npz", "4096", "late", "all.log");
            for (tokens, order) in [("1", "late"), ("100", "late"), ("4096", "now")] {
                assert!(run("some.npz", tokens, order, "some.log") == wanted, "{model} {tokens} {order}");
            }
            // All that was taken was given back, and a pass waits for nothing but its results.
            let (log, count) = (bench.scratch.text("all.log"), bench.calls("all.log"));
            for held in ["held_pieces", "held_streams", "held_events", "held_modules", "held_pinned"] {
                assert_eq!(count(held), 0, "{log}");
            }
            assert_eq!((count("cuEventSynchronize"), count("cuMemcpyDtoHAsync")), (1, 1), "{log}");
            assert!(count("cuStreamSynchronize") <= 2 && count("cuLaunchKernel") > 10, "{log}");
        }
    }
}

#[test]
fn memory_that_runs_out_halves_the_budget_once_and_then_ends_the_run_with_the_numbers() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let mut many = String::new();
    for number in 0..24 {
        many.push_str(&format!(">p{number}\n{}\n", "MKVLATGSHRDEWYFPQINC".repeat(8)));
    }
    bench.scratch.write("in.fasta", &many);
    let run = |out: &str, bytes: usize| -> Ended {
        let more = ["--device", "cuda", "--gpu-products", "plain", "--max-batch-tokens", "4096"];
        let run = bench.run(&bench.words("embed", &model, out, &more));
        run.env("PLIANT_STANDIN_MEMORY", &bytes.to_string()).go()
    };
    let wanted = run("wanted.npz", 1 << 30).code(0);
    assert!(!wanted.stderr.contains("out of memory"), "{}", wanted.stderr);
    // From much to little memory: first all fits, then half of it, then nothing.
    let (mut halved, mut refused) = (false, false);
    for kib in (400..6000).step_by(400).rev() {
        let ended = run("some.npz", kib << 10);
        if ended.code == Some(0) && ended.stderr.contains("out of memory") {
            halved = true;
            assert_eq!(ended.stderr.matches("going on with").count(), 1, "{}", ended.stderr);
            assert!(ended.stderr.contains("2048 tokens together instead of 4096"), "{}", ended.stderr);
        } else if ended.code != Some(0) {
            refused = true;
            assert_eq!(ended.code, Some(137), "{}", ended.stderr);
            for word in ["cuda:0 is out of memory: wanted are ", " MiB, free are ", "--max-batch-tokens"] {
                assert!(ended.stderr.contains(word), "{}", ended.stderr);
            }
            continue;
        }
        assert!(bench.scratch.read("some.npz") == bench.scratch.read("wanted.npz"), "{kib} KiB");
    }
    assert!(halved && refused, "halved {halved}, refused {refused}");
}

#[test]
fn what_is_missing_is_named_with_what_to_install_and_nothing_else_is_taken_instead() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let [driver, compiler, products] =
        [bench.stand_ins.driver(), bench.stand_ins.compiler(), bench.stand_ins.products()]
            .map(|folder| folder.display().to_string());
    let words = bench.words("embed", &model, "out.npz", &["--device", "cuda"]);
    let ended = bench.with(&compiler, &words).go();
    if ended.code == Some(0) {
        println!("SKIPPED: this machine has a driver of its own");
        return;
    }
    let ended = ended.code(69);
    assert!(ended.stderr.contains("the CUDA driver cannot be used"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--device cpu") && !bench.scratch.path("out.npz").exists());
    let ended = bench.with(&driver, &words).go();
    if ended.code == Some(0) {
        println!("SKIPPED: this machine has a run-time compiler of its own");
        return;
    }
    let ended = ended.code(69);
    assert!(ended.stderr.contains("NVRTC") && ended.stderr.contains("pip install"), "{}", ended.stderr);
    let mut library = words.clone();
    library.extend(["--gpu-products", "cublaslt"]);
    let ended = bench.with(&format!("{driver}:{compiler}"), &library).go().code(69);
    assert!(ended.stderr.contains("cuBLASLt cannot be used"), "{}", ended.stderr);
    // Without the library the plain kernel serves, and the result says so.
    bench.with(&format!("{driver}:{compiler}"), &words).go().code(0);
    assert_eq!(bench.numerics("out.npz"), "cuda-1:sm_90:nvrtc0.0:plain");
    bench.with(&format!("{driver}:{compiler}:{products}"), &words).go().code(0);
    assert_eq!(bench.numerics("out.npz"), "cuda-1:sm_90:nvrtc0.0:cublaslt0.0.1:2mp");
    // Kernels that were compiled before need no compiler.
    let ended = bench.with(&driver, &words).go().code(0);
    assert!(ended.stderr.contains("STAND-IN DRIVER"), "{}", ended.stderr);
}

#[test]
fn a_library_that_is_damaged_or_another_is_named() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let folder = bench.scratch.path("libraries");
    std::fs::create_dir_all(&folder).unwrap();
    let driver = folder.join("libcuda.so.1");
    let run = || {
        let words = bench.words("embed", &model, "out.npz", &["--device", "cuda"]);
        bench.with(&folder.display().to_string(), &words).go()
    };
    std::fs::write(&driver, "no library at all").unwrap();
    let ended = run();
    if ended.code == Some(0) {
        println!("SKIPPED: this machine has a driver of its own");
        return;
    }
    let ended = ended.code(69);
    assert!(ended.stderr.contains("libcuda.so.1") && ended.stderr.contains("driver"), "{}", ended.stderr);
    // A library of that name without the driver's functions.
    std::fs::copy(bench.stand_ins.compiler().join("libnvrtc.so.12"), &driver).unwrap();
    let ended = run().code(69);
    assert!(ended.stderr.contains("libcuda.so.1") && ended.stderr.contains("cuInit"), "{}", ended.stderr);
}

#[test]
fn devices_are_those_that_are_there() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let run = |device: &'static str, gpus: &str, visible: Option<&str>| {
        let words = bench.words("embed", &model, "out.npz", &["--device", device]);
        let run = bench.run(&words).env("PLIANT_STANDIN_GPUS", gpus);
        match visible {
            Some(visible) => run.env("CUDA_VISIBLE_DEVICES", visible).go(),
            None => run.go(),
        }
    };
    let refused = |ended: Ended, words: &[&str]| {
        let ended = ended.code(69);
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    };
    run("cuda:1", "2", None).code(0);
    refused(run("cuda:2", "2", None), &["cuda:2", "the driver sees 2", "CUDA_VISIBLE_DEVICES"]);
    refused(run("cuda:1", "2", Some("1")), &["cuda:1", "the driver sees 1"]);
    refused(run("cuda", "2", Some("")), &["no CUDA-capable device"]);
    for wrong in ["gpu", "cuda:", "cuda:-1", "cuda:x"] {
        let words = bench.words("embed", &model, "out.npz", &["--device", wrong]);
        bench.run(&words).go().code(2);
    }
    let auto = run("auto", "1", None).code(0);
    assert!(
        auto.stderr.contains("note: device auto: cpu (") && auto.stderr.contains("--device cuda takes it")
    );
    let auto = run("auto", "1", Some("")).code(0);
    assert!(auto.stderr.contains("note: device auto: cpu ("), "{}", auto.stderr);
    let old = bench.run(&bench.words("embed", &model, "out.npz", &["--device", "cuda"]));
    refused(old.env("PLIANT_STANDIN_CAPABILITY", "75").go(), &["compute capability 7.5", "8.0"]);
    let bytes = ["--device", "cuda", "--precision", "int8"];
    let ended = bench.run(&bench.words("embed", &model, "out.npz", &bytes)).go();
    assert!(ended.code != Some(0) && ended.stderr.contains("f32 or bf16"), "{}", ended.stderr);
}

#[test]
fn processes_share_a_gpu_as_far_as_they_are_admitted() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    // This test holds the share of a first process, as the lock that it is.
    let words = ["embed", "in.fasta", "--model", &model, "--device", "cuda", "--gpu-slots", "1", "--out"];
    let with = |out: &'static str| {
        let mut all = words.to_vec();
        all.push(out);
        bench.run(&all)
    };
    let lock = bench.scratch.path("locks");
    std::fs::create_dir_all(&lock).unwrap();
    let name = format!("{}.0.lock", "5354414e44494e000000000000000000");
    let held = std::fs::File::create(lock.join(&name)).unwrap();
    held.lock().unwrap();
    let mut waiting = with("second.npz").start();
    std::thread::sleep(Duration::from_millis(700));
    assert!(waiting.try_wait().unwrap().is_none(), "a second process took the share of the first");
    // Another GPU is free, and taken at once.
    let other = with("other.npz").env("PLIANT_STANDIN_GPUS", "2").go().code(0);
    assert!(!other.stderr.contains("waiting"), "{}", other.stderr);
    let freed = Instant::now();
    drop(held);
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("waiting for cuda:0"), "{said}");
    assert!(freed.elapsed() < Duration::from_secs(20));
    assert!(bench.scratch.read("second.npz") == bench.scratch.read("other.npz"));
    // Numbers of CUDA_VISIBLE_DEVICES name other GPUs, whose locks go by their ids.
    let held = std::fs::File::open(lock.join(&name)).unwrap();
    held.lock().unwrap();
    let moved = with("moved.npz").env("PLIANT_STANDIN_GPUS", "2").env("CUDA_VISIBLE_DEVICES", "1");
    assert!(!moved.go().code(0).stderr.contains("waiting"));
    assert!(lock.join("5354414e44494e000000000000000001.0.lock").is_file());
}

#[test]
fn every_kernel_agrees_with_the_processor_through_its_launch() {
    let Some(bench) = Bench::new() else { return };
    for products in ["plain", "cublaslt"] {
        let ended = bench.run(&["kernels", "check", "--gpu-products", products]).go();
        let said = ended.text();
        assert!(said.contains(" 0 disagree"), "{said}{}", ended.stderr);
        // The stand-in has no algorithm for 7 columns, and one for 20 only if it is not asked to leave reductions out.
        let refused =
            said.contains("plain product, as cuBLASLt has none: 7 columns of 40 bf16 (code 15, 0 proposals)");
        assert_eq!(refused, products == "cublaslt", "{said}");
        assert!(!said.contains(": 20 columns"), "{said}");
        ended.code(0);
    }
    let [all, tensor_cores] =
        [&["kernels", "check", "--all"][..], &["kernels", "check", "--gpu-attention", "tensor-cores"]];
    let launched = [all, tensor_cores].map(|words| {
        let log = bench.scratch.path("launches.log").display().to_string();
        let ended = bench.run(words).env("PLIANT_STANDIN_LOG", &log).go().code(0);
        assert!(ended.text().contains(" 0 disagree"));
        (ended.text(), bench.calls("launches.log"))
    });
    assert!(launched[1].0.contains("attention by tensor cores"));
    for source in pliant_kernels::cuda::SOURCES {
        assert!(launched[0].0.contains(&format!("\n{}: ", source.op)), "{}", source.op);
    }
    let kernels = pliant_kernels::cuda::SOURCES.iter().flat_map(|source| source.kernels);
    let missed: Vec<&str> = kernels
        .map(|kernel| kernel.name)
        .filter(|name| launched.iter().all(|(_, count)| count(name) == 0))
        .collect();
    assert!(missed.is_empty(), "never checked: {missed:?}");
    bench.run(&["kernels", "check", "--device", "cpu"]).go().code(2);
}

/// Numbers of the other families go from operation to operation on the device, and so do those of a vocabulary that has
/// more rows than tokens.
#[test]
fn no_family_brings_numbers_back_inside_a_pass() {
    const MADE: [(&str, &str); 3] = [
        (
            "plus_tfm",
            r#"{"model_type": "TFM", "num_layers": 2, "hidden_dim": 32, "num_heads": 2, "feedforward_dim": 40,
                "pos_encode": true, "max_len": 100, "dropout": 0.1}"#,
        ),
        (
            "p_elmo",
            r#"{"model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 16, "lm_proj_dim": 20,
                "embedding_dim": 12, "lm": {"num_layers": 2, "hidden_dim": 24}}"#,
        ),
        ("p_elmo_lm", r#"{"model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 16}"#),
    ];
    let Some(bench) = Bench::new() else { return };
    let lc_plm = path(MODELS[1]);
    let mut cases = vec![("logits", lc_plm.as_str(), "logprobs")];
    for (name, config) in MADE {
        bench.scratch.write(&format!("{name}.json"), config);
        let config = format!("{name}.json");
        bench.run(&["model", "new", "--config", &config, "--seed", "7", "--out", name]).go().code(0);
        cases.push(("embed", name, "embeddings"));
    }
    for (command, model, array) in cases {
        for (device, out) in [("cpu", "cpu.npz"), ("cuda", "cuda.npz")] {
            let log = bench.scratch.path("calls.log").display().to_string();
            let words = bench.words(command, model, out, &["--device", device]);
            bench.run(&words).env("PLIANT_STANDIN_LOG", &log).go().code(0);
        }
        let found = apart(&bench.numbers("cpu.npz", array), &bench.numbers("cuda.npz", array));
        assert!(found <= 1e-5, "{model}: {found}");
        let count = bench.calls("calls.log");
        assert!(count("cuLaunchKernel") > 10, "{model}");
        assert_eq!((count("cuEventSynchronize"), count("cuMemcpyDtoHAsync")), (1, 1), "{model}");
    }
}

/// A library's product runs on whole blocks of rows: beyond the last row, where memory has room, and else on copies.
#[test]
fn rows_are_copied_only_where_memory_has_no_room_for_a_whole_block() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let copies = |residues: usize| -> u64 {
        bench.scratch.write("one.fasta", format!(">one\n{}\n", "MKVLA".repeat(residues.div_ceil(5))));
        let words = [
            "embed",
            "one.fasta",
            "--model",
            &model,
            "--out",
            "one.npz",
            "--device",
            "cuda",
            "--gpu-products",
            "cublaslt",
        ];
        let log = bench.scratch.path("one.log").display().to_string();
        bench.run(&words).env("PLIANT_STANDIN_LOG", &log).go().code(0);
        bench.calls("one.log")("cuMemcpyDtoDAsync")
    };
    // With two tokens more: 127 rows, whose memory is of the size of 128, and 42.
    assert_eq!(copies(125), 0);
    assert!(copies(40) > 0);
}

/// Whoever asks for times gets those of every kernel and product, and the same bytes.
#[test]
fn times_of_kernels_are_told_to_whoever_asks_and_change_nothing() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    let more = ["--device", "cuda", "--precision", "bf16", "--summary", "summary.json"];
    let summary = |run: Run| -> serde_json::Value {
        run.go().code(0);
        serde_json::from_str(&bench.scratch.text("summary.json")).unwrap()
    };
    let without = summary(bench.run(&bench.words("embed", &model, "without.npz", &more)));
    assert!(without.get("gpu_kernels").is_none());
    let log = bench.scratch.path("times.log").display().to_string();
    let run = bench.run(&bench.words("embed", &model, "with.npz", &more)).env("PLIANT_GPU_TIMES", "1");
    let with = summary(run.env("PLIANT_STANDIN_LOG", &log));
    assert!(bench.scratch.read("with.npz") == bench.scratch.read("without.npz"));
    let told = with["gpu_kernels"].as_array().unwrap();
    let calls = |name: &str| {
        let found = told.iter().filter(|time| time["name"].as_str().unwrap().starts_with(name));
        found.map(|time| time["calls"].as_u64().unwrap()).sum::<u64>()
    };
    let layers = layers_of(&model);
    // Two norms a layer and the last one; queries and keys; and two products that end in the residual, each of which runs twice
    // where rows are left over.
    assert_eq!((calls("layer_norm_"), calls("rotary_bf16")), (2 * layers + 1, 2 * layers), "{told:?}");
    let residual =
        |time: &&serde_json::Value| time["name"].as_str().unwrap().ends_with(" bf16 + bias + residual");
    let ended: u64 = told.iter().filter(residual).map(|time| time["calls"].as_u64().unwrap()).sum();
    assert!(ended == 2 * layers || ended == 4 * layers, "{told:?}");
    let sorted =
        |pair: &[serde_json::Value]| pair[0]["milliseconds"].as_f64() >= pair[1]["milliseconds"].as_f64();
    assert!(told.windows(2).all(sorted), "{told:?}");
    let first = |time: &serde_json::Value| time["first_milliseconds"].as_f64().unwrap();
    assert!(
        told.iter().all(|time| first(time) > 0.0 && time["milliseconds"].as_f64().unwrap() >= first(time))
    );
    assert!(bench.scratch.text("times.log").lines().any(|line| line == "held_events 0"));
}

/// Layers of a model.
fn layers_of(model: &str) -> u64 {
    let text = std::fs::read_to_string(format!("{model}/config.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["num_hidden_layers"].as_u64().unwrap()
}

#[test]
fn doctor_shows_gpu_driver_libraries_and_a_test() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.run(&["doctor", "--json"]).env("PLIANT_STANDIN_GPUS", "2").go().code(0).json();
    let cuda = &said["cuda"];
    assert_eq!((&cuda["usable"], &cuda["version"]), (&true.into(), &"12.9".into()));
    assert_eq!(cuda["devices"].as_array().unwrap().len(), 2);
    assert_eq!(cuda["devices"][1]["capability"], "9.0");
    assert!(cuda["self_test"]["compared"].as_u64().unwrap() > 30);
    assert!(cuda["self_test"]["products"].as_str().unwrap().starts_with("cuBLASLt 0.0.1"));
    assert_eq!(cuda["self_test"]["refused_products"].as_array().unwrap().len(), 0);
    let text = bench.run(&["doctor"]).go().code(0).text();
    assert!(text.contains("gpu           cuda:0 STAND-IN, no GPU"), "{text}");
    assert!(text.contains(" 0 disagree"), "{text}");
    let without = bench.with(&bench.stand_ins.driver().display().to_string(), &["doctor"]).go().code(0);
    assert!(
        without.text().contains("the run-time compiler NVRTC cannot be used: none of"),
        "{}",
        without.text()
    );
}

#[test]
fn proteins_of_coli_are_those_of_the_processor() {
    let Some(bench) = Bench::new() else { return };
    let model = path(MODELS[0]);
    for (device, out) in [("cpu", "cpu.npz"), ("cuda", "cuda.npz")] {
        let words =
            ["embed", ECOLI, "--model", &model, "--device", device, "--precision", "bf16", "--out", out];
        bench.run(&words).go().code(0);
    }
    let [cpu, cuda] = ["cpu.npz", "cuda.npz"].map(|name| bench.numbers(name, "embeddings"));
    assert!(cosine(&cpu, &cuda, 32) >= 0.9999);
}

/// Libraries that must be there before a program starts.
fn needed(program: &std::path::Path) -> Vec<String> {
    use object::Endianness;
    use object::elf::{DT_NEEDED, FileHeader64};
    use object::read::elf::{Dyn as _, FileHeader as _};
    let bytes = std::fs::read(program).unwrap();
    let data = &bytes[..];
    let header = FileHeader64::<Endianness>::parse(data).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, data).unwrap();
    let (entries, link) = sections.dynamic(endian, data).unwrap().unwrap();
    let strings = sections.strings(endian, data, link).unwrap();
    let names = entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED);
    names.map(|entry| String::from_utf8_lossy(entry.string(endian, strings).unwrap()).into_owned()).collect()
}

/// One program for machines with and without a GPU.
#[test]
fn the_program_starts_without_any_library_of_cuda() {
    let needed = needed(crate::tool::program());
    assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
    let cuda = |name: &&String| ["cu", "nv"].iter().any(|start| name.starts_with(&format!("lib{start}")));
    assert_eq!(needed.iter().find(cuda), None);
}
