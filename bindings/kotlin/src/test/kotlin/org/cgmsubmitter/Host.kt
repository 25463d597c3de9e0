package org.cgmsubmitter

import org.cgmsubmitter.ffi.CgmSubmitter
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
import java.time.ZoneId
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
        firstDate = LocalDate.now(ZONE).minusDays(9).toString(),
        lastDate = LocalDate.now(ZONE).minusDays(1).toString(),
        unit = GlucoseUnit.MG_PER_DL,
    )
