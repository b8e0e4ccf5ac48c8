//! The layers that settings come from, and which of them has the last word: default, file, environment, `--setting`.
//!
//! ```text
//! suiftly.toml: api_port = 8081    SUIFTLY_API_PORT=8082    --setting api_port=8083    → 8083, from --setting
//! ```
//!
//! It is done once, for every command, before anything else. What a value means it leaves to [`Config::from_variables`].

use super::catalogue::{self, Reader, SETTINGS, Setting};
use super::database::may_hold_a_password;
use super::file::{self, FilePlace};
use super::{Config, ConfigError, Variables, nearest};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a setting's value comes from, the weakest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The settings file.
    File {
        /// Which.
        file: PathBuf,
        /// In which line; `None`: the file as a whole.
        line: Option<usize>,
    },
    /// A variable.
    Environment,
    /// `--setting`.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: None } => write!(f, "{}", file.display()),
            Self::File { file, line: Some(line) } => write!(f, "{}:{line}", file.display()),
            Self::Environment => f.write_str("environment"),
            Self::Argument => f.write_str("--setting"),
        }
    }
}

/// A setting, or a place for settings, that cannot be used. Never shows a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{reason}", place(.origin, .variable.as_ref().copied()))]
pub struct SettingProblem {
    /// Which setting, if it is one.
    pub variable: Option<&'static str>,
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// As somebody would look for it: `suiftly.toml:3: api_port: `, `SUIFTLY_API_PORT: `, `--setting api_port: `.
fn place(origin: &Origin, variable: Option<&'static str>) -> String {
    let name = || variable.and_then(catalogue::find).map(Setting::name);
    match (origin, variable) {
        (Origin::Argument, _) => {
            name().map_or("--setting: ".to_owned(), |name| format!("--setting {name}: "))
        }
        (Origin::File { .. }, _) => {
            name().map_or_else(|| format!("{origin}: "), |name| format!("{origin}: {name}: "))
        }
        (_, Some(variable)) => format!("{variable}: "),
        (_, None) => String::new(),
    }
}

/// All layers, one above the other.
#[derive(Clone, Debug)]
pub struct Layers {
    /// What is set, as [`Config::from_variables`] reads it.
    pub variables: Variables,
    /// Where what is set comes from.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The settings file, where there is one.
    pub file: Option<PathBuf>,
    /// What is wrong with the layers themselves.
    pub problems: Vec<SettingProblem>,
}

impl Layers {
    /// Reads all layers: `arguments` are what stands behind each `--setting`.
    pub fn read(arguments: &[String], environment: &Variables) -> Self {
        let mut problems = Vec::new();
        let arguments = given(arguments, &mut problems);
        let set = |variable: &str| match arguments.get(variable) {
            Some(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            None => super::text(environment, variable),
        };
        let place = set("SUIFTLY_CONFIG").map_or_else(
            || FilePlace::InState(Path::new(set("SUIFTLY_STATE").unwrap_or("var")).join("suiftly.toml")),
            |path| FilePlace::Named(path.into()),
        );
        let file = file::read(&place);
        let mut layers = Self { variables: Variables::new(), origins: BTreeMap::new(), file: None, problems };
        if let Some(settings) = file {
            layers.add_file(place.path(), settings);
        }
        // No setting of ours: `sudo` says by it who has run a command.
        if let Some(user) = environment.get("SUDO_USER") {
            layers.variables.insert("SUDO_USER".to_owned(), user.clone());
        }
        for setting in SETTINGS {
            let value = environment.get(setting.variable);
            if let Some(value) = value.filter(|value| !value.is_empty() || setting.empty_is_a_value()) {
                layers.set(setting, value.clone(), Origin::Environment);
            }
            if let Some(value) = arguments.get(setting.variable) {
                layers.set(setting, value.clone(), Origin::Argument);
            }
        }
        layers
    }

    /// The settings.
    ///
    /// # Errors
    /// The first thing that is wrong with a layer or a setting.
    pub fn config(&self) -> Result<Config, SettingProblem> {
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        Config::from_variables(&self.variables).map_err(|error| self.problem(error))
    }

    /// What is wrong with a setting, with where it comes from.
    pub fn problem(&self, error: ConfigError) -> SettingProblem {
        let ConfigError { variable, reason } = error;
        SettingProblem { variable: Some(variable), origin: self.origin(variable), reason }
    }

    /// Where a setting's value comes from.
    pub fn origin(&self, variable: &str) -> Origin {
        self.origins.get(variable).cloned().unwrap_or(Origin::Default)
    }

    fn set(&mut self, setting: &Setting, value: String, origin: Origin) {
        // Only `--setting NAME=` comes here with nothing, and puts the default back.
        if value.is_empty() && !setting.empty_is_a_value() {
            self.variables.remove(setting.variable);
        } else {
            self.variables.insert(setting.variable.to_owned(), value);
        }
        self.origins.insert(setting.variable, origin);
    }

    fn add_file(&mut self, path: &Path, settings: file::FileSettings) {
        let origin = |line| Origin::File { file: path.to_owned(), line };
        self.file = Some(path.to_owned());
        self.problems.extend(settings.problems.into_iter().map(|problem| SettingProblem {
            variable: problem.variable,
            origin: origin(problem.line),
            reason: problem.reason,
        }));
        for (variable, (value, line)) in settings.values {
            let Some(setting) = catalogue::find(variable) else { continue };
            if !value.is_empty() || setting.empty_is_a_value() {
                self.set(setting, value, origin(Some(line)));
            }
        }
    }
}

/// By variable what the arguments say, the last of a name; the rest are problems.
fn given(arguments: &[String], problems: &mut Vec<SettingProblem>) -> BTreeMap<&'static str, String> {
    let mut values = BTreeMap::new();
    for argument in arguments {
        match argument_of(argument) {
            Ok((variable, value)) => {
                values.insert(variable, value);
            }
            Err((variable, reason)) => {
                problems.push(SettingProblem { variable, origin: Origin::Argument, reason });
            }
        }
    }
    values
}

fn argument_of(argument: &str) -> Result<(&'static str, String), (Option<&'static str>, String)> {
    // Without `=` it may be a value, and that a secret: it is not repeated.
    let (name, value) = argument
        .split_once('=')
        .ok_or((None, "write NAME=VALUE, such as --setting api_port=8181".to_owned()))?;
    let Some(setting) = catalogue::find(name) else {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let meant = nearest::name_like(name).map(|known| format!("is `{known}` meant?"));
        let help = meant.unwrap_or_else(|| "`suiftly config check` lists all".to_owned());
        return Err((None, format!("there is no setting `{shown}`; {help}")));
    };
    if setting.reader == Reader::Edge {
        let reason = format!(
            "HAProxy and the scripts read it, and nobody tells them; set {} in their environment",
            setting.variable
        );
        return Err((Some(setting.variable), reason));
    }
    if setting.variable == "DATABASE_URL" && may_hold_a_password(value) {
        let reason = "everybody on this machine sees the password in the list of processes; put the URL into the settings file, \
                      mode 0600, or into the variable DATABASE_URL";
        return Err((Some(setting.variable), reason.to_owned()));
    }
    if value.chars().any(char::is_control) {
        return Err((Some(setting.variable), "there is a control character in it".to_owned()));
    }
    Ok((setting.variable, value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        environment: Variables,
    }

    impl Place {
        fn new(file: &str, environment: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("suiftly.toml"), file).unwrap();
            let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut environment: Variables = pairs.collect();
            environment.insert("SUIFTLY_STATE".to_owned(), folder.path().display().to_string());
            Self { folder, environment }
        }

        fn layers(&self, arguments: &[&str]) -> Layers {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            Layers::read(&arguments, &self.environment)
        }

        fn error(&self, arguments: &[&str]) -> String {
            self.layers(arguments).config().unwrap_err().to_string()
        }
    }

    #[test]
    fn the_file_is_stronger_than_the_default_the_environment_than_the_file_and_set_than_all() {
        let file = "api_port = 1\nedge_port = 2\nedge_id = \"c\"\nusage_hours_keep_d = 60\n";
        let environment = [("SUIFTLY_API_PORT", "11"), ("SUIFTLY_EDGE_PORT", "12"), ("SUIFTLY_EDGE_ID", "")];
        let place = Place::new(file, &environment);
        let layers = place.layers(&["api_port=21", "SUIFTLY_HOME=h", "usage_hours_keep_d="]);
        let config = layers.config().unwrap();
        assert_eq!((config.api.port, config.edge.port, config.edge.id.as_str()), (21, 12, "c"));
        assert_eq!((config.edge.home.to_str(), config.usage.hours_keep_d), (Some("h"), 90));
        let file = place.folder.path().join("suiftly.toml");
        for (variable, origin) in [
            ("SUIFTLY_API_PORT", Origin::Argument),
            ("SUIFTLY_EDGE_PORT", Origin::Environment),
            ("SUIFTLY_EDGE_ID", Origin::File { file: file.clone(), line: Some(3) }),
            ("SUIFTLY_USAGE_HOURS_KEEP_D", Origin::Argument),
            ("SUIFTLY_MODULES", Origin::Default),
        ] {
            assert_eq!(layers.origin(variable), origin, "{variable}");
        }
        assert_eq!(layers.file, Some(file));
    }

    #[test]
    fn an_empty_request_log_turns_it_off_in_every_layer() {
        use crate::config::RequestLogTarget::{Off, Udp};
        let target =
            |place: &Place, arguments: &[&str]| place.layers(arguments).config().unwrap().request_log.target;
        assert_eq!(target(&Place::new("request_log = \"\"", &[]), &[]), Off);
        let other = "127.0.0.1:9";
        let environment = Place::new("request_log = \"127.0.0.1:9\"", &[("SUIFTLY_REQUEST_LOG", "")]);
        assert_eq!(target(&environment, &[]), Off);
        assert_eq!(target(&environment, &["request_log=127.0.0.1:9"]), Udp(other.parse().unwrap()));
        assert_eq!(target(&Place::new("", &[]), &["request_log="]), Off);
    }

    #[test]
    fn the_named_file_is_the_only_one_and_may_say_where_the_state_is() {
        let mut place = Place::new("api_port = 1", &[]);
        let named = place.folder.path().join("named.toml");
        std::fs::write(&named, "state = \"elsewhere\"").unwrap();
        place.environment.remove("SUIFTLY_STATE");
        place.environment.insert("SUIFTLY_CONFIG".to_owned(), named.display().to_string());
        let config = place.layers(&[]).config().unwrap();
        assert_eq!((config.state.folder.to_str(), config.api.port), (Some("elsewhere"), 8081));
        let gone = place.error(&["config=/nonexistent/suiftly.toml"]);
        assert!(gone.starts_with("/nonexistent/suiftly.toml: the settings file cannot be read"), "{gone}");
    }

    #[test]
    fn an_error_says_where_the_value_stands() {
        let place = Place::new("\napi_port = 70000", &[("SUIFTLY_EDGE_PORT", "x")]);
        let file = place.folder.path().join("suiftly.toml");
        assert_eq!(
            place.error(&[]),
            format!("{}:2: api_port: `70000` is no port; write a number from 1 to 65535", file.display())
        );
        assert!(place.error(&["api_port=1"]).starts_with("SUIFTLY_EDGE_PORT: `x`"));
        assert!(place.error(&["api_port=1", "edge_port=y"]).starts_with("--setting edge_port: `y`"));
    }

    #[test]
    fn set_refuses_what_it_does_not_know_and_never_repeats_a_password() {
        let place = Place::new("", &[]);
        for (argument, words) in [
            ("api_prot=1", "--setting: there is no setting `api_prot`; is `api_port` meant?"),
            ("SUIFTLY_API_PROT=1", "is `api_port` meant?"),
            ("geheim", "--setting: write NAME=VALUE"),
            ("=geheim", "--setting: there is no setting ``"),
            ("upstream=10.0.0.10:9000", "set SUIFTLY_UPSTREAM in their environment"),
            ("stats_password=geheim", "set SUIFTLY_STATS_PASSWORD"),
            ("database_url=postgres://u:geheim@h/d", "--setting database_url: everybody on this machine"),
            ("DATABASE_URL=postgres://u@h/d?password=geheim", "mode 0600"),
            ("database_url=postgres://u:ge/heim@h/d", "everybody on this machine"),
            ("home=a\nb", "control character"),
        ] {
            let error = place.error(&[argument]);
            assert!(error.contains(words) && !error.contains("heim"), "{argument}: {error}");
        }
        assert!(place.layers(&["database_url=postgres://u@h/d"]).config().is_ok());
    }
}
