//! The keyring file: one mistake a test, and the first start.

use controlplane::app::chain_of;
use controlplane::config::KeyringConfig;
use controlplane::keyring::{self, KeyringFileError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn write(text: &str, mode: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyring.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    folder
}

fn refusal(text: &str) -> String {
    let folder = write(text, 0o600);
    let error = keyring::load(&folder.path().join("keyring.toml")).unwrap_err();
    let text = chain_of(&error);
    assert!(!text.contains(&SECRET[..12]), "shows a secret: {text}");
    text
}

fn config(folder: &Path, accept_v0: bool) -> KeyringConfig {
    KeyringConfig { file: folder.join("keyring.toml"), accept_v0 }
}

#[test]
fn an_unknown_field_is_refused() {
    let text = refusal(&format!("default_group = 1\nsecret = \"{SECRET}\"\n[groups]\n1 = \"{SECRET}\"\n"));
    assert!(text.contains("unknown field"), "{text}");
}

#[test]
fn a_default_group_without_a_secret_is_refused() {
    let text = refusal(&format!("default_group = 2\n[groups]\n1 = \"{SECRET}\"\n"));
    assert!(text.contains("default_group names group 2"), "{text}");
}

#[test]
fn an_accepted_group_without_a_secret_is_refused() {
    let text = refusal(&format!("default_group = 1\naccept_v0_groups = [3]\n[groups]\n1 = \"{SECRET}\"\n"));
    assert!(text.contains("accept_v0_groups names group 3"), "{text}");
}

#[test]
fn a_short_secret_is_refused() {
    let text = refusal(&format!("default_group = 1\n[groups]\n1 = \"{}\"\n", &SECRET[..62]));
    assert!(text.contains("64 hex digits"), "{text}");
}

#[test]
fn a_group_beyond_31_is_refused() {
    let text = refusal(&format!("default_group = 1\n[groups]\n32 = \"{SECRET}\"\n"));
    assert!(text.contains("0 to 31"), "{text}");
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    let text = refusal("default_group = 1\n[groups\n");
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn a_file_that_is_far_too_long_is_refused() {
    let text = refusal(&"# filler\n".repeat(20_000));
    assert!(text.contains("larger than"), "{text}");
}

#[test]
fn a_missing_file_says_what_makes_one() {
    let error = keyring::load(Path::new("/nonexistent/keyring.toml")).unwrap_err();
    assert!(matches!(error, KeyringFileError::Missing(_)));
    assert!(error.to_string().contains("suiftly serve"));
}

#[test]
fn a_file_that_others_may_read_is_refused_with_the_command_that_helps() {
    for mode in [0o640, 0o604, 0o610, 0o660] {
        let folder = write(&format!("default_group = 1\n[groups]\n1 = \"{SECRET}\"\n"), mode);
        let error = keyring::load(&folder.path().join("keyring.toml")).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
    }
}

#[test]
fn the_first_start_makes_a_private_file_and_the_next_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyring.toml");
    let keyring = keyring::load_or_make(&config(folder.path(), false)).unwrap();
    assert_eq!(
        (keyring.default_group.get(), keyring.groups.len(), keyring.accept_v0_groups.len()),
        (1, 1, 0)
    );
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let first = std::fs::read(&file).unwrap();
    let keyring = keyring::load_or_make(&config(folder.path(), true)).unwrap();
    assert!(keyring.accept_v0_groups.is_empty());
    assert_eq!(std::fs::read(&file).unwrap(), first);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
}

#[test]
fn two_first_starts_at_once_agree_on_one_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), true);
    let make = || {
        let keyring = keyring::load_or_make(&config).unwrap();
        let group = keyring.default_group;
        let customer = apikey::CustomerId::new(7).unwrap();
        let derivation = apikey::Derivation::new(1).unwrap();
        let mac = keyring::mac_of(&keyring, group).unwrap();
        let key =
            apikey::issue(apikey::Version::V0, apikey::Service::Seal, group, derivation, customer, &mac);
        assert!(keyring::accepts(&keyring, apikey::Version::V0, group));
        key.as_str().to_owned()
    };
    let keys: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "the starts made different secrets");
}
