//! Vendor files and open formats to readings.
