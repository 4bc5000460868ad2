//! The configuration: parsed once, at the start, into types that need no further checks.
//!
//! [`parse`] takes the command line and the environment as arguments, so it reads nothing else from the machine but the
//! `--config` file (and the working directory, for a relative `--data`).

mod command_line;
mod deadlines;
mod duration;
mod effective;
mod error;
mod file;
mod layers;
mod limits;
mod listen;
mod log;
mod origins;
mod public_url;
mod records;
mod redacted;
mod responses;
mod retention;
mod signing_keys;
mod site;
mod size;
mod storage;
mod sweep;
mod tls;
mod tokens;
mod tool;

use std::ffi::OsString;

use clap::{ArgMatches, ValueEnum};
pub use clap_complete::Shell;

pub use crate::http::origin::{InvalidOrigin, Origin};
pub use deadlines::REQUEST_TIME_MAX;
pub(crate) use deadlines::{
    BODY_DRAIN_TIME_MAX, BODY_RATE_WINDOW, COOKIE_AGE_MAX, DEVICE_COOKIE_AGE, HALF_CLOSED_TIME_MAX,
    HEAD_TIME_MAX, IDLE_TIME_MAX, MEDIA_URL_STEP, MEDIA_URL_TTL_MAX, PROGRESS_TIME_MAX, READINESS_AGE_MAX,
    READINESS_TIME_MAX, REQUEST_END_TIME_MAX, RETRY_AFTER, SESSION_CHECK_INTERVAL, SESSION_UNKNOWN_TIME_MAX,
    SHUTDOWN_TIME_MAX, TLS_RELOAD_INTERVAL,
};
pub use effective::{EffectiveSetting, EffectiveSettings};
pub use error::{ConfigError, GivenAs, InvalidSetting};
pub(crate) use limits::{
    BODY_BYTES_MAX, BODY_DRAIN_BYTES_MAX, BODY_RATE_BYTES_MIN, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX,
    DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED, HASHES_WAITING_MAX, HEAD_BYTES_MAX, HEADER_FIELDS_MAX,
    LIST_LIMIT_MAX, METRICS_CONNECTIONS_MAX, MULTIPART_PARTS_MAX, PAGE_LEN, PASSWORD_BYTES_MAX,
    PASSWORD_BYTES_MIN, REDIRECT_CONNECTIONS_MAX, REGISTRATIONS_PER_ADDRESS, SESSIONS_OPEN_MAX,
    UPLOADS_AT_ONCE_MAX, grouped,
};
pub use limits::{Limits, Quota, RateLimit, SignInFailures};
pub use listen::Listen;
pub use log::{Log, LogFormat};
pub use origins::Origins;
pub use public_url::PublicUrl;
pub use records::{MongoDbUrl, RecordsUrl};
pub use responses::{MediaDelivery, ProjectListEntries, Responses};
pub use retention::{Keep, Retention};
pub use signing_keys::SigningKeySource;
pub use site::SiteSettings;
pub use storage::Storage;
pub use sweep::{Sweep, SweepSchedule};
pub use tls::{TlsFiles, TlsSettings};
pub use tokens::{Cookies, TokenSettings};
pub use tool::{AccountTool, BackupTool, Tool, ToolConfig};

use layers::{Environment, Resolved};

/// What the program does when it is started with a given command line.
#[derive(Debug)]
pub enum Invocation {
    /// Serve until a signal.
    Serve(Box<Config>),
    /// Run a tool of the operator.
    Tool(Box<ToolConfig>),
    /// Print the OpenAPI document.
    OpenApi(OpenApiFormat),
    /// Print the settings.
    CheckConfig(Box<EffectiveSettings>),
    /// Print the completions for a shell.
    Completions(Shell),
    /// Print the help or the version; the error's `print` handles colours.
    Show(clap::Error),
}

/// The format of the OpenAPI document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenApiFormat {
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

/// All settings of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the data is stored.
    pub storage: Storage,
    /// The addresses of the server, and its trusted proxies.
    pub listen: Listen,
    /// How the server speaks https itself; absent if it speaks http.
    pub tls: Option<TlsSettings>,
    /// The origins whose pages may use the server.
    pub origins: Origins,
    /// How long tokens and sessions last, and the signing keys.
    pub tokens: TokenSettings,
    /// The attributes of the session's cookies.
    pub cookies: Cookies,
    /// The limits of an account and of its sign-ins.
    pub limits: Limits,
    /// The choices that change responses.
    pub responses: Responses,
    /// The web app beside the API.
    pub site: SiteSettings,
    /// How often the server sweeps.
    pub schedule: SweepSchedule,
    /// The times of the sweep: grace period, longest upload.
    pub sweep: Sweep,
    /// How long history and trash keep what was replaced or deleted.
    pub retention: Retention,
    /// The format and the filter of the log.
    pub log: Log,
    /// Messages about valid but doubtful settings, to be logged at the start.
    pub warnings: Vec<String>,
}

/// Parses the command line, the environment variables and the configuration file.
///
/// `arguments` begin with the program's name, as those of a process do. Of `variables` only `NOTESTAMP_…` and
/// `RUST_LOG` are read.
///
/// # Errors
///
/// If a setting is invalid; the message names its flag, variable or key, and says what is valid.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, ConfigError> {
    let mut command_line = command_line::command_line();
    let arguments = command_line::with_dashed_values(arguments);
    let matches = match command_line.try_get_matches_from_mut(arguments) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Show(error)),
        Err(error) => return Err(layers::on_the_command_line(&error)),
    };
    let environment = Environment::new(variables);
    let (name, after) = match matches.subcommand() {
        None => return serve(&[&matches], &environment),
        Some(command) => command,
    };
    let command = command_line.find_subcommand(name).expect("clap finds only commands there are");
    // The commands of a group, such as those of `account`, are one level deeper.
    let (path, command, after) = match after.subcommand() {
        Some((inner, after)) => {
            let command = command.find_subcommand(inner).expect("clap finds only commands there are");
            (vec![name, inner], command, after)
        }
        None => (vec![name], command, after),
    };
    layers::check_flags(&command_line, &matches, command)?;
    let levels = [&matches, after];
    match path.as_slice() {
        ["openapi"] if after.get_flag("yaml") => Ok(Invocation::OpenApi(OpenApiFormat::Yaml)),
        ["openapi"] => Ok(Invocation::OpenApi(OpenApiFormat::Json)),
        ["completions"] => {
            let name = after.get_one::<String>(command_line::SHELL).expect("it is required");
            Ok(Invocation::Completions(Shell::from_str(name, false).expect("its parser knows the shells")))
        }
        ["config", _] => check_config(&levels, &environment),
        ["serve"] => serve(&levels, &environment),
        path => {
            let tool = Tool::of(path, after);
            Ok(Invocation::Tool(Box::new(ToolConfig::new(tool, &levels, &environment)?)))
        }
    }
}

/// The completions of the command line for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line::command_line(), command_line::PROGRAM, &mut script);
    script
}

fn serve(levels: &[&ArgMatches], environment: &Environment) -> Result<Invocation, ConfigError> {
    let resolved = layers::resolve(levels, environment)?;
    Ok(Invocation::Serve(Box::new(Config::new(resolved, environment)?)))
}

fn check_config(levels: &[&ArgMatches; 2], environment: &Environment) -> Result<Invocation, ConfigError> {
    let mut resolved = layers::resolve(levels, environment)?;
    let given = std::mem::take(&mut resolved.given);
    let config = Config::new(resolved, environment)?;
    let effective = EffectiveSettings::new(&given, &config.storage, &config.tokens.signing_keys);
    let json = levels[1].get_flag(command_line::JSON);
    Ok(Invocation::CheckConfig(Box::new(EffectiveSettings { warnings: config.warnings, json, ..effective })))
}

impl Config {
    fn new(resolved: Resolved, environment: &Environment) -> Result<Self, ConfigError> {
        let Resolved { mut settings, signing_keys, .. } = resolved;
        let data_folder = settings.storage.data_folder().clone();
        let mut storage = settings.storage.into_storage();
        let signing_keys = match (signing_keys, settings.tokens.signing_key.take(), &storage.records) {
            (Some(keys), _, _) => SigningKeySource::Variable(keys),
            (None, Some(file), _) => SigningKeySource::File(file),
            (None, None, RecordsUrl::Sqlite(_)) => SigningKeySource::of_data_folder(&data_folder),
            (None, None, RecordsUrl::Memory) => SigningKeySource::Process,
            (None, None, RecordsUrl::MongoDb(_)) => {
                return Err(ConfigError::Contradiction(
                    "with MongoDB, several servers share the sessions, so they must share a signing key: make one \
                     with `openssl rand -hex 32 > FILE`, and give it to each with --signing-key FILE or the \
                     variable NOTESTAMP_SIGNING_KEY"
                        .into(),
                ));
            }
        };
        if matches!(signing_keys, SigningKeySource::DataFolder(_)) {
            storage.data_folder = Some(data_folder);
        }
        storage.check()?;
        settings.cookies.check()?;

        let config = Self {
            storage,
            listen: settings.listen.into(),
            tls: settings.tls.into_settings()?,
            origins: settings.origins.into(),
            tokens: settings.tokens.into_tokens(signing_keys)?,
            cookies: settings.cookies,
            limits: settings.limits,
            responses: settings.responses,
            site: settings.site,
            schedule: settings.schedule,
            sweep: settings.sweep,
            retention: settings.retention,
            log: settings.log.into_log(environment.text("RUST_LOG")?)?,
            warnings: Vec::new(),
        };
        let warnings = config.warnings(environment);
        Ok(Self { warnings, ..config })
    }

    fn warnings(&self, environment: &Environment) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.cookies.insecure {
            warnings.push(
                "--insecure-cookies: an attacker who can read the network traffic can take over sessions"
                    .to_owned(),
            );
        }
        if let Some(url) = self.listen.public_url.as_ref().filter(|url| !url.is_secure_context())
            && !self.cookies.insecure
        {
            warnings.push(format!(
                "--public-url {url}: over http, browsers reject Secure cookies, so users cannot sign in"
            ));
        }
        warnings.extend(
            environment
                .unknown()
                .map(|name| format!("{name} is not a setting of this server, and is ignored")),
        );
        warnings
    }

    /// A configuration for tests: all stores in memory, a free port, and defaults for the rest.
    pub fn for_testing() -> Self {
        const ARGUMENTS: [&str; 9] = [
            command_line::PROGRAM,
            "--listen",
            "127.0.0.1:0",
            "--metadata",
            "memory:",
            "--notes",
            "memory:///",
            "--media",
            "memory:///",
        ];
        match parse(ARGUMENTS.map(OsString::from), []) {
            Ok(Invocation::Serve(config)) => *config,
            other => unreachable!("these arguments are right and serve: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
