//! The bundles, by the name of the file each becomes.

use cgm_submitter::fhir::Dialect;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) struct Bundle {
    name: String,
    json: Vec<u8>,
    known: Vec<Value>,
}

impl Bundle {
    /// The bundle of this number in a story. One that is sent without conditions (`ifNoneExist`)
    /// says so in its name: the validator demands what the name says.
    pub(crate) fn new(
        dialect: Dialect,
        story: &str,
        number: usize,
        conditional: bool,
        json: Vec<u8>,
    ) -> Self {
        let kind = if conditional { "" } else { ".unconditional" };
        let name = format!("{}/{story}-{number}{kind}.json", dialect.code());
        Self { name, json, known: Vec::new() }
    }

    /// The same, with what the receiver has already of what it refers to: the validator cannot look
    /// there.
    pub(crate) fn referring_to(self, known: Vec<Value>) -> Self {
        Self { known, ..self }
    }
}

#[derive(Default)]
pub(crate) struct Bundles {
    by_name: BTreeMap<String, Vec<u8>>,
    known: BTreeMap<String, Vec<Value>>,
}

impl Bundles {
    pub(crate) fn add_all(&mut self, bundles: Vec<Bundle>) {
        for bundle in bundles {
            if !bundle.known.is_empty() {
                self.known.insert(format!("{}.known", bundle.name), bundle.known);
            }
            let earlier = self.by_name.insert(bundle.name, bundle.json);
            assert!(earlier.is_none(), "a bundle's name is there twice");
        }
    }

    /// Those of a dialect, as text.
    pub(crate) fn of(&self, dialect: Dialect) -> Vec<&str> {
        let folder = format!("{}/", dialect.code());
        let of_dialect = self.by_name.iter().filter(|(name, _)| name.starts_with(&folder));
        of_dialect.map(|(_, json)| std::str::from_utf8(json).unwrap()).collect()
    }

    /// How many resources there are, and how many in the largest bundle.
    pub(crate) fn resources(&self) -> (usize, usize) {
        let entries = |json| {
            serde_json::from_slice::<Value>(json).unwrap()["entry"].as_array().unwrap().len()
        };
        let sizes: Vec<usize> = self.by_name.values().map(|json| entries(json)).collect();
        (sizes.iter().sum(), sizes.into_iter().max().unwrap_or_default())
    }

    /// The first name whose bundle is another one in `other`.
    pub(crate) fn different_in<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let names = self.by_name.keys().chain(other.by_name.keys());
        names.map(String::as_str).find(|name| self.by_name.get(*name) != other.by_name.get(*name))
    }

    pub(crate) fn save(&self, folder: &Path) {
        for (name, json) in &self.by_name {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, json).unwrap();
        }
        for (name, known) in &self.known {
            std::fs::write(folder.join(name), serde_json::to_vec(known).unwrap()).unwrap();
        }
    }
}
