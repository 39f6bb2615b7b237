//! Rust text without its comments and literals, so that rules see words of code alone.

/// The text with comments and the insides of literals blanked; lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut output = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let end = at + skipped(&text, at);
        if end == at {
            output.push(text[at]);
            at += 1;
        } else {
            output.extend(text[at..end].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    output
}

/// The code that ships: without the `mod tests` that closes a file.
pub(crate) fn shipped(path: &str, text: &str) -> String {
    let test_file = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    let code = code(text);
    match code.find("#[cfg(test)]\nmod tests {") {
        _ if test_file => String::new(),
        Some(tests) => code[..tests].to_owned(),
        None => code,
    }
}

/// Numbers of the lines, from 1, that hold `word` as a whole word right before `then`.
pub(crate) fn lines_with(code: &str, word: &str, then: &str) -> Vec<usize> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let holds = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let after = &line[at + word.len()..];
            !line[..at].ends_with(is_name) && !after.starts_with(is_name) && after.starts_with(then)
        })
    };
    code.lines().enumerate().filter(|(_, line)| holds(line)).map(|(number, _)| number + 1).collect()
}

/// Length of the comment or literal that starts here; 0 where none does.
fn skipped(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1).copied().unwrap_or(' ');
    match text[at] {
        '/' if next == '/' => text[at..].iter().take_while(|letter| **letter != '\n').count(),
        '/' if next == '*' => block_comment(&text[at..]),
        '"' => string(&text[at..]),
        'r' if !in_name(text, at) => raw_string(&text[at..]),
        '\'' if next == '\\' => 2 + until(&text[at + 2..], 1, '\''),
        '\'' if text.get(at + 2) == Some(&'\'') => 3,
        _ => 0,
    }
}

fn in_name(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map_or(' ', |before| text[before]);
    (before.is_alphanumeric() || before == '_') && before != 'b'
}

/// Letters up to and with the first `end` at or after `from`.
fn until(text: &[char], from: usize, end: char) -> usize {
    let found = text.iter().skip(from).position(|letter| *letter == end);
    found.map_or(text.len(), |found| from + found + 1)
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|letter| **letter == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = hashes + 2;
    while at < text.len() {
        let closes =
            text[at] == '"' && text[at + 1..].iter().take(hashes).filter(|l| **l == '#').count() == hashes;
        at += 1;
        if closes {
            return (at + hashes).min(text.len());
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_kept() {
    let text = "a /* unsafe /* b */ unsafe */ c // unsafe\nlet s = \"unsafe \\\" unsafe\"; let r = r#\"unsafe \" unsafe\"#;\n\
                let c = '\"'; let q = '\\''; fn f<'a>(x: &'a str) { unsafe {} }\n";
    let code = code(text);
    assert_eq!(lines_with(&code, "unsafe", ""), [3], "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.contains("fn f<'a>(x: &'a str)"), "{code}");
}

#[test]
fn words_are_whole() {
    assert_eq!(lines_with("unsafe_code\nmy_print!()\nprint!()\nprint ()", "print", "!"), [3]);
    assert!(lines_with("unsafe_code", "unsafe", "").is_empty());
}

#[test]
fn tests_do_not_ship() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { println!() }\n}\n";
    assert!(!shipped("host/src/x.rs", text).contains("println"));
    assert!(shipped("host/src/x.rs", text).contains("fn a"));
    assert!(shipped("host/src/tests/x.rs", text).is_empty());
}
