//! Sorting for lists that nobody waits for.
//!
//! The standard sort is compiled once more for each type and each key, five kilobytes a time on a
//! phone; this one is compiled once. Where a file's or a store's rows are sorted, the standard one
//! is the right one: it is the faster.

use std::cmp::Ordering;

/// Sorts; equal ones stay in their order.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    let swaps = swaps(items.len(), &|a, b| items.get(a).cmp(&items.get(b)));
    for (a, b) in swaps {
        items.swap(a, b);
    }
}

/// Sorts by a key; equal ones stay in their order.
pub(crate) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let key_at = |at: usize| items.get(at).map(&key);
    let swaps = swaps(items.len(), &|a, b| key_at(a).cmp(&key_at(b)));
    for (a, b) in swaps {
        items.swap(a, b);
    }
}

/// The swaps, one after the other, that bring so many items into order.
fn swaps(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<(usize, usize)> {
    let mut sorted: Vec<usize> = (0..count).collect();
    sorted.sort_by(|a, b| compare(*a, *b));
    // Where what is at a place now belongs.
    let mut belongs = vec![0; count];
    for (place, item) in sorted.into_iter().enumerate() {
        if let Some(belongs) = belongs.get_mut(item) {
            *belongs = place;
        }
    }
    let mut swaps = Vec::new();
    for place in 0..count {
        while let Some(at) = belongs.get(place).copied().filter(|at| *at != place) {
            belongs.swap(place, at);
            swaps.push((place, at));
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_sort_does(keys in prop::collection::vec(0..20_u8, 0..60)) {
            let mut items: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort_by_key(&mut items, |(key, _)| *key);
            prop_assert_eq!(items, expected);
        }
    }
}
