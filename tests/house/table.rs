//! Tables of a Markdown page, which are the source of truth of several rules.

/// The rows, without their head, of the first table below a heading, as `## Crates`; backticks are dropped.
pub(crate) fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    table(page, heading).into_iter().skip(1).collect()
}

/// The head of the first table below a heading.
pub(crate) fn head(page: &str, heading: &str) -> Vec<String> {
    table(page, heading).into_iter().next().unwrap_or_default()
}

fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let below = page.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let section = below.take_while(|line| !line.starts_with("## "));
    let table = section.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let is_rule = |line: &&str| line.chars().all(|letter| "|-: ".contains(letter));
    table.filter(|line| !is_rule(line)).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect()
}

/// Names of a cell as `a, b`; a dash means none.
pub(crate) fn names(cell: &str) -> Vec<&str> {
    cell.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "–").collect()
}

#[test]
fn rows_are_those_below_the_heading() {
    let page =
        "## A\n| x |\n|---|\n| 1 |\n## B\ntext\n| op | cpu |\n|---|:--|\n| `linear` | yes |\n\n| other |\n";
    assert_eq!(rows(page, "## B"), [["linear", "yes"]]);
    assert_eq!(head(page, "## B"), ["op", "cpu"]);
    assert!(rows(page, "## C").is_empty());
}

#[test]
fn a_dash_is_no_name() {
    assert_eq!(names("a, b"), ["a", "b"]);
    assert!(names("–").is_empty() && names("").is_empty());
}
