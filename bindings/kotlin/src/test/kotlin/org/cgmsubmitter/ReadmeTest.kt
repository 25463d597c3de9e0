package org.cgmsubmitter

import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The README tells the truth. */
@Timeout(60)
class ReadmeTest {
    @TempDir
    lateinit var folder: Path

    private val example = Files.readString(Path.of("src/test/kotlin/org/cgmsubmitter/ReadmeExample.kt")).split("// README\n")[1]

    @Test
    fun `the README shows what is compiled and run here`() {
        assertTrue(example.lines().count(String::isNotBlank) <= 20)
        assertContains(Files.readString(Path.of("README.md")), "```kotlin\n$example```")
    }

    @Test
    fun `the example runs`() =
        runBlocking<Unit> {
            SandboxEhr().use { clinic ->
                open(folder).use { cgm ->
                    send(cgm, clinic.receiver, readings(300)) { clinic.browse(it) }
                    assertEquals(300L, cgm.readingsToSend(cgm.connections().single().id, EVERYTHING))
                    cgm.submitNow(cgm.connections().single().id, EVERYTHING, PATIENCE, observer {})
                    assertEquals(0L, cgm.readingsToSend(cgm.connections().single().id, EVERYTHING))
                }
            }
        }
}
