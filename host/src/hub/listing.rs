//! What a repository holds, and which of it makes a model folder.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::hub::HubError;
use crate::hub::client::{Answer, Asked, Client, Fault, cut, text};
use crate::hub::digest::Declared;
use crate::hub::lock::LONGEST_NAME;
use crate::hub::name::{ModelName, is_commit, is_hex, plain};

/// Bytes of a listing, at most.
const LARGEST_LISTING: u64 = 16 << 20;

/// Bytes of a file that is not weights, at most.
const LARGEST_TEXT: u64 = 64 << 20;

/// The list of the tensors of several files.
const INDEX: &str = "model.safetensors.index.json";
const PYTORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// The weights as one file.
const SINGLE: &str = "model.safetensors";
const PYTORCH: &str = "pytorch_model.bin";

/// Files that are taken where they are there.
const BESIDE_WEIGHTS: [&str; 11] = [
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "LICENCE",
    "NOTICE",
];

/// A repository at one commit.
pub(super) struct Listing {
    /// The commit.
    pub(super) commit: String,
    /// The licence that it names.
    pub(super) licence: Option<String>,
    files: Vec<Remote>,
}

/// A file of a repository as the list has it.
#[derive(Debug, Clone)]
struct Remote {
    name: String,
    size: Option<u64>,
    declared: Option<Declared>,
}

/// A file that is fetched.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its name, which is plain.
    pub(super) name: String,
    /// Its bytes.
    pub(super) size: u64,
    /// Its hash.
    pub(super) declared: Declared,
}

/// The names of the files of a model folder.
pub(super) struct Chosen {
    /// The list of the files of weights, where there is one: it is read before they can be named.
    pub(super) index: Option<String>,
    /// All files that are known by name so far.
    pub(super) names: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    sha: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Asks the hub what a model holds.
    ///
    /// # Errors
    /// A model that is not there or not for everybody, and an answer that makes no sense.
    pub(super) fn ask(client: &Client, name: &ModelName) -> Result<Self, HubError> {
        let revision = name.revision.replace('/', "%2F");
        let path = format!("/api/models/{}/revision/{revision}?blobs=true", name.repo);
        let what = Asked { repo: &name.repo, revision: &name.revision, file: None };
        let text = client.text(&path, LARGEST_LISTING, &what)?;
        let refuse = |reason: String| {
            let url = format!("{}/api/models/{}", client.endpoint(), name.repo);
            HubError::Answer { url, reason: format!("answers with no list of a model's files: {reason}") }
        };
        let listing = Self::read(&text).map_err(&refuse)?;
        if is_commit(&name.revision) && listing.commit != name.revision {
            return Err(refuse(format!("found commit {}, wanted {}", listing.commit, name.revision)));
        }
        Ok(listing)
    }

    fn read(text: &str) -> Result<Self, String> {
        let page: Page = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let commit = page.sha.filter(|sha| is_commit(sha)).ok_or("no commit")?;
        let licence = page.tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(cut);
        // What is not plain is nothing that a model folder needs.
        let plain = page.siblings.into_iter().filter(|sibling| plain(&sibling.rfilename, LONGEST_NAME));
        let files: Vec<Remote> = plain.map(Remote::from).collect();
        let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        if names.len() < files.len() {
            return Err("the same file twice".to_owned());
        }
        Ok(Self { commit, licence, files })
    }

    /// The files of a model folder; with `pytorch`, PyTorch's weights where there are no others.
    ///
    /// # Errors
    /// [`HubError::NoWeights`], and [`HubError::Absent`] for a repository without a configuration.
    pub(super) fn choose(&self, repo: &str, pytorch: bool) -> Result<Chosen, HubError> {
        if !self.has("config.json") {
            let what = format!("config.json of model {repo}, revision {}", self.commit);
            return Err(HubError::Absent { what, url: "the list of its files".to_owned() });
        }
        let safetensors = self.ending(".safetensors");
        let (index, weights) = match (&safetensors[..], pytorch) {
            _ if self.has(SINGLE) => (None, Some(SINGLE.to_owned())),
            _ if self.has(INDEX) => (Some(INDEX), None),
            ([only], _) => (None, Some(only.clone())),
            ([], true) if self.has(PYTORCH) => (None, Some(PYTORCH.to_owned())),
            ([], true) if self.has(PYTORCH_INDEX) => (Some(PYTORCH_INDEX), None),
            _ => {
                let mut found = safetensors;
                let pytorch = found.is_empty() && (self.has(PYTORCH) || self.has(PYTORCH_INDEX));
                let others = [".bin", ".pt", ".pth", ".h5", ".msgpack", ".ckpt"];
                found.extend(others.into_iter().flat_map(|end| self.ending(end)));
                found.truncate(8);
                return Err(HubError::NoWeights { repo: repo.to_owned(), found, pytorch });
            }
        };
        let names = ["config.json"].into_iter().chain(BESIDE_WEIGHTS).filter(|name| self.has(name));
        let names = names.map(str::to_owned).chain(weights).chain(index.map(str::to_owned)).collect();
        Ok(Chosen { index: index.map(str::to_owned), names })
    }

    fn ending(&self, end: &str) -> Vec<String> {
        self.files.iter().map(|file| &file.name).filter(|name| name.ends_with(end)).cloned().collect()
    }

    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    /// A file with its size and hash, asked of the hub where the list does not have them.
    ///
    /// # Errors
    /// A file that is not there, is too large for what it is, or for which nothing is declared.
    pub(super) fn want(&self, client: &Client, repo: &str, name: &str) -> Result<Wanted, HubError> {
        let what = Asked { repo, revision: &self.commit, file: Some(name) };
        let path = file_path(repo, &self.commit, name);
        let url = format!("{}{path}", client.endpoint());
        let Some(remote) = self.files.iter().find(|file| file.name == name) else {
            return Err(HubError::Answer {
                url,
                reason: "is named by the index and not in the repository".to_owned(),
            });
        };
        let (size, declared) = match (remote.size, &remote.declared) {
            (Some(size), Some(declared)) => (size, declared.clone()),
            _ => client.patiently(|| declared_by_file(client, &path, &what))?,
        };
        if !is_weights(name) && size > LARGEST_TEXT {
            let reason = format!("is declared with {size} bytes, at most {LARGEST_TEXT} are taken");
            return Err(HubError::Answer { url, reason });
        }
        Ok(Wanted { name: name.to_owned(), size, declared })
    }
}

impl From<Sibling> for Remote {
    fn from(sibling: Sibling) -> Self {
        let Sibling { rfilename: name, size, blob, lfs } = sibling;
        match lfs {
            Some(Large { sha256, size: large }) => {
                let sha256 = sha256.filter(|hex| is_hex(hex, 64));
                Self { name, size: large.or(size), declared: sha256.map(Declared::Sha256) }
            }
            None => {
                let blob = blob.filter(|hex| is_hex(hex, 40));
                Self { name, size, declared: blob.map(Declared::GitBlob) }
            }
        }
    }
}

/// Where a file lies on a hub.
pub(super) fn file_path(repo: &str, commit: &str, name: &str) -> String {
    format!("/{repo}/resolve/{commit}/{name}")
}

/// Size and hash as the headers of the file itself declare them.
fn declared_by_file(client: &Client, path: &str, what: &Asked<'_>) -> Result<(u64, Declared), Fault> {
    let Answer { url, hub, response } = client.ask("HEAD", path, &[], what)?;
    let headers = response.headers();
    let hash =
        text(&hub, "x-linked-etag").or(text(&hub, "etag")).or(text(headers, "etag")).unwrap_or_default();
    let hash = hash.trim_start_matches("W/").trim_matches('"');
    let size = text(&hub, "x-linked-size").or(text(headers, "content-length"));
    let declared = match hash.len() {
        64 if is_hex(hash, 64) => Some(Declared::Sha256(hash.to_owned())),
        40 if is_hex(hash, 40) => Some(Declared::GitBlob(hash.to_owned())),
        _ => None,
    };
    match (size.and_then(|size| size.parse().ok()), declared) {
        (Some(size), Some(declared)) => Ok((size, declared)),
        _ => {
            let reason =
                "the server declares no size or no hash, so that the file could not be checked".to_owned();
            Err(HubError::Answer { url, reason }.into())
        }
    }
}

fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// The files of weights that an index names.
///
/// # Errors
/// [`HubError::Answer`] for what is no index and for files that are no plain weights.
pub(super) fn shards(path: &Path) -> Result<BTreeSet<String>, HubError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let bytes = std::fs::read(path).map_err(|source| HubError::io("read", path, source))?;
    let refuse = |reason: String| HubError::Answer { url: path.display().to_string(), reason };
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|error| refuse(format!("is no index: {error}")))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| !(is_weights(name) && plain(name, LONGEST_NAME))) {
        Some(name) => Err(refuse(format!("found {:?} as a file of weights", cut(name)))),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "c731040fcd8d73dceaa04b0a8e6329b345b0f5df";

    fn listing(names: &[&str]) -> Listing {
        let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let page = serde_json::json!({ "sha": COMMIT, "siblings": siblings, "tags": ["x", "license:mit"] });
        Listing::read(&page.to_string()).unwrap()
    }

    fn chosen(names: &[&str], pytorch: bool) -> Vec<String> {
        listing(names).choose("me/m", pytorch).unwrap().names
    }

    #[test]
    fn a_model_folder_is_its_config_and_one_form_of_weights() {
        let all =
            ["config.json", ".gitattributes", "README.md", "vocab.txt", "tf_model.h5", "pytorch_model.bin"];
        let with = |more: &[&'static str]| [&all[..], more].concat();
        let wanted = ["config.json", "vocab.txt", "README.md", "model.safetensors"];
        assert_eq!(chosen(&with(&["model.safetensors", "other.safetensors"]), false), wanted);
        assert_eq!(chosen(&with(&["other.safetensors"]), true)[3], "other.safetensors");
        let sharded =
            listing(&with(&["model-1.safetensors", "model-2.safetensors", INDEX])).choose("me/m", false);
        assert_eq!(sharded.unwrap().index.as_deref(), Some(INDEX));
        assert_eq!(chosen(&all, true)[3], PYTORCH);
        assert_eq!(listing(&all).licence.as_deref(), Some("mit"));
    }

    #[test]
    fn without_safetensors_the_others_are_named() {
        let error = |names: &[&str]| listing(names).choose("me/m", false).err().unwrap();
        let pytorch = error(&["config.json", "pytorch_model.bin"]);
        assert!(pytorch.to_string().contains("found pytorch_model.bin"), "{pytorch}");
        assert!(pytorch.hint().unwrap().contains("pliant model import"));
        assert!(error(&["config.json"]).to_string().contains("no weights at all"));
        assert!(
            error(&["config.json", "a.safetensors", "b.safetensors"]).to_string().contains("b.safetensors")
        );
        assert!(matches!(error(&["model.safetensors"]), HubError::Absent { .. }));
    }

    #[test]
    fn names_that_are_paths_are_not_in_the_list() {
        let hostile = [
            "../config.json",
            "/etc/config.json",
            "a/config.json",
            ".config.json",
            "config.json\0",
            "con\\fig",
        ];
        assert!(listing(&hostile).files.is_empty());
        assert!(Listing::read("{\"sha\": \"main\"}").is_err());
        let twice =
            serde_json::json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a" }, { "rfilename": "a" }] });
        assert!(Listing::read(&twice.to_string()).is_err());
    }

    #[test]
    fn an_index_names_plain_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let shards_of = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            shards(file.path())
        };
        let good = "{\"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-2.safetensors\", \"c\": \"m-1.safetensors\"}}";
        assert_eq!(shards_of(good).unwrap().len(), 2);
        for (from, to) in
            [("m-2", "../m-2"), ("m-2.safetensors", "config.json"), ("{\"weight_map\"", "{\"x\"")]
        {
            assert!(shards_of(&good.replace(from, to)).is_err(), "{to}");
        }
    }
}
