//! Proteins and pairs as a graph in GraphML, which Cytoscape, Gephi and igraph read.

use std::path::Path;

use pliant_store::{Access, AtomicFile, OutputSet};

use super::Report;
use super::lines::write as put;
use super::table::{Value, names, numbers};
use crate::screen::answer::Answer;

pub(super) fn write(out: &Path, report: &Report<'_>, answer: &Answer) -> anyhow::Result<OutputSet> {
    let mut file = AtomicFile::create(out, Access::Stream)?;
    let mut text = |text: &str| put(&mut file, out, text);
    text(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
    )?;
    let key = |name: &str, of: &str, kind: &str| {
        format!("  <key id=\"{name}\" for=\"{of}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>\n")
    };
    if report.proteins.lengths.is_some() {
        text(&key("length", "node", "long"))?;
    }
    if report.proteins.identities.is_some() {
        text(&key("identity", "node", "double"))?;
    }
    // What a protein has is told once, with the protein.
    let is_of_pair = |name: &str| !name.starts_with("length") && !name.starts_with("identity");
    let names = names(report);
    for (name, is_count) in names.iter().filter(|(name, _)| is_of_pair(name)) {
        text(&key(name, "edge", if *is_count { "long" } else { "double" }))?;
    }
    text(&key("flags", "edge", "string"))?;
    text("  <graph id=\"screen\" edgedefault=\"undirected\">\n")?;
    let mut is_there = vec![false; report.proteins.ids.len()];
    for row in answer.rows() {
        [row.edge.first, row.edge.second].iter().for_each(|&number| is_there[number as usize] = true);
    }
    for number in (0..is_there.len() as u32).filter(|&number| is_there[number as usize]) {
        text(&format!("    <node id=\"{}\">", escaped(report.id(number))))?;
        if let Some(length) = report.length(number) {
            text(&format!("<data key=\"length\">{length}</data>"))?;
        }
        if let Some(identity) = report.identity(number) {
            text(&format!("<data key=\"identity\">{identity}</data>"))?;
        }
        text("</node>\n")?;
    }
    for row in answer.rows() {
        let [source, target] = [row.edge.first, row.edge.second].map(|number| escaped(report.id(number)));
        text(&format!("    <edge source=\"{source}\" target=\"{target}\">"))?;
        for ((name, _), value) in names.iter().zip(numbers(report, &row)) {
            match value {
                _ if !is_of_pair(name) => {}
                // What has no value is left out.
                Value::Number(number) if !number.is_finite() => {}
                Value::Number(number) => text(&format!("<data key=\"{name}\">{number}</data>"))?,
                Value::Count(count) => text(&format!("<data key=\"{name}\">{count}</data>"))?,
            }
        }
        let flags = report.flags(&row);
        if !flags.is_empty() {
            text(&format!("<data key=\"flags\">{flags}</data>"))?;
        }
        text("</edge>\n")?;
    }
    text("  </graph>\n</graphml>\n")?;
    Ok(OutputSet::from(vec![file]))
}

/// Text between quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
