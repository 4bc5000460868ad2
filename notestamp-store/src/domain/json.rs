//! Validates JSON (RFC 8259) as it arrives, in constant memory.

use std::fmt;

/// The deepest nesting that a scanner can count.
const DEPTH_LIMIT: usize = 1_024;

/// Checks that bytes are one JSON text that nests at most `depth_max` levels deep.
///
/// # Errors
/// If they are not.
pub(super) fn check(bytes: &[u8], depth_max: usize) -> Result<(), JsonError> {
    let mut scanner = JsonScanner::new(depth_max);
    scanner.update(bytes)?;
    scanner.finish()
}

/// Checks that bytes, received in pieces of any size, are one JSON text in UTF-8 that nests at most `depth_max` levels
/// deep.
///
/// It accepts what `serde_json` accepts for an ignored value: duplicate names, escapes of lone surrogates, and numbers
/// that no float can hold.
#[derive(Clone)]
pub(super) struct JsonScanner {
    state: State,
    utf8: Utf8,
    depth_max: usize,
    depth: usize,
    /// One bit for each open container, the outermost first: set for an object.
    objects: [u64; DEPTH_LIMIT / 64],
    offset: u64,
}

/// Why bytes are not an acceptable JSON text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JsonError {
    /// Not JSON, or not UTF-8, at this byte.
    Invalid { offset: u64 },
    /// The text ends too early.
    Incomplete,
    /// Nested deeper than allowed.
    TooDeep { depth_max: usize },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { offset } => write!(f, "must be JSON in UTF-8, and are not at byte {offset}"),
            Self::Incomplete => f.write_str("must be JSON, and end too early"),
            Self::TooDeep { depth_max } => write!(f, "must not nest deeper than {depth_max} levels"),
        }
    }
}

/// What the scanner has read, as far as it matters for what may follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A value must follow.
    Value,
    /// After `[`: a value or `]`.
    ValueOrEnd,
    /// After `{`: a name or `}`.
    NameOrEnd,
    /// After `,` in an object.
    Name,
    /// After a name.
    Colon,
    /// After a value: `,` or the end of the container; at the top level only white space.
    AfterValue,
    String {
        is_name: bool,
    },
    Escape {
        is_name: bool,
    },
    /// In `\u`, with so many digits to come.
    Hex {
        is_name: bool,
        left: u8,
    },
    /// In `true`, `false` or `null`: what must still come.
    Literal(&'static [u8]),
    Number(Number),
}

/// How much of a number has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl JsonScanner {
    /// A scanner that refuses texts that nest deeper than `depth_max`, which is at most 1,024.
    pub(super) fn new(depth_max: usize) -> Self {
        assert!(depth_max <= DEPTH_LIMIT);
        let objects = [0; DEPTH_LIMIT / 64];
        Self { state: State::Value, utf8: Utf8::default(), depth_max, depth: 0, objects, offset: 0 }
    }

    /// Scans the next piece. After an error, the scanner must not be used any more.
    ///
    /// # Errors
    /// If no JSON text begins with the bytes so far, or they nest too deep.
    pub(super) fn update(&mut self, piece: &[u8]) -> Result<(), JsonError> {
        let begin = self.offset;
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            let at = || JsonError::Invalid { offset: begin + (piece.len() - rest.len()) as u64 };
            if let State::String { is_name } = self.state {
                // Most bytes of notes are within strings: these are checked a run at a time.
                let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                let run = run.unwrap_or(rest.len());
                self.utf8.update(&rest[..run]).map_err(|()| at())?;
                let Some(end) = rest.get(run) else { break };
                self.utf8.finish().map_err(|()| at())?;
                self.state = match end {
                    b'"' if is_name => State::Colon,
                    b'"' => State::AfterValue,
                    b'\\' => State::Escape { is_name },
                    _ => return Err(at()),
                };
                rest = &rest[run + 1..];
                continue;
            }
            self.state = self.next(byte)?.ok_or_else(at)?;
            rest = after;
        }
        self.offset = begin + piece.len() as u64;
        Ok(())
    }

    /// # Errors
    /// If the bytes so far are not a whole JSON text.
    pub(super) fn finish(&self) -> Result<(), JsonError> {
        use Number::{ExponentDigits, Fraction, Integer, Zero};
        let is_whole = matches!(
            self.state,
            State::AfterValue | State::Number(Zero | Integer | Fraction | ExponentDigits)
        );
        if is_whole && self.depth == 0 { Ok(()) } else { Err(JsonError::Incomplete) }
    }

    /// The state after one more byte outside of the runs of a string; `None` if the byte is not allowed.
    fn next(&mut self, byte: u8) -> Result<Option<State>, JsonError> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        Ok(match self.state {
            State::Value
            | State::ValueOrEnd
            | State::NameOrEnd
            | State::Name
            | State::Colon
            | State::AfterValue
                if is_space =>
            {
                Some(self.state)
            }
            State::ValueOrEnd if byte == b']' => self.close(false),
            State::Value | State::ValueOrEnd => return self.begin(byte),
            State::NameOrEnd if byte == b'}' => self.close(true),
            State::NameOrEnd | State::Name => (byte == b'"').then_some(State::String { is_name: true }),
            State::Colon => (byte == b':').then_some(State::Value),
            State::AfterValue => self.after_value(byte),
            State::Escape { is_name } => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(State::String { is_name }),
                b'u' => Some(State::Hex { is_name, left: 4 }),
                _ => None,
            },
            State::Hex { .. } if !byte.is_ascii_hexdigit() => None,
            State::Hex { is_name, left: 1 } => Some(State::String { is_name }),
            State::Hex { is_name, left } => Some(State::Hex { is_name, left: left - 1 }),
            State::Literal(expected) => match expected.split_first() {
                Some((&first, [])) if first == byte => Some(State::AfterValue),
                Some((&first, rest)) if first == byte => Some(State::Literal(rest)),
                _ => None,
            },
            State::Number(number) => match number.next(byte) {
                Some(number) => Some(State::Number(number)),
                None if number.may_end() && is_space => Some(State::AfterValue),
                None if number.may_end() => self.after_value(byte),
                None => None,
            },
            State::String { .. } => None,
        })
    }

    fn begin(&mut self, byte: u8) -> Result<Option<State>, JsonError> {
        Ok(Some(match byte {
            b'[' => self.open(false)?,
            b'{' => self.open(true)?,
            b'"' => State::String { is_name: false },
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            _ => return Ok(None),
        }))
    }

    fn open(&mut self, is_object: bool) -> Result<State, JsonError> {
        if self.depth == self.depth_max {
            return Err(JsonError::TooDeep { depth_max: self.depth_max });
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.objects[word] = self.objects[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
        Ok(if is_object { State::NameOrEnd } else { State::ValueOrEnd })
    }

    fn close(&mut self, is_object: bool) -> Option<State> {
        (self.is_in_object()? == is_object).then(|| {
            self.depth -= 1;
            State::AfterValue
        })
    }

    /// Whether the innermost open container is an object; `None` at the top level.
    fn is_in_object(&self) -> Option<bool> {
        let innermost = self.depth.checked_sub(1)?;
        Some(self.objects[innermost / 64] >> (innermost % 64) & 1 == 1)
    }

    fn after_value(&mut self, byte: u8) -> Option<State> {
        match byte {
            b',' => Some(if self.is_in_object()? { State::Name } else { State::Value }),
            b'}' => self.close(true),
            b']' => self.close(false),
            _ => None,
        }
    }
}

impl Number {
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Self::ExponentDigits,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

/// Checks UTF-8 in pieces: a character may be split between two of them.
#[derive(Clone, Copy, Default)]
struct Utf8 {
    /// The first bytes of a character whose rest has not arrived.
    begun: [u8; 4],
    len: usize,
}

impl Utf8 {
    fn update(&mut self, mut piece: &[u8]) -> Result<(), ()> {
        while self.len > 0 {
            let Some((&byte, after)) = piece.split_first() else { return Ok(()) };
            piece = after;
            self.begun[self.len] = byte;
            self.len += 1;
            match str::from_utf8(&self.begun[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(()),
                Err(_) => {}
            }
        }
        match str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(()),
            Err(error) => {
                let begun = &piece[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.len = begun.len();
                Ok(())
            }
        }
    }

    fn finish(&self) -> Result<(), ()> {
        if self.len == 0 { Ok(()) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn scan(pieces: &[&[u8]], depth_max: usize) -> Result<(), JsonError> {
        let mut scanner = JsonScanner::new(depth_max);
        pieces.iter().try_for_each(|piece| scanner.update(piece))?;
        scanner.finish()
    }

    fn serde_accepts(text: &[u8]) -> bool {
        str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
    }

    #[test]
    fn each_split_into_two_pieces_is_judged_like_the_whole() {
        let texts = [
            r#" {"a": [1, -0.5e+10, true, false, null, "\u00e9\ud800 \\ \" ü€😀"], "": {}} "#,
            r#"[]"#,
            r#""""#,
            "-",
            "01",
            "1.",
            "1e400",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            "[}",
            "nul",
            "nulll",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\u12g4""#,
            "\u{feff}1",
            "",
            " ",
            "1 2",
        ];
        for text in texts {
            let text = text.as_bytes();
            for split in 0..=text.len() {
                let (first, second) = text.split_at(split);
                assert_eq!(scan(&[first, second], 1_000).is_ok(), serde_accepts(text), "{text:?} at {split}");
            }
        }
    }

    #[test]
    fn only_a_text_that_nests_too_deep_is_too_deep() {
        for (open, close) in [("[", "]"), ("{\"\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(scan(&[nested(1_000).as_bytes()], 1_000), Ok(()));
            let too_deep = Err(JsonError::TooDeep { depth_max: 1_000 });
            assert_eq!(scan(&[nested(1_001).as_bytes()], 1_000), too_deep);
        }
    }

    #[test]
    fn an_error_says_where_it_is() {
        assert_eq!(scan(&[b"[1, ", b"2 x]"], 9), Err(JsonError::Invalid { offset: 6 }));
        assert_eq!(scan(&[b"[1"], 9), Err(JsonError::Incomplete));
    }

    /// Texts that are JSON, or nearly.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            Just("["),
            Just("]"),
            Just("{"),
            Just("}"),
            Just(","),
            Just(":"),
            Just("\""),
            Just("\\"),
            Just("u"),
            Just("d8"),
            Just("00"),
            Just("-"),
            Just("."),
            Just("e"),
            Just("E+"),
            Just("0"),
            Just("7"),
            Just("null"),
            Just("true"),
            Just("false"),
            Just(" "),
            Just("\n"),
            Just("é"),
            Just("😀"),
            Just("\"a\":"),
            Just("\"x\""),
        ];
        let tokens = prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes());
        (tokens, any::<Option<(prop::sample::Index, u8)>>()).prop_map(|(mut text, change)| {
            if let Some((at, byte)) = change
                && !text.is_empty()
            {
                let at = at.index(text.len());
                text[at] = byte;
            }
            text
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn it_accepts_what_serde_json_accepts(text in nearly_json(), sizes in prop::collection::vec(1_usize..5, 1..9)) {
            let mut sizes = sizes.iter().cycle();
            let mut rest = &text[..];
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(scan(&pieces, 1_000).is_ok(), serde_accepts(&text));
        }
    }
}
