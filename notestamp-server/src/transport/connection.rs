//! A connection as it is read and written: in clear text, or encrypted.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::guarded_stream::Socket;

/// A connection, in clear text or encrypted.
pub(super) enum Connection {
    Clear(TcpStream),
    Encrypted(Box<TlsStream<Counted>>),
}

/// Passes a call on to the stream within.
macro_rules! within {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Connection::Clear($stream) => $call,
            Connection::Encrypted($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        within!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        within!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        within!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        within!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        within!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        within!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Socket for Connection {
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        within!(self, stream => stream.write_now(bytes))
    }

    fn take_sent(&mut self, written: usize) -> usize {
        within!(self, stream => stream.take_sent(written))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        within!(self, stream => stream.poll_end(cx))
    }
}

impl Socket for Box<TlsStream<Counted>> {
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (socket, session) = (**self).get_mut();
        let mut moved = 0;
        if session.wants_write() {
            moved = session.write_tls(&mut WithoutWaiting(socket))?;
        }
        let taken = session.writer().write(bytes)?;
        while session.wants_write() {
            match session.write_tls(&mut WithoutWaiting(socket)) {
                Ok(_) => {}
                // The rest stays in the buffer of the session.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if moved == 0 && taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn take_sent(&mut self, _written: usize) -> usize {
        std::mem::take(&mut (**self).get_mut().0.sent)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut **self).poll_fill_buf(cx)) {
            Ok([]) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// A socket that counts the bytes that the system accepts.
pub(super) struct Counted {
    stream: TcpStream,
    sent: usize,
}

impl Counted {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, sent: 0 }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent += bytes;
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Writes to a socket that has not reported room.
struct WithoutWaiting<'a>(&'a mut Counted);

impl Write for WithoutWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.stream.write_now(bytes)?;
        self.0.sent += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
