//! The phones and receivers that a Clarity file names. Each is a sensor: both forms of the export
//! name the source of a row, only one names the transmitter.

use super::super::{ImportError, ImportOptions, MAX_SENSORS};
use super::layout::GlucoseCell;
use crate::glucose::{Device, GlucoseUnit, Measurement, ReadingError, Scale, Sensor, SensorKey};
use std::collections::HashMap;

/// How the key of every sensor of a Clarity file begins.
const KEY: &str = "dexcom-clarity:";
/// What follows the model's name in a `Device` row.
const NAME_ENDS: [&str; 4] = [" Mobile App", " Mobile", " Receiver", " App"];

/// The sources of a file, by number.
#[derive(Default)]
pub(super) struct Sources {
    numbers: HashMap<String, usize>,
    ids: Vec<String>,
    /// Source id and model, as the `Device` rows say.
    names: Vec<(String, String)>,
}

impl Sources {
    /// The number of a source, counted from 0.
    pub(super) fn number(&mut self, id: &str) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        self.numbers.insert(id.to_owned(), self.ids.len());
        self.ids.push(id.to_owned());
        self.ids.len() - 1
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id of a source; empty if the file gives none.
    pub(super) fn id(&self, number: usize) -> &str {
        self.ids.get(number).map_or("", String::as_str)
    }

    /// Takes a `Device` row.
    pub(super) fn name(&mut self, id: Option<&str>, device: Option<&str>) {
        let Some(device) = device.filter(|device| !device.is_empty()) else { return };
        let model = NAME_ENDS.iter().find_map(|end| device.strip_suffix(end)).unwrap_or(device);
        if self.names.len() < MAX_SENSORS {
            self.names.push((id.unwrap_or_default().to_owned(), model.to_owned()));
        }
    }

    /// Makes every source that a stored sensor came from known too.
    pub(super) fn add_known<'a>(&mut self, keys: impl Iterator<Item = &'a SensorKey>) {
        for id in keys.filter_map(|key| key.as_str().strip_prefix(KEY)) {
            self.number(if id == "unnamed" { "" } else { id });
        }
    }

    /// The key of a source's sensor.
    pub(super) fn key(&self, number: usize) -> Result<SensorKey, ReadingError> {
        let id = self.id(number);
        Ok(SensorKey::new(format!("{KEY}{}", if id.is_empty() { "unnamed" } else { id }))?)
    }

    /// The sensor of a source: as stored, or as the file describes it; with the scale of its model
    /// if that is known, else the one the host gives, else the stored one.
    pub(super) fn sensor(
        &self,
        number: usize,
        unit: GlucoseUnit,
        options: &ImportOptions<'_>,
    ) -> Result<Sensor, ReadingError> {
        let id = self.id(number);
        let of_source = self.names.iter().find(|(source, _)| source == id);
        let model = of_source.or(self.names.first()).map_or("Dexcom", |(_, model)| model);
        let device = Device::new(model, None).or_else(|_| Device::new("Dexcom", None))?;
        let sensor = options.known_or(Sensor::new(self.key(number)?, device));
        // Another source's model says nothing about what this one shows.
        let shown = of_source.map_or(id, |(_, model)| model);
        let scale = Scale::of_model(shown, unit)
            .or_else(|| Scale::of_model(id, unit))
            .or_else(|| options.scale().map(|scale| scale.to_unit(unit)))
            .or_else(|| sensor.scale().map(|scale| scale.to_unit(unit)));
        Ok(match scale {
            Some(scale) => sensor.with_scale(scale),
            None => sensor,
        })
    }
}

/// What a glucose cell of a sensor measured.
pub(super) fn measurement(
    cell: GlucoseCell,
    row: usize,
    sensor: &Sensor,
) -> Result<Measurement, ImportError> {
    let scale = || sensor.scale().ok_or(ImportError::ScaleRequired { row });
    Ok(match cell {
        GlucoseCell::Value(value) => Measurement::Value(value),
        GlucoseCell::Low => Measurement::Below(scale()?.lowest()),
        GlucoseCell::High => Measurement::Above(scale()?.highest()),
    })
}
