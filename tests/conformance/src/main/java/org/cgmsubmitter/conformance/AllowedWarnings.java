package org.cgmsubmitter.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** The warnings we have looked at and live with: one line each, the message id and then the reason. Any other warning fails. */
final class AllowedWarnings {
  private final Map<String, String> reasons = new LinkedHashMap<>();

  AllowedWarnings(Path file) throws IOException {
    int number = 0;
    for (String line : Files.readAllLines(file)) {
      number++;
      String text = line.strip();
      if (text.isEmpty() || text.startsWith("#")) {
        continue;
      }
      String[] parts = text.split("\\s+", 2);
      if (parts.length < 2) {
        throw new Refusal(file + ":" + number + ": `" + text + "` gives no reason; write `message-id reason`");
      }
      reasons.put(parts[0], parts[1]);
    }
  }

  Optional<String> reason(Finding warning) {
    return Optional.ofNullable(reasons.get(warning.id()));
  }
}
