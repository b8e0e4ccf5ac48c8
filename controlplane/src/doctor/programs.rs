//! HAProxy, its Lua, and the module that was built for it.

use super::{Finding, Patient};
use std::process::Command;

/// The oldest HAProxy that the configuration is written for.
const HAPROXY_MIN: (u32, u32) = (2, 6);
/// The newest that it was run on.
const HAPROXY_TRIED: (u32, u32) = (3, 2);

/// What HAProxy says of itself.
pub(super) struct Haproxy {
    pub(super) findings: Vec<Finding>,
    /// `5.3` or `5.4`, where it has Lua.
    pub(super) version: Option<String>,
}

pub(super) fn haproxy(patient: &Patient<'_>) -> Haproxy {
    const CHECK: &str = "HAProxy";
    let output = match Command::new(&patient.haproxy).arg("-vv").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            let seen = format!("{} does not run: {error}", patient.haproxy.display());
            let todo = "install it: apt-get install haproxy; or name it with --haproxy";
            return Haproxy { findings: vec![Finding::problem(CHECK, seen, todo)], version: None };
        }
    };
    let lua = lua_version(&output);
    let mut findings = vec![match haproxy_version(&output) {
        None => Finding::problem(CHECK, "its version cannot be read", "run `haproxy -vv` and look"),
        Some(version) if version < HAPROXY_MIN => Finding::problem(
            CHECK,
            format!("version {}.{}", version.0, version.1),
            "the configuration needs 2.6 or newer; Debian 12 has it",
        ),
        Some(version) if version > HAPROXY_TRIED => Finding::warning(
            CHECK,
            format!("version {}.{}", version.0, version.1),
            "newer than what was tried (3.2); run `haproxy -c` and watch its warnings",
        ),
        Some(version) => Finding::ok(CHECK, format!("version {}.{}", version.0, version.1)),
    }];
    if lua.is_none() {
        let todo = "use a build with Lua 5.3 or 5.4 (USE_LUA=1); Debian's has it";
        findings.push(Finding::problem(CHECK, "it was built without Lua", todo));
    }
    Haproxy { findings, version: lua }
}

fn haproxy_version(output: &str) -> Option<(u32, u32)> {
    let text = output.split("HAProxy version ").nth(1)?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn lua_version(output: &str) -> Option<String> {
    let text = output.split("Built with Lua version : Lua ").nth(1)?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

pub(super) fn module(patient: &Patient<'_>, lua: Option<&str>) -> Vec<Finding> {
    const CHECK: &str = "module";
    let Some(lua) = lua else { return Vec::new() };
    let path = patient.config.edge.modules.join(format!("libsuiftly-lua{lua}.so"));
    // The entry for this Lua's C API differs between versions, so a file under the wrong name is told by its symbols.
    let foreign: &[u8] = if lua == "5.3" { b"lua_newuserdatauv" } else { b"lua_newuserdata\0" };
    let finding = match std::fs::read(&path) {
        Err(error) => Finding::problem(
            CHECK,
            format!("{}: {error}", path.display()),
            "scripts/run puts it there; the package has it in /usr/lib/suiftly/modules (SUIFTLY_MODULES)",
        ),
        Ok(bytes) if !contains(&bytes, b"luaopen_suiftly") => Finding::problem(
            CHECK,
            format!("{} is not the Suiftly module", path.display()),
            "build it anew with scripts/run, or install the package again",
        ),
        Ok(bytes) if contains(&bytes, foreign) => Finding::problem(
            CHECK,
            format!("{} was built for another Lua than {lua}", path.display()),
            "build it anew with scripts/run, or install the package again",
        ),
        Ok(_) => Finding::ok(CHECK, format!("{} for Lua {lua}", path.display())),
    };
    vec![finding]
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_haproxy_prints() {
        let printed = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nBuilt with Lua version : Lua 5.3.6\n";
        assert_eq!(haproxy_version(printed), Some((2, 6)));
        assert_eq!(lua_version(printed).as_deref(), Some("5.3"));
        assert_eq!(haproxy_version("something else"), None);
        assert_eq!(lua_version("HAProxy version 3.2"), None);
    }
}
