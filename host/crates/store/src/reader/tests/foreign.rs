//! Files as other programs write them.

use hdf5_pure::{AttrValue, FileBuilder};

use super::*;

/// Writes one file of datasets that `fill` adds.
fn h5(path: &Path, fill: impl FnOnce(&mut FileBuilder)) {
    let mut builder = FileBuilder::new();
    fill(&mut builder);
    builder.write(path).unwrap();
}

#[test]
fn datasets_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.h5");
    let states: Vec<f32> = (0..12).map(|number| number as f32 / 4.0).collect();

    h5(&path, |file| {
        file.create_dataset("Q2").with_f32_data(&states[..3]);
        file.create_dataset("P1").with_f64_data(&[0.1, 2.0, 3.0]);
    });
    let (reader, records) = read(&path).unwrap();
    assert_eq!((reader.kind(), reader.width(), reader.layers()), (ResultKind::Pooled, 3, &[][..]));
    assert_eq!((reader.metadata(), reader.dtype()), (None, OutDtype::F32));
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["P1", "Q2"]);
    assert_eq!(records[0].layers, [[0.1_f32, 2.0, 3.0]]);

    h5(&path, |file| {
        for name in ["10", "9"] {
            let id = AttrValue::VarLenString(format!("protein {name}"));
            let states = file.create_dataset(name).with_f32_data(&states).with_shape(&[4, 3]);
            states.with_chunks(&[2, 3]).with_shuffle().with_deflate(4).set_attr("original_id", id);
        }
    });
    let (reader, records) = read(&path).unwrap();
    assert_eq!((reader.kind(), reader.width(), reader.residues()), (ResultKind::Residues, 3, Some(8)));
    assert_eq!((records[0].id.as_str(), records[0].length), ("protein 9", Some(4)));
    assert_eq!(records[1].layers, std::slice::from_ref(&states));

    h5(&path, |file| {
        file.create_dataset("a")
            .with_f32_data(&states)
            .with_shape(&[1, 4, 3])
            .with_chunks(&[1, 4, 2])
            .with_lzf();
        let mut group = file.create_group("sp");
        group.create_dataset("b").with_f32_data(&states).with_shape(&[1, 4, 3]);
        file.add_group(group.finish());
    });
    let (_, records) = read(&path).unwrap();
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["a", "sp/b"]);
    assert!(records.iter().all(|record| record.length == Some(4) && record.layers[0] == states));
}

#[test]
fn datasets_that_are_no_embeddings_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.h5");
    let refused = |fill: &dyn Fn(&mut FileBuilder)| {
        h5(&path, fill);
        read(&path).err().unwrap().to_string()
    };
    let text = refused(&|file| {
        file.create_dataset("labels").with_i32_data(&[1, 2]);
    });
    assert!(text.contains("dataset labels: it does not hold floats"), "{text}");
    let text = refused(&|file| {
        file.create_dataset("deep").with_f32_data(&[1.0; 8]).with_shape(&[2, 2, 2]);
    });
    assert!(text.contains("dataset deep: its shape is [2, 2, 2]"), "{text}");
    let text = refused(&|file| {
        file.create_dataset("a").with_f32_data(&[1.0, 2.0]);
        file.create_dataset("b").with_f32_data(&[1.0]);
    });
    assert!(text.contains("dataset b: its shape does not go with"), "{text}");
}

/// Files of h5py, pandas, polars and numpy, with the numbers that the script beside them put in.
#[test]
fn files_of_the_usual_programs_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/results");
    let value = |record: usize, place: usize| (record * 100 + place) as f32 * 0.25 - 7.0;
    for (name, ids) in [
        ("h5py_uniprot.h5", ["A0A/1", "P1"]),
        ("h5py_bio_embeddings.h5", ["sp|P1|X", "tr|Q2|Y"]),
        ("numpy.npz", ["P1", "Q2"]),
        ("pandas.parquet", ["P1", "Q2"]),
        ("polars.parquet", ["P1", "Q2"]),
    ] {
        let vectors = read_vectors(&folder.join(name), Some(8)).unwrap();
        assert_eq!(vectors.ids, ids, "{name}");
        let wanted: Vec<f32> = (0..16).map(|place| value(place / 8, place % 8)).collect();
        assert_eq!(vectors.values, wanted, "{name}");
    }
    for name in ["h5py_residues.h5", "h5py_dscript.h5"] {
        let (reader, records) = read(&folder.join(name)).unwrap();
        assert_eq!((reader.kind(), reader.width(), records.len()), (ResultKind::Residues, 8, 2), "{name}");
        for (number, record) in records.iter().enumerate() {
            let wanted: Vec<f32> = (0..(3 + number) * 8).map(|place| value(number, place)).collect();
            assert_eq!((record.length, &record.layers), (Some(3 + number), &vec![wanted]), "{name}");
        }
    }
}
