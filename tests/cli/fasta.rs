//! The edge cases of FASTA, through `embed`.

use crate::tool::{Ended, Scratch};

/// What is wanted of a text: the ids that have a result, or the reason of the only failure.
enum Wanted {
    Ids(&'static [&'static str]),
    Failure(&'static str),
}

use Wanted::{Failure, Ids};

fn embed(text: &[u8], more: &[&str]) -> (Scratch, Ended) {
    let scratch = Scratch::new();
    scratch.write("in.fasta", text);
    let ended = scratch.embed(more);
    (scratch, ended)
}

#[test]
fn every_shape_of_text_is_read_or_refused_for_its_reason() {
    let cases: [(&str, &[u8], Wanted); 19] = [
        ("CRLF", b">a x\r\nMK\r\nV\r\n>b\r\nAC\r\n", Ids(&["a", "b"])),
        ("old Mac line ends", b">a\rMKV\r>b\rAC\r", Ids(&["a", "b"])),
        ("byte order mark", b"\xef\xbb\xbf>a\nMKV\n", Ids(&["a"])),
        ("lower case", b">a\nmkv\n", Ids(&["a"])),
        ("final stop", b">a\nMKV*\n", Ids(&["a"])),
        ("stop inside", b">a\nMK*V\n", Failure("stop '*' inside the sequence, at position 3 (line 2)")),
        ("gaps", b">a\n-M.K-V\n", Ids(&["a"])),
        ("gaps alone", b">a\n---\n", Failure("no residues")),
        ("rare letters", b">a\nMUOBZJXV\n", Ids(&["a"])),
        ("digit", b">a\nMK7V\n", Failure("found '7' at position 3 of the sequence (line 2)")),
        ("empty record", b">a\n\n", Failure("no residues")),
        ("no final newline", b">a\nMKV", Ids(&["a"])),
        ("blank lines and blanks", b"\n\n>a\n M K\tV \n\n\n>b\nAC\n\n", Ids(&["a", "b"])),
        ("comments", b"; hello\n>a\nMK\n;inside\nV\n", Ids(&["a"])),
        ("header alone", b">\nMKV\n", Failure("no id")),
        ("pipes in ids", b">sp|P0A7G6|RECA_ECOLI RecA\nMKV\n", Ids(&["sp|P0A7G6|RECA_ECOLI"])),
        ("no text id", b">a\xff\nMKV\n", Failure("not UTF-8")),
        ("control character in id", b">a\x01b\nMKV\n", Failure("control character 0x01")),
        ("id of another script", ">β-lactamase x\nMKV\n".as_bytes(), Ids(&["β-lactamase"])),
    ];
    for (name, text, wanted) in cases {
        let (scratch, ended) = embed(text, &[]);
        match wanted {
            Ids(ids) => {
                assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
                assert_eq!(scratch.npz("out.npz").ids, ids, "{name}");
            }
            Failure(reason) => {
                assert_eq!(ended.code, Some(65), "{name}: {}", ended.stderr);
                assert!(ended.stderr.contains(reason), "{name}: {}", ended.stderr);
                let list = scratch.text("out.npz.failures.tsv");
                assert!(list.lines().nth(1).is_some_and(|line| line.contains(reason)), "{name}: {list}");
            }
        }
    }
}

#[test]
fn spelling_does_not_change_a_result() {
    let plain = embed(b">a\nMKVLATG\n>b\nACDEFW\n", &[]).0.read("out.npz");
    for text in [
        &b">a\r\nMKVLATG\r\n>b\r\nACDEFW"[..],
        b"\xef\xbb\xbf>a other text\nmkvlatg\n>b\nACDEFW*\n",
        b";\n>a\nMK-VLA\n.TG\n\n>b\nAC DE FW\n>a again\nMKVLATG\n",
    ] {
        let (scratch, ended) = embed(text, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(scratch.read("out.npz"), plain, "{:?}", String::from_utf8_lossy(text));
    }
    assert_ne!(embed(b">a\nMKVLATG\n>b\nACDEFY\n", &[]).0.read("out.npz"), plain);
    assert_ne!(embed(b">a\nMKVLATG\n>c\nACDEFW\n", &[]).0.read("out.npz"), plain);
}

#[test]
fn a_repeated_record_is_written_once_and_counted() {
    let (scratch, ended) = embed(
        b">a\nMKV\n>b\nACD\n>a two\nmkv*\n>a three\nMKV\n",
        &["--summary", "s.json", "--on-error", "skip"],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning: 2 records repeat"), "{}", ended.stderr);
    assert_eq!(scratch.npz("out.npz").ids, ["a", "b"]);
    let summary: serde_json::Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
    assert_eq!((&summary["duplicates"], &summary["records"]), (&2.into(), &2.into()));
    assert_eq!((&summary["headers"], &summary["failures"]), (&4.into(), &0.into()));
}

#[test]
fn an_id_with_two_sequences_names_both_lines() {
    let (scratch, ended) = embed(b">a\nMKV\n>b\nACD\n>a\nMKW\n", &["--on-error", "skip"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(scratch.npz("out.npz").ids, ["a", "b"]);
    let list = scratch.text("out.npz.failures.tsv");
    let wanted =
        "in.fasta\t5\t3\ta\tthe id at in.fasta line 5 already stands for another sequence at in.fasta line 1";
    assert!(list.lines().nth(1).is_some_and(|line| line.starts_with(wanted)), "{list}");
}

#[test]
fn skipped_records_are_listed_and_the_run_succeeds() {
    let (scratch, ended) = embed(b">a\nMK7\n>b\nACD\n>c\n>d\nMK*V\n", &["--on-error", "skip"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(scratch.npz("out.npz").ids, ["b"]);
    let list = scratch.text("out.npz.failures.tsv");
    let heads: Vec<String> =
        list.lines().map(|line| line.split('\t').take(4).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(heads, ["file line record id", "in.fasta 1 1 a", "in.fasta 5 3 c", "in.fasta 6 4 d"]);
}

#[test]
fn an_old_list_of_failures_is_not_left_beside_a_new_result() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMK7\n");
    scratch.embed(&[]).code(65);
    assert_eq!(scratch.text("out.npz.failures.tsv").lines().count(), 2);
    scratch.write("in.fasta", ">a\nMKV\n");
    scratch.embed(&[]).code(0);
    assert_eq!(scratch.text("out.npz.failures.tsv").lines().count(), 1);
}

#[test]
fn ids_are_what_was_asked_for() {
    let text = b">sp|P0A7G6|RECA_ECOLI RecA protein\nMKV\n>plain text\nACD\n";
    for (part, ids) in [
        ("word", ["sp|P0A7G6|RECA_ECOLI", "plain"]),
        ("uniprot", ["P0A7G6", "plain"]),
        ("full", ["sp|P0A7G6|RECA_ECOLI RecA protein", "plain text"]),
    ] {
        let (scratch, ended) = embed(text, &["--id", part]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(scratch.npz("out.npz").ids, ids);
    }
    let (_, ended) = embed(format!(">{}\nMKV\n", "i".repeat(1025)).as_bytes(), &[]);
    assert_eq!(ended.code, Some(65));
    assert!(ended.stderr.contains("longer than 1024 bytes"), "{}", ended.stderr);
}

#[test]
fn letters_without_a_token_are_warned_of() {
    let (_, ended) = embed(b">a\nMJJV\n", &[]);
    let wanted = "warning: the model does not know the letter J: 2 residues computed as unknown";
    assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    let (_, ended) = embed(b">a\nMUOBZXV\n", &[]);
    assert!(!ended.stderr.contains("does not know"), "{}", ended.stderr);
}

#[test]
fn seventy_megabytes_on_one_line_are_refused_for_their_length() {
    let mut text = b">long\n".to_vec();
    text.resize(text.len() + 70_000_000, b'A');
    text.push(b'\n');
    let start = std::time::Instant::now();
    let (_, ended) = embed(&text, &[]);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(ended.code, Some(65));
    assert!(
        ended.stderr.contains("has 70000000 residues, more than --max-residues 65536"),
        "{}",
        ended.stderr
    );
    assert!(seconds < 5.0, "{seconds} s");
}

#[test]
fn the_limit_on_residues_can_be_set() {
    let (_, ended) = embed(b">a\nMKVLA\n", &["--max-residues", "4"]);
    assert_eq!(ended.code, Some(65));
    assert!(ended.stderr.contains("more than --max-residues 4"), "{}", ended.stderr);
    let (_, ended) = embed(b">a\nMKVLA\n", &["--max-residues", "5"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
