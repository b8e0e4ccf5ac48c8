//! `plans.map` inside a worker: HAProxy's own map of rates.
//!
//! A plan is put there before a policy names it ([`put_plans`], before the tables are pushed) and taken out
//! after the last one has left ([`take_surplus_out`], afterwards).

use crate::edge::native_map::{Entries, NativeMap};
use crate::edge::runtime_socket::{MasterSocket, SocketError, unusable};
use edgeformat::{Plan, PlanNumber};
use std::collections::BTreeMap;
use std::time::Instant;

/// How the map's file ends in HAProxy's list; the folder before it is the operator's choice.
const FILE_SUFFIX: &str = "maps/plans.map";

/// Puts every plan into the map. Answers whether anything had to be changed.
///
/// # Errors
/// [`SocketError`], also where the map is not as it should be afterwards.
pub fn put_plans(
    socket: &MasterSocket,
    pid: u32,
    plans: &BTreeMap<PlanNumber, Plan>,
    deadline: Instant,
) -> Result<bool, SocketError> {
    let map = NativeMap::find(socket, pid, FILE_SUFFIX, deadline)?;
    let entries = map.read()?;
    let missing: Vec<&Plan> = plans.values().filter(|plan| !holds(&entries, plan)).collect();
    for plan in &missing {
        map.put(&entries, &plan.number.to_string(), &plan.packed().to_string())?;
    }
    if missing.is_empty() {
        return Ok(false);
    }
    let entries = map.read()?;
    match plans.values().find(|plan| !holds(&entries, plan)) {
        None => Ok(true),
        Some(plan) => Err(unusable(
            "show map",
            format!("plan {} is not in the worker's map after it was put there", plan.number),
        )),
    }
}

/// Takes out what is no plan. Answers whether anything had to be changed.
///
/// # Errors
/// [`SocketError`].
pub fn take_surplus_out(
    socket: &MasterSocket,
    pid: u32,
    plans: &BTreeMap<PlanNumber, Plan>,
    deadline: Instant,
) -> Result<bool, SocketError> {
    let map = NativeMap::find(socket, pid, FILE_SUFFIX, deadline)?;
    let entries = map.read()?;
    let is_plan = |key: &str| plans.keys().any(|number| number.to_string() == key);
    let surplus: Vec<&String> = entries.keys().filter(|key| !is_plan(key)).collect();
    for key in &surplus {
        if !key.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unusable("show map", "plans.map has a key that is no number; reload HAProxy"));
        }
        map.remove(key)?;
    }
    Ok(!surplus.is_empty())
}

fn holds(entries: &Entries, plan: &Plan) -> bool {
    let packed = plan.packed().to_string();
    entries
        .get(&plan.number.to_string())
        .is_some_and(|values| !values.is_empty() && values.iter().all(|value| *value == packed))
}
