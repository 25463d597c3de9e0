package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * What figures can be, by what their codes mean. The validator has no content of LOINC: a figure under another figure's code passes there where
 * the units are alike, so what a code means is held here.
 */
final class Figures {
  static final String TIMES_IN_RANGES = "106793-3";
  static final String GMI = "97506-0";
  static final String CV = "104638-2";
  static final String MEAN_MASS = "97507-8";
  static final String MEAN_MOLAR = "105273-7";
  static final String DAYS_OF_WEAR = "104636-6";
  static final String SENSOR_ACTIVE = "104637-4";

  private static final BigDecimal HUNDRED = BigDecimal.valueOf(100);
  /** Five percentages, each rounded to two decimals, miss 100 by at most 0.025. */
  private static final BigDecimal ROUNDING = new BigDecimal("0.03");
  /** mg/dL in one mmol/L. */
  private static final double MOLAR = 18.015_59;
  /** A mean is rounded to 0.1 mg/dL or 0.01 mmol/L, the indicator to 0.01 %. */
  private static final double GMI_ROUNDING = 0.011;

  private static final Map<String, Integer> DIGITS = Map.of(MEAN_MASS, 1, MEAN_MOLAR, 2, GMI, 2, CV, 2, SENSOR_ACTIVE, 2, DAYS_OF_WEAR, 0);
  /** A sensor reading, by its code, in its own unit: what any meter can measure. */
  private static final Map<String, List<BigDecimal>> MEASURABLE =
      Map.of(
          "99504-3", List.of(BigDecimal.TEN, BigDecimal.valueOf(1000)),
          "105272-9", List.of(new BigDecimal("0.5"), new BigDecimal("55.6")));

  private Figures() {}

  /** Says what is wrong with one Observation's figures, each as `rule|text`. */
  static void check(JsonNode observation, Consumer<String> fault) {
    String code = Rules.code(observation);
    JsonNode value = observation.at("/valueQuantity/value");
    if (observation.has("valueQuantity") && !value.isNumber()) {
      fault.accept("value|the quantity has no number");
      return;
    }
    if (MEASURABLE.containsKey(code) && value.isNumber()) {
      List<BigDecimal> range = MEASURABLE.get(code);
      if (value.decimalValue().compareTo(range.get(0)) < 0 || value.decimalValue().compareTo(range.get(1)) > 0) {
        fault.accept("value|no meter measures that");
      }
    }
    if (DIGITS.containsKey(code) && value.isNumber() && value.decimalValue().scale() != DIGITS.get(code)) {
      fault.accept("digits|a figure has not the decimals it is sent with, " + DIGITS.get(code));
    }
    switch (code) {
      case TIMES_IN_RANGES -> ranges(observation, fault);
      case SENSOR_ACTIVE -> percent(value, fault);
      case DAYS_OF_WEAR -> days(observation, value, fault);
      default -> {}
    }
  }

  /** That the indicator is the one of the mean of the same dates (Bergenstal 2018), for all figures of a bundle. */
  static void checkGmi(List<JsonNode> observations, Consumer<JsonNode> fault) {
    Map<JsonNode, Double> means = new HashMap<>();
    for (JsonNode observation : observations) {
      double mean = observation.at("/valueQuantity/value").asDouble();
      switch (Rules.code(observation)) {
        case MEAN_MASS -> means.put(observation.path("effectivePeriod"), mean);
        case MEAN_MOLAR -> means.put(observation.path("effectivePeriod"), mean * MOLAR);
        default -> {}
      }
    }
    for (JsonNode observation : observations) {
      Double mean = means.get(observation.path("effectivePeriod"));
      if (Rules.code(observation).equals(GMI) && mean != null) {
        double expected = 3.31 + 0.02392 * mean;
        if (Math.abs(observation.at("/valueQuantity/value").asDouble() - expected) > GMI_ROUNDING) {
          fault.accept(observation);
        }
      }
    }
  }

  private static void ranges(JsonNode observation, Consumer<String> fault) {
    BigDecimal sum = BigDecimal.ZERO;
    for (JsonNode component : observation.path("component")) {
      JsonNode value = component.at("/valueQuantity/value");
      percent(value, fault);
      if (value.isNumber()) {
        sum = sum.add(value.decimalValue());
        if (value.decimalValue().scale() != 2) {
          fault.accept("digits|a time in range has not two decimals");
        }
      }
    }
    if (sum.subtract(HUNDRED).abs().compareTo(ROUNDING) > 0) {
      fault.accept("ranges|the five times in ranges add up to " + sum + " %");
    }
  }

  private static void percent(JsonNode value, Consumer<String> fault) {
    if (value.isNumber() && (value.decimalValue().signum() < 0 || value.decimalValue().compareTo(HUNDRED) > 0)) {
      fault.accept("percent|a share of the time is not within 0 to 100 %");
    }
  }

  private static void days(JsonNode observation, JsonNode value, Consumer<String> fault) {
    try {
      LocalDate first = LocalDate.parse(observation.at("/effectivePeriod/start").asText());
      LocalDate last = LocalDate.parse(observation.at("/effectivePeriod/end").asText());
      if (value.asDouble() < 0 || value.asDouble() > ChronoUnit.DAYS.between(first, last) + 1) {
        fault.accept("days|more days of wear than days");
      }
    } catch (java.time.DateTimeException notDates) {
      // Another rule's matter.
    }
  }
}
