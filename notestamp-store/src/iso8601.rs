//! Parses ISO 8601 dates and times.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, NaiveTime, Weekday};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The milliseconds since 1970-01-01T00:00:00Z at which a date, or a date and time, begins; `None` if the text is
/// invalid. Without an offset it is UTC.
///
/// - A date is a calendar date (`2024-03-01`, `2024-03`, `2024`), a week date (`2024-W09-5`, `2024-W09`) or an ordinal
///   date (`2024-061`). A year has four digits, or a sign and six digits.
/// - A time may follow only a complete date. It has hours, perhaps minutes, perhaps seconds; the last of these may have
///   a fraction.
/// - Date and time either both have separators (`2024-03-01T12:00`) or both have none (`20240301T1200`).
pub(crate) fn millis(text: &str) -> Option<i64> {
    // RFC 3339 also allows a space or a lower-case `t` and `z`, as many programs print it.
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (Date::parse(date)?, Some(time)),
        None => (Date::parse(text)?, None),
    };
    let midnight = date.first_day.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
    let Some(time) = time else { return Some(midnight) };
    if !date.is_whole {
        return None;
    }
    let (clock, offset) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    Some(midnight + since_midnight(clock, date.is_separated)? - ahead_of_utc(offset)?)
}

/// A parsed date: a day, or the first day of a week, a month or a year.
struct Date {
    first_day: NaiveDate,
    is_whole: bool,
    is_separated: bool,
}

impl Date {
    fn parse(text: &str) -> Option<Self> {
        let year_digits = if text.starts_with(['+', '-']) { 7 } else { 4 };
        let (year, rest) = text.split_at_checked(year_digits)?;
        let year: i32 = year.parse().ok()?;
        let number = |digits| number(rest, digits);
        let of_month = |month, day| NaiveDate::from_ymd_opt(year, month, day);
        let of_year = |day| NaiveDate::from_yo_opt(year, day);
        let of_week = |week, day| {
            let day = u8::try_from(day).ok()?.checked_sub(1)?;
            NaiveDate::from_isoywd_opt(year, week, Weekday::try_from(day).ok()?)
        };
        let (first_day, is_whole) = match shape(rest).as_str() {
            "" => (of_month(1, 1), false),
            "-00" => (of_month(number(1..3)?, 1), false),
            "-00-00" => (of_month(number(1..3)?, number(4..6)?), true),
            "0000" => (of_month(number(0..2)?, number(2..4)?), true),
            "-000" => (of_year(number(1..4)?), true),
            "000" => (of_year(number(0..3)?), true),
            "-W00" => (of_week(number(2..4)?, 1), false),
            "W00" => (of_week(number(1..3)?, 1), false),
            "-W00-0" => (of_week(number(2..4)?, number(5..6)?), true),
            "W000" => (of_week(number(1..3)?, number(3..4)?), true),
            _ => return None,
        };
        Some(Self { first_day: first_day?, is_whole, is_separated: rest.starts_with('-') })
    }
}

/// The milliseconds from midnight to a time such as `12:00:05,5`; `24:00` is the end of the day; `None` if the text
/// is invalid.
fn since_midnight(text: &str, is_separated: bool) -> Option<i64> {
    let (whole, fraction) = match text.split_once([',', '.']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let number = |digits| number(whole, digits);
    let (hour, minute, second, least) = match (shape(whole).as_str(), is_separated) {
        ("00", _) => (number(0..2)?, 0, 0, HOUR),
        ("00:00", true) => (number(0..2)?, number(3..5)?, 0, MINUTE),
        ("0000", false) => (number(0..2)?, number(2..4)?, 0, MINUTE),
        ("00:00:00", true) => (number(0..2)?, number(3..5)?, number(6..8)?, SECOND),
        ("000000", false) => (number(0..2)?, number(2..4)?, number(4..6)?, SECOND),
        _ => return None,
    };
    let part = fraction.map_or(Some(0), |digits| part_of(least, digits))?;
    let millis = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second) * SECOND + part;
    // A second 60 is a leap second.
    let is_time = hour <= 23 && minute <= 59 && second <= 60;
    (is_time || millis == 24 * HOUR && minute == 0 && second == 0).then_some(millis)
}

/// The part of `whole` that the digits of a decimal fraction name, rounded down; `None` if they are invalid.
fn part_of(whole: i64, digits: &str) -> Option<i64> {
    /// More digits do not change the result in milliseconds.
    const DIGITS_MAX: usize = 10;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = &digits[..digits.len().min(DIGITS_MAX)];
    let scale = digits.bytes().fold(1, |scale, _| scale * 10);
    Some(digits.parse::<i64>().ok()? * whole / scale)
}

/// The milliseconds by which an offset such as `+01:00` is ahead of UTC; `None` if the text is invalid.
fn ahead_of_utc(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = match shape(text).as_str() {
        "" | "Z" => (0, 0),
        "+00" | "-00" => (number(text, 1..3)?, 0),
        "+0000" | "-0000" => (number(text, 1..3)?, number(text, 3..5)?),
        "+00:00" | "-00:00" => (number(text, 1..3)?, number(text, 4..6)?),
        _ => return None,
    };
    let is_offset = hours <= 23 && minutes <= 59;
    is_offset.then_some(sign * (i64::from(hours) * HOUR + i64::from(minutes) * MINUTE))
}

/// The text with a `0` for each digit.
fn shape(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// The number in this range of `text`.
fn number(text: &str, digits: Range<usize>) -> Option<u32> {
    text.get(digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;
    /// 2024-03-01.
    const MARCH_1: i64 = 1_709_251_200_000;
    const NOON: i64 = MARCH_1 + 12 * HOUR;

    #[test]
    fn a_date_of_any_kind_and_precision_is_its_first_midnight() {
        for text in [
            "2024-03-01",
            "20240301",
            "2024-03",
            "2024-061",
            "2024061",
            "2024-W09-5",
            "2024W095",
            "+002024-03",
        ] {
            assert_eq!(millis(text), Some(MARCH_1), "{text}");
        }
        for (text, expected) in [
            ("2024", MARCH_1 - 60 * DAY),
            ("2024-W01", MARCH_1 - 60 * DAY),
            ("2024W01", MARCH_1 - 60 * DAY),
            ("2021-W01-1", 1_609_718_400_000),
            ("2020-W53-7", 1_609_632_000_000),
            ("1969-12-31", -DAY),
            ("0001-01-01", -62_135_596_800_000),
            ("-000001-01-01", -62_198_755_200_000),
            ("+010000-01-01", 253_402_300_800_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_time_of_any_precision_is_read() {
        for (text, expected) in [
            ("2024-03-01T12:00:00.000Z", NOON),
            ("2024-03-01T12:00:00", NOON),
            ("2024-03-01T12:00", NOON),
            ("2024-03-01T12Z", NOON),
            ("2024-03-01T12", NOON),
            ("2024-061T12:00Z", NOON),
            ("2024-W09-5T12:00Z", NOON),
            ("20240301T120000Z", NOON),
            ("20240301T1200Z", NOON),
            ("20240301T12Z", NOON),
            ("2024061T12Z", NOON),
            ("2024-03-01 12:00:00z", NOON),
            ("2024-03-01T12:00:05,5Z", NOON + 5_500),
            ("2024-03-01T12:00:05.123456789012345678901234567890Z", NOON + 5_123),
            ("2024-03-01T12:00:00.0009Z", NOON),
            ("2024-03-01T12:30,5Z", NOON + 30 * MINUTE + 30 * SECOND),
            ("2024-03-01T12.75", NOON + 45 * MINUTE),
            ("2024-03-01T24:00:00Z", MARCH_1 + DAY),
            ("2024-02-29T24:00Z", MARCH_1),
            ("20240229T24", MARCH_1),
            ("2024-02-29T24:00:00.000Z", MARCH_1),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_offset_is_subtracted() {
        for text in [
            "2024-03-01T13:00:00+01:00",
            "2024-03-01T13:00+01",
            "2024-03-01T13:00+0100",
            "20240301T1300+0100",
            "2024-03-01T06:30-05:30",
            "2024-03-02T02+14",
            "2024-03-01T12:00-00:00",
        ] {
            assert_eq!(millis(text), Some(NOON), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_iso_8601_is_invalid() {
        for text in [
            "",
            "T",
            "Z",
            "yesterday",
            "1.3.2024",
            "24",
            "202403",
            "2024-1-2",
            "2024-3",
            "2024-03-1",
            "2024-13-01",
            "2024-00-01",
            "2024-02-30",
            "2023-366",
            "2024-000",
            "2024-W54",
            "2024-W00-1",
            "2024-W09-0",
            "2024-W09-8",
            "2024-03-01Z",
            "2024-03-01T",
            "2024-03-01TZ",
            "2024-03-01T3",
            "2024-03-01T3:04:05Z",
            "2024-03-01T03:4:05Z",
            "2024-03-01T03:04:5Z",
            "2024-03-01T03:04:05.Z",
            "2024-03-01T03:04:05.5.5Z",
            "2024-03-01T03:04:05.5eZ",
            "2024-03-01T03:04:05.+5Z",
            "2024-03-01T25:00Z",
            "2024-03-01T24:01Z",
            "2024-03-01T24:00:00.001Z",
            "2024-03-01T23:60Z",
            "2024-03-01T23:59:61Z",
            "2024-03-01T23:60:60Z",
            "2024-03-01T12:00ZZ",
            "2024-03-01T12:00+1",
            "2024-03-01T12:00+24:00",
            "2024-03-01T12:00+01:60",
            "2024-03-01T120000Z",
            "20240301T12:00:00Z",
            "2024-03T12:00Z",
            "2024T12",
            "2024-W09T12",
            "2024-03-01T12:00:00 Z",
            " 2024-03-01",
            "2024-03-01T12:00:00Z\n",
            "-2024-03-01",
            "+2024-03-01",
            "20é4-03-01",
            "２０２４-03-01",
            "2024-03-01T١٢:00",
            "1709294400000",
        ] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }
}
