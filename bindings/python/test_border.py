"""The border as Python sees it: what a record prints, and the main job against the sandbox EHR.

Run by `scripts/test python`, which builds the library and generates the module.
"""

import asyncio
import datetime
import os
import pathlib
import subprocess
import tempfile
import unittest
import urllib.request

import cgm_submitter as cgm

SENSOR = cgm.Sensor(key="test:K1", device_name="Test CGM", serial="K1")
UTC = datetime.timezone.utc
PATIENCE = datetime.timedelta(seconds=30)


class MemoryVault(cgm.HostVault):
    def __init__(self):
        self.entries = {}

    def load(self, name):
        return self.entries.get(name)

    def save(self, name, value):
        self.entries[name] = value

    def delete(self, name):
        self.entries.pop(name, None)


class LivesInUtc(cgm.HostLocalTime):
    def zone_name(self):
        return "UTC"

    def transitions(self, _from, to):
        return [cgm.OffsetChange(_from=_from, utc_offset_minutes=0)]


class Observer(cgm.HostObserver):
    def __init__(self):
        self.events = []

    def delivery_event(self, event):
        self.events.append(event)


class Log(cgm.HostLogSink):
    def __init__(self):
        self.entries = []

    def log(self, entry):
        self.entries.append(entry)
        raise RuntimeError("the disk is full")


class CancelsAtTheFirst(cgm.HostObserver):
    """Cancels a task once the first batch is under way."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.task = None

    def delivery_event(self, _event):
        self.loop.call_soon_threadsafe(self.task.cancel)


def readings(count):
    end = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(days=1)
    step = datetime.timedelta(minutes=5)
    return [
        cgm.Reading(
            sensor=SENSOR.key,
            time=end - step * n,
            utc_offset_minutes=0,
            measurement=cgm.Measurement.VALUE(
                value=str(90 + n % 100), unit=cgm.GlucoseUnit.MG_PER_DL
            ),
            record_key=None,
        )
        for n in range(count)
    ]


def everything():
    today = datetime.datetime.now(UTC).date()
    first = today - datetime.timedelta(days=9)
    dates = cgm.DateRange(first=str(first), last=str(today))
    return cgm.SubmissionRequest.OWN(dates=dates, unit=cgm.GlucoseUnit.MG_PER_DL)


HEADER = (
    "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,"
    "Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),"
    "Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),"
    "Transmitter ID\n"
)


def travelled():
    """A Clarity export: ten days two hours east of UTC, then three days an hour further east."""
    start = datetime.datetime(2024, 1, 10)
    rows = []
    for hour in range(312):
        local = start + datetime.timedelta(hours=hour + (2 if hour < 240 else 3))
        rows.append(f"1,{local.isoformat()},EGV,,,,phone,110,,,,,{hour * 3600},TX\n")
    return (HEADER + "".join(rows)).encode()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Sandbox:
    """The sandbox clinic, as a process of its own; it approves as Amy Shaw by itself."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        command = [os.environ["CGM_SANDBOX"], "--port", "0", "--quiet"]
        command += ["--auto-approve", "amy-shaw", *self.options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        base = self.process.stdout.readline().split()[-1]
        self.receiver = cgm.Receiver(
            base=base, client_id="cgm-demo", redirect_uri="http://127.0.0.1:7777/callback"
        )
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def browse(self, url):
        try:
            urllib.request.build_opener(NoRedirect).open(url)
        except urllib.error.HTTPError as redirect:
            return redirect.headers["location"]
        raise AssertionError("the sandbox did not redirect")


class Border(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def open(self, log=None):
        database = os.path.join(self.folder.name, "me.db")
        return cgm.CgmSubmitter(database, MemoryVault(), LivesInUtc(), log)

    async def connect(self, app, clinic):
        request = await app.begin_connection(clinic.receiver)
        self.assert_shown(request, "AuthorizationRequest(…)")
        connection = await app.complete_connection(clinic.browse(request.url))
        await app.confirm_patient(connection.id)
        return connection

    def assert_shown(self, record, shown):
        forms = [str(record), repr(record), f"{record}", format(record)]
        forms += ["%s" % record, "%r" % record]
        self.assertEqual(forms, [shown] * len(forms))
        self.assertEqual(f"{[record]}", f"[{shown}]")

    async def readings_to_send(self, app, connection):
        return (await app.preview(connection.id, everything())).readings_to_send

    async def test_a_record_printed_in_any_form_shows_nothing_of_the_person(self):
        reading = readings(1)[0]
        self.assert_shown(SENSOR, "Sensor(…)")
        self.assert_shown(reading, "Reading(…)")
        self.assert_shown(reading.measurement, "Measurement(…)")
        with Sandbox() as clinic:
            app = self.open()
            connection = await self.connect(app, clinic)
            number = connection.id.value
            self.assert_shown(connection, f"Connection(id={number}, state=Unconfirmed, …)")
            self.assertEqual(connection.patient_name, "Amy Shaw")
            connections = await app.connections()
            self.assertEqual(f"{connections}", f"[Connection(id={number}, state=Active, …)]")
            again = await app.fetch_patient(connection.id)
            self.assertEqual(again.patient_name, "Amy Shaw")
            self.assertEqual(again.state, cgm.ConnectionState.ACTIVE)

    async def test_a_report_prints_its_counts_and_nothing_of_the_person(self):
        app = self.open()
        await app.register_sensor(SENSOR)
        bad = readings(2)
        bad[0].measurement = cgm.Measurement.VALUE(
            value="4711 or so", unit=cgm.GlucoseUnit.MG_PER_DL
        )
        report = await app.ingest(bad)
        [refused] = report.rejected
        explanation = refused.explanation
        self.assertNotIn("4711", explanation)
        self.assert_shown(
            report,
            "IngestReport(stored=1, already_there=0, replaced=0, corrected=0, rejected=[Rejected("
            f"row=0, reason=RejectionReason.VALUE, explanation={explanation})])",
        )
        choices = cgm.ImportChoices(zone=cgm.FileZone.OF_THIS_DEVICE())
        self.assert_shown(choices.zone, "FileZone.OF_THIS_DEVICE()")
        report = await app.import_file(travelled(), choices)
        self.assertIn("stored=312", repr(report))
        self.assertTrue(repr(report).endswith("clock_notes=[ClockNote(…)])"), repr(report))
        with Sandbox() as clinic:
            connection = await self.connect(app, clinic)
            preview = await app.preview(connection.id, everything())
            self.assertIn("readings_to_send=1, entries_to_send=", repr(preview))
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertIn("Counts(accepted=1, ", repr(outcome))
            self.assertNotIn("Amy", repr([preview, outcome]))

    async def test_readings_go_from_the_app_to_the_clinic_once(self):
        with Sandbox() as clinic:
            log = Log()
            app = self.open(log)
            await app.register_sensor(SENSOR)
            self.assertEqual((await app.ingest(readings(600))).stored, 600)
            connection = await self.connect(app, clinic)
            observer = Observer()
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, observer)
            self.assertTrue(outcome.complete)
            self.assertEqual(outcome.status, cgm.OutcomeStatus.DONE())
            self.assertEqual(outcome.tally.readings.accepted, 600)
            self.assertTrue(observer.events)
            again = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertEqual(again.tally.requests, 0)
            self.assertIn("settled", [entry.step for entry in log.entries])
            [connected] = [entry for entry in log.entries if entry.step == "connected"]
            self.assertEqual(connected.level, cgm.LogLevel.INFO)
            number = cgm.LogValue.ID(connection.id.value)
            self.assertIn(cgm.LogField(name="connection", value=number), connected.fields)
            self.assertNotIn("Amy", "".join(entry.line for entry in log.entries))

    async def test_a_file_asks_for_what_it_leaves_open_and_takes_the_answers(self):
        app = self.open()
        with self.assertRaises(cgm.CgmError.Invalid) as refused:
            await app.import_file(travelled())
        self.assertEqual(refused.exception.code, "file-needs-answer")
        self.assertIn("ImportChoices.zone", refused.exception.explanation)
        always = datetime.datetime(1990, 1, 1, tzinfo=UTC)
        east = cgm.OffsetChange(_from=always, utc_offset_minutes=120)
        choices = cgm.ImportChoices(zone=cgm.FileZone.OTHER(name="Africa/Tripoli", offsets=[east]))
        report = await app.import_file(travelled(), choices)
        self.assertEqual(report.stored, 312)
        self.assertEqual(report.format, cgm.FileFormat.DEXCOM_CLARITY)
        self.assertEqual(report.dates.first, "2024-01-10")
        [note] = report.clock_notes
        self.assert_shown(note, "ClockNote(…)")
        self.assertEqual((note.event, note.open), (cgm.ClockEvent.MOVED, True))
        moved_at = datetime.datetime.fromisoformat(note.at)
        self.assertEqual(moved_at, datetime.datetime(2024, 1, 20, 3))
        self.assertEqual(note.minutes_after - note.minutes_before, 60)

        [minutes, *_] = note.alternative_minutes
        choices.clock_answers = [cgm.ClockAnswer(at=note.at, utc_offset_minutes=minutes)]
        told = await app.import_file(travelled(), choices)
        self.assertEqual(told.replaced, 312)
        self.assertEqual([note.basis for note in told.clock_notes], [cgm.ClockBasis.TOLD])

    async def test_low_is_taken_by_the_scale_the_app_gives(self):
        app = self.open()
        file = (
            b"time,value,unit,device,status\n"
            b"2024-05-01T08:15:00Z,,mg/dL,acme,low\n"
            b"2024-05-01T08:20:00Z,110,mg/dL,acme,ok\n"
        )
        with self.assertRaises(cgm.CgmError.Invalid) as refused:
            await app.import_file(file)
        self.assertEqual(refused.exception.code, "file-needs-answer")
        scale = cgm.Scale(lowest="40", highest="400", unit=cgm.GlucoseUnit.MG_PER_DL)
        report = await app.import_file(file, cgm.ImportChoices(scale=scale))
        self.assertEqual(report.stored, 2)
        summary = await app.summary(await app.dates())
        self.assert_shown(summary, "Summary(…)")
        self.assertEqual((summary.readings, summary.clipped, summary.mean_mg_dl), (2, 1, 74.5))

    async def test_a_sensor_registered_again_has_the_new_name_and_keeps_its_readings(self):
        app = self.open()
        await app.register_sensor(SENSOR)
        await app.ingest(readings(3))
        latest = await app.latest_reading(SENSOR.key)
        renamed = cgm.Sensor(key=SENSOR.key, device_name="Another CGM", serial="K1")
        await app.register_sensor(renamed)
        self.assertEqual(await app.latest_reading(SENSOR.key), latest)
        with Sandbox() as clinic:
            connection = await self.connect(app, clinic)
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertEqual(outcome.tally.readings.accepted, 3)
            chart = clinic.receiver.base.replace("/fhir", "/clinic/amy-shaw")
            with urllib.request.urlopen(chart) as page:
                shown = page.read().decode()
        self.assertIn("Another CGM", shown)
        self.assertNotIn("Test CGM", shown)

    async def test_what_the_clinic_asks_for_and_lacks_is_told(self):
        with Sandbox() as clinic:
            app = self.open()
            connection = await self.connect(app, clinic)
            orders = await app.refresh_orders(connection.id)
            [order] = orders.active
            self.assert_shown(order, "StandingOrder(…)")
            self.assertIn(cgm.OrderedContent.SUMMARY(), order.schedules[0].content)
            self.assertEqual(len((await app.orders(connection.id)).active), 1)
            self.assertEqual(await app.quarantine(connection.id), [])
            self.assertEqual(await app.retry_refused(connection.id), 0)
            self.assertEqual(await app.unknown_outcomes(connection.id), [])
            self.assertEqual(await app.retry_unknown(connection.id), 0)
            self.assertEqual(await app.dismiss_unknown(connection.id), 0)
            report = await app.run_due(PATIENCE, Observer())
            self.assertEqual((report.revocations_left, report.next_wake), (0, None))
            [run] = report.connections
            self.assertEqual(run.connection, connection.id)
            self.assertEqual(run.status, cgm.RunStatus.SERVED(cgm.OutcomeStatus.DONE()))
            self.assertEqual(await app.disconnect(connection.id), cgm.Revocation.DONE)

    async def test_the_example_of_the_documentation_sends_a_file(self):
        page = pathlib.Path(__file__).parents[2] / "docs" / "border.md"
        example = {}
        code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        exec(compile(code, page, "exec"), example)
        with Sandbox() as clinic:
            app = self.open()
            sent = example["send"](app, clinic.receiver, travelled(), clinic.browse, Observer())
            self.assertEqual((await sent).tally.readings.accepted, 312)

    async def test_an_error_says_what_to_do_by_its_kind_and_code(self):
        app = self.open()
        with self.assertRaises(cgm.CgmError.Invalid) as refused:
            await app.register_sensor(cgm.Sensor(key="", device_name="x", serial=None))
        self.assertEqual(refused.exception.code, "invalid-sensor")
        with self.assertRaises(cgm.CgmError.Invalid) as missing:
            await app.cancel(cgm.SubmissionId(value=4711))
        self.assertEqual(missing.exception.code, "not-found")
        await app.shut_down()
        with self.assertRaises(cgm.CgmError.Invalid) as closed:
            await app.connections()
        self.assertEqual(closed.exception.code, "closed")

    async def test_a_cancelled_call_stops_and_the_next_goes_on(self):
        # Many small batches: the first is answered long before the last.
        with Sandbox("--max-entries", "10") as clinic:
            app = self.open()
            await app.register_sensor(SENSOR)
            await app.ingest(readings(1200))
            connection = await self.connect(app, clinic)
            observer = CancelsAtTheFirst()
            # The cancelled request may be at work at the clinic as long as it was given, and a
            # while.
            budget = datetime.timedelta(seconds=3)
            call = app.submit_now(connection.id, everything(), budget, observer)
            observer.task = asyncio.create_task(call)
            with self.assertRaises(asyncio.CancelledError):
                await observer.task
            self.assertGreater(await self.readings_to_send(app, connection), 0)
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertTrue(outcome.complete)
            self.assertEqual(await self.readings_to_send(app, connection), 0)


if __name__ == "__main__":
    unittest.main()
