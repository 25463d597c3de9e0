package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
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
  private static final String TIMES_IN_RANGES = "106793-3";
  private static final Pattern PATIENT = Pattern.compile("Patient/[A-Za-z0-9.-]{1,64}");
  private static final Pattern DATE = Pattern.compile("\\d{4}-\\d{2}-\\d{2}");
  /** Five percentages, each rounded to two decimals, miss 100 by at most 0.025. */
  private static final BigDecimal ROUNDING = new BigDecimal("0.03");

  private final Guide guide;
  private final List<Finding> findings = new ArrayList<>();
  private final Map<String, JsonNode> byFullUrl = new HashMap<>();

  private Rules(Guide guide) {
    this.guide = guide;
  }

  static List<Finding> check(Guide guide, JsonNode bundle) {
    Rules rules = new Rules(guide);
    rules.bundle(bundle);
    return rules.findings;
  }

  private void bundle(JsonNode bundle) {
    JsonNode entries = bundle.path("entry");
    for (int i = 0; i < entries.size(); i++) {
      String fullUrl = entries.get(i).path("fullUrl").asText();
      if (fullUrl.isEmpty()) {
        fault(i, "full-url", "the entry has no fullUrl");
      } else if (byFullUrl.put(fullUrl, entries.get(i).path("resource")) != null) {
        fault(i, "full-url", "another entry has the same fullUrl");
      }
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
    if (code(observation).equals(TIMES_IN_RANGES)) {
      BigDecimal sum = BigDecimal.ZERO;
      for (JsonNode component : observation.path("component")) {
        sum = sum.add(component.at("/valueQuantity/value").decimalValue());
      }
      if (sum.subtract(BigDecimal.valueOf(100)).abs().compareTo(ROUNDING) > 0) {
        fault(i, "ranges", "the five times in ranges add up to " + sum + " %");
      }
    }
    for (JsonNode member : observation.path("hasMember")) {
      JsonNode target = byFullUrl.get(member.path("reference").asText());
      if (target != null && !target.path("effectivePeriod").equals(observation.path("effectivePeriod"))) {
        fault(i, "member-period", "a member covers other dates than the summary");
      }
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
    findings.add(new Finding(entry, true, "rule:" + rule, "Bundle.entry[" + entry + "]", text));
  }

  static String type(JsonNode resource) {
    return resource.path("resourceType").asText();
  }

  /** The first code of a resource; empty where it has none. */
  static String code(JsonNode resource) {
    return resource.at("/code/coding/0/code").asText();
  }
}
