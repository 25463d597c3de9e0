package org.cgmsubmitter.conformance;

import static org.cgmsubmitter.conformance.Mistake.of;
import static org.cgmsubmitter.conformance.Part.NEW_SUMMARY;
import static org.cgmsubmitter.conformance.Part.NOTED_SUMMARY;
import static org.cgmsubmitter.conformance.Part.SUMMARY;

import com.fasterxml.jackson.databind.node.DecimalNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.List;
import java.util.stream.Stream;

/** Mistakes in summaries, in their members, and in the times in ranges. */
final class BrokenSummaries {
  private BrokenSummaries() {}

  private static final List<Mistake> SUMMARIES =
      List.of(
          of("a summary lacks a member", SUMMARY, "Slice 'Observation.hasMember:gmi': a matching slice is required",
              good -> good.dropMemberReference(Figures.GMI)),
          of("a summary has no members", SUMMARY, "Observation.hasMember: minimum required = 6, but only found 0",
              good -> good.resource().remove("hasMember")),
          of("a summary has a member twice", SUMMARY, "Observation.hasMember:gmi: max allowed = 1",
              good -> good.resource().withArrayProperty("hasMember").add(good.memberReference(Figures.GMI).deepCopy())),
          of("a summary has one member in another's place", SUMMARY, "Slice 'Observation.hasMember:cv': a matching slice is required",
              good -> good.memberReference(Figures.CV).setAll(good.memberReference(Figures.GMI).deepCopy())),
          of("a summary's member resolves nowhere", SUMMARY, "[rule:reference]",
              good -> good.memberReference(Figures.GMI).put("reference", Good.NOWHERE)),
          of("a summary's member is not in the bundle", SUMMARY, "[rule:reference]",
              good -> good.dropMemberEntry(Figures.GMI)),
          of("a summary has no subject", SUMMARY, "Observation.subject: minimum required = 1",
              good -> good.resource().remove("subject")),
          of("a summary has no category", SUMMARY, "[rule:category]", good -> good.resource().remove("category")),
          of("a summary is another patient's", SUMMARY, "[rule:one-person]",
              good -> good.resource().withObject("/subject").put("reference", "Patient/another")),
          of("a summary's period has no end", SUMMARY, "effectivePeriod.end: minimum required = 1",
              good -> period(good.resource()).remove("end")),
          of("a summary's period has no start", SUMMARY, "effectivePeriod.start: minimum required = 1",
              good -> period(good.resource()).remove("start")),
          of("a summary's period has times", SUMMARY, "effectivePeriod.start is not a date",
              good -> period(good.resource()).put("start", "2024-05-02T00:00:00Z")),
          of("a summary's period ends before it starts", SUMMARY, "Constraint failed: per-1",
              good -> period(good.resource()).put("end", "1999-12-31")),
          of("a summary is of an instant", SUMMARY, "Slice 'Observation.effective[x]:effectivePeriod': a matching slice is required",
              BrokenSummaries::instant),
          of("a summary's note is text alone", NOTED_SUMMARY, "The property note must be a JSON Array",
              good -> good.resource().put("note", "few data")),
          of("a summary's note says nothing", NOTED_SUMMARY, "Annotation.text: minimum required = 1",
              good -> ((ObjectNode) good.resource().at("/note/0")).remove("text")),
          of("a summary replaces a report", NEW_SUMMARY, "neither by identifier nor as Observation/<id>",
              good -> good.replaces().withObject("/valueReference").put("reference", "DiagnosticReport/7")),
          of("a summary replaces by an address", NEW_SUMMARY, "observation-replaces' definition allows for the types [Reference",
              good -> good.replaces().put("valueUri", good.replaces().remove("valueReference").path("reference").asText())));

  private static final List<Mistake> MEMBERS =
      List.of(
          of("a member covers other dates", SUMMARY, "[rule:member-period]",
              good -> period(good.member(Figures.GMI)).put("start", "1999-12-31")),
          of("a member has no period", SUMMARY, "Slice 'Observation.effective[x]:effectivePeriod': a matching slice is required",
              good -> good.member(Figures.CV).remove("effectivePeriod")),
          of("a member has no value", SUMMARY, "Observation.value[x]: minimum required = 1",
              good -> good.member(Figures.GMI).remove("valueQuantity")),
          of("a mean has no value", SUMMARY, "neither a value nor a reason", good -> good.member(good.meanCode()).remove("valueQuantity")),
          of("a member has no category", SUMMARY, "[rule:category]",
              good -> good.member(Figures.GMI).remove("category")),
          of("a member is another patient's", SUMMARY, "[rule:one-person]",
              good -> good.member(Figures.CV).withObject("/subject").put("reference", "Patient/another")),
          of("a mean is in no unit", SUMMARY, "Value is '1' but is fixed to 'm", good -> good.mean().put("code", "1")),
          of("a mean is in the other unit", SUMMARY, "/L' but is fixed to 'm", good -> otherUnit(good.mean())),
          of("a mean has too many digits", SUMMARY, "[rule:digits]",
              good -> good.mean().put("value", new BigDecimal("120.123"))),
          of("GMI and CV are exchanged", SUMMARY, "[rule:gmi]", BrokenSummaries::exchange),
          of("GMI does not follow from the mean", SUMMARY, "[rule:gmi]", good -> add(good.value(Figures.GMI), "0.10")),
          of("GMI is without its zeros", SUMMARY, "[rule:digits]",
              good -> good.value(Figures.GMI).put("value", new BigDecimal("7"))),
          of("CV is in another unit", SUMMARY, "Value is '1' but is fixed to '%'",
              good -> good.value(Figures.CV).put("unit", "1").put("code", "1")),
          of("days of wear are hours", SUMMARY, "Value is 'h' but is fixed to 'd'",
              good -> good.value(Figures.DAYS_OF_WEAR).put("unit", "hours").put("code", "h")),
          of("days of wear are more than days", SUMMARY, "[rule:days]",
              good -> good.value(Figures.DAYS_OF_WEAR).put("value", 999)),
          of("days of wear are not whole", SUMMARY, "[rule:digits]",
              good -> good.value(Figures.DAYS_OF_WEAR).put("value", new BigDecimal("0.5"))),
          of("a sensor was active for more than all the time", SUMMARY, "[rule:percent]",
              good -> good.value(Figures.SENSOR_ACTIVE).put("value", new BigDecimal("100.01"))),
          of("the sensor's active time is coded as something unknown", SUMMARY, "the guide has no Observation with code 104638-0",
              good -> ((ObjectNode) good.member(Figures.SENSOR_ACTIVE).at("/code/coding/0")).put("code", "104638-0")));

  private static final List<Mistake> RANGES =
      List.of(
          of("the fifth range is missing", SUMMARY, "Observation.component: minimum required = 5",
              good -> good.ranges().remove(4)),
          of("a range is there twice", SUMMARY, "Slice 'Observation.component:timeInLow': a matching slice is required",
              good -> good.ranges().set(1, good.ranges().get(0).deepCopy())),
          of("there is a sixth range", SUMMARY, "Observation.component:timeInVeryLow: max allowed = 1",
              good -> good.ranges().add(good.ranges().get(0).deepCopy())),
          of("a range has an unknown code", SUMMARY, "Slice 'Observation.component:timeInHigh': a matching slice is required",
              good -> ((ObjectNode) good.range(3).at("/code/coding/0")).put("code", "104640-0")),
          of("a range has no value", SUMMARY, "timeInTarget.value[x]: minimum required = 1",
              good -> good.range(2).remove("valueQuantity")),
          of("a range is in minutes", SUMMARY, "Value is 'min' but is fixed to '%'",
              good -> rangeValue(good, 2).put("unit", "min").put("code", "min")),
          of("the ranges do not add up", SUMMARY, "[rule:ranges]", good -> add(rangeValue(good, 2), "1.00")),
          of("a range has one decimal", SUMMARY, "[rule:digits]",
              good -> rangeValue(good, 2).put("value", rangeValue(good, 2).get("value").decimalValue().setScale(1, java.math.RoundingMode.DOWN))),
          of("a range is negative", SUMMARY, "[rule:percent]", BrokenSummaries::negative));

  static final List<Mistake> ALL = Stream.of(SUMMARIES, MEMBERS, RANGES).flatMap(List::stream).toList();

  private static ObjectNode period(ObjectNode observation) {
    return (ObjectNode) observation.get("effectivePeriod");
  }

  private static ObjectNode rangeValue(Good good, int i) {
    return (ObjectNode) good.range(i).get("valueQuantity");
  }

  private static void add(ObjectNode quantity, String more) {
    quantity.set("value", DecimalNode.valueOf(quantity.get("value").decimalValue().add(new BigDecimal(more))));
  }

  private static void otherUnit(ObjectNode quantity) {
    boolean mass = quantity.path("code").asText().equals("mg/dL");
    quantity.put("unit", mass ? "mmol/l" : "mg/dl").put("code", mass ? "mmol/L" : "mg/dL");
  }

  /** Each of the two figures under the other's code: all that is there is valid. */
  private static void exchange(Good good) {
    ObjectNode gmi = good.value(Figures.GMI);
    ObjectNode cv = good.value(Figures.CV);
    DecimalNode value = DecimalNode.valueOf(gmi.get("value").decimalValue());
    gmi.set("value", cv.get("value"));
    cv.set("value", value);
  }

  /** Two ranges move apart, so that the sum stays. */
  private static void negative(Good good) {
    add(rangeValue(good, 0), "-101.00");
    add(rangeValue(good, 4), "101.00");
  }

  private static void instant(Good good) {
    good.resource().remove("effectivePeriod");
    good.resource().put("effectiveDateTime", "2024-05-02T10:15:00Z");
  }
}
