package org.cgmsubmitter.conformance;

import java.util.Arrays;
import java.util.Optional;

/** How a receiver is spoken to, and what a bundle for it is held against. The resources in it are HL7 CGM's in all of them. */
enum Dialect {
  HL7_CGM("hl7-cgm", "HL7 CGM 1.0.0", Guide.CANONICAL + "cgm-data-submission-bundle"),
  PLAIN("plain", "FHIR R4, with HL7 CGM 1.0.0 for its resources", null);

  private final String code;
  private final String against;
  private final String bundleProfile;

  Dialect(String code, String against, String bundleProfile) {
    this.code = code;
    this.against = against;
    this.bundleProfile = bundleProfile;
  }

  String code() {
    return code;
  }

  /** What a bundle is held against, for people. */
  String against() {
    return against;
  }

  /** The profile of the bundle; none where base R4 is all that holds. */
  Optional<String> bundleProfile() {
    return Optional.ofNullable(bundleProfile);
  }

  static Optional<Dialect> of(String code) {
    return Arrays.stream(values()).filter(dialect -> dialect.code.equals(code)).findFirst();
  }
}
