//! Pictures read back.

use std::io::Cursor;

use super::*;

const LETTERS: [&str; 3] = ["A", "C", "D"];

/// Pixels of a PNG as red, green and blue, and its width.
pub(super) fn pixels(bytes: &[u8]) -> (Vec<[u8; 3]>, usize) {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (buffer[..info.buffer_size()].as_chunks::<3>().0.to_vec(), info.width as usize)
}

fn drawn(format: PictureFormat, map: &HeatMap<'_>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    draw(&path, format, map).unwrap().commit().unwrap();
    std::fs::read(path).unwrap()
}

fn map(values: &[f32]) -> HeatMap<'_> {
    HeatMap {
        title: "a <b> & \"c\"\u{1}",
        values,
        rows: Axis { label: "residue", cells: Cells::Named(&LETTERS) },
        columns: Axis { label: "position", cells: Cells::Numbered { first: 7, count: 2 } },
        shades: Shades::Around { reach: 2.0 },
        quantity: "score",
        marks: &[(2, 1)],
    }
}

const VALUES: [f32; 6] = [-2.0, 2.0, 0.0, f32::NAN, 9.0, 0.0];

#[test]
fn cells_have_their_colours_where_they_belong() {
    let map = map(&VALUES);
    let (pixels, width) = pixels(&drawn(PictureFormat::Png, &map));
    let scene = scene::Scene::of(&map);
    assert_eq!((width, pixels.len()), (scene.width, scene.width * scene.height));
    let at = |row: usize, column: usize, shift: usize| {
        let (x, y) = (scene.plot.x + column * 16 + shift, scene.plot.y + row * 16 + shift);
        pixels[y * width + x]
    };
    let (blue, white, red) = ([11, 88, 187], [248, 248, 248], [169, 35, 30]);
    for shift in [0, 8, 15] {
        assert_eq!([at(0, 0, shift), at(0, 1, shift)], [blue, red]);
        assert_eq!([at(1, 0, shift), at(1, 1, shift)], [white, raster::NO_VALUE]);
        assert_eq!(at(2, 0, shift), red);
    }
    assert_eq!([at(2, 1, 0), at(2, 1, 8), at(2, 1, 15)], [white, [0; 3], white], "a mark in the middle");
    let bar = |place: usize| pixels[(scene.bar.y + place) * width + scene.bar.x + 5];
    assert_eq!((bar(0), bar(scene.bar.height - 1)), (red, blue));
    assert_eq!(pixels[0], [255; 3]);
}

#[test]
fn text_is_drawn_as_it_is_read() {
    // Turned letters would mirror if one direction were wrong: the dot of an exclamation mark is below, or right.
    let mut map = map(&VALUES);
    (map.title, map.rows.label) = ("!", "!");
    let (pixels, width) = pixels(&drawn(PictureFormat::Png, &map));
    let black = |x: usize, y: usize| pixels[y * width + x] == [0; 3];
    let upright: usize =
        (8..12).flat_map(|y| (8..16).map(move |x| (x, y))).filter(|&(x, y)| black(x, y)).count();
    let lower: usize =
        (12..16).flat_map(|y| (8..16).map(move |x| (x, y))).filter(|&(x, y)| black(x, y)).count();
    assert!(upright > lower && lower > 0, "{upright} {lower}");
    let scene = scene::Scene::of(&map);
    let middle = scene.plot.y + scene.plot.height / 2;
    let count = |columns: std::ops::Range<usize>| {
        let cells = columns.flat_map(|x| (middle - 4..=middle + 4).map(move |y| (x, y)));
        cells.filter(|&(x, y)| black(x, y)).count()
    };
    let (left, right) = (count(8..12), count(12..16));
    assert!(left > right && right > 0, "the head of a turned letter is on the left: {left} {right}");
}

#[test]
fn an_svg_has_searchable_text_and_the_cells_as_an_image() {
    let text = String::from_utf8(drawn(PictureFormat::Svg, &map(&VALUES))).unwrap();
    assert!(text.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;\u{fffd}</title>"), "{text}");
    for wanted in
        [">position</text>", ">residue</text>", ">score</text>", ">C</text>", ">8</text>", ">-2</text>"]
    {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    let image = text.split("base64,").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    use base64::Engine as _;
    let image = base64::engine::general_purpose::STANDARD.decode(image).unwrap();
    let (pixels, width) = pixels(&image);
    assert_eq!((width, pixels.len()), (2, 6));
    assert_eq!(pixels[..4], [[11, 88, 187], [169, 35, 30], [248; 3], raster::NO_VALUE]);
    // Every element is closed: as many ends as beginnings.
    let (open, closed) = (text.matches('<').count(), text.matches("</").count());
    assert_eq!(open, 2 * closed + text.matches("/>").count());
}

#[test]
fn the_same_map_has_the_same_bytes_and_large_ones_are_small_files() {
    let values: Vec<f32> = (0..300 * 300).map(|place| (place % 7) as f32 / 7.0).collect();
    let axis = Axis { label: "residue", cells: Cells::Numbered { first: 1, count: 300 } };
    let shades = Shades::Rising { from: 0.0, to: 1.0 };
    let map =
        HeatMap { title: "t", values: &values, rows: axis, columns: axis, shades, quantity: "p", marks: &[] };
    for format in PictureFormat::ALL {
        let bytes = drawn(format, &map);
        assert_eq!(bytes, drawn(format, &map));
        assert!(bytes.len() < 400_000, "{format:?}: {}", bytes.len());
    }
}

#[test]
fn maps_without_cells_or_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let mut wrong = map(&VALUES);
    wrong.values = &VALUES[1..];
    assert!(matches!(draw(&path, PictureFormat::Png, &wrong), Err(StoreError::Plan { .. })));
    wrong.values = &[];
    wrong.rows.cells = Cells::Named(&[]);
    assert!(matches!(draw(&path, PictureFormat::Png, &wrong), Err(StoreError::Plan { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_suffix_names_the_format() {
    assert_eq!(PictureFormat::of_path(Path::new("a/b.PNG")).unwrap(), PictureFormat::Png);
    let error = PictureFormat::of_path(Path::new("a/b.jpg")).unwrap_err().to_string();
    assert!(error.contains(".png, .svg"), "{error}");
}
