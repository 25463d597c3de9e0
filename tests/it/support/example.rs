// What the examples of `Submitter` run in: a clinic on loopback, a database in a folder of its own.
// They include this file; an app brings its vault and its time zone instead.
mod outside {
    use cgm_submitter::environment::{
        Environment, EnvironmentError, LocalTime, Transport, Vault, VaultError,
    };
    use cgm_submitter::{
        Config, Connection, Device, GlucoseUnit, GlucoseValue, HttpTransport, Measurement, Reading,
        Receiver, Sensor, SensorKey, Submitter, UtcOffset, ZoneOffsets,
    };
    use chrono::{DateTime, TimeDelta, Utc};
    use sandbox_ehr::Sandbox;
    use secrecy::{ExposeSecret, SecretString};
    use std::collections::BTreeMap;
    use std::error::Error;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct MemoryVault(Mutex<BTreeMap<String, SecretString>>);

    impl Vault for MemoryVault {
        fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }

        fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
            let value = SecretString::from(value.expose_secret());
            self.0.lock().unwrap().insert(name.to_owned(), value);
            Ok(())
        }

        fn delete(&self, name: &str) -> Result<(), VaultError> {
            self.0.lock().unwrap().remove(name);
            Ok(())
        }
    }

    struct InUtc;

    impl LocalTime for InUtc {
        fn offsets(
            &self,
            _: DateTime<Utc>,
            _: DateTime<Utc>,
        ) -> Result<ZoneOffsets, EnvironmentError> {
            Ok(ZoneOffsets::fixed(UtcOffset::UTC))
        }
    }

    /// A clinic that approves as its patient Amy Shaw by itself.
    pub struct Clinic {
        sandbox: Sandbox,
        folder: tempfile::TempDir,
    }

    impl Clinic {
        pub fn environment(&self) -> Environment {
            Environment::system(Arc::new(MemoryVault::default()), Arc::new(InUtc)).unwrap()
        }

        pub fn config(&self) -> Config {
            Config::new(self.folder.path().join("me.db"))
        }

        pub fn receiver(&self) -> Receiver {
            let redirect = "org.example.app:/callback";
            Receiver::new(&self.sandbox.base_url(), &self.sandbox.client_id(), redirect).unwrap()
        }

        /// What the browser comes back with.
        pub async fn browser(&self, url: &str) -> String {
            let request = http::Request::get(url).body(Vec::new()).unwrap();
            let answer = HttpTransport::new().unwrap().send(request).await.unwrap();
            answer.headers()["location"].to_str().unwrap().to_owned()
        }

        /// A connection the person confirmed, with leave to look at what was sent.
        pub async fn connect(&self, cgm: &Submitter) -> Connection {
            let request = cgm.begin_connection(self.receiver().with_read_back()).await.unwrap();
            let redirect = self.browser(&request.url).await;
            let connection = cgm.complete_connection(redirect).await.unwrap();
            cgm.confirm_patient(connection.id).await.unwrap();
            connection
        }

        /// A day of readings on 2024-05-01.
        pub async fn stock(&self, cgm: &Submitter) {
            let sensor = SensorKey::new("acme:4711").unwrap();
            let device = Device::new("Acme One", Some("4711")).unwrap();
            cgm.register_sensor(Sensor::new(sensor.clone(), device)).await.unwrap();
            let midnight: DateTime<Utc> = "2024-05-01T00:00:00Z".parse().unwrap();
            let reading = |n: i32| {
                let value = GlucoseValue::parse("6.7", GlucoseUnit::MmolPerL).unwrap();
                let time = midnight + TimeDelta::minutes(5) * n;
                Reading::new(sensor.clone(), time, None, Measurement::Value(value))
            };
            cgm.ingest((0..288).map(reading).collect()).await.unwrap();
        }
    }

    /// Runs an example.
    pub fn example(run: impl AsyncFnOnce(Submitter, Clinic) -> Result<(), Box<dyn Error>>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let sandbox = Sandbox::builder().auto_approve("amy-shaw").start().await.unwrap();
            let clinic = Clinic { sandbox, folder: tempfile::tempdir().unwrap() };
            let cgm = Submitter::new(clinic.config(), clinic.environment());
            run(cgm, clinic).await.unwrap();
        });
    }
}
