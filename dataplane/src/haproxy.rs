//! The only file that talks to HAProxy: registers converters and commands in each thread's Lua state.

use crate::allowed::is_allowed;
use crate::authorize::authorize;
use crate::clock::Clock;
use crate::commands;
use crate::edge::Edge;
use crate::outcome::count_outcome;
use crate::panic_guard::guarded;
use crate::settings::Settings;
use crate::start::start;
use edgeformat::{Decision, Reason};
use haproxy_api::Core;
use mlua::prelude::*;
use std::sync::OnceLock;

/// `lua-load-per-thread` calls the entry once a thread, one after the other, all in one process: the first call reads
/// the files, the others share what it read.
static EDGE: OnceLock<Result<Edge, String>> = OnceLock::new();

const NOT_READY: i64 = Decision::Refused { reason: Reason::NotReady, customer: None }.packed();

/// Called by `lua/suiftly.lua`. An error ends HAProxy's start with its text.
#[mlua::lua_module(name = "suiftly")]
fn entry(lua: &Lua) -> LuaResult<bool> {
    let edge = EDGE.get_or_init(|| {
        let settings = Settings::read(|name| std::env::var_os(name)).map_err(|error| error.to_string())?;
        start(&settings, Clock::System).map_err(|error| error.to_string())
    });
    let edge = edge.as_ref().map_err(|reason| LuaError::runtime(format!("suiftly: {reason}")))?;
    register_converters(lua, edge)?;
    register_commands(lua, edge)?;
    Ok(true)
}

fn register_converters(lua: &Lua, edge: &'static Edge) -> LuaResult<()> {
    let core = Core::new(lua)?;
    // A Rust string, not a copy of it: the bytes stay in Lua's memory while they are judged.
    core.register_converters("suiftly_auth", move |_: &Lua, field: LuaString| {
        Ok(guarded(edge, NOT_READY, || {
            let field = field.as_bytes();
            #[cfg(feature = "panic-trigger")]
            crate::panic_trigger::panic_if_asked(&field);
            authorize(edge, &field).packed()
        }))
    })?;
    // 1 when the address may use the admitted key; asked only where the policy wants it. Anything but 1 refuses.
    core.register_converters("suiftly_allowed", move |_: &Lua, question: LuaString| {
        Ok(i64::from(guarded(edge, false, || is_allowed(edge, &question.as_bytes()))))
    })?;
    // What became of a request that was let through; see `outcome`. Nothing depends on the answer.
    core.register_converters("suiftly_count", move |_: &Lua, text: LuaString| {
        Ok(i64::from(guarded(edge, false, || count_outcome(edge, &text.as_bytes()))))
    })?;
    // 1 when requests can be judged; asked by the health page, which must not count as a refused request.
    core.register_converters("suiftly_ready", move |_: &Lua, _: LuaString| {
        Ok(i64::from(guarded(edge, false, || edge.current_tables().is_some())))
    })
}

fn register_commands(lua: &Lua, edge: &'static Edge) -> LuaResult<()> {
    let version: String = lua.globals().get("_VERSION")?;
    command(lua, "status", "suiftly status : how the module and its tables stand (JSON)", move |_| {
        commands::status::run(edge, &version)
    })?;
    command(lua, "apply", "suiftly apply ... : change the tables (used by the agent)", move |words| {
        commands::apply::run(edge, words.iter().map(String::as_str))
    })?;
    command(lua, "show", "suiftly show <customer> : policy and counts of a customer (JSON)", move |words| {
        commands::show::run(edge, words.iter().map(String::as_str))
    })
}

/// Registers `suiftly <word>`. haproxy-api has no call for a command that is not Lua text, so this is the plain one.
fn command(
    lua: &Lua,
    word: &str,
    usage: &str,
    run: impl Fn(&[String]) -> String + Send + 'static,
) -> LuaResult<()> {
    let function = lua.create_function(move |_, (applet, words): (LuaValue, LuaMultiValue)| {
        let words: Vec<String> = words
            .iter()
            .skip(2)
            .filter_map(|word| word.as_string()?.to_str().ok().map(|s| s.to_owned()))
            .collect();
        let applet =
            applet.as_table().ok_or_else(|| LuaError::runtime("suiftly: HAProxy passed no applet"))?;
        applet.call_method::<()>("send", run(&words))
    })?;
    let core: LuaTable = lua.globals().get("core")?;
    core.get::<LuaFunction>("register_cli")?.call((vec!["suiftly", word], usage, function))
}
