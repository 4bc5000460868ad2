//! Completed changes survive a power loss: the order of the system calls shows it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;

use super::client::Client;
use super::server::Server;

/// The calls that matter.
const CALLS: &str = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,\
                     write,writev,sendto,sendmsg,pwrite64,openat";

/// A finished system call, and where in the trace it began and ended.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    arguments: String,
    began: usize,
    ended: usize,
}

impl Call {
    fn is(&self, name: &str, path: &str) -> bool {
        self.name == name && self.arguments.contains(path)
    }

    fn is_response(&self) -> bool {
        self.arguments.contains("\"HTTP/1.1 2")
    }

    /// Whether it does the same to the same file: large files are written in several calls.
    fn is_like(&self, other: &Self) -> bool {
        (&self.name, self.file()) == (&other.name, other.file())
    }

    /// The number of bytes that it should write: the third argument of a write.
    fn bytes(&self) -> u64 {
        let bytes = self.arguments.rsplit(", ").nth(1);
        bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
    }

    /// Its first argument: a descriptor with its path, or a path.
    fn file(&self) -> &str {
        self.arguments.split(['>', ',']).next().unwrap_or_default()
    }
}

/// The calls of a trace (`strace -f -y`) that succeeded. One that another thread interrupts comes in two lines.
fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, text)) = line.trim().split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        let (began, text) = if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, (number, begun));
            continue;
        } else if let Some((_, rest)) =
            text.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            let Some((began, begun)) = unfinished.remove(pid) else { continue };
            (began, format!("{begun}{rest}"))
        } else {
            (number, text.to_owned())
        };
        let Some((call, result)) = text.rsplit_once(" = ") else { continue };
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if !result.starts_with('-') {
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            calls.push(Call { name, arguments, began, ended: number });
        }
    }
    calls
}

/// The calls of each request, up to the response that reports success.
fn by_response(mut calls: Vec<Call>) -> Vec<Vec<Call>> {
    calls.sort_by_key(|call| call.began);
    calls.split_inclusive(Call::is_response).map(<[Call]>::to_vec).collect()
}

/// What a save has to do.
#[derive(Clone, Copy)]
struct Expected {
    media: bool,
    /// Whether the notes are too long for the records.
    notes: bool,
    /// Whether the account has no folders yet.
    first: bool,
}

/// Checks that every step of a save was synced before the response, and after the steps that it relies on.
///
/// Returns the calls that prove it; each of them is necessary.
///
/// # Errors
/// The step that is missing.
fn proof(calls: &[Call], data: &str, expected: Expected) -> Result<Vec<Call>, String> {
    let mut proof = Vec::new();
    let mut find = |what: &str, after: usize, before: usize, is: &dyn Fn(&Call) -> bool| {
        let call = calls.iter().find(|call| call.began > after && call.ended < before && is(call));
        let call = call.ok_or_else(|| format!("{what} is missing"))?;
        proof.push(call.clone());
        Ok::<_, String>(call.clone())
    };

    let response = find("the response", 0, usize::MAX, &Call::is_response)?;
    let mut stored = 0;
    let stores = [("media", expected.media), ("notes", expected.notes)];
    for (store, _) in stores.into_iter().filter(|(_, is_written)| *is_written) {
        let root = format!("{data}/{store}");
        let is_rename =
            |call: &Call| call.name.starts_with("rename") && call.arguments.contains(&format!("{root}/"));
        let rename = find(&format!("the renaming of the {store} file"), 0, response.began, &is_rename)?;
        let staged = rename.arguments.split('"').nth(1).unwrap_or_default();
        let folder = staged.rsplit_once('/').map_or(staged, |(folder, _)| folder);
        let in_file = format!("<{staged}>");
        let write =
            find(&format!("writing the {store} file"), 0, rename.began, &|call| call.is("write", &in_file))?;
        find(&format!("syncing the {store} file"), write.ended, rename.began, &|call| {
            call.is("fsync", &in_file)
        })?;
        let synced = format!("<{folder}>");
        let synced = find(&format!("syncing the {store} folder"), rename.ended, response.began, &|call| {
            call.is("fsync", &synced)
        })?;
        stored = stored.max(synced.ended);
        if expected.first {
            let is_mkdir = |call: &Call| call.name.starts_with("mkdir") && call.arguments.contains(folder);
            let made = find(&format!("making the {store} folder"), 0, write.began, &is_mkdir)?;
            let root = format!("<{root}>");
            let root = find(
                &format!("syncing what holds the {store} folder"),
                made.ended,
                response.began,
                &|call| call.is("fsync", &root),
            )?;
            stored = stored.max(root.ended);
        }
    }
    let log = format!("{data}/notestamp.sqlite-wal>");
    let commit = find("the commit", stored, response.began, &|call| call.is("pwrite64", &log))?;
    let is_sync = |call: &Call| call.is("fdatasync", &log) || call.is("fsync", &log);
    find("syncing the commit", commit.ended, response.began, &is_sync)?;
    Ok(proof)
}

/// A recorded trace of a save by a new account, shortened.
const TRACE: &str = r#"
7 mkdir("/data/media/0a", 0700) = 0
7 fsync(11</data/media>) = 0
7 write(12</data/media/0a/1#1>, "ID3"..., 512) = 512
8 mkdir("/data/notes/0a", 0700) = 0
8 fsync(13</data/notes>) = 0
8 write(14</data/notes/0a/2#1>, "{}", 2) = 2
7 fsync(12</data/media/0a/1#1> <unfinished ...>
8 fsync(14</data/notes/0a/2#1>) = 0
7 <... fsync resumed>) = 0
8 rename("/data/notes/0a/2#1", "/data/notes/0a/2") = 0
7 rename("/data/media/0a/1#1", "/data/media/0a/1") = 0
7 fsync(12</data/media/0a>) = 0
8 fsync(14</data/notes/0a>) = 0
9 pwrite64(6</data/notestamp.sqlite-wal>, "\0"..., 4096, 4152) = 4096
9 fdatasync(6</data/notestamp.sqlite-wal>) = 0
5 writev(10<socket:[77]>, [{iov_base="HTTP/1.1 200 OK\r\n"..., iov_len=300}], 1) = 300
"#;

const FIRST: Expected = Expected { media: true, notes: true, first: true };

#[test]
fn a_trace_of_a_whole_save_is_proof() {
    proof(&parse(TRACE), "/data", FIRST).unwrap();
}

#[test]
fn a_trace_without_one_of_its_lines_is_no_proof() {
    for missing in TRACE.lines().filter(|line| !line.is_empty()) {
        let doctored: Vec<_> = TRACE.lines().filter(|line| *line != missing).collect();
        let proof = proof(&parse(&doctored.join("\n")), "/data", FIRST);
        assert!(proof.is_err(), "without {missing}");
    }
}

#[test]
fn a_trace_in_another_order_is_no_proof() {
    let lines: Vec<_> = TRACE.lines().filter(|line| !line.is_empty()).collect();
    let response = lines.len() - 1;
    for late in 0..response {
        let mut doctored = lines.clone();
        doctored[late..].rotate_left(1);
        let proof = proof(&parse(&doctored.join("\n")), "/data", FIRST);
        assert!(proof.is_err(), "{} after the response", lines[late]);
    }
}

#[test]
fn a_call_that_failed_is_no_proof() {
    let failed = TRACE.replace("notes/0a>) = 0", "notes/0a>) = -1 EIO (Input/output error)");
    assert_eq!(proof(&parse(&failed), "/data", FIRST).unwrap_err(), "syncing the notes folder is missing");
}

/// Saves with small media, with large media and without media, with notes in files and in the records, and returns the
/// traces of the saves.
async fn trace_saves(data: &Path, durability: &str) -> Vec<(Expected, Vec<Call>)> {
    let trace = data.with_extension("trace");
    let server = Server::start_traced(data, &["--durability", durability], CALLS, &trace);
    let client = Client::register(&server.url, "somebody").await;
    let media = |size: usize| Some(stream::iter([Bytes::from(vec![size as u8; size])]));
    let long_notes = "long notes ".repeat(10_000);
    client.save("first", &long_notes, media(1_000)).await.unwrap();
    client.save("second", "notes", media(3_000_001)).await.unwrap();
    client.save("second", &long_notes, media(0).filter(|_| false)).await.unwrap();
    client.save("second", "other notes", media(0).filter(|_| false)).await.unwrap();
    assert!(server.stop().success());

    let requests = by_response(parse(&fs::read_to_string(trace).unwrap()));
    let expected = [(true, true, true), (true, false, false), (false, true, false), (false, false, false)];
    // The account, and the session.
    let saves = requests.into_iter().skip(2);
    let saves: Vec<_> = expected
        .into_iter()
        .map(|(media, notes, first)| Expected { media, notes, first })
        .zip(saves)
        .collect();
    assert_eq!(saves.len(), expected.len());
    saves
}

#[tokio::test]
#[ignore = "needs strace"]
async fn every_acknowledged_change_was_synced_in_order_before_its_response() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    for (expected, calls) in trace_saves(&data, "full").await {
        let data = data.to_str().unwrap();
        let proof_of_all =
            proof(&calls, data, expected).unwrap_or_else(|missing| panic!("{missing}:\n{calls:#?}"));
        for needed in proof_of_all {
            let doctored: Vec<_> = calls.iter().filter(|call| !call.is_like(&needed)).cloned().collect();
            assert!(proof(&doctored, data, expected).is_err(), "without {needed:?}:\n{calls:#?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs strace"]
async fn with_relaxed_durability_nothing_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    for (expected, calls) in trace_saves(&data, "relaxed").await {
        assert!(proof(&calls, data.to_str().unwrap(), expected).is_err());
        let syncs: Vec<_> = calls.iter().filter(|call| call.name.contains("sync")).collect();
        assert!(syncs.is_empty(), "{syncs:#?}");
        let has_files = calls.iter().any(|call| call.name.starts_with("rename"));
        assert_eq!(has_files, expected.media || expected.notes, "the trace sees what is done");
    }
}

/// A sync is what a save waits for most. Their number, unlike their time, is the same on each machine.
#[tokio::test]
#[ignore = "needs strace"]
async fn a_save_of_small_notes_without_media_syncs_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    let saves = trace_saves(&data, "full").await;
    let (expected, calls) = saves.last().unwrap();
    assert!(!expected.media && !expected.notes);
    let count = |name: &str| calls.iter().filter(|call| call.name.contains(name)).count();
    assert_eq!((count("sync"), count("rename"), count("mkdir")), (1, 0, 0), "{calls:#?}");
    let written: u64 = calls.iter().filter(|call| call.name == "pwrite64").map(Call::bytes).sum();
    assert!(written <= SAVE_BYTES_MAX, "{written} bytes");
}

/// How much a save of small notes may write, besides the checkpoints.
const SAVE_BYTES_MAX: u64 = 24 << 10;

/// The writer commits what has come while the disk was busy with one sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn concurrent_saves_share_their_syncs() {
    const CLIENTS: usize = 16;
    const SAVES: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    let trace = data.with_extension("trace");
    let server = Server::start_traced(&data, &[], CALLS, &trace);
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        clients.push(Client::register(&server.url, &format!("client{n}")).await);
    }
    let saves = clients.into_iter().map(|client| async move {
        for n in 0..SAVES {
            client.save("title", &format!("notes {n}"), None::<stream::Empty<Bytes>>).await.unwrap();
        }
    });
    futures_util::future::join_all(saves).await;
    assert!(server.stop().success());
    // The account and the session of each client come first.
    let requests = by_response(parse(&fs::read_to_string(trace).unwrap()));
    let saving = requests[2 * CLIENTS..][..CLIENTS * SAVES].concat();
    let syncs = saving.iter().filter(|call| call.name.contains("sync")).count();
    assert!(syncs <= CLIENTS * SAVES / 2, "{syncs} syncs of {} saves", CLIENTS * SAVES);
}

#[test]
#[ignore = "needs strace"]
fn a_folder_of_a_crashed_process_is_synced_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    assert!(Server::start(&data, &[]).stop().success());

    let trace = data.with_extension("trace");
    assert!(Server::start_traced(&data, &[], CALLS, &trace).stop().success());
    let calls = parse(&fs::read_to_string(trace).unwrap());
    for store in ["media", "notes"] {
        let synced = format!("<{}/{store}>", data.display());
        assert!(calls.iter().any(|call| call.is("fsync", &synced)), "{store}: {calls:#?}");
    }
}
