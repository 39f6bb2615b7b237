//! Addresses: the endpoint of a hub, and where a redirect leads.

use ureq::http::Uri;

use crate::hub::HubError;

/// The hub that is asked where none is named.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The address of a hub: `https://HOST[:PORT][/PATH]`.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    text: String,
    uri: Uri,
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// [`HubError::Endpoint`].
    pub(super) fn parse(typed: &str) -> Result<Self, HubError> {
        let refuse = |reason| HubError::Endpoint { typed: without_secrets(typed), reason };
        let text = typed.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| refuse("wanted https://HOST"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(refuse("wanted https://HOST"));
        }
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if authority.contains('@') {
            return Err(refuse("a name or a password has no place in it; HF_TOKEN holds a token"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(refuse("it ends in a query or a fragment"));
        }
        Ok(Self { text: text.to_owned(), uri })
    }

    /// The address without a last `/`.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether an address lies on this very server.
    pub(super) fn owns(&self, uri: &Uri) -> bool {
        origin(&self.uri) == origin(uri)
    }

    /// Whether a secret may travel there: nobody between can read it.
    pub(super) fn keeps_secrets(&self) -> bool {
        self.uri.scheme_str() == Some("https")
            || self.uri.host().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host))
    }
}

/// Scheme, host and port.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), uri.port_u16().or(Some(usual)))
}

/// The address that `location` names in an answer of `from`; `None` where it is none, or none that is as safe.
pub(super) fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?.as_str());
    let location = location.split('#').next().unwrap_or_default();
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        location.to_owned()
    };
    let uri: Uri = text.parse().ok()?;
    let safe = matches!((scheme, uri.scheme_str()?), ("https" | "http", "https") | ("http", "http"));
    let named = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    (safe && named).then_some(uri)
}

/// An address as it may be shown: what follows a `?` may give access.
pub(super) fn shown(uri: &Uri) -> String {
    without_secrets(&uri.to_string())
}

fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://{}", &text[..scheme], &text[at + 1..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_plain_addresses() {
        assert_eq!(Endpoint::parse("https://mirror.org/hub/").unwrap().text(), "https://mirror.org/hub");
        for typed in [
            "",
            "mirror.org",
            "ftp://a.org",
            "https://",
            "https://me:secret@a.org",
            "https://a.org/?x=1",
            "http://a b",
        ] {
            let error = Endpoint::parse(typed).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let endpoint = Endpoint::parse("https://hub.org").unwrap();
        let owns = |text: &str| endpoint.owns(&text.parse().unwrap());
        assert!(owns("https://hub.org/x") && owns("https://HUB.org:443/"));
        for other in
            ["http://hub.org/", "https://hub.org:8443/", "https://cdn.hub.org/", "https://hub.org.evil.com/"]
        {
            assert!(!owns(other), "{other}");
        }
        assert!(endpoint.keeps_secrets());
        assert!(!Endpoint::parse("http://hub.org").unwrap().keeps_secrets());
        assert!(Endpoint::parse("http://127.0.0.1:80").unwrap().keeps_secrets());
    }

    #[test]
    fn redirects_lead_to_safe_places() {
        let from: Uri = "https://hub.org/a/b".parse().unwrap();
        let to = |location: &str| redirected(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("/x?y=1").as_deref(), Some("https://hub.org/x?y=1"));
        assert_eq!(to("//cdn.org/x").as_deref(), Some("https://cdn.org/x"));
        assert_eq!(to("https://cdn.org/x#y").as_deref(), Some("https://cdn.org/x"));
        for wrong in ["", "x", "http://hub.org/x", "file:///etc/passwd", "https://me@cdn.org/", "https://"] {
            assert_eq!(to(wrong), None, "{wrong}");
        }
        assert_eq!(shown(&"https://cdn.org/x?Signature=1".parse().unwrap()), "https://cdn.org/x");
    }
}
