package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.test.runTest
import org.junit.jupiter.api.io.TempDir
import uniffi.cgm_submitter.CgmException
import uniffi.cgm_submitter.CgmSubmitter
import uniffi.cgm_submitter.ConnectionState
import uniffi.cgm_submitter.DeliveryEvent
import uniffi.cgm_submitter.GlucoseUnit
import uniffi.cgm_submitter.Measurement
import uniffi.cgm_submitter.Reading
import uniffi.cgm_submitter.SubmissionRequest
import java.nio.file.Path
import java.time.Instant
import java.time.LocalDate
import java.time.ZoneId
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** The main job as an app on the JVM does it: connect, ingest, send, be killed, go on. */
class MainJobTest {
    @TempDir
    lateinit var folder: Path

    private val zone = ZoneId.of("Europe/Berlin")
    private val end: Instant = LocalDate.now(zone).minusDays(1).atTime(12, 0).atZone(zone).toInstant()

    private fun request(days: Long): SubmissionRequest {
        val last = LocalDate.now(zone).minusDays(1)
        return SubmissionRequest.Own(last.minusDays(days).toString(), last.toString(), GlucoseUnit.MG_PER_DL)
    }

    @Test
    fun `readings go from the app to the clinic once`() =
        runBlocking {
            SandboxEhr(folder).use { clinic ->
                KilledApp.open(folder).use { cgm ->
                    cgm.registerSensor(SENSOR)
                    assertNull(cgm.latestReading(SENSOR.key))
                    assertEquals(600u, cgm.ingest(readings(600, end)).stored)
                    assertEquals(600u, cgm.ingest(readings(600, end)).alreadyThere)
                    assertEquals(end, cgm.latestReading(SENSOR.key))

                    val connection = clinic.connect(cgm)
                    assertEquals("amy-shaw", connection.patientId)
                    assertEquals(1u, cgm.refreshOrders(connection.id))
                    assertEquals(600u, cgm.readingsToSend(connection.id, request(3)))

                    val events = Events()
                    val outcome = cgm.submitNow(connection.id, request(3), 30u, events)
                    assertTrue(outcome.complete)
                    assertEquals(600u, outcome.readingsAccepted)
                    assertTrue(events.seen.any { it is DeliveryEvent.Progress && it.delivered == outcome.accepted })

                    val again = cgm.submitNow(connection.id, request(3), 30u, Events())
                    assertTrue(again.complete)
                    assertEquals(0u, again.requests)
                }
            }
        }

    @Test
    fun `an app killed while it sends goes on where it was`() =
        runBlocking {
            SandboxEhr(folder).use { clinic ->
                val first = LocalDate.now(zone).minusDays(9).toString()
                val last = LocalDate.now(zone).minusDays(1).toString()
                KilledApp.open(folder).use { cgm ->
                    cgm.registerSensor(SENSOR)
                    cgm.ingest(readings(2_000, end))
                    clinic.connect(cgm)
                }
                for (request in listOf("1", "2", "2")) {
                    val app =
                        ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                            "-Djna.library.path=" + System.getProperty("jna.library.path"),
                            "-cp",
                            System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path"),
                            KilledApp::class.java.name,
                            folder.toString(),
                            request,
                            first,
                            last,
                        ).redirectError(ProcessBuilder.Redirect.INHERIT).start()
                    val output = app.inputStream.bufferedReader()
                    assertEquals("sending", output.readLine())
                    app.destroyForcibly()
                    assertTrue(app.waitFor(10, TimeUnit.SECONDS))
                }
                KilledApp.open(folder).use { cgm ->
                    val connection = cgm.connections().single()
                    assertEquals(ConnectionState.ACTIVE, connection.state)
                    cgm.runDue(60u, Events())
                    assertEquals(0u, cgm.readingsToSend(connection.id, SubmissionRequest.Own(first, last, GlucoseUnit.MG_PER_DL)))
                }
                // Another phone of the same person knows nothing: what it sends is all there, and nothing is there twice, or the
                // clinic would refuse it as ambiguous.
                KilledApp.open(folder.resolve("second phone")).use { cgm ->
                    cgm.registerSensor(SENSOR)
                    cgm.ingest(readings(2_000, end))
                    val connection = clinic.connect(cgm)
                    val outcome = cgm.submitNow(connection.id, SubmissionRequest.Own(first, last, GlucoseUnit.MG_PER_DL), 30u, Events())
                    assertTrue(outcome.complete)
                    assertEquals(0u, outcome.accepted)
                    assertTrue(outcome.alreadyThere > 2_000u)
                }
            }
        }

    @Test
    fun `bad readings are reported by their place and the others go in`() =
        runTest {
            KilledApp.open(folder).use { cgm ->
                cgm.registerSensor(SENSOR)
                val good = readings(2, end)
                val bad =
                    listOf(
                        good[0].copy(measurement = Measurement.Value("NaN", GlucoseUnit.MG_PER_DL)),
                        good[0].copy(measurement = Measurement.Value("6.7", GlucoseUnit.MG_PER_DL)),
                        good[0].copy(time = Instant.parse("1961-04-12T06:07:00Z")),
                        Reading("nobody:1", end, null, Measurement.Absent, null),
                    )
                val report = cgm.ingest(listOf(good[0]) + bad + listOf(good[1]))
                assertEquals(2u, report.stored)
                assertEquals(listOf(1uL, 2uL, 3uL, 4uL), report.rejected.map { it.row })
            }
        }

    @Test
    fun `a locked vault says try again and a broken one leaks nothing`() =
        runTest {
            val time = JvmLocalTime(zone)
            SandboxEhr(folder).use { clinic ->
                CgmSubmitter(folder.resolve("locked.db").toString(), LockedVault(), time).use { cgm ->
                    assertFailsWith<CgmException.TryAgain> { clinic.connect(cgm) }
                }
                CgmSubmitter(folder.resolve("broken.db").toString(), BrokenVault(), time).use { cgm ->
                    val failure = assertFailsWith<CgmException> { clinic.connect(cgm) }
                    assertFalse(failure.toString().contains("secret"))
                }
            }
        }
}
