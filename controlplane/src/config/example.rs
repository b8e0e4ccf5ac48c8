//! A settings file in which every setting stands, explained and commented out: `suiftly config example`, and the package's
//! `/etc/suiftly/suiftly.toml`. It is made from the catalogue, so that it cannot lack a setting.

use super::catalogue::{Kind, Reader, SETTINGS, Secret, Setting};
use super::check::default_of;
use super::{Config, ConfigError, Variables};
use std::collections::BTreeMap;

/// The state folder of the example: the package's.
pub const STATE: &str = "/var/lib/suiftly";

const HEAD: &str = "\
# Settings of `suiftly`. Each line below shows the default; take the # away to change it. A variable in the environment is
# stronger than this file, and `--setting NAME=VALUE` than both. `suiftly config check` shows what is in force, and whence.
# HAProxy and the scripts do not read this file: where a setting says \"HAProxy too\", set SUIFTLY_ and its name
# in capitals in their environment.
";

/// The file.
///
/// # Errors
/// Never: the defaults can be used.
pub fn example() -> Result<String, ConfigError> {
    let variables = Variables::from([("SUIFTLY_STATE".to_owned(), STATE.to_owned())]);
    let config = Config::from_variables(&variables)?;
    let in_force = |setting: &Setting| Some((setting.variable, setting.in_force(&config)?));
    let values: BTreeMap<&'static str, String> = SETTINGS.iter().filter_map(in_force).collect();
    let lines = SETTINGS.iter().filter(|setting| stands_there(setting)).map(|setting| {
        let and_haproxy = match setting.reader {
            Reader::Both => " (HAProxy too)",
            Reader::Suiftly | Reader::Edge => "",
        };
        let mode = match setting.secret {
            Secret::Password => "; with a password this file needs mode 0640 or 0600",
            Secret::No | Secret::Whole => "",
        };
        let value = values.get(setting.variable).cloned();
        let value = literal(setting, &value.unwrap_or_else(|| default_of(setting, &values)));
        format!("\n# {}{mode}{and_haproxy}\n#{} = {value}\n", setting.meaning, setting.name())
    });
    Ok(HEAD.to_owned() + &lines.collect::<String>())
}

/// Whether a settings file may hold it.
fn stands_there(setting: &Setting) -> bool {
    setting.reader != Reader::Edge && setting.variable != "SUIFTLY_CONFIG"
}

fn literal(setting: &Setting, value: &str) -> String {
    match setting.kind {
        Kind::Port | Kind::Number if !value.is_empty() => value.to_owned(),
        Kind::Switch => (value == "1").to_string(),
        Kind::List if value.is_empty() => "[]".to_owned(),
        Kind::Text | Kind::List | Kind::Port | Kind::Number => {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::config::Layers;

    #[test]
    fn every_line_of_the_example_can_be_taken_in_and_is_the_default() {
        let example = example().unwrap();
        let all = SETTINGS.iter().filter(|setting| stands_there(setting));
        let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(lines.len(), all.clone().count());
        for (line, setting) in lines.iter().zip(all) {
            assert!(line.starts_with(&format!("{} = ", setting.name())), "{line}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("suiftly.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let environment = Variables::from([("SUIFTLY_CONFIG".to_owned(), file.display().to_string())]);
            Layers::read(&[], &environment).config().unwrap()
        };
        let default =
            Config::from_variables(&[("SUIFTLY_STATE".to_owned(), STATE.to_owned())].into()).unwrap();
        assert_eq!(read(&lines.join("\n")), default);
        assert_eq!(read(&example), Config::from_variables(&Variables::new()).unwrap());
        assert!(example.lines().all(|line| line.chars().count() <= 130), "{example}");
    }

    #[test]
    fn the_package_has_the_example_as_it_is_made_now() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/suiftly.toml");
        assert!(
            std::fs::read_to_string(file).unwrap() == example().unwrap(),
            "make it anew: suiftly config example > packaging/suiftly.toml"
        );
    }
}
