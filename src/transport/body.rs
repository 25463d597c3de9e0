//! The one reader of an answer's body: no further than its limit, announced or not.

use crate::environment::TransportError;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::error::Error;

/// Reads a body to its end.
///
/// # Errors
/// [`TransportError::TooLarge`] beyond `limit` bytes, [`TransportError::Broken`] if it ends early.
pub(super) async fn read<B>(
    answer: http::Response<B>,
    limit: usize,
) -> Result<http::Response<Vec<u8>>, TransportError>
where
    B: BodyExt,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let too_large = TransportError::TooLarge { limit };
    let (head, body) = answer.into_parts();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large);
    }
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { too_large } else { TransportError::Broken }
    })?;
    Ok(http::Response::from_parts(head, Vec::from(body.to_bytes())))
}
