package org.cgmsubmitter.conformance;

/** What a dialect's run came to. */
final class Tally {
  /** Resources of the bundles that are the same in every run. */
  int resources;

  int mistakes;
  int caught;

  /** The same in every run of the same code. */
  String result() {
    return resources + " resources: 0 errors; " + caught + " of " + mistakes + " broken bundles caught";
  }
}
