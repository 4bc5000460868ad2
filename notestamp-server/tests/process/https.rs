//! A server that speaks https itself, and a real client of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::server::{Server, TIMEOUT, wait_until};

/// Writes a new certificate for `localhost` and its key.
fn write_certificate(folder: &Path) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
}

/// Runs curl, which trusts only the certificate in this folder; returns its output and the status of the last response.
fn curl(folder: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.current_dir(folder).args(["--silent", "--show-error", "--cacert", "cert.pem", "--write-out"]);
    command.args(["\n%{http_code}", "--max-time", &TIMEOUT.as_secs().to_string()]).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (format!("{body}{}", String::from_utf8_lossy(&output.stderr)), status.to_owned())
}

#[test]
fn a_client_uses_the_api_over_https_and_is_led_there_from_http() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_certificate(folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key, "--redirect-listen", "127.0.0.1:0"];
    let server = Server::start(&folder.join("data"), &tls);
    let https = server.url.replace("127.0.0.1", "localhost");
    assert!(https.starts_with("https://"), "{https}");
    let said = server.said_line("redirecting ");
    let http = said.strip_suffix(" to https").unwrap().replace("127.0.0.1", "localhost");

    let account = r#"{"username": "ada@example.org", "password": "a long password"}"#;
    let json = ["--header", "Content-Type: application/json", "--data", account];
    let url = |base: &str, path: &str| format!("{base}{path}");
    let post = |url: &str| curl(folder, &[&json[..], &["--cookie-jar", "jar", url]].concat());
    assert_eq!(post(&url(&https, "/auth/register")).1, "201");
    assert_eq!(post(&url(&https, "/auth/signin")).1, "200");
    let jar = fs::read_to_string(folder.join("jar")).unwrap();
    assert!(jar.contains("__Host-accessToken") && jar.contains("__Host-refreshToken"), "{jar}");
    // The server's own origin is that of https.
    let origin = format!("Origin: {https}");
    let save = ["--cookie", "jar", "--header", &origin, "--form", "content=[]"];
    let save = [&save[..], &["--form", r#"metadata={"title":"a"}"#]].concat();
    let (body, status) = curl(folder, &[&save[..], &[&url(&https, "/home/upload")]].concat());
    assert_eq!(status, "200", "{body}");

    let (body, status) = curl(folder, &["--cookie", "jar", "--location", &url(&http, "/home/list?limit=5")]);
    assert!(status == "200" && body.contains("\"title\":\"a\""), "{status} {body}");
    let (body, status) = curl(folder, &[&url(&https.replace("https", "http"), "/healthz")]);
    assert!(status == "400" && body.contains("\"requestId\""), "{status} {body}");

    // Curl trusts the new certificate only.
    write_certificate(folder);
    wait_until("the new certificate is used", || curl(folder, &[&url(&https, "/healthz")]).1 == "200");
    assert!(server.stop().success());
}
