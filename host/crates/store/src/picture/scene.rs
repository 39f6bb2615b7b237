//! Where everything of a heat map stands.

use super::parts::{Anchor, Area, GAP, LETTER, TICK, Text, shortened};
use super::{Axis, Cells, HeatMap, Shades};

/// Most cells along a side; longer axes are shown by blocks.
const MOST_CELLS: usize = 2048;

/// The length that an axis should have.
const SIDE: usize = 960;

/// The largest side of a cell.
const LARGEST_CELL: usize = 16;

/// The least height of the bar of colours.
const BAR_HEIGHT: usize = 96;
const BAR_WIDTH: usize = 14;

/// Steps of the bar between its numbers.
const BAR_STEPS: usize = 4;

/// A picture before it has a format.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The title as a whole.
    pub(super) title: String,
    pub(super) texts: Vec<Text>,
    /// Black areas: ticks.
    pub(super) ticks: Vec<Area>,
    /// Where the cells are.
    pub(super) plot: Area,
    /// Rows and columns of what is shown.
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[rows, columns]` the shade of each; none where there is no value.
    pub(super) cells: Vec<Option<u8>>,
    /// Black areas over the cells: marks.
    pub(super) marks: Vec<Area>,
    /// Where the bar of colours is: the last shade on top.
    pub(super) bar: Area,
    pub(super) shades: Shades,
}

/// An axis and its measures.
struct Measured<'a> {
    axis: &'a Axis<'a>,
    /// Cells that are shown as one.
    block: usize,
    /// Blocks.
    count: usize,
    /// Pixels of a block.
    cell: usize,
}

impl<'a> Measured<'a> {
    fn of(axis: &'a Axis<'a>) -> Self {
        let block = axis.cells.count().div_ceil(MOST_CELLS);
        let count = axis.cells.count().div_ceil(block);
        Self { axis, block, count, cell: (SIDE / count).clamp(1, LARGEST_CELL) }
    }

    fn length(&self) -> usize {
        self.count * self.cell
    }

    fn name(&self, cell: usize) -> String {
        match self.axis.cells {
            Cells::Numbered { first, .. } => (first + cell).to_string(),
            Cells::Named(names) => names[cell].to_owned(),
        }
    }

    /// Letters of the longest name.
    fn widest(&self) -> usize {
        match self.axis.cells {
            Cells::Numbered { count, .. } => self.name(count - 1).len(),
            Cells::Named(names) => names.iter().map(|name| name.chars().count()).max().unwrap_or(0),
        }
    }

    /// Cells with a name, each with the middle of its place; as many as have `room` pixels each.
    fn named(&self, room: usize) -> Vec<(usize, String)> {
        let fits = |step: &usize| step * self.cell >= room * self.block;
        let step = steps().find(fits).unwrap_or(usize::MAX);
        let has_name = |cell: &usize| match self.axis.cells {
            Cells::Numbered { first, .. } => (first + cell).is_multiple_of(step),
            Cells::Named(_) => cell.is_multiple_of(step),
        };
        let cells = (0..self.axis.cells.count()).filter(has_name);
        cells.map(|cell| (cell / self.block * self.cell + self.cell / 2, self.name(cell))).collect()
    }
}

/// 1, 2, 5, 10, 20, 50 …
fn steps() -> impl Iterator<Item = usize> {
    (0..18).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)))
}

impl Scene {
    /// Lays out a map with at least one cell and a value for each.
    pub(super) fn of(map: &HeatMap<'_>) -> Self {
        let (rows, columns) = (Measured::of(&map.rows), Measured::of(&map.columns));
        let (from, to) = map.shades.ends();
        let number = |step: usize| short(from + (to - from) * step as f32 / BAR_STEPS as f32);
        let numbers: Vec<String> = (0..=BAR_STEPS).map(number).collect();
        let number_letters = numbers.iter().map(String::len).max().unwrap_or(0);
        let plot = Area {
            x: GAP + LETTER + GAP + rows.widest() * LETTER + GAP,
            y: GAP + LETTER + GAP,
            width: columns.length(),
            height: rows.length(),
        };
        let bar = Area {
            x: plot.x + plot.width + 2 * GAP,
            y: plot.y,
            width: BAR_WIDTH,
            height: plot.height.max(BAR_HEIGHT),
        };
        let quantity_x = bar.x + bar.width + TICK + GAP + number_letters * LETTER + LETTER / 2;
        let mut scene = Self {
            width: quantity_x + LETTER / 2 + GAP,
            height: bar.y + bar.height + TICK + 2 * (GAP + LETTER) + GAP,
            title: map.title.to_owned(),
            texts: Vec::new(),
            ticks: Vec::new(),
            plot,
            rows: rows.count,
            columns: columns.count,
            cells: cells(map, &rows, &columns),
            marks: marks(map, &rows, &columns, plot),
            bar,
            shades: map.shades,
        };
        scene.add_title();
        scene.add_axes(&rows, &columns);
        scene.add_bar(&numbers, quantity_x, map.quantity);
        scene
    }

    fn text(&mut self, (x, y): (usize, usize), anchor: Anchor, text: String) {
        self.texts.push(Text { x, y, anchor, turned: false, text });
    }

    fn add_title(&mut self) {
        let fits = (self.width - 2 * GAP) / LETTER;
        let title = shortened(&self.title, fits);
        self.text((GAP, GAP + LETTER / 2), Anchor::Start, title);
    }

    fn add_axes(&mut self, rows: &Measured<'_>, columns: &Measured<'_>) {
        let Area { x, y, width, height } = self.plot;
        // The same steps on both axes where both have numbers.
        let across = (columns.widest() + 1) * LETTER;
        let numbered = |axis: &Measured<'_>| matches!(axis.axis.cells, Cells::Numbered { .. });
        let down = if numbered(rows) && numbered(columns) { across.max(2 * LETTER) } else { LETTER + 1 };
        for (place, name) in columns.named(across) {
            self.ticks.push(Area { x: x + place, y: y + height, width: 1, height: TICK });
            self.text((x + place, y + height + TICK + GAP), Anchor::Middle, name);
        }
        for (place, name) in rows.named(down) {
            self.ticks.push(Area { x: x - TICK, y: y + place, width: TICK, height: 1 });
            self.text((x - GAP, y + place), Anchor::End, name);
        }
        let below = y + height + TICK + GAP + LETTER / 2 + GAP + LETTER / 2;
        let label = shortened(columns.axis.label, (self.width - 2 * GAP) / LETTER);
        self.text((x + width / 2, below), Anchor::Middle, label);
        let label = shortened(rows.axis.label, (self.height - 2 * GAP) / LETTER);
        let (place, turned) = ((GAP + LETTER / 2, y + height / 2), true);
        self.texts.push(Text { x: place.0, y: place.1, anchor: Anchor::Middle, turned, text: label });
    }

    fn add_bar(&mut self, numbers: &[String], quantity_x: usize, quantity: &str) {
        let Area { x, y, width, height } = self.bar;
        for (step, number) in numbers.iter().enumerate() {
            let place = y + (height - 1) * (BAR_STEPS - step) / BAR_STEPS;
            self.ticks.push(Area { x: x + width, y: place, width: TICK, height: 1 });
            self.text((x + width + GAP, place), Anchor::Start, number.clone());
        }
        let text = shortened(quantity, (self.height - 2 * GAP) / LETTER);
        let y = (y + height / 2).max(GAP + text.len() * LETTER / 2);
        self.texts.push(Text { x: quantity_x, y, anchor: Anchor::Middle, turned: true, text });
    }
}

/// The shade of each block: that of its strongest value.
fn cells(map: &HeatMap<'_>, rows: &Measured<'_>, columns: &Measured<'_>) -> Vec<Option<u8>> {
    let mut strongest = vec![f32::NAN; rows.count * columns.count];
    let wide = map.columns.cells.count();
    for (row, values) in map.values.chunks_exact(wide).enumerate() {
        let blocks = &mut strongest[row / rows.block * columns.count..][..columns.count];
        for (block, values) in blocks.iter_mut().zip(values.chunks(columns.block)) {
            *block = values.iter().fold(*block, |one, &other| map.shades.stronger(one, other));
        }
    }
    strongest.into_iter().map(|value| map.shades.shade(value)).collect()
}

fn marks(map: &HeatMap<'_>, rows: &Measured<'_>, columns: &Measured<'_>, plot: Area) -> Vec<Area> {
    let side = |cell: usize| (cell / 4).max(1);
    let place =
        |axis: &Measured<'_>, cell: usize| cell / axis.block * axis.cell + (axis.cell - side(axis.cell)) / 2;
    let mark = |&(row, column): &(usize, usize)| Area {
        x: plot.x + place(columns, column),
        y: plot.y + place(rows, row),
        width: side(columns.cell),
        height: side(rows.cell),
    };
    let inside = |(row, column): &&(usize, usize)| {
        *row < rows.axis.cells.count() && *column < columns.axis.cells.count()
    };
    map.marks.iter().filter(inside).map(mark).collect()
}

/// A number in few letters.
fn short(value: f32) -> String {
    let text =
        if value == 0.0 || value.abs() >= 0.01 { format!("{value:.2}") } else { format!("{value:.1e}") };
    let text = if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text.as_str()
    };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<'a>(values: &'a [f32], rows: Cells<'a>, columns: Cells<'a>) -> HeatMap<'a> {
        HeatMap {
            title: "t",
            values,
            rows: Axis { label: "rows", cells: rows },
            columns: Axis { label: "columns", cells: columns },
            shades: Shades::Rising { from: 0.0, to: 1.0 },
            quantity: "much",
            marks: &[],
        }
    }

    fn numbered(first: usize, count: usize) -> Cells<'static> {
        Cells::Numbered { first, count }
    }

    #[test]
    fn ticks_stand_under_the_cells_of_their_numbers_and_apart() {
        for (first, count) in [(1, 1), (1, 4), (1, 100), (101, 129), (1, 1000), (95, 4097)] {
            let values = vec![0.5; count];
            let scene = Scene::of(&map(&values, numbered(1, 1), numbered(first, count)));
            let block = count.div_ceil(MOST_CELLS);
            let cell = scene.plot.width / scene.columns;
            let below = scene.plot.y + scene.plot.height + TICK + GAP;
            let texts: Vec<_> = scene.texts.iter().filter(|text| text.y == below).collect();
            let wide = |text: &Text| text.text.len() * LETTER;
            assert!((1..=61).contains(&texts.len()), "{count}: {}", texts.len());
            for text in &texts {
                let number: usize = text.text.parse().unwrap();
                let (x, place) = (text.x - scene.plot.x, (number - first) / block);
                assert_eq!(x, place * cell + cell / 2, "{number} of {first} to {count}");
            }
            for pair in texts.windows(2) {
                assert!(pair[1].x - pair[0].x > wide(pair[1]), "{:?} touches {:?}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn a_block_has_the_shade_of_its_strongest_cell() {
        let count = 2 * MOST_CELLS + 1;
        let mut values = vec![0.0; count];
        (values[3], values[4], values[count - 1]) = (1.0, f32::NAN, 0.5);
        let scene = Scene::of(&map(&values, numbered(1, 1), numbered(1, count)));
        assert_eq!(scene.columns, count.div_ceil(3));
        assert_eq!(scene.cells[..3], [Some(0), Some(238), Some(0)]);
        assert_eq!(scene.cells.last(), Some(&Some(119)));
        assert_eq!(scene.plot.width, scene.columns);
    }

    #[test]
    fn everything_stands_inside() {
        let names = ["A", "C", "wild type"];
        for columns in [1, 2, 30, 3000] {
            let values = vec![0.0; 3 * columns];
            let mut map = map(&values, Cells::Named(&names), numbered(1, columns));
            map.title = "a title that is much longer than a small picture is wide, and then some";
            let scene = Scene::of(&map);
            for text in scene.texts.iter().filter(|text| !text.turned) {
                let wide = text.text.chars().count() * LETTER;
                let left = match text.anchor {
                    Anchor::Start => Some(text.x),
                    Anchor::Middle => text.x.checked_sub(wide / 2),
                    Anchor::End => text.x.checked_sub(wide),
                };
                let left = left.unwrap_or_else(|| panic!("{text:?} begins outside"));
                assert!(left + wide <= scene.width && text.y + LETTER / 2 <= scene.height, "{text:?}");
            }
            assert_eq!(scene.title, map.title);
        }
    }

    #[test]
    fn numbers_are_short() {
        let found: Vec<String> = [0.0, -0.0, 0.25, 1.0, 10.0, -7.3, -3.65, 0.001, 100.0].map(short).to_vec();
        assert_eq!(found, ["0", "0", "0.25", "1", "10", "-7.3", "-3.65", "1.0e-3", "100"]);
    }
}
