use super::*;

/// What is said of a damage, and how it is done to the folder of a checkpoint.
type Damage<'a> = (&'static str, &'a dyn Fn(&Path));

fn state(step: u64, loss: Option<f64>) -> State {
    let held_out = loss.map(|loss| HeldOut { step, loss: Exact(loss), ..HeldOut::default() });
    State { step, held_out, ..State::default() }
}

fn save(folder: &Path, state: &State) {
    write(folder, state, |folder| {
        let model = folder.join(MODEL);
        fs::create_dir(&model)?;
        fs::write(model.join("model.safetensors"), format!("weights {}", state.step))?;
        Ok(fs::write(folder.join(OPTIMIZER), "moments")?)
    })
    .unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_newest_whole_one_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("checkpoints");
    assert!(newest(&folder).unwrap().0.is_none());
    for step in [9, 10, 100_000_000] {
        save(&folder, &state(step, None));
    }
    fs::create_dir(folder.join("step_7")).unwrap();
    let (found, damaged) = newest(&folder).unwrap();
    let found = found.unwrap();
    assert_eq!((found.state, damaged.len()), (state(100_000_000, None), 0));
    assert_eq!(fs::read_to_string(found.path.join(OPTIMIZER)).unwrap(), "moments");
    // Over one that is there already.
    save(&folder, &state(10, Some(1.5)));
    assert_eq!(names(&folder), ["step_00000009", "step_00000010", "step_100000000", "step_7"]);
}

/// Every way in which a checkpoint can be damaged puts it aside, and the one before is taken.
#[test]
fn a_damaged_one_is_seen() {
    let change = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let damages: [Damage<'_>; 7] = [
        ("has other bytes in model/model.safetensors", &|path| change(&path.join("model/model.safetensors"))),
        ("has other bytes in optimizer.safetensors", &|path| change(&path.join(OPTIMIZER))),
        ("has 3 bytes of optimizer.safetensors, wanted 7", &|path| {
            fs::write(path.join(OPTIMIZER), "mom").unwrap()
        }),
        ("has no optimizer.safetensors", &|path| fs::remove_file(path.join(OPTIMIZER)).unwrap()),
        ("has no readable state.json", &|path| fs::remove_file(path.join(STATE)).unwrap()),
        ("holds more, which was not written with it", &|path| fs::write(path.join("more"), "").unwrap()),
        ("its digest differs", &|path| {
            let text = fs::read_to_string(path.join(STATE)).unwrap();
            assert!(text.contains("\"milliseconds\": 0"));
            fs::write(path.join(STATE), text.replace("\"milliseconds\": 0", "\"milliseconds\": 1")).unwrap();
        }),
    ];
    for (reason, damage) in damages {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        save(folder, &state(1, None));
        save(folder, &state(2, None));
        damage(&folder.join("step_00000002"));
        let (found, damaged) = newest(folder).unwrap();
        assert_eq!(found.unwrap().state.step, 1, "{reason}");
        assert!(damaged[0].reason.contains(reason), "{reason}: {damaged:?}");
        assert_eq!(names(folder), ["damaged_step_00000002", "step_00000001"]);
        damage(&folder.join("step_00000001"));
        let refused = newest(folder).unwrap_err().to_string();
        assert!(refused.contains("no checkpoint in") && refused.contains(reason), "{refused}");
        assert_eq!(names(folder), ["damaged_step_00000002", "step_00000001"], "nothing is lost");
    }
}

#[test]
fn the_last_and_the_best_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    for (step, loss) in
        [(1, Some(2.5)), (2, Some(2.0)), (3, None), (4, Some(2.0)), (5, Some(2.25)), (6, None)]
    {
        save(folder, &state(step, loss));
        prune(folder, 2, 1).unwrap();
    }
    assert_eq!(names(folder), ["step_00000002", "step_00000005", "step_00000006"]);
    prune(folder, 1, 0).unwrap();
    assert_eq!(names(folder), ["step_00000006"]);
}

#[test]
fn one_that_fails_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let failed = write(scratch.path(), &state(1, None), |folder| {
        fs::create_dir(folder.join(MODEL))?;
        anyhow::bail!("full")
    });
    assert_eq!(failed.unwrap_err().to_string(), "full");
    assert_eq!(names(scratch.path()), [""; 0]);
}
