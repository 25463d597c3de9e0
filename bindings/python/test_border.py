"""The border as Python sees it: what a record prints, and the main job against the sandbox EHR.

Run by `scripts/test python`, which builds the library and generates the module.
"""

import asyncio
import datetime
import os
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
            measurement=cgm.Measurement.VALUE(value=str(90 + n % 100), unit=cgm.GlucoseUnit.MG_PER_DL),
            record_key=None,
        )
        for n in range(count)
    ]


def everything():
    today = datetime.datetime.now(UTC).date()
    first = today - datetime.timedelta(days=9)
    return cgm.SubmissionRequest.OWN(
        first_date=str(first), last_date=str(today), unit=cgm.GlucoseUnit.MG_PER_DL
    )


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Sandbox:
    """The sandbox clinic, as a process of its own; it approves as Amy Shaw by itself."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        command = [os.environ["CGM_SANDBOX"], "--port", "0", "--auto-approve", "amy-shaw", "--quiet"]
        command += self.options
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

    def open(self):
        database = os.path.join(self.folder.name, "me.db")
        return cgm.CgmSubmitter(database, MemoryVault(), LivesInUtc())

    async def connect(self, app, clinic):
        request = await app.begin_connection(clinic.receiver)
        self.assert_hidden(request, "AuthorizationRequest(…)")
        connection = await app.complete_connection(clinic.browse(request.url))
        await app.confirm_patient(connection.id)
        return connection

    def assert_hidden(self, record, shown):
        forms = [str(record), repr(record), f"{record}", "%s" % record, "%r" % record, format(record)]
        self.assertEqual(forms, [shown] * len(forms))
        self.assertEqual(f"{[record]}", f"[{shown}]")

    async def test_a_record_printed_in_any_form_shows_nothing_of_the_person(self):
        reading = readings(1)[0]
        self.assert_hidden(SENSOR, "Sensor(…)")
        self.assert_hidden(reading, "Reading(…)")
        self.assert_hidden(reading.measurement, "Measurement(…)")
        with Sandbox() as clinic:
            app = self.open()
            connection = await self.connect(app, clinic)
            number = connection.id.value
            self.assert_hidden(connection, f"Connection(id={number}, state=Unconfirmed, …)")
            self.assertEqual(connection.patient_name, "Amy Shaw")

    async def test_readings_go_from_the_app_to_the_clinic_once(self):
        with Sandbox() as clinic:
            app = self.open()
            await app.register_sensor(SENSOR)
            self.assertEqual((await app.ingest(readings(600))).stored, 600)
            connection = await self.connect(app, clinic)
            observer = Observer()
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, observer)
            self.assertTrue(outcome.complete)
            self.assertEqual(outcome.readings_accepted, 600)
            self.assertTrue(observer.events)
            again = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertEqual(again.requests, 0)

    async def test_an_error_says_what_to_do_by_its_kind_and_code(self):
        app = self.open()
        with self.assertRaises(cgm.CgmError.Invalid) as refused:
            await app.register_sensor(cgm.Sensor(key="", device_name="x", serial=None))
        self.assertEqual(refused.exception.code, "invalid-sensor")
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
            # The cancelled request may be at work at the clinic as long as it was given, and a while.
            call = app.submit_now(connection.id, everything(), datetime.timedelta(seconds=3), observer)
            observer.task = asyncio.create_task(call)
            with self.assertRaises(asyncio.CancelledError):
                await observer.task
            self.assertGreater(await app.readings_to_send(connection.id, everything()), 0)
            outcome = await app.submit_now(connection.id, everything(), PATIENCE, Observer())
            self.assertTrue(outcome.complete)
            self.assertEqual(await app.readings_to_send(connection.id, everything()), 0)


if __name__ == "__main__":
    unittest.main()
