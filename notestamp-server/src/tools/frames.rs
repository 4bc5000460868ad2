//! The stream in which a store sends an account to the tool that writes it into files: JSON lines, and bytes between
//! them.

use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::failure::Failure;

/// The most bytes between two lines.
pub(super) const PIECE_BYTES_MAX: usize = 256 << 10;

/// The longest line: longer ones are no lines of this program.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A line of the stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Frame {
    /// How many projects are done.
    Progress { done: u64, total: u64 },
    /// A file begins.
    File { path: String, size: u64, modified: i64 },
    /// So many bytes of the file follow this line.
    Bytes(usize),
    /// The file is complete.
    EndOfFile,
    /// The file cannot be completed, because its bytes are damaged.
    Broken { title: Option<String>, detail: String },
    /// Something is left out, because it is damaged.
    Damaged { title: Option<String>, detail: String },
    /// All is sent.
    Done,
    /// The export ends early.
    Failure(Failure),
}

/// Writes a line.
///
/// # Errors
/// If the reader of the stream has closed it.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Writes bytes of a file.
///
/// # Errors
/// If the reader of the stream has closed it.
pub(super) async fn write_bytes(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(PIECE_BYTES_MAX) {
        write_frame(stream, &Frame::Bytes(piece.len())).await?;
        stream.write_all(piece).await?;
    }
    Ok(())
}

/// Reads a line.
///
/// # Errors
/// If the stream ends or breaks, or is that of another program.
pub(super) async fn read_frame(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Frame> {
    let mut line = Vec::new();
    stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// Reads the bytes that a [`Frame::Bytes`] has announced.
///
/// # Errors
/// If the stream ends or breaks, or is that of another program.
pub(super) async fn read_bytes(stream: &mut (impl AsyncBufRead + Unpin), len: usize) -> io::Result<Bytes> {
    if len > PIECE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
