//! Names of models: repositories of a hub, and short names for the published ones.

use crate::hub::HubError;

/// The revision of a repository where none is named.
const DEFAULT_REVISION: &str = "main";

/// Short names and their repositories.
const KNOWN: [(&str, &str); 6] = [
    ("esm2_t6_8M", "facebook/esm2_t6_8M_UR50D"),
    ("esm2_t12_35M", "facebook/esm2_t12_35M_UR50D"),
    ("esm2_t30_150M", "facebook/esm2_t30_150M_UR50D"),
    ("esm2_t33_650M", "facebook/esm2_t33_650M_UR50D"),
    ("esm2_t36_3B", "facebook/esm2_t36_3B_UR50D"),
    ("esm2_t48_15B", "facebook/esm2_t48_15B_UR50D"),
];

/// Letters of the owner or the name of a repository, at most.
const LONGEST_PART: usize = 96;

/// Letters of a revision, at most.
const LONGEST_REVISION: usize = 128;

/// A model of a hub: `NAME`, or `OWNER/REPO`, and `@REV` where another revision than `main` is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// As it was typed.
    pub typed: String,
    /// `OWNER/REPO`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

impl ModelName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`HubError::Name`] for what no model can be called, and for a short name that nobody knows.
    pub fn parse(typed: &str) -> Result<Self, HubError> {
        let refuse = |reason: String| HubError::Name { typed: typed.to_owned(), reason };
        let (repo, revision) = typed.split_once('@').unwrap_or((typed, DEFAULT_REVISION));
        let repo = match repo.split_once('/') {
            Some((owner, name)) if plain(owner, LONGEST_PART) && plain(name, LONGEST_PART) => repo.to_owned(),
            Some(_) => {
                return Err(refuse("wanted OWNER/REPO of letters, digits, '-', '_' and '.'".to_owned()));
            }
            None => known(repo).ok_or_else(|| refuse(unknown())).map(str::to_owned)?,
        };
        let sound = revision.split('/').all(|part| plain(part, LONGEST_REVISION));
        if !sound || revision.len() > LONGEST_REVISION {
            return Err(refuse("wanted a branch, a tag or a commit after the '@'".to_owned()));
        }
        Ok(Self { typed: typed.to_owned(), repo, revision: revision.to_owned() })
    }

    /// The repository as the name of one folder.
    pub(super) fn folder(&self) -> String {
        self.repo.replace('/', "__")
    }
}

/// Whether the text is one part of a path that means itself everywhere: no separator, no hidden file, no `..`.
pub(super) fn plain(text: &str, longest: usize) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= longest && text.bytes().all(letter) && !text.starts_with(['.', '-'])
}

/// Whether the text is the hash of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Whether the text is a number of `length` digits, in hex and lower case.
pub(super) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn known(name: &str) -> Option<&'static str> {
    let named = |(short, repo): &&(&str, &str)| {
        name == *short || repo.split_once('/').is_some_and(|(_, r)| r == name)
    };
    KNOWN.iter().find(named).map(|(_, repo)| *repo)
}

fn unknown() -> String {
    let names: Vec<&str> = KNOWN.iter().map(|(short, _)| *short).collect();
    format!("wanted OWNER/REPO, or one of the short names {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repositories_with_a_revision() {
        let commit = "c731040fcd8d73dceaa04b0a8e6329b345b0f5df";
        for (typed, repo, revision) in [
            ("esm2_t6_8M", "facebook/esm2_t6_8M_UR50D", "main"),
            ("esm2_t6_8M_UR50D@v1.0", "facebook/esm2_t6_8M_UR50D", "v1.0"),
            ("me/My-model.2", "me/My-model.2", "main"),
            (&format!("me/model@{commit}"), "me/model", commit),
            ("me/model@refs/pr/3", "me/model", "refs/pr/3"),
        ] {
            let name = ModelName::parse(typed).unwrap();
            assert_eq!((name.repo.as_str(), name.revision.as_str()), (repo, revision));
        }
        assert_eq!(ModelName::parse("me/model").unwrap().folder(), "me__model");
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for typed in [
            "",
            "no-model",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "/a",
            "a/",
            "a/b@",
            "a/b@../x",
            "a/b@x//y",
            "a/b@@",
            "a/b\0",
            "a/b c",
            "a/b@x%2fy",
            "-a/b",
            "a/b@-x",
            "ü/b",
        ] {
            assert!(matches!(ModelName::parse(typed), Err(HubError::Name { .. })), "{typed:?}");
        }
        assert!(ModelName::parse(&format!("a/{}", "b".repeat(97))).is_err());
    }

    #[test]
    fn a_short_name_that_nobody_knows_gets_the_list() {
        let error = ModelName::parse("esm2").unwrap_err().to_string();
        assert!(error.contains("esm2_t6_8M, esm2_t12_35M"), "{error}");
    }
}
