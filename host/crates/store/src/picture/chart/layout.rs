//! Where everything of a chart stands.

use super::scale::{Mark, Range};
use super::{Chart, Key, Line, Panel, Pen, Scale};
use crate::picture::parts::{Anchor, Area, GAP, LETTER, TICK, Text, shortened};

/// Width of the panels.
const WIDTH: usize = 880;

/// Heights of the panels, by how many there are; the last for more.
const HEIGHTS: [usize; 3] = [480, 320, 240];

/// Distance of the numbers beside a vertical axis at least, and of those below the horizontal one.
const UP_EVERY: usize = 48;
const ACROSS_EVERY: usize = 88;

/// Length of the line before a name of the legend.
const SAMPLE: usize = 32;

/// Letters of a name in the legend at most.
const NAME_LETTERS: usize = 60;

/// Lines with at most this many points have a dot at each.
const DOTTED: usize = 48;

/// Colours that people who see no difference between red and green tell apart (Okabe and Ito 2008), but for its yellow,
/// which is hardly seen on white, and its black, which is that of the frame.
const COLOURS: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [110, 76, 30],
];

/// Strokes and the gaps behind them.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// A line that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stroke {
    pub(super) colour: [u8; 3],
    pub(super) width: f64,
    pub(super) dashes: &'static [f64],
    /// Whether each point has a dot.
    pub(super) dots: bool,
    /// At least one, joined in their order.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart before it has a format.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) title: String,
    pub(super) texts: Vec<Text>,
    /// Pale lines under everything, and black ones at the axes.
    pub(super) grid: Vec<Area>,
    pub(super) ticks: Vec<Area>,
    pub(super) panels: Vec<Area>,
    pub(super) strokes: Vec<Stroke>,
}

impl Sketch {
    /// Lays out a chart; none where a panel has no point with a place.
    pub(super) fn of(chart: &Chart<'_>) -> Option<Self> {
        let across = chart.panels.iter().flat_map(|panel| panel.lines).flat_map(|line| &line.points);
        let across = Range::of(Scale::Linear, across.map(|(x, _)| *x))?;
        let height = HEIGHTS[chart.panels.len().clamp(1, HEIGHTS.len()) - 1];
        let up = |panel: &Panel<'_>| {
            let points = panel.lines.iter().flat_map(|line| &line.points);
            let seen = points.filter(|(x, _)| x.is_finite()).map(|(_, y)| *y);
            let range = Range::of(panel.scale, seen)?.with_room();
            Some((range, range.marks(height / UP_EVERY)))
        };
        let ups = chart.panels.iter().map(up).collect::<Option<Vec<_>>>()?;
        let letters = ups.iter().flat_map(|(_, marks)| marks).map(|mark| mark.text.len()).max()?;
        let left = GAP + LETTER + GAP + letters * LETTER + GAP;
        let mut sketch = Self {
            width: left + WIDTH + 4 * LETTER,
            height: GAP,
            title: chart.title.to_owned(),
            texts: Vec::new(),
            grid: Vec::new(),
            ticks: Vec::new(),
            panels: Vec::new(),
            strokes: Vec::new(),
        };
        sketch.add_title();
        sketch.add_legend(chart.legend);
        let marks = across.marks(WIDTH / ACROSS_EVERY);
        for (panel, (up, up_marks)) in chart.panels.iter().zip(&ups) {
            let area = Area { x: left, y: sketch.height + GAP, width: WIDTH, height };
            sketch.add_axes(area, &marks, up_marks, panel.label);
            for line in panel.lines {
                sketch.add_line(area, (&across, up), line);
            }
            sketch.height = area.y + height + TICK + GAP;
        }
        sketch.add_numbers_across(left, &marks, chart.across);
        Some(sketch)
    }

    fn text(&mut self, (x, y): (usize, usize), anchor: Anchor, text: String) {
        self.texts.push(Text { x, y, anchor, turned: false, text });
    }

    fn add_title(&mut self) {
        if self.title.is_empty() {
            return;
        }
        let title = shortened(&self.title, (self.width - 2 * GAP) / LETTER);
        self.text((GAP, self.height + LETTER / 2), Anchor::Start, title);
        self.height += LETTER + GAP;
    }

    /// Names with a line before each, as many beside each other as there is room for.
    fn add_legend(&mut self, keys: &[Key<'_>]) {
        if keys.is_empty() {
            return;
        }
        let mut x = GAP;
        for key in keys {
            let name = shortened(key.name, NAME_LETTERS);
            let wide = SAMPLE + GAP + name.chars().count() * LETTER;
            if x > GAP && x + wide + GAP > self.width {
                (x, self.height) = (GAP, self.height + LETTER + GAP);
            }
            let y = self.height + LETTER / 2;
            let points = vec![(x as f64, y as f64), ((x + SAMPLE) as f64, y as f64)];
            self.strokes.push(Stroke { points, dots: false, ..stroke(key.pen) });
            self.text((x + SAMPLE + GAP, y), Anchor::Start, name);
            x += wide + 3 * GAP;
        }
        self.height += LETTER + GAP;
    }

    fn add_axes(&mut self, area: Area, across: &[Mark], up: &[Mark], label: &str) {
        let Area { x, y, width, height } = area;
        self.panels.push(area);
        for mark in across {
            let place = x + along(mark.place, width);
            self.grid.push(Area { x: place, y, width: 1, height });
            self.ticks.push(Area { x: place, y: y + height, width: 1, height: TICK });
        }
        for mark in up {
            let place = y + height - 1 - along(mark.place, height);
            self.grid.push(Area { x, y: place, width, height: 1 });
            self.ticks.push(Area { x: x - TICK, y: place, width: TICK, height: 1 });
            self.text((x - GAP, place), Anchor::End, mark.text.clone());
        }
        let text = shortened(label, height / LETTER);
        let middle = y + height / 2;
        self.texts.push(Text { x: GAP + LETTER / 2, y: middle, anchor: Anchor::Middle, turned: true, text });
    }

    /// The numbers below the last panel, and what they count.
    fn add_numbers_across(&mut self, left: usize, marks: &[Mark], label: &str) {
        for mark in marks {
            let place = left + along(mark.place, WIDTH);
            self.text((place, self.height), Anchor::Middle, mark.text.clone());
        }
        let below = self.height + LETTER / 2 + GAP + LETTER / 2;
        self.text((left + WIDTH / 2, below), Anchor::Middle, shortened(label, WIDTH / LETTER));
        self.height = below + LETTER / 2 + GAP;
    }

    /// A line, in a piece for each stretch without gaps.
    fn add_line(&mut self, area: Area, (across, up): (&Range, &Range), line: &Line) {
        let placed = |&(x, y): &(f64, f64)| {
            let (right, above) = (across.place(x)?, up.place(y)?);
            // A tenth of a pixel is what both formats can show.
            let tenth = |place: f64| (place * 10.0).round() / 10.0;
            let x = area.x as f64 + right * (area.width - 1) as f64 + 0.5;
            Some((tenth(x), tenth((area.y + area.height) as f64 - 0.5 - above * (area.height - 1) as f64)))
        };
        let points: Vec<_> = line.points.iter().map(placed).collect();
        let dots = !line.pen.pale && points.iter().flatten().count() <= DOTTED;
        for piece in points.split(Option::is_none).filter(|piece| !piece.is_empty()) {
            let piece: Vec<(f64, f64)> = piece.iter().flatten().copied().collect();
            // A point without neighbours would not be seen without a dot.
            let dots = dots || piece.len() == 1 && !line.pen.pale;
            self.strokes.push(Stroke { points: thinned(&piece), dots, ..stroke(line.pen) });
        }
    }
}

/// The pixel of a place on an axis of this length.
fn along(place: f64, length: usize) -> usize {
    (place * (length - 1) as f64).round() as usize
}

/// How a pen draws; the points are still to come.
fn stroke(pen: Pen) -> Stroke {
    let (colour, width) = (colour(pen), if pen.pale { 1.0 } else { 1.6 });
    Stroke { colour, width, dashes: DASHES[pen.dash % DASHES.len()], dots: false, points: Vec::new() }
}

fn colour(pen: Pen) -> [u8; 3] {
    if pen.colour == Pen::GREY {
        return [90; 3];
    }
    let own = COLOURS[pen.colour % COLOURS.len()];
    let mix = |other: u8, tenths: u16| {
        own.map(|part| ((u16::from(part) * (10 - tenths) + u16::from(other) * tenths) / 10) as u8)
    };
    match (pen.pale, pen.colour / COLOURS.len() % 3) {
        (true, _) => mix(255, 7),
        (false, 0) => own,
        (false, 1) => mix(0, 5),
        (false, _) => mix(255, 4),
    }
}

/// Of the points in each column of pixels the first, the lowest, the highest and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|one, other| one.0.floor() == other.0.floor()) {
        let by_height = |one: &usize, other: &usize| column[*one].1.total_cmp(&column[*other].1);
        let (top, bottom) = ((0..column.len()).min_by(by_height), (0..column.len()).max_by(by_height));
        let mut places = [Some(0), top, bottom, column.len().checked_sub(1)];
        places.sort_unstable();
        let mut places: Vec<usize> = places.into_iter().flatten().collect();
        places.dedup();
        kept.extend(places.into_iter().map(|place| column[place]));
    }
    kept
}
