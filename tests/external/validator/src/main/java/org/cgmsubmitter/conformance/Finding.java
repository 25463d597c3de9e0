package org.cgmsubmitter.conformance;

/**
 * One thing wrong, or doubtful, in a bundle.
 *
 * @param entry index of the entry it is about, or {@link #WHOLE} for the bundle itself
 * @param error false for a warning
 * @param id the validator's message id, or {@code rule:…} for one of {@link Rules}
 * @param where path inside the bundle
 * @param text for a person to read
 */
record Finding(int entry, boolean error, String id, String where, String text) {
  static final int WHOLE = -1;

  @Override
  public String toString() {
    return (error ? "error   " : "warning ") + where + ": " + text + " [" + id + "]";
  }
}
