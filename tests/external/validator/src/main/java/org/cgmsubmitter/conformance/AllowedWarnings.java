package org.cgmsubmitter.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The warnings we have looked at and live with: one line each, the message id and then the reason. Any other warning fails, and so does a line
 * that no warning needs any more.
 */
final class AllowedWarnings {
  private final Map<String, String> reasons = new LinkedHashMap<>();
  private final Map<String, Integer> seen = new TreeMap<>();

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

  boolean allow(Finding warning) {
    return reasons.containsKey(warning.id());
  }

  /** Remembers a warning about a good bundle. */
  void count(Finding warning) {
    seen.merge(warning.id(), 1, Integer::sum);
  }

  /** What was warned of how often, and why that is right. */
  void print() {
    seen.forEach(
        (id, times) ->
            System.out.println("warning " + id + " ×" + times + ": " + reasons.getOrDefault(id, "NOT ALLOWED; mend it, or list it with a reason")));
  }

  /** Ids that are listed and did not occur. */
  List<String> idle() {
    return reasons.keySet().stream().filter(id -> !seen.containsKey(id)).toList();
  }
}
