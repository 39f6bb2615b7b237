//! `pliant model pull`, against a hub on this machine.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::hub::{Asked, COMMIT, Hub, REPO, Reply, Repo, sha256};
use crate::tool::{Ended, Run, Scratch, model};

/// A secret.
const TOKEN: &str = "hf_0123456789";

fn repo() -> Repo {
    Repo::of(model())
}

/// A good hub.
fn hub() -> Hub {
    let repo = repo();
    Hub::start(move |asked| repo.answer(asked))
}

/// A hub whose weights are answered by `weights`, given the number of the request from 0 and the good answer.
fn hub_with(weights: impl Fn(usize, &Asked, Reply) -> Reply + Send + Sync + 'static) -> Hub {
    let (repo, count) = (repo(), AtomicUsize::new(0));
    Hub::start(move |asked| match repo.answer(asked) {
        good if asked.weights() => weights(count.fetch_add(1, Ordering::SeqCst), asked, good),
        good => good,
    })
}

/// `pliant` with these words, a store of its own and a little patience.
fn run(scratch: &Scratch, hub: &Hub, words: &[&str]) -> Run {
    let run = scratch.run(words).env("PLIANT_MODELS", "models").env("PLIANT_ENDPOINT", &hub.url);
    let run = run.env("PLIANT_TIMEOUT", "5").env("HF_TOKEN", "").env("SSL_CERT_FILE", "");
    run.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1")
}

fn pull(scratch: &Scratch, hub: &Hub, more: &[&str]) -> Ended {
    run(scratch, hub, &[&["model", "pull", REPO], more].concat()).go()
}

fn folder(scratch: &Scratch) -> PathBuf {
    scratch.path("models/me__tiny").join(COMMIT)
}

/// Names below a folder, hidden ones too, sorted.
fn names(folder: PathBuf) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The model is there, whole, and nothing else.
#[track_caller]
fn whole(scratch: &Scratch) {
    let files = ["README.md", "config.json", "model.safetensors", "pliant.lock.json", "vocab.txt"];
    assert_eq!(names(folder(scratch)), files);
    assert_eq!(names(scratch.path("models/me__tiny")), [COMMIT, "refs"]);
    assert!(
        fs::read(folder(scratch).join("model.safetensors")).unwrap() == repo().files["model.safetensors"]
    );
}

/// It is not, and nobody takes what is there for it.
#[track_caller]
fn absent(scratch: &Scratch, hub: &Hub) {
    assert!(!folder(scratch).exists());
    let ended = run(scratch, hub, &["model", "inspect", REPO]).go().code(66);
    assert!(ended.stderr.contains("pliant model pull me/tiny"), "{}", ended.stderr);
}

/// Bytes at which the weights begin that were asked for, request by request.
fn asked_from(hub: &Hub) -> Vec<Option<usize>> {
    hub.seen().iter().filter(|asked| asked.weights()).map(Asked::from).collect()
}

#[test]
fn a_model_is_pulled_once_and_used_without_a_server() {
    let scratch = Scratch::new();
    let store = hub();
    let mut repo = repo();
    repo.elsewhere.clone_from(&store.url);
    let hub = Hub::start(move |asked| repo.answer(asked));
    let words = ["model", "pull", REPO];
    let ended = run(&scratch, &hub, &words).env("HF_TOKEN", TOKEN).go().code(0);
    let told = ended.text();
    assert!(
        told.starts_with(&format!("model: {REPO}\nrevision: {COMMIT}\nlicence: mit\nfolder: ")),
        "{told}"
    );
    assert!(ended.stderr.contains("licence: mit") && !ended.stderr.contains(TOKEN), "{}", ended.stderr);
    whole(&scratch);
    // The token goes to the hub with every request, and never to the place where it sends us.
    let bearer = format!("Bearer {TOKEN}");
    assert!(hub.seen().iter().all(|asked| asked.headers["authorization"] == bearer));
    assert!(!store.seen().is_empty());
    assert!(store.seen().iter().all(|asked| !asked.headers.contains_key("authorization")));
    // From now on nobody is asked.
    let url = hub.url.clone();
    drop((hub, store));
    let dead = Hub::gone(&url);
    assert_eq!(run(&scratch, &dead, &words).go().code(0).text(), told);
    scratch.write("in.fasta", ">a\nMKV\n");
    let embed = ["embed", "in.fasta", "--out", "out.npz", "--threads", "1", "--model"];
    run(&scratch, &dead, &[&embed[..], &[REPO]].concat()).go().code(0);
    run(&scratch, &dead, &[&embed[..], &[&format!("{REPO}@{COMMIT}")]].concat()).go().code(0);
    let verified = run(&scratch, &dead, &["model", "verify", REPO]).go().code(0).text();
    assert!(verified.ends_with(&format!("source: {REPO} at {COMMIT}\n")), "{verified}");
    let listed = run(&scratch, &dead, &["model", "list"]).go().code(0).text();
    assert!(listed.starts_with(&format!("{REPO}\t{COMMIT}\tmit\t")), "{listed}");
    let listed = run(&scratch, &dead, &["model", "list", "--json"]).go().code(0).json();
    assert_eq!(listed[0]["model"], REPO);
}

#[test]
fn the_lock_says_what_was_pulled() {
    let (scratch, hub) = (Scratch::new(), hub());
    pull(&scratch, &hub, &["--out", "one"]).code(0);
    let lock: serde_json::Value = serde_json::from_slice(&scratch.read("one/pliant.lock.json")).unwrap();
    assert_eq!(
        (&lock["repo"], &lock["revision"], &lock["licence"]),
        (&REPO.into(), &COMMIT.into(), &"mit".into())
    );
    assert_eq!(lock["endpoint"], hub.url.as_str());
    for (name, bytes) in repo().files.iter().filter(|(name, _)| scratch.path("one").join(name).exists()) {
        assert_eq!(lock["files"][name]["sha256"], sha256(bytes), "{name}");
        assert_eq!(lock["files"][name]["size"], bytes.len(), "{name}");
    }
    pull(&scratch, &hub, &["--out", "two"]).code(0);
    assert_eq!(scratch.read("one/pliant.lock.json"), scratch.read("two/pliant.lock.json"));
    assert_eq!(scratch.names(), ["one", "two"]);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let size = repo().files["model.safetensors"].len();
    let hub = hub_with(|count, _, good| Reply { cut: (count < 2).then_some(10_000), ..good });
    let scratch = Scratch::new();
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert!(size > 20_000);
    assert_eq!(asked_from(&hub), [None, Some(10_000), Some(20_000)]);
    let tag = format!("\"{}\"", sha256(&repo().files["model.safetensors"]));
    let parts: Vec<Asked> = hub.seen().into_iter().filter(|asked| asked.from().is_some()).collect();
    assert!(parts.iter().all(|asked| asked.headers["if-range"] == tag), "{parts:?}");
}

#[test]
fn a_run_that_gave_up_or_was_killed_leaves_nothing_half() {
    let scratch = Scratch::new();
    let hub = hub_with(|count, _, good| match count {
        0 => Reply { cut: Some(10_000), ..good },
        1 => Reply { cut: Some(5_000), pause: Some(Duration::from_secs(60)), ..good },
        _ => good,
    });
    let ended = pull(&scratch, &hub, &["--retries", "0"]).code(75);
    assert!(ended.stderr.contains("gave up after one try"), "{}", ended.stderr);
    absent(&scratch, &hub);
    let mut child = run(&scratch, &hub, &["model", "pull", REPO]).start();
    let partial = scratch.path("models/me__tiny/.partial/model.safetensors.partial");
    let begun = Instant::now();
    while fs::metadata(&partial).is_ok_and(|file| file.len() < 15_000) && begun.elapsed().as_secs() < 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    absent(&scratch, &hub);
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert_eq!(asked_from(&hub), [None, Some(10_000), Some(15_000)]);
}

#[test]
fn a_server_that_knows_no_parts_sends_all_of_it_again() {
    let (mut repo, count) = (repo(), AtomicUsize::new(0));
    repo.parts = false;
    let hub = Hub::start(move |asked| match repo.answer(asked) {
        good if asked.weights() && count.fetch_add(1, Ordering::SeqCst) == 0 => {
            Reply { cut: Some(10_000), ..good }
        }
        good => good,
    });
    let scratch = Scratch::new();
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert_eq!(asked_from(&hub), [None, Some(10_000)]);
}

#[test]
fn a_part_that_was_not_asked_for_is_not_taken() {
    let hub = hub_with(|count, _, good| match count {
        0 => Reply { cut: Some(10_000), ..good },
        1 => Reply::new(206, b"xyz").with("content-range", "bytes 5-7/8"),
        2 => Reply::new(416, ""),
        _ => good,
    });
    let scratch = Scratch::new();
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert_eq!(asked_from(&hub), [None, Some(10_000), None, None]);
}

#[test]
fn another_content_than_declared_is_removed() {
    let scratch = Scratch::new();
    let hub = hub_with(|_, _, mut good| {
        *good.body.last_mut().unwrap() ^= 1;
        good
    });
    let ended = pull(&scratch, &hub, &[]).code(65);
    let weights = &repo().files["model.safetensors"];
    let mut changed = weights.clone();
    *changed.last_mut().unwrap() ^= 1;
    for hash in [sha256(weights), sha256(&changed)] {
        assert!(ended.stderr.contains(&hash), "{}", ended.stderr);
    }
    absent(&scratch, &hub);
    let left = names(scratch.path("models/me__tiny/.partial"));
    assert!(!left.iter().any(|name| name.starts_with("model")), "{left:?}");
}

#[test]
fn a_part_that_rotted_is_fetched_again() {
    let scratch = Scratch::new();
    let hub = hub_with(|count, _, good| Reply { cut: (count == 0).then_some(10_000), ..good });
    pull(&scratch, &hub, &["--retries", "0"]).code(75);
    let partial = "models/me__tiny/.partial/model.safetensors.partial";
    let mut bytes = scratch.read(partial);
    bytes[77] ^= 1;
    scratch.write(partial, bytes).write("models/me__tiny/.partial/config.json", "{}");
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert_eq!(asked_from(&hub), [None, Some(10_000), None]);
}

#[test]
fn a_pointer_of_git_lfs_is_no_file() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    // The server has nothing but the pointer, and says so in its list.
    let mut pointers = repo();
    pointers.files.insert("model.safetensors".to_owned(), pointer.into());
    let declared = Hub::start(move |asked| pointers.answer(asked));
    let undeclared = hub_with(move |_, _, _| Reply::new(200, pointer));
    for hub in [declared, undeclared] {
        let scratch = Scratch::new();
        let ended = pull(&scratch, &hub, &[]).code(65);
        assert!(
            ended.stderr.contains("model.safetensors: the server sends the Git-LFS pointer"),
            "{}",
            ended.stderr
        );
        absent(&scratch, &hub);
    }
}

#[test]
fn what_is_not_there_or_not_for_everybody_is_said() {
    let answers: [(u16, &str, &str, &str); 5] = [
        (404, "", "", "has no model me/tiny, revision main"),
        (401, "RepoNotFound", "", "accept its terms on http://"),
        (401, "RepoNotFound", TOKEN, "has no model me/tiny"),
        (403, "GatedRepo", TOKEN, "the account of HF_TOKEN may not read it"),
        (401, "GatedRepo", "", "set HF_TOKEN"),
    ];
    for (status, code, token, words) in answers {
        let scratch = Scratch::new();
        let hub = Hub::start(move |_| Reply::new(status, "").with("x-error-code", code));
        let ended = run(&scratch, &hub, &["model", "pull", REPO]).env("HF_TOKEN", token).go().code(66);
        assert!(ended.stderr.contains(words), "{status} {code}: {}", ended.stderr);
        assert_eq!(hub.seen().len(), 1, "no second try");
        assert_eq!(names(scratch.path("models")).len(), 0);
    }
    let scratch = Scratch::new();
    let hub = hub_with(|_, _, _| Reply::new(404, "").with("x-error-code", "EntryNotFound"));
    let ended = pull(&scratch, &hub, &[]).code(66);
    assert!(ended.stderr.contains("has no file model.safetensors of model me/tiny"), "{}", ended.stderr);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let hub = hub_with(|count, _, good| match count {
        0 => Reply::new(503, ""),
        1 => Reply::new(429, "").with("retry-after", "0"),
        _ => good,
    });
    let scratch = Scratch::new();
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    let busy = Hub::start(|_| Reply::new(503, ""));
    let ended = pull(&Scratch::new(), &busy, &["--retries", "2"]).code(75);
    assert!(ended.stderr.contains("the server answers 503; gave up after 3 tries"), "{}", ended.stderr);
    assert_eq!(busy.seen().len(), 3);
}

#[test]
fn a_server_that_is_silent_or_gone_ends_in_try_again() {
    let silence = Some(Duration::from_secs(30));
    let silent = Hub::start(move |_| {
        std::thread::sleep(Duration::from_secs(30));
        Reply::new(200, "")
    });
    let stuck = hub_with(move |_, _, good| Reply { cut: Some(100), pause: silence, ..good });
    for hub in [silent, stuck] {
        let begun = Instant::now();
        let ended = pull(&Scratch::new(), &hub, &["--timeout", "0.3", "--retries", "1"]).code(75);
        assert!(ended.stderr.contains("no answer within 0.3 s"), "{}", ended.stderr);
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    let gone = Hub::gone("http://127.0.0.1:1");
    let ended = pull(&Scratch::new(), &gone, &["--retries", "0"]).code(75);
    assert!(ended.stderr.contains("run it again"), "{}", ended.stderr);
}

#[test]
fn more_than_is_declared_is_not_taken() {
    let endless = hub_with(|_, _, good| Reply { endless: true, ..good });
    let announced = hub_with(|_, _, mut good| {
        good.body.push(0);
        good
    });
    for hub in [endless, announced] {
        let scratch = Scratch::new();
        let ended = pull(&scratch, &hub, &[]).code(65);
        assert!(ended.stderr.contains("model.safetensors: the server sends "), "{}", ended.stderr);
        absent(&scratch, &hub);
    }
    let list = Hub::start(|_| Reply { endless: true, ..Reply::new(200, vec![b' '; 1 << 20]) });
    let ended = pull(&Scratch::new(), &list, &[]).code(65);
    assert!(ended.stderr.contains("answers with more than 16777216 bytes"), "{}", ended.stderr);
}

#[test]
fn redirects_end_and_stay_on_the_web() {
    for (location, words) in [
        ("/again", "leads over more than 5 redirects"),
        ("file:///etc/passwd", "which is refused"),
        ("", "which is refused"),
    ] {
        let hub = Hub::start(move |_| Reply::new(302, "").with("location", location));
        let ended = pull(&Scratch::new(), &hub, &[]).code(65);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn names_of_a_hostile_server_reach_no_file() {
    let mut hostile = repo();
    for name in
        ["../evil.safetensors", "/tmp/pliant-evil.txt", "a/../../vocab.txt", ".bashrc", "C:\\x.safetensors"]
    {
        hostile.files.insert(name.to_owned(), b"evil".to_vec());
    }
    let hub = Hub::start(move |asked| hostile.answer(asked));
    let scratch = Scratch::new();
    pull(&scratch, &hub, &[]).code(0);
    whole(&scratch);
    assert_eq!(scratch.names(), ["models"]);
    assert!(!hub.seen().iter().any(|asked| asked.path.contains("evil")));

    let mut indexed = repo();
    let weights = indexed.files.remove("model.safetensors").unwrap();
    indexed.files.insert("a.safetensors".to_owned(), weights);
    let index = "{\"weight_map\": {\"x\": \"../../x.safetensors\"}}";
    indexed.files.insert("model.safetensors.index.json".to_owned(), index.into());
    let hub = Hub::start(move |asked| indexed.answer(asked));
    let ended = pull(&Scratch::new(), &hub, &[]).code(65);
    assert!(ended.stderr.contains("as a file of weights"), "{}", ended.stderr);
    for list in ["[]", "{}", "{\"sha\": \"../../x\", \"siblings\": []}", "\u{0}"] {
        let hub = Hub::start(move |_| Reply::new(200, list));
        let ended = pull(&Scratch::new(), &hub, &[]).code(65);
        assert!(ended.stderr.contains("no list of a model's files"), "{}", ended.stderr);
    }
}

#[test]
fn files_without_a_hash_in_the_list_are_asked_for_one() {
    for declared in [true, false] {
        let repo = repo();
        let hub = Hub::start(move |asked| {
            let mut good = repo.answer(asked);
            if asked.path.contains("/api/") {
                let mut list = repo.listing();
                for file in list["siblings"].as_array_mut().unwrap() {
                    *file = serde_json::json!({ "rfilename": file["rfilename"] });
                }
                good.body = list.to_string().into_bytes();
            }
            if !declared {
                good.headers.retain(|(name, _)| *name != "etag");
            }
            good
        });
        let scratch = Scratch::new();
        let ended = pull(&scratch, &hub, &[]).code(if declared { 0 } else { 65 });
        if declared {
            whole(&scratch);
        } else {
            assert!(ended.stderr.contains("could not be checked"), "{}", ended.stderr);
        }
    }
}

#[test]
fn weights_in_several_files_are_those_of_the_index() {
    let mut sharded = repo();
    let weights = sharded.files.remove("model.safetensors").unwrap();
    for name in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "unused.safetensors"]
    {
        sharded.files.insert(name.to_owned(), weights.clone());
    }
    let map = serde_json::json!({ "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
    } });
    sharded.files.insert("model.safetensors.index.json".to_owned(), map.to_string().into());
    let hub = Hub::start(move |asked| sharded.answer(asked));
    let scratch = Scratch::new();
    // The same tensors twice are no model; that is another matter, and said.
    let ended = pull(&scratch, &hub, &[]).code(0);
    assert!(ended.stderr.contains("this version cannot use the model"), "{}", ended.stderr);
    let found = names(folder(&scratch));
    assert_eq!(found.iter().filter(|name| name.contains(".safetensors")).count(), 3, "{found:?}");
    assert!(!found.contains(&"unused.safetensors".to_owned()));
}

#[test]
fn without_safetensors_the_way_is_shown() {
    let mut pytorch = repo();
    let weights = pytorch.files.remove("model.safetensors").unwrap();
    pytorch.files.insert("pytorch_model.bin".to_owned(), weights);
    let hub = Hub::start(move |asked| pytorch.answer(asked));
    let scratch = Scratch::new();
    let ended = pull(&scratch, &hub, &[]).code(65);
    assert!(ended.stderr.contains("found pytorch_model.bin, tf_model.h5"), "{}", ended.stderr);
    assert!(ended.stderr.contains("pliant model import"), "{}", ended.stderr);
    pull(&scratch, &hub, &["--pytorch"]).code(2);
    let ended = pull(&scratch, &hub, &["--pytorch", "--out", "raw"]).code(0);
    assert!(ended.stderr.contains("'pliant model import raw --out DIR'"), "{}", ended.stderr);
    assert!(names(scratch.path("raw")).contains(&"pytorch_model.bin".to_owned()));
}

#[test]
fn verify_names_a_flipped_bit_and_embed_a_wrong_size() {
    let (scratch, hub) = (Scratch::new(), hub());
    pull(&scratch, &hub, &[]).code(0);
    let path = folder(&scratch).join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let ended = run(&scratch, &hub, &["model", "verify", REPO]).go().code(65);
    assert_eq!(ended.text(), "");
    let wanted = format!("  model.safetensors: found sha256 {}, wanted ", sha256(&bytes));
    assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
    fs::write(&path, &bytes[..last]).unwrap();
    scratch.write("in.fasta", ">a\nMKV\n");
    let ended = run(&scratch, &hub, &["embed", "in.fasta", "--model", REPO, "--out", "o.npz"]).go().code(65);
    let sizes = format!("model.safetensors: found {last} bytes, wanted {}", bytes.len());
    assert!(ended.stderr.contains(&sizes), "{}", ended.stderr);
}

#[test]
fn a_branch_moves_only_when_it_is_told_to() {
    let scratch = Scratch::new();
    let newer = "1".repeat(40);
    let mut moved = repo();
    moved.commit.clone_from(&newer);
    let (before, after) = (hub(), Hub::start(move |asked| moved.answer(asked)));
    pull(&scratch, &before, &[]).code(0);
    assert!(pull(&scratch, &after, &[]).code(0).text().contains(COMMIT));
    assert_eq!(after.seen().len(), 0);
    assert!(pull(&scratch, &after, &["--update"]).code(0).text().contains(&newer));
    assert!(pull(&scratch, &before, &[]).code(0).text().contains(&newer));
    let asked = before.seen().len();
    pull(&scratch, &before, &["--update"]).code(0);
    assert_eq!(before.seen().len(), asked + 1, "the commit that is there is not fetched again");
    let listed = run(&scratch, &before, &["model", "list"]).go().code(0).text();
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let (scratch, hub) = (Scratch::new(), hub());
    fs::create_dir(scratch.path("mine")).unwrap();
    scratch.write("mine/notes.txt", "mine");
    let ended = pull(&scratch, &hub, &["--out", "mine"]).code(74);
    assert!(ended.stderr.contains("mine holds something that was not pulled"), "{}", ended.stderr);
    assert_eq!(names(scratch.path("mine")), ["notes.txt"]);
    fs::create_dir(scratch.path("empty")).unwrap();
    pull(&scratch, &hub, &["--out", "empty"]).code(0);
    pull(&scratch, &hub, &["--out", "empty"]).code(0);
    let ended = run(&scratch, &hub, &["model", "pull", "me/other", "--out", "empty"]).go().code(74);
    assert!(ended.stderr.contains("empty holds the model me/tiny"), "{}", ended.stderr);
    assert_eq!(scratch.names(), ["empty", "mine"]);
}

#[test]
fn two_pulls_of_one_model_do_the_work_once() {
    let hub = hub_with(|_, _, good| {
        std::thread::sleep(Duration::from_secs(1));
        good
    });
    let scratch = Scratch::new();
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..3).map(|_| scope.spawn(|| pull(&scratch, &hub, &[]).code(0))).collect();
        pulls.into_iter().map(|pull| pull.join().unwrap()).collect()
    });
    whole(&scratch);
    assert_eq!(asked_from(&hub), [None]);
    assert!(ended.iter().all(|one| one.stdout == ended[0].stdout));
    assert!(ended.iter().any(|one| one.stderr.contains("another pliant works in")));
}

#[test]
fn names_that_no_model_has_are_refused() {
    let (scratch, hub) = (Scratch::new(), hub());
    for name in ["esm2", "../tiny", "a/b/c", "me/tiny@../x", "me/tiny@"] {
        let ended = run(&scratch, &hub, &["model", "pull", name]).go().code(2);
        assert!(ended.stderr.contains("is no name of a model"), "{}", ended.stderr);
    }
    for endpoint in ["nowhere", "https://me:secret@hub.org", "file:///tmp"] {
        let ended = pull(&scratch, &hub, &["--endpoint", endpoint]).code(2);
        assert!(
            ended.stderr.contains("the endpoint") && !ended.stderr.contains("secret"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(hub.seen().len(), 0);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_short_name_stands_for_its_repository() {
    let (scratch, hub) = (Scratch::new(), Hub::start(|_| Reply::new(404, "")));
    run(&scratch, &hub, &["model", "pull", "esm2_t6_8M@v1"]).go().code(66);
    assert!(hub.seen()[0].path.starts_with("/api/models/facebook/esm2_t6_8M_UR50D/revision/v1?"));
}
