//! Tables of sequences read as records.

use std::sync::Arc;

use crate::{InputError, Item, ReadOptions, RecordReader, SequenceColumns, Source};

fn columns(sequence: &[&str], id: &[&[&str]], must_be_named: bool) -> Arc<SequenceColumns> {
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let id = id.iter().map(|names| texts(names)).collect();
    Arc::new(SequenceColumns { sequence: texts(sequence), id, must_be_named })
}

fn plain() -> Arc<SequenceColumns> {
    columns(&["sequence"], &[&["id"]], false)
}

fn reader(name: &str, text: &str, columns: &Arc<SequenceColumns>) -> RecordReader {
    let source = Source::from_bytes(name, text.as_bytes()).as_table(columns);
    RecordReader::new(&[source], ReadOptions { max_residues: 8, ..ReadOptions::default() })
}

/// Line, id and residues of records, or why there are none.
fn told(name: &str, text: &str, columns: &Arc<SequenceColumns>) -> Vec<String> {
    let item = |item: Result<Item, InputError>| match item.unwrap() {
        Item::Record(of) => format!("{} {} {}", of.line, of.id, String::from_utf8_lossy(&of.residues)),
        Item::Failure(failure) => format!("{} {}: {}", failure.line, failure.id, failure.reason),
        Item::Duplicate(of) => format!("{} {} again", of.line, of.id),
    };
    reader(name, text, columns).map(item).collect()
}

fn error(name: &str, text: &str, columns: &Arc<SequenceColumns>) -> String {
    reader(name, text, columns).find_map(Result::err).unwrap().to_string()
}

#[test]
fn rows_are_records() {
    let text = "\u{feff}id,note,sequence\r\nsp|P1|X Y,\"a, b\",MKV\r\nb,,\"mk\r\nv-*\"\r\n\r\nc,,A\r\n";
    assert_eq!(told("t.csv", text, &plain()), ["2 sp|P1|X Y MKV", "3 b MKV", "6 c A"]);
    let fasta = RecordReader::new(&[Source::from_bytes("f", *b">a\nMKV\n>b\nAC\n")], ReadOptions::default());
    let [mut table, mut fasta] = [reader("t.tsv", "sequence\tid\nMKV\ta\nAC\tb\n", &plain()), fasta];
    assert!(table.by_ref().chain(fasta.by_ref()).all(|item| item.is_ok()));
    assert_eq!((table.input_hash(), table.totals()), (fasta.input_hash(), fasta.totals()));
}

#[test]
fn columns_are_those_that_are_there() {
    let text = "round\tname\tprotein\n1\ta\tMKV\n2\ta\tAC\n";
    let named = columns(&["sequence", "protein"], &[&["id"], &["round", "name"]], true);
    assert_eq!(told("t.tsv", text, &named), ["2 1/a MKV", "3 2/a AC"]);
    let nameless = columns(&["protein"], &[&["id"]], false);
    assert_eq!(told("t.tsv", text, &nameless), ["2 line2 MKV", "3 line3 AC"]);
    let strict = columns(&["protein"], &[&["id"]], true);
    assert_eq!(
        error("t.tsv", text, &strict),
        "t.tsv has no column 'id'; it has the columns round, name, protein"
    );
    assert!(error("t.tsv", text, &plain()).starts_with("t.tsv has no column 'sequence'"));
}

#[test]
fn a_bad_row_costs_itself_alone() {
    let text = "id,sequence\na,MKV\nb,MK1V\nc,\n,MKV\na,AC\na,mkv\nd,MK*V\ne,MKVLATMKV\nf,\"MK\nV*L\"\ng,W\n";
    let told = told("t.csv", text, &plain());
    let starts =
        ["2 a MKV", "3 b: ", "4 c: ", "5 ", "6 a: ", "7 a again", "8 d: ", "9 e: ", "10 f: ", "12 g W"];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told} {start}");
    }
    for (place, wanted) in
        [(1, "position 3"), (2, "no residues"), (6, "position 3"), (7, "9"), (8, "line 11")]
    {
        assert!(told[place].contains(wanted), "{} {wanted}", told[place]);
    }
}

#[test]
fn what_is_no_table_ends_the_reading() {
    let ragged = error("t.csv", "id,sequence\na,MKV\nb\n", &plain());
    assert!(ragged.contains("t.csv: line 3") && ragged.contains("found 1 cells, wanted 2"), "{ragged}");
    assert!(error("t.csv", "", &plain()).contains("t.csv: found nothing"));
    assert!(error("t.csv", "id,sequence\na,\"MKV\nb,AC\n", &plain()).contains("t.csv"));
    let cut = Source::from_bytes("t.csv.gz", *b"\x1f\x8b\x08\0\0\0\0\0").as_table(&plain());
    let cut = RecordReader::new(&[cut], ReadOptions::default()).next().unwrap();
    assert!(matches!(cut, Err(InputError::Damaged { .. })), "{cut:?}");
}
