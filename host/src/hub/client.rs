//! The client: one request, its redirects, and patience with a network that fails now and then.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{HeaderMap, Request, Response, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::hub::HubError;
use crate::hub::address::{Endpoint, redirected, shown};

/// Redirects that are followed, at most.
const REDIRECTS: usize = 5;

/// Wait before the second try; it doubles from try to try.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Wait between two tries, at most, whatever a server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The variable that names the certificates to trust.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// How a hub is spoken to.
#[derive(Debug, Clone)]
pub struct Access {
    /// The address of the hub.
    pub endpoint: String,
    /// A secret that the hub knows the user by.
    pub token: Option<String>,
    /// Silence that is borne.
    pub timeout: Duration,
    /// Tries after a first one that failed, as long as nothing comes.
    pub retries: u32,
}

/// Speaks to one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    token: Option<String>,
    timeout: Duration,
    retries: u32,
}

/// Why a try failed.
pub(super) enum Fault {
    /// Another try may do better.
    Passing {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
        /// Whether something came, so that patience starts anew.
        moved: bool,
    },
    /// It is no use.
    Final(HubError),
}

impl From<HubError> for Fault {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// An answer, after all redirects.
pub(super) struct Answer {
    /// Where it comes from, as it may be shown.
    pub(super) url: String,
    /// What the hub itself said on the way.
    pub(super) hub: HeaderMap,
    /// The answer.
    pub(super) response: Response<Body>,
}

impl Client {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// An endpoint, a token or certificates that cannot be used.
    pub(super) fn new(access: &Access) -> Result<Self, HubError> {
        let Access { timeout, retries, .. } = *access;
        let endpoint = Endpoint::parse(&access.endpoint)?;
        let token = access.token.clone().filter(|token| !token.is_empty() && endpoint.keeps_secrets());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let reason = "found blanks or letters that no token has".to_owned();
            return Err(HubError::Variable { name: "HF_TOKEN", reason });
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("pliant/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout));
        let config = match certificates()? {
            Some(trusted) => config.tls_config(TlsConfig::builder().root_certs(trusted).build()),
            None => config,
        };
        Ok(Self { agent: config.build().into(), endpoint, token, timeout, retries })
    }

    /// The address of the hub.
    pub(super) fn endpoint(&self) -> &str {
        self.endpoint.text()
    }

    /// Silence that is borne.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks once for `path` of the hub with more headers, and follows redirects. The token goes to the hub alone.
    /// `what` names what is asked for in errors.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, String)],
        what: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let first = format!("{}{path}", self.endpoint.text());
        let answered = |url: &str, reason: String| HubError::Answer { url: url.to_owned(), reason };
        let mut at: Uri = first.parse().map_err(|_| answered(&first, "is no address".to_owned()))?;
        let mut hub = HeaderMap::new();
        for _ in 0..=REDIRECTS {
            let own = self.endpoint.owns(&at);
            let mut request =
                Request::builder().method(method).uri(&at).header("accept-encoding", "identity");
            for (name, value) in more {
                request = request.header(*name, value);
            }
            if let (true, Some(token)) = (own, &self.token) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let url = shown(&at);
            let request = request.body(()).map_err(|error| answered(&url, error.to_string()))?;
            let response = self.agent.run(request).map_err(|error| self.fault(&url, error, false))?;
            if own {
                let new = response.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
                hub.extend(new);
            }
            if response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED {
                let location = text(response.headers(), "location").unwrap_or_default();
                let next = redirected(&at, location);
                at = next.ok_or_else(|| {
                    answered(&url, format!("leads to {:?}, which is refused", cut(location)))
                })?;
                continue;
            }
            self.accept(&response, &url, own, what)?;
            return Ok(Answer { url, hub, response });
        }
        Err(answered(&first, format!("leads over more than {REDIRECTS} redirects")).into())
    }

    /// Refuses answers that bring nothing. 416 is left to those who ask for a part.
    fn accept(&self, response: &Response<Body>, url: &str, own: bool, what: &Asked<'_>) -> Result<(), Fault> {
        let (status, headers) = (response.status().as_u16(), response.headers());
        let (url, named) = (url.to_owned(), what.text());
        let code = text(headers, "x-error-code").unwrap_or_default();
        Err(match status {
            200..=299 | 416 => return Ok(()),
            404 | 410 => HubError::Absent { what: named, url }.into(),
            401 | 403 if own => {
                // A hub does not say of a private model that it is there.
                let page = format!("{}/{}", self.endpoint.text(), what.repo);
                let token = self.token.is_some();
                match code {
                    "RepoNotFound" | "RevisionNotFound" | "EntryNotFound" if token => {
                        HubError::Absent { what: named, url }.into()
                    }
                    _ => HubError::Refused { what: named, status, url, token, page }.into(),
                }
            }
            // Addresses of a store are signed for a while.
            403 | 408 | 425 | 429 | 500..=599 => {
                let wait = text(headers, "retry-after").and_then(|seconds| seconds.parse().ok());
                let wait = wait.map(Duration::from_secs);
                Fault::Passing { url, reason: format!("the server answers {status}"), wait, moved: false }
            }
            _ => HubError::Answer { url, reason: format!("the server answers {status}") }.into(),
        })
    }

    /// What an error of the library means.
    fn fault(&self, url: &str, error: ureq::Error, moved: bool) -> Fault {
        let url = url.to_owned();
        let passing = |reason: String| Fault::Passing { url: url.clone(), reason, wait: None, moved };
        let unsafe_peer = |reason: String| Fault::Final(HubError::Tls { url: url.clone(), reason });
        match error {
            ureq::Error::Timeout(phase) => {
                passing(format!("no answer within {} s ({phase})", self.timeout.as_secs_f32()))
            }
            ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                unsafe_peer(cause.to_string())
            }
            ureq::Error::Io(cause) => passing(cause.to_string()),
            error @ (ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_)) => {
                unsafe_peer(error.to_string())
            }
            ureq::Error::HostNotFound => passing("the name of the server is unknown".to_owned()),
            error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl) => {
                HubError::Answer { url, reason: error.to_string() }.into()
            }
            error => passing(error.to_string()),
        }
    }

    /// What an error while a body is read means; `moved` as in [`Fault::Passing`].
    pub(super) fn broken(&self, url: &str, cause: io::Error, moved: bool) -> Fault {
        // The library hides its own errors in those of the system.
        match cause.downcast::<ureq::Error>() {
            Ok(error) => self.fault(url, error, moved),
            Err(cause) => {
                let reason = format!("the connection broke: {cause}");
                Fault::Passing { url: url.to_owned(), reason, wait: None, moved }
            }
        }
    }

    /// Tries until it works, is no use, or has failed too often without anything coming.
    pub(super) fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, HubError> {
        let mut tries = 0;
        loop {
            let (url, reason, asked, moved) = match attempt() {
                Ok(answer) => return Ok(answer),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing { url, reason, wait, moved }) => (url, reason, wait, moved),
            };
            tries = if moved { 1 } else { tries + 1 };
            if tries > self.retries {
                return Err(HubError::Network { url, reason, tries });
            }
            // Who bears little silence waits little between tries too.
            let first = FIRST_WAIT.min(self.timeout / 20);
            let wait = asked.unwrap_or(first * (1 << (tries - 1).min(10)));
            std::thread::sleep(wait.min(LONGEST_WAIT));
        }
    }

    /// The text at `path` of the hub, of at most `limit` bytes.
    pub(super) fn text(&self, path: &str, limit: u64, what: &Asked<'_>) -> Result<String, HubError> {
        self.patiently(|| {
            let Answer { url, mut response, .. } = self.ask("GET", path, &[], what)?;
            let mut bytes = Vec::new();
            let read = response.body_mut().as_reader().take(limit + 1).read_to_end(&mut bytes);
            read.map_err(|cause| self.broken(&url, cause, false))?;
            if bytes.len() as u64 > limit {
                let reason = format!("answers with more than {limit} bytes");
                return Err(HubError::Answer { url, reason }.into());
            }
            let refuse = |_| HubError::Answer { url, reason: "answers with what is no text".to_owned() };
            Ok(String::from_utf8(bytes).map_err(refuse)?)
        })
    }
}

/// What is asked for, for errors.
pub(super) struct Asked<'a> {
    /// `OWNER/REPO`.
    pub(super) repo: &'a str,
    /// Branch, tag or commit.
    pub(super) revision: &'a str,
    /// The file, where it is one.
    pub(super) file: Option<&'a str>,
}

impl Asked<'_> {
    fn text(&self) -> String {
        let Self { repo, revision, file } = self;
        let file = file.map(|file| format!("file {file} of ")).unwrap_or_default();
        format!("{file}model {repo}, revision {revision}")
    }
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a server says, as it may be shown.
pub(super) fn cut(text: &str) -> String {
    text.split('?')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(120)
        .collect()
}

/// The certificates that the environment names; `None` for those that the program carries.
fn certificates() -> Result<Option<RootCerts>, HubError> {
    let Some(path) = std::env::var_os(CERTIFICATES).filter(|path| !path.is_empty()) else { return Ok(None) };
    let refuse = |reason: String| HubError::Variable { name: CERTIFICATES, reason };
    let pem = std::fs::read(&path).map_err(|cause| refuse(format!("{}: {cause}", path.display())))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let found: Vec<Certificate<'static>> = parse_pem(&pem).filter_map(certificate).collect();
    if found.is_empty() {
        return Err(refuse(format!("found no certificate in {}", path.display())));
    }
    Ok(Some(RootCerts::new_with_certs(&found)))
}
