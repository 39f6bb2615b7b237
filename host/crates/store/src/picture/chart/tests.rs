//! Charts read back.

use super::*;
use crate::picture::tests::pixels;

fn line(pen: Pen, points: &[(f64, f64)]) -> Line {
    Line { pen, points: points.to_vec() }
}

fn drawn(format: PictureFormat, chart: &Chart<'_>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    draw_chart(&path, format, chart).unwrap().commit().unwrap();
    std::fs::read(path).unwrap()
}

/// Two lines that cross, one dashed with a gap, in a panel of their own and a second panel.
fn with_example<T>(look: impl FnOnce(&Chart<'_>) -> T) -> T {
    let rising = line(Pen::of(0, 0), &[(0.0, 1.0), (100.0, 3.0)]);
    let falling =
        line(Pen::of(1, 1), &[(0.0, 3.0), (40.0, 2.2), (50.0, f64::NAN), (60.0, 1.8), (100.0, 1.0)]);
    let (above, below) = ([rising, falling], [line(Pen::of(2, 0), &[(50.0, 1e-4)])]);
    let panels = [
        Panel { label: "loss", scale: Scale::Linear, lines: &above },
        Panel { label: "rate", scale: Scale::Log, lines: &below },
    ];
    let legend = [Key { name: "a <run>", pen: Pen::of(0, 0) }, Key { name: "other", pen: Pen::of(1, 1) }];
    look(&Chart { title: "two & two", across: "steps", legend: &legend, panels: &panels })
}

#[test]
fn a_line_is_where_its_numbers_are() {
    let bytes = with_example(|chart| drawn(PictureFormat::Png, chart));
    let sketch = with_example(|chart| layout::Sketch::of(chart).unwrap());
    let (pixels, width) = pixels(&bytes);
    assert_eq!((width, pixels.len()), (sketch.width, sketch.width * sketch.height));
    let area = sketch.panels[0];
    // The middle number of the panel is 2, half way across: both lines would meet there, but one has a gap.
    let at = |x: usize, y: usize| pixels[(area.y + y) * width + area.x + x];
    let middle = at(area.width / 2, area.height / 2);
    assert!(middle[2] > middle[0] + 100, "blue crosses the middle: {middle:?}");
    let rows = |x: usize| (0..area.height).filter(move |&y| at(x, y)[0] < 80).collect::<Vec<_>>();
    let (early, late) = (rows(area.width / 5), rows(area.width * 4 / 5));
    assert!(early.iter().min() > late.iter().max(), "blue rises: {early:?} {late:?}");
    // Room above and below.
    assert!(rows(1)[0] < area.height - 8 && rows(area.width - 2)[0] > 8);
}

#[test]
fn an_svg_has_lines_and_searchable_text() {
    let text = String::from_utf8(with_example(|chart| drawn(PictureFormat::Svg, chart))).unwrap();
    for wanted in [
        "<title>two &amp; two</title>",
        ">a &lt;run&gt;</text>",
        ">steps</text>",
        ">rate</text>",
        "stroke-dasharray=\"7,4\"",
        "<circle ",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    // Two samples of the legend, one line, and one in two pieces; a single point is a dot.
    assert_eq!(text.matches("<polyline").count(), 5);
    let (open, closed) = (text.matches('<').count(), text.matches("</").count());
    assert_eq!(open, 2 * closed + text.matches("/>").count());
}

#[test]
fn long_lines_are_small_files_and_keep_their_peaks() {
    let peak = 123_457;
    let height = |place: usize| if place == peak { 9.0 } else { (place % 7) as f64 / 7.0 };
    let points: Vec<(f64, f64)> = (0..300_000).map(|place| (place as f64, height(place))).collect();
    let lines = [line(Pen::of(0, 0), &points)];
    let panels = [Panel { label: "y", scale: Scale::Linear, lines: &lines }];
    let chart = Chart { title: "", across: "x", legend: &[], panels: &panels };
    for format in PictureFormat::ALL {
        let bytes = drawn(format, &chart);
        assert!(bytes.len() < 100_000, "{format:?}: {}", bytes.len());
        assert_eq!(bytes, drawn(format, &chart));
    }
    let sketch = layout::Sketch::of(&chart).unwrap();
    let highest = sketch.strokes[0].points.iter().map(|(_, y)| *y).fold(f64::MAX, f64::min);
    let area = sketch.panels[0];
    assert!(highest < area.y as f64 + 0.05 * area.height as f64, "{highest}");
}

#[test]
fn charts_without_points_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.svg");
    for (scale, points) in [(Scale::Linear, vec![]), (Scale::Log, vec![(1.0, 0.0)])] {
        let lines = [line(Pen::of(0, 0), &points)];
        let panels = [Panel { label: "y", scale, lines: &lines }];
        let chart = Chart { title: "", across: "x", legend: &[], panels: &panels };
        assert!(matches!(draw_chart(&path, PictureFormat::Svg, &chart), Err(StoreError::Plan { .. })));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
