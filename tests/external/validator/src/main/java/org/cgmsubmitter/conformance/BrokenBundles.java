package org.cgmsubmitter.conformance;

import static org.cgmsubmitter.conformance.Mistake.of;
import static org.cgmsubmitter.conformance.Part.BUNDLE;
import static org.cgmsubmitter.conformance.Part.UNCONDITIONAL;

import java.util.List;

/** Mistakes in a bundle and in how its entries are to be created. */
final class BrokenBundles {
  private BrokenBundles() {}

  static final List<Mistake> ALL =
      List.of(
          of("the bundle has no timestamp", BUNDLE, "Bundle.timestamp: minimum required = 1",
              good -> good.bundle.remove("timestamp")).in(Dialect.HL7_CGM),
          of("the bundle's timestamp is a date", BUNDLE, "Bundle.timestamp: The instant ''2024-05-02'",
              good -> good.bundle.put("timestamp", "2024-05-02")),
          of("the bundle is a batch", BUNDLE, "Value is 'batch' but is fixed to 'transaction'",
              good -> good.bundle.put("type", "batch")).in(Dialect.HL7_CGM),
          of("the bundle is a batch", BUNDLE, "[rule:type]",
              good -> good.bundle.put("type", "batch")).in(Dialect.PLAIN),
          of("the bundle's type is none", BUNDLE, "value set 'BundleType'",
              good -> good.bundle.put("type", "submission")),
          of("the bundle is empty", BUNDLE, "Bundle.entry: minimum required = 1",
              good -> good.bundle.remove("entry")).in(Dialect.HL7_CGM),
          of("the bundle is empty", BUNDLE, "[rule:empty]", good -> good.bundle.remove("entry")).in(Dialect.PLAIN),
          of("an entry is PUT", BUNDLE, "request.method is PUT", good -> good.request().put("method", "PUT")),
          of("an entry has no request", BUNDLE, "Constraint failed: bdl-3", good -> good.entry().remove("request")),
          of("an entry has no ifNoneExist", BUNDLE, "the entry has no ifNoneExist",
              good -> good.request().remove("ifNoneExist")),
          of("an entry has an ifNoneExist where it is not known", UNCONDITIONAL, "[rule:condition]",
              good -> good.request().put("ifNoneExist", "identifier=" + good.identifier().path("value").asText())),
          of("an ifNoneExist names no system", BUNDLE, "ifNoneExist names no identifier of the resource",
              good -> good.request().put("ifNoneExist", "identifier=" + good.identifier().path("value").asText())),
          of("an ifNoneExist is another entry's", BUNDLE, "ifNoneExist names no identifier of the resource",
              good -> good.request().put("ifNoneExist", "identifier=urn:ietf:rfc:3986|" + Good.NOWHERE)),
          of("an identifier is not the one in ifNoneExist", BUNDLE, "ifNoneExist names no identifier of the resource",
              good -> good.identifier().put("value", Good.NOWHERE)),
          of("an entry has no identifier", BUNDLE, "Device.identifier: minimum required = 1",
              good -> good.resource().remove("identifier")),
          of("an entry has no resource", BUNDLE, "the entry has no resource", good -> good.entry().remove("resource")),
          of("an entry has no fullUrl", BUNDLE, "[Bundle_BUNDLE_Entry_NoFullUrl]",
              good -> good.entry().remove("fullUrl")),
          of("a fullUrl is relative", BUNDLE, "[BUNDLE_ENTRY_URL_ABSOLUTE]",
              good -> good.entry().put("fullUrl", "Observation/1")),
          of("an entry is posted to another type", BUNDLE, "[rule:url]", good -> good.request().put("url", "Patient")),
          of("an entry is there twice", BUNDLE, "Constraint failed: bdl-7",
              good -> good.entries().add(good.entry().deepCopy())),
          of("two facts share an ifNoneExist", BUNDLE, "[rule:twin]",
              good -> good.entries().add(good.entry().deepCopy().put("fullUrl", Good.NOWHERE))),
          of("an entry is of a type nobody asked for", BUNDLE, "the guide has no Basic",
              good -> good.resource().put("resourceType", "Basic").withObject("/code").put("text", "x")));
}
