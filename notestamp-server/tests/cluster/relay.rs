//! A relay to a server that can fail in several ways.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Open,
    /// Connections stay open, and no bytes are passed on.
    Silent,
    /// Connections are closed as soon as bytes arrive, new connections too.
    Closed,
    /// Every request gets the response 500, as HTTP.
    Failing,
    /// Bytes arrive after this delay, at most a megabyte at a time.
    Slow(Duration),
}

pub struct Relay {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Relay {
    /// A relay to this address or endpoint; it begins without a fault.
    pub async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = endpoint.trim_start_matches("http://").to_owned();
        let (sender, way) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, target.clone(), way.clone()));
            }
        });
        Self { address, way: sender }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Relays one connection until it ends, or until the fault changes.
async fn pass(mut from: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    let mut is_new = true;
    loop {
        let now = *way.borrow_and_update();
        let serve = async {
            match now {
                Way::Open => {
                    if let Ok(mut to) = TcpStream::connect(&target).await {
                        drop(copy_bidirectional(&mut from, &mut to).await);
                    }
                }
                Way::Slow(time) => {
                    if let Ok(mut to) = TcpStream::connect(&target).await {
                        let ((from, mut back), (mut responses, mut to)) = (from.split(), to.split());
                        tokio::select! {
                            () = trickle(from, &mut to, time) => {}
                            _ = copy(&mut responses, &mut back) => {}
                        }
                    }
                }
                Way::Silent => std::future::pending().await,
                Way::Closed => drop(from.read(&mut [0; 64]).await),
                Way::Failing => fail(&mut from).await,
            }
        };
        tokio::select! {
            () = serve => return,
            changed = way.changed() => match (changed, now) {
                // The bytes that have arrived are lost, and so is the connection; but it is not closed while the relay
                // is silent.
                (Ok(()), _) if *way.borrow() == Way::Silent => is_new = false,
                (Ok(()), Way::Silent) if is_new => {}
                _ => return,
            },
        }
    }
}

async fn trickle(mut from: ReadHalf<'_>, to: &mut WriteHalf<'_>, time: Duration) {
    let mut bytes = Vec::with_capacity(1 << 20);
    while let Ok(1..) = from.read_buf(&mut bytes).await {
        sleep(time).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Reads the head of a request, responds with an error, and closes the connection.
async fn fail(from: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match from.read_buf(&mut head).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    let body = "<Error><Code>InternalError</Code></Error>";
    let length = body.len();
    let response = format!(
        "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    if from.write_all(response.as_bytes()).await.is_ok() {
        // Otherwise the unread rest of the request would cause a reset, and the response would be lost.
        drop(from.shutdown().await);
        drop(copy(from, &mut sink()).await);
    }
}
