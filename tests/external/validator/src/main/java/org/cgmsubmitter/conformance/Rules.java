package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * What the guide, or this library, promises about a bundle and the validator does not look at: how entries are to be created, that everything is
 * about one person, that references stay inside the bundle, and that the codes mean what the guide says.
 */
final class Rules {
  private static final String LOINC = "http://loinc.org";
  private static final String OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category";
  private static final String DIAGNOSTIC_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074";
  private static final Pattern PATIENT = Pattern.compile("Patient/[A-Za-z0-9.-]{1,64}");
  private static final Pattern DATE = Pattern.compile("\\d{4}-\\d{2}-\\d{2}");
  private static final Pattern DEVICE = Pattern.compile("Device/[A-Za-z0-9.-]{1,64}");
  private static final Pattern OBSERVATION = Pattern.compile("Observation/[A-Za-z0-9.-]{1,64}");
  private static final String REPLACES = "http://hl7.org/fhir/StructureDefinition/observation-replaces";

  private final Guide guide;
  private final List<Finding> findings = new ArrayList<>();
  private final Map<String, JsonNode> byFullUrl = new HashMap<>();

  private final boolean conditional;

  private Rules(Guide guide, boolean conditional) {
    this.guide = guide;
    this.conditional = conditional;
  }

  /** What is wrong, where entries are to be created on the condition that they are not there, or without it. */
  static List<Finding> check(Guide guide, JsonNode bundle, boolean conditional) {
    Rules rules = new Rules(guide, conditional);
    rules.bundle(bundle);
    return rules.findings;
  }

  private void bundle(JsonNode bundle) {
    if (!bundle.path("type").asText().equals("transaction")) {
      fault(Finding.WHOLE, "type", "the bundle is not a transaction");
    }
    JsonNode entries = bundle.path("entry");
    if (entries.isEmpty()) {
      fault(Finding.WHOLE, "empty", "the bundle has no entry");
    }
    for (int i = 0; i < entries.size(); i++) {
      String fullUrl = entries.get(i).path("fullUrl").asText();
      byFullUrl.put(fullUrl, entries.get(i).path("resource"));
    }

    Map<String, Integer> creations = new HashMap<>();
    String person = null;
    for (int i = 0; i < entries.size(); i++) {
      JsonNode resource = entries.get(i).path("resource");
      if (!resource.isObject()) {
        fault(i, "resource", "the entry has no resource");
        continue;
      }
      String condition = request(i, entries.get(i).path("request"), resource);
      Integer twin = condition.isEmpty() ? null : creations.putIfAbsent(condition, i);
      if (twin != null) {
        fault(i, "twin", "entry " + twin + " has the same ifNoneExist; servers answer such twins with one entry");
      }
      String subject = subject(i, resource);
      if (person == null) {
        person = subject;
      } else if (subject != null && !subject.equals(person)) {
        fault(i, "one-person", "is about another patient than the entries before it");
      }
      if (guide.profile(resource).isEmpty()) {
        fault(i, "code", "the guide has no " + type(resource) + " with code " + code(resource));
      }
      content(i, resource);
      references(i, resource);
    }
    List<JsonNode> resources = new ArrayList<>();
    entries.forEach(entry -> resources.add(entry.path("resource")));
    Figures.checkGmi(
        resources, gmi -> fault(resources.indexOf(gmi), "gmi", "the glucose management indicator does not follow from the mean"));
  }

  /** Only creations, each conditional on the very identifier the resource carries. Returns the condition. */
  private String request(int i, JsonNode request, JsonNode resource) {
    if (!request.path("method").asText().equals("POST")) {
      fault(i, "post", "request.method is " + request.path("method").asText("absent") + "; the guide takes only POST");
    }
    if (!request.path("url").asText().equals(type(resource))) {
      fault(i, "url", "request.url is not the resource's type, " + type(resource));
    }
    String condition = request.path("ifNoneExist").asText();
    if (!conditional) {
      if (!condition.isEmpty()) {
        fault(i, "condition", "the entry has an ifNoneExist, which this receiver does not know");
      }
      return "";
    }
    if (condition.isEmpty()) {
      fault(i, "if-none-exist", "the entry has no ifNoneExist: sent twice, it would be stored twice");
      return condition;
    }
    String decoded = URLDecoder.decode(condition.replace("+", "%2B"), StandardCharsets.UTF_8);
    for (JsonNode identifier : resource.path("identifier")) {
      if (decoded.equals("identifier=" + identifier.path("system").asText() + "|" + identifier.path("value").asText())) {
        return decoded;
      }
    }
    fault(i, "if-none-exist", "ifNoneExist names no identifier of the resource");
    return decoded;
  }

  private String subject(int i, JsonNode resource) {
    String element = type(resource).equals("Device") ? "patient" : "subject";
    String subject = resource.path(element).path("reference").asText();
    if (!PATIENT.matcher(subject).matches()) {
      fault(i, "subject", element + " is not Patient/<id>");
      return null;
    }
    return subject;
  }

  private void content(int i, JsonNode resource) {
    codings(i, resource);
    for (String end : List.of("start", "end")) {
      JsonNode day = resource.path("effectivePeriod").path(end);
      if (!day.isMissingNode() && !DATE.matcher(day.asText()).matches()) {
        fault(i, "period", "effectivePeriod." + end + " is not a date");
      }
    }
    switch (type(resource)) {
      case "Observation" -> observation(i, resource);
      case "DiagnosticReport" -> pdf(i, resource);
      default -> {}
    }
  }

  private void observation(int i, JsonNode observation) {
    category(i, observation, OBSERVATION_CATEGORY, "laboratory");
    boolean carrier = observation.has("component") || observation.has("hasMember");
    boolean valued = observation.has("valueQuantity");
    if (!carrier && !valued && !observation.has("dataAbsentReason")) {
      fault(i, "value", "neither a value nor a reason why there is none");
    }
    Figures.check(
        observation,
        fault -> {
          String[] parts = fault.split("\\|", 2);
          fault(i, parts[0], parts[1]);
        });
    String comparator = observation.at("/valueQuantity/comparator").asText();
    if (!comparator.equals(observation.at("/interpretation/0/coding/0/code").asText())) {
      fault(i, "interpretation", "the interpretation does not say what the comparator says");
    }
    replaces(i, observation);
    String device = observation.at("/device/reference").asText();
    if (observation.has("device") && !device.startsWith("urn:") && !DEVICE.matcher(device).matches()) {
      fault(i, "device", "device is neither an entry nor Device/<id>");
    }
    for (JsonNode member : observation.path("hasMember")) {
      JsonNode target = byFullUrl.get(member.path("reference").asText());
      if (target != null && !target.path("effectivePeriod").equals(observation.path("effectivePeriod"))) {
        fault(i, "member-period", "a member covers other dates than the summary");
      }
    }
  }

  /** What takes the place of an earlier one names it; a reading that does is corrected, and no other is. */
  private void replaces(int i, JsonNode observation) {
    JsonNode replaced = null;
    for (JsonNode extension : observation.path("extension")) {
      if (extension.path("url").asText().equals(REPLACES)) {
        if (replaced != null) {
          fault(i, "replaces", "more than one earlier Observation is replaced");
        }
        replaced = extension.path("valueReference");
      }
    }
    boolean corrected = observation.path("status").asText().equals("corrected");
    if (observation.has("effectiveDateTime") && corrected != (replaced != null)) {
      fault(i, "replaces", "a reading is corrected where it replaces an earlier one, and only there");
    }
    if (replaced == null) {
      return;
    }
    JsonNode identifier = replaced.path("identifier");
    if (identifier.isObject()) {
      if (identifier.path("system").asText().isEmpty() || identifier.path("value").asText().isEmpty()) {
        fault(i, "replaces", "what is replaced is named by half an identifier");
      } else if (identifier.path("value").equals(observation.at("/identifier/0/value"))) {
        fault(i, "replaces", "an Observation replaces itself");
      }
    } else if (!OBSERVATION.matcher(replaced.path("reference").asText()).matches()) {
      fault(i, "replaces", "what is replaced is named neither by identifier nor as Observation/<id>");
    }
  }

  private void pdf(int i, JsonNode diagnosticReport) {
    category(i, diagnosticReport, DIAGNOSTIC_SECTION, "LAB");
    for (JsonNode form : diagnosticReport.path("presentedForm")) {
      try {
        byte[] data = Base64.getMimeDecoder().decode(form.path("data").asText());
        if (!new String(data, StandardCharsets.ISO_8859_1).startsWith("%PDF-")) {
          fault(i, "pdf", "presentedForm.data is not a PDF");
        }
      } catch (IllegalArgumentException notBase64) {
        fault(i, "pdf", "presentedForm.data is not base64");
      }
    }
  }

  private void category(int i, JsonNode resource, String system, String code) {
    for (JsonNode concept : resource.path("category")) {
      for (JsonNode coding : concept.path("coding")) {
        if (coding.path("system").asText().equals(system) && coding.path("code").asText().equals(code)) {
          return;
        }
      }
    }
    fault(i, "category", "no category " + code + "; the guide's scopes are limited by it");
  }

  /** LOINC's content is not at hand, so a wrong display would go unnoticed: there must be none. */
  private void codings(int i, JsonNode node) {
    if (node.path("system").asText().equals(LOINC) && node.has("display")) {
      fault(i, "display", "a LOINC coding carries a display");
    }
    node.forEach(child -> codings(i, child));
  }

  private void references(int i, JsonNode node) {
    String reference = node.path("reference").asText();
    if (reference.startsWith("urn:") && !byFullUrl.containsKey(reference)) {
      fault(i, "reference", "a reference points at " + reference + ", which is not in the bundle");
    }
    node.forEach(child -> references(i, child));
  }

  private void fault(int entry, String rule, String text) {
    String where = entry == Finding.WHOLE ? "Bundle" : "Bundle.entry[" + entry + "]";
    findings.add(new Finding(entry, true, "rule:" + rule, where, text));
  }

  static String type(JsonNode resource) {
    return resource.path("resourceType").asText();
  }

  /** The first code of a resource; empty where it has none. */
  static String code(JsonNode resource) {
    return resource.at("/code/coding/0/code").asText();
  }
}
