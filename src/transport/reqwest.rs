//! An app's own reqwest client as the transport: its roots, proxies and pins count.
//!
//! This crate asks reqwest for no feature, so that the app's choice of TLS stays the app's.

use super::{RequestLimits, body};
use crate::environment::{BoxFuture, FinalUrl, Redirects, Transport, TransportError};

/// Sends requests with the app's own [`reqwest::Client`]. It needs a tokio runtime around it, which
/// the SDK brings.
///
/// Build the client with `redirect(reqwest::redirect::Policy::none())` and without retries: an
/// answer from elsewhere than asked for is refused, and a request that was sent twice without the
/// SDK knowing may be stored twice.
///
/// # Example
/// ```
/// use cgm_submitter::ReqwestTransport;
///
/// let client = reqwest::Client::builder()
///     .redirect(reqwest::redirect::Policy::none())
///     .retry(reqwest::retry::never())
///     .build()?;
/// let transport = ReqwestTransport::new(client);
/// # Ok::<(), reqwest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: reqwest::Client,
}

impl ReqwestTransport {
    /// A transport over this client.
    pub const fn new(client: reqwest::Client) -> Self {
        Self { client }
    }

    async fn answer(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(|_| TransportError::Request)?;
        let response = self.client.execute(request).await.map_err(|error| classify(&error))?;
        let url = FinalUrl(response.url().to_string());
        let mut answer = body::read(response.into(), RequestLimits::default().body).await?;
        answer.extensions_mut().insert(url);
        Ok(answer)
    }
}

impl Transport for ReqwestTransport {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(self.answer(request))
    }

    fn redirects(&self) -> Redirects {
        Redirects::Told
    }
}

/// What a failure means for the request: only a failure to connect proves that nothing was sent.
fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_redirect() {
        TransportError::Redirected
    } else if error.is_connect() {
        TransportError::Unreachable
    } else if error.is_builder() {
        TransportError::Request
    } else {
        TransportError::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{SystemClock, SystemTimer};
    use crate::transport::Guard;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server on loopback that answers every request with the same bytes.
    async fn serve(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}/fhir")
    }

    /// Over an app's client with its usual settings, behind the guard as the SDK has it.
    async fn get(url: &str) -> Result<http::Response<Vec<u8>>, TransportError> {
        let transport = Arc::new(ReqwestTransport::new(reqwest::Client::new()));
        let guard = Guard::new(
            transport,
            Arc::new(SystemClock),
            Arc::new(SystemTimer),
            RequestLimits::default(),
        );
        guard.send(http::Request::get(url).body(Vec::new()).unwrap()).await
    }

    const OK: &str = "HTTP/1.1 200 x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

    #[tokio::test]
    async fn an_apps_own_client_sends_and_reads() {
        let answer = get(&serve(OK.to_owned()).await).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, &b"hi"[..]));
    }

    #[tokio::test]
    async fn a_redirect_that_the_client_followed_is_no_answer() {
        let elsewhere = serve(OK.to_owned()).await;
        let moved = format!(
            "HTTP/1.1 307 x\r\nlocation: {elsewhere}\r\n\
            content-length: 0\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(get(&serve(moved).await).await.err(), Some(TransportError::Redirected));
    }

    #[tokio::test]
    async fn an_oversized_body_is_refused_announced_or_not() {
        let most = RequestLimits::default().body;
        let announced = "HTTP/1.1 200 x\r\ncontent-length: 999999999\r\n\r\n".to_owned();
        let head = "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n";
        for answer in [announced, format!("{head}{}", "x".repeat(most + 1))] {
            let refused = get(&serve(answer).await).await.err();
            assert_eq!(refused, Some(TransportError::TooLarge { limit: most }));
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart_from_a_broken_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(get(&gone).await.err(), Some(TransportError::Unreachable));
        let cut = serve("HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhi".to_owned()).await;
        assert_eq!(get(&cut).await.err(), Some(TransportError::Broken));
    }
}
