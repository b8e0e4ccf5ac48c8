//! Writes the example map files: `cargo run -p edgeformat --example example_maps -- maps`.
#![allow(clippy::unwrap_used, reason = "a failure ends a tool for developers")]

use edgeformat::map_file::{
    default_errors, default_local_revocations, default_services, write_plans, write_table,
};
use edgeformat::{AllowlistEntry, Plan, Policy, Revocation, StreamId};

fn main() -> std::io::Result<()> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "maps".to_owned()));
    let plans = ["1 12", "2 3299059171528", "3 2201120408552"];
    let policies = [
        "305419896 seal enabled 1 -",
        "305419896 grpc enabled 2 allowlist",
        "2271560481 seal suspended_operator 3 -",
    ];
    let allowlists =
        ["305419896 grpc 203.0.113.0/24", "305419896 grpc 198.51.100.7/32", "305419896 grpc 2001:db8::/32"];
    let revocations =
        ["4100000112345678 0 revoked", "4100000212345678 1798761600 expired", "4100000187654321 0 revoked"];
    let stream = StreamId::from_u64(0x9f3c_00aa_51e2_d07b);
    let plans = plans.map(|line| Plan::from_fields(line.split(' ')).unwrap());
    let policies = policies.map(|line| Policy::from_fields(line.split(' ')).unwrap());
    let revocations = revocations.map(|line| Revocation::from_fields(line.split(' ')).unwrap());
    let allowlists = allowlists.map(|line| AllowlistEntry::from_fields(line.split(' ')).unwrap());
    std::fs::write(folder.join("errors.map"), default_errors())?;
    std::fs::write(folder.join("services.map"), default_services())?;
    std::fs::write(folder.join("local-revocations.map"), default_local_revocations())?;
    std::fs::write(folder.join("plans.map"), write_plans(plans))?;
    std::fs::write(folder.join("policies.map"), write_table(stream, 42, policies))?;
    std::fs::write(folder.join("allowlists.map"), write_table(stream, 42, allowlists))?;
    std::fs::write(folder.join("revocations.map"), write_table(stream, 42, revocations))
}
