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

/// How many bytes of the text are escaped at once. A shorter text is sent as one piece, together with its object.
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
        let measured =
            (text.len() <= MEASURED_BYTES_MAX).then(|| head.len() + escaped_len(&text) + TAIL.len());
        let body = match measured {
            Some(measured) if text.len() <= PIECE_BYTES_MAX => {
                let mut whole = Vec::with_capacity(measured);
                whole.extend_from_slice(&head);
                escape(&text, &mut whole);
                whole.extend_from_slice(TAIL);
                Body::from_vec(whole)
            }
            _ => {
                let pieces = text_pieces(text).map(|piece| {
                    let mut escaped = Vec::with_capacity(escaped_len(&piece));
                    escape(&piece, &mut escaped);
                    escaped.into()
                });
                let all = [head].into_iter().chain(pieces).chain([Bytes::from_static(TAIL)]);
                Body::from_bytes_stream(stream::iter(all.map(Ok::<_, std::io::Error>)))
            }
        };
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

/// Appends a piece of a text, escaped as `serde_json` does. Only ASCII characters are escaped, so a piece may begin or
/// end within a character.
fn escape(piece: &[u8], to: &mut Vec<u8>) {
    let mut rest = piece;
    while let Some(plain) = rest.iter().position(|byte| ESCAPES[usize::from(*byte)] != PLAIN) {
        let byte = rest[plain];
        to.extend_from_slice(&rest[..plain]);
        match ESCAPES[usize::from(byte)] {
            NUMERIC => to.extend(format!("\\u{byte:04x}").bytes()),
            letter => to.extend([b'\\', letter]),
        }
        rest = &rest[plain + 1..];
    }
    to.extend_from_slice(rest);
}

/// How many bytes a piece of a text takes when it is escaped.
fn escaped_len(piece: &[u8]) -> usize {
    let added = piece.iter().map(|byte| match ESCAPES[usize::from(*byte)] {
        PLAIN => 0,
        NUMERIC => 5,
        _ => 1,
    });
    piece.len() + added.sum::<usize>()
}

/// How each byte of a text is escaped: the letter after the backslash (RFC 8259, section 7), or one of these two.
const ESCAPES: [u8; 256] = {
    let mut escapes = [PLAIN; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = NUMERIC;
        control += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x0c] = b'f';
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\t' as usize] = b't';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Not escaped.
const PLAIN: u8 = 0;

/// Escaped by its number, as a control character is that has no letter.
const NUMERIC: u8 = b'u';

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
