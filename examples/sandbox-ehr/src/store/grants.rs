//! What was granted to whom: authorisation codes, access and refresh tokens, and the family that
//! binds all tokens of one approval. Secrets are kept as digests. Single use is decided inside one
//! transaction, never by a read before it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use crate::{
    SandboxError,
    clock::{now_millis, random_secret, sha256_base64url},
};

/// An approval about to become a code.
pub(crate) struct NewCode<'a> {
    pub(crate) client: &'a str,
    pub(crate) patient: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) challenge: &'a str,
    pub(crate) expires: i64,
}

/// What a presented code stands for.
pub(crate) struct CodeGrant {
    pub(crate) family: i64,
    pub(crate) client: String,
    pub(crate) patient: String,
    pub(crate) scope: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) expires: i64,
}

/// A refresh token that was good, and is spent now.
pub(crate) struct RefreshToken {
    pub(crate) family: i64,
    pub(crate) patient: String,
    pub(crate) scope: String,
}

/// What became of a presented refresh token.
pub(crate) enum RefreshOutcome {
    Fresh(RefreshToken),
    /// It was used before: the whole family is revoked now.
    Replayed,
    Unknown,
    /// The scope asked for goes beyond the one granted; the token stays usable.
    ScopeTooWide,
}

/// Who a request acts for.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    pub(crate) client: String,
    pub(crate) patient: String,
    pub(crate) scope: String,
}

impl Store {
    /// Keeps an authorisation request while the person decides; gives the number of the page.
    pub(crate) fn keep_pending(&self, request: &str, expires: i64) -> Result<String, SandboxError> {
        let id = random_secret()?;
        self.write(|transaction| {
            transaction.execute("DELETE FROM pending WHERE expires < ?1", [now_millis()])?;
            transaction.execute(
                "INSERT INTO pending (id, expires, request) VALUES (?1, ?2, ?3)",
                params![id, expires, request],
            )?;
            Ok(())
        })?;
        Ok(id)
    }

    /// Takes a kept authorisation request, once.
    pub(crate) fn take_pending(&self, id: &str) -> Result<Option<String>, SandboxError> {
        self.write(|transaction| {
            Ok(transaction
                .query_row(
                    "DELETE FROM pending WHERE id = ?1 AND expires >= ?2 RETURNING request",
                    params![id, now_millis()],
                    |row| row.get(0),
                )
                .optional()?)
        })
    }

    pub(crate) fn issue_code(&self, new: &NewCode<'_>) -> Result<String, SandboxError> {
        let code = random_secret()?;
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO family (client, patient, scope) VALUES (?1, ?2, ?3)",
                params![new.client, new.patient, new.scope],
            )?;
            transaction.execute(
                "INSERT INTO code (digest, family, redirect_uri, challenge, expires) VALUES (?1, \
                    ?2, ?3, ?4, ?5)",
                params![
                    sha256_base64url(&code),
                    transaction.last_insert_rowid(),
                    new.redirect_uri,
                    new.challenge,
                    new.expires
                ],
            )?;
            Ok(())
        })?;
        Ok(code)
    }

    /// Spends a code. A code presented twice gives nothing and revokes what its first use was
    /// given.
    pub(crate) fn take_code(&self, code: &str) -> Result<Option<CodeGrant>, SandboxError> {
        let digest = sha256_base64url(code);
        self.write(|transaction| {
            let found = transaction
                .query_row(
                    "SELECT c.family, f.client, f.patient, f.scope, c.redirect_uri, c.challenge, \
                        c.expires, c.used
                     FROM code c JOIN family f ON f.id = c.family WHERE c.digest = ?1",
                    [&digest],
                    |row| {
                        let grant = CodeGrant {
                            family: row.get(0)?,
                            client: row.get(1)?,
                            patient: row.get(2)?,
                            scope: row.get(3)?,
                            redirect_uri: row.get(4)?,
                            challenge: row.get(5)?,
                            expires: row.get(6)?,
                        };
                        Ok((grant, row.get::<_, bool>(7)?))
                    },
                )
                .optional()?;
            let Some((grant, used)) = found else { return Ok(None) };
            if used {
                revoke_family(transaction, grant.family)?;
                return Ok(None);
            }
            transaction.execute("UPDATE code SET used = 1 WHERE digest = ?1", [&digest])?;
            Ok(Some(grant))
        })
    }

    /// A new token of a family; `expires` in milliseconds, none for refresh tokens.
    pub(crate) fn issue_token(
        &self,
        family: i64,
        kind: &str,
        scope: &str,
        expires: Option<i64>,
    ) -> Result<String, SandboxError> {
        let token = random_secret()?;
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO token (digest, family, kind, scope, expires) VALUES (?1, ?2, ?3, ?4, \
                    ?5)",
                params![sha256_base64url(&token), family, kind, scope, expires],
            )?;
            Ok(())
        })?;
        Ok(token)
    }

    /// Spends a refresh token, or finds that it was spent before. `narrower` says whether a scope
    /// asked for is within the scope granted.
    pub(crate) fn take_refresh_token(
        &self,
        token: &str,
        client: &str,
        narrower: impl FnOnce(&str) -> bool,
    ) -> Result<RefreshOutcome, SandboxError> {
        let digest = sha256_base64url(token);
        self.write(|transaction| {
            let found = transaction
                .query_row(
                    "SELECT t.family, f.patient, t.scope, t.spent, f.revoked FROM token t JOIN \
                        family f ON f.id = t.family
                     WHERE t.digest = ?1 AND t.kind = 'refresh' AND f.client = ?2",
                    [digest.as_str(), client],
                    |row| {
                        let token = RefreshToken {
                            family: row.get(0)?,
                            patient: row.get(1)?,
                            scope: row.get(2)?,
                        };
                        Ok((token, row.get::<_, bool>(3)?, row.get::<_, bool>(4)?))
                    },
                )
                .optional()?;
            let Some((token, spent, revoked)) = found else { return Ok(RefreshOutcome::Unknown) };
            if spent {
                revoke_family(transaction, token.family)?;
                return Ok(RefreshOutcome::Replayed);
            }
            if revoked {
                return Ok(RefreshOutcome::Unknown);
            }
            if !narrower(&token.scope) {
                return Ok(RefreshOutcome::ScopeTooWide);
            }
            transaction.execute("UPDATE token SET spent = 1 WHERE digest = ?1", [&digest])?;
            Ok(RefreshOutcome::Fresh(token))
        })
    }

    /// Who this access token acts for, unless it expired or was revoked.
    pub(crate) fn access_token(&self, token: &str) -> Result<Option<AccessToken>, SandboxError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT f.client, f.patient, t.scope FROM token t JOIN family f ON f.id = t.family
                 WHERE t.digest = ?1 AND t.kind = 'access' AND t.spent = 0 AND f.revoked = 0 AND
                 t.expires > ?2",
            )?;
            Ok(select
                .query_row(params![sha256_base64url(token), now_millis()], |row| {
                    Ok(AccessToken {
                        client: row.get(0)?,
                        patient: row.get(1)?,
                        scope: row.get(2)?,
                    })
                })
                .optional()?)
        })
    }

    /// RFC 7009: a refresh token takes its whole family with it, an access token only itself.
    /// Unknown ones are ignored.
    pub(crate) fn revoke_token(&self, token: &str, client: &str) -> Result<(), SandboxError> {
        let digest = sha256_base64url(token);
        self.write(|transaction| {
            let found: Option<(i64, String)> = transaction
                .query_row(
                    "SELECT t.family, t.kind FROM token t JOIN family f ON f.id = t.family
                     WHERE t.digest = ?1 AND f.client = ?2",
                    [digest.as_str(), client],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            match found {
                Some((family, kind)) if kind == "refresh" => revoke_family(transaction, family),
                Some(_) => {
                    transaction
                        .execute("UPDATE token SET spent = 1 WHERE digest = ?1", [&digest])?;
                    Ok(())
                }
                None => Ok(()),
            }
        })
    }

    /// Ends every authorisation: access and refresh tokens and codes not yet used.
    pub(crate) fn revoke_all(&self) -> Result<(), SandboxError> {
        self.write(|transaction| {
            transaction.execute("UPDATE family SET revoked = 1", [])?;
            transaction.execute("UPDATE code SET used = 1", [])?;
            Ok(())
        })
    }

    /// Makes every access token issued so far invalid; refresh tokens stay good.
    pub(crate) fn expire_access_tokens(&self) -> Result<(), SandboxError> {
        self.write(|transaction| {
            transaction.execute("UPDATE token SET expires = 0 WHERE kind = 'access'", [])?;
            Ok(())
        })
    }
}

fn revoke_family(connection: &Connection, family: i64) -> Result<(), SandboxError> {
    connection.execute("UPDATE family SET revoked = 1 WHERE id = ?1", [family])?;
    Ok(())
}
