//! In whose name a command changes something: the user of the operating system who runs it.

use crate::config::Config;
use crate::db::{Database, DbError};
use crate::domain::activity::Actor;
use std::io::Read;

/// Where the system names its users.
const USERS_FILE: &str = "/etc/passwd";
/// The most of it that is read, in bytes: some ten thousand users.
const USERS_FILE_LEN_MAX: u64 = 1 << 20;
/// The longest name that `SUDO_USER` is believed to have, as long as `useradd` allows.
const LOGIN_LEN_MAX: usize = 32;

/// Opens the database, to be changed in the name of the user who runs this process.
///
/// # Errors
/// [`DbError`].
pub fn open_as_user(config: &Config) -> Result<Database, DbError> {
    let mut database = Database::open(&config.database)?;
    database.act_as(Actor::command(&user(config.sudo_user.as_deref())));
    Ok(database)
}

/// `alice`, `uid 1000` where the system has no name for the number, `root (sudo alice)` behind sudo. Only what stands in
/// the brackets is the environment's word.
fn user(sudo_user: Option<&str>) -> String {
    let uid = rustix::process::getuid().as_raw();
    let login = login_of(uid, &users()).unwrap_or_else(|| format!("uid {uid}"));
    match sudo_user.filter(|name| is_login(name)) {
        Some(before) => format!("{login} (sudo {before})"),
        None => login,
    }
}

/// The file with the users; nothing where it cannot be read, as in a container without one: the number then says who it was.
fn users() -> String {
    let mut text = Vec::new();
    let read =
        std::fs::File::open(USERS_FILE).and_then(|file| file.take(USERS_FILE_LEN_MAX).read_to_end(&mut text));
    if read.is_err() { String::new() } else { String::from_utf8_lossy(&text).into_owned() }
}

/// The first user with this number, as the system itself answers.
fn login_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && is_login(login)).then(|| login.to_owned())
    })
}

fn is_login(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@$".contains(&byte);
    (1..=LOGIN_LEN_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_name_that_the_system_gives_it() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# no user\nalice:x:1000:1000::/home/alice:/bin/sh\n\
            also:x:1000:1000::/:/bin/sh\nbad name:x:7:7::/:/bin/sh\n";
        assert_eq!(login_of(0, users).as_deref(), Some("root"));
        assert_eq!(login_of(1000, users).as_deref(), Some("alice"), "the first one");
        assert_eq!(login_of(7, users), None);
        assert_eq!(login_of(5, users), None);
    }

    #[test]
    fn sudo_adds_who_it_was_and_nothing_else_gets_in() {
        let alone = user(None);
        assert_eq!(user(Some("alice")), format!("{alone} (sudo alice)"));
        for wrong in ["", "a b", "a)", "a\nb", &"a".repeat(33)] {
            assert_eq!(user(Some(wrong)), alone, "{wrong:?}");
        }
    }
}
