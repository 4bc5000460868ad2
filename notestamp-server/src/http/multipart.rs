//! Reads `multipart/form-data` as it arrives (RFC 7578), without temporary files.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use multer::{Field, Multipart};
use poem::Body;

/// The most parts that a form may have.
pub const PARTS_MAX: usize = 32;
/// The most bytes before a part's content: the headers of the part, and before the first a preamble.
pub const PART_HEAD_BYTES_MAX: u64 = 16 * 1024;
/// How much multer is given at once while it looks for a part's content. It may ask for one piece more than it
/// needs, so a piece is much less than a head may have.
const HEAD_PIECE_BYTES: usize = 4 * 1024;
/// The longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_LEN_MAX: usize = 70;

/// Why a form cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    /// It is no `multipart/form-data`. Status: 415.
    #[error("the body is not multipart/form-data")]
    NotMultipart,
    /// It breaks the rules of the format, or ends before its last boundary. Status: 400.
    #[error("malformed multipart/form-data: {0}")]
    Malformed(&'static str),
    /// More than [`PARTS_MAX`] parts. Status: 400.
    #[error("more than {PARTS_MAX} parts")]
    TooManyParts,
    /// Two parts of one name: which of them counts, readers would not agree on. Status: 400.
    #[error("two parts named {name:?}")]
    DuplicatePart {
        /// Their name.
        name: String,
    },
    /// A part that is collected has more bytes than it may. Status: 413.
    #[error("part {name:?} exceeds {bytes_max} bytes")]
    TooLarge {
        /// Its name.
        name: String,
        /// How many it may have.
        bytes_max: usize,
    },
    /// The body failed underneath. Status: what the verdict of the
    /// [body guard](crate::middleware::body_guard::BodyGuard) says.
    #[error("the body cannot be read")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
}

impl From<multer::Error> for MultipartError {
    fn from(error: multer::Error) -> Self {
        use multer::Error as E;
        match error {
            E::NoMultipart | E::DecodeContentType(_) => Self::NotMultipart,
            E::NoBoundary => Self::Malformed("no boundary"),
            E::ReadHeaderFailed(_) | E::DecodeHeaderName { .. } | E::DecodeHeaderValue { .. } => {
                Self::Malformed("the headers of a part")
            }
            E::IncompleteHeaders | E::IncompleteStream | E::IncompleteFieldData { .. } => {
                Self::Malformed("it ends before its last boundary")
            }
            E::StreamReadFailed(source) => match source.downcast::<HeadTooLarge>() {
                Ok(_) => Self::Malformed("the headers of a part are too large"),
                Err(source) => Self::Body(source),
            },
            other => Self::Body(other.into()),
        }
    }
}

/// The parts of a form, one after the other.
pub struct MultipartReader {
    form: Multipart<'static>,
    /// The part that was given out last: the rest of it comes before the next.
    current: Option<Field<'static>>,
    names: HashSet<String>,
    head: Arc<HeadBudget>,
}

impl MultipartReader {
    /// Reads a body of this content type.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`], or [`MultipartError::Malformed`] where the boundary is no good.
    pub fn new(content_type: &str, body: Body) -> Result<Self, MultipartError> {
        let boundary = multer::parse_boundary(content_type)?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_LEN_MAX {
            return Err(MultipartError::Malformed("the boundary has not 1 to 70 characters"));
        }
        let head = Arc::new(HeadBudget::default());
        let frames = OneByOne::new(body.into_bytes_stream().boxed(), head.clone());
        let form = Multipart::new(frames, boundary);
        Ok(Self { form, current: None, names: HashSet::new(), head })
    }

    /// The next part; what is left of the one before is read and dropped.
    ///
    /// # Errors
    /// All but [`MultipartError::NotMultipart`] and [`MultipartError::TooLarge`].
    pub async fn next_part(&mut self) -> Result<Option<Part<'_>>, MultipartError> {
        if let Some(mut current) = self.current.take() {
            while current.chunk().await?.is_some() {}
        }
        self.head.open();
        let field = self.form.next_field().await;
        self.head.close();
        let Some(field) = field? else { return Ok(None) };
        if self.names.len() == PARTS_MAX {
            return Err(MultipartError::TooManyParts);
        }
        let name = field.name().ok_or(MultipartError::Malformed("a part without a name"))?.to_owned();
        if !self.names.insert(name.clone()) {
            return Err(MultipartError::DuplicatePart { name });
        }
        Ok(Some(Part { name, field: self.current.insert(field) }))
    }
}

/// One part of a form.
pub struct Part<'a> {
    name: String,
    field: &'a mut Field<'static>,
}

impl Part<'_> {
    /// The name of the form's field.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the file, which may be empty.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// The content type, where the part says one that can be read.
    pub fn content_type(&self) -> Option<&mime::Mime> {
        self.field.content_type()
    }

    /// Whether it is a file and no text: it has a file name, or a content type other than the
    /// `text/plain` that a part without one has anyway (RFC 7578, 4.4).
    pub fn is_file(&self) -> bool {
        self.file_name().is_some()
            || self.content_type().is_some_and(|it| it.essence_str() != mime::TEXT_PLAIN.essence_str())
    }

    /// The next bytes of its content, never empty; none at its end.
    ///
    /// # Errors
    /// [`MultipartError::Malformed`] where the form ends first, or [`MultipartError::Body`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            match self.field.chunk().await? {
                Some(chunk) if chunk.is_empty() => {}
                chunk => return Ok(chunk),
            }
        }
    }

    /// All of its content, for parts that are small.
    ///
    /// # Errors
    /// [`MultipartError::TooLarge`] where it has more than `bytes_max` bytes, and those of [`Part::chunk`].
    pub async fn text(mut self, bytes_max: usize) -> Result<Bytes, MultipartError> {
        let mut content = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > bytes_max - content.len() {
                return Err(MultipartError::TooLarge { name: self.name, bytes_max });
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }
}

/// How many bytes multer has been given while it looks for the content of the next part: it would
/// buffer headers without end.
#[derive(Default)]
struct HeadBudget {
    /// Bytes given; [`HeadBudget::CLOSED`] while content is read.
    given: AtomicU64,
}

impl HeadBudget {
    const CLOSED: u64 = u64::MAX;

    fn open(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    fn close(&self) {
        self.given.store(Self::CLOSED, Ordering::Relaxed);
    }

    /// Whether more may be given.
    fn has_room(&self) -> bool {
        let given = self.given.load(Ordering::Relaxed);
        given == Self::CLOSED || given <= PART_HEAD_BYTES_MAX
    }

    /// Takes off the front of a frame what may be given at once.
    fn take(&self, frame: &mut Bytes) -> Bytes {
        let given = self.given.load(Ordering::Relaxed);
        if given == Self::CLOSED {
            return std::mem::take(frame);
        }
        let piece = frame.split_to(frame.len().min(HEAD_PIECE_BYTES));
        self.given.store(given + piece.len() as u64, Ordering::Relaxed);
        piece
    }
}

/// The error by which the stream tells multer to give up on the headers of a part.
#[derive(Debug, thiserror::Error)]
#[error("the headers of a part exceed {PART_HEAD_BYTES_MAX} bytes")]
struct HeadTooLarge;

/// Gives out one frame at a time, or a piece of it, and is pending in between.
///
/// multer reads its input until that is pending before it yields anything: from a body that is always
/// ready, a part would come out as one chunk, however large it is.
struct OneByOne {
    frames: BoxStream<'static, io::Result<Bytes>>,
    /// What is left of the frame that came last.
    rest: Bytes,
    is_due: bool,
    head: Arc<HeadBudget>,
}

impl OneByOne {
    fn new(frames: BoxStream<'static, io::Result<Bytes>>, head: Arc<HeadBudget>) -> Self {
        Self { frames, rest: Bytes::new(), is_due: false, head }
    }
}

impl Stream for OneByOne {
    type Item = Result<Bytes, Box<dyn StdError + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_due {
            self.is_due = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.head.has_room() {
            return Poll::Ready(Some(Err(HeadTooLarge.into())));
        }
        if self.rest.is_empty() {
            match std::task::ready!(self.frames.poll_next_unpin(cx)) {
                Some(frame) => self.rest = frame?,
                None => return Poll::Ready(None),
            }
        }
        self.is_due = false;
        let this = &mut *self;
        Poll::Ready(Some(Ok(this.head.take(&mut this.rest))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use poem::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::middleware::body_guard::{BodyError, BodyGuard};

    const CONTENT_TYPE: &str = "multipart/form-data; boundary=b";

    fn reader(form: impl Into<Body>) -> MultipartReader {
        MultipartReader::new(CONTENT_TYPE, form.into()).unwrap()
    }

    fn part(head: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    /// A body that arrives in pieces of so many bytes.
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
    async fn files_and_texts_are_told_apart() {
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
            let file_name = part.file_name().map(str::to_owned);
            seen.push((part.name().to_owned(), part.is_file(), file_name));
        }
        let expected = [
            ("a", true, Some("song.mp3")),
            ("b", false, None),
            ("c", false, None),
            ("d", true, None),
            ("e", true, Some("")),
        ];
        let expected =
            expected.map(|(name, is_file, file)| (name.to_owned(), is_file, file.map(str::to_owned)));
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
            assert!(!chunk.is_empty() && chunk.len() <= 40_000, "{}", chunk.len());
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
        assert!(matches!(error, MultipartError::TooManyParts));
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
            let given = Arc::new(AtomicU64::new(0));
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
        let large = "x".repeat(10 * PART_HEAD_BYTES_MAX as usize);
        let form = [part("name=a", &large), part("name=c", &large), "--b--".to_owned()].concat();
        for size in [999, PART_HEAD_BYTES_MAX as usize + 1, 100_000, form.len()] {
            assert_eq!(read_all(reader(in_pieces(form.as_bytes(), size))).await.unwrap().len(), 2, "{size}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_is_not_read_as_one() {
        for content_type in ["", "text/plain", "multipart/mixed; boundary=b", "application/json"] {
            let error = MultipartReader::new(content_type, Body::empty()).err().unwrap();
            assert!(matches!(error, MultipartError::NotMultipart), "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert_malformed(MultipartReader::new(content_type, Body::empty()).map(|_| ()));
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_no_malformed_form() {
        let mut request = Request::builder().body(part("name=a", &"x".repeat(1000)));
        let guard = BodyGuard::install(&mut request, 100);
        let error = read_all(reader(request.take_body())).await.unwrap_err();
        assert!(matches!(error, MultipartError::Body(_)), "{error:?}");
        assert_eq!(guard.verdict(), Some(BodyError::TooLarge { bytes_max: 100 }));
    }

    proptest! {
        #[test]
        fn the_content_is_the_same_however_it_arrives(
            contents in prop::collection::vec("([\r\n-]|--b|\r\n--|x){0,40}", 1..5),
            size in 1usize..50,
        ) {
            // The boundary ends a part wherever it stands.
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
