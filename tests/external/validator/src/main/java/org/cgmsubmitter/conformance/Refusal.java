package org.cgmsubmitter.conformance;

/** The run cannot prove anything as asked: nothing to check, too much to check, or no guide to check against. */
final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1L;

  Refusal(String why) {
    super(why);
  }
}
