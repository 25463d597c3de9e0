//! Time zones as people write them.

use chrono_tz::{TZ_VARIANTS, Tz};

/// The zone of this name, or what the person may have meant.
///
/// # Errors
/// A sentence with the likeliest names.
pub(crate) fn zone(name: &str) -> Result<Tz, String> {
    if let Some(zone) = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)) {
        return Ok(*zone);
    }
    let wanted = name.to_lowercase();
    // `Bucharest` is as good as `Europe/Bucharest`.
    let distance = |zone: &Tz| {
        let full = zone.name().to_lowercase();
        let city = full.rsplit('/').next().unwrap_or_default();
        edits(&wanted, &full).min(edits(&wanted, city))
    };
    let mut near: Vec<(usize, &str)> =
        TZ_VARIANTS.iter().map(|zone| (distance(zone), zone.name())).collect();
    near.sort_unstable();
    let meant: Vec<&str> = near
        .iter()
        .take(3)
        .take_while(|(edits, _)| *edits * 2 < wanted.len().max(2))
        .map(|(_, name)| *name)
        .collect();
    if meant.is_empty() {
        return Err("no such time zone: give a name such as Europe/Bucharest".to_owned());
    }
    Err(format!("no such time zone: did you mean {}?", meant.join(" or ")))
}

/// How many letters must be added, removed or changed to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
