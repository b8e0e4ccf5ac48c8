//! Settings as the real binary reads them: layers, `suiftly config`, the log; and the catalogue held against everything else.

use crate::harness::{Answer, Stack, free_port};
use crate::terminal::Terminal;
use controlplane::config::catalogue::{NOT_SETTINGS, SETTINGS};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A stack whose settings file holds this; the harness sets `SUIFTLY_STATE` and `SUIFTLY_API_PORT` in the environment.
fn stack(file: &str) -> Stack {
    let stack = Stack::new();
    write(&stack.path("suiftly.toml"), file, 0o600);
    stack
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn check(stack: &Stack, line: &str, variables: &[(&str, &str)]) -> Answer {
    let mut command = stack.command(line);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn setting(answer: &Value, name: &str) -> Value {
    let settings = answer["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["name"] == name).unwrap().clone()
}

#[test]
fn check_shows_every_setting_with_its_value_and_where_it_comes_from() {
    let stack = stack("edge_port = 8090\nedge_id = \"fra1\"\ncors_origins = [\"https://a.example.com\"]\n");
    let variables = [("SUIFTLY_EDGE_PORT", "8091"), ("DATABASE_URL", "postgres://u:geheim@h/d")];
    // On both sides of the command, and by either name.
    let line = "--setting api_port=8181 config check --json --setting SUIFTLY_ACCEPT_V0=1";
    let answer = check(&stack, line, &variables);
    assert!(!answer.stdout.contains("geheim") && answer.stderr.is_empty(), "{}", answer.stderr);
    let answer = answer.json_with(0);
    let file = stack.path("suiftly.toml").display().to_string();
    assert_eq!((&answer["usable"], &answer["file"]), (&json!(true), &json!(file)));
    assert_eq!(answer["settings"].as_array().unwrap().len(), SETTINGS.len());
    let from_file = |line: u32| json!({"from": "file", "file": file, "line": line});
    let database = json!("postgres://u:***@h/d");
    for (name, value, origin) in [
        ("api_port", json!("8181"), json!({"from": "--setting"})),
        ("accept_v0", json!("1"), json!({"from": "--setting"})),
        ("edge_port", json!("8091"), json!({"from": "environment"})),
        ("edge_id", json!("fra1"), from_file(2)),
        ("cors_origins", json!("https://a.example.com"), from_file(3)),
        ("database_url", database, json!({"from": "environment"})),
        ("usage_hours_keep_d", json!("90"), json!({"from": "default"})),
        ("api_cert", Value::Null, json!({"from": "default"})),
        ("upstream", json!("127.0.0.1:9000"), json!({"from": "default"})),
    ] {
        let shown = setting(&answer, name);
        assert_eq!((&shown["value"], &shown["origin"]), (&value, &origin), "{name}");
        assert!(shown["meaning"].as_str().unwrap().len() > 10, "{name}");
    }
}

#[test]
fn check_fits_100_columns_and_names_every_setting() {
    let stack = stack("edge_id = \"fra1\"\n");
    let long = format!("/{}", "folder/".repeat(40));
    let variables =
        [("SUIFTLY_HOME", long.as_str()), ("SUIFTLY_API_PROT", "1"), ("SUIFTLY_API_CERT", "a\x1b[31m")];
    let answer = check(&stack, "config check", &variables);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(answer.stdout.lines().all(|line| line.chars().count() <= 100), "{}", answer.stdout);
    assert!(!answer.stdout.contains('\x1b'), "{}", answer.stdout);
    for setting in SETTINGS {
        let begins = |line: &str| line.split(' ').next() == Some(setting.name().as_str());
        assert!(answer.stdout.lines().any(begins), "{}: {}", setting.variable, answer.stdout);
    }
    assert!(answer.stdout.contains("suiftly.toml:1)"), "{}", answer.stdout);
    assert!(answer.stdout.contains("SUIFTLY_API_PROT"), "{}", answer.stdout);
}

#[test]
fn check_lists_all_that_is_wrong_and_every_other_command_ends_at_the_first() {
    let stack = stack("api_prot = 1\nusage_hours_keep_d = \"x\"\nstats_port = 1\n");
    let variables = [("SUIFTLY_EDGE_PORT", "0"), ("SUIFTLY_LOG_LEVEL", "inof")];
    let answer = check(&stack, "config check --json", &variables).json_with(2);
    assert_eq!(answer["usable"], false);
    let problems: Vec<&str> =
        answer["problems"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    for words in [
        "suiftly.toml:1: there is no setting `api_prot`; is `api_port` meant?",
        "suiftly.toml:2: usage_hours_keep_d: `x`",
        "suiftly.toml:3: stats_port: HAProxy",
        "SUIFTLY_EDGE_PORT: `0`",
        "SUIFTLY_LOG_LEVEL: `inof`",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert_eq!(setting(&answer, "edge_port")["usable"], false);
    assert_eq!(setting(&answer, "api_port")["value"], stack.api_port.to_string());
    let text = check(&stack, "config check", &variables);
    assert!(text.code == 2 && text.stdout.contains("\nproblems:\n- "), "{}", text.stdout);

    let line = format!("admin customer create --wallet 0x{:064x} --json", 1);
    let stopped = check(&stack, &line, &variables);
    stopped.fails(2, "suiftly.toml:1: there is no setting `api_prot`");
    assert!(!stack.path("suiftly.db").exists());
}

#[test]
fn set_is_refused_where_it_is_unknown_or_shows_a_password() {
    let stack = Stack::new();
    stack.run("--setting api_prot=1 edge status --json").fails(2, "is `api_port` meant?");
    stack.run("edge status --setting nonsense --json").fails(2, "write NAME=VALUE");
    stack.run("edge status --json --setting").fails(2, "--setting");
    let password = stack.run("edge status --json --setting database_url=postgres://u:geheim@h/d");
    password.fails(2, "mode 0600");
    assert!(!password.stderr.contains("geheim") && !password.stdout.contains("geheim"));
    // An unknown command beside it: clap's message repeats nothing of it either.
    let other = stack.run("frobnicate --json --setting=database_url=postgres://u:geheim@h/d");
    assert!(!other.stderr.contains("geheim") && !other.stdout.contains("geheim"), "{}", other.stderr);
}

#[test]
fn every_command_reads_the_settings_file() {
    let stack = Stack::new();
    let other = stack.path("other.db");
    write(&stack.path("suiftly.toml"), &format!("database_url = \"sqlite://{}\"\n", other.display()), 0o644);
    stack.customer(1);
    assert!(other.exists() && !stack.path("suiftly.db").exists());
    // The environment is stronger.
    let url = format!("sqlite://{}", stack.path("third.db").display());
    let line = format!("admin customer create --wallet 0x{:064x} --json", 1);
    let made = check(&stack, &line, &[("DATABASE_URL", &url)]).json_with(0);
    assert_eq!(made["created"], true);

    write(&stack.path("suiftly.toml"), "database_url = \"postgres://u:geheim@h/d\"\n", 0o644);
    let open = stack.run("edge status --json");
    open.fails(2, "chmod 600");
    assert!(!open.stderr.contains("geheim"));
    let gone = check(&stack, "edge status --json", &[("SUIFTLY_CONFIG", "/nonexistent/suiftly.toml")]);
    gone.fails(2, "/nonexistent/suiftly.toml: the settings file cannot be read");
    let state = self::stack("state = \"elsewhere\"\n");
    state
        .run("edge status --json")
        .fails(2, "suiftly.toml:1: state: this file was found in the state folder");
}

#[test]
fn the_agents_settings_come_from_every_layer_too() {
    let stack = stack("control_plane = \"http://control.example.com\"\ntoken_file = \"t\"\n");
    stack.run("agent --json").fails(2, "https://");
    let missing = self::stack("token_file = \"t\"\n");
    missing.run("agent --json").fails(2, "--control-plane URL, or the setting SUIFTLY_CONTROL_PLANE");
}

#[test]
fn the_example_is_a_settings_file_that_changes_nothing() {
    let stack = Stack::new();
    let example = stack.run("config example");
    write(&stack.path("suiftly.toml"), &example.stdout, 0o644);
    let answer = stack.run("config check --json").json_with(0);
    let set: Vec<String> = answer["settings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["origin"]["from"] == "file")
        .map(|one| one["name"].to_string())
        .collect();
    assert_eq!(set, Vec::<String>::new());
    assert_eq!(
        stack.run("config example --json").json_with(0)["example"].as_str(),
        Some(example.stdout.as_str())
    );
}

/// The first line that the demo upstream logs into a pipe.
fn first_line(variables: &[(&str, &str)]) -> String {
    let stack = Stack::new();
    let mut command = stack.command(&format!("demo-upstream --port {}", free_port()));
    let mut child = command.envs(variables.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !line.contains("the demo upstream answers") && stderr.read_line(&mut line).unwrap() > 0 {
        if !line.contains("the demo upstream answers") {
            line.clear();
        }
    }
    drop(crate::harness::Running(child));
    line
}

#[test]
fn the_log_is_one_json_object_a_line_in_a_pipe_unless_text_is_asked_for() {
    let line = first_line(&[]);
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["level"], &event["target"]),
        (&json!("INFO"), &json!("controlplane::cli::demo_upstream"))
    );
    assert_eq!(event["message"], "the demo upstream answers on 127.0.0.1");
    assert!(event["port"].is_u64(), "{line}");
    let at = event["timestamp"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z') && &at[10..11] == "T" && &at[19..20] == ".", "{at}");
    let text = first_line(&[("SUIFTLY_LOG_FORMAT", "text")]);
    assert!(text.contains(" INFO the demo upstream answers on 127.0.0.1 port="), "{text:?}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(first_line(&[("SUIFTLY_LOG_FORMAT", "text"), ("SUIFTLY_LOG_LEVEL", "verbose")]), "");
}

#[test]
fn the_log_is_coloured_text_on_a_terminal_unless_json_is_asked_for() {
    let stack = Stack::new();
    let shown = |variables: &[(&str, &str)]| {
        let mut terminal = Terminal::new(200, 24);
        let mut command = stack.command(&format!("demo-upstream --port {}", free_port()));
        command.envs(variables.iter().copied());
        terminal.start(command);
        terminal.wait_for("the demo upstream answers on 127.0.0.1");
        terminal.kill(rustix::process::Signal::TERM);
        // Whether it has heard of signals yet is not asked here.
        let _ = terminal.wait_for_end();
        terminal.shown()
    };
    let text = shown(&[]);
    assert!(text.contains("\x1b[32m INFO\x1b[0m") && !text.contains('{'), "{text:?}");
    assert!(!shown(&[("NO_COLOR", "1")]).contains('\x1b'));
    let json = shown(&[("SUIFTLY_LOG_FORMAT", "json")]);
    let line = json.lines().find(|line| line.contains("the demo upstream answers")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(line).unwrap()["level"], "INFO");
}

#[test]
fn the_most_talkative_log_holds_no_token_and_nothing_of_what_libraries_say_to_themselves() {
    let stack = Stack::new();
    let made = stack.run("admin token create --name on-call --json").json_with(0);
    let token = made["token"].as_str().unwrap();
    let serve = stack.start("serve", &[("SUIFTLY_LOG_LEVEL", "trace")]);
    for (path, credential) in
        [("/metrics", token), ("/api/v1/operator/keys/4100000112345678/revoke", "geheim")]
    {
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {credential}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n"
        );
        assert!(crate::harness::request(stack.api_port, &text).is_some());
    }
    serve.terminate();
    let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
    assert!(!log.is_empty() && !log.contains(token) && !log.contains("geheim"), "{log}");
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let of_ours = event["target"].as_str().unwrap().starts_with("controlplane");
        assert!(of_ours || ["INFO", "WARN", "ERROR"].contains(&event["level"].as_str().unwrap()), "{line}");
    }
}

// --- the catalogue and everything else ---

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder of the repository, with what they hold; of Rust neither comments nor unit tests.
fn texts(folder: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![repository().join(folder)];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let is_rust = path.extension().is_some_and(|extension| extension == "rs");
                let code = text.split("#[cfg(test)]").next().unwrap();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                texts.push((
                    path,
                    if is_rust { lines.map(|line| format!("{line}\n")).collect() } else { text },
                ));
            }
        }
    }
    texts
}

fn variables_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text
        .split(|c: char| !is_part(c))
        .filter(|word| *word == "DATABASE_URL" || word.starts_with("SUIFTLY_"));
    let of_tests = |word: &&str| !NOT_SETTINGS.iter().any(|prefix| word.starts_with(prefix));
    words.filter(of_tests).filter(|word| !word.ends_with('_')).map(str::to_owned).collect()
}

#[test]
fn everything_that_is_read_anywhere_stands_in_the_catalogue_and_the_other_way_round() {
    let known = |variable: &str| SETTINGS.iter().any(|setting| setting.variable == variable);
    let read_in = |folders: &[&str]| {
        let mut read = BTreeSet::new();
        for (path, text) in folders.iter().flat_map(|folder| texts(folder)) {
            if path.ends_with("config/catalogue.rs")
                || path.components().any(|part| part.as_os_str() == "systemd")
            {
                continue;
            }
            for variable in variables_in(&text) {
                assert!(known(&variable), "{} names {variable}, which the catalogue lacks", path.display());
                read.insert(variable);
            }
        }
        read
    };
    let by_suiftly = read_in(&["controlplane/src"]);
    let by_edge = read_in(&["haproxy", "lua", "dataplane/src", "scripts"]);
    read_in(&["packaging"]);
    for setting in SETTINGS {
        let variable = setting.variable;
        // A variable that scripts only hand on, or take away, is not read there.
        let handed_on = variable == "DATABASE_URL";
        assert_eq!(setting.reader.is_edge(), by_edge.contains(variable) && !handed_on, "{variable}");
        assert!(!setting.reader.is_suiftly() || by_suiftly.contains(variable), "{variable}");
    }
}

#[test]
fn the_defaults_of_haproxy_are_those_of_the_catalogue() {
    let text = std::fs::read_to_string(repository().join("haproxy/haproxy.cfg")).unwrap()
        + &std::fs::read_to_string(repository().join("haproxy/hardened.cfg")).unwrap();
    let mut seen = 0;
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("presetenv ")) {
        let (variable, default) = line.split_once(' ').unwrap();
        let default: String = default.trim_matches('"').chars().filter(|c| !['{', '}'].contains(c)).collect();
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable).unwrap();
        assert_eq!(setting.default, default, "{variable}");
        seen += 1;
    }
    assert!(seen >= 17, "{seen}");
}

#[test]
fn the_operators_table_names_every_setting_with_its_default_and_no_other() {
    let text = std::fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();
    let section = text.split("\n## Settings\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    let mut named = BTreeSet::new();
    for row in &rows {
        for variable in variables_in(row[0]) {
            let setting = SETTINGS.iter().find(|setting| setting.variable == variable);
            let setting = setting.unwrap_or_else(|| panic!("{variable} is no setting"));
            let default = if setting.default.is_empty() { "unset" } else { setting.default };
            assert!(row[1].contains(default), "{variable}: {} is not said to be {default}", row[1]);
            assert!(named.insert(variable.clone()), "{variable} stands there twice");
        }
    }
    let missing: Vec<_> = SETTINGS.iter().filter(|setting| !named.contains(setting.variable)).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md lacks {missing:?}");
}
