package org.cgmsubmitter

import uniffi.cgm_submitter.AuthorizationRequest
import uniffi.cgm_submitter.CgmSubmitter
import uniffi.cgm_submitter.Connection
import uniffi.cgm_submitter.Receiver
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Path
import java.util.concurrent.TimeUnit

/** The sandbox clinic, as a process of its own; it approves as Amy Shaw by itself. */
class SandboxEhr(folder: Path) : AutoCloseable {
    private val process =
        ProcessBuilder(
            System.getProperty("sandbox.binary"),
            "--port",
            "0",
            "--database",
            folder.resolve("clinic.db").toString(),
            "--auto-approve",
            "amy-shaw",
        ).redirectError(ProcessBuilder.Redirect.INHERIT).start()

    val base: String =
        process.inputStream.bufferedReader().readLine()?.substringAfterLast(" ")
            ?: error("the sandbox EHR said nothing: is it built?")

    private val receiver = Receiver(base = base, clientId = "cgm-demo", redirectUri = "http://127.0.0.1:7777/callback")

    /** What a browser does: opens the URL, and is sent back. */
    private fun approve(request: AuthorizationRequest): String {
        val response =
            HttpClient.newHttpClient().send(
                HttpRequest.newBuilder(URI(request.url)).build(),
                HttpResponse.BodyHandlers.discarding(),
            )
        return response.headers().firstValue("location").orElseThrow()
    }

    suspend fun connect(cgm: CgmSubmitter): Connection {
        val connection = cgm.completeConnection(approve(cgm.beginConnection(receiver)))
        cgm.confirmPatient(connection.id)
        return connection
    }

    override fun close() {
        process.destroy()
        process.waitFor(10, TimeUnit.SECONDS)
    }
}
