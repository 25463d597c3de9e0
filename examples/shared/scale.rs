//! The option `--scale`: what a device shows.

use cgm_submitter::{GlucoseUnit, GlucoseValue, Scale};

/// Reads `40..400mg/dL` or `2.2..22.2mmol/L`.
pub(crate) fn scale(text: &str) -> Result<Scale, String> {
    let form = || "write it like 40..400mg/dL".to_owned();
    let (lowest, rest) = text.split_once("..").ok_or_else(form)?;
    let unit_at = rest.find(char::is_alphabetic).ok_or_else(form)?;
    let (highest, unit) = rest.split_at(unit_at);
    let unit: GlucoseUnit = unit.trim().parse().map_err(|_| form())?;
    let value = |text: &str| {
        GlucoseValue::parse(text.trim(), unit).map_err(|error| format!("{error}: {}", form()))
    };
    Scale::new(value(lowest)?, value(highest)?).map_err(|error| error.to_string())
}
