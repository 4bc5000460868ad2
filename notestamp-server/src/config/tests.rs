//! Tests that apply to every setting, and to combinations of settings.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Arg;
use notestamp_store::{BlobUrl, Dedup, Durability};
use poem::web::cookie::SameSite;
use tempfile::TempDir;

use super::layers::variable;
use super::*;

/// A command line, variables and optionally a file.
#[derive(Default)]
struct Given {
    words: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: Option<TempDir>,
}

fn given(words: &str) -> Given {
    let words = [command_line::PROGRAM].into_iter().chain(words.split_whitespace());
    Given { words: words.map(OsString::from).collect(), ..Given::default() }
}

impl Given {
    fn word(mut self, word: String) -> Self {
        self.words.push(word.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn file(mut self, toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notestamp.toml");
        fs::write(&path, toml).unwrap();
        self.folder = Some(folder);
        self.variable("NOTESTAMP_CONFIG", path.to_str().unwrap())
    }

    fn parse(self) -> Result<Invocation, ConfigError> {
        parse(self.words, self.variables)
    }

    #[track_caller]
    fn serves(self) -> Config {
        match self.parse() {
            Ok(Invocation::Serve(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(self) -> String {
        match self.parse() {
            Err(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn shows(self) -> String {
        match self.parse() {
            Ok(Invocation::Show(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// Three values of a setting that are not its default; for a boolean, its one other value.
fn samples(flag: &str) -> [&'static str; 3] {
    match flag {
        "data" => ["/a", "/b", "/c"],
        "metadata" => ["sqlite:/a", "sqlite:/b", "memory:"],
        "notes" | "media" => ["file:///a", "memory:///", "file:///c"],
        "durability" => ["relaxed"; 3],
        "dedup" => ["global"; 3],
        "notes-inline" => ["0", "2KiB", "1MiB"],
        "listen" => ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3"],
        "metrics-listen" => ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
        "public-url" => ["https://a.example", "https://b.example", "https://c.example"],
        "site" => ["/a", "/b", "/c"],
        "tls-cert" | "tls-key" => ["/a.pem", "/b.pem", "/c.pem"],
        "redirect-listen" => ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
        "site-csp" => ["default-src 'self'", "default-src *", "default-src 'none'"],
        "trusted-proxy" => ["10.0.0.1", "10.0.0.0/8", "::1"],
        "allow-origin" => ["https://a.example", "https://b.example", "none"],
        "signing-key" => ["a", "b.keys", "/c/keys"],
        "access-ttl" => ["1s", "2m", "3h"],
        "refresh-ttl" => ["1d", "2d", "3d"],
        "session-max" => ["31d", "60d", "1y"],
        "insecure-cookies" => ["true"; 3],
        "same-site" => ["strict", "none", "strict"],
        "media-max" | "notes-max" | "quota" => ["1", "2KiB", "3MB"],
        "projects-max" => ["1", "2", "3"],
        "memory-max" => ["16MiB", "1GiB", "64MB"],
        "sign-in-failures" => ["1/1m", "2/1m,3/1h", "off"],
        "media-delivery" => ["redirect"; 3],
        "project-list" => ["titles"; 3],
        "sweep-every" | "sweep-grace" | "upload-max-time" => ["1s", "2m", "3d"],
        "history" | "trash" => ["off", "12h", "1y"],
        "log-format" => ["text", "json", "text"],
        other => panic!("--{other} has no samples: add three"),
    }
}

/// Other settings that a setting needs.
fn companions(flag: &str) -> &'static str {
    match flag {
        "tls-cert" => "--tls-key /key.pem",
        "tls-key" => "--tls-cert /cert.pem",
        "redirect-listen" => "--tls-cert /cert.pem --tls-key /key.pem",
        _ => "",
    }
}

fn flags() -> Vec<String> {
    let settings = command_line::settings();
    settings.get_arguments().map(|arg| arg.get_long().expect("a setting has a flag").to_owned()).collect()
}

fn toml(flag: &str, value: &str) -> String {
    let key = flag.replace('-', "_");
    if flag == "insecure-cookies" { format!("{key} = {value}") } else { format!("{key} = \"{value}\"") }
}

#[test]
fn for_every_setting_a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    for flag in flags() {
        let name = variable(&flag);
        let with_companions = || given(companions(&flag));
        let by_flag = |value: &str| with_companions().word(format!("--{flag}={value}"));
        let [first, second, third] = samples(&flag);
        let default = given("").serves();
        for value in [first, second, third] {
            assert_ne!(by_flag(value).serves(), default, "--{flag}={value} changes something");
        }

        let all = || by_flag(first).variable(&name, second).file(&toml(&flag, third));
        assert_eq!(all().serves(), by_flag(first).serves(), "--{flag} wins");
        let low = || with_companions().variable(&name, second).file(&toml(&flag, third));
        assert_eq!(low().serves(), by_flag(second).serves(), "{name} wins over the file");
        let file = || with_companions().file(&toml(&flag, third));
        assert_eq!(file().serves(), by_flag(third).serves(), "{flag} of the file wins over the default");
        let dashed = toml(&flag, third).replacen(&flag.replace('-', "_"), &flag, 1);
        assert_eq!(with_companions().file(&dashed).serves(), by_flag(third).serves(), "{flag} with dashes");
        let empty = with_companions().variable(&name, "").file(&toml(&flag, third));
        assert_eq!(empty.serves(), by_flag(third).serves(), "an empty {name} is not set");
    }
}

/// Whether any text may be a valid value: a name, or a policy.
fn takes_any_text(flag: &str) -> bool {
    ["data", "signing-key", "site", "site-csp", "tls-cert", "tls-key"].contains(&flag)
}

/// An empty variable counts as not set.
fn bad_value(flag: &str) -> &'static str {
    if takes_any_text(flag) { "" } else { "no such value" }
}

#[test]
fn an_invalid_value_of_any_setting_is_refused_with_the_name_of_its_source() {
    for flag in flags() {
        let value = bad_value(&flag);
        let error = given("").word(format!("--{flag}={value}")).refused();
        assert!(error.starts_with(&format!("--{flag}: ")), "{error}");
        if !value.is_empty() {
            let error = given("").variable(&variable(&flag), value).refused();
            assert!(error.starts_with(&format!("{}: ", variable(&flag))), "{error}");
        }
        let error = given("").file(&format!("{} = \"{value}\"", flag.replace('-', "_"))).refused();
        assert!(error.contains(&format!("notestamp.toml: {}: ", flag.replace('-', "_"))), "{error}");
        for wrong_type in ["1.5", "2024-03-01", "{}", "[1]"] {
            let error = given("").file(&format!("{flag} = {wrong_type}")).refused();
            assert!(error.contains(&format!("notestamp.toml: {flag}: a")), "{error}");
            assert!(error.contains("needed") || error.contains("in an array of strings"), "{error}");
        }
    }
}

#[test]
fn a_missing_value_or_one_with_a_dash_is_refused_with_the_name_of_its_flag() {
    let takes_value = |flag: &String| samples(flag)[1] != "true" && samples(flag)[1] != "false";
    for flag in flags().into_iter().filter(takes_value) {
        for command in ["", "serve "] {
            for value in ["-5m", "-1", "-.5", "-x"] {
                if takes_any_text(&flag) {
                    continue;
                }
                let error = given(&format!("{command}--{flag} {value}")).refused();
                assert!(error.starts_with(&format!("--{flag}: ")), "{command}--{flag} {value}: {error}");
            }
            for words in [format!("{command}--{flag}"), format!("{command}--{flag} --log-format text")] {
                let error = given(&words).refused();
                assert!(error.contains(&format!("--{flag}")), "{words}: {error}");
            }
        }
    }
}

#[test]
fn the_message_says_what_is_valid() {
    for (words, part) in [
        ("--notes-inline 2MiB", "--notes-inline: must be at most 1MiB"),
        ("--media-max 2G", "`2G` is not a size: write a number of bytes, or one with a unit, like 64KiB"),
        ("--access-ttl 15", "`15` is not a duration: write a number with a unit, like 3s"),
        ("--access-ttl 1500ms", "not a whole number of seconds"),
        ("--durability some", "`some` is not one of its values: write full or relaxed"),
        ("--same-site", "the value is missing"),
        ("--data a serve --data b", "cannot be used multiple times"),
        ("--config a serve --config b", "--config is given twice"),
        ("--lisen 127.0.0.1:1", "--listen"),
        ("sweep --listen 127.0.0.1:1", "--listen"),
        ("--listen 127.0.0.1:1 sweep", "`sweep` does not take --listen"),
        ("--config a openapi", "`openapi` does not take --config"),
        ("seve", "serve"),
    ] {
        let error = given(words).refused();
        assert!(error.contains(part), "{words}: {error}");
        assert!(!error.starts_with("error"), "{error}");
    }
}

#[test]
fn every_flag_and_default_of_the_contract_is_in_the_help() {
    let help = given("--help").shows();
    for (flag, default) in [
        ("--data <DIR>", "./notestamp-data"),
        ("--listen <ADDR>", "127.0.0.1:8080"),
        ("--metadata <URL>", "SQLite in the data folder"),
        ("--notes <URL>", "in the data folder"),
        ("--media <URL>", "in the data folder"),
        ("--allow-origin <ORIGIN>", "http://localhost:3000 http://localhost:5173"),
        ("--public-url <URL>", "from the Host header"),
        ("--trusted-proxy <CIDR>", "none"),
        ("--site <DIR>", "none"),
        ("--signing-key <FILE>", "made in the data folder"),
        ("--access-ttl <DURATION>", "15m"),
        ("--refresh-ttl <DURATION>", "30d"),
        ("--session-max <DURATION>", "180d"),
        ("--insecure-cookies", "false"),
        ("--same-site <MODE>", "lax"),
        ("--durability <MODE>", "full"),
        ("--dedup <MODE>", "user"),
        ("--notes-inline <SIZE>", "64KiB with notes in local files, else 0"),
        ("--media-delivery <MODE>", "proxy"),
        ("--project-list <FORM>", "objects"),
        ("--media-max <SIZE>", "2GiB"),
        ("--notes-max <SIZE>", "16MiB"),
        ("--quota <SIZE>", "none"),
        ("--projects-max <N>", "20000"),
        ("--sweep-every <DURATION>", "10m"),
        ("--sweep-grace <DURATION>", "1h"),
        ("--upload-max-time <DURATION>", "6h"),
        ("--sign-in-failures <", "10/15m,100/15m"),
        ("--metrics-listen <ADDR>", "off"),
        ("--tls-cert <FILE>", "none"),
        ("--tls-key <FILE>", "none"),
        ("--redirect-listen <ADDR>", "off"),
        ("--log-format <FORMAT>", "text on a terminal, else json"),
        ("--config <FILE>", "none"),
    ] {
        let described = help.split_once(flag).unwrap_or_else(|| panic!("{flag} is not in\n{help}")).1;
        let end = described.find("\n      --").unwrap_or(described.len());
        let words: Vec<&str> = described[..end].split_whitespace().collect();
        assert!(words.join(" ").contains(&format!("default: {default}]")), "{flag}: {}", &described[..end]);
    }
    for word in ["serve", "openapi", "sweep", "RUST_LOG", "NOTESTAMP_MEDIA_MAX", "Examples:"] {
        assert!(help.contains(word), "{word}");
    }
    assert_eq!(given("--version").shows(), format!("notestamp-server {}\n", env!("CARGO_PKG_VERSION")));
    assert!(given("sweep --help").shows().contains("--sweep-grace"));
    assert!(!given("sweep --help").shows().contains("--listen"));
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = given("").serves();
    let folder = config.storage.data_folder.clone().expect("the default is embedded");
    assert_eq!(folder.path(), std::env::current_dir().unwrap().join("notestamp-data"));
    assert_eq!(config.storage.records, RecordsUrl::Sqlite(folder.sqlite_file()));
    assert_eq!(config.storage.notes, BlobUrl::folder(folder.notes_folder()).unwrap());
    assert_eq!(config.storage.media, BlobUrl::folder(folder.media_folder()).unwrap());
    assert_eq!((config.storage.durability, config.storage.dedup), (Durability::Full, Dedup::User));
    assert_eq!(config.listen.addresses, ["127.0.0.1:8080".parse::<SocketAddr>().unwrap()]);
    assert_eq!((config.listen.metrics_address, config.listen.trusted_proxies.len()), (None, 0));
    let origins: Vec<String> = config.origins.allowed.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["http://localhost:3000", "http://localhost:5173"]);
    assert_eq!(config.tokens.signing_keys, SigningKeySource::of_data_folder(&folder));
    assert_eq!(config.tokens.session_max, Duration::from_secs(180 * 24 * 3600));
    assert_eq!(config.cookies, Cookies { insecure: false, same_site: SameSite::Lax });
    assert_eq!((config.limits.media_bytes_max, config.limits.notes_bytes_max), (2 << 30, 16 << 20));
    assert_eq!(config.limits.quota_bytes, None);
    assert_eq!(config.sweep.grace, Duration::from_secs(3600));
    assert_eq!(config.log.format, None);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn flags_of_serve_go_before_and_after_it_and_without_it() {
    let without = given("--data /a --listen [::1]:1 --listen [::1]:2").serves();
    for words in [
        "serve --data /a --listen [::1]:1 --listen [::1]:2",
        "--data /a --listen [::1]:1 --listen [::1]:2 serve",
        "--data /a --listen [::1]:1 serve --listen [::1]:2",
    ] {
        assert_eq!(given(words).serves(), without, "{words}");
    }
}

#[test]
fn sweep_takes_the_flags_of_storage_on_either_side() {
    for words in ["sweep --data /a --sweep-grace 0s", "--data /a --sweep-grace 0s sweep"] {
        let Ok(Invocation::Tool(config)) = given(words).variable("NOTESTAMP_LISTEN", "[::1]:1").parse()
        else {
            panic!("{words} sweeps");
        };
        assert_eq!(config.sweep.grace, Duration::ZERO);
        assert_eq!(config.storage.records, RecordsUrl::Sqlite("/a/notestamp.sqlite".into()));
    }
}

#[test]
fn the_commands_of_a_group_take_their_flags_on_either_side() {
    let email = "ada@example.org".to_owned();
    let remove = |is_confirmed| AccountTool::Remove { email: email.clone(), is_confirmed };
    for (words, tool) in [
        ("account list --data /a --json", AccountTool::List),
        ("--data /a account show ada@example.org --json", AccountTool::Show { email: email.clone() }),
        ("account --data /a remove", remove(false)),
        ("account remove ada@example.org --data /a --json", remove(false)),
        ("account remove ada@example.org --yes --data /a --json", remove(true)),
    ] {
        match given(words).parse() {
            Ok(Invocation::Tool(config)) => {
                assert_eq!((config.tool, config.json), (Tool::Account(tool), true), "{words}");
                assert_eq!(config.storage.records, RecordsUrl::Sqlite("/a/notestamp.sqlite".into()));
            }
            Err(error) => assert!(words.contains("account --data"), "{words}: {error}"),
            Ok(other) => panic!("{words}: {other:?}"),
        }
    }
    for words in ["account", "config", "--listen [::1]:1 account list", "account show", "completions csh"] {
        assert!(given(words).parse().is_err(), "{words}");
    }
}

#[test]
fn an_archive_is_named_after_the_account() {
    let email = "ada@example.org".to_owned();
    for (words, tool) in [
        (
            "export ada@example.org /b.tar --all",
            Tool::Export { email: email.clone(), target: "/b.tar".into(), all: true },
        ),
        ("import ada@example.org b", Tool::Import { email: email.clone(), source: "b".into() }),
        (
            "import-legacy --mongodb mongodb://h/d --bucket s3://b",
            Tool::ImportLegacy { mongodb: "mongodb://h/d".to_owned(), bucket: "s3://b".to_owned() },
        ),
    ] {
        let Ok(Invocation::Tool(config)) = given(words).variable("NOTESTAMP_NOTES_MAX", "1MiB").parse()
        else {
            panic!("{words} is a tool");
        };
        assert_eq!((config.tool, config.limits.notes_bytes_max), (tool, 1 << 20));
    }
    for words in ["export", "export ada@example.org", "import ada@example.org", "import a@b c --all"] {
        assert!(given(words).parse().is_err(), "{words}");
    }
}

#[test]
fn each_setting_is_shown_with_the_source_of_its_value() {
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let shown = given("--media-max 4GiB config check --listen [::1]:1 --listen [::1]:2")
        .variable("NOTESTAMP_QUOTA", "1MiB")
        .variable("NOTESTAMP_SIGNING_KEY", key)
        .file("notes_max = 4096\npublic_url = \"https://a.example\"")
        .parse();
    let Ok(Invocation::CheckConfig(shown)) = shown else { panic!("{shown:?}") };
    assert!(!format!("{shown:?}").contains("0001"), "{shown:?}");
    assert_eq!(shown.settings.len(), flags().len());
    let of = |name: &str| {
        let setting = shown.settings.iter().find(|setting| setting.name == name).unwrap();
        (setting.value.clone(), setting.source())
    };
    for (name, value, source) in [
        ("media-max", "4GiB", "--media-max"),
        ("listen", "[::1]:1,[::1]:2", "--listen"),
        ("quota", "1MiB", "NOTESTAMP_QUOTA"),
        ("signing-key", "…", "NOTESTAMP_SIGNING_KEY"),
        ("upload-max-time", "6h", "default"),
        ("allow-origin", "http://localhost:3000,http://localhost:5173", "default"),
    ] {
        assert_eq!(of(name), (value.to_owned(), source.to_owned()));
    }
    assert!(of("notes-max").1.ends_with("notestamp.toml: notes_max"), "{:?}", of("notes-max"));
    assert!(of("metadata").0.ends_with("/notestamp.sqlite"), "{:?}", of("metadata"));
    if cfg!(feature = "mongodb") {
        let url = "mongodb://ann:secret@host/notes";
        let shown =
            given("config check").variable("NOTESTAMP_METADATA", url).variable("NOTESTAMP_SIGNING_KEY", key);
        let shown = format!("{:?}", shown.parse().unwrap());
        assert!(shown.contains("mongodb://…@host/notes") && !shown.contains("secret"), "{shown}");
    }
    let wrong = given("config check --media-max none").refused();
    assert!(wrong.starts_with("--media-max: "), "{wrong}");
}

#[test]
fn completions_name_the_commands_and_the_flags() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(completions(shell)).unwrap();
        for word in ["account", "set-password", "media-max"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_document_is_json_by_default_and_yaml_on_request() {
    assert!(matches!(given("openapi").parse(), Ok(Invocation::OpenApi(OpenApiFormat::Json))));
    assert!(matches!(given("openapi --yaml").parse(), Ok(Invocation::OpenApi(OpenApiFormat::Yaml))));
}

#[test]
fn a_list_replaces_the_list_of_a_weaker_source() {
    let addresses =
        |given: Given| -> Vec<u16> { given.serves().listen.addresses.iter().map(SocketAddr::port).collect() };
    let file = "listen = [\"[::1]:5\", \"[::1]:6\"]";
    assert_eq!(addresses(given("").file(file)), [5, 6]);
    assert_eq!(addresses(given("").variable("NOTESTAMP_LISTEN", "[::1]:3, [::1]:4").file(file)), [3, 4]);
    let all = given("--listen [::1]:1 --listen [::1]:2").variable("NOTESTAMP_LISTEN", "[::1]:3").file(file);
    assert_eq!(addresses(all), [1, 2]);
}

#[test]
fn an_empty_array_is_an_empty_list_if_the_list_may_be_empty() {
    let config = given("").file("allow_origin = []\ntrusted_proxy = []").serves();
    assert_eq!((config.origins.allowed.len(), config.listen.trusted_proxies.len()), (0, 0));
    assert!(given("").file("listen = []").refused().contains("notestamp.toml: listen: "));
}

#[test]
fn sizes_in_the_file_may_be_whole_numbers() {
    let config = given("").file("media_max = 4096\nquota = 8192").serves();
    assert_eq!((config.limits.media_bytes_max, config.limits.quota_bytes), (4096, Some(8192)));
    assert!(given("").file("quota = -1").refused().contains("quota: `-1` is not a size"));
}

#[test]
fn a_flag_can_reset_a_setting_of_the_file() {
    let file = "insecure_cookies = true\nquota = 1\nmetrics_listen = \"[::1]:1\"\nallow_origin = \"https://a.example\"";
    let words = "--insecure-cookies=false --quota none --metrics-listen off --allow-origin none";
    let config = given(words).file(file).serves();
    assert!(!config.cookies.insecure && config.limits.quota_bytes.is_none());
    assert!(config.listen.metrics_address.is_none() && config.origins.allowed.is_empty());
    assert!(given("--insecure-cookies serve").serves().cookies.insecure);
}

#[test]
fn the_message_about_an_invalid_file_names_it() {
    for (toml, part) in [
        ("media_mx = 1", "notestamp.toml: `media_mx` is not a setting"),
        ("[limits]\nmedia_max = 1", "`limits` is not a setting"),
        ("config = \"other.toml\"", "`config` is not a setting"),
        ("media_max = 1\nmedia-max = 1", "are the same setting"),
        ("data = \"/a\"\n\nmetadata = mongodb://ann:secret@host", "notestamp.toml: line 3: "),
    ] {
        let error = given("").file(toml).refused();
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
    assert!(given("--config /nowhere/notestamp.toml").refused().starts_with("/nowhere/notestamp.toml: "));
    let flag_first = given("--config /nowhere/notestamp.toml").file("media_max = 1").refused();
    assert!(flag_first.starts_with("/nowhere/notestamp.toml: "));
}

#[test]
fn the_variable_of_the_signing_key_contains_keys_or_a_file_name() {
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    for keys in [key.to_owned(), format!("{key},{key}"), format!("{key} # new\n{key}\n"), "abc".into()] {
        let config = given("").variable("NOTESTAMP_SIGNING_KEY", &keys).serves();
        assert!(!format!("{config:?}").contains("0001"));
        assert_eq!(config.tokens.signing_keys, SigningKeySource::Variable(keys));
    }
    let source = given("").variable("NOTESTAMP_SIGNING_KEY", "/run/keys").serves().tokens.signing_keys;
    assert_eq!(source, SigningKeySource::File("/run/keys".into()));
    let mistyped = given("").variable("NOTESTAMP_SIGNING_KEY", &key.replacen("00", "0X", 1)).serves();
    assert!(!format!("{mistyped:?}").contains("0405"));
    let source = given("--signing-key f").variable("NOTESTAMP_SIGNING_KEY", key).serves().tokens.signing_keys;
    assert_eq!(source, SigningKeySource::File("f".into()));

    let error = given("").word(format!("--signing-key={key}")).refused();
    assert!(error.contains("needs the name of a file") && !error.contains("0001"), "{error}");
    let error = given("").file(&format!("signing_key = \"{key}\"")).refused();
    assert!(error.contains("needs the name of a file") && !error.contains("0001"), "{error}");
}

#[test]
fn the_data_folder_is_created_only_if_something_is_stored_in_it() {
    let elsewhere = "--metadata sqlite:/a --notes file:///b --media file:///c";
    let config = given(elsewhere).serves();
    assert!(config.storage.data_folder.is_some(), "the signing key is in it");
    let config = given(elsewhere).word("--signing-key=k".into()).serves();
    assert_eq!(config.storage.data_folder, None);
    let config = given(elsewhere).word("--metadata=memory:".into()).refused();
    assert!(config.contains("multiple times"));
    assert_eq!(Config::for_testing().storage.data_folder, None);
    assert_eq!(Config::for_testing().tokens.signing_keys, SigningKeySource::Process);
    let Ok(Invocation::Tool(config)) = given(&format!("sweep {elsewhere}")).parse() else {
        panic!("it sweeps");
    };
    assert_eq!(config.storage.data_folder, None);
}

#[test]
fn mongodb_needs_a_key_that_all_servers_share() {
    let url = "--metadata mongodb://ann:secret@host/notes";
    let error = given(url).refused();
    assert!(error.contains("--signing-key FILE") && !error.contains("secret"), "{error}");
    let with_key = given(url).word("--signing-key=k".into());
    let sweep = given("sweep").word(url.replace(' ', "="));
    if cfg!(feature = "mongodb") {
        assert_eq!(with_key.serves().tokens.signing_keys, SigningKeySource::File("k".into()));
        assert!(matches!(sweep.parse(), Ok(Invocation::Tool(_))), "a sweep signs nothing");
    } else {
        assert_eq!(with_key.refused(), "--metadata: this build has no MongoDB support");
        assert!(sweep.refused().contains("no MongoDB support"));
    }
}

#[test]
fn passwords_in_urls_are_in_no_message() {
    for flag in ["metadata", "notes", "media", "public-url", "allow-origin"] {
        for value in ["gopher://ann:secret@host/x", "https://ann:secret@host/x", "ann:secret@host:x"] {
            let error = given("").word(format!("--{flag}={value}")).parse().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
            let error = given("").variable(&variable(flag), value).parse().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
    assert!(!given("mongodb://ann:secret@host/x").refused().contains("secret"));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (words, part) in [
        ("--same-site none --insecure-cookies", "remove --insecure-cookies"),
        ("--access-ttl 2h --refresh-ttl 1h", "--access-ttl (2h) must not be longer than --refresh-ttl (1h)"),
        ("--session-max 1d", "--refresh-ttl (30days) must not be longer than --session-max (1day)"),
        ("--access-ttl 0s", "--access-ttl: must be longer than zero"),
        ("--sweep-every 0s", "--sweep-every: must be longer than zero"),
        ("--upload-max-time 0s", "--upload-max-time: must be longer than zero"),
        ("--tls-cert /cert.pem", "--tls-key is absent"),
        ("--tls-key /key.pem", "--tls-cert is absent"),
        ("--redirect-listen 127.0.0.1:80", "needs --tls-cert and --tls-key"),
    ] {
        let error = given(words).refused();
        assert!(error.contains(part), "{words}: {error}");
    }
}

#[test]
fn doubtful_settings_cause_warnings() {
    for (given, part) in [
        (given("--insecure-cookies"), "--insecure-cookies"),
        (given("--public-url http://notes.example.org"), "http://notes.example.org"),
        (given("").variable("NOTESTAMP_LISTNE", "x"), "NOTESTAMP_LISTNE"),
    ] {
        let warnings = given.serves().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{warnings:?}");
    }
    let quiet = given("--public-url http://localhost:8080").variable("PATH", "/bin").file("media_max = 1");
    assert_eq!(quiet.serves().warnings, [""; 0]);
}

#[test]
fn the_filter_of_the_log_is_checked() {
    assert_eq!(given("").variable("RUST_LOG", "debug").serves().log.filter, "debug");
    assert_eq!(given("").variable("RUST_LOG", "").serves().log, given("").serves().log);
    assert!(given("").variable("RUST_LOG", "poem=loud").refused().starts_with("RUST_LOG: "));
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_with_its_name() {
    use std::os::unix::ffi::OsStringExt;
    let mut given = given("");
    given.variables.push(("NOTESTAMP_DATA".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(given.refused(), "NOTESTAMP_DATA: is not UTF-8");
}

#[test]
fn clap_finds_no_fault_with_the_command_line() {
    command_line::command_line().debug_assert();
    assert!(command_line::settings().get_arguments().all(|arg: &Arg| arg.get_help().is_some()));
}
