package org.cgmsubmitter.conformance;

import static org.cgmsubmitter.conformance.Mistake.of;
import static org.cgmsubmitter.conformance.Part.DEVICE;
import static org.cgmsubmitter.conformance.Part.SERIAL;

import java.util.List;

/** Mistakes in devices. */
final class BrokenDevices {
  private BrokenDevices() {}

  static final List<Mistake> ALL =
      List.of(
          of("a device has no name", DEVICE, "Device.deviceName: minimum required = 1",
              good -> good.resource().remove("deviceName")),
          of("a device's name is empty", DEVICE, "[Type_Specific_Checks_DT_Primitive_NotEmpty]",
              good -> good.deviceName().put("name", "")),
          of("a device's name has no name", DEVICE, "Device.deviceName:cgmDeviceName.name: minimum required = 1",
              good -> good.deviceName().remove("name")),
          of("a device's name has no type", DEVICE, "Device.deviceName.type: minimum required = 1",
              good -> good.deviceName().remove("type")),
          of("a device has a model's name only", DEVICE, "Slice 'Device.deviceName:cgmDeviceName': a matching slice is required",
              good -> good.deviceName().put("type", "model-name")),
          of("a device has two friendly names", DEVICE, "Device.deviceName:cgmDeviceName: max allowed = 1",
              good -> good.resource().withArrayProperty("deviceName").add(good.deviceName().deepCopy().put("name", "Another"))),
          of("a device's name ends in a space", DEVICE, "[Type_Specific_Checks_DT_String_WS]",
              good -> good.deviceName().put("name", "Demo CGM ")),
          of("a device's serial number is a number", SERIAL, "the primitive value must be a string",
              good -> good.resource().put("serialNumber", 4711)),
          of("a device is nobody's", DEVICE, "patient is not Patient/<id>", good -> good.resource().remove("patient")),
          of("a device has no identifier", DEVICE, "Device.identifier: minimum required = 1",
              good -> good.resource().remove("identifier")),
          of("a device has a subject", DEVICE, "Unrecognized property 'subject'",
              good -> good.resource().set("subject", good.resource().get("patient").deepCopy())));
}
