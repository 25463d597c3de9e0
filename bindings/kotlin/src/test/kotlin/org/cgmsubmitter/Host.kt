package org.cgmsubmitter

import uniffi.cgm_submitter.DeliveryEvent
import uniffi.cgm_submitter.GlucoseUnit
import uniffi.cgm_submitter.HostException
import uniffi.cgm_submitter.HostLocalTime
import uniffi.cgm_submitter.HostObserver
import uniffi.cgm_submitter.HostVault
import uniffi.cgm_submitter.Measurement
import uniffi.cgm_submitter.OffsetChange
import uniffi.cgm_submitter.Reading
import uniffi.cgm_submitter.Sensor
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.time.Instant
import java.time.ZoneId
import java.util.Base64

/** What an app brings along, as a test needs it: it must outlive a killed process, so the vault is a folder. */
class FolderVault(private val folder: Path) : HostVault {
    init {
        Files.createDirectories(folder)
    }

    private fun file(name: String) = folder.resolve(Base64.getUrlEncoder().withoutPadding().encodeToString(name.toByteArray()))

    override fun load(name: String): String? = file(name).takeIf(Files::exists)?.let(Files::readString)

    override fun save(
        name: String,
        value: String,
    ) {
        val fresh = Files.createTempFile(folder, "fresh", ".tmp")
        Files.writeString(fresh, value)
        Files.move(fresh, file(name), ATOMIC_MOVE)
    }

    override fun delete(name: String) {
        Files.deleteIfExists(file(name))
    }
}

/** A vault that is locked, as before a phone's first unlock. */
class LockedVault : HostVault {
    override fun load(name: String): String? = throw HostException.Unavailable()

    override fun save(
        name: String,
        value: String,
    ): Unit = throw HostException.Unavailable()

    override fun delete(name: String): Unit = throw HostException.Unavailable()
}

/** A vault whose implementation is broken: it throws what no interface announces. */
class BrokenVault : HostVault {
    override fun load(name: String): String? = throw IllegalStateException("a secret that must not come back")

    override fun save(
        name: String,
        value: String,
    ): Unit = throw IllegalStateException("a secret that must not come back")

    override fun delete(name: String): Unit = throw IllegalStateException("a secret that must not come back")
}

class JvmLocalTime(private val zone: ZoneId) : HostLocalTime {
    override fun zoneName(): String = zone.id

    override fun transitions(
        from: Instant,
        to: Instant,
    ): List<OffsetChange> {
        val rules = zone.rules
        val first = OffsetChange(from, rules.getOffset(from).totalSeconds / 60)
        val later =
            generateSequence(rules.nextTransition(from)) { rules.nextTransition(it.instant) }
                .takeWhile { it.instant < to }
                .map { OffsetChange(it.instant, it.offsetAfter.totalSeconds / 60) }
        return listOf(first) + later
    }
}

class Events(private val onEvent: (DeliveryEvent) -> Unit = {}) : HostObserver {
    val seen: MutableList<DeliveryEvent> = java.util.Collections.synchronizedList(mutableListOf())

    override fun deliveryEvent(event: DeliveryEvent) {
        seen += event
        onEvent(event)
    }
}

val SENSOR = Sensor(key = "test:K1", deviceName = "Test CGM", serial = "K1")

/** `count` readings, one every five minutes, the last at `end`. */
fun readings(
    count: Int,
    end: Instant,
): List<Reading> =
    List(count) { n ->
        val time = end.minusSeconds(300L * (count - 1 - n))
        val value = Measurement.Value(value = (90 + n % 120).toString(), unit = GlucoseUnit.MG_PER_DL)
        Reading(sensor = SENSOR.key, time = time, utcOffsetMinutes = 60, measurement = value, recordKey = null)
    }
