//! What `suiftly` logs, and how. Where HAProxy logs is another setting: `SUIFTLY_LOG`.

use super::{ConfigError, Variables, text};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const LEVEL: &str = "SUIFTLY_LOG_LEVEL";
const FORMAT: &str = "SUIFTLY_LOG_FORMAT";
/// How long the text of a filter may be, in bytes.
const FILTER_LEN_MAX: usize = 1_024;

/// The log on stderr.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// `SUIFTLY_LOG_LEVEL`, default `info`: a level, or `TARGET=LEVEL`, separated by commas.
    pub filter: String,
    /// `SUIFTLY_LOG_FORMAT`, default `auto`.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// `auto`: [`Self::Text`] on a terminal, elsewhere [`Self::Json`].
    Auto,
    /// `text`: for people; with colours on a terminal.
    Text,
    /// `json`: one object a line.
    Json,
}

impl LogFormat {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl LogConfig {
    pub(super) fn from_variables(variables: &Variables) -> Result<Self, ConfigError> {
        // EnvFilter takes no spaces.
        let filter: String = text(variables, LEVEL).unwrap_or("info").split(' ').collect();
        if let Some(reason) = wrong_with(&filter) {
            return Err(ConfigError { variable: LEVEL, reason });
        }
        let format = match text(variables, FORMAT) {
            None | Some("auto") => LogFormat::Auto,
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let reason = format!("`{other}` is neither auto, text nor json");
                return Err(ConfigError { variable: FORMAT, reason });
            }
        };
        Ok(Self { filter, format })
    }

    /// What is logged. Whatever `filter` does not speak of is logged from `info` on.
    pub fn env_filter(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(format!("info,{}", self.filter))
    }
}

/// A mistyped level would be taken for a target's name, and silence everything else.
fn wrong_with(filter: &str) -> Option<String> {
    if filter.len() > FILTER_LEN_MAX {
        return Some(format!("longer than {FILTER_LEN_MAX} bytes"));
    }
    // Nothing would be parsed as `error`.
    let is_level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| match part.rsplit_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part),
    };
    let wrong = filter.split(',').find(|part| !is_known(part));
    let reason = |part: &str| {
        format!(
            "`{part}` is neither a level (error, warn, info, debug, trace, off) nor TARGET=LEVEL such as \
             controlplane::edge=debug"
        )
    };
    if let Some(part) = wrong {
        return Some(reason(part));
    }
    EnvFilter::builder().parse(filter).err().map(|error| format!("`{filter}`: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn config(name: &str, value: &str) -> Result<LogConfig, ConfigError> {
        LogConfig::from_variables(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn a_level_a_target_and_a_format_are_understood_and_a_mistyped_one_is_not() {
        assert_eq!(config("x", "").unwrap(), LogConfig { filter: "info".into(), format: LogFormat::Auto });
        for level in ["debug", "WARN", "off", "warn,controlplane::edge=trace", "info, controlplane=debug"] {
            assert_eq!(config(LEVEL, level).unwrap().filter, level.replace(' ', ""));
        }
        for level in
            ["inof", "controlplane::edge", "controlplane=loud", "=info", "a=", "info,,warn", "a[b=info"]
        {
            let error = config(LEVEL, level).unwrap_err();
            assert_eq!(error.variable, LEVEL, "{level}: {error}");
        }
        assert_eq!(config(LEVEL, &"a=info,".repeat(200)).unwrap_err().variable, LEVEL);
        assert_eq!(config(FORMAT, "json").unwrap().format, LogFormat::Json);
        assert_eq!(config(FORMAT, "yaml").unwrap_err().variable, FORMAT);
    }
}
