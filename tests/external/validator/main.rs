//! Writes bundles of everything the crate can write, for the validator beside this file: each
//! resource, in both units and in every dialect, over what inputs can be. Dates and chance are
//! fixed, so every machine writes the same bytes.
//!
//! `CGM_BUNDLES_DIR` names the folder they stay in, one of the dialect's name for each dialect.
//! Here it is held that nothing is lacking and that it is not more than the validator is given to
//! do.
#![cfg(all(feature = "shell", feature = "http-transport"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod bundles;
mod chance;
mod plain;
mod sent;
mod shapes;
mod stories;
#[path = "../../it/support/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod support;
mod written;

use bundles::Bundles;
use cgm_submitter::fhir::Dialect;
use std::path::Path;
use support::{tape, world, zone};
use tokio::task::JoinSet;

/// A resource takes the validator some hundredths of a second, and a bundle more than its
/// resources.
const MOST_RESOURCES: usize = 1_200;
const MOST_OF_A_BUNDLE: usize = 150;

async fn everything() -> Bundles {
    let mut sending = JoinSet::new();
    for dialect in Dialect::ALL {
        for story in stories::all() {
            sending.spawn(sent::send(dialect, story));
        }
    }
    let mut bundles = Bundles::default();
    while let Some(sent) = sending.join_next().await {
        bundles.add_all(sent.unwrap());
    }
    for dialect in Dialect::ALL {
        bundles.add_all(written::write(dialect));
    }
    bundles
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundles_hold_every_resource_in_every_shape_and_are_the_same_every_time() {
    let bundles = everything().await;
    if let Some(folder) = std::env::var_os("CGM_BUNDLES_DIR") {
        bundles.save(Path::new(&folder));
    }
    for dialect in Dialect::ALL {
        let lacking = shapes::lacking(&bundles.of(dialect));
        assert!(lacking.is_empty(), "no bundle in {} has {lacking:?}", dialect.code());
    }
    let (all, largest) = bundles.resources();
    assert!(
        all <= MOST_RESOURCES && largest <= MOST_OF_A_BUNDLE,
        "{all} resources, up to {largest} in a bundle"
    );
    assert_eq!(bundles.different_in(&everything().await), None);
}
