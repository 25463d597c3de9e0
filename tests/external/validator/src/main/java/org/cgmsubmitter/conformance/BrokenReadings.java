package org.cgmsubmitter.conformance;

import static org.cgmsubmitter.conformance.Mistake.of;
import static org.cgmsubmitter.conformance.Part.ABSENT;
import static org.cgmsubmitter.conformance.Part.CLIPPED;
import static org.cgmsubmitter.conformance.Part.CORRECTED;
import static org.cgmsubmitter.conformance.Part.MASS;
import static org.cgmsubmitter.conformance.Part.MOLAR;
import static org.cgmsubmitter.conformance.Part.READING;
import static org.cgmsubmitter.conformance.Part.WITH_DEVICE_ENTRY;
import static org.cgmsubmitter.conformance.Part.WITH_DEVICE_LOCATION;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.stream.Stream;

/** Mistakes in sensor readings: one with a value, clipped, absent, corrected, of either unit. */
final class BrokenReadings {
  private static final String ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

  private BrokenReadings() {}

  private static final List<Mistake> VALUES =
      List.of(
          of("a reading's unit code is not UCUM's", MASS, "Value is 'mg/dl' but is fixed to 'mg/dL'",
              good -> good.value().put("code", "mg/dl")),
          of("a reading's unit is not the guide's", READING, "Value is 'glucose' but is fixed to 'm",
              good -> good.value().put("unit", "glucose")),
          of("a reading's unit has no system", READING, "Missing element 'system'",
              good -> good.value().remove("system")),
          of("a reading in mg/dL is in mmol/L", MASS, "Value is 'mmol/L' but is fixed to 'mg/dL'",
              good -> good.value().put("unit", "mmol/l").put("code", "mmol/L")),
          of("a reading in mmol/L is in mg/dL", MOLAR, "Value is 'mg/dL' but is fixed to 'mmol/L'",
              good -> good.value().put("unit", "mg/dl").put("code", "mg/dL")),
          of("a molar reading is coded as mass", MOLAR, "Value is 'mmol/L' but is fixed to 'mg/dL'",
              good -> good.coding().put("code", Good.MASS)),
          of("a mass reading is coded as molar", MASS, "Value is 'mg/dL' but is fixed to 'mmol/L'",
              good -> good.coding().put("code", Good.MOLAR)),
          of("a reading's value is text", READING, "the primitive value must be a number",
              good -> good.value().put("value", "120")),
          of("a reading's quantity has no value", READING, "the quantity has no number",
              good -> good.value().remove("value")),
          of("a reading is of no possible value", READING, "no meter measures that",
              good -> good.value().put("value", 1001)),
          of("a reading is negative", READING, "no meter measures that", good -> good.value().put("value", -5)),
          of("a reading has neither value nor reason", READING, "Constraint failed: cgm-sensor-value-or-dar",
              good -> good.resource().remove("valueQuantity")),
          of("a reading has both value and reason", READING, "Constraint failed: obs-6",
              good -> reason(good, ABSENT_REASON, "unknown")),
          of("a clipped reading's comparator is not FHIR's", CLIPPED, "value set 'QuantityComparator'",
              good -> good.value().put("comparator", "below")),
          of("a clipped reading has no interpretation", CLIPPED, "the interpretation does not say what the comparator says",
              good -> good.resource().withArrayProperty("interpretation").removeAll()),
          of("a clipped reading has no limit", CLIPPED, "the quantity has no number",
              good -> good.value().remove("value")),
          of("an absent reading has no reason", ABSENT, "Constraint failed: cgm-sensor-value-or-dar",
              good -> good.resource().remove("dataAbsentReason")),
          of("an absent reading's reason is unheard of", ABSENT, "data-absent-reason#lost-in-the-post",
              good -> reason(good, ABSENT_REASON, "lost-in-the-post")),
          of("an absent reading's reason is of another system", ABSENT, "value set 'DataAbsentReason'",
              good -> reason(good, "http://loinc.org", "99504-3")));

  private static final List<Mistake> TIMES =
      List.of(
          of("a reading has no time", READING, "Observation.effective[x]: minimum required = 1",
              good -> good.resource().remove("effectiveDateTime")),
          of("a reading's time has no zone", READING, "[Type_Specific_Checks_DT_DateTime_TZ]",
              good -> time(good, "2024-05-02T10:15:00")),
          of("a reading's time has no seconds", READING, "[Type_Specific_Checks_DT_DateTime_Valid]",
              good -> time(good, "2024-05-02T10:15Z")),
          of("a reading's offset is wider than FHIR's", READING, "[Type_Specific_Checks_DT_DateTime_Valid]",
              good -> time(good, "2024-05-02T10:15:00+14:30")),
          of("a reading's day does not exist", READING, "[Type_Specific_Checks_DT_DateTime_Valid]",
              good -> time(good, "2023-02-29T10:15:00Z")),
          of("a reading's hour does not exist", READING, "[Type_Specific_Checks_DT_DateTime_Valid]",
              good -> time(good, "2024-05-02T24:15:00Z")),
          of("a reading is of the year 0", READING, "[Type_Specific_Checks_DT_DateTime_Valid]",
              good -> time(good, "0000-05-02T10:15:00Z")),
          of("a reading covers a period", READING, "Slice 'Observation.effective[x]:effectiveDateTime': a matching slice is required",
              BrokenReadings::period));

  private static final List<Mistake> OTHERS =
      List.of(
          of("a reading has a meter's LOINC code", READING, "the guide has no Observation with code 2339-0",
              good -> good.coding().put("code", "2339-0")),
          of("a reading is coded as a mean", MASS, "Slice 'Observation.effective[x]:effectivePeriod': a matching slice is required",
              good -> good.coding().put("code", Figures.MEAN_MASS)),
          of("a reading has no code", READING, "Observation.code: minimum required = 1",
              good -> good.resource().remove("code")),
          of("a LOINC code has a display", READING, "[rule:display]", good -> good.coding().put("display", "Glucose")),
          of("a reading has no status", READING, "Observation.status: minimum required = 1",
              good -> good.resource().remove("status")),
          of("a reading's status is not FHIR's", READING, "value set 'ObservationStatus'",
              good -> good.resource().put("status", "done")),
          of("a reading has no category", READING, "[rule:category]", good -> good.resource().remove("category")),
          of("a reading is a vital sign", READING, "[rule:category]",
              good -> ((ObjectNode) good.resource().at("/category/0/coding/0")).put("code", "vital-signs")),
          of("a reading has no subject", READING, "Observation.subject: minimum required = 1",
              good -> good.resource().remove("subject")),
          of("a reading is another patient's", WITH_DEVICE_ENTRY, "[rule:one-person]",
              good -> refer(good, "subject", "Patient/another")),
          of("a reading is a group's", READING, "subject is not Patient/<id>",
              good -> refer(good, "subject", "Group/7")),
          of("a reading has an unknown extension", READING, "[Extension_EXT_Unknown_NotHere]", BrokenReadings::mood),
          of("a reading has an unknown element", READING, "Unrecognized property 'glucoseLevel'",
              good -> good.resource().put("glucoseLevel", 120)),
          of("a reading's device resolves nowhere", WITH_DEVICE_ENTRY, "[rule:reference]",
              good -> refer(good, "device", Good.NOWHERE)),
          of("a reading's device is a patient", WITH_DEVICE_LOCATION, "[rule:device]",
              good -> refer(good, "device", "Patient/7")));

  private static final List<Mistake> CORRECTIONS =
      List.of(
          of("what a reading replaces is text", CORRECTED, "observation-replaces' definition allows for the types [Reference",
              good -> good.replaces().put("valueString", good.replaces().remove("valueReference").toString())),
          of("what a reading replaces is not said", CORRECTED, "Constraint failed: ext-1",
              good -> good.replaces().remove("valueReference")),
          of("what a reading replaces is under another name", CORRECTED, "observation-replace could not be found",
              good -> good.replaces().put("url", "http://hl7.org/fhir/StructureDefinition/observation-replace")),
          of("what a reading replaces has half an identifier", CORRECTED, "half an identifier",
              good -> good.replaces().withObject("/valueReference/identifier").remove("value")),
          of("a reading replaces itself", CORRECTED, "replaces itself",
              good -> good.replaces().withObject("/valueReference").set("identifier", good.identifier().deepCopy())),
          of("a reading replaces a device", CORRECTED, "neither by identifier nor as Observation/<id>",
              good -> good.replaces().putObject("valueReference").put("reference", "Device/7")),
          of("a correction is final", CORRECTED, "a reading is corrected where it replaces an earlier one",
              good -> good.resource().put("status", "final")),
          of("a corrected reading replaces nothing", CORRECTED, "a reading is corrected where it replaces an earlier one",
              good -> good.resource().remove("extension")));

  static final List<Mistake> ALL = Stream.of(VALUES, TIMES, OTHERS, CORRECTIONS).flatMap(List::stream).toList();

  private static void reason(Good good, String system, String code) {
    good.resource().putObject("dataAbsentReason").putArray("coding").addObject().put("system", system).put("code", code);
  }

  private static void time(Good good, String text) {
    good.resource().put("effectiveDateTime", text);
  }

  private static void period(Good good) {
    good.resource().remove("effectiveDateTime");
    good.resource().withObject("/effectivePeriod").put("start", "2024-05-01").put("end", "2024-05-02");
  }

  private static void refer(Good good, String element, String target) {
    good.resource().withObject("/" + element).put("reference", target);
  }

  private static void mood(Good good) {
    good.resource().withArrayProperty("extension").addObject().put("url", "https://example.org/mood").put("valueString", "fine");
  }
}
