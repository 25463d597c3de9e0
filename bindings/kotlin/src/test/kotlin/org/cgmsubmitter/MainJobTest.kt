package org.cgmsubmitter

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.cgmsubmitter.ffi.Cancellation
import org.cgmsubmitter.ffi.CannotVerify
import org.cgmsubmitter.ffi.CgmException
import org.cgmsubmitter.ffi.CgmSubmitter
import org.cgmsubmitter.ffi.ConnectionId
import org.cgmsubmitter.ffi.ConnectionState
import org.cgmsubmitter.ffi.DeliveryEvent
import org.cgmsubmitter.ffi.OutcomeStatus
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** The main job as an app on the JVM does it: connect, ingest, send, be killed or cancelled, go on. */
@Timeout(120)
class MainJobTest {
    @TempDir
    lateinit var folder: Path

    /** Another phone of the same person knows nothing: what it sends must all be there, each once, or the clinic says so. */
    private suspend fun assertEverythingIsThereOnce(
        clinic: SandboxEhr,
        count: Int,
    ) = open(folder.resolve("second phone").also { it.toFile().mkdir() }).use { cgm ->
        cgm.registerSensor(SENSOR)
        cgm.ingest(readings(count))
        val outcome = cgm.submitNow(clinic.connect(cgm).id, EVERYTHING, PATIENCE, Events())
        assertTrue(outcome.complete, "refused: ${outcome.refused.size}, ${outcome.status}")
        assertEquals(0L, outcome.tally.entries.accepted)
        assertTrue(outcome.tally.entries.alreadyThere > count.toLong())
    }

    private suspend fun connected(
        cgm: CgmSubmitter,
        clinic: SandboxEhr,
        count: Int,
    ): ConnectionId {
        cgm.registerSensor(SENSOR)
        cgm.ingest(readings(count))
        return clinic.connect(cgm).id
    }

    @Test
    fun `a submission is verified where the person gave leave to look`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val blind = connected(cgm, clinic, 20)
                    val unseen = cgm.verify(cgm.submitNow(blind, EVERYTHING, PATIENCE, Events()).submissions.single(), PATIENCE, Events())
                    assertFalse(unseen.complete)
                    assertEquals(setOf(CannotVerify.NOT_GRANTED), unseen.notVerified.map { it.why }.toSet())
                    cgm.disconnect(blind)

                    val connection = cgm.completeConnection(clinic.browse(cgm.beginConnection(clinic.receiver.copy(readBack = true)).url))
                    cgm.confirmPatient(connection.id)
                    val outcome = cgm.submitNow(connection.id, EVERYTHING, PATIENCE, Events())
                    val events = Events()
                    val verification = cgm.verify(outcome.submissions.single(), PATIENCE, events)
                    assertTrue(verification.complete, "$verification")
                    // The readings, their device, and the summary with its six figures.
                    assertEquals(28L, verification.confirmed)
                    assertEquals(DeliveryEvent.Verifying(28L, 28L), events.all.filterIsInstance<DeliveryEvent.Verifying>().last())
                }
            }
        }

    @Test
    fun `readings go from the app to the clinic once`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    cgm.registerSensor(SENSOR)
                    assertNull(cgm.latestReading(SENSOR.key))
                    assertEquals(600L, cgm.ingest(readings(600)).stored)
                    assertEquals(600L, cgm.ingest(readings(600)).alreadyThere)
                    assertEquals(END, cgm.latestReading(SENSOR.key))

                    val connection = clinic.connect(cgm)
                    assertEquals("amy-shaw", connection.patientId)
                    assertEquals("Amy Shaw", connection.patientName)
                    assertEquals(1, cgm.refreshOrders(connection.id).active.size)
                    assertEquals(600L, cgm.readingsToSend(connection.id, EVERYTHING))

                    val events = Events()
                    val outcome = cgm.submitNow(connection.id, EVERYTHING, PATIENCE, events)
                    assertTrue(outcome.complete)
                    assertEquals(OutcomeStatus.Done, outcome.status)
                    assertEquals(600L, outcome.tally.readings.accepted)
                    assertTrue(events.all.any { it is DeliveryEvent.Progress && it.delivered == outcome.tally.entries.accepted })

                    val again = cgm.submitNow(connection.id, EVERYTHING, PATIENCE, Events())
                    assertTrue(again.complete)
                    assertEquals(0L, again.tally.requests)
                }
                assertEverythingIsThereOnce(clinic, 600)
            }
        }

    @Test
    fun `an app killed while it sends goes on where it was`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { connected(it, clinic, 2_000) }
                KilledApp.killAt(request = 1, folder, Duration.ofSeconds(5))
                KilledApp.killAt(request = 3, folder, Duration.ofSeconds(25))
                open(folder).use { cgm ->
                    val connection = cgm.connections().single()
                    assertEquals(ConnectionState.ACTIVE, connection.state)
                    assertTrue(cgm.readingsToSend(connection.id, EVERYTHING) > 0L)
                    // Longer than the request under way at the second kill may last.
                    val report = cgm.runDue(Duration.ofSeconds(60), Events())
                    assertEquals(connection.id, report.connections.single().connection)
                    assertEquals(0L, cgm.readingsToSend(connection.id, EVERYTHING))
                }
                assertEverythingIsThereOnce(clinic, 2_000)
            }
        }

    @Test
    fun `cancelling the coroutine stops the work and the next call goes on`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val connection = connected(cgm, clinic, 2_000)
                    val secondRequest = CompletableDeferred<Unit>()
                    val cancelled = CountDownLatch(1)
                    var sent = 0
                    val events =
                        Events {
                            if (it is DeliveryEvent.Sending && ++sent == 2) {
                                secondRequest.complete(Unit)
                                cancelled.await()
                            }
                        }
                    // The cancelled request may be at work at the clinic as long as it was given,
                    // and a while: the next call waits that long.
                    val budget = Duration.ofSeconds(5)
                    val job = launch(Dispatchers.Default) { cgm.submitNow(connection, EVERYTHING, budget, events) }
                    try {
                        secondRequest.await()
                        job.cancelAndJoin()
                    } finally {
                        cancelled.countDown()
                    }
                    delay(1_000)
                    assertTrue(events.all.last() is DeliveryEvent.Sending, "nothing happens after the cancellation")
                    assertEquals(2, events.sendings)
                    assertEquals(2_000L, cgm.readingsToSend(connection, EVERYTHING))

                    assertTrue(cgm.submitNow(connection, EVERYTHING, PATIENCE, Events()).complete)
                    assertEquals(0L, cgm.readingsToSend(connection, EVERYTHING))
                }
                assertEverythingIsThereOnce(clinic, 2_000)
            }
        }

    @Test
    fun `a cancellation stops the work from outside the coroutine`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val connection = connected(cgm, clinic, 600)
                    val cancellation = Cancellation()
                    val events = Events { if (it is DeliveryEvent.Sending) thread { cancellation.cancel() }.join() }
                    val stopped =
                        assertFailsWith<CgmException.TryAgain> { cgm.submitNow(connection, EVERYTHING, PATIENCE, events, cancellation) }
                    assertEquals("cancelled", stopped.code)
                    assertEquals(600L, cgm.readingsToSend(connection, EVERYTHING))
                }
            }
        }

    @Test
    fun `a paused submitter takes no call and a resumed one goes on`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val connection = connected(cgm, clinic, 20)
                    cgm.pause()
                    val refused = assertFailsWith<CgmException.TryAgain> { cgm.connections() }
                    assertEquals("paused", refused.code)
                    cgm.resume()
                    assertTrue(cgm.submitNow(connection, EVERYTHING, PATIENCE, Events()).complete)
                    cgm.erase()
                    assertTrue(cgm.connections().isEmpty())
                    cgm.shutDown()
                    assertEquals("closed", assertFailsWith<CgmException.Invalid> { cgm.connections() }.code)
                }
            }
        }
}
