package org.cgmsubmitter.conformance;

import java.util.List;
import java.util.stream.Stream;

/**
 * Ways to break a good bundle, each of which must be noticed, and noticed for what it is. A check that passes everything passes good bundles too;
 * this is what tells them apart.
 */
final class Broken {
  /** Every mistake. Something new to send brings a list of its own. */
  static final List<Mistake> MISTAKES =
      Stream.of(BrokenBundles.ALL, BrokenReadings.ALL, BrokenSummaries.ALL, BrokenDevices.ALL).flatMap(List::stream).toList();

  private Broken() {}
}
