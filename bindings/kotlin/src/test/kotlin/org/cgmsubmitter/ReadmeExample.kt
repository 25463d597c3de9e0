package org.cgmsubmitter

import org.cgmsubmitter.ffi.*
import java.time.Duration

// The README holds the lines between these two, and ReadmeTest holds it to that.
// README
suspend fun send(cgm: CgmSubmitter, clinic: Receiver, readings: List<Reading>, browse: suspend (String) -> String) {
    cgm.registerSensor(Sensor(key = "test:K1", deviceName = "Test CGM", serial = "K1"))
    val report = cgm.ingest(readings) // what is there already is not stored twice
    println("${report.stored} stored, ${report.rejected.size} refused")

    val authorisation = cgm.beginConnection(clinic)
    val redirect = browse(authorisation.url) // the app may be killed meanwhile
    val connection = cgm.completeConnection(redirect)
    println("Is this you? ${connection.patientName}") // nothing is sent before this is answered
    cgm.confirmPatient(connection.id)

    val request = SubmissionRequest.Own(DateRange("2024-05-01", "2024-05-14"), GlucoseUnit.MG_PER_DL)
    val outcome = cgm.submitNow(connection.id, request, Duration.ofMinutes(1), observer { println(it) })
    println("${outcome.tally.entries.accepted} accepted, ${outcome.refused.size} refused")
}
// README
