package org.cgmsubmitter.conformance;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.CodeableConcept;
import org.hl7.fhir.r4.model.Coding;
import org.hl7.fhir.r4.model.ElementDefinition;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

/**
 * The HL7 CGM guide and the validator that knows it.
 *
 * <p>What we send names no profile, and a resource that names none is held against base FHIR only. So each resource is given, on a copy, the
 * profile that fits its type and code before the bundle is validated. The bundle is validated in one piece because a summary's members can be
 * looked up nowhere else.
 */
final class Guide {
  static final String CANONICAL = "http://hl7.org/fhir/uv/cgm/StructureDefinition/";

  private static final Pattern DEFINITION = Pattern.compile("(StructureDefinition|ValueSet|CodeSystem)-.*\\.json");
  private static final Pattern IN_ENTRY = Pattern.compile("^Bundle\\.entry\\[(\\d+)]");

  private final FhirValidator validator;
  /** Profile by {@code type|system|code}, and by plain {@code type} where the guide has one profile for the whole type. */
  private final Map<String, String> profiles = new TreeMap<>();

  Guide(Path directory) throws IOException {
    FhirContext context = FhirContext.forR4Cached();
    PrePopulatedValidationSupport definitions = new PrePopulatedValidationSupport(context);
    List<Path> files;
    try (Stream<Path> all = Files.list(directory)) {
      files = all.filter(file -> DEFINITION.matcher(file.getFileName().toString()).matches()).sorted().toList();
    }
    for (Path file : files) {
      IBaseResource resource = context.newJsonParser().parseResource(Files.readString(file));
      definitions.addResource(resource);
      if (resource instanceof StructureDefinition profile) {
        remember(profile);
      }
    }
    if (!profiles.containsKey("Bundle")) {
      throw new Refusal("no profile of a Bundle in " + directory + ": is this the HL7 CGM guide 1.0.0?");
    }

    FhirInstanceValidator instances =
        new FhirInstanceValidator(
            new ValidationSupportChain(
                definitions,
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context),
                new UnknownCodeSystemWarningValidationSupport(context)));
    instances.setAnyExtensionsAllowed(false);
    instances.setErrorForUnknownProfiles(true);
    instances.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
    validator = context.newValidator().registerValidatorModule(instances);
  }

  /** The profile the guide has for a resource of this type and code, if it has one. */
  Optional<String> profile(JsonNode resource) {
    String type = resource.path("resourceType").asText();
    if (profiles.containsKey(type)) {
      return Optional.of(profiles.get(type));
    }
    for (JsonNode coding : resource.at("/code/coding")) {
      String found = profiles.get(key(type, coding.path("system").asText(), coding.path("code").asText()));
      if (found != null) {
        return Optional.of(found);
      }
    }
    return Optional.empty();
  }

  /** What the validator says about the bundle and everything in it, with what the receiver has already of what it refers to. */
  List<Finding> validate(Dialect dialect, ObjectNode bundle, List<ObjectNode> known) {
    ObjectNode copy = bundle.deepCopy();
    known.forEach(resource -> bring(copy, resource));
    for (JsonNode entry : copy.path("entry")) {
      if (entry.path("resource") instanceof ObjectNode resource) {
        profile(resource).ifPresent(canonical -> claim(resource, canonical));
      }
    }
    ValidationOptions options = new ValidationOptions();
    dialect.bundleProfile().ifPresent(options::addProfile);
    List<Finding> findings = new ArrayList<>();
    for (SingleValidationMessage message : validator.validateWithResult(copy.toString(), options).getMessages()) {
      boolean error = message.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal();
      if (error || message.getSeverity() == ResultSeverityEnum.WARNING) {
        String where = String.valueOf(message.getLocationString());
        Matcher inEntry = IN_ENTRY.matcher(where);
        int entry = inEntry.find() ? Integer.parseInt(inEntry.group(1)) : Finding.WHOLE;
        if (entry >= bundle.path("entry").size()) {
          continue;
        }
        // What cannot even be read has no message id.
        String id = message.getMessageId() == null ? "parser" : message.getMessageId();
        findings.add(new Finding(entry, error, id, where, message.getMessage()));
      }
    }
    return findings;
  }

  private void remember(StructureDefinition profile) {
    if (!profile.getUrl().startsWith(CANONICAL)) {
      return;
    }
    String type = profile.getType();
    if (type.equals("Bundle") || type.equals("Device")) {
      profiles.put(type, profile.getUrl());
    }
    for (ElementDefinition element : profile.getDifferential().getElement()) {
      if (element.getPath().equals(type + ".code") && element.getPattern() instanceof CodeableConcept code) {
        for (Coding coding : code.getCoding()) {
          profiles.put(key(type, coding.getSystem(), coding.getCode()), profile.getUrl());
        }
      }
    }
  }

  private static String key(String type, String system, String code) {
    return type + "|" + system + "|" + code;
  }

  /** Puts a resource of the receiver into the bundle, and refers to it there: the validator looks nowhere else. */
  private static void bring(ObjectNode bundle, ObjectNode resource) {
    String type = resource.path("resourceType").asText();
    String at = type + "/" + resource.path("id").asText();
    String url = "urn:uuid:" + UUID.nameUUIDFromBytes(at.getBytes(StandardCharsets.UTF_8));
    for (JsonNode reference : bundle.findParents("reference")) {
      if (reference.path("reference").asText().equals(at)) {
        ((ObjectNode) reference).put("reference", url);
      }
    }
    ObjectNode entry = bundle.withArrayProperty("entry").addObject().put("fullUrl", url);
    entry.set("resource", resource.deepCopy());
    entry.putObject("request").put("method", "POST").put("url", type);
  }

  private static void claim(ObjectNode resource, String canonical) {
    ObjectNode meta = resource.withObjectProperty("meta");
    ArrayNode claimed = meta.withArrayProperty("profile");
    for (JsonNode already : claimed) {
      if (already.asText().equals(canonical)) {
        return;
      }
    }
    claimed.add(canonical);
  }
}
