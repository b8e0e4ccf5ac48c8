//! The database: there, and answering.

use super::{Finding, Patient};
use crate::app::chain_of;
use crate::config::{DatabaseConfig, PostgresUrl};
use crate::db::{Database, stream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn database(patient: &Patient<'_>) -> Vec<Finding> {
    vec![match &patient.config.database {
        DatabaseConfig::Sqlite(file) => sqlite(file),
        DatabaseConfig::Postgres(url) => postgres(url, &patient.config.database),
    }]
}

const CHECK: &str = "database";

/// The file is not opened: SQLite makes files beside it then, which would belong to whoever asks the doctor.
fn sqlite(file: &Path) -> Finding {
    let shown = file.display();
    match std::fs::metadata(file) {
        Err(error) => Finding::problem(
            CHECK,
            format!("{shown}: {error}"),
            "`suiftly serve` makes it at its first start",
        ),
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let seen = format!("{shown} is open to others (mode {:04o})", metadata.mode() & 0o777);
            Finding::problem(CHECK, seen, format!("chmod 600 {shown}"))
        }
        Ok(metadata) => Finding::ok(CHECK, format!("{shown}, {} KiB", metadata.len() >> 10)),
    }
}

fn postgres(url: &PostgresUrl, config: &DatabaseConfig) -> Finding {
    match Database::open_again(config).and_then(|mut database| database.read(stream::position)) {
        Ok(position) => Finding::ok(CHECK, format!("{url} answers, at change {}", position.sequence)),
        Err(error) => {
            let todo = "is the server up, and do DATABASE_URL, database and role agree? (docs/OPERATIONS.md); \
                the edge serves on with what it has";
            Finding::problem(CHECK, chain_of(&error), todo)
        }
    }
}
