//! Services of customers.

use crate::db::schema::{customers, services, services::dsl};
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, number, word};
use crate::domain::{CustomerStatus, GrantSource, ServiceState, Tier};
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use edgeformat::{PlanNumber, PolicyKey};

/// A customer's service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceRow {
    /// Whose and which.
    pub key: PolicyKey,
    /// How it stands.
    pub state: ServiceState,
    /// Where `resume` leads back to; set exactly while an operator has suspended it.
    pub state_before_suspension: Option<ServiceState>,
    /// What was bought or granted.
    pub tier: Tier,
    /// The rates in force.
    pub plan: PlanNumber,
    /// Who gave it.
    pub source: GrantSource,
    /// Whether the addresses of callers are checked against the service's allowlist.
    pub allowlist: bool,
}

type Columns = (i64, String, String, Option<String>, String, i64, String, i64);
const COLUMNS: (
    dsl::customer_id,
    dsl::service,
    dsl::state,
    dsl::state_before_suspension,
    dsl::tier,
    dsl::plan,
    dsl::source,
    dsl::allowlist,
) = (
    dsl::customer_id,
    dsl::service,
    dsl::state,
    dsl::state_before_suspension,
    dsl::tier,
    dsl::plan,
    dsl::source,
    dsl::allowlist,
);

/// A customer's service, if the customer ever had it.
pub fn find(tx: &mut ReadTx<'_>, key: PolicyKey) -> Result<Option<ServiceRow>, DbError> {
    let found: Option<Columns> = dsl::services
        .find((i64::from(key.customer.get()), key.service.name()))
        .select(COLUMNS)
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// All services that a customer ever had, by name.
pub fn of_customer(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Vec<ServiceRow>, DbError> {
    let rows: Vec<Columns> = dsl::services
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .order(dsl::service)
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// Every service of every customer, with the customer's status.
pub fn all_with_customer(tx: &mut ReadTx<'_>) -> Result<Vec<(ServiceRow, CustomerStatus)>, DbError> {
    let rows: Vec<(Columns, String)> = services::table
        .inner_join(customers::table.on(customers::customer_id.eq(services::customer_id)))
        .select((COLUMNS, customers::status))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(columns, status)| Ok((row(columns)?, word("customers", "status", &status)?)))
        .collect()
}

/// What many services have in common that have no rates of their own: these decide their plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanGroup {
    /// Their tier.
    pub tier: Tier,
    /// Whether their customers want the tier's burst.
    pub burst: bool,
    /// The plan that they have.
    pub plan: PlanNumber,
}

#[derive(QueryableByName)]
struct GroupColumns {
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = BigInt)]
    burst: i64,
    #[diesel(sql_type = BigInt)]
    plan: i64,
}

/// Every group that there is. It costs a look into an index for each plan, tier and word about burst, however many services there
/// are: 120 with 20 plans.
pub fn plan_groups(tx: &mut ReadTx<'_>) -> Result<Vec<PlanGroup>, DbError> {
    let tiers = Tier::ALL.iter().map(|tier| format!("SELECT '{}' AS tier", tier.word()));
    let tiers = tiers.collect::<Vec<_>>().join(" UNION ALL ");
    // The inner query with its LIMIT is one look each; a join, or DISTINCT, would have the server read the whole index.
    let query = format!(
        "SELECT tier, burst, plan FROM (\
            SELECT t.tier, b.burst, plans.number AS plan, (\
                SELECT 1 FROM services AS s WHERE s.own_guaranteed_per_s IS NULL \
                AND s.tier = t.tier AND s.plan = plans.number AND s.burst = b.burst LIMIT 1\
            ) AS there \
            FROM plans CROSS JOIN ({tiers}) AS t CROSS JOIN (\
                SELECT CAST(0 AS BIGINT) AS burst UNION ALL SELECT CAST(1 AS BIGINT)\
            ) AS b\
        ) AS looked WHERE there = 1 ORDER BY tier, burst, plan"
    );
    let rows: Vec<GroupColumns> = diesel::sql_query(query).load(tx.connection())?;
    rows.into_iter()
        .map(|columns| {
            Ok(PlanGroup {
                tier: word("services", "tier", &columns.tier)?,
                burst: columns.burst == 1,
                plan: PlanNumber::new(number("services", "plan", columns.plan)?)
                    .ok_or_else(|| DbError::unexpected("services", "plan is 0"))?,
            })
        })
        .collect()
}

/// At most `limit` services of a group.
pub fn of_plan_group(tx: &mut ReadTx<'_>, group: &PlanGroup, limit: i64) -> Result<Vec<ServiceRow>, DbError> {
    let rows: Vec<Columns> = dsl::services
        .filter(dsl::own_guaranteed_per_s.is_null())
        .filter(dsl::tier.eq(group.tier.word()))
        .filter(dsl::plan.eq(i64::from(group.plan.get())))
        .filter(dsl::burst.eq(i64::from(group.burst)))
        .limit(limit)
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// Adds a service of the locked customer.
pub fn insert(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: &ServiceRow,
    now_ms: i64,
) -> Result<(), DbError> {
    let columns = (
        dsl::customer_id.eq(i64::from(lock.customer().get())),
        dsl::service.eq(row.key.service.name()),
        dsl::state.eq(row.state.word()),
        dsl::state_before_suspension.eq(row.state_before_suspension.map(ServiceState::word)),
        dsl::tier.eq(row.tier.word()),
        dsl::plan.eq(i64::from(row.plan.get())),
        dsl::source.eq(row.source.word()),
        dsl::allowlist.eq(i64::from(row.allowlist)),
        dsl::created_at_ms.eq(now_ms),
        dsl::updated_at_ms.eq(now_ms),
    );
    diesel::insert_into(dsl::services).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Writes the new state of a service of the locked customer.
pub fn update(
    tx: &mut WriteTx<'_>,
    lock: &CustomerLock,
    row: &ServiceRow,
    now_ms: i64,
) -> Result<(), DbError> {
    let target = dsl::services.find((i64::from(lock.customer().get()), row.key.service.name()));
    let columns = (
        dsl::state.eq(row.state.word()),
        dsl::state_before_suspension.eq(row.state_before_suspension.map(ServiceState::word)),
        dsl::tier.eq(row.tier.word()),
        dsl::plan.eq(i64::from(row.plan.get())),
        dsl::source.eq(row.source.word()),
        dsl::allowlist.eq(i64::from(row.allowlist)),
        dsl::updated_at_ms.eq(now_ms),
    );
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

fn row((id, service, state, before, tier, plan, source, allowlist): Columns) -> Result<ServiceRow, DbError> {
    let service: Service = word("services", "service", &service)?;
    let before = before.map(|before| word("services", "state_before_suspension", &before)).transpose()?;
    Ok(ServiceRow {
        key: PolicyKey { customer: customer_id("services", id)?, service },
        state: word("services", "state", &state)?,
        state_before_suspension: before,
        tier: word("services", "tier", &tier)?,
        plan: PlanNumber::new(number("services", "plan", plan)?)
            .ok_or_else(|| DbError::unexpected("services", format!("plan is {plan}")))?,
        source: word("services", "source", &source)?,
        allowlist: match allowlist {
            0 => false,
            1 => true,
            other => return Err(DbError::unexpected("services", format!("allowlist is {other}"))),
        },
    })
}
