//! `pliant plot`: logs of training as pictures.

use std::fs;

use crate::errors::case_in;
use crate::tool::{Ended, Scratch};

/// A log of a run: losses that fall from `start`, and held-out ones every ten steps.
fn log(start: f64, steps: u32) -> String {
    let mut text = String::new();
    for step in 1..=steps {
        let (tokens, loss) = (step * 4096, start / f64::from(step) + 2.0);
        text += &format!(
            "{{\"kind\": \"train\", \"step\": {step}, \"tokens\": {tokens}, \"seconds\": {step}.5, \"loss\": {loss}, \
             \"learning_rate\": 4e-4}}\n"
        );
        if step % 10 == 0 {
            text += &format!(
                "{{\"kind\": \"held_out\", \"step\": {step}, \"tokens\": {tokens}, \"seconds\": {step}.5, \
                 \"held_out_loss\": {loss}}}\n"
            );
        }
    }
    text
}

/// Two folders of runs and a log alone.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    for (name, start) in [("small", 1.0), ("large", 0.5)] {
        fs::create_dir(scratch.path(name)).unwrap();
        scratch.write(&format!("{name}/log.jsonl"), log(start, 40));
    }
    scratch.write("alone.jsonl", log(2.0, 40));
    scratch
}

fn plot(scratch: &Scratch, words: &[&str]) -> Ended {
    scratch.run(&[&["plot"], words].concat()).go().code(0)
}

#[test]
fn runs_and_what_is_drawn_of_them_are_named() {
    let scratch = scratch();
    let words = [
        "small",
        "large",
        "alone.jsonl",
        "--out",
        "o.svg",
        "--x",
        "tokens",
        "--smooth",
        "5",
        "--title",
        "A < B",
    ];
    let ended = plot(&scratch, &words);
    assert_eq!((ended.text().as_str(), ended.stderr.as_str()), ("", ""));
    let text = scratch.text("o.svg");
    for wanted in
        ["small", "large", "alone", "loss", "held_out_loss", "tokens", "A &lt; B", "loss, held out loss"]
    {
        assert!(text.contains(&format!(">{wanted}</text>")), "{wanted} is not in {text}");
    }
    // Three means over three pale lines of losses, three of held-out ones, and five samples of the legend.
    assert_eq!(text.matches("<polyline").count(), 14);
    assert_eq!(text.matches("stroke-dasharray").count(), 4);
    // One panel for each --y, one below the other.
    plot(&scratch, &["small", "--out", "o.svg", "--y", "loss", "--y", "learning_rate", "--log-y"]);
    let text = scratch.text("o.svg");
    assert!(text.contains(">loss</text>") && text.contains(">learning rate</text>"), "{text}");
    assert_eq!(text.matches("fill=\"none\" stroke=\"#000000\"").count(), 2);
}

#[test]
fn the_same_logs_give_the_same_bytes_everywhere() {
    let scratch = scratch();
    for (suffix, start) in [("svg", &b"<svg"[..]), ("png", b"\x89PNG")] {
        let out = format!("o.{suffix}");
        plot(&scratch, &["small", "large", "--out", &out]);
        let bytes = scratch.read(&out);
        assert!(bytes.starts_with(start));
        // As a stream, by the names of the files, and from elsewhere.
        let stream = plot(&scratch, &["small/log.jsonl", "large", "--out", "-", "--format", suffix]).stdout;
        assert_eq!(stream, bytes, "{suffix}");
        let paths = ["small", "large"].map(|name| scratch.path(name).to_str().unwrap().to_owned());
        let words =
            [&["plot"], &paths.each_ref().map(String::as_str)[..], &["--out", "-", "--format", suffix]];
        assert_eq!(Scratch::new().run(&words.concat()).go().code(0).stdout, bytes, "{suffix}");
    }
    let stream = plot(&scratch, &["small", "--out", "-"]).stdout;
    assert!(stream.starts_with(b"<svg"), "a stream without a format is SVG");
    let piped = scratch.run(&["plot", "-", "--out", "-"]).input(log(1.0, 40)).go().code(0).stdout;
    assert_eq!(piped, stream, "the one run of a picture needs no name");
}

#[test]
fn a_log_that_is_being_written_is_drawn_without_its_last_line() {
    let scratch = scratch();
    plot(&scratch, &["alone.jsonl", "--out", "whole.svg"]);
    scratch.write("alone.jsonl", log(2.0, 40) + "{\"kind\": \"train\", \"st");
    let ended = plot(&scratch, &["alone.jsonl", "--out", "cut.svg"]);
    assert!(ended.stderr.contains("warning: alone.jsonl:45 is not complete"), "{}", ended.stderr);
    assert_eq!(scratch.read("whole.svg"), scratch.read("cut.svg"));
}

#[test]
fn a_resumed_run_is_drawn_as_one_that_was_never_stopped() {
    let scratch = scratch();
    plot(&scratch, &["alone.jsonl", "--out", "whole.png"]);
    let lines: Vec<String> = log(2.0, 40).lines().map(|line| line.to_owned() + "\n").collect();
    // Killed after step 25, one of whose numbers was another; resumed from step 20.
    let killed = lines[..27].concat().replace(
        "\"step\": 24, \"tokens\": 98304, \"seconds\": 24.5",
        "\"step\": 24, \"tokens\": 98304, \"seconds\": 99.5",
    );
    scratch.write("alone.jsonl", killed + &lines[22..].concat());
    plot(&scratch, &["alone.jsonl", "--out", "resumed.png"]);
    assert_eq!(scratch.read("whole.png"), scratch.read("resumed.png"));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let scratch = scratch();
    scratch.write(
        "bad.jsonl",
        "{\"step\": 1, \"loss\": 3}\nloss 2.5\n{\"step\": 3, \"loss\": \"low\"}\n{\"loss\": 1}\n",
    );
    scratch.write("text.txt", "no log at all\n");
    let case = |name: &str, code: i32, words: &[&str]| {
        case_in(&scratch, name, code, &[&["plot"], words].concat(), &[])
    };
    case("plot_bad_lines", 65, &["small", "bad.jsonl", "--out", "o.svg"]);
    case("plot_no_log", 65, &["text.txt", "--out", "o.svg"]);
    case("plot_no_such_key", 2, &["small", "--out", "o.svg", "--y", "loss,accuracy"]);
    case("plot_missing", 66, &["none.jsonl", "--out", "o.svg"]);
    case("plot_unknown_format", 2, &["small", "--out", "o.pdf"]);
    case("plot_key_twice", 2, &["small", "--out", "o.svg", "--y", "loss,loss"]);
    case("plot_output_is_input", 2, &["alone.jsonl", "--out", "alone.jsonl", "--format", "svg"]);
    scratch.write("zero.jsonl", "{\"step\": 1, \"loss\": 0}\n");
    case("plot_nothing", 65, &["zero.jsonl", "--out", "o.svg", "--log-y"]);
    let far = "{\"step\": 1e308, \"loss\": 1e308}\n{\"step\": -1e308, \"loss\": -1e308}\n{\"step\": 0, \"loss\": 1e-320}\n";
    scratch.write("far.jsonl", far);
    for more in [&[][..], &["--log-y"]] {
        scratch.run(&[&["plot", "far.jsonl", "--out", "far.svg"], more].concat()).go().code(0);
        assert!(scratch.text("far.svg").ends_with("</svg>\n"));
    }
}
