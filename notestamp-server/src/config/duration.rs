//! Durations as people write them: `3s`, `15m`, `1h 30m`, `30d`.

use std::time::Duration;

use super::InvalidSetting;

/// Parses any duration, `0s` included.
pub(super) fn parse(text: &str) -> Result<Duration, InvalidSetting> {
    humantime::parse_duration(text).map_err(|_| {
        InvalidSetting::new(format!(
            "`{text}` is not a duration: write a number with a unit, like 3s, 15m, 12h or 30d"
        ))
    })
}

/// Parses a duration that is not zero.
pub(super) fn parse_nonzero(text: &str) -> Result<Duration, InvalidSetting> {
    match parse(text)? {
        Duration::ZERO => Err(InvalidSetting::new("must be longer than zero")),
        duration => Ok(duration),
    }
}

/// Parses a duration of whole seconds, at least one: this server writes the times of a JWT (RFC 7519, section 2) in
/// whole seconds.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, InvalidSetting> {
    match parse_nonzero(text)? {
        duration if duration.subsec_nanos() == 0 => Ok(duration),
        _ => Err(InvalidSetting::new(format!("`{text}` is not a whole number of seconds"))),
    }
}
