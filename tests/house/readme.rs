//! What the README tells people to type is what CI runs, and what it points at is there.

use crate::tree::Tree;

const HEADING: &str = "## Two commands";

/// Lines of the first code block below a heading.
fn block<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let below =
        page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let inside =
        below.skip_while(|line| !line.starts_with("```")).skip(1).take_while(|line| !line.starts_with("```"));
    inside.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn commands(tree: &Tree) -> Vec<String> {
    let commands = block(tree.text("README.md"), HEADING);
    if commands.len() != 2 {
        return vec![format!("README.md: below {HEADING} found {} commands, wanted two", commands.len())];
    }
    let run = |command: &&&str| {
        tree.text(".ci/run")
            .lines()
            .any(|line| line.trim().strip_prefix("step ").is_some_and(|line| line == **command))
    };
    let mut breaches: Vec<String> = commands
        .iter()
        .filter(|command| !run(command))
        .map(|line| format!(".ci/run does not run `{line}`"))
        .collect();
    for (kind, part) in [("runs embed", "embed "), ("passes the tests", "cargo test ")] {
        if !commands.iter().any(|command| command.contains(part)) {
            breaches.push(format!("no command {kind}"));
        }
    }
    let inputs =
        commands.iter().flat_map(|command| command.split(' ')).filter(|word| word.starts_with("tests/"));
    let missing = |path: &&str| !tree.has(path) && tree.below(&format!("{path}/")).next().is_none();
    breaches.extend(inputs.filter(missing).map(|path| format!("README.md: {path} is not in the repository")));
    breaches
}

/// Links of the project's pages to files that are not there.
fn dead_links(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in tree.ending(".md") {
        let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let target = format!("{folder}{}", link.trim_end_matches('/'));
            let there = tree.has(&target) || tree.below(&format!("{target}/")).next().is_some();
            if !there && !link.is_empty() && !link.contains("://") {
                breaches.push(format!("{path}: {link} is not there"));
            }
        }
    }
    breaches
}

#[test]
fn ci_runs_the_two_commands() {
    crate::hold("commands of the README", &commands(&Tree::repository()));
}

#[test]
fn links_lead_somewhere() {
    crate::hold("links", &dead_links(&Tree::repository()));
}

#[test]
fn commands_bite() {
    let page = "## Two commands\n```sh\n# one\npliant embed tests/a.fasta\ncargo test --all\n```\n## Other\n```\nx\n```\n";
    let with =
        |run: &str| commands(&Tree::of(&[("README.md", page), (".ci/run", run), ("tests/a.fasta", "")]));
    assert_eq!(with("step pliant embed tests/a.fasta\nstep cargo test --all\n"), Vec::<String>::new());
    assert_eq!(with("step pliant embed tests/a.fasta\n# step cargo test --all\n").len(), 1);
    assert_eq!(with("step pliant embed tests/a.fasta --x\nstep cargo test --all\n").len(), 1);
    let run = "step pliant embed tests/a.fasta\nstep cargo test --all\n";
    assert_eq!(commands(&Tree::of(&[("README.md", page), (".ci/run", run)])).len(), 1);
    assert_eq!(commands(&Tree::of(&[("README.md", "## Two commands\n")])).len(), 1);
}

#[test]
fn links_bite() {
    let files = [
        ("README.md", "[a](kernels/README.md) [b](gone.md) [c](https://x.org/y) [d](tests/) [e](#top)"),
        ("kernels/README.md", "[a](src/lib.rs#L3) [b](../README.md)"),
        ("kernels/src/lib.rs", ""),
        ("tests/x", ""),
    ];
    assert_eq!(
        dead_links(&Tree::of(&files)),
        ["README.md: gone.md is not there", "kernels/README.md: ../README.md is not there"]
    );
}
