package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import org.cgmsubmitter.ffi.DeliveryEvent
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.system.exitProcess

/**
 * An app that is killed while it sends: a process of its own, that submits and says `sending` when a
 * request is under way.
 */
object KilledApp {
    /** What the app prints when its `n`th request is claimed. */
    const val SENDING = "sending"

    /**
     * Starts the app in `folder`, which sends for at most `budget`, and kills it at its `n`th
     * request: under way, or just before it is. Its request may be at work at the clinic for as
     * long as it had, and a while: the next process waits that long.
     */
    fun killAt(
        request: Int,
        folder: Path,
        budget: Duration,
    ) {
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        val native = "-Djna.library.path=" + System.getProperty("jna.library.path")
        val classes =
            System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
        val itself = listOf(java, native, "-cp", classes, KilledApp::class.java.name)
        val app = Processes.start(itself + listOf("$folder", "$request", "$budget"))
        try {
            val said = app.inputStream.bufferedReader().readLine()
            check(said == SENDING) { "the app was to be sending, and said: $said" }
        } finally {
            Processes.kill(app)
        }
    }

    @JvmStatic
    fun main(arguments: Array<String>) {
        // Its input ends with the test that started it, even if that is killed itself.
        thread(isDaemon = true) {
            System.`in`.read()
            exitProcess(3)
        }
        val (folder, request, budget) = arguments
        var sent = 0
        val events =
            Events { event ->
                if (event is DeliveryEvent.Sending && ++sent == request.toInt()) {
                    println(SENDING)
                    System.out.flush()
                }
            }
        runBlocking {
            val cgm = open(Path.of(folder))
            val connection = cgm.connections().single().id
            cgm.submitNow(connection, EVERYTHING, Duration.parse(budget), events)
        }
        println("done")
        // Not gone by itself before it is killed.
        CountDownLatch(1).await(30, TimeUnit.SECONDS)
    }
}
