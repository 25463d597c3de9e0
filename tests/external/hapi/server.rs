//! The server as its administrator sees it: directly, without a token.

use cgm_submitter::environment::{Entropy, SystemEntropy, Transport};
use cgm_submitter::transport::HttpTransport;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The variable that says where it is.
const ADDRESS: &str = "CGM_FHIR_SERVER";

pub(crate) struct Server {
    pub(crate) base: String,
    network: HttpTransport,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    link: Vec<Link>,
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Link {
    relation: String,
    url: String,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

impl Server {
    pub(crate) fn new() -> Self {
        let base = std::env::var(ADDRESS)
            .unwrap_or_else(|_| panic!("{ADDRESS} is not set: run `scripts/test fhir-server`"));
        Self { base, network: HttpTransport::new().unwrap() }
    }

    /// A new patient, of this test and this run only; gives the id.
    pub(crate) async fn admit(&self) -> String {
        let mut random = [0; 8];
        SystemEntropy.fill(&mut random).unwrap();
        let id = format!("p-{:x}", u64::from_ne_bytes(random));
        let patient = json!({
            "resourceType": "Patient", "id": id, "birthDate": "1990-04-01",
            "name": [{"use": "official", "given": ["Nora"], "family": "Nilsen"}],
        });
        assert_eq!(
            self.request("PUT", &format!("Patient/{id}"), Some(&patient.to_string())).await.0,
            201
        );
        id
    }

    /// The status and the text of an answer.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> (u16, String) {
        self.ask(method, &format!("{}/{path}", self.base), body).await
    }

    async fn ask(&self, method: &str, url: &str, body: Option<&str>) -> (u16, String) {
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/fhir+json");
        let answer = self
            .network
            .send(request.body(body.unwrap_or_default().into()).unwrap())
            .await
            .unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.into_body()).unwrap())
    }

    /// Stores a resource, without any condition; gives its `Type/id`.
    pub(crate) async fn create(&self, resource: &Value) -> String {
        let kind = resource["resourceType"].as_str().unwrap();
        let (status, text) = self.request("POST", kind, Some(&resource.to_string())).await;
        assert_eq!(status, 201, "{text}");
        let stored: Value = serde_json::from_str(&text).unwrap();
        format!("{kind}/{}", stored["id"].as_str().unwrap())
    }

    /// Everything of a type that it holds of a patient, as text.
    pub(crate) async fn all(&self, kind: &str, patient: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut next = Some(format!("{}/{kind}?patient=Patient/{patient}&_count=1000", self.base));
        while let Some(url) = next {
            let (status, text) = self.ask("GET", &url, None).await;
            assert_eq!(status, 200, "{text}");
            let page: Page<'_> = serde_json::from_str(&text).unwrap();
            found.extend(page.entry.iter().map(|entry| entry.resource.get().to_owned()));
            next = page.link.into_iter().find(|link| link.relation == "next").map(|link| link.url);
        }
        found
    }
}
