//! Reading back what the writers wrote, what other programs wrote, and what nobody should have written.

mod foreign;
mod hostile;

use super::*;
use crate::table::{H5Layout, PooledWriter, ResidueWriter, TablePlan};

/// Ids that some format must take special care of.
const IDS: [&str; 6] = ["sp|P1|A/B", "a b", "é", "x%2Fy", "tab\there\\", "."];

fn plan(rows: usize, layers: &[usize], dtype: OutDtype) -> TablePlan {
    let name = if dtype == OutDtype::F16 { "f16" } else { "f32" };
    let metadata = Metadata::new().with("model", "modèle").with("dtype", name);
    TablePlan { rows, width: 3, layers: layers.to_vec(), dtype, metadata, h5_layout: H5Layout::Uniprot }
}

/// Numbers that half precision holds too, different for every place.
fn numbers(record: usize, layer: usize, rows: usize) -> Vec<f32> {
    (0..rows * 3).map(|place| (record * 20 + layer) as f32 + place as f32 * 0.25 - 7.5).collect()
}

fn write_pooled(path: &Path, format: Format, layers: &[usize], dtype: OutDtype) {
    let mut writer = PooledWriter::create(path, format, &plan(IDS.len(), layers, dtype)).unwrap();
    for (record, id) in IDS.iter().enumerate() {
        let values: Vec<_> = layers.iter().map(|layer| numbers(record, *layer, 1)).collect();
        writer.push(id, record + 1, &values.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    }
    writer.finish().unwrap().commit().unwrap();
}

fn write_residues(path: &Path, format: Format, layers: &[usize], dtype: OutDtype) {
    let residues = (1..=IDS.len()).sum();
    let mut writer = ResidueWriter::create(path, format, &plan(IDS.len(), layers, dtype), residues).unwrap();
    for (record, id) in IDS.iter().enumerate() {
        let values: Vec<_> = layers.iter().map(|layer| numbers(record, *layer, record + 1)).collect();
        writer.push(id, &values.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    }
    writer.finish().unwrap().commit().unwrap();
}

/// Every record of a file.
fn read(path: &Path) -> Result<(ResultReader, Vec<StoredRecord>), StoreError> {
    let mut reader = ResultReader::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((reader, records))
}

/// The file or files of `layers`, as they are named.
fn files(path: &Path, format: Format, layers: &[usize]) -> Vec<(PathBuf, Vec<usize>)> {
    match format.holds_layers() {
        true => vec![(path.to_path_buf(), layers.to_vec())],
        false if layers.len() == 1 => vec![(path.to_path_buf(), layers.to_vec())],
        false => layers.iter().map(|layer| (crate::table::layer_path(path, *layer), vec![*layer])).collect(),
    }
}

#[test]
fn pooled_vectors_come_back_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        for dtype in [OutDtype::F32, OutDtype::F16] {
            for layers in [&[6][..], &[4, 2]] {
                let path = folder.path().join(format!("e.{}", format.name()));
                write_pooled(&path, format, layers, dtype);
                for (path, layers) in files(&path, format, layers) {
                    let (reader, records) = read(&path).unwrap();
                    assert_eq!((reader.format(), reader.kind()), (format, ResultKind::Pooled));
                    assert_eq!((reader.width(), reader.layers()), (3, &layers[..]), "{path:?}");
                    assert_eq!((reader.dtype(), reader.records()), (dtype, IDS.len()), "{path:?}");
                    let metadata = plan(0, &[], dtype).metadata.for_layers(&layers);
                    assert_eq!(reader.metadata(), Some(&metadata), "{path:?}");
                    for (place, record) in records.iter().enumerate() {
                        assert_eq!(record.id, IDS[place]);
                        assert!(record.length.is_none_or(|length| length == place + 1));
                        let wanted: Vec<_> = layers.iter().map(|layer| numbers(place, *layer, 1)).collect();
                        assert_eq!(record.layers, wanted, "{path:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn states_of_residues_come_back_from_every_format_that_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL.into_iter().filter(|format| format.holds_residues()) {
        for dtype in [OutDtype::F32, OutDtype::F16] {
            for layers in [&[6][..], &[4, 2]] {
                let path = folder.path().join(format!("r.{}", format.name()));
                write_residues(&path, format, layers, dtype);
                for (path, layers) in files(&path, format, layers) {
                    let (reader, records) = read(&path).unwrap();
                    assert_eq!((reader.format(), reader.kind()), (format, ResultKind::Residues));
                    assert_eq!((reader.records(), reader.residues()), (IDS.len(), Some(21)), "{path:?}");
                    assert_eq!((reader.dtype(), reader.layers()), (dtype, &layers[..]), "{path:?}");
                    for (place, record) in records.iter().enumerate() {
                        assert_eq!((record.id.as_str(), record.length), (IDS[place], Some(place + 1)));
                        let wanted: Vec<_> =
                            layers.iter().map(|layer| numbers(place, *layer, place + 1)).collect();
                        assert_eq!(record.layers, wanted, "{path:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_records_give_the_same_bytes_and_a_layer_those_of_a_run_over_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let named = |name: &str| folder.path().join(format!("{name}.{}", format.name()));
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        for name in ["one", "two"] {
            write_pooled(&named(name), format, &[6], OutDtype::F16);
        }
        assert_eq!(bytes(&named("one")), bytes(&named("two")), "{}", format.name());
        if format.holds_residues() {
            for name in ["one", "two"] {
                write_residues(&named(name), format, &[6], OutDtype::F32);
            }
            assert_eq!(bytes(&named("one")), bytes(&named("two")), "{}", format.name());
            if !format.holds_layers() {
                write_residues(&named("both"), format, &[2, 6], OutDtype::F32);
                let alone = crate::table::layer_path(&named("both"), 6);
                assert_eq!(bytes(&named("one")), bytes(&alone), "{}", format.name());
            }
        }
    }
}

#[test]
fn both_layouts_of_datasets_keep_ids_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.h5");
    // More records than fit into one leaf, one heap of strings or one node of the group.
    let count = 5000;
    for layout in H5Layout::ALL {
        let plan = TablePlan { h5_layout: layout, ..plan(count, &[6], OutDtype::F32) };
        let mut writer = PooledWriter::create(&path, Format::H5, &plan).unwrap();
        let id = |record: usize| format!("tr|{}|X/{record}", (record * 7919) % count);
        for record in 0..count {
            writer.push(&id(record), 1, &[&numbers(record, 6, 1)]).unwrap();
        }
        writer.finish().unwrap().commit().unwrap();
        let (_, records) = read(&path).unwrap();
        assert_eq!(records.len(), count);
        for (place, record) in records.iter().enumerate() {
            assert_eq!((&record.id, &record.layers[0]), (&id(place), &numbers(place, 6, 1)));
        }
        let file = hdf5_pure::File::open(&path).unwrap();
        let name = match layout {
            H5Layout::Uniprot => "tr|7919|X%2F1".replace("7919", &(7919 % count).to_string()),
            H5Layout::BioEmbeddings => "1".to_owned(),
        };
        assert_eq!(file.dataset(&name).unwrap().read_f32().unwrap(), numbers(1, 6, 1));
    }
}

#[test]
fn an_id_that_came_twice_has_no_dataset_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.h5");
    for (layout, fits) in [(H5Layout::Uniprot, false), (H5Layout::BioEmbeddings, true)] {
        let plan = TablePlan { h5_layout: layout, ..plan(2, &[6], OutDtype::F32) };
        let mut writer = PooledWriter::create(&path, Format::H5, &plan).unwrap();
        writer.push("P1", 1, &[&[1.0; 3]]).unwrap();
        writer.push("P1", 1, &[&[1.0; 3]]).unwrap();
        assert_eq!(writer.finish().is_ok(), fits);
    }
}

/// Row groups, pages and records of Parquet end at different rows.
#[test]
fn long_proteins_cross_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.parquet");
    let lengths = [4095, 1, 1, 9000, 2];
    for dtype in [OutDtype::F32, OutDtype::F16] {
        let plan = plan(lengths.len(), &[6], dtype);
        let mut writer = ResidueWriter::create(&path, Format::Parquet, &plan, lengths.iter().sum()).unwrap();
        let states = |rows: usize| -> Vec<f32> { (0..rows * 3).map(|place| (place % 2048) as f32).collect() };
        for (record, rows) in lengths.iter().enumerate() {
            writer.push(&record.to_string(), &[&states(*rows)]).unwrap();
        }
        writer.finish().unwrap().commit().unwrap();
        let (reader, records) = read(&path).unwrap();
        assert_eq!(reader.residues(), Some(lengths.iter().sum()));
        for (record, rows) in records.iter().zip(lengths) {
            assert_eq!((record.length, &record.layers[0]), (Some(rows), &states(rows)));
        }
    }
}

#[test]
fn a_table_without_records_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join(format!("empty.{}", format.name()));
        let writer = PooledWriter::create(&path, format, &plan(0, &[6], OutDtype::F32)).unwrap();
        writer.finish().unwrap().commit().unwrap();
        let (reader, records) = read(&path).unwrap();
        assert_eq!((reader.records(), records.len()), (0, 0), "{}", format.name());
    }
}

#[test]
fn vectors_are_checked_before_they_are_used() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join(format!("e.{}", format.name()));
        write_pooled(&path, format, &[6], OutDtype::F32);
        let vectors = read_vectors(&path, Some(3)).unwrap();
        assert_eq!((vectors.ids.len(), vectors.width, vectors.values.len()), (6, 3, 18));
        assert_eq!(vectors.values[3..6], numbers(1, 6, 1));
        let error = read_vectors(&path, Some(4)).unwrap_err();
        assert!(matches!(error, StoreError::WrongWidth { wanted: 4, found: 3, .. }), "{error}");
        if format.holds_layers() {
            write_pooled(&path, format, &[6, 5], OutDtype::F32);
            assert!(matches!(read_vectors(&path, None), Err(StoreError::NotVectors { .. })));
        }
        if format.holds_residues() {
            write_residues(&path, format, &[6], OutDtype::F32);
            assert!(matches!(read_vectors(&path, None), Err(StoreError::NotVectors { .. })));
        }
    }
    let path = folder.path().join("nan.tsv");
    std::fs::write(&path, "id\ta\tb\nP1\t1\tnan\n").unwrap();
    assert!(read_vectors(&path, None).unwrap_err().to_string().contains("\"P1\" is NaN"));
}

#[test]
fn tables_of_text_are_read_with_their_faults_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.txt");
    let text = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read(&path).map(|(_, records)| records).map_err(|error| error.to_string())
    };
    let records = text("id\tx\ty\r\nP1\t1\t2\r\nP2\t3\t-0.5").unwrap();
    assert_eq!((records.len(), &records[1].layers), (2, &vec![vec![3.0, -0.5]]));
    assert_eq!(text("id\tx\n").unwrap().len(), 0);
    for (damaged, fault) in [
        ("id\tx\nP1\t1\t2\n", "line 2: 1 numbers were wanted, but there are 2"),
        ("id\tx\nP1\tone\n", "line 2: a cell is no number"),
        ("id\tx\nP\\q\t1\n", "unknown escape"),
        ("id\nP1\n", "no known format"),
        ("name\tx\n", "no known format"),
        ("", "it is empty"),
        ("# pliant_meta [1]\nid\tx\n", "not a JSON object"),
    ] {
        let error = text(damaged).unwrap_err();
        assert!(error.contains(fault), "{error}");
    }
}
