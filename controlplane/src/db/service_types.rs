//! What can be sold: a row a service type. Types are added by a migration; title and whether it is open are changed here.

use crate::db::schema::service_types::dsl;
use crate::db::{DbError, ReadTx, WriteTx, word};
use apikey::Service;
use diesel::prelude::*;

/// A type of service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceTypeRow {
    /// Which.
    pub service: Service,
    /// What people call it.
    pub title: String,
    /// Whether anybody can subscribe to it.
    pub is_open: bool,
}

/// Every type, by name.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<ServiceTypeRow>, DbError> {
    let rows: Vec<(String, String, i64)> = dsl::service_types
        .order(dsl::service)
        .select((dsl::service, dsl::title, dsl::open))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(service, title, open)| {
            Ok(ServiceTypeRow {
                service: word("service_types", "service", &service)?,
                title,
                is_open: open != 0,
            })
        })
        .collect()
}

/// Whether anybody can subscribe to a type.
pub fn is_open(tx: &mut ReadTx<'_>, service: Service) -> Result<bool, DbError> {
    let open: Option<i64> =
        dsl::service_types.find(service.name()).select(dsl::open).first(tx.connection()).optional()?;
    Ok(open == Some(1))
}

/// Writes title and whether it is open.
pub fn update(tx: &mut WriteTx<'_>, row: &ServiceTypeRow) -> Result<(), DbError> {
    let columns = (dsl::title.eq(&row.title), dsl::open.eq(i64::from(row.is_open)));
    diesel::update(dsl::service_types.find(row.service.name())).set(columns).execute(tx.connection())?;
    Ok(())
}
