//! `suiftly config`: what the settings are, where each comes from, and what is wrong with them.

use crate::cli::{Exit, Failure, Reply};
use crate::config::check::{self, Explained, Explanation};
use crate::config::example::example;
use crate::config::{Layers, Origin, Variables};
use clap::Subcommand;
use serde_json::{Value, json};

/// What is to be said about the settings. No command of it needs settings that can be used.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum ConfigCommand {
    /// Every setting: its value, where that comes from, what it means; and everything that is wrong
    #[command(
        after_help = "Examples:\n  suiftly config check\n  suiftly --setting api_port=8181 config check --json\n\n\
        Exit code 2 where a setting cannot be used; warnings do not change it."
    )]
    Check,
    /// A settings file with every setting, commented out
    #[command(after_help = "Example:\n  suiftly config example > suiftly.toml")]
    Example,
}

/// How wide a line may be.
const COLUMNS: usize = 100;
/// Wide enough for the longest name.
const NAME_COLUMNS: usize = 30;

/// Explains, with all that is wrong.
///
/// # Errors
/// The answer cannot be written.
pub fn run(command: ConfigCommand, layers: &Layers, environment: &Variables) -> Result<Reply, Failure> {
    match command {
        ConfigCommand::Check => answer(&check::explain(layers, environment)),
        ConfigCommand::Example => {
            let text = example()?;
            Reply::new(&json!({ "example": text }), text)
        }
    }
}

fn answer(explanation: &Explanation) -> Result<Reply, Failure> {
    let problems: Vec<Value> = explanation
        .problems
        .iter()
        .map(|problem| {
            json!({
                "variable": problem.variable, "origin": origin_json(&problem.origin), "problem": problem.reason,
                "text": problem.to_string(),
            })
        })
        .collect();
    let settings: Vec<Value> = explanation.settings.iter().map(setting_json).collect();
    let json = json!({
        "usable": problems.is_empty(),
        "file": explanation.file.as_ref().map(|file| file.display().to_string()),
        "settings": settings, "problems": problems, "warnings": explanation.warnings,
    });
    let mut reply = Reply::new(&json, text_of(explanation))?;
    if !explanation.problems.is_empty() {
        reply.exit = Exit::Usage;
    }
    Ok(reply)
}

fn setting_json(explained: &Explained) -> Value {
    let setting = explained.setting;
    json!({
        "name": setting.name(), "variable": setting.variable, "value": explained.value,
        "origin": origin_json(&explained.origin), "usable": explained.is_usable,
        "default": (!setting.default.is_empty()).then_some(setting.default), "meaning": setting.meaning,
        "read_by": { "suiftly": setting.reader.is_suiftly(), "haproxy_or_scripts": setting.reader.is_edge() },
    })
}

fn origin_json(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "from": "default" }),
        Origin::File { file, line } => {
            json!({ "from": "file", "file": file.display().to_string(), "line": line })
        }
        Origin::Environment => json!({ "from": "environment" }),
        Origin::Argument => json!({ "from": "--setting" }),
    }
}

fn text_of(explanation: &Explanation) -> String {
    let file = explanation.file.as_ref().map_or("none".to_owned(), |file| file.display().to_string());
    let mut text = wrapped(&format!("settings file: {}", shown(&file)), 2);
    for reader_is_suiftly in [true, false] {
        text.push_str(if reader_is_suiftly { "\n" } else { "\nread by HAProxy and the scripts only:\n\n" });
        let settings = explanation.settings.iter();
        for explained in settings.filter(|one| one.setting.reader.is_suiftly() == reader_is_suiftly) {
            text.push_str(&setting_text(explained));
        }
    }
    for (title, lines) in [
        ("warnings", explanation.warnings.clone()),
        ("problems", explanation.problems.iter().map(ToString::to_string).collect()),
    ] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}:\n"));
        }
        for line in lines {
            text.push_str(&wrapped(&format!("- {}", shown(&line)), 2));
        }
    }
    text
}

/// Name, value and origin, and the meaning below.
fn setting_text(explained: &Explained) -> String {
    let value = match (&explained.value, explained.is_usable) {
        (_, false) => "cannot be used".to_owned(),
        (None, true) => "none".to_owned(),
        (Some(value), true) => shown(value),
    };
    let origin = shown(&explained.origin.to_string());
    let name = explained.setting.name();
    let line = format!("{name:NAME_COLUMNS$} {value}  ({origin})");
    wrapped(&line, NAME_COLUMNS + 1) + &wrapped(&format!("    {}", explained.setting.meaning), 4)
}

/// Nothing that a terminal would obey.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped: Vec<char> =
                if character.is_control() { character.escape_default().collect() } else { vec![character] };
            escaped
        })
        .collect()
}

/// The line in as many as it needs, the further ones indented; broken at spaces, or anywhere in a longer word.
fn wrapped(line: &str, indent: usize) -> String {
    let mut rest: Vec<char> = line.chars().collect();
    let mut text = String::new();
    while rest.len() > COLUMNS {
        let head = rest.get(..=COLUMNS).unwrap_or_default();
        let space = head.iter().rposition(|character| *character == ' ').filter(|at| *at > indent);
        let tail = rest.split_off(space.unwrap_or(COLUMNS));
        text.push_str(rest.iter().collect::<String>().trim_end());
        text.push('\n');
        let tail = tail.into_iter().skip_while(|character| *character == ' ');
        rest = std::iter::repeat_n(' ', indent).chain(tail).collect();
    }
    text.extend(rest);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_100_columns_whatever_a_value_holds() {
        let path = format!("name {} end", "x".repeat(350));
        let words = "word ".repeat(60);
        for text in [wrapped(&path, 31), wrapped(&words, 4), wrapped("short", 2)] {
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        }
        assert_eq!(wrapped(&path, 31).matches('x').count(), 350);
        assert_eq!(wrapped(&words, 4).matches("word").count(), 60);
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
    }
}
