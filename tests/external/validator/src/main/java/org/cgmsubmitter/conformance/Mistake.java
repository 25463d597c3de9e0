package org.cgmsubmitter.conformance;

import java.util.EnumSet;
import java.util.Set;
import java.util.function.Consumer;

/**
 * One way to break a good bundle.
 *
 * @param name what was done to the bundle
 * @param needs the part of a bundle it is done to
 * @param says what the message that catches it must say, so that it is caught for what is wrong with it
 * @param dialects those it is a mistake in
 * @param make makes the mistake
 */
record Mistake(String name, Part needs, String says, Set<Dialect> dialects, Consumer<Good> make) {
  static Mistake of(String name, Part needs, String says, Consumer<Good> make) {
    return new Mistake(name, needs, says, EnumSet.allOf(Dialect.class), make);
  }

  Mistake in(Dialect only) {
    return new Mistake(name, needs, says, EnumSet.of(only), make);
  }

  boolean isCaughtBy(Finding finding) {
    return finding.toString().contains(says);
  }
}
