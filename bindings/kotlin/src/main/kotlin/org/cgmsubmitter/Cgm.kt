package org.cgmsubmitter

import org.cgmsubmitter.ffi.CgmSubmitter
import org.cgmsubmitter.ffi.DeliveryEvent
import org.cgmsubmitter.ffi.HostException
import org.cgmsubmitter.ffi.HostLocalTime
import org.cgmsubmitter.ffi.HostObserver
import org.cgmsubmitter.ffi.HostVault
import org.cgmsubmitter.ffi.OffsetChange
import java.io.File
import java.time.Instant
import java.time.ZoneId

/**
 * A submitter over the database file [database], with the app's secure storage and the time zone [zone] tells at each call.
 * Make submitters here rather than by the generated constructor: this one is safe against whatever [vault] throws.
 */
fun cgmSubmitter(
    database: File,
    vault: HostVault,
    zone: () -> ZoneId = ZoneId::systemDefault,
): CgmSubmitter = CgmSubmitter(database.path, GuardedVault(vault), PlatformLocalTime(zone))

/** Passes what happens during a delivery to [onEvent], off the main thread. */
fun observer(onEvent: (DeliveryEvent) -> Unit): HostObserver =
    object : HostObserver {
        override fun deliveryEvent(event: DeliveryEvent) = guarded { onEvent(event) }
    }

/**
 * Turns whatever an app's code throws into what the border knows. A [java.lang.Error] passes through the generated code unseen,
 * and a token that was not saved would count as saved.
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

/** The time zone as java.time knows it. */
private class PlatformLocalTime(private val zone: () -> ZoneId) : HostLocalTime {
    override fun zoneName(): String = guarded { zone().id }

    override fun transitions(
        from: Instant,
        to: Instant,
    ): List<OffsetChange> =
        guarded {
            val rules = zone().rules
            val first = OffsetChange(from, rules.getOffset(from).totalSeconds / 60)
            val later =
                generateSequence(rules.nextTransition(from)) { rules.nextTransition(it.instant) }
                    .takeWhile { it.instant < to }
                    .map { OffsetChange(it.instant, it.offsetAfter.totalSeconds / 60) }
            listOf(first) + later
        }
}
