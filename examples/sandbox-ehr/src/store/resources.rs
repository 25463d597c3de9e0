//! Resources as the clinic holds them: raw JSON text with the few columns that searching needs.
//! Text goes in and comes out unchanged; what may be stored is decided elsewhere.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use serde_json::{Value, json};

use super::Store;
use crate::{SandboxError, clock::now_millis};

/// One coding of a searchable element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coding {
    /// `code` or `category`.
    pub(crate) element: &'static str,
    pub(crate) system: String,
    pub(crate) code: String,
}

/// When a fact applies, in milliseconds since 1970; `ends` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) starts: i64,
    pub(crate) ends: i64,
}

/// A resource about to be stored.
pub(crate) struct NewResource<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) patient: &'a str,
    pub(crate) body: &'a str,
    pub(crate) codings: &'a [Coding],
    pub(crate) identifiers: &'a [(String, String)],
    pub(crate) effective: Option<Effective>,
    pub(crate) updated: i64,
}

/// A resource as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredResource {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) patient: String,
    pub(crate) updated: i64,
    pub(crate) body: String,
}

impl StoredResource {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            patient: row.get(2)?,
            updated: row.get(3)?,
            body: row.get(4)?,
        })
    }

    pub(crate) fn json(&self) -> Result<Value, SandboxError> {
        Ok(serde_json::from_str(&self.body)?)
    }
}

const COLUMNS: &str = "r.seq, r.id, r.patient, r.updated, r.body";

/// Which resources to list. Each inner list of codings is an OR; several of them are an AND.
#[derive(Debug, Default)]
pub(crate) struct ResourceQuery<'a> {
    pub(crate) kind: &'a str,
    pub(crate) patient: &'a str,
    /// `(element, system, code)` alternatives; `None` as system means any.
    pub(crate) codings: Vec<Vec<(&'a str, Option<String>, String)>>,
    /// `(system, value)` alternatives.
    pub(crate) identifiers: Vec<(Option<String>, String)>,
    /// SQL-free date conditions: `(column, comparison, milliseconds)`.
    pub(crate) dates: Vec<(DateColumn, Comparison, i64)>,
    pub(crate) newest_first: bool,
    pub(crate) offset: usize,
    pub(crate) count: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateColumn {
    Starts,
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl ResourceQuery<'_> {
    fn condition(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut sql = String::from("r.type = ? AND r.patient = ?");
        let mut values: Vec<Box<dyn ToSql>> =
            vec![Box::new(self.kind.to_owned()), Box::new(self.patient.to_owned())];
        for alternatives in &self.codings {
            sql.push_str(" AND EXISTS (SELECT 1 FROM coding c WHERE c.seq = r.seq AND (0");
            for (element, system, code) in alternatives {
                sql.push_str(" OR (c.element = ? AND c.code = ?");
                values.push(Box::new((*element).to_owned()));
                values.push(Box::new(code.clone()));
                if let Some(system) = system {
                    sql.push_str(" AND c.system = ?");
                    values.push(Box::new(system.clone()));
                }
                sql.push(')');
            }
            sql.push_str("))");
        }
        if !self.identifiers.is_empty() {
            sql.push_str(" AND EXISTS (SELECT 1 FROM identifier i WHERE i.seq = r.seq AND (0");
            for (system, value) in &self.identifiers {
                sql.push_str(" OR (i.value = ?");
                values.push(Box::new(value.clone()));
                if let Some(system) = system {
                    sql.push_str(" AND i.system = ?");
                    values.push(Box::new(system.clone()));
                }
                sql.push(')');
            }
            sql.push_str("))");
        }
        for (column, comparison, millis) in &self.dates {
            let column = match column {
                DateColumn::Starts => "r.starts",
                DateColumn::Ends => "r.ends",
            };
            let comparison = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            let _ = write!(sql, " AND {column} {comparison} ?");
            values.push(Box::new(*millis));
        }
        (sql, values)
    }
}

impl Store {
    pub(crate) fn resource(
        &self,
        kind: &str,
        id: &str,
    ) -> Result<Option<StoredResource>, SandboxError> {
        self.read(|connection| find(connection, kind, id))
    }

    /// The page asked for, and how many there are in all.
    pub(crate) fn search(
        &self,
        query: &ResourceQuery<'_>,
    ) -> Result<(Vec<StoredResource>, usize), SandboxError> {
        self.read(|connection| {
            let (condition, values) = query.condition();
            let parameters =
                || rusqlite::params_from_iter(values.iter().map(AsRef::<dyn ToSql>::as_ref));
            let total: i64 = connection.query_row(
                &format!("SELECT count(*) FROM resource r WHERE {condition}"),
                parameters(),
                |row| row.get(0),
            )?;
            let order = if query.newest_first { "r.ends DESC, r.seq DESC" } else { "r.seq" };
            let limit = query.count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
            let mut select = connection.prepare(&format!(
                "SELECT {COLUMNS} FROM resource r WHERE {condition} ORDER BY {order} LIMIT {limit} \
                    OFFSET {}",
                query.offset
            ))?;
            let page = select
                .query_map(parameters(), StoredResource::from_row)?
                .collect::<Result<_, _>>()?;
            Ok((page, usize::try_from(total).unwrap_or_default()))
        })
    }

    /// Everything of a person that is of this type, or carries this code, in the order it came.
    pub(crate) fn of_type_or_code(
        &self,
        patient: &str,
        wanted: &str,
    ) -> Result<Vec<StoredResource>, SandboxError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM resource r WHERE r.patient = ?1 AND (r.type = ?2 OR EXISTS
                 (SELECT 1 FROM coding c WHERE c.seq = r.seq AND c.element = 'code' AND c.code =
                 ?2)) ORDER BY r.seq"
            ))?;
            Ok(select
                .query_map([patient, wanted], StoredResource::from_row)?
                .collect::<Result<_, _>>()?)
        })
    }

    /// Puts what `change` makes of each resource of a type or code in its place, and removes those
    /// it makes nothing of.
    pub(crate) fn rewrite(
        &self,
        patient: &str,
        wanted: &str,
        mut change: impl FnMut(Value) -> Option<Value>,
    ) -> Result<(), SandboxError> {
        let found = self.of_type_or_code(patient, wanted)?;
        self.write(|transaction| {
            for resource in found {
                match change(resource.json()?) {
                    Some(changed) => transaction.execute(
                        "UPDATE resource SET body = ?1 WHERE seq = ?2",
                        params![changed.to_string(), resource.seq],
                    )?,
                    None => transaction
                        .execute("DELETE FROM resource WHERE seq = ?1", [resource.seq])?,
                };
            }
            Ok(())
        })
    }

    /// Observations with this code: how many, and the first and last start.
    pub(crate) fn count_by_code(
        &self,
        patient: &str,
        code: &str,
    ) -> Result<(u32, Option<i64>, Option<i64>), SandboxError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT count(*), min(r.starts), max(r.starts) FROM resource r JOIN coding c ON \
                    c.seq = r.seq
                 WHERE r.patient = ?1 AND r.type = 'Observation' AND c.element = 'code' AND c.code
                 = ?2",
            )?;
            Ok(select
                .query_row([patient, code], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
        })
    }

    pub(crate) fn patients(&self) -> Result<Vec<StoredResource>, SandboxError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM resource r WHERE r.type = 'Patient' ORDER BY r.seq"
            ))?;
            Ok(select.query_map([], StoredResource::from_row)?.collect::<Result<_, _>>()?)
        })
    }

    pub(crate) fn set_orders(&self, patient: &str, orders: &[Value]) -> Result<(), SandboxError> {
        self.write(|transaction| {
            if find(transaction, "Patient", patient)?.is_none() {
                return Err(SandboxError::UnknownPatient(patient.to_owned()));
            }
            replace_orders(transaction, patient, orders)
        })
    }
}

pub(crate) fn find(
    connection: &Connection,
    kind: &str,
    id: &str,
) -> Result<Option<StoredResource>, SandboxError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM resource r WHERE r.type = ?1 AND r.id = ?2"
    ))?;
    Ok(select.query_row([kind, id], StoredResource::from_row).optional()?)
}

/// The resources of a type that carry this identifier, whoever they belong to: conditional create
/// searches the server.
pub(crate) fn with_identifier(
    connection: &Connection,
    kind: &str,
    system: &str,
    value: &str,
) -> Result<Vec<StoredResource>, SandboxError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM identifier i JOIN resource r ON r.seq = i.seq
         WHERE i.value = ?1 AND i.system = ?2 AND r.type = ?3 ORDER BY r.seq"
    ))?;
    Ok(select
        .query_map([value, system, kind], StoredResource::from_row)?
        .collect::<Result<_, _>>()?)
}

/// The codes of a stored resource's `code` element.
pub(crate) fn codes_of(connection: &Connection, seq: i64) -> Result<Vec<String>, SandboxError> {
    let mut select =
        connection.prepare_cached("SELECT code FROM coding WHERE seq = ?1 AND element = 'code'")?;
    Ok(select.query_map([seq], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// A number no stored resource has as its id yet; good within the transaction that asks.
pub(crate) fn next_id(connection: &Connection) -> Result<i64, SandboxError> {
    let last: Option<i64> = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'resource'", [], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}

pub(crate) fn insert(
    connection: &Connection,
    resource: &NewResource<'_>,
) -> Result<(), SandboxError> {
    connection
        .prepare_cached(
            "INSERT INTO resource (type, id, patient, starts, ends, updated, body) VALUES (?1, ?2, \
                ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            resource.kind,
            resource.id,
            resource.patient,
            resource.effective.map(|effective| effective.starts),
            resource.effective.map(|effective| effective.ends),
            resource.updated,
            resource.body,
        ])?;
    let seq = connection.last_insert_rowid();
    insert_codings(connection, seq, resource.codings)?;
    let mut identify = connection.prepare_cached(
        "INSERT OR IGNORE INTO identifier (value, system, seq) VALUES (?1, ?2, ?3)",
    )?;
    for (system, value) in resource.identifiers {
        identify.execute(params![value, system, seq])?;
    }
    Ok(())
}

fn insert_codings(
    connection: &Connection,
    seq: i64,
    codings: &[Coding],
) -> Result<(), SandboxError> {
    let mut code = connection.prepare_cached(
        "INSERT OR IGNORE INTO coding (seq, element, system, code) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for coding in codings {
        code.execute(params![seq, coding.element, coding.system, coding.code])?;
    }
    Ok(())
}

/// Stores a resource of the clinic's own under a chosen id; gives its row number.
pub(crate) fn insert_named(
    connection: &Connection,
    kind: &str,
    id: &str,
    patient: &str,
    body: &str,
    updated: i64,
) -> Result<i64, SandboxError> {
    connection
        .prepare_cached(
            "INSERT INTO resource (type, id, patient, updated, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![kind, id, patient, updated, body])?;
    Ok(connection.last_insert_rowid())
}

/// Puts these orders in place of all the person has. An order without id is given one; `subject` is
/// set to the person.
pub(crate) fn replace_orders(
    connection: &Connection,
    patient: &str,
    orders: &[Value],
) -> Result<(), SandboxError> {
    connection.execute(
        "DELETE FROM resource WHERE type = 'ServiceRequest' AND patient = ?1",
        [patient],
    )?;
    for (index, order) in orders.iter().enumerate() {
        let mut order = order.clone();
        let Some(fields) = order
            .as_object_mut()
            .filter(|fields| fields.get("resourceType") == Some(&json!("ServiceRequest")))
        else {
            return Err(SandboxError::NotAnOrder { index });
        };
        let id = match fields.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!("order-{}", next_id(connection)?),
        };
        fields.insert("id".to_owned(), json!(id));
        fields.insert("subject".to_owned(), json!({ "reference": format!("Patient/{patient}") }));
        fields.entry("meta").or_insert_with(|| json!({ "versionId": "1" }));
        let codings: Vec<Coding> = fields["code"]["coding"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|coding| Coding {
                element: "code",
                system: coding["system"].as_str().unwrap_or_default().to_owned(),
                code: coding["code"].as_str().unwrap_or_default().to_owned(),
            })
            .collect();
        let seq = insert_named(
            connection,
            "ServiceRequest",
            &id,
            patient,
            &order.to_string(),
            now_millis(),
        )?;
        insert_codings(connection, seq, &codings)?;
    }
    Ok(())
}
