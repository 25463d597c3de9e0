//! Reads one page of a search: the one place that looks at a searchset Bundle.
//!
//! What a search is for is decided by the caller; here it is told apart what matched, what was
//! included beside it, and what the receiver has to say about the search itself. The next page is
//! followed only on the receiver's own server: another would be shown the token.

use super::lenient::{Elements, Json, MAX_BYTES, lenient};
use serde::Deserialize;
use std::collections::HashSet;
use url::Url;

/// Entries, and links, of one page: more than anybody asks for.
const MAX_ENTRIES: usize = 2_000;

/// Why a page of a search cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Another resource than a Bundle, or none.
    #[error("the receiver's answer to a search is not a Bundle")]
    NotABundle,
    /// A Bundle that is no search result.
    #[error("the receiver's answer to a search is not of type searchset")]
    WrongType,
    /// More entries than were asked for, or more links than anybody means.
    #[error("the receiver's page has more than {MAX_ENTRIES} entries or links")]
    TooMany,
    /// The next page is at another place. Following it would show the token to a stranger; leaving
    /// it would lose what is there.
    #[error("the receiver's next page is not on the receiver's own server")]
    NextElsewhere,
    /// More pages than a search of this kind can have, or pages that lead in a circle.
    #[error("the receiver's search has more than {0} pages, or pages that lead in a circle")]
    TooManyPages(usize),
    /// Larger than is read.
    #[error("the receiver's answer to a search is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the receiver's answer to a search is not JSON")]
    Unparsable,
}

/// One page of what a receiver found.
pub(crate) struct SearchPage<'a> {
    /// The resources that matched, not yet looked at. What was included beside them is left out.
    pub(crate) matches: Vec<Json<'a>>,
    /// Whether the receiver said of the search itself that something failed: then what was not
    /// found says nothing.
    pub(crate) failed: bool,
    /// Where the next page is; `None` if this is the last.
    pub(crate) next: Option<Url>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    link: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    entry: Elements<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow)]
    resource: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    search: Search,
}

#[derive(Default, Deserialize)]
struct Search {
    #[serde(default, deserialize_with = "lenient")]
    mode: String,
}

/// What of a resource tells whether it is about the search.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    issue: Elements<'a>,
}

#[derive(Deserialize)]
struct Issue {
    #[serde(default, deserialize_with = "lenient")]
    severity: String,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "lenient")]
    relation: String,
    #[serde(default, deserialize_with = "lenient")]
    url: String,
}

/// Reads a page of a search at the receiver whose FHIR base is `base`.
///
/// # Errors
/// [`SearchError`].
pub(crate) fn parse_search_page<'a>(
    body: &'a [u8],
    base: &Url,
) -> Result<SearchPage<'a>, SearchError> {
    if body.len() > MAX_BYTES {
        return Err(SearchError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| SearchError::Unparsable)?;
    let bundle: Bundle<'_> =
        serde_json::from_str(raw.get()).map_err(|_| SearchError::NotABundle)?;
    if bundle.resource_type != "Bundle" {
        return Err(SearchError::NotABundle);
    }
    if bundle.r#type != "searchset" {
        return Err(SearchError::WrongType);
    }
    if bundle.entry.count.max(bundle.link.count) > MAX_ENTRIES {
        return Err(SearchError::TooMany);
    }
    let mut page =
        SearchPage { matches: Vec::new(), failed: false, next: next_page(&bundle.link, base)? };
    for entry in bundle.entry.each::<Entry<'a>>() {
        let Some(resource) = entry.resource else { continue };
        let mode = entry.search.mode.as_str();
        if mode == "include" {
            continue;
        }
        // Some receivers forget to mark what they say about the search.
        let outcome: Outcome<'_> = serde_json::from_str(resource.get()).unwrap_or_default();
        if mode == "outcome" || outcome.resource_type == "OperationOutcome" {
            let is_error = |issue: Issue| matches!(issue.severity.as_str(), "error" | "fatal");
            page.failed |= outcome.issue.each().any(is_error);
        } else {
            page.matches.push(resource);
        }
    }
    Ok(page)
}

fn next_page(links: &Elements<'_>, base: &Url) -> Result<Option<Url>, SearchError> {
    let Some(link) = links.each().find(|link: &Link| link.relation == "next") else {
        return Ok(None);
    };
    let mut folder = base.clone();
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", base.path()));
    }
    let next = folder.join(&link.url).map_err(|_| SearchError::NextElsewhere)?;
    let same =
        next.origin() == base.origin() && next.username().is_empty() && next.password().is_none();
    if same { Ok(Some(next)) } else { Err(SearchError::NextElsewhere) }
}

/// Which pages of one search were followed, so that it ends.
pub struct Paging {
    followed: HashSet<String>,
    most: usize,
}

/// Says how many: a page's URL may name the patient.
impl std::fmt::Debug for Paging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Paging({} of {})", self.followed.len(), self.most)
    }
}

impl Paging {
    /// A search that has its first page, and at most `most` in all.
    pub fn of_at_most(most: usize) -> Self {
        Self { followed: HashSet::new(), most }
    }

    /// Returns `next` if it may be followed, `None` if there is none.
    ///
    /// # Errors
    /// [`SearchError::TooManyPages`], also if that page was followed before.
    pub fn follow(&mut self, next: Option<Url>) -> Result<Option<Url>, SearchError> {
        let Some(next) = next else { return Ok(None) };
        let first_time = self.followed.insert(next.as_str().to_owned());
        if first_time && self.followed.len() < self.most {
            Ok(Some(next))
        } else {
            Err(SearchError::TooManyPages(self.most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn base() -> Url {
        Url::parse("https://ehr.example/fhir").unwrap()
    }

    fn searchset(links: &Value, entries: &Value) -> String {
        json!({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})
            .to_string()
    }

    fn next(url: &str) -> Result<Option<String>, SearchError> {
        let links = json!([{"relation": "self", "url": "x"}, {"relation": "next", "url": url}]);
        let body = searchset(&links, &json!([]));
        parse_search_page(body.as_bytes(), &base()).map(|page| page.next.map(String::from))
    }

    #[test]
    fn only_matches_are_given_and_an_error_about_the_search_is_noticed() {
        let outcome = |severity: &str| {
            let issue = json!([{"severity": severity}]);
            json!({"resourceType": "OperationOutcome", "issue": issue})
        };
        let entry =
            |resource: Value, mode: &str| json!({"resource": resource, "search": {"mode": mode}});
        let read = |entries: Value| {
            let body = searchset(&json!([]), &entries);
            let page = parse_search_page(body.as_bytes(), &base()).unwrap();
            (page.matches.iter().map(|one| one.get().to_owned()).collect::<Vec<_>>(), page.failed)
        };
        let entries = json!([
            entry(json!({"id": "1"}), "match"), entry(json!({"id": "2"}), "include"),
            entry(outcome("warning"), "outcome"), {"resource": {"id": "3"}}, {}, 7,
        ]);
        assert_eq!(read(entries), (vec![r#"{"id":"1"}"#.into(), r#"{"id":"3"}"#.into()], false));
        for (resource, mode) in
            [(outcome("error"), "outcome"), (outcome("fatal"), "match"), (outcome("error"), "")]
        {
            assert_eq!(read(json!([entry(resource, mode)])), (vec![], true), "{mode}");
        }
    }

    #[test]
    fn the_next_page_is_followed_on_the_receivers_own_server_only() {
        for (url, resolved) in [
            ("https://ehr.example/fhir?page=2", "https://ehr.example/fhir?page=2"),
            ("?page=2", "https://ehr.example/fhir/?page=2"),
            ("ServiceRequest?page=2", "https://ehr.example/fhir/ServiceRequest?page=2"),
            ("/other?page=2", "https://ehr.example/other?page=2"),
        ] {
            assert_eq!(next(url), Ok(Some(resolved.to_owned())));
        }
        for url in [
            "http://ehr.example/fhir?page=2",
            "https://ehr.example:8443/fhir",
            "https://ehr.example.evil/fhir",
            "//evil.example/fhir",
            "https://u:p@ehr.example/fhir",
            "file:///etc/passwd",
            "https://[",
        ] {
            assert_eq!(next(url), Err(SearchError::NextElsewhere), "{url}");
        }
    }

    #[test]
    fn what_is_no_page_of_a_search_is_an_error() {
        let error = |body: &[u8]| parse_search_page(body, &base()).err().unwrap();
        assert_eq!(error(b"<html>"), SearchError::Unparsable);
        assert_eq!(error(b"[]"), SearchError::NotABundle);
        assert_eq!(error(br#"{"resourceType":"OperationOutcome"}"#), SearchError::NotABundle);
        let collection = br#"{"resourceType":"Bundle","type":"collection"}"#;
        assert_eq!(error(collection), SearchError::WrongType);
        assert_eq!(error(&vec![b' '; MAX_BYTES + 1]), SearchError::TooLarge);
        let many = json!(vec![json!({}); MAX_ENTRIES + 1]);
        assert_eq!(error(searchset(&json!([]), &many).as_bytes()), SearchError::TooMany);
        assert_eq!(error(searchset(&many, &json!([])).as_bytes()), SearchError::TooMany);
    }

    #[test]
    fn pages_are_followed_to_their_cap_and_never_in_a_circle() {
        let page = |n: usize| Some(base().join(&format!("?page={n}")).unwrap());
        let mut paging = Paging::of_at_most(3);
        assert_eq!(paging.follow(page(2)), Ok(page(2)));
        assert_eq!(paging.follow(page(3)), Ok(page(3)));
        assert_eq!(paging.follow(None), Ok(None));
        assert_eq!(paging.follow(page(4)), Err(SearchError::TooManyPages(3)));
        let mut paging = Paging::of_at_most(20);
        assert_eq!(paging.follow(page(2)), Ok(page(2)));
        assert_eq!(paging.follow(page(2)), Err(SearchError::TooManyPages(20)));
        assert!(!format!("{paging:?}").contains("page"));
    }
}
