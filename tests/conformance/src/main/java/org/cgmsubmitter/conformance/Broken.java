package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.DecimalNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Ways to break a good bundle, each of which must be noticed. A check that passes everything passes good bundles too; this is what tells them
 * apart.
 */
final class Broken {
  /**
   * One mistake.
   *
   * @param name what was done to the bundle
   * @param needs the part of a bundle it is done to
   * @param make makes the mistake
   */
  record Mistake(String name, Part needs, Consumer<Good> make) {}

  /** What a mistake is made in. A bundle may lack some; several bundles together should not. */
  enum Part {
    BUNDLE,
    READING,
    SUMMARY,
    DEVICE
  }

  private static final Set<String> READINGS = Set.of("99504-3", "105272-9");
  private static final String SUMMARY = "107931-8";
  private static final String RANGES = "106793-3";
  private static final String GMI = "97506-0";
  private static final String NOWHERE = "urn:uuid:00000000-0000-4000-8000-000000000000";
  private static final int READINGS_KEPT = 3;

  private Broken() {}

  static final List<Mistake> MISTAKES =
      List.of(
          new Mistake("the bundle has no timestamp", Part.BUNDLE, good -> good.bundle.remove("timestamp")),
          new Mistake("the bundle is a batch", Part.BUNDLE, good -> good.bundle.put("type", "batch")),
          new Mistake("the bundle is empty", Part.BUNDLE, good -> good.entries().removeAll()),
          new Mistake("an entry is PUT", Part.BUNDLE, good -> good.request(0).put("method", "PUT")),
          new Mistake("an entry has no ifNoneExist", Part.BUNDLE, good -> good.request(0).remove("ifNoneExist")),
          new Mistake("an entry has no resource", Part.BUNDLE, good -> good.entry(0).remove("resource")),
          new Mistake("an entry is posted to another type", Part.BUNDLE, good -> good.request(0).put("url", "Patient")),
          new Mistake("an identifier is not the one in ifNoneExist", Part.BUNDLE, good -> identifier(good.resource(0)).put("value", NOWHERE)),
          new Mistake("an entry is there twice", Part.BUNDLE, good -> good.entries().add(good.entry(0).deepCopy())),
          new Mistake(
              "two facts share an ifNoneExist",
              Part.BUNDLE,
              good -> good.entries().add(good.entry(0).deepCopy().put("fullUrl", NOWHERE))),
          new Mistake("a reading's unit code is not UCUM's", Part.READING, good -> value(good.reading()).put("code", "mg/dl")),
          new Mistake("a reading's unit is not the guide's", Part.READING, good -> value(good.reading()).put("unit", "glucose")),
          new Mistake("a reading is in the other unit", Part.READING, good -> otherUnit(value(good.reading()))),
          new Mistake("a reading's value is text", Part.READING, good -> value(good.reading()).put("value", "120")),
          new Mistake("a reading has neither value nor reason", Part.READING, good -> good.reading().remove("valueQuantity")),
          new Mistake("a reading has both value and reason", Part.READING, good -> absent(good.reading())),
          new Mistake("a reading's time has no zone", Part.READING, good -> good.reading().put("effectiveDateTime", "2024-05-02T10:15:00")),
          new Mistake("a reading's day does not exist", Part.READING, good -> good.reading().put("effectiveDateTime", "2024-02-30T10:15:00Z")),
          new Mistake("a reading has no time", Part.READING, good -> good.reading().remove("effectiveDateTime")),
          new Mistake("a reading covers a period", Part.READING, good -> period(good.reading())),
          new Mistake("a reading has a meter's LOINC code", Part.READING, good -> coding(good.reading()).put("code", "2339-0")),
          new Mistake("a LOINC code has a display", Part.READING, good -> coding(good.reading()).put("display", "Glucose")),
          new Mistake("a reading has no status", Part.READING, good -> good.reading().remove("status")),
          new Mistake("a reading has no category", Part.READING, good -> good.reading().remove("category")),
          new Mistake("a reading has no subject", Part.READING, good -> good.reading().remove("subject")),
          new Mistake("a reading is another patient's", Part.READING, good -> good.reading().withObject("/subject").put("reference", "Patient/another")),
          new Mistake("a reading has an unknown extension", Part.READING, good -> extension(good.reading())),
          new Mistake("a reading has an unknown element", Part.READING, good -> good.reading().put("glucoseLevel", 120)),
          new Mistake("a device reference resolves nowhere", Part.READING, good -> good.reading().withObject("/device").put("reference", NOWHERE)),
          new Mistake("a summary lacks a member", Part.SUMMARY, Broken::dropMember),
          new Mistake("a summary's member resolves nowhere", Part.SUMMARY, good -> member(good, GMI).put("reference", NOWHERE)),
          new Mistake("a summary's member is not in the bundle", Part.SUMMARY, Broken::dropMemberEntry),
          new Mistake("a summary has no subject", Part.SUMMARY, good -> good.coded("Observation", SUMMARY).remove("subject")),
          new Mistake("a summary's period has no end", Part.SUMMARY, good -> days(good.coded("Observation", SUMMARY)).remove("end")),
          new Mistake("a member covers other dates", Part.SUMMARY, good -> days(good.coded("Observation", GMI)).put("start", "1999-12-31")),
          new Mistake("a member has no value", Part.SUMMARY, good -> good.coded("Observation", GMI).remove("valueQuantity")),
          new Mistake("the fifth range is missing", Part.SUMMARY, good -> components(good).remove(components(good).size() - 1)),
          new Mistake("a range is there twice", Part.SUMMARY, good -> components(good).set(1, components(good).get(0).deepCopy())),
          new Mistake("the ranges do not add up", Part.SUMMARY, good -> more(value(components(good).get(2)))),
          new Mistake("a device has no name", Part.DEVICE, good -> good.device().remove("deviceName")),
          new Mistake("a device is nobody's", Part.DEVICE, good -> good.device().remove("patient")));

  /** A good bundle to break: a copy, with only a few of its readings, since one is enough to break. */
  static final class Good {
    final ObjectNode bundle;

    Good(ObjectNode original) {
      bundle = original.deepCopy();
      int readings = 0;
      for (Iterator<JsonNode> all = bundle.path("entry").iterator(); all.hasNext(); ) {
        if (isReading(all.next().path("resource")) && ++readings > READINGS_KEPT) {
          all.remove();
        }
      }
    }

    boolean has(Part part) {
      return switch (part) {
        case BUNDLE -> !entries().isEmpty();
        case READING -> resources().stream().anyMatch(Broken::isReading);
        case SUMMARY -> resources().stream().anyMatch(r -> is(r, "Observation", SUMMARY));
        case DEVICE -> resources().stream().anyMatch(r -> Rules.type(r).equals("Device"));
      };
    }

    private ArrayNode entries() {
      return bundle.withArrayProperty("entry");
    }

    private ObjectNode entry(int i) {
      return (ObjectNode) entries().get(i);
    }

    private ObjectNode request(int i) {
      return (ObjectNode) entry(i).get("request");
    }

    private ObjectNode resource(int i) {
      return (ObjectNode) entry(i).get("resource");
    }

    private List<ObjectNode> resources() {
      List<ObjectNode> resources = new ArrayList<>();
      entries().forEach(entry -> resources.add((ObjectNode) entry.get("resource")));
      return resources;
    }

    private ObjectNode reading() {
      return resources().stream().filter(r -> isReading(r) && r.has("valueQuantity")).findFirst().orElseThrow();
    }

    private ObjectNode device() {
      return resources().stream().filter(r -> Rules.type(r).equals("Device")).findFirst().orElseThrow();
    }

    private ObjectNode coded(String type, String code) {
      return resources().stream().filter(r -> is(r, type, code)).findFirst().orElseThrow();
    }
  }

  private static boolean isReading(JsonNode resource) {
    return Rules.type(resource).equals("Observation") && READINGS.contains(Rules.code(resource));
  }

  private static boolean is(JsonNode resource, String type, String code) {
    return Rules.type(resource).equals(type) && Rules.code(resource).equals(code);
  }

  private static ObjectNode identifier(ObjectNode resource) {
    return (ObjectNode) resource.at("/identifier/0");
  }

  private static ObjectNode coding(ObjectNode resource) {
    return (ObjectNode) resource.at("/code/coding/0");
  }

  private static ObjectNode value(JsonNode holder) {
    return (ObjectNode) holder.get("valueQuantity");
  }

  private static ObjectNode days(ObjectNode resource) {
    return (ObjectNode) resource.get("effectivePeriod");
  }

  private static ArrayNode components(Good good) {
    return good.coded("Observation", RANGES).withArrayProperty("component");
  }

  private static void otherUnit(ObjectNode quantity) {
    boolean mass = quantity.path("code").asText().equals("mg/dL");
    quantity.put("unit", mass ? "mmol/l" : "mg/dl").put("code", mass ? "mmol/L" : "mg/dL");
  }

  private static void absent(ObjectNode reading) {
    reading
        .withObject("/dataAbsentReason")
        .withArrayProperty("coding")
        .addObject()
        .put("system", "http://terminology.hl7.org/CodeSystem/data-absent-reason")
        .put("code", "unknown");
  }

  private static void period(ObjectNode reading) {
    reading.remove("effectiveDateTime");
    reading.withObject("/effectivePeriod").put("start", "2024-05-01").put("end", "2024-05-02");
  }

  private static void extension(ObjectNode reading) {
    reading.withArrayProperty("extension").addObject().put("url", "https://example.org/mood").put("valueString", "fine");
  }

  private static void more(ObjectNode quantity) {
    quantity.set("value", DecimalNode.valueOf(quantity.get("value").decimalValue().add(BigDecimal.ONE)));
  }

  /** The summary's reference to its member with this code. */
  private static ObjectNode member(Good good, String code) {
    String target = fullUrl(good, code);
    for (JsonNode reference : good.coded("Observation", SUMMARY).path("hasMember")) {
      if (reference.path("reference").asText().equals(target)) {
        return (ObjectNode) reference;
      }
    }
    throw new IllegalStateException("the summary has no member " + code);
  }

  private static void dropMember(Good good) {
    JsonNode gone = member(good, GMI);
    for (Iterator<JsonNode> members = good.coded("Observation", SUMMARY).path("hasMember").iterator(); members.hasNext(); ) {
      if (members.next() == gone) {
        members.remove();
      }
    }
  }

  private static void dropMemberEntry(Good good) {
    String target = fullUrl(good, GMI);
    for (Iterator<JsonNode> entries = good.entries().iterator(); entries.hasNext(); ) {
      if (entries.next().path("fullUrl").asText().equals(target)) {
        entries.remove();
      }
    }
  }

  private static String fullUrl(Good good, String code) {
    for (JsonNode entry : good.entries()) {
      if (is(entry.path("resource"), "Observation", code)) {
        return entry.path("fullUrl").asText();
      }
    }
    throw new IllegalStateException("no Observation " + code);
  }
}
