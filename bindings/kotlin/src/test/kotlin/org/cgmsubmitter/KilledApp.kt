package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import uniffi.cgm_submitter.CgmSubmitter
import uniffi.cgm_submitter.DeliveryEvent
import uniffi.cgm_submitter.SubmissionRequest
import java.nio.file.Path
import java.time.ZoneId
import kotlin.concurrent.thread
import kotlin.system.exitProcess

/**
 * An app that is killed while it sends: a process of its own, that submits, says `sending` at the `n`th request, and then waits to be
 * killed while the request is under way.
 */
object KilledApp {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val (folder, request, first, last) = arguments
        // If nobody kills it, the test is broken: leave all the same.
        thread(isDaemon = true) {
            Thread.sleep(60_000)
            exitProcess(3)
        }
        var sent = 0
        val observer =
            Events { event ->
                if (event is DeliveryEvent.Sending && ++sent == request.toInt()) {
                    println("sending")
                    System.out.flush()
                }
            }
        runBlocking {
            val cgm = open(Path.of(folder))
            val connection = cgm.connections().single()
            cgm.submitNow(connection.id, SubmissionRequest.Own(first, last, uniffi.cgm_submitter.GlucoseUnit.MG_PER_DL), 0u, observer)
        }
        println("done")
    }

    fun open(folder: Path) =
        CgmSubmitter(
            folder.resolve("me.db").toString(),
            FolderVault(folder.resolve("vault")),
            JvmLocalTime(ZoneId.of("Europe/Berlin")),
        )
}
