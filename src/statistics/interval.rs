//! How often a sensor measures, learned from the gaps between its readings; each reading's weight
//! and coverage follow from it.
//!
//! Monitors measure every 1, 3, 5, 10 or 15 minutes. A reading counts for the interval on which the
//! three gaps after it agree; if they do not agree, for that of its sensor's reading before it;
//! before the first such reading, for that reading's. So one or two lost readings in a row change
//! nothing, and a source that changes its pace changes the weight at the very reading.

/// Consecutive equal gaps after which they count as the sensor's interval.
const AGREEING_GAPS: u8 = 3;

/// A longer gap, in seconds, speaks for no interval.
const LONGEST_TELLING_GAP: i64 = 1050;

/// A sensor's nominal sample interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interval {
    One,
    Three,
    Five,
    Ten,
    Fifteen,
}

impl Interval {
    /// From the shortest.
    pub(super) const ALL: [Self; 5] =
        [Self::One, Self::Three, Self::Five, Self::Ten, Self::Fifteen];

    pub(super) const fn minutes(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Five => 5,
            Self::Ten => 10,
            Self::Fifteen => 15,
        }
    }

    pub(super) const fn seconds(self) -> i64 {
        self.minutes() as i64 * 60
    }

    /// The interval a gap speaks for, with room for jitter and for one lost reading of a one-minute
    /// sensor; `None` between two. A lost reading may speak for another interval, ten minutes for
    /// two of five: three in a row are rare.
    const fn of_gap(seconds: i64) -> Option<Self> {
        match seconds {
            1..=150 => Some(Self::One),
            151..=230 => Some(Self::Three),
            231..=450 => Some(Self::Five),
            540..=700 => Some(Self::Ten),
            750..=LONGEST_TELLING_GAP => Some(Self::Fifteen),
            _ => None,
        }
    }
}

/// What a new reading tells about the readings of its sensor that wait for their interval. The new
/// one itself always waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// All have this interval.
    All(Interval),
    /// All have this interval but the last, from which another one may start.
    AllButLast(Interval),
}

/// One sensor's pace so far.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    last: i64,
    learned: Option<Interval>,
    /// Gaps in a row that agree with each other, not with what was learned.
    streak: Option<(Interval, u8)>,
    votes: [u32; 5],
}

impl Pace {
    pub(super) const fn starting_at(seconds: i64) -> Self {
        Self { last: seconds, learned: None, streak: None, votes: [0; 5] }
    }

    /// Unix second of the sensor's last reading.
    pub(super) const fn last(&self) -> i64 {
        self.last
    }

    /// Takes the sensor's next reading, later than its last.
    #[inline]
    pub(super) fn next(&mut self, seconds: i64) -> Verdict {
        let gap = Interval::of_gap(seconds.saturating_sub(self.last));
        self.last = seconds;
        let Some(learned) = self.learned else { return self.learn_first(gap) };
        match (gap, self.streak) {
            (Some(other), Some((same, gaps))) if other != learned && other == same => {
                if gaps + 1 < AGREEING_GAPS {
                    self.streak = Some((other, gaps + 1));
                    return Verdict::Wait;
                }
                self.learned = gap;
                self.streak = None;
                Verdict::All(other)
            }
            (Some(other), _) if other != learned => {
                self.streak = Some((other, 1));
                Verdict::AllButLast(learned)
            }
            _ => {
                self.streak = None;
                Verdict::All(learned)
            }
        }
    }

    #[cold]
    fn learn_first(&mut self, gap: Option<Interval>) -> Verdict {
        let Some(interval) = gap else {
            self.streak = None;
            return Verdict::Wait;
        };
        for (votes, _) in self.votes.iter_mut().zip(Interval::ALL).filter(|(_, i)| *i == interval) {
            *votes = votes.saturating_add(1);
        }
        let gaps =
            self.streak.filter(|(same, _)| *same == interval).map_or(1, |(_, gaps)| gaps + 1);
        if gaps < AGREEING_GAPS {
            self.streak = Some((interval, gaps));
            return Verdict::Wait;
        }
        self.learned = gap;
        self.streak = None;
        Verdict::All(interval)
    }

    /// The interval of waiting readings where none of the sensor's next, at `now` or later, can
    /// change it.
    pub(super) fn certain_at(&self, now: i64) -> Option<Interval> {
        self.learned.filter(|_| now.saturating_sub(self.last) > LONGEST_TELLING_GAP)
    }

    /// The interval of readings that nothing more will tell about: the learned one, else what most
    /// gaps spoke for (the shorter of two: loss only lengthens gaps), else five minutes.
    pub(super) fn settled(&self) -> Interval {
        if let Some(learned) = self.learned {
            return learned;
        }
        let most = self.votes.iter().copied().max().unwrap_or(0);
        let voted =
            self.votes.iter().zip(Interval::ALL).find(|(votes, _)| most > 0 && **votes == most);
        voted.map_or(Interval::Five, |(_, interval)| interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Interval::{Fifteen, Five, One, Ten, Three};

    /// The interval of every reading of a sensor, by the gaps between them in seconds.
    fn intervals(gaps: &[i64]) -> Vec<Interval> {
        let mut pace = Pace::starting_at(0);
        let (mut told, mut waiting, mut now) = (Vec::new(), 1, 0);
        for gap in gaps {
            now += gap;
            let (interval, count) = match pace.next(now) {
                Verdict::Wait => (Five, 0),
                Verdict::All(interval) => (interval, waiting),
                Verdict::AllButLast(interval) => (interval, waiting - 1),
            };
            told.extend(std::iter::repeat_n(interval, count));
            waiting = waiting - count + 1;
        }
        told.extend(std::iter::repeat_n(pace.settled(), waiting));
        told
    }

    #[test]
    fn readings_before_the_first_agreement_take_its_interval() {
        assert_eq!(intervals(&[9000, 600, 301, 299, 300]), [Five; 6]);
        assert_eq!(intervals(&[7200, 900, 902, 899]), [Fifteen; 5]);
        assert_eq!(intervals(&[60, 300, 60, 61, 59]), [One; 6]);
    }

    #[test]
    fn three_and_ten_minutes_are_learned_as_any_other() {
        assert_eq!(intervals(&[180, 178, 183, 180, 360, 180]), [Three; 7]);
        assert_eq!(intervals(&[600, 604, 596, 1200, 600]), [Ten; 6]);
        assert_eq!(intervals(&[300, 300, 300, 600, 600, 300, 300]), [Five; 8]);
    }

    #[test]
    fn lost_readings_do_not_change_the_interval() {
        assert_eq!(intervals(&[300, 300, 300, 900, 900, 300, 600, 900, 7200, 300]), [Five; 11]);
        assert_eq!(intervals(&[60, 60, 60, 120, 180, 300, 300, 60, 600]), [One; 10]);
    }

    #[test]
    fn three_gaps_of_another_interval_change_it_from_the_reading_before_them() {
        assert_eq!(
            intervals(&[900, 900, 900, 300, 300, 300, 60, 60, 60]),
            [Fifteen, Fifteen, Fifteen, Five, Five, Five, One, One, One, One]
        );
        assert_eq!(
            intervals(&[60, 60, 60, 300, 300, 900, 900, 900]),
            [One, One, One, One, One, Fifteen, Fifteen, Fifteen, Fifteen]
        );
    }

    #[test]
    fn without_agreement_most_gaps_decide_then_five_minutes() {
        assert_eq!(intervals(&[]), [Five]);
        assert_eq!(intervals(&[500, 740, 1800]), [Five; 4]);
        assert_eq!(intervals(&[600, 600, 1800]), [Ten; 4]);
        assert_eq!(intervals(&[900]), [Fifteen; 2]);
        assert_eq!(intervals(&[900, 300]), [Five; 3]);
        assert_eq!(intervals(&[900, 300, 900]), [Fifteen; 4]);
    }
}
