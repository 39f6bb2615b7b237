//! Help and version.

use crate::snapshot::{check, told};
use crate::tool::Run;

#[test]
fn help_is_as_it_was_read_last() {
    let cases: [(&str, &[&str]); 45] = [
        ("help", &["--help"]),
        ("help_embed", &["embed", "--help"]),
        ("help_logits", &["logits", "--help"]),
        ("help_perplexity", &["perplexity", "--help"]),
        ("help_evaluate", &["evaluate", "--help"]),
        ("help_predict", &["predict", "--help"]),
        ("help_screen", &["screen", "--help"]),
        ("help_variants", &["variants", "--help"]),
        ("help_contacts", &["contacts", "--help"]),
        ("help_align", &["align", "--help"]),
        ("help_finetune", &["finetune", "--help"]),
        ("help_pretrain", &["pretrain", "--help"]),
        ("help_sweep", &["sweep", "--help"]),
        ("help_leakage", &["leakage", "--help"]),
        ("help_plot", &["plot", "--help"]),
        ("help_plugin", &["plugin", "--help"]),
        ("help_plugin_new", &["plugin", "new", "--help"]),
        ("help_plugin_check", &["plugin", "check", "--help"]),
        ("help_plugin_inspect", &["plugin", "inspect", "--help"]),
        ("help_plugin_run", &["plugin", "run", "--help"]),
        ("help_plugin_bench", &["plugin", "bench", "--help"]),
        ("help_split", &["split", "--help"]),
        ("help_gather", &["gather", "--help"]),
        ("help_model", &["model", "--help"]),
        ("help_model_pull", &["model", "pull", "--help"]),
        ("help_model_list", &["model", "list", "--help"]),
        ("help_model_inspect", &["model", "inspect", "--help"]),
        ("help_model_verify", &["model", "verify", "--help"]),
        ("help_model_new", &["model", "new", "--help"]),
        ("help_model_import", &["model", "import", "--help"]),
        ("help_model_export", &["model", "export", "--help"]),
        ("help_head", &["head", "--help"]),
        ("help_head_import", &["head", "import", "--help"]),
        ("help_adapter", &["adapter", "--help"]),
        ("help_adapter_inspect", &["adapter", "inspect", "--help"]),
        ("help_adapter_merge", &["adapter", "merge", "--help"]),
        ("help_adapter_import", &["adapter", "import", "--help"]),
        ("help_cache", &["cache", "--help"]),
        ("help_cache_stats", &["cache", "stats", "--help"]),
        ("help_cache_verify", &["cache", "verify", "--help"]),
        ("help_cache_merge", &["cache", "merge", "--help"]),
        ("help_cache_gc", &["cache", "gc", "--help"]),
        ("help_kernels", &["kernels", "--help"]),
        ("help_kernels_build", &["kernels", "build", "--help"]),
        ("help_doctor", &["doctor", "--help"]),
    ];
    for (name, words) in cases {
        let ended = Run::new(words).env("COLUMNS", "100").go().code(0);
        assert_eq!(ended.stderr, "");
        check(name, &told(&ended));
    }
}

#[test]
fn help_does_not_depend_on_the_environment() {
    let words = ["embed", "--help"];
    let plain = Run::new(&words).env("COLUMNS", "100").go();
    let set =
        Run::new(&words).env("COLUMNS", "100").env("PLIANT_MODEL", "/secret").env("PLIANT_THREADS", "7").go();
    assert_eq!(plain.text(), set.text());
}

#[test]
fn the_version_is_one_line() {
    let ended = Run::new(&["--version"]).go().code(0);
    assert_eq!(ended.text(), format!("pliant {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_words_it_explains_itself_and_fails() {
    let none: [&str; 0] = [];
    let ended = Run::new(&none).go().code(2);
    assert_eq!(ended.text(), "");
    assert!(ended.stderr.contains("Usage: pliant"), "{}", ended.stderr);
}
