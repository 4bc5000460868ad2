//! How URL and environment variables configure the client, and how its requests fail.

use std::error::Error as StdError;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::signer::{Method, Signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant};

use super::*;
use crate::blob::{BlobStore, PRESIGNED_TIME_MAX, PresignedHeaders};
use crate::domain::{Namespace, ObjectId};
use crate::error::{Error, Result};

const SECRET: &str = "an-access-key-of-nobody";
const SESSION_TOKEN: &str = "a-session-of-nobody";

/// Every operation on an unavailable backend fails within this time, so that a client can retry in time.
const FAILURE_TIME_MAX: Duration = Duration::from_secs(6);

fn bucket(url: &str) -> S3Bucket {
    S3Bucket::parse(&Url::parse(url).expect("it is a URL")).expect("it is an S3 URL")
}

/// The builder as if these environment variables were set.
fn environment(variables: &[(&str, &str)]) -> AmazonS3Builder {
    let credentials = [("aws_access_key_id", "notestamp"), ("aws_secret_access_key", SECRET)];
    credentials.iter().chain(variables).fold(AmazonS3Builder::new(), |builder, (name, value)| {
        builder.with_config(name.parse().expect("it is a known variable"), *value)
    })
}

/// The URL to which a request for an object goes.
async fn target(url: &str, variables: &[(&str, &str)]) -> String {
    let client = bucket(url).client(environment(variables)).expect("it is enough for a client");
    let url =
        client.signed_url(Method::GET, &"x".into(), Duration::from_secs(1)).await.expect("it is signed");
    url.as_str().split('?').next().expect("it has a query").to_owned()
}

#[tokio::test]
async fn without_an_endpoint_it_is_amazons() {
    let url = "s3://media/prefix";
    assert_eq!(target(url, &[]).await, "https://s3.us-east-1.amazonaws.com/media/x");
    let region = ("aws_region", "eu-central-1");
    assert_eq!(target(url, &[region]).await, "https://s3.eu-central-1.amazonaws.com/media/x");
    let hosted = ("aws_virtual_hosted_style_request", "true");
    assert_eq!(target(url, &[region, hosted]).await, "https://media.s3.eu-central-1.amazonaws.com/x");
}

#[tokio::test]
async fn an_endpoint_of_the_variables_is_used_and_may_be_http() {
    for name in ["aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"] {
        let at = target("s3://media", &[(name, "http://127.0.0.1:8333/")]).await;
        assert_eq!(at, "http://127.0.0.1:8333/media/x", "{name}");
    }
}

#[tokio::test]
async fn an_endpoint_in_the_url_takes_precedence() {
    let variables =
        [("aws_endpoint_url_s3", "http://elsewhere"), ("aws_virtual_hosted_style_request", "true")];
    let url = "s3://media?endpoint=https://s3.example.org/store&path_style=true";
    assert_eq!(target(url, &variables).await, "https://s3.example.org/store/media/x");
}

#[tokio::test]
async fn a_virtual_host_begins_with_the_bucket_once() {
    for endpoint in ["https://s3.example.org", "https://media.s3.example.org"] {
        let url = format!("s3://media?path_style=false&endpoint={endpoint}");
        assert_eq!(target(&url, &[]).await, "https://media.s3.example.org/x");
    }
}

#[test]
fn a_url_is_shown_as_it_was_given() {
    for url in [
        "s3://media",
        "s3://media/a prefix/ü",
        "s3://media?endpoint=http://127.0.0.1:8333",
        "s3://media/prefix?endpoint=https://s3.example.org/store&path_style=false",
    ] {
        assert_eq!(bucket(url).to_string(), url);
        assert!(bucket(&bucket(url).to_string()) == bucket(url), "{url}");
    }
}

#[test]
fn an_invalid_bucket_is_refused() {
    for url in [
        "s3:///prefix",
        "s3://",
        "s3:bucket",
        "s3://bucket:80/",
        "s3://key@bucket/",
        "s3://b%20c/",
        "s3://bucket/a//b",
        "s3://bucket?region=x",
        "s3://bucket?endpoint=ftp://x",
        "s3://bucket?endpoint=x",
        "s3://bucket?endpoint=http://key:secret@x",
        "s3://bucket?endpoint=http://x&endpoint=http://y",
        "s3://bucket?path_style=maybe",
    ] {
        let url = Url::parse(url).expect("it is a URL");
        assert!(S3Bucket::parse(&url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn neither_the_key_nor_the_session_token_is_ever_shown() {
    let refused = responding("403 Forbidden", "<Error><Code>SignatureDoesNotMatch</Code></Error>").await;
    let store = store_at(refused);
    let mut shown = format!("{store:?}");
    for error in failures(&store).await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let mut cause: Option<&dyn StdError> = Some(&error);
        while let Some(error) = cause {
            shown += &format!("\n{error}\n{error:?}");
            cause = error.source();
        }
    }
    assert!(shown.contains("SignatureDoesNotMatch"), "why is told: {shown}");
    assert!(!shown.contains(SESSION_TOKEN), "{shown}");
    // A presigned URL contains the session token, which is useless without the key.
    let headers = PresignedHeaders { content_type: String::new(), content_disposition: String::new() };
    let url = store.presign(Namespace::Shared, object(), &headers, PRESIGNED_TIME_MAX).await.expect("signed");
    shown += url.expect("S3 can").as_str();
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_unavailable_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let closed = listener.local_addr().expect("it is bound");
    drop(listener);
    all_are_unavailable_soon(&store_at(closed)).await;
}

#[tokio::test]
async fn what_responds_with_its_own_failure_is_unavailable_soon() {
    for status in ["500 Internal Server Error", "503 Slow Down"] {
        all_are_unavailable_soon(&store_at(responding(status, "").await)).await;
    }
}

/// With the runtime's clock paused, so that the test does not wait in real time.
#[tokio::test(start_paused = true)]
async fn what_never_responds_is_unavailable_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let silent = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    all_are_unavailable_soon(&store_at(silent)).await;
}

async fn all_are_unavailable_soon(store: &BlobStore) {
    let begun = Instant::now();
    for error in failures(store).await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
    assert!(begun.elapsed() < FAILURE_TIME_MAX, "{:?}", begun.elapsed());
}

/// The errors of all operations, which run concurrently.
async fn failures(store: &BlobStore) -> Vec<Error> {
    let (namespace, object) = (Namespace::Shared, object());
    let large = async {
        let mut ingest = store.ingest(namespace, object);
        ingest.write(vec![0; 20 << 20].into()).await?;
        ingest.stage().await?.complete().await
    };
    let listing = async { store.list().try_collect::<Vec<_>>().await.map(drop) };
    let read = async { store.read_to_bytes(namespace, object, 1).await.map(drop) };
    let (put, large, read, delete, list, ping) = tokio::join!(
        store.put(namespace, object, Bytes::from_static(b"x")),
        large,
        read,
        store.delete(namespace, object),
        listing,
        store.ping(),
    );
    let results: [Result<()>; 6] = [put, large, read, delete, list, ping];
    results.map(|result| result.expect_err("nothing is there to succeed with")).into()
}

fn object() -> ObjectId {
    ObjectId::from_bytes([1; 16])
}

fn store_at(address: SocketAddr) -> BlobStore {
    let bucket = bucket(&format!("s3://media?endpoint=http://{address}"));
    let client =
        Arc::new(bucket.client(environment(&[("aws_session_token", SESSION_TOKEN)])).expect("it is enough"));
    let backend = bucket.bucket.backend(Arc::clone(&client), Some(client));
    BlobStore::over("media store", "s3".to_owned(), backend)
}

/// A server that sends the same response to every request.
async fn responding(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let response =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let response = response.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                if connection.read(&mut request).await.is_ok_and(|read| read > 0) {
                    // A client that has disconnected needs no response.
                    let _ = connection.write_all(response.as_bytes()).await;
                }
            });
        }
    });
    address
}
