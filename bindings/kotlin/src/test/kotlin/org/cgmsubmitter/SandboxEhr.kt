package org.cgmsubmitter

import org.cgmsubmitter.ffi.CgmSubmitter
import org.cgmsubmitter.ffi.Connection
import org.cgmsubmitter.ffi.Receiver
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse

/** The sandbox clinic, as a process of its own; it approves as Amy Shaw by itself. */
class SandboxEhr : AutoCloseable {
    private val process =
        Processes.start(listOf(System.getProperty("sandbox.binary"), "--port", "0", "--auto-approve", "amy-shaw", "--quiet"))

    val receiver: Receiver =
        try {
            val line = process.inputStream.bufferedReader().readLine() ?: error("the sandbox EHR said nothing: is it built?")
            Receiver(base = line.substringAfterLast(" "), clientId = "cgm-demo", redirectUri = "http://127.0.0.1:7777/callback")
        } catch (failure: Throwable) {
            close()
            throw failure
        }

    /** What a browser does: opens the URL, and is sent back. */
    fun browse(url: String): String {
        val request = HttpRequest.newBuilder(URI(url)).build()
        val response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding())
        return response.headers().firstValue("location").orElseThrow()
    }

    suspend fun connect(cgm: CgmSubmitter): Connection {
        val connection = cgm.completeConnection(browse(cgm.beginConnection(receiver).url))
        cgm.confirmPatient(connection.id)
        return connection
    }

    override fun close() = Processes.kill(process)
}
