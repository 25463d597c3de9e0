package org.cgmsubmitter

import org.cgmsubmitter.ffi.CgmSubmitter
import org.cgmsubmitter.ffi.DeliveryEvent
import org.cgmsubmitter.ffi.FileZone
import org.cgmsubmitter.ffi.HostException
import org.cgmsubmitter.ffi.HostLocalTime
import org.cgmsubmitter.ffi.HostLogSink
import org.cgmsubmitter.ffi.HostObserver
import org.cgmsubmitter.ffi.HostVault
import org.cgmsubmitter.ffi.LogEntry
import org.cgmsubmitter.ffi.OffsetChange
import java.io.File
import java.time.Duration
import java.time.Instant
import java.time.ZoneId

/**
 * A submitter over the database file [database], with the app's secure storage and the time zone
 * [zone] tells at each call. Each step and decision goes to [log], which gets no data of the person.
 *
 * Make submitters here rather than by the generated constructor: this one is safe against whatever
 * [vault] throws.
 */
fun cgmSubmitter(
    database: File,
    vault: HostVault,
    log: HostLogSink? = null,
    zone: () -> ZoneId = ZoneId::systemDefault,
): CgmSubmitter = CgmSubmitter(database.path, GuardedVault(vault), PlatformLocalTime(zone), log)

/** Passes each step and decision to [onEntry], on the SDK's own threads: hand over what takes time. */
fun logSink(onEntry: (LogEntry) -> Unit): HostLogSink =
    object : HostLogSink {
        override fun log(entry: LogEntry) = guarded { onEntry(entry) }
    }

/** Passes what happens during a delivery to [onEvent], off the main thread. */
fun observer(onEvent: (DeliveryEvent) -> Unit): HostObserver =
    object : HostObserver {
        override fun deliveryEvent(event: DeliveryEvent) = guarded { onEvent(event) }
    }

/**
 * Turns whatever an app's code throws into what the border knows. A [java.lang.Error] passes through
 * the generated code unseen, and a token that was not saved would count as saved.
 */
private inline fun <T> guarded(call: () -> T): T =
    try {
        call()
    } catch (announced: HostException) {
        throw announced
    } catch (_: Throwable) {
        throw HostException.Failed()
    }

private class GuardedVault(private val vault: HostVault) : HostVault {
    override fun load(name: String): String? = guarded { vault.load(name) }

    override fun save(
        name: String,
        value: String,
    ) = guarded { vault.save(name, value) }

    override fun delete(name: String) = guarded { vault.delete(name) }
}

/**
 * The zone of a file's clock, if it is another than this device's:
 * `ImportChoices(zone = fileZone(ZoneId.of("Europe/Bucharest")))`.
 */
fun fileZone(zone: ZoneId): FileZone {
    val until = Instant.now().plus(YEAR)
    return FileZone.Other(name = zone.id, offsets = zone.changes(FIRST_READING, until))
}

/** No reading is older. */
private val FIRST_READING: Instant = Instant.parse("1990-01-01T00:00:00Z")

private val YEAR: Duration = Duration.ofDays(366)

/** The time zone as java.time knows it. */
private class PlatformLocalTime(private val zone: () -> ZoneId) : HostLocalTime {
    override fun zoneName(): String = guarded { zone().id }

    override fun transitions(
        from: Instant,
        to: Instant,
    ): List<OffsetChange> = guarded { zone().changes(from, to) }
}

/** The offset at [from], and each change until [to]. */
private fun ZoneId.changes(
    from: Instant,
    to: Instant,
): List<OffsetChange> {
    val first = OffsetChange(from, rules.getOffset(from).totalSeconds / 60)
    val later =
        generateSequence(rules.nextTransition(from)) { rules.nextTransition(it.instant) }
            .takeWhile { it.instant < to }
            .map { OffsetChange(it.instant, it.offsetAfter.totalSeconds / 60) }
    return listOf(first) + later
}
