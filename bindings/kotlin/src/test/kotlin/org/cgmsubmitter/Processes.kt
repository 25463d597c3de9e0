package org.cgmsubmitter

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.TimeUnit

/** Processes a test starts. None outlives the test's own JVM, however that ends. */
object Processes {
    private val running = ConcurrentHashMap.newKeySet<Process>()

    init {
        Runtime.getRuntime().addShutdownHook(Thread { running.forEach(Process::destroyForcibly) })
    }

    /** Starts `command`. What it reads from its input never comes, and ends when this JVM does. */
    fun start(command: List<String>): Process =
        ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start().also(running::add)

    /** Kills `process` as the system kills an app: it gets no chance to tidy up. */
    fun kill(process: Process) {
        process.destroyForcibly()
        check(process.waitFor(10, TimeUnit.SECONDS)) { "the process does not die" }
        running -= process
    }
}
