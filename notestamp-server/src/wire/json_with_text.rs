//! A JSON body that ends with a long text, which is escaped piece by piece while it is sent.

use std::marker::PhantomData;

use bytes::Bytes;
use futures_util::stream;
use poem::http::header::CONTENT_LENGTH;
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use super::json::Json;

/// A JSON object whose last member is a text.
///
/// An escaped copy of the whole text would take as much memory as the text again.
#[derive(Debug)]
pub(crate) struct JsonWithText<T> {
    /// All before the text, its opening quote included.
    head: Bytes,
    text: Bytes,
    of: PhantomData<fn() -> T>,
}

/// The end of the text and of the object.
const TAIL: &[u8] = b"\"}";

/// How many bytes of the text are escaped at once.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// The longest text whose escaped length is computed before it is sent, for `Content-Length`.
const MEASURED_BYTES_MAX: usize = 1 << 20;

impl<T: Serialize> JsonWithText<T> {
    /// `object`, whose last member must be an empty text, with `text` in its place: UTF-8, not yet escaped.
    ///
    /// # Errors
    /// If the object cannot be serialized, or does not end with an empty text.
    pub(crate) fn new(object: &T, text: Bytes) -> serde_json::Result<Self> {
        let mut head = serde_json::to_vec(object)?;
        if !head.ends_with(b"\"\"}") {
            return Err(serde::ser::Error::custom("the object does not end with an empty text"));
        }
        head.truncate(head.len() - TAIL.len());
        Ok(Self { head: head.into(), text, of: PhantomData })
    }
}

impl<T> IntoResponse for JsonWithText<T> {
    fn into_response(self) -> Response {
        let Self { head, text, .. } = self;
        let measured = (text.len() <= MEASURED_BYTES_MAX)
            .then(|| head.len() + text.iter().map(|byte| escaped_len(*byte)).sum::<usize>() + TAIL.len());
        let pieces = text_pieces(text).map(|piece| escape(&piece).into());
        let all = [head].into_iter().chain(pieces).chain([Bytes::from_static(TAIL)]);
        let body = Body::from_bytes_stream(stream::iter(all.map(Ok::<_, std::io::Error>)));
        let mut response = Response::builder().content_type(Json::<T>::TYPE).body(body);
        if let Some(measured) = measured {
            response.headers_mut().insert(CONTENT_LENGTH, measured.into());
        }
        response
    }
}

impl<T: Type> Payload for JsonWithText<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

fn text_pieces(mut text: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = text.split_to(text.len().min(PIECE_BYTES_MAX));
        (!piece.is_empty()).then_some(piece)
    })
}

/// Escapes a piece of a text as `serde_json` does. Only ASCII characters are escaped, so a piece may begin or end
/// within a character.
fn escape(piece: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(piece.len() + piece.len() / 8);
    for byte in piece {
        match (short_escape(*byte), byte) {
            (Some(letter), _) => escaped.extend([b'\\', letter]),
            (None, 0..0x20) => escaped.extend(format!("\\u{byte:04x}").bytes()),
            (None, _) => escaped.push(*byte),
        }
    }
    escaped
}

/// How many bytes this byte of a text takes when it is escaped.
fn escaped_len(byte: u8) -> usize {
    match (short_escape(byte), byte) {
        (Some(_), _) => 2,
        (None, 0..0x20) => 6,
        (None, _) => 1,
    }
}

/// The letter after the backslash, for characters with a short escape (RFC 8259, section 7).
fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        b'\x08' => b'b',
        b'\x0c' => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Serialize)]
    struct Object<'a> {
        first: u32,
        last: &'a str,
    }

    async fn written(text: &str) -> (Option<usize>, Vec<u8>) {
        let empty = Object { first: 7, last: "" };
        let json = JsonWithText::new(&empty, Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let response = json.into_response();
        let length =
            response.headers().get(CONTENT_LENGTH).map(|value| value.to_str().unwrap().parse().unwrap());
        (length, response.into_body().into_vec().await.unwrap())
    }

    #[tokio::test]
    async fn a_long_text_is_sent_in_pieces_without_a_length() {
        let text = "ä\"\n".repeat(MEASURED_BYTES_MAX / 4 + 1);
        let (length, body) = written(&text).await;
        assert_eq!(length, None);
        assert_eq!(body, serde_json::to_vec(&Object { first: 7, last: &text }).unwrap());
    }

    #[test]
    fn an_object_that_does_not_end_with_an_empty_text_is_refused() {
        JsonWithText::new(&Object { first: 7, last: "x" }, Bytes::new()).unwrap_err();
    }

    proptest! {
        #[test]
        fn it_is_what_serde_json_writes(text in any::<String>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (length, body) = runtime.block_on(written(&text));
            prop_assert_eq!(length, Some(body.len()));
            prop_assert_eq!(body, serde_json::to_vec(&Object { first: 7, last: &text }).unwrap());
        }
    }
}
