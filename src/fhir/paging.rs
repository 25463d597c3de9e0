//! The next page of a search. It is followed only where it is on the receiver's own server: another
//! would be shown the token.

use super::lenient::{Elements, lenient};
use serde::Deserialize;
use url::Url;

/// A link of a searchset Bundle.
#[derive(Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "lenient")]
    relation: String,
    #[serde(default, deserialize_with = "lenient")]
    url: String,
}

/// The next page is at another place, or at none.
pub(crate) struct Elsewhere;

/// Where the next page is, at the receiver whose FHIR base is `base`; none where this is the last.
pub(crate) fn next_page(links: &Elements<'_>, base: &Url) -> Result<Option<Url>, Elsewhere> {
    let Some(link) = links.each().find(|link: &Link| link.relation == "next") else {
        return Ok(None);
    };
    let mut folder = base.clone();
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", base.path()));
    }
    let next = folder.join(&link.url).map_err(|_| Elsewhere)?;
    let same =
        next.origin() == base.origin() && next.username().is_empty() && next.password().is_none();
    if same { Ok(Some(next)) } else { Err(Elsewhere) }
}
