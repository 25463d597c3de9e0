//! How a sandbox is set up: the builder, and the behaviours of other receivers it can take on.
//! Settings only; nothing here listens, stores or judges.

use std::{path::PathBuf, time::Duration};

use crate::{Sandbox, SandboxError};

/// What one submission may weigh.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest request body in bytes, before and after inflating. More is refused with
    /// `over_limit_status`.
    pub max_body_bytes: usize,
    /// Most entries of one Bundle. More is refused with `over_limit_status`.
    pub max_entries: usize,
    /// The HTTP status of a refusal for size: 413 by default; receivers in the field also use 400
    /// and 500.
    pub over_limit_status: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: 5_000_000, max_entries: 1_000, over_limit_status: 413 }
    }
}

/// Which SMART scope syntax the authorisation server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScopeSupport {
    /// Version 2 with search restrictions: `patient/Observation.cu?category=laboratory`.
    #[default]
    Granular,
    /// Version 2 without restrictions: a scope with `?` makes the request `invalid_scope`.
    ResourceLevel,
    /// Version 1 only: `patient/Observation.write`; version 2 scopes make the request
    /// `invalid_scope`.
    Version1,
}

/// A registered app.
#[derive(Debug, Clone)]
pub(crate) struct ClientRegistration {
    pub(crate) id: String,
    /// Empty: any redirect a native app may use (loopback with any port, or a private-use scheme).
    pub(crate) redirect_uris: Vec<String>,
}

#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an independent property of a receiver, set by name in the builder"
)]
pub(crate) struct Config {
    pub(crate) database: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) auto_approve: Option<String>,
    pub(crate) token_lifetime: Duration,
    pub(crate) code_lifetime: Duration,
    pub(crate) limits: Limits,
    pub(crate) conditional_create: bool,
    pub(crate) accepts_gzip: bool,
    pub(crate) issues_refresh_tokens: bool,
    pub(crate) scopes: ScopeSupport,
    pub(crate) page_size: usize,
    pub(crate) clients: Vec<ClientRegistration>,
    pub(crate) log_requests: bool,
    pub(crate) in_front_of: Option<String>,
}

/// Sets up a [`Sandbox`]. Every setting has a default that behaves as the HL7 CGM guide asks.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until started"]
pub struct SandboxBuilder {
    config: Config,
}

impl Default for SandboxBuilder {
    fn default() -> Self {
        Self {
            config: Config {
                database: None,
                port: 0,
                auto_approve: None,
                token_lifetime: Duration::from_hours(1),
                code_lifetime: Duration::from_mins(1),
                limits: Limits::default(),
                conditional_create: true,
                accepts_gzip: true,
                issues_refresh_tokens: true,
                scopes: ScopeSupport::default(),
                page_size: 50,
                clients: Vec::new(),
                log_requests: false,
                in_front_of: None,
            },
        }
    }
}

impl SandboxBuilder {
    /// Keeps everything in this `SQLite` file, which is created when absent. Without it the state
    /// lives in memory.
    pub fn database(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.database = Some(path.into());
        self
    }

    /// The loopback port; 0 (the default) takes any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.config.port = port;
        self
    }

    /// Approves every authorisation request at once as this patient (`amy-shaw` or `ben-okafor`),
    /// without a page.
    pub fn auto_approve(mut self, patient: impl Into<String>) -> Self {
        self.config.auto_approve = Some(patient.into());
        self
    }

    /// How long an access token works; one hour by default.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.token_lifetime = lifetime;
        self
    }

    /// How long an authorisation code works; one minute by default.
    pub fn code_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.code_lifetime = lifetime;
        self
    }

    /// Size limits of a submission.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Whether `ifNoneExist` is honoured. When not, entries that carry it are refused with 400, as
    /// the guide advises.
    pub fn supports_conditional_create(mut self, supported: bool) -> Self {
        self.config.conditional_create = supported;
        self
    }

    /// Whether a `Content-Encoding: gzip` body is read. When not, it is refused with 415.
    pub fn accepts_gzip(mut self, accepted: bool) -> Self {
        self.config.accepts_gzip = accepted;
        self
    }

    /// Whether refresh tokens are issued for `offline_access`. Some large receivers give public
    /// apps none.
    pub fn issues_refresh_tokens(mut self, issued: bool) -> Self {
        self.config.issues_refresh_tokens = issued;
        self
    }

    /// Which SMART scope syntax is understood and advertised.
    pub fn scope_support(mut self, support: ScopeSupport) -> Self {
        self.config.scopes = support;
        self
    }

    /// How many resources one search page holds when the request has no `_count`; 50 by default.
    pub fn page_size(mut self, size: usize) -> Self {
        self.config.page_size = size.max(1);
        self
    }

    /// Registers an app that may use any redirect of a native app. The first one registered
    /// replaces `cgm-demo`.
    pub fn client(self, id: impl Into<String>) -> Self {
        self.client_with_redirects(id, Vec::<String>::new())
    }

    /// Registers an app with its exact redirect URIs.
    pub fn client_with_redirects(
        mut self,
        id: impl Into<String>,
        redirect_uris: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        self.config.clients.push(ClientRegistration { id: id.into(), redirect_uris });
        self
    }

    /// Writes one line per request to stderr: method, route pattern, status, milliseconds. Off by
    /// default.
    pub fn log_requests(mut self, log: bool) -> Self {
        self.config.log_requests = log;
        self
    }

    /// Stands in front of a real FHIR server, as hospitals put a SMART proxy before theirs:
    /// discovery, login, tokens, scopes, size limits and trouble asked for are the sandbox's,
    /// and everything else goes to the server with this base URL, which must be on this
    /// machine, and its answers back, as they are. People are the server's own Patients; the
    /// sandbox keeps nothing, and has the server's path: `http://127.0.0.1:PORT/its/path`.
    pub fn in_front_of(mut self, fhir_base: impl Into<String>) -> Self {
        self.config.in_front_of = Some(fhir_base.into());
        self
    }

    /// Opens the database, seeds what is missing and starts serving on 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken, the database cannot be used, the patient to approve as does not
    /// exist, or the server to stand in front of is not on this machine.
    pub async fn start(mut self) -> Result<Sandbox, SandboxError> {
        if self.config.clients.is_empty() {
            self = self.client("cgm-demo");
        }
        Sandbox::start(self.config).await
    }
}
