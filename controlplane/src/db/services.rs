//! Services of customers.

use crate::db::schema::{customers, services, services::dsl};
use crate::db::{CustomerLock, DbError, ReadTx, WriteTx, customer_id, number, word};
use crate::domain::{CustomerStatus, GrantSource, Rates, ServiceState, Tier};
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
    /// Where an operator's `resume` leads back to; set exactly while an operator has suspended it.
    pub state_before_suspension: Option<ServiceState>,
    /// Where the end of a suspension by billing leads back to; set exactly while there is one.
    pub state_before_billing: Option<ServiceState>,
    /// What was bought or granted.
    pub tier: Tier,
    /// The rates in force.
    pub plan: PlanNumber,
    /// Who gave it.
    pub source: GrantSource,
    /// Whether the addresses of callers are checked against the service's allowlist.
    pub allowlist: bool,
    /// Whether the customer wants the burst that the tier has.
    pub burst: bool,
    /// Rates of this customer alone, which win over the tier's.
    pub own_rates: Option<Rates>,
    /// Whether the subscription was paid for at least once.
    pub paid: bool,
    /// The tier that it gets at `pending_until_ms`.
    pub next_tier: Option<Tier>,
    /// Whether its cancellation has taken effect.
    pub cancelled: bool,
    /// When what is pending happens, unix milliseconds: the next tier, the end or the removal of a cancelled service; of a removed
    /// one, from when on it can be had again.
    pub pending_until_ms: Option<i64>,
    /// Counts changes, from 1.
    pub version: i64,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = services)]
#[diesel(treat_none_as_null = true)]
struct Columns {
    customer_id: i64,
    service: String,
    state: String,
    state_before_suspension: Option<String>,
    state_before_billing: Option<String>,
    tier: String,
    plan: i64,
    source: String,
    allowlist: i64,
    burst: i64,
    own_guaranteed_per_s: Option<i64>,
    own_burst_per_s: Option<i64>,
    own_burst_priority: Option<i64>,
    paid: i64,
    next_tier: Option<String>,
    cancelled: i64,
    pending_until_ms: Option<i64>,
    version: i64,
}

/// A customer's service, if the customer ever had it.
pub fn find(tx: &mut ReadTx<'_>, key: PolicyKey) -> Result<Option<ServiceRow>, DbError> {
    let found: Option<Columns> = dsl::services
        .find((i64::from(key.customer.get()), key.service.name()))
        .select(Columns::as_select())
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// All services that a customer ever had, by name.
pub fn of_customer(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<Vec<ServiceRow>, DbError> {
    let rows: Vec<Columns> = dsl::services
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .order(dsl::service)
        .select(Columns::as_select())
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// Every service of every customer, with the customer's status.
pub fn all_with_customer(tx: &mut ReadTx<'_>) -> Result<Vec<(ServiceRow, CustomerStatus)>, DbError> {
    let rows: Vec<(Columns, String)> = services::table
        .inner_join(customers::table.on(customers::customer_id.eq(services::customer_id)))
        .select((Columns::as_select(), customers::status))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(columns, status)| Ok((row(columns)?, word("customers", "status", &status)?)))
        .collect()
}

/// Services of which something that is pending happens at `now_ms` or before, the earliest first, at most `limit`.
pub fn due(tx: &mut ReadTx<'_>, now_ms: i64, limit: i64) -> Result<Vec<PolicyKey>, DbError> {
    let rows: Vec<(i64, String)> = dsl::services
        .filter(dsl::pending_until_ms.is_not_null().and(dsl::pending_until_ms.le(now_ms)))
        .order(dsl::pending_until_ms)
        .limit(limit)
        .select((dsl::customer_id, dsl::service))
        .load(tx.connection())?;
    rows.into_iter()
        .map(|(customer, service)| {
            let service = word("services", "service", &service)?;
            Ok(PolicyKey { customer: customer_id("services", customer)?, service })
        })
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
                AND s.state <> 'not_provisioned' AND s.tier = t.tier AND s.plan = plans.number AND s.burst = b.burst LIMIT 1\
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
        .filter(dsl::state.ne(ServiceState::NotProvisioned.word()))
        .filter(dsl::tier.eq(group.tier.word()))
        .filter(dsl::plan.eq(i64::from(group.plan.get())))
        .filter(dsl::burst.eq(i64::from(group.burst)))
        .limit(limit)
        .select(Columns::as_select())
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
    let columns = (columns_of(lock, row), dsl::created_at_ms.eq(now_ms), dsl::updated_at_ms.eq(now_ms));
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
    let columns = (columns_of(lock, row), dsl::updated_at_ms.eq(now_ms));
    diesel::update(target).set(columns).execute(tx.connection())?;
    Ok(())
}

fn columns_of(lock: &CustomerLock, row: &ServiceRow) -> Columns {
    let word = |state: ServiceState| state.word().to_owned();
    Columns {
        customer_id: i64::from(lock.customer().get()),
        service: row.key.service.name().to_owned(),
        state: word(row.state),
        state_before_suspension: row.state_before_suspension.map(word),
        state_before_billing: row.state_before_billing.map(word),
        tier: row.tier.word().to_owned(),
        plan: i64::from(row.plan.get()),
        source: row.source.word().to_owned(),
        allowlist: i64::from(row.allowlist),
        burst: i64::from(row.burst),
        own_guaranteed_per_s: row.own_rates.map(|rates| i64::from(rates.guaranteed_per_s)),
        own_burst_per_s: row.own_rates.map(|rates| i64::from(rates.burst_per_s)),
        own_burst_priority: row.own_rates.map(|rates| i64::from(rates.burst_priority)),
        paid: i64::from(row.paid),
        next_tier: row.next_tier.map(|tier| tier.word().to_owned()),
        cancelled: i64::from(row.cancelled),
        pending_until_ms: row.pending_until_ms,
        version: row.version,
    }
}

fn row(columns: Columns) -> Result<ServiceRow, DbError> {
    let state = |column: &'static str, text: Option<String>| {
        text.map(|text| word::<ServiceState>("services", column, &text)).transpose()
    };
    let service: Service = word("services", "service", &columns.service)?;
    let own_rates = match (columns.own_guaranteed_per_s, columns.own_burst_per_s, columns.own_burst_priority)
    {
        (Some(guaranteed), Some(burst), Some(priority)) => Some(Rates {
            guaranteed_per_s: number("services", "own_guaranteed_per_s", guaranteed)?,
            burst_per_s: number("services", "own_burst_per_s", burst)?,
            burst_priority: number("services", "own_burst_priority", priority)?,
        }),
        _ => None,
    };
    Ok(ServiceRow {
        key: PolicyKey { customer: customer_id("services", columns.customer_id)?, service },
        state: word("services", "state", &columns.state)?,
        state_before_suspension: state("state_before_suspension", columns.state_before_suspension)?,
        state_before_billing: state("state_before_billing", columns.state_before_billing)?,
        tier: word("services", "tier", &columns.tier)?,
        plan: PlanNumber::new(number("services", "plan", columns.plan)?)
            .ok_or_else(|| DbError::unexpected("services", format!("plan is {}", columns.plan)))?,
        source: word("services", "source", &columns.source)?,
        allowlist: yes_or_no("allowlist", columns.allowlist)?,
        burst: yes_or_no("burst", columns.burst)?,
        own_rates,
        paid: yes_or_no("paid", columns.paid)?,
        next_tier: columns.next_tier.map(|text| word("services", "next_tier", &text)).transpose()?,
        cancelled: yes_or_no("cancelled", columns.cancelled)?,
        pending_until_ms: columns.pending_until_ms,
        version: columns.version,
    })
}

fn yes_or_no(column: &'static str, value: i64) -> Result<bool, DbError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DbError::unexpected("services", format!("{column} is {other}"))),
    }
}
