//! A receiver of no guide: the sandbox behind a front that declares transactions at the base and
//! nothing of a guide.

use cgm_submitter::environment::{BoxFuture, Redirects, Transport, TransportError};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) struct Front {
    /// The FHIR base.
    pub(crate) base: String,
    pub(crate) behind: Arc<dyn Transport>,
}

/// The same statement without the guide.
fn without_guide(statement: &[u8]) -> Vec<u8> {
    let mut statement: Value = serde_json::from_slice(statement).unwrap();
    let all = statement.as_object_mut().unwrap();
    all.remove("instantiates").unwrap();
    all.remove("implementationGuide").unwrap();
    let rest = statement["rest"][0].as_object_mut().unwrap();
    rest.remove("operation").unwrap();
    rest.insert("interaction".to_owned(), json!([{"code": "transaction"}]));
    statement.to_string().into_bytes()
}

impl Transport for Front {
    fn send(
        &self,
        mut request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        let operation = format!("{}/$submit-cgm-bundle", self.base);
        assert_ne!(request.uri().to_string(), operation, "no guide, no operation");
        let describes = request.uri().path().ends_with("/metadata");
        if request.method() == http::Method::POST && request.uri().to_string() == self.base {
            *request.uri_mut() = operation.parse().unwrap();
        }
        Box::pin(async move {
            let response = self.behind.send(request).await?;
            Ok(if describes { response.map(|body| without_guide(&body)) } else { response })
        })
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}
