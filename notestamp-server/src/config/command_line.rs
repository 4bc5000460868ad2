//! The command line: its flags, and the text of the help.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Args, Command, ValueHint};

use super::limits::Limits;
use super::listen::ListenArgs;
use super::log::LogArgs;
use super::origins::OriginArgs;
use super::responses::Responses;
use super::retention::Retention;
use super::site::SiteSettings;
use super::storage::StorageArgs;
use super::sweep::{Sweep, SweepSchedule};
use super::tls::TlsArgs;
use super::tokens::{Cookies, TokenArgs};

/// The name of the program, and of its command line's first word.
pub(super) const PROGRAM: &str = "notestamp-server";

/// Every setting there is, in the order of the help.
#[derive(Args)]
pub(super) struct Settings {
    #[command(flatten, next_help_heading = "Storage")]
    pub(super) storage: StorageArgs,
    #[command(flatten, next_help_heading = "Network")]
    pub(super) listen: ListenArgs,
    #[command(flatten, next_help_heading = "Network")]
    pub(super) tls: TlsArgs,
    #[command(flatten, next_help_heading = "Network")]
    pub(super) origins: OriginArgs,
    #[command(flatten, next_help_heading = "Sessions")]
    pub(super) tokens: TokenArgs,
    #[command(flatten, next_help_heading = "Sessions")]
    pub(super) cookies: Cookies,
    #[command(flatten, next_help_heading = "Limits")]
    pub(super) limits: Limits,
    #[command(flatten, next_help_heading = "Responses")]
    pub(super) responses: Responses,
    #[command(flatten, next_help_heading = "Web app")]
    pub(super) site: SiteSettings,
    #[command(flatten, next_help_heading = "Sweep")]
    pub(super) schedule: SweepSchedule,
    #[command(flatten, next_help_heading = "Sweep")]
    pub(super) sweep: Sweep,
    #[command(flatten, next_help_heading = "History and trash")]
    pub(super) retention: Retention,
    #[command(flatten, next_help_heading = "Log and configuration")]
    pub(super) log: LogArgs,
}

/// The settings that the tools take.
#[derive(Args)]
struct ToolSettings {
    #[command(flatten, next_help_heading = "Storage")]
    _storage: StorageArgs,
    #[command(flatten, next_help_heading = "Sweep")]
    _sweep: Sweep,
    #[command(flatten, next_help_heading = "History and trash")]
    _retention: Retention,
    #[command(flatten, next_help_heading = "Log and configuration")]
    _log: LogArgs,
}

/// The parser of all settings and nothing else; it parses values from every source.
pub(super) fn settings() -> Command {
    Settings::augment_args(Command::new(PROGRAM).disable_help_flag(true))
}

/// The parser of the command line, with its commands.
pub(super) fn command_line() -> Command {
    // The descriptions come last, because those of the argument groups would replace them.
    let serve = Settings::augment_args(Command::new("serve"))
        .about("Serve until a signal; this is also what the program does without a command")
        .after_help(AFTER_HELP)
        .arg(config_file());
    let openapi = Command::new("openapi").about("Print the OpenAPI document").arg(
        Arg::new("yaml").long("yaml").action(ArgAction::SetTrue).help("Print it as YAML instead of JSON"),
    );
    let sweep = tool("sweep", "Run one sweep: delete unreferenced objects, say how many, and exit");
    let check = tool("check", CHECK).arg(deep()).arg(repair());
    let export = tool("export", EXPORT).arg(email()).arg(archive()).arg(all());
    let import = tool("import", IMPORT).arg(email()).arg(archive());
    let import_legacy = tool("import-legacy", IMPORT_LEGACY).arg(legacy_mongodb()).arg(legacy_bucket());
    let backup = tool("backup", BACKUP)
        .arg(folder())
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommand(tool("list", "List the snapshots of a backup").arg(folder()))
        .subcommand(tool("verify", VERIFY_BACKUP).arg(folder()))
        .subcommand(tool("prune", PRUNE_BACKUP).arg(folder()).arg(keep()));
    let restore = tool("restore", RESTORE).arg(folder()).arg(snapshot());
    let account = Command::new("account")
        .about("Manage the accounts, for users that cannot do it themselves")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(tool("list", "List all accounts"))
        .subcommand(tool("show", "Show one account").arg(email()))
        .subcommand(tool("create", CREATE_ACCOUNT).arg(email()))
        .subcommand(tool("remove", REMOVE_ACCOUNT).arg(email()).arg(yes()))
        .subcommand(tool("set-password", SET_PASSWORD).arg(email()))
        .subcommand(tool("sign-out", "End all sessions of an account").arg(email()));
    let check_config = Settings::augment_args(Command::new("check"))
        .about("Print each setting with its value and its source; secrets are hidden")
        .after_help(AFTER_HELP_LAYERS)
        .arg(json())
        .arg(config_file());
    let config = Command::new("config")
        .about("Inspect the configuration")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(check_config);
    let completions = Command::new("completions").about("Print the completions for a shell").arg(
        Arg::new(SHELL)
            .value_name("SHELL")
            .required(true)
            .value_parser(PossibleValuesParser::new(["bash", "zsh", "fish"]))
            .help("The shell"),
    );
    Settings::augment_args(Command::new(PROGRAM))
        .about("The backend of notestamp: notes that stay in step with a recording, a PDF or a video")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER_HELP)
        .arg(config_file())
        .max_term_width(100)
        .disable_help_subcommand(true)
        .subcommand(serve)
        .subcommand(openapi)
        .subcommand(check)
        .subcommand(sweep)
        .subcommand(export)
        .subcommand(import)
        .subcommand(import_legacy)
        .subcommand(backup)
        .subcommand(restore)
        .subcommand(account)
        .subcommand(config)
        .subcommand(completions)
}

const CHECK: &str =
    "Compare the records, the ledger and the stored bytes with each other, and print all damage";
const EXPORT: &str = "Write the projects of an account as files: into a folder, or into one tar file";
const IMPORT: &str = "Save the projects that `export` or the client's File Sync has written; what is there already stays as it is";
const IMPORT_LEGACY: &str =
    "Move in from the original Node backend: take over its accounts and their projects; it is only read";
const BACKUP: &str = "Add a snapshot of everything to a backup; what is there already is not copied again. The folder \
     then contains the notes of all accounts: keep it as safe as the server's data";
const VERIFY_BACKUP: &str = "Read a whole backup again, and compare all bytes with their digests";
const PRUNE_BACKUP: &str = "Delete all snapshots but the latest ones, and the blobs that only they need";
const RESTORE: &str = "Restore a snapshot of a backup into an empty store of any kind; if it is interrupted, the store \
     refuses everything until the same command has completed it";
const CREATE_ACCOUNT: &str =
    "Create an account; the password is read from the terminal, or is the first line of standard input";
const REMOVE_ACCOUNT: &str = "Remove an account with all its projects, after a question";
const SET_PASSWORD: &str =
    "Replace the password of an account, read as by `create`, and end all its sessions";

/// A command of the operator: it works on the stores of the settings, beside a running server too.
fn tool(name: &'static str, about: &'static str) -> Command {
    ToolSettings::augment_args(Command::new(name))
        .about(about)
        .after_help(AFTER_HELP_LAYERS)
        .arg(json())
        .arg(config_file())
}

pub(super) const ALL: &str = "all";
pub(super) const ARCHIVE: &str = "archive";
pub(super) const BUCKET: &str = "bucket";
pub(super) const DEEP: &str = "deep";
pub(super) const EMAIL: &str = "email";
pub(super) const FOLDER: &str = "folder";
pub(super) const JSON: &str = "json";
pub(super) const KEEP: &str = "keep";
pub(super) const MONGODB: &str = "mongodb";
pub(super) const REPAIR: &str = "repair";
pub(super) const SHELL: &str = "shell";
pub(super) const SNAPSHOT: &str = "snapshot";
pub(super) const YES: &str = "yes";

fn email() -> Arg {
    Arg::new(EMAIL).value_name("EMAIL").required(true).help("The email address of the account")
}

fn archive() -> Arg {
    Arg::new(ARCHIVE)
        .value_name("DIR|FILE.tar")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::AnyPath)
        .help("A folder, or a file whose name ends in .tar")
}

fn legacy_mongodb() -> Arg {
    Arg::new(MONGODB)
        .long(MONGODB)
        .value_name("URL")
        .required(true)
        .help("The MongoDB of the original backend")
}

fn legacy_bucket() -> Arg {
    let help = "Its bucket; the credentials come from NOTESTAMP_LEGACY_AWS_…, or else from AWS_…";
    Arg::new(BUCKET).long(BUCKET).value_name("URL").required(true).help(help)
}

fn all() -> Arg {
    Arg::new(ALL).long(ALL).action(ArgAction::SetTrue).help("Include the history and the trash")
}

fn folder() -> Arg {
    Arg::new(FOLDER)
        .value_name("DIR")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("The folder of the backup")
}

fn keep() -> Arg {
    Arg::new(KEEP)
        .long(KEEP)
        .value_name("N")
        .required(true)
        .value_parser(clap::value_parser!(NonZeroUsize))
        .help("How many snapshots are kept")
}

fn snapshot() -> Arg {
    Arg::new(SNAPSHOT)
        .long(SNAPSHOT)
        .value_name("TIME")
        .help("The snapshot, as `backup list` prints it [default: the latest one]")
}

fn deep() -> Arg {
    Arg::new(DEEP).long(DEEP).action(ArgAction::SetTrue).help("Read all bytes, and compare their digests")
}

fn repair() -> Arg {
    Arg::new(REPAIR).long(REPAIR).action(ArgAction::SetTrue).help(
        "Correct counts and stale rows, and move what no record accounts for under quarantine/ of its store",
    )
}

fn yes() -> Arg {
    Arg::new(YES).long(YES).action(ArgAction::SetTrue).help("Do not ask")
}

fn json() -> Arg {
    Arg::new(JSON)
        .long(JSON)
        .action(ArgAction::SetTrue)
        .help("Print JSON lines on a terminal too")
        .help_heading("Output")
}

/// Joins a flag and its value with `=` if the value begins with a dash, as in `--access-ttl -5m`. Clap would take such
/// a value for a flag, and its error would be about a flag, not about the value.
pub(super) fn with_dashed_values(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let settings = settings();
    let takes_value = |word: &OsString| {
        let flag = word.to_str().and_then(|word| word.strip_prefix("--"));
        flag.is_some_and(|flag| {
            let is_it = |arg: &Arg| arg.get_long() == Some(flag) && arg.get_action().takes_values();
            flag == CONFIG_FILE || settings.get_arguments().any(is_it)
        })
    };
    let is_dashed = |word: &OsString| {
        let text = word.to_string_lossy();
        text.len() > 1 && text.starts_with('-') && !text.starts_with("--") && !["-h", "-V"].contains(&&*text)
    };
    let mut joined: Vec<OsString> = Vec::new();
    let mut is_open = false;
    for word in words {
        if is_open && is_dashed(&word) {
            let flag = joined.last_mut().expect("a flag came before its value");
            flag.push("=");
            flag.push(word);
            is_open = false;
        } else {
            is_open = takes_value(&word);
            joined.push(word);
        }
    }
    joined
}

/// The flag that names the configuration file: the only flag that is not a setting.
fn config_file() -> Arg {
    Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("TOML file with settings; also NOTESTAMP_CONFIG [default: none]")
        .help_heading("Log and configuration")
}

pub(super) const CONFIG_FILE: &str = "config";

/// The part of the help about the sources of settings and the syntax of values.
macro_rules! layers_help {
    () => {
        "\
Every setting is also an environment variable and a key of the configuration file:
--media-max 4GiB is NOTESTAMP_MEDIA_MAX=4GiB, and media_max = \"4GiB\" in the file. A flag
takes precedence over a variable, and a variable over the file. A list is separated by commas
in a variable, and an array in the file; lists of several sources are not combined. An empty
variable counts as not set.

DURATION is like 3s, 15m, 12h or 30d; SIZE is like 64KiB, 2GiB, 10MB or a number of bytes.
RUST_LOG selects what is logged, like info,poem=debug."
    };
}

const AFTER_HELP_LAYERS: &str = layers_help!();

const AFTER_HELP: &str = concat!(
    layers_help!(),
    "

Examples:
  Everything in one folder, for development on this machine:
    notestamp-server
  The same in another folder, for a client on another origin:
    notestamp-server --data /var/lib/notestamp --allow-origin https://app.example.org
  Behind a reverse proxy that speaks https:
    notestamp-server --public-url https://notes.example.org --trusted-proxy 10.0.0.0/8
  The web app and the API on one origin, over https:
    notestamp-server --site /var/www/notestamp --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  Everything in memory, for a demonstration:
    notestamp-server --metadata memory: --notes memory:/// --media memory:///
  With a signing key of your own:
    (umask 077; openssl rand -hex 32 > keys); notestamp-server --signing-key keys"
);
