package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;

/** A good bundle to break: a copy, with only a few of its readings, since one is enough to break. */
final class Good {
  static final String MASS = "99504-3";
  static final String MOLAR = "105272-9";
  static final String SUMMARY = "107931-8";
  static final String NOWHERE = "urn:uuid:00000000-0000-4000-8000-000000000000";
  private static final int READINGS_KEPT = 3;

  final ObjectNode bundle;
  final boolean conditional;
  private final Part part;

  private Good(ObjectNode bundle, boolean conditional, Part part) {
    this.bundle = bundle;
    this.conditional = conditional;
    this.part = part;
  }

  /** The bundle, where it has such a part. */
  static Optional<Good> with(Part part, ObjectNode original, boolean conditional) {
    if (conditional == (part == Part.UNCONDITIONAL)) {
      return Optional.empty();
    }
    JsonNode first = null;
    for (JsonNode entry : original.path("entry")) {
      first = first == null && part.is(entry.path("resource")) ? entry : first;
    }
    if (first == null) {
      return Optional.empty();
    }
    ObjectNode bundle = original.deepCopy();
    int readings = 0;
    for (Iterator<JsonNode> all = bundle.path("entry").iterator(); all.hasNext(); ) {
      JsonNode entry = all.next();
      if (Part.isReading(entry.path("resource")) && !entry.equals(first) && ++readings >= READINGS_KEPT) {
        all.remove();
      }
    }
    return Optional.of(new Good(bundle, conditional, part));
  }

  Good copy() {
    return new Good(bundle.deepCopy(), conditional, part);
  }

  int size() {
    return entries().size();
  }

  ArrayNode entries() {
    return bundle.withArrayProperty("entry");
  }

  private List<JsonNode> resources() {
    List<JsonNode> resources = new ArrayList<>();
    entries().forEach(entry -> resources.add(entry.path("resource")));
    return resources;
  }

  /** The entry of the part. */
  ObjectNode entry() {
    for (JsonNode entry : entries()) {
      if (part.is(entry.path("resource"))) {
        return (ObjectNode) entry;
      }
    }
    throw new IllegalStateException("no " + part);
  }

  ObjectNode request() {
    return (ObjectNode) entry().get("request");
  }

  /** The resource of the part. */
  ObjectNode resource() {
    return (ObjectNode) entry().get("resource");
  }

  ObjectNode identifier() {
    return (ObjectNode) resource().at("/identifier/0");
  }

  ObjectNode coding() {
    return (ObjectNode) resource().at("/code/coding/0");
  }

  ObjectNode value() {
    return (ObjectNode) resource().get("valueQuantity");
  }

  ObjectNode deviceName() {
    return (ObjectNode) resource().at("/deviceName/0");
  }

  /** The extension that names what is replaced. */
  ObjectNode replaces() {
    return (ObjectNode) resource().at("/extension/0");
  }

  /** The summary's member with this code. */
  ObjectNode member(String code) {
    return (ObjectNode) memberEntry(code).get("resource");
  }

  ObjectNode value(String member) {
    return (ObjectNode) member(member).get("valueQuantity");
  }

  /** The code of the summary's mean, which depends on its unit. */
  String meanCode() {
    boolean mass = resources().stream().anyMatch(resource -> Rules.code(resource).equals(Figures.MEAN_MASS));
    return mass ? Figures.MEAN_MASS : Figures.MEAN_MOLAR;
  }

  ObjectNode mean() {
    return value(meanCode());
  }

  ArrayNode ranges() {
    return member(Figures.TIMES_IN_RANGES).withArrayProperty("component");
  }

  ObjectNode range(int i) {
    return (ObjectNode) ranges().get(i);
  }

  /** The summary's reference to its member with this code. */
  ObjectNode memberReference(String code) {
    String target = memberEntry(code).path("fullUrl").asText();
    for (JsonNode reference : resource().path("hasMember")) {
      if (reference.path("reference").asText().equals(target)) {
        return (ObjectNode) reference;
      }
    }
    throw new IllegalStateException("the summary has no member " + code);
  }

  void dropMemberReference(String code) {
    JsonNode gone = memberReference(code);
    List<JsonNode> kept = new ArrayList<>();
    resource().path("hasMember").forEach(reference -> kept.add(reference));
    kept.removeIf(reference -> reference == gone);
    resource().putArray("hasMember").addAll(kept);
  }

  void dropMemberEntry(String code) {
    JsonNode gone = memberEntry(code);
    for (Iterator<JsonNode> all = entries().iterator(); all.hasNext(); ) {
      if (all.next() == gone) {
        all.remove();
      }
    }
  }

  static JsonNode replaced(JsonNode resource) {
    return resource.at("/extension/0/valueReference");
  }

  private JsonNode memberEntry(String code) {
    for (JsonNode entry : entries()) {
      if (Rules.code(entry.path("resource")).equals(code)) {
        return entry;
      }
    }
    throw new IllegalStateException("no Observation " + code);
  }
}
