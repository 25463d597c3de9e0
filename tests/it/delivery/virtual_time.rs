//! The driver of these tests: synchronous, without tokio, under a clock that only it moves. Years
//! pass in milliseconds.

use cgm_submitter::delivery::{LookUp, Machine, Moment, Outgoing, Step};
use cgm_submitter::environment::Deadline;
use cgm_submitter::glucose::{
    DateRange, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Sensor, SensorKey,
    UtcOffset, ZoneOffsets,
};
use cgm_submitter::store::{
    ConnectionDetails, ConnectionId, ConnectionState, Store, SubmissionId, SubmissionRecord,
};
use cgm_submitter::submission::{
    Answer, NoAnswer, Origin, Plan, Response, RetryAfter, WaitReason, Wanted,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

const SENSOR: &str = "demo:CGM-0001";

/// What the receiver does with a request.
pub(super) enum Reply {
    /// It answers, after so long.
    Answer { status: u16, body: String, retry_after: Option<RetryAfter>, after: TimeDelta },
    /// No answer comes.
    None(NoAnswer),
}

impl From<(u16, String)> for Reply {
    fn from((status, body): (u16, String)) -> Self {
        Self::Answer { status, body, retry_after: None, after: TimeDelta::seconds(1) }
    }
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        (status, String::new()).into()
    }
}

/// A request as it left.
pub(super) struct Sent {
    pub(super) at: DateTime<Utc>,
    pub(super) url: String,
    pub(super) body: Vec<u8>,
    pub(super) entries: usize,
}

/// A phone with readings and one connection, whose outbox is stepped.
pub(super) struct Phone {
    pub(super) store: Store,
    pub(super) connection: ConnectionId,
    pub(super) machine: Machine,
    pub(super) now: DateTime<Utc>,
    monotonic: Duration,
    pub(super) sent: Vec<Sent>,
    pub(super) searches: Vec<DateTime<Utc>>,
    folder: tempfile::TempDir,
}

/// Why stepping stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Idle,
    Blocked(ConnectionState),
    /// The time is over; it waits for this.
    Waits(DateTime<Utc>, WaitReason),
}

pub(super) fn zone() -> ZoneOffsets {
    ZoneOffsets::fixed(UtcOffset::UTC)
}

impl Phone {
    /// With so many readings, five minutes apart, connected to a receiver of this dialect.
    pub(super) fn new(readings: usize, dialect: &str) -> Self {
        // In memory if there is such a place: years of transactions are many.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let mut store = Store::open(&folder.path().join("me.db")).unwrap();
        let key = SensorKey::new(SENSOR).unwrap();
        let device = Device::new("Demo CGM", Some(SENSOR)).unwrap();
        store.register_sensor(&Sensor::new(key, device)).unwrap();
        let details = ConnectionDetails {
            dialect: Some(dialect.to_owned()),
            scopes: "patient/Observation.crs patient/Device.crs".to_owned(),
            ..ConnectionDetails::default()
        };
        let base = "https://ehr.example/fhir";
        let connection =
            store.add_connection(base, "amy", ConnectionState::Active, &details).unwrap();
        // Bodies that a test can read.
        store.change_receiver(connection, |receiver| receiver.gzip = Some(false)).unwrap();
        let mut phone = Self {
            store,
            connection,
            machine: Machine::new(connection),
            now: "2024-07-01T08:00:00Z".parse().unwrap(),
            monotonic: Duration::from_secs(5),
            sent: Vec::new(),
            searches: Vec::new(),
            folder,
        };
        phone.ingest(0, readings);
        phone
    }

    pub(super) fn ingest(&mut self, from: usize, to: usize) {
        let start: DateTime<Utc> = "2024-05-01T00:00:00Z".parse().unwrap();
        let readings: Vec<Reading> = (from..to)
            .map(|n| {
                let time = start + TimeDelta::minutes(5 * i64::try_from(n).unwrap());
                let value = 90 + u32::try_from(n % 70).unwrap();
                let value = GlucoseValue::new(value, 0, GlucoseUnit::MgPerDl).unwrap();
                let key = SensorKey::new(SENSOR).unwrap();
                Reading::new(key, time, Some(UtcOffset::UTC), Measurement::Value(value))
            })
            .collect();
        let report = self.store.ingest(&readings, &zone(), self.now).unwrap();
        assert_eq!(report.stored, to - from);
    }

    /// Asks for all readings, and for nothing else.
    pub(super) fn submit(&mut self) -> SubmissionId {
        self.submit_dates("2024-05-01..2024-06-30")
    }

    /// Asks for the readings of these dates, and for nothing else.
    pub(super) fn submit_dates(&mut self, dates: &str) -> SubmissionId {
        let wanted =
            Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
        let dates: DateRange = dates.parse().unwrap();
        let window = dates.window(&zone()).unwrap();
        let plan = Plan { wanted, dates, window, day_under_way: None };
        self.store.open_submission(self.connection, Origin::Person, &plan, self.now).unwrap()
    }

    /// Asks for a summary of three days, and for nothing else.
    pub(super) fn submit_summary(&mut self) -> SubmissionId {
        let wanted =
            Wanted { devices: false, summary: true, readings: false, unit: GlucoseUnit::MgPerDl };
        let dates: DateRange = "2024-05-01..2024-05-03".parse().unwrap();
        let window = dates.window(&zone()).unwrap();
        let plan = Plan { wanted, dates, window, day_under_way: None };
        self.store.open_submission(self.connection, Origin::Person, &plan, self.now).unwrap()
    }

    /// Makes a submission's row one that cannot be read.
    pub(super) fn break_submission(&self, id: SubmissionId, column: &str) {
        let db = rusqlite::Connection::open(self.folder.path().join("me.db")).unwrap();
        let sql = format!("UPDATE submissions SET {column} = '{{' WHERE id = ?");
        assert_eq!(db.execute(&sql, [id.0]).unwrap(), 1);
    }

    /// Makes the row of the batch under way one that cannot be read.
    pub(super) fn break_batch(&self, column: &str) {
        let db = rusqlite::Connection::open(self.folder.path().join("me.db")).unwrap();
        assert_eq!(db.execute(&format!("UPDATE batches SET {column} = '{{'"), []).unwrap(), 1);
    }

    pub(super) fn submission(&self, id: SubmissionId) -> SubmissionRecord {
        self.store.submission(id).unwrap()
    }

    /// Steps for so long, or until nothing is left to do by itself.
    pub(super) fn run(
        &mut self,
        length: TimeDelta,
        receive: impl FnMut(&Sent) -> Reply,
        search: impl FnMut(&[u8]) -> Reply,
    ) -> End {
        self.step_for(length, Deadline::NEVER, receive, search)
    }

    /// A process of its own that has so long, and nothing after it.
    pub(super) fn wake(
        &mut self,
        budget: TimeDelta,
        receive: impl FnMut(&Sent) -> Reply,
        search: impl FnMut(&[u8]) -> Reply,
    ) -> End {
        self.machine = Machine::new(self.connection);
        let deadline = Deadline::at(self.monotonic + budget.to_std().unwrap());
        self.step_for(budget, deadline, receive, search)
    }

    fn step_for(
        &mut self,
        length: TimeDelta,
        deadline: Deadline,
        mut receive: impl FnMut(&Sent) -> Reply,
        mut search: impl FnMut(&[u8]) -> Reply,
    ) -> End {
        let end = self.now + length;
        loop {
            if self.now >= end {
                return End::Waits(self.now, WaitReason::OutOfTime);
            }
            let at = Moment { now: self.now, monotonic: self.monotonic };
            match self.machine.next(&mut self.store, at, deadline).unwrap() {
                Step::Idle => return End::Idle,
                Step::Blocked(state) => return End::Blocked(state),
                Step::Token { .. } => self.machine.token_ready(),
                Step::WaitUntil { until, reason: WaitReason::OutOfTime } => {
                    return End::Waits(until, WaitReason::OutOfTime);
                }
                Step::WaitUntil { until, reason } => {
                    assert!(until > self.now, "a wait ends later than now");
                    if until > end {
                        self.pass(end - self.now);
                        return End::Waits(until, reason);
                    }
                    self.pass(until - self.now);
                }
                Step::Send(outgoing) => self.send(*outgoing, &mut receive),
                Step::LookUp(look_up) => self.look_up(*look_up, deadline, &mut search),
            }
        }
    }

    /// The next step, at once.
    pub(super) fn step(&mut self, deadline: Duration) -> Step {
        let at = Moment { now: self.now, monotonic: self.monotonic };
        let end = self.monotonic.checked_add(deadline);
        let deadline = end.map_or(Deadline::NEVER, Deadline::at);
        self.machine.next(&mut self.store, at, deadline).unwrap()
    }

    pub(super) fn pass(&mut self, length: TimeDelta) {
        self.now += length;
        self.monotonic += length.to_std().unwrap_or_default();
    }

    fn send(&mut self, outgoing: Outgoing, receive: &mut impl FnMut(&Sent) -> Reply) {
        let Outgoing { batch, url, body, gzip, entries, timeout, .. } = outgoing;
        assert!(!gzip);
        let sent = Sent { at: self.now, url, body, entries };
        let timeout = TimeDelta::from_std(timeout).unwrap();
        let answer = match receive(&sent) {
            Reply::Answer { after, .. } if after > timeout => {
                self.pass(timeout);
                Answer::None(NoAnswer::Lost)
            }
            Reply::Answer { status, body, retry_after, after } => {
                self.pass(after);
                let body = body.into_bytes();
                Answer::Response(Response { status, retry_after, body, took: after })
            }
            Reply::None(why) => {
                self.pass(TimeDelta::seconds(1));
                Answer::None(why)
            }
        };
        self.sent.push(sent);
        let jitter = self.jitter();
        self.machine.apply(&mut self.store, self.now, jitter, batch, &answer).unwrap();
    }

    fn look_up(
        &mut self,
        mut look_up: LookUp,
        deadline: Deadline,
        search: &mut impl FnMut(&[u8]) -> Reply,
    ) {
        self.searches.push(self.now);
        let batch = look_up.batch;
        let looked_up = loop {
            let left = deadline.left(self.monotonic);
            let Some(timeout) = LookUp::timeout(left) else { break look_up.out_of_time() };
            let timeout = TimeDelta::from_std(timeout).unwrap();
            let request = look_up.request().unwrap();
            let why = match search(request.body()) {
                Reply::Answer { after, .. } if after > timeout => {
                    self.pass(timeout);
                    NoAnswer::Lost
                }
                Reply::Answer { status, retry_after, body, after } => {
                    self.pass(after);
                    match look_up.answer(status, retry_after, body.as_bytes()) {
                        Some(done) => break done,
                        None => continue,
                    }
                }
                Reply::None(why) => why,
            };
            break look_up.unanswered(why, deadline.left(self.monotonic));
        };
        let jitter = self.jitter();
        self.machine.looked_up(&mut self.store, self.now, jitter, batch, &looked_up).unwrap();
    }

    /// Different each time, the same each run.
    fn jitter(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap().wrapping_mul(2_654_435_761)
    }
}

/// For receivers that are never searched.
pub(super) fn no_search(_: &[u8]) -> Reply {
    panic!("nothing is looked up at this receiver")
}
