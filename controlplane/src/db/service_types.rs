//! What can be sold: a row a service type. Types are added by a migration; title and whether it is open are changed here.

use crate::db::schema::service_types::dsl;
use crate::db::{DbError, ReadTx, WriteTx, word};
use crate::domain::catalogue::ServiceType;
use apikey::Service;
use diesel::prelude::*;

type Columns = (String, String, i64);

/// Every type, by its name.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<ServiceType>, DbError> {
    let rows: Vec<Columns> = dsl::service_types
        .order(dsl::service)
        .select((dsl::service, dsl::title, dsl::open))
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// A type; none where it is not sold at all.
pub fn find(tx: &mut ReadTx<'_>, service: Service) -> Result<Option<ServiceType>, DbError> {
    let found: Option<Columns> = dsl::service_types
        .find(service.name())
        .select((dsl::service, dsl::title, dsl::open))
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// Writes title and whether it is open.
pub fn update(tx: &mut WriteTx<'_>, of: &ServiceType) -> Result<(), DbError> {
    let columns = (dsl::title.eq(&of.title), dsl::open.eq(i64::from(of.open)));
    diesel::update(dsl::service_types.find(of.service.name())).set(columns).execute(tx.connection())?;
    Ok(())
}

fn row((service, title, open): Columns) -> Result<ServiceType, DbError> {
    Ok(ServiceType {
        service: word("service_types", "service", &service)?,
        title,
        open: match open {
            0 => false,
            1 => true,
            other => return Err(DbError::unexpected("service_types", format!("open is {other}"))),
        },
    })
}
