package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import org.cgmsubmitter.ffi.DeliveryEvent
import java.nio.file.Path
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.system.exitProcess

/** An app that is killed while it sends: a process of its own, that submits and says `sending` when a request is under way. */
object KilledApp {
    /** What the app prints when its `n`th request is claimed. */
    const val SENDING = "sending"

    /** Starts the app in `folder` and kills it at its `n`th request: under way, or just before it is. */
    fun killAt(
        request: Int,
        folder: Path,
    ) {
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        val native = "-Djna.library.path=" + System.getProperty("jna.library.path")
        val classes = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
        val app = Processes.start(listOf(java, native, "-cp", classes, KilledApp::class.java.name, folder.toString(), "$request"))
        try {
            val said = app.inputStream.bufferedReader().readLine()
            check(said == SENDING) { "the app was to be sending, and said: $said" }
        } finally {
            Processes.kill(app)
        }
    }

    @JvmStatic
    fun main(arguments: Array<String>) {
        // Its input ends with the test that started it, even where that is killed itself.
        thread(isDaemon = true) {
            System.`in`.read()
            exitProcess(3)
        }
        val (folder, request) = arguments
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
            cgm.submitNow(cgm.connections().single().id, EVERYTHING, PATIENCE, events)
        }
        println("done")
        // Not gone by itself before it is killed.
        CountDownLatch(1).await(30, TimeUnit.SECONDS)
    }
}
