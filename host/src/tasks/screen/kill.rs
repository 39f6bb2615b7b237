//! Moments at which a screen may be killed before its pairs are scored, as [`crate::screen`] has them afterwards.

/// Passes one of the moments.
#[cfg(not(test))]
pub(super) fn point(_name: &'static str) {}

/// Every moment, in the order of a screen.
#[cfg(test)]
const POINTS: [&str; 2] = ["numbers: written", "numbers: named"];

/// Ends the process, as SIGKILL does, where a test asked for this moment.
#[cfg(test)]
pub(super) fn point(name: &'static str) {
    crate::kill::pass(&POINTS, name);
}

#[cfg(test)]
mod tests {
    //! Screens with heads that users bring, killed at every moment.

    use std::fmt::Write as _;
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitStatus, Stdio};

    use pliant_kernels::rng::Philox;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::POINTS;
    use crate::cli;
    use crate::exit::Outcome;
    use crate::kill::KILL_AT;
    use crate::screen::KILL_POINTS;

    /// The words of a command, a line each.
    const WORDS: &str = "PLIANT_TEST_KILL_WORDS";

    /// Proteins of both lists: three units of work, and few pairs.
    const PROTEINS: usize = 1027;

    const SECOND: usize = 2;

    /// A command, in a process of its own that is told where to end. Without being told it is no test.
    #[test]
    fn works_until_it_is_killed() {
        let Ok(words) = std::env::var(WORDS) else { return };
        let words = std::iter::once("pliant").chain(words.lines()).map(Into::into);
        let (settings, command) = cli::parse(words).unwrap();
        assert_eq!(crate::run(&settings, command), Outcome::Done);
    }

    struct Work {
        folder: TempDir,
    }

    impl Work {
        /// A tiny model, proteins in two lists, and labelled pairs of some.
        fn new() -> Self {
            let work = Self { folder: tempfile::tempdir().unwrap() };
            let random = Philox::new(3, 9, 0);
            let letter =
                |place: u64| b"ACDEFGHIKLMNPQRSTVWY"[(random.uniform(place) * 19.99) as usize] as char;
            let (mut lists, mut pairs) = ([String::new(), String::new()], "id_a\tid_b\tlabel\n".to_owned());
            for protein in 0..PROTEINS {
                let residues: String =
                    (0..8 + protein % 7).map(|place| letter((protein * 32 + place) as u64)).collect();
                let list = usize::from(protein >= PROTEINS - SECOND);
                let _ = write!(lists[list], ">p{protein}\n{residues}\n");
            }
            for pair in 0..40 {
                let _ = writeln!(pairs, "p{pair}\tp{}\t{}", pair + 40, u8::from(pair % 3 == 0));
            }
            for (name, text) in [("a.fasta", &lists[0]), ("b.fasta", &lists[1]), ("pairs.tsv", &pairs)] {
                fs::write(work.path(name), text).unwrap();
            }
            let config =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models/esm2_tiny_random.config.json");
            assert!(
                work.go(&["model", "new", "--config", config, "--seed", "2", "--out", "tiny"], None)
                    .success()
            );
            work
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn go(&self, words: &[&str], kill_at: Option<&str>) -> ExitStatus {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "tasks::screen::kill::tests::works_until_it_is_killed", "--quiet"]);
            command.current_dir(self.folder.path()).env(WORDS, words.join("\n"));
            // This program has no command to try files out with.
            command.env("PLIANT_INNER", "1").env("XDG_CACHE_HOME", self.path("cache"));
            if let Some(point) = kill_at {
                command.env(KILL_AT, point);
            }
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
        }

        fn screen(&self, head: &Path, keeps: &[&str], kill_at: Option<&str>) -> ExitStatus {
            let head = head.to_str().unwrap();
            let words = ["screen", "a.fasta", "b.fasta", "--model", "tiny", "--threads", "2", "--head", head];
            let out = ["--out", "out.tsv", "--summary", "out.json"];
            self.go(&[&words[..], keeps, &out].concat(), kill_at)
        }

        fn summary(&self) -> Value {
            serde_json::from_slice(&fs::read(self.path("out.json")).unwrap()).unwrap()
        }

        /// What a screen leaves that nobody disturbs.
        fn whole(&self, head: &Path, keeps: &[&str]) -> Vec<u8> {
            assert!(self.screen(head, keeps, None).success());
            let summary = self.summary();
            assert_eq!((&summary["blocks"], &summary["blocks_resumed"]), (&3.into(), &0.into()));
            assert_eq!((&summary["pairs_scored"], &summary["proteins_resumed"]), (&2050.into(), &0.into()));
            let out = fs::read(self.path("out.tsv")).unwrap();
            assert!(out.iter().filter(|byte| **byte == b'\n').count() > 100);
            fs::remove_file(self.path("out.tsv")).unwrap();
            out
        }

        /// Kills screens at every moment, lets each go on, and compares.
        fn killed_everywhere(&self, head: &Path, keeps: &[&str]) {
            let wanted = self.whole(head, keeps);
            for (index, point) in POINTS.into_iter().chain(KILL_POINTS).enumerate() {
                // What happens once for each unit may end the second.
                let is_of_unit = point.starts_with("unit") || point.starts_with("checkpoint");
                let times = if is_of_unit && point != KILL_POINTS[0] { index % 2 } else { 0 };
                let status = self.screen(head, keeps, Some(&format!("{point}#{times}")));
                assert_eq!(status.signal(), Some(9), "{point} {times}");
                assert!(self.screen(head, keeps, None).success(), "{point}");
                assert!(fs::read(self.path("out.tsv")).unwrap() == wanted, "{point}: other bytes");
                assert!(!self.path("out.tsv.screen").exists(), "{point}");
                let (units, proteins) = match point {
                    "numbers: written" => (0, 0),
                    "numbers: named" | "checkpoint: begun" => (0, PROTEINS),
                    "checkpoint: named" => (times + 1, PROTEINS),
                    "answer: written" | "answer: named" => (3, PROTEINS),
                    _ => (times, PROTEINS),
                };
                let summary = self.summary();
                assert_eq!(summary["proteins_resumed"], proteins, "{point}");
                assert_eq!(
                    (&summary["blocks"], &summary["blocks_resumed"]),
                    (&3.into(), &units.into()),
                    "{point}"
                );
                assert_eq!(summary["pairs_scored"], 2050, "{point}");
                assert_eq!(summary["pairs_resumed"], [0, 1024, 2048, 2050][units], "{point}");
                fs::remove_file(self.path("out.tsv")).unwrap();
            }
        }
    }

    #[test]
    fn a_plugin_goes_on_from_every_moment() {
        let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cosine_head/plugin.toml");
        Work::new().killed_everywhere(&plugin, &["--top-k", "2"]);
    }

    #[test]
    fn an_onnx_file_goes_on_from_every_moment() {
        let work = Work::new();
        let words = ["finetune", "--task", "pair", "--train", "pairs.tsv", "--sequences", "a.fasta"];
        let more = ["--model", "tiny", "--classes", "0,1", "--valid-fraction", "0.3", "--out", "head"];
        let head = ["--set", "head.hidden=4", "--set", "run.epochs=1"];
        assert!(work.go(&[&words[..], &more, &head].concat(), None).success());
        assert!(work.go(&["model", "export", "head", "--onnx", "--out", "head_onnx"], None).success());
        // Pairs are kept, and not partners.
        work.killed_everywhere(&work.path("head_onnx/head.onnx"), &["--min-logit", "-100"]);
    }
}
