//! What an [`Error`](crate::Error) was caused by, and what the constructors of values say.

#[cfg(feature = "shell")]
pub use crate::connect::{ConnectError, EndpointError, ReauthorisationCause, TokenError};
#[cfg(feature = "shell")]
pub use crate::environment::{EnvironmentError, TransportError, VaultError};
pub use crate::fhir::{CapabilityError, PatientError, SubjectError};
pub use crate::glucose::{GlucoseError, ReadingError, SensorError, TimeError};
pub use crate::import::ImportError;
pub use crate::orders::{OrderError, PeriodError};
pub use crate::smart::{
    BaseError, CallbackError, DiscoveryError, RedirectError, TokenResponseError,
};
pub use crate::statistics::SummaryError;
#[cfg(feature = "shell")]
pub use crate::store::StoreError;
#[cfg(feature = "http-transport")]
pub use crate::transport::TransportSetupError;
