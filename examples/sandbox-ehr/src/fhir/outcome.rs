//! A refusal as FHIR says it: a status and an `OperationOutcome`. Diagnostics name elements and
//! rules, never a value.

use serde_json::{Value, json};

/// Why a request or an entry was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status, of the answer or of the entry.
    pub(crate) status: u16,
    /// Code of the `issue-type` value set.
    pub(crate) issue: &'static str,
    pub(crate) diagnostics: String,
    /// `FHIRPath` of what is wrong, if there is one.
    pub(crate) expression: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, issue: &'static str, diagnostics: impl Into<String>) -> Self {
        Self { status, issue, diagnostics: diagnostics.into(), expression: None }
    }

    pub(crate) fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// 400: the request itself cannot be understood.
    pub(crate) fn malformed(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "structure", diagnostics)
    }

    /// 422: understood, but against a rule of FHIR or the guide.
    pub(crate) fn rule(expression: &str, diagnostics: impl Into<String>) -> Self {
        Self::new(422, "invariant", diagnostics).at(expression)
    }

    /// 422: an element is missing.
    pub(crate) fn missing(expression: &str) -> Self {
        Self::new(422, "required", format!("{expression} is required")).at(expression)
    }

    /// 403: not allowed to this token.
    pub(crate) fn forbidden(diagnostics: impl Into<String>) -> Self {
        Self::new(403, "forbidden", diagnostics)
    }

    /// 404.
    pub(crate) fn not_found(diagnostics: impl Into<String>) -> Self {
        Self::new(404, "not-found", diagnostics)
    }

    /// 500: the sandbox itself failed.
    pub(crate) fn internal() -> Self {
        Self::new(500, "exception", "the sandbox could not read or write its database")
    }

    pub(crate) fn outcome(&self) -> Value {
        let mut issue =
            json!({ "severity": "error", "code": self.issue, "diagnostics": self.diagnostics });
        if let Some(expression) = &self.expression {
            issue["expression"] = json!([expression]);
        }
        json!({ "resourceType": "OperationOutcome", "issue": [issue] })
    }
}

/// `201 Created`: status and reason, as `Bundle.entry.response.status` carries it.
pub(crate) fn status_line(status: u16) -> String {
    let reason =
        axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    match reason {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}
