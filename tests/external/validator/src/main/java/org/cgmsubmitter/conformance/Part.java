package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.function.Predicate;

/** What mistakes are made in: a kind of resource, in one of the forms it can have. Something new to send is a new line here. */
enum Part {
  /** The first entry of any bundle. */
  BUNDLE(resource -> true),
  UNCONDITIONAL(resource -> true),
  READING(resource -> isReading(resource) && resource.has("valueQuantity")),
  MASS(resource -> is(resource, Good.MASS) && resource.has("valueQuantity")),
  MOLAR(resource -> is(resource, Good.MOLAR) && resource.has("valueQuantity")),
  CLIPPED(resource -> isReading(resource) && resource.path("valueQuantity").has("comparator")),
  ABSENT(resource -> isReading(resource) && resource.has("dataAbsentReason")),
  /** Names what it corrects by identifier. */
  CORRECTED(resource -> isReading(resource) && Good.replaced(resource).has("identifier")),
  WITH_DEVICE_ENTRY(resource -> isReading(resource) && resource.at("/device/reference").asText().startsWith("urn:")),
  WITH_DEVICE_LOCATION(resource -> isReading(resource) && resource.at("/device/reference").asText().startsWith("Device/")),
  SUMMARY(resource -> is(resource, Good.SUMMARY)),
  /** Names what it replaces by location. */
  NEW_SUMMARY(resource -> is(resource, Good.SUMMARY) && Good.replaced(resource).has("reference")),
  NOTED_SUMMARY(resource -> is(resource, Good.SUMMARY) && resource.has("note")),
  DEVICE(resource -> Rules.type(resource).equals("Device")),
  SERIAL(resource -> Rules.type(resource).equals("Device") && resource.has("serialNumber"));

  private final Predicate<JsonNode> is;

  Part(Predicate<JsonNode> is) {
    this.is = is;
  }

  boolean is(JsonNode resource) {
    return is.test(resource);
  }

  static boolean isReading(JsonNode resource) {
    return is(resource, Good.MASS) || is(resource, Good.MOLAR);
  }

  private static boolean is(JsonNode resource, String code) {
    return Rules.type(resource).equals("Observation") && Rules.code(resource).equals(code);
  }
}
