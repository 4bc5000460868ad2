//! Reads `multipart/form-data` as it arrives (RFC 7578), without temporary files.
//!
//! No existing parser is used, because a file with unusual headers must not be taken for a text: the available parsers
//! ignore or refuse such headers, and buffer headers without a limit.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _};
use memchr::memmem::{self, Finder};
use notestamp_store::ContentType;
use poem::Body;

use super::content_type;
use super::part_head::{FileName, PartHead};

/// How many bytes the headers of a part may have, and the preamble before the first part.
pub(crate) const PART_HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_LEN_MAX: usize = 70;

/// Why a form cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MultipartError {
    /// The content type is not `multipart/form-data`. Status: 415.
    #[error("the body is not multipart/form-data")]
    NotMultipart,
    /// The form is malformed, or ends before its last boundary. Status: 400.
    #[error("malformed multipart/form-data: {0}")]
    Malformed(&'static str),
    /// Too many parts. Status: 400.
    #[error("more than {parts_max} parts")]
    TooManyParts {
        /// How many parts a form may have.
        parts_max: usize,
    },
    /// Two parts have the same name, so it is ambiguous which one counts. Status: 400.
    #[error("two parts named {name:?}")]
    DuplicatePart {
        /// The name of both parts.
        name: String,
    },
    /// A part that is read into memory has too many bytes. Status: 413.
    #[error("part {name:?} exceeds {bytes_max} bytes")]
    TooLarge {
        /// The name of the part.
        name: String,
        /// How many bytes it may have.
        bytes_max: usize,
    },
    /// Reading the body failed. The error of the [body guard](crate::middleware::body_guard::BodyGuard) decides the
    /// status.
    #[error("the body cannot be read")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
}

/// The parts of a form, one after the other.
pub(crate) struct MultipartReader {
    frames: BoxStream<'static, io::Result<Bytes>>,
    /// The bytes that have arrived and are not yet read: one frame, unless a delimiter or a head continues in the next.
    buffer: Bytes,
    /// The end of a part's content: CRLF, two hyphens and the boundary.
    delimiter: Finder<'static>,
    place: Place,
    names: HashSet<String>,
    parts_max: usize,
}

/// Where the reader is in the form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first delimiter.
    Preamble,
    /// In the content of a part.
    Content,
    /// After a delimiter.
    Delimited,
    /// After the last delimiter.
    End,
}

impl MultipartReader {
    /// Reads a body of this content type, with at most `parts_max` parts.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`], or [`MultipartError::Malformed`] if the boundary is missing or invalid.
    pub(crate) fn new(content_type: &str, body: Body, parts_max: usize) -> Result<Self, MultipartError> {
        if !content_type::is_of(content_type, "multipart/form-data") {
            return Err(MultipartError::NotMultipart);
        }
        let malformed = || MultipartError::Malformed("its content type");
        let content_type = ContentType::parse(content_type).ok_or_else(malformed)?;
        let boundary = content_type.parameter("boundary").ok_or(MultipartError::Malformed("no boundary"))?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_LEN_MAX {
            return Err(MultipartError::Malformed("the boundary has not 1 to 70 characters"));
        }
        Ok(Self {
            frames: body.into_bytes_stream().boxed(),
            // The first delimiter may stand at the very start, without a CRLF before it.
            buffer: Bytes::from_static(b"\r\n"),
            delimiter: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            place: Place::Preamble,
            names: HashSet::new(),
            parts_max,
        })
    }

    /// Returns the next part, or `None` after the last. The rest of the previous part is read and dropped.
    ///
    /// # Errors
    /// All but [`MultipartError::NotMultipart`] and [`MultipartError::TooLarge`].
    pub(crate) async fn next_part(&mut self) -> Result<Option<Part<'_>>, MultipartError> {
        self.skip_content().await?;
        if self.place == Place::End || self.is_last_delimiter().await? {
            self.place = Place::End;
            return Ok(None);
        }
        let head = self.read_head().await?;
        self.place = Place::Content;
        if self.names.len() == self.parts_max {
            return Err(MultipartError::TooManyParts { parts_max: self.parts_max });
        }
        if !self.names.insert(head.name.clone()) {
            return Err(MultipartError::DuplicatePart { name: head.name });
        }
        Ok(Some(Part { head, form: self }))
    }

    async fn skip_content(&mut self) -> Result<(), MultipartError> {
        let is_preamble = self.place == Place::Preamble;
        let mut skipped = 0;
        while let Some(chunk) = self.content().await? {
            skipped += chunk.len();
            if is_preamble && skipped > PART_HEAD_BYTES_MAX {
                return Err(MultipartError::Malformed("no boundary at its start"));
            }
        }
        Ok(())
    }

    /// Returns the next bytes before a delimiter, never empty; `None` after it.
    async fn content(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if matches!(self.place, Place::Delimited | Place::End) {
            return Ok(None);
        }
        loop {
            let end = match self.delimiter.find(&self.buffer) {
                Some(0) => {
                    self.buffer.advance(self.delimiter.needle().len());
                    self.place = Place::Delimited;
                    return Ok(None);
                }
                Some(at) => at,
                None => self.buffer.len() - self.begun_delimiter_len(),
            };
            if end > 0 {
                return Ok(Some(self.buffer.split_to(end)));
            }
            self.receive().await?;
        }
    }

    /// Returns how many bytes at the end of the buffer may be the beginning of a delimiter.
    fn begun_delimiter_len(&self) -> usize {
        let delimiter = self.delimiter.needle();
        let longest = self.buffer.len().min(delimiter.len() - 1);
        (1..=longest).rev().find(|&len| self.buffer.ends_with(&delimiter[..len])).unwrap_or(0)
    }

    /// Returns whether the delimiter that was just read is the last one: two hyphens follow it.
    async fn is_last_delimiter(&mut self) -> Result<bool, MultipartError> {
        while self.buffer.len() < 2 {
            self.receive().await?;
        }
        Ok(self.buffer.starts_with(b"--"))
    }

    /// Reads the headers between a delimiter and the content.
    async fn read_head(&mut self) -> Result<PartHead, MultipartError> {
        const END: &[u8] = b"\r\n\r\n";
        let mut searched = 0;
        let end = loop {
            // The end may begin in the last bytes that were searched.
            let from = usize::saturating_sub(searched, END.len() - 1);
            match memmem::find(&self.buffer[from..], END).map(|at| from + at) {
                Some(end) if end <= PART_HEAD_BYTES_MAX => break end,
                None if self.buffer.len() <= PART_HEAD_BYTES_MAX => {
                    searched = self.buffer.len();
                    self.receive().await?;
                }
                _ => return Err(MultipartError::Malformed("the headers of a part are too large")),
            }
        };
        let mut lines = self.buffer.split_to(end);
        self.buffer.advance(4);
        // White space may follow a delimiter.
        lines.advance(lines.iter().take_while(|byte| b" \t".contains(byte)).count());
        if !lines.is_empty() && !lines.starts_with(b"\r\n") {
            return Err(MultipartError::Malformed("a boundary that goes on"));
        }
        PartHead::parse(&lines).map_err(MultipartError::Malformed)
    }

    /// Waits for the next frame and appends it to the buffer. The buffer grows by doubling, so that many small frames
    /// are copied a few times only.
    async fn receive(&mut self) -> Result<(), MultipartError> {
        let frame = match self.frames.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(MultipartError::Body(error.into())),
            None => return Err(MultipartError::Malformed("it ends before its last boundary")),
        };
        if self.buffer.is_empty() {
            self.buffer = frame;
        } else {
            let buffer = std::mem::take(&mut self.buffer).try_into_mut();
            let mut joined = buffer.unwrap_or_else(|shared| BytesMut::from(&*shared));
            joined.extend_from_slice(&frame);
            self.buffer = joined.freeze();
        }
        Ok(())
    }
}

/// One part of a form.
pub(crate) struct Part<'a> {
    head: PartHead,
    form: &'a mut MultipartReader,
}

impl Part<'_> {
    /// The name of the form's field.
    pub(crate) fn name(&self) -> &str {
        &self.head.name
    }

    /// Returns whether it is a file and not a text: it has a file name, even an empty one, or a content type other than
    /// `text/plain`.
    pub(crate) fn is_file(&self) -> bool {
        self.head.file_name != FileName::Absent || self.head.has_media_type
    }

    /// Returns whether it has a file name that is not empty.
    pub(crate) fn has_file_name(&self) -> bool {
        self.head.file_name == FileName::Present
    }

    /// Returns the next bytes of its content, never empty; `None` at its end.
    ///
    /// # Errors
    /// [`MultipartError::Malformed`] if the form ends first, or [`MultipartError::Body`].
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        self.form.content().await
    }

    /// The error of a part that has more than `bytes_max` bytes.
    pub(crate) fn too_large(&self, bytes_max: usize) -> MultipartError {
        MultipartError::TooLarge { name: self.head.name.clone(), bytes_max }
    }

    /// Returns all of its content, for small parts.
    ///
    /// # Errors
    /// [`MultipartError::TooLarge`] if it has more than `bytes_max` bytes, and those of [`Part::chunk`].
    pub(crate) async fn text(mut self, bytes_max: usize) -> Result<Bytes, MultipartError> {
        let mut content = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > bytes_max - content.len() {
                return Err(self.too_large(bytes_max));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use poem::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::middleware::body_guard::{BodyError, BodyGuard};

    const CONTENT_TYPE: &str = "multipart/form-data; boundary=b";
    const PARTS_MAX: usize = 32;

    fn reader(form: impl Into<Body>) -> MultipartReader {
        MultipartReader::new(CONTENT_TYPE, form.into(), PARTS_MAX).unwrap()
    }

    fn part(head: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    /// A body that arrives in pieces of a given size.
    fn in_pieces(form: &[u8], size: usize) -> Body {
        let pieces: Vec<_> =
            form.chunks(size).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
        Body::from_bytes_stream(stream::iter(pieces))
    }

    /// Reads all parts, and their contents.
    async fn read_all(mut reader: MultipartReader) -> Result<Vec<(String, Bytes)>, MultipartError> {
        let mut parts = vec![];
        while let Some(part) = reader.next_part().await? {
            parts.push((part.name().to_owned(), part.text(1 << 20).await?));
        }
        Ok(parts)
    }

    #[track_caller]
    fn assert_malformed<T>(result: Result<T, MultipartError>) {
        let error = result.err().unwrap();
        assert!(matches!(error, MultipartError::Malformed(_)), "{error:?}");
    }

    #[tokio::test]
    async fn files_and_texts_are_distinguished() {
        let form = [
            part("name=\"a\"; filename=\"song.mp3\"\r\nContent-Type: audio/mpeg", "bytes"),
            part("name=\"b\"", "null"),
            part("name=\"c\"\r\nContent-Type: text/plain; charset=utf-8", "text"),
            part("name=\"d\"\r\nContent-Type: application/json", "{}"),
            part("name=\"e\"; filename=\"\"\r\nContent-Type: application/octet-stream", ""),
            "--b--\r\n".to_owned(),
        ];
        let mut reader = reader(form.concat());
        let mut seen = vec![];
        while let Some(part) = reader.next_part().await.unwrap() {
            seen.push((part.name().to_owned(), part.is_file(), part.has_file_name()));
        }
        let expected = [
            ("a", true, true),
            ("b", false, false),
            ("c", false, false),
            ("d", true, false),
            ("e", true, false),
        ];
        let expected = expected.map(|(name, is_file, is_named)| (name.to_owned(), is_file, is_named));
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_part_that_is_not_read_is_skipped() {
        let form =
            [part("name=a", &"x".repeat(100_000)), part("name=c", "seen"), "--b--".to_owned()].concat();
        let mut reader = reader(in_pieces(form.as_bytes(), 1000));
        reader.next_part().await.unwrap().unwrap();
        let part = reader.next_part().await.unwrap().unwrap();
        assert_eq!(part.text(4).await.unwrap(), "seen");
        assert!(reader.next_part().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_head_that_comes_byte_by_byte_is_copied_a_few_times_only() {
        let head = "x".repeat(PART_HEAD_BYTES_MAX);
        let mut reader = reader(in_pieces(head.as_bytes(), 1));
        let (mut copies, mut place) = (0, reader.buffer.as_ptr());
        for _ in 0..head.len() {
            reader.receive().await.unwrap();
            copies += usize::from(reader.buffer.as_ptr() != place);
            place = reader.buffer.as_ptr();
        }
        assert!(copies < 100, "{copies} copies");
    }

    #[tokio::test]
    async fn an_empty_form_has_no_parts() {
        assert_eq!(read_all(reader("--b--\r\n")).await.unwrap(), []);
    }

    #[tokio::test]
    async fn chunks_are_no_larger_than_what_arrived_at_once() {
        let form = [part("name=a", &"x".repeat(1 << 20)), "--b--".to_owned()].concat();
        let mut reader = reader(in_pieces(form.as_bytes(), 10_000));
        let mut part = reader.next_part().await.unwrap().unwrap();
        let mut size = 0;
        while let Some(chunk) = part.chunk().await.unwrap() {
            assert!(!chunk.is_empty() && chunk.len() <= 10_000 + 5, "{}", chunk.len());
            size += chunk.len();
        }
        assert_eq!(size, 1 << 20);
    }

    #[tokio::test]
    async fn a_truncated_form_is_malformed() {
        let whole = [part("name=a; filename=x", "content"), "--b--".to_owned()].concat();
        for length in 0..whole.len() {
            assert_malformed(read_all(reader(whole[..length].to_owned())).await);
        }
        read_all(reader(whole)).await.unwrap();
    }

    #[tokio::test]
    async fn two_parts_of_one_name_are_refused() {
        let form = [part("name=a", "1"), part("name=a", "2"), "--b--".to_owned()].concat();
        let error = read_all(reader(form)).await.unwrap_err();
        assert!(matches!(error, MultipartError::DuplicatePart { name } if name == "a"));
    }

    #[tokio::test]
    async fn more_parts_than_allowed_are_refused() {
        let form = |count: usize| {
            let parts: String = (0..count).map(|at| part(&format!("name=p{at}"), "x")).collect();
            parts + "--b--"
        };
        assert_eq!(read_all(reader(form(PARTS_MAX))).await.unwrap().len(), PARTS_MAX);
        let error = read_all(reader(form(PARTS_MAX + 1))).await.unwrap_err();
        assert!(matches!(error, MultipartError::TooManyParts { .. }));
    }

    #[tokio::test]
    async fn a_part_without_a_name_is_malformed() {
        assert_malformed(read_all(reader([part("filename=x", "1"), "--b--".to_owned()].concat())).await);
        assert_malformed(read_all(reader("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--")).await);
    }

    #[tokio::test]
    async fn a_text_may_be_as_large_as_allowed_and_no_larger() {
        let form = [part("name=a", "12345"), "--b--".to_owned()].concat();
        for size in [1, 3, 1000] {
            let mut reader = reader(in_pieces(form.as_bytes(), size));
            assert_eq!(reader.next_part().await.unwrap().unwrap().text(5).await.unwrap(), "12345");
        }
        let mut reader = reader(form);
        let error = reader.next_part().await.unwrap().unwrap().text(4).await.unwrap_err();
        assert!(matches!(error, MultipartError::TooLarge { name, bytes_max: 4 } if name == "a"));
    }

    #[tokio::test]
    async fn headers_without_end_are_refused_before_they_are_buffered() {
        let endless = |start: &'static str| {
            let given = Arc::new(AtomicUsize::new(0));
            let counter = given.clone();
            let filler = stream::repeat_with(move || {
                counter.fetch_add(1000, Ordering::Relaxed);
                Bytes::from("y".repeat(1000))
            });
            let frames = stream::iter([Bytes::from(start)]).chain(filler);
            (reader(Body::from_bytes_stream(frames.map(Ok::<_, io::Error>))), given)
        };
        for start in ["--b\r\nContent-Disposition: form-data; name=a; filename=", "preamble "] {
            let (mut reader, given) = endless(start);
            assert_malformed(reader.next_part().await.map(|_| ()));
            assert!(given.load(Ordering::Relaxed) < PART_HEAD_BYTES_MAX + 2000);
        }
    }

    #[tokio::test]
    async fn large_parts_do_not_count_as_headers() {
        let large = "x".repeat(10 * PART_HEAD_BYTES_MAX);
        let form = [part("name=a", &large), part("name=c", &large), "--b--".to_owned()].concat();
        for size in [999, PART_HEAD_BYTES_MAX + 1, 100_000, form.len()] {
            assert_eq!(read_all(reader(in_pieces(form.as_bytes(), size))).await.unwrap().len(), 2, "{size}");
        }
    }

    #[tokio::test]
    async fn a_body_of_another_type_is_not_parsed_as_a_form() {
        for content_type in ["", "text/plain", "multipart/mixed; boundary=b", "application/json"] {
            let error = MultipartReader::new(content_type, Body::empty(), PARTS_MAX).err().unwrap();
            assert!(matches!(error, MultipartError::NotMultipart), "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert_malformed(MultipartReader::new(content_type, Body::empty(), PARTS_MAX).map(|_| ()));
        }
    }

    #[tokio::test]
    async fn an_interrupted_body_is_not_a_malformed_form() {
        let mut request = Request::builder().body(part("name=a", &"x".repeat(1000)));
        let guard = BodyGuard::install(&mut request, 100);
        let error = read_all(reader(request.take_body())).await.unwrap_err();
        assert!(matches!(error, MultipartError::Body(_)), "{error:?}");
        assert_eq!(guard.error(), Some(BodyError::TooLarge { bytes_max: 100 }));
    }

    proptest! {
        #[test]
        fn the_content_does_not_depend_on_the_chunks(
            contents in prop::collection::vec("([\r\n-]|--b|\r\n--|x){0,40}", 1..5),
            size in 1usize..50,
        ) {
            // A delimiter ends a part wherever it stands.
            prop_assume!(contents.iter().all(|content| !format!("\r\n{content}").contains("\r\n--b")));
            let mut form: String =
                contents.iter().enumerate().map(|(at, content)| part(&format!("name=p{at}"), content)).collect();
            form.push_str("--b--\r\n");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let parts = runtime.block_on(read_all(reader(in_pieces(form.as_bytes(), size)))).unwrap();
            let seen: Vec<_> = parts.iter().map(|(_, content)| content.as_ref()).collect();
            prop_assert_eq!(seen, contents.iter().map(String::as_bytes).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic_or_hang(form in "(--b|\r\n|-|Content-Disposition: form-data; name=|[a-z:;=\"]){0,30}", size in 1usize..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let reading = async {
                let limit = std::time::Duration::from_secs(10);
                tokio::time::timeout(limit, read_all(reader(in_pieces(form.as_bytes(), size)))).await
            };
            prop_assert!(runtime.block_on(reading).is_ok());
        }
    }
}
