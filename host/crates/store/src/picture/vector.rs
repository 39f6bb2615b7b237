//! A heat map as SVG 1.1, which browsers, Inkscape and LaTeX's converters read.

use std::fmt::Write;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::parts::{Anchor, Area, LETTER, Text};
use super::raster;
use super::scene::Scene;

/// The scene as an SVG file.
///
/// # Errors
/// A picture larger than its embedded image may be.
pub(super) fn svg(scene: &Scene) -> io::Result<String> {
    let cells = STANDARD.encode(raster::cells(scene)?);
    write(scene, &cells).map_err(io::Error::other)
}

fn write(scene: &Scene, cells: &str) -> Result<String, std::fmt::Error> {
    let mut svg = String::new();
    begin(&mut svg, (scene.width, scene.height), &scene.title)?;
    gradient(&mut svg, scene)?;
    let Area { x, y, width, height } = scene.plot;
    writeln!(
        svg,
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
         style=\"image-rendering:pixelated\" xlink:href=\"data:image/png;base64,{cells}\"/>"
    )?;
    for (area, fill) in [(scene.plot, "none"), (scene.bar, "url(#shades)")] {
        let Area { x, y, width, height } = area;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" stroke=\"#000000\"/>"
        )?;
    }
    for Area { x, y, width, height } in scene.marks.iter().chain(&scene.ticks) {
        writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>")?;
    }
    end(&mut svg, &scene.texts)?;
    Ok(svg)
}

/// The first lines of an SVG file: its size, its title and a white ground.
pub(super) fn begin(svg: &mut String, (width, height): (usize, usize), title: &str) -> std::fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    )?;
    writeln!(svg, "<title>{}</title>", escaped(title))?;
    writeln!(svg, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>")
}

/// Its last lines: all text.
pub(super) fn end(svg: &mut String, texts: &[Text]) -> std::fmt::Result {
    writeln!(svg, "<g font-family=\"monospace\" font-size=\"{}\">", LETTER + 4)?;
    texts.iter().try_for_each(|text| write_text(svg, text))?;
    svg.push_str("</g>\n</svg>\n");
    Ok(())
}

/// The colours of the bar, from below.
fn gradient(svg: &mut String, scene: &Scene) -> std::fmt::Result {
    let stops = scene.shades.stops();
    svg.push_str("<defs><linearGradient id=\"shades\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">\n");
    for (place, [red, green, blue]) in stops.iter().enumerate() {
        let offset = place as f32 / (stops.len() - 1) as f32;
        writeln!(svg, "<stop offset=\"{offset}\" stop-color=\"#{red:02x}{green:02x}{blue:02x}\"/>")?;
    }
    svg.push_str("</linearGradient></defs>\n");
    Ok(())
}

fn write_text(svg: &mut String, text: &Text) -> std::fmt::Result {
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    // The base of the letters, which not every program can find from their middle.
    let (x, base) = if text.turned { (text.x + LETTER / 2, text.y) } else { (text.x, text.y + LETTER / 2) };
    let turn = if text.turned { format!(" transform=\"rotate(-90 {x} {base})\"") } else { String::new() };
    let words = escaped(&text.text);
    writeln!(svg, "<text x=\"{x}\" y=\"{base}\" text-anchor=\"{anchor}\"{turn}>{words}</text>")
}

/// Text for XML; characters that it does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
