//! A call's requests, which all end in time: each has what the ones before it left.

use crate::environment::{
    BoxFuture, Deadline, Environment, Redirects, Transport, TransportError, within,
};

/// The environment's transport until a deadline. A request that is not answered by then may have
/// arrived.
pub(super) struct InTime<'a> {
    environment: &'a Environment,
    deadline: Deadline,
}

impl<'a> InTime<'a> {
    pub(super) const fn new(environment: &'a Environment, deadline: Deadline) -> Self {
        Self { environment, deadline }
    }
}

impl Transport for InTime<'_> {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        let Environment { clock, timer, transport, .. } = self.environment;
        Box::pin(async move {
            let left = self.deadline.left(clock.monotonic());
            // Without time for it, it is not sent.
            if left.is_zero() {
                return Err(TransportError::Unreachable);
            }
            let sent = transport.send(request);
            within(timer.as_ref(), left, sent).await.unwrap_or(Err(TransportError::Broken))
        })
    }

    fn redirects(&self) -> Redirects {
        self.environment.transport.redirects()
    }
}
