//! How a time that cannot be read is written, so that a file of such times gets one sentence.

use std::fmt;

/// A way to write times that is not taken, because it is ambiguous or has lost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimesLike {
    /// With AM and PM.
    TwelveHours,
    /// As a spreadsheet program rewrites them: `5/1/2024 8:15`.
    Spreadsheet,
    /// As a spreadsheet program's number of days: `45413.34375`.
    DayNumber,
    /// Without UTC offset, in a format that needs it.
    NoOffset,
}

impl TimesLike {
    /// How a time is written; `None` if it is none of these.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let digit = |c: char| c.is_ascii_digit();
        let meridiem = ["am", "pm", "a.m.", "p.m."].iter().any(|end| lower.ends_with(end));
        if meridiem && text.starts_with(digit) {
            return Some(Self::TwelveHours);
        }
        if text.len() >= 5 && text.chars().all(|c| digit(c) || c == '.' || c == ',') {
            let parts: Vec<_> = text.split(['.', ',']).collect();
            let days = parts.len() <= 2 && parts.first().is_some_and(|days| days.len() == 5);
            return days.then_some(Self::DayNumber);
        }
        let date = text.split([' ', 'T']).next().unwrap_or_default();
        let parts: Vec<_> = date.split(['/', '.', '-']).collect();
        let numbers = parts.iter().all(|part| !part.is_empty() && part.chars().all(digit));
        let iso = parts.first().is_some_and(|year| year.len() == 4) && !date.contains(['/', '.']);
        let clock = text.matches(':').count();
        let spreadsheet = parts.len() == 3 && numbers && (!iso || clock == 1);
        spreadsheet.then_some(Self::Spreadsheet)
    }
}

impl fmt::Display for TimesLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwelveHours => {
                "the times are written with AM and PM: export the file again with times like \
                 2024-05-01T08:15:00"
            }
            Self::Spreadsheet => {
                "the times are written as a spreadsheet program rewrites them, like 5/1/2024 8:15: \
                 export the file again and import it without opening it in such a program"
            }
            Self::DayNumber => {
                "the times are a spreadsheet program's day numbers, like 45413.34375: export the \
                 file again and import it without opening it in such a program"
            }
            Self::NoOffset => {
                "the times have no UTC offset: write them like 2024-05-01T08:15:00+02:00"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rewritten_by_other_programs_are_told_apart() {
        for (text, like) in [
            ("5/1/2024 8:15:00 AM", Some(TimesLike::TwelveHours)),
            ("2024-05-01 08:15 pm", Some(TimesLike::TwelveHours)),
            ("5/1/2024 8:15", Some(TimesLike::Spreadsheet)),
            ("01.05.2024 08:15:00", Some(TimesLike::Spreadsheet)),
            ("01-05-2024 08:15", Some(TimesLike::Spreadsheet)),
            ("2024-05-01 8:15", Some(TimesLike::Spreadsheet)),
            ("45413.34375", Some(TimesLike::DayNumber)),
            ("45413,34375", Some(TimesLike::DayNumber)),
            ("2024-05-01T25:00:00", None),
            ("1714544400", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(TimesLike::of(text), like, "{text}");
        }
    }
}
