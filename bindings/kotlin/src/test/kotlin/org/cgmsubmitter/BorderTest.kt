package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import org.cgmsubmitter.ffi.CgmException
import org.cgmsubmitter.ffi.ClockAnswer
import org.cgmsubmitter.ffi.ClockBasis
import org.cgmsubmitter.ffi.ClockEvent
import org.cgmsubmitter.ffi.ConnectionId
import org.cgmsubmitter.ffi.ConnectionState
import org.cgmsubmitter.ffi.DateRange
import org.cgmsubmitter.ffi.FileFormat
import org.cgmsubmitter.ffi.GlucoseUnit
import org.cgmsubmitter.ffi.HostException
import org.cgmsubmitter.ffi.HostVault
import org.cgmsubmitter.ffi.ImportChoices
import org.cgmsubmitter.ffi.ItemKind
import org.cgmsubmitter.ffi.LogEntry
import org.cgmsubmitter.ffi.LogField
import org.cgmsubmitter.ffi.LogLevel
import org.cgmsubmitter.ffi.LogValue
import org.cgmsubmitter.ffi.Measurement
import org.cgmsubmitter.ffi.Reading
import org.cgmsubmitter.ffi.OrderedContent
import org.cgmsubmitter.ffi.OutcomeStatus
import org.cgmsubmitter.ffi.Receiver
import org.cgmsubmitter.ffi.RefusedItem
import org.cgmsubmitter.ffi.RejectionReason
import org.cgmsubmitter.ffi.Revocation
import org.cgmsubmitter.ffi.RunStatus
import org.cgmsubmitter.ffi.Scale
import org.cgmsubmitter.ffi.SubmissionRequest
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Instant
import java.time.LocalDateTime
import java.time.ZoneId
import java.util.Collections
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** What the border does with what a host gives it, throws at it, and prints. */
@Timeout(60)
class BorderTest {
    @TempDir
    lateinit var folder: Path

    private fun openWith(vault: HostVault) = cgmSubmitter(folder.resolve("me.db").toFile(), vault) { ZONE }

    @Test
    fun `bad readings are reported by their place and the others go in`() =
        runBlocking<Unit> {
            open(folder).use { cgm ->
                cgm.registerSensor(SENSOR)
                val good = readings(2)
                val bad =
                    listOf(
                        good[0].copy(measurement = Measurement.Value("NaN", GlucoseUnit.MG_PER_DL)),
                        good[0].copy(measurement = Measurement.Value("6.7", GlucoseUnit.MG_PER_DL)),
                        good[0].copy(time = Instant.parse("1961-04-12T06:07:00Z")),
                        good[0].copy(time = Instant.MAX),
                        good[0].copy(time = Instant.MIN),
                        good[0].copy(utcOffsetMinutes = Int.MIN_VALUE),
                        Reading("nobody:1", END, null, Measurement.Absent, null),
                    )
                val report = cgm.ingest(listOf(good[0]) + bad + listOf(good[1]))
                assertEquals(2L, report.stored)
                assertEquals((1L..7L).toList(), report.rejected.map { it.row })
                assertEquals(
                    listOf(
                        RejectionReason.VALUE,
                        RejectionReason.VALUE,
                        RejectionReason.TOO_OLD,
                        RejectionReason.TIME,
                        RejectionReason.TIME,
                        RejectionReason.TIME,
                        RejectionReason.UNKNOWN_SENSOR,
                    ),
                    report.rejected.map { it.reason },
                )
            }
        }

    @Test
    fun `a locked vault says try again`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                openWith(FailingVault { throw HostException.Unavailable() }).use { cgm ->
                    val failure = assertFailsWith<CgmException.TryAgain> { clinic.connect(cgm) }
                    assertEquals("vault-unavailable", failure.code)
                }
            }
        }

    @Test
    fun `whatever a vault throws it is a failure and its text goes nowhere`() =
        runBlocking<Unit> {
            val thrown = listOf(IllegalStateException("s3cret"), NoClassDefFoundError("s3cret"), StackOverflowError("s3cret"))
            SandboxEhr().use { clinic ->
                for (failure in thrown) {
                    openWith(FailingVault { throw failure }).use { cgm ->
                        val said = assertFailsWith<CgmException.Unavailable> { clinic.connect(cgm) }
                        assertEquals("vault-failed", said.code)
                        assertFalse(said.stackTraceToString().contains("s3cret"))
                    }
                }
            }
        }

    @Test
    fun `a time zone or an observer that throws does no harm`() =
        runBlocking<Unit> {
            val zoneless = cgmSubmitter(folder.resolve("zoneless.db").toFile(), FolderVault(folder)) { error("no zone") }
            zoneless.use { cgm ->
                val failure = assertFailsWith<CgmException.Unavailable> { cgm.ingest(readings(1)) }
                assertEquals("platform", failure.code)
            }
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    cgm.registerSensor(SENSOR)
                    cgm.ingest(readings(300))
                    val connection = clinic.connect(cgm)
                    val outcome = cgm.submitNow(connection.id, EVERYTHING, PATIENCE, observer { throw LinkageError() })
                    assertTrue(outcome.complete)
                }
            }
        }

    @Test
    fun `a file asks for what it leaves open and takes the answers`() =
        runBlocking<Unit> {
            open(folder).use { cgm ->
                val choices = ImportChoices(zone = fileZone(ZoneId.of("Africa/Tripoli")))
                val report = cgm.importFile(travelled(), choices)
                assertEquals(312L, report.stored)
                assertEquals(FileFormat.DEXCOM_CLARITY, report.format)
                val note = report.clockNotes.single()
                assertEquals("ClockNote(…)", "$note")
                assertEquals(ClockEvent.MOVED, note.event)
                assertTrue(note.open)
                assertEquals(LocalDateTime.of(2024, 1, 20, 3, 0), LocalDateTime.parse(note.at))
                assertEquals(60, note.minutesAfter - note.minutesBefore)

                val answer = ClockAnswer(note.at, note.alternativeMinutes.first())
                val told = cgm.importFile(travelled(), choices.copy(clockAnswers = listOf(answer)))
                assertEquals(312L, told.replaced)
                assertEquals(ClockBasis.TOLD, told.clockNotes.single().basis)
            }
        }

    @Test
    fun `low is taken by the scale the app gives`() =
        runBlocking<Unit> {
            open(folder).use { cgm ->
                val file =
                    "time,value,unit,device,status\n" +
                        "2024-05-01T08:15:00Z,,mg/dL,acme,low\n" +
                        "2024-05-01T08:20:00Z,110,mg/dL,acme,ok\n"
                val refused = assertFailsWith<CgmException.Invalid> { cgm.importFile(file.toByteArray()) }
                assertEquals("file-needs-answer", refused.code)
                val choices = ImportChoices(scale = Scale("40", "400", GlucoseUnit.MG_PER_DL))
                assertEquals(2L, cgm.importFile(file.toByteArray(), choices).stored)
                val summary = cgm.summary(cgm.dates()!!)
                assertEquals("Summary(…)", "$summary")
                assertEquals(74.5, summary.meanMgDl)
                assertEquals(1L, summary.clipped)
            }
        }

    @Test
    fun `what the clinic asks for and lacks is told`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val connection = clinic.connect(cgm).id
                    val order = cgm.refreshOrders(connection).active.single()
                    assertEquals("StandingOrder(…)", "$order")
                    assertTrue(OrderedContent.Summary in order.schedules.first().content)
                    assertEquals(1, cgm.orders(connection).active.size)
                    assertEquals(emptyList(), cgm.quarantine(connection))
                    assertEquals(0L, cgm.retryRefused(connection))
                    assertEquals(emptyList(), cgm.unknownOutcomes(connection))
                    assertEquals(0L, cgm.retryUnknown(connection))
                    assertEquals(0L, cgm.dismissUnknown(connection))
                    val report = cgm.runDue(PATIENCE, Events())
                    assertEquals(RunStatus.Served(OutcomeStatus.Done), report.connections.single().status)
                    assertEquals(0L, report.revocationsLeft)
                    assertNull(report.nextWake)
                    assertEquals(Revocation.DONE, cgm.disconnect(connection))
                }
            }
        }

    @Test
    fun `the log tells each step and may throw`() =
        runBlocking<Unit> {
            val entries = Collections.synchronizedList(mutableListOf<LogEntry>())
            val log =
                logSink {
                    entries += it
                    throw LinkageError()
                }
            SandboxEhr().use { clinic ->
                val app = cgmSubmitter(folder.resolve("me.db").toFile(), FolderVault(folder), log) { ZONE }
                app.use { cgm ->
                    val number = clinic.connect(cgm).id.value
                    val connected = entries.single { it.step == "connected" }
                    assertEquals(LogLevel.INFO, connected.level)
                    assertTrue(LogField("connection", LogValue.Id(number)) in connected.fields)
                    assertFalse(entries.any { "Amy" in it.line })
                }
            }
        }

    @Test
    fun `nonsense is refused with a code`() =
        runBlocking<Unit> {
            open(folder).use { cgm ->
                val codes =
                    listOf<Pair<String, suspend () -> Unit>>(
                        "invalid-sensor" to { cgm.registerSensor(SENSOR.copy(key = "")) },
                        "not-found" to { cgm.readingsToSend(ConnectionId(Long.MIN_VALUE), EVERYTHING) },
                        "invalid-time" to {
                            val request = SubmissionRequest.Own(DateRange("tomorrow", ""), GlucoseUnit.MG_PER_DL)
                            cgm.readingsToSend(ConnectionId(1), request)
                        },
                        "file-needs-answer" to { cgm.importFile(travelled()) },
                        "file-refused" to { cgm.importFile(byteArrayOf(0, -1, 0)) },
                    )
                for ((code, call) in codes) {
                    assertEquals(code, assertFailsWith<CgmException.Invalid> { call() }.code)
                }
                assertFailsWith<CgmException.Invalid> { cgm.beginConnection(Receiver("not a URL", "", "")) }
            }
            // A folder is no database.
            cgmSubmitter(folder.toFile(), FolderVault(folder)).use { cgm ->
                assertFailsWith<CgmException> { cgm.connections() }
            }
        }

    @Test
    fun `a record printed shows nothing of the person`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    val request = cgm.beginConnection(clinic.receiver)
                    assertEquals("AuthorizationRequest(…)", "$request")
                    val connection = cgm.completeConnection(clinic.browse(request.url))
                    assertEquals(ConnectionState.UNCONFIRMED, connection.state)
                    assertEquals("Connection(id=${connection.id.value}, state=Unconfirmed, …)", "$connection")
                    assertEquals("Amy Shaw", cgm.fetchPatient(connection.id).patientName)
                }
            }
            val reading = readings(1).single()
            assertEquals("Reading(…)", "$reading")
            assertEquals("Measurement(…)", "${reading.measurement}")
            assertEquals("Sensor(…)", "$SENSOR")
            assertEquals("[RefusedItem(…)]", "${listOf(RefusedItem(ItemKind.READING, null, "107 mg/dL?"))}")
        }
}
