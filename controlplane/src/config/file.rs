//! The settings file: TOML, one `name = value` a line, names as in the catalogue.
//!
//! ```toml
//! api_port = 8081
//! public_url = "https://api.example.com"
//! trusted_proxies = ["192.0.2.10", "10.0.0.0/8"]
//! ```
//!
//! A message names file and line and never repeats the line: it may hold a password. HAProxy, its module and the scripts do not
//! read this file.

use super::catalogue::{self, Kind, Reader, Setting};
use super::database::may_hold_a_password;
use super::nearest;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// The longest file that is read, in bytes.
pub const FILE_LEN_MAX: u64 = 65_536;
/// How many entries an array may have.
const ARRAY_LEN_MAX: usize = 256;
/// What nobody but the owner and its group's readers may have of a file with a password.
const FORBIDDEN_MODE: u32 = 0o037;

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileSettings {
    /// By variable: the text that the variable would have, and the line.
    pub values: BTreeMap<&'static str, (String, usize)>,
    /// What is wrong with it.
    pub problems: Vec<FileProblem>,
}

/// Something that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileProblem {
    /// In which line; `None`: with the file as a whole.
    pub line: Option<usize>,
    /// With which setting, if it is one.
    pub variable: Option<&'static str>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// How a file was found, which decides what may stand in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilePlace {
    /// It was named: it must exist.
    Named(PathBuf),
    /// It lies in the state folder, or does not exist.
    InState(PathBuf),
}

impl FilePlace {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::InState(path) => path,
        }
    }
}

/// Reads the file; `None` where there is none and none must be.
pub fn read(place: &FilePlace) -> Option<FileSettings> {
    let whole = |reason| FileProblem { line: None, variable: None, reason };
    let (text, mode) = match read_bounded(place.path()) {
        Ok(read) => read,
        Err(error) if is_absent(&error) && matches!(place, FilePlace::InState(_)) => return None,
        Err(error) => {
            let problems = vec![whole(format!("the settings file cannot be read: {error}"))];
            return Some(FileSettings { problems, ..FileSettings::default() });
        }
    };
    let mut settings = parse(&text);
    if matches!(place, FilePlace::InState(_))
        && let Some((_, line)) = settings.values.remove("SUIFTLY_STATE")
    {
        settings.problems.push(FileProblem {
            line: Some(line),
            variable: Some("SUIFTLY_STATE"),
            reason: "this file was found in the state folder, so it cannot say where the state folder is; take the line out, or \
                     keep the file elsewhere and name it with SUIFTLY_CONFIG"
                .to_owned(),
        });
    }
    let url = settings.values.get("DATABASE_URL");
    if mode & FORBIDDEN_MODE != 0 && url.is_some_and(|(url, _)| may_hold_a_password(url)) {
        let file = place.path().display();
        settings.problems.push(whole(format!(
            "it holds the database's password and has mode {mode:04o}, so others may read or change it; run `chmod 600 {file}`"
        )));
    }
    Some(settings)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Its text and its mode.
fn read_bounded(path: &Path) -> std::io::Result<(String, u32)> {
    let invalid = |text: String| std::io::Error::new(ErrorKind::InvalidData, text);
    // Before it is opened, which would wait for ever at a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(invalid("it is no file".to_owned()));
    }
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_LEN_MAX {
        return Err(invalid(format!("it is longer than {FILE_LEN_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("it is no UTF-8 text".to_owned()))?;
    Ok((text, mode))
}

fn parse(text: &str) -> FileSettings {
    let mut settings = FileSettings::default();
    let line_at = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = error.span().map(|span| line_at(span.start));
            // Not the whole error: that one shows the line.
            let reason = format!("this is no TOML: {}", error.message());
            settings.problems.push(FileProblem { line, variable: None, reason });
            return settings;
        }
    };
    for (key, value) in table {
        let line = line_at(key.span().start);
        match entry(key.get_ref(), value.get_ref()) {
            Ok((variable, text)) => {
                settings.values.insert(variable, (text, line));
            }
            Err((variable, reason)) => {
                settings.problems.push(FileProblem { line: Some(line), variable, reason });
            }
        }
    }
    settings.problems.sort_by_key(|problem| problem.line);
    settings
}

type Refused = (Option<&'static str>, String);

fn entry(key: &str, value: &DeValue<'_>) -> Result<(&'static str, String), Refused> {
    let setting = catalogue::find(key).filter(|setting| setting.name() == key);
    let Some(setting) = setting else { return Err((None, unknown(key, value))) };
    let refused = |reason: String| (Some(setting.variable), reason);
    if setting.variable == "SUIFTLY_CONFIG" {
        return Err(refused("the settings file cannot name the settings file".to_owned()));
    }
    if setting.reader == Reader::Edge {
        let variable = setting.variable;
        return Err(refused(format!(
            "HAProxy and the scripts read it, and they do not read this file; set {variable} in their environment"
        )));
    }
    let text = text_of(setting, value).map_err(refused)?;
    if text.chars().any(char::is_control) {
        return Err(refused("there is a control character or a line's end in it".to_owned()));
    }
    Ok((setting.variable, text))
}

fn unknown(key: &str, value: &DeValue<'_>) -> String {
    let key: String = key.chars().take(64).flat_map(char::escape_debug).collect();
    if matches!(value, DeValue::Table(_)) {
        return format!("`{key}` begins a section; settings stand one a line, without sections");
    }
    match nearest::name_like(&key) {
        Some(known) => format!("there is no setting `{key}`; is `{known}` meant?"),
        None => format!("there is no setting `{key}`; `suiftly config check` lists all"),
    }
}

fn text_of(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    match (setting.kind, value) {
        (Kind::List, DeValue::Array(entries)) => {
            if entries.len() > ARRAY_LEN_MAX {
                return Err(format!("more than {ARRAY_LEN_MAX} entries"));
            }
            let entry = |entry: &DeValue<'_>| match entry {
                DeValue::String(text) if !text.contains([',', ' ']) => Ok(text.to_string()),
                _ => {
                    Err("each entry of the array is one text in quotes, without commas and spaces".to_owned())
                }
            };
            let entries: Result<Vec<String>, String> =
                entries.iter().map(|value| entry(value.get_ref())).collect();
            Ok(entries?.join(","))
        }
        (_, DeValue::String(text)) => Ok(text.to_string()),
        (Kind::Port | Kind::Number | Kind::Switch, DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map(|number| number.to_string()).map_err(|_| "the number is too large".to_owned())
        }
        (Kind::Switch, DeValue::Boolean(is_on)) => Ok(u8::from(*is_on).to_string()),
        (kind, _) => Err(wanted(kind).to_owned()),
    }
}

const fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "write a text in quotes",
        Kind::Port => "write a port, such as 8081",
        Kind::Number => "write a whole number",
        Kind::Switch => "write true or false",
        Kind::List => "write an array of texts, such as [\"192.0.2.1\"]",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn problem(text: &str) -> FileProblem {
        let settings = parse(text);
        assert_eq!(settings.problems.len(), 1, "{text}: {settings:?}");
        settings.problems.into_iter().next().unwrap()
    }

    #[test]
    fn every_kind_of_value_becomes_the_variables_text_with_its_line() {
        let text = "# a comment\n\napi_port = 8_082\npublic_url = \"https://api.example.com\"\naccept_v0 = true\n\
                    cors_origins = [\n  \"https://a.example.com\",\n  \"https://b.example.com\",\n]\nusage_hours_keep_d = 0x10\n\
                    edge_port = \"443\"\ntrusted_proxies = []\n";
        let settings = parse(text);
        assert_eq!(settings.problems, []);
        for (variable, value, line) in [
            ("SUIFTLY_API_PORT", "8082", 3),
            ("SUIFTLY_PUBLIC_URL", "https://api.example.com", 4),
            ("SUIFTLY_ACCEPT_V0", "1", 5),
            ("SUIFTLY_CORS_ORIGINS", "https://a.example.com,https://b.example.com", 6),
            ("SUIFTLY_USAGE_HOURS_KEEP_D", "16", 10),
            ("SUIFTLY_EDGE_PORT", "443", 11),
            ("SUIFTLY_TRUSTED_PROXIES", "", 12),
        ] {
            assert_eq!(settings.values.get(variable), Some(&(value.to_owned(), line)), "{variable}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_all_of_it() {
        let both = parse("api_prot = 1\nedge_port = 8080\napi_listen = 5\n");
        let lines: Vec<_> = both.problems.iter().map(|problem| problem.line).collect();
        assert_eq!((lines, both.values.len()), (vec![Some(1), Some(3)], 1));
        for (text, words) in [
            ("api_prot = 1", "is `api_port` meant?"),
            ("SUIFTLY_API_PORT = 1", "is `api_port` meant?"),
            ("colour = 1", "suiftly config check"),
            ("config = \"x\"", "cannot name the settings file"),
            ("upstream = \"10.0.0.10:9000\"", "set SUIFTLY_UPSTREAM in their environment"),
            ("[api]\nport = 1", "without sections"),
            ("api_port = 1.5", "a port"),
            ("api_port = true", "a port"),
            ("api_port = 99999999999999999999", "too large"),
            ("accept_v0 = [1]", "true or false"),
            ("keyring = 5", "text in quotes"),
            ("keyring = \"a\\nb\"", "control character"),
            ("cors_origins = [1]", "one text in quotes"),
            ("cors_origins = [\"a,b\"]", "one text in quotes"),
            ("usage_days_keep_d = 2026-11-21", "whole number"),
            ("api_port = 1\napi_port = 2", "duplicate key"),
        ] {
            let problem = problem(text);
            assert!(problem.reason.contains(words), "{text}: {problem:?}");
            assert!(problem.line.is_some(), "{text}: {problem:?}");
        }
    }

    #[test]
    fn no_message_repeats_what_a_line_holds() {
        for text in [
            "database_url = \"postgres://u:geheim@h/d",
            "database_url = postgres://u:geheim@h/d",
            "database_url = \"postgres://u:geheim@h/d\" x",
            "database_url = [\"geheim\"]",
            "database_url = \"a\\ngeheim\"",
        ] {
            let problem = problem(text);
            assert!(!problem.reason.contains("geheim"), "{problem:?}");
            assert_eq!(problem.line, Some(1), "{problem:?}");
        }
    }

    #[test]
    fn a_named_file_must_be_there_and_one_in_the_state_folder_need_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suiftly.toml");
        assert_eq!(read(&FilePlace::InState(path.clone())), None);
        let named = read(&FilePlace::Named(path.clone())).unwrap();
        assert!(named.problems.iter().any(|problem| problem.reason.contains("cannot be read")));
        let is_refused = |place: &FilePlace, words: &str| {
            let settings = read(place).unwrap();
            assert!(settings.problems.iter().any(|problem| problem.reason.contains(words)), "{settings:?}");
        };
        is_refused(&FilePlace::Named(folder.path().to_owned()), "no file");
        std::fs::write(&path, "x = 1\n".repeat(20_000)).unwrap();
        is_refused(&FilePlace::Named(path.clone()), "longer than 65536 bytes");
        std::fs::write(&path, [0xFF]).unwrap();
        is_refused(&FilePlace::Named(path.clone()), "UTF-8");
        std::fs::write(&path, "state = \"elsewhere\"").unwrap();
        is_refused(&FilePlace::InState(path.clone()), "found in the state folder");
        assert_eq!(read(&FilePlace::Named(path)).unwrap().problems, []);
    }

    #[test]
    fn a_file_with_a_password_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suiftly.toml");
        let refused = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let problems = read(&FilePlace::Named(path.clone())).unwrap().problems;
            assert!(!problems.iter().any(|problem| problem.reason.contains("geheim")), "{problems:?}");
            !problems.is_empty()
        };
        let with = "database_url = \"postgres://u:geheim@h/d\"";
        let without = "database_url = \"postgres://u@h/d\"";
        assert_eq!([0o600, 0o640, 0o644, 0o660].map(|mode| refused(with, mode)), [false, false, true, true]);
        assert!(!refused(without, 0o644));
    }
}
