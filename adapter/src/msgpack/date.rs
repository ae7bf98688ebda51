//! Moments as JavaScript writes them in JSON.

/// The furthest moment that a JavaScript date can be, either side of 1970.
const FURTHEST_MS: i64 = 8_640_000_000_000_000;
const MS_PER_DAY: i64 = 86_400_000;

/// The text of a moment, in milliseconds since 1970: `2023-11-14T22:13:20.123Z`. `None` beyond what a date can be.
pub(super) fn iso(ms: i64) -> Option<String> {
    if !(-FURTHEST_MS..=FURTHEST_MS).contains(&ms) {
        return None;
    }
    let (year, month, day) = civil(ms.div_euclid(MS_PER_DAY));
    let of_day = ms.rem_euclid(MS_PER_DAY);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        year => format!("{year:+07}"),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000))
}

/// Year, month and day of a day counted from 1970. The calendar repeats every 400 years, or 146,097 days; years are taken
/// to begin in March, so that the odd day is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_moments_as_javascript_does() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (FURTHEST_MS, "+275760-09-13T00:00:00.000Z"),
            (-FURTHEST_MS, "-271821-04-20T00:00:00.000Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(iso(ms).as_deref(), Some(text));
        }
        assert_eq!((iso(FURTHEST_MS + 1), iso(i64::MIN), iso(i64::MAX)), (None, None, None));
    }
}
