package org.cgmsubmitter

import org.cgmsubmitter.ffi.CgmSubmitter
import org.cgmsubmitter.ffi.ConnectionId
import org.cgmsubmitter.ffi.DateRange
import org.cgmsubmitter.ffi.DeliveryEvent
import org.cgmsubmitter.ffi.GlucoseUnit
import org.cgmsubmitter.ffi.HostObserver
import org.cgmsubmitter.ffi.HostVault
import org.cgmsubmitter.ffi.Measurement
import org.cgmsubmitter.ffi.Reading
import org.cgmsubmitter.ffi.Sensor
import org.cgmsubmitter.ffi.SubmissionRequest
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.time.Duration
import java.time.Instant
import java.time.LocalDate
import java.time.LocalDateTime
import java.time.ZoneId
import java.time.format.DateTimeFormatter
import java.util.Base64
import java.util.Collections

/** Longer than any test waits. */
val PATIENCE: Duration = Duration.ofSeconds(30)

val ZONE: ZoneId = ZoneId.of("Europe/Berlin")

/** The app's submitter in `folder`, as it is opened again after a kill. */
fun open(folder: Path): CgmSubmitter = cgmSubmitter(folder.resolve("me.db").toFile(), FolderVault(folder.resolve("vault"))) { ZONE }

/** A vault that outlives a killed process: a folder. */
class FolderVault(private val folder: Path) : HostVault {
    private fun file(name: String) = folder.resolve(Base64.getUrlEncoder().withoutPadding().encodeToString(name.toByteArray()))

    override fun load(name: String): String? = file(name).takeIf(Files::exists)?.let(Files::readString)

    override fun save(
        name: String,
        value: String,
    ) {
        Files.createDirectories(folder)
        val fresh = Files.createTempFile(folder, "fresh", ".tmp")
        Files.writeString(fresh, value)
        Files.move(fresh, file(name), ATOMIC_MOVE)
    }

    override fun delete(name: String) {
        Files.deleteIfExists(file(name))
    }
}

/** A vault that does `failure` in place of saving and deleting. */
class FailingVault(private val failure: () -> Nothing) : HostVault {
    override fun load(name: String): String? = null

    override fun save(
        name: String,
        value: String,
    ) = failure()

    override fun delete(name: String) = failure()
}

/** Remembers what it is told, and passes it on. */
class Events(private val onEvent: (DeliveryEvent) -> Unit = {}) : HostObserver {
    private val seen: MutableList<DeliveryEvent> = Collections.synchronizedList(mutableListOf())

    val all: List<DeliveryEvent> get() = synchronized(seen) { seen.toList() }
    val sendings get() = all.count { it is DeliveryEvent.Sending }

    override fun deliveryEvent(event: DeliveryEvent) {
        seen += event
        onEvent(event)
    }
}

val SENSOR = Sensor(key = "test:K1", deviceName = "Test CGM", serial = "K1")

/** Yesterday at noon. */
val END: Instant = LocalDate.now(ZONE).minusDays(1).atTime(12, 0).atZone(ZONE).toInstant()

/** `count` readings, one every five minutes, the last at [END]. */
fun readings(count: Int): List<Reading> =
    List(count) { n ->
        val time = END.minusSeconds(300L * (count - 1 - n))
        val value = Measurement.Value(value = (90 + n % 120).toString(), unit = GlucoseUnit.MG_PER_DL)
        Reading(sensor = SENSOR.key, time = time, utcOffsetMinutes = 60, measurement = value, recordKey = null)
    }

/** Everything [readings] gives, as the person's own choice. */
val EVERYTHING: SubmissionRequest =
    SubmissionRequest.Own(
        dates = LocalDate.now(ZONE).let { DateRange("${it.minusDays(9)}", "${it.minusDays(1)}") },
        unit = GlucoseUnit.MG_PER_DL,
    )

/** How many readings would go now. */
suspend fun CgmSubmitter.readingsToSend(
    connection: ConnectionId,
    request: SubmissionRequest,
): Long = preview(connection, request).readingsToSend

private const val HEADER =
    "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info," +
        "Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams)," +
        "Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer)," +
        "Transmitter ID\n"

/** A Clarity export: ten days two hours east of UTC, then three days an hour further east. */
fun travelled(): ByteArray {
    val start = LocalDateTime.of(2024, 1, 10, 0, 0)
    val stamp = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss")
    val rows =
        (0L until 312L).joinToString("") { hour ->
            val local = start.plusHours(hour + if (hour < 240) 2 else 3).format(stamp)
            "1,$local,EGV,,,,phone,110,,,,,${hour * 3600},TX\n"
        }
    return (HEADER + rows).toByteArray()
}
