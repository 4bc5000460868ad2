//! Many sessions of one account use the same projects at several servers: each save gets its own revision, and the last
//! save is the final state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use notestamp_store::Digest;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::alone;
use super::deployment::{Deployment, Places};
use super::generated::{Numbers, file};
use super::http::{Browser, Rules};

const SERVERS: usize = 3;
const SESSIONS: usize = 6;
const ROUNDS: usize = 6;
const TITLE: &str = "contested";

/// A completed save: the project, its revision, and the notes.
type Saved = (String, u64, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn racing_saves_of_one_project_have_distinct_revisions_and_store_equal_media_once() {
    let _alone = alone().await;
    let deployment = Deployment::start(Places::fresh(), SERVERS);
    let mut sessions = sign_in_often(&deployment).await;
    let ledger = deployment.places.ledger().await;
    let large = file(9_000_000);

    let mut completed = Vec::new();
    for round in 0..ROUNDS {
        // At first some clients delete what the others save; at the end they only save.
        let deletes = round < ROUNDS / 2;
        let work = sessions.iter_mut().enumerate().map(|(n, session)| {
            let seed = (round * SESSIONS + n) as u64;
            race(session, &deployment, Numbers(seed), &large, deletes)
        });
        let (saved, ()) = tokio::join!(join_all(work), ledger.assert_sound());
        completed.extend(saved.into_iter().flatten());
    }

    let opened = open(&mut sessions[0], &deployment).await;
    let (id, last) =
        (opened["metadata"]["id"].as_str().unwrap(), opened["metadata"]["revision"].as_u64().unwrap());
    let mut revisions = BTreeMap::<&str, BTreeMap<u64, &str>>::new();
    for (id, revision, notes) in &completed {
        let twin = revisions.entry(id).or_default().insert(*revision, notes);
        assert_eq!(twin, None, "revision {revision} of {id} was given to two");
    }
    // Every request had a response, so no revision is missing, and no revision belongs to two projects.
    let mut of_projects: Vec<Vec<u64>> = revisions.values().map(|it| it.keys().copied().collect()).collect();
    of_projects.sort();
    assert_eq!(of_projects.concat(), (1..=last).collect::<Vec<_>>());
    assert_eq!(revisions[id][&last], opened["content"]);
    assert_eq!(opened["metadata"]["mediaDigest"], Digest::of(&large).to_string());

    // Of concurrent conditional saves of one revision, one succeeds.
    let attempts = sessions.iter_mut().enumerate().map(|(n, session)| {
        let request = save(session, &deployment, n, &format!("{n} at last"), &large);
        let request = request.header("if-match", format!("\"{last}\""));
        async move { session.send(request).await.unwrap().status }
    });
    let mut statuses = join_all(attempts).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[412; SESSIONS - 1]].concat());

    let removed = remove_meanwhile(&mut sessions, &deployment, &large).await;
    assert_eq!(removed, BTreeSet::from([200, 401]), "all of them came before or after");
    deployment.stop();
    deployment.places.assert_nothing_is_left_over().await;
    ledger.assert_empty().await;
    assert_eq!(deployment.places.prefix.unfinished_uploads().await, Vec::<String>::new());
    ledger.drop().await;
}

async fn sign_in_often(deployment: &Arc<Deployment>) -> Vec<Browser> {
    let (rules, urls) = (Arc::new(Rules::default()), deployment.urls());
    let credentials =
        json!({ "username": "somebody@example.org", "password": "correct horse battery staple" });
    let post = async |path: &str, n: usize, status| {
        let mut session = Browser::new(&rules);
        let request = session.request(Method::POST, format!("{}/auth/{path}", urls[n % SERVERS]));
        session.send(request.json(&credentials)).await.unwrap().assert_status(status);
        session
    };
    post("register", 0, 201).await;
    let mut sessions = Vec::new();
    for n in 0..SESSIONS {
        sessions.push(post("signin", n, 200).await);
    }
    sessions
}

/// Saves, and deletes, and saves again; returns the completed saves.
async fn race(
    session: &mut Browser,
    deployment: &Deployment,
    mut numbers: Numbers,
    large: &Bytes,
    deletes: bool,
) -> Vec<Saved> {
    let mut completed = Vec::new();
    for n in 0..3 {
        let server = numbers.below(SERVERS);
        if deletes && numbers.below(4) == 0 {
            let url = format!("{}/project/delete/{TITLE}", deployment.urls()[server]);
            let deleted = session.send(session.request(Method::DELETE, url)).await.unwrap();
            assert!(matches!(deleted.status, 200 | 404), "{deleted:?}");
        } else {
            let notes = json!(format!("{n} {}", numbers.0)).to_string();
            let request = save(session, deployment, server, &notes, large);
            let saved = session.send(request).await.unwrap().assert_status(200).json();
            let metadata = &saved["metadata"];
            completed.push((
                metadata["id"].as_str().unwrap().to_owned(),
                metadata["revision"].as_u64().unwrap(),
                notes,
            ));
        }
    }
    completed
}

fn save(
    session: &Browser,
    deployment: &Deployment,
    n: usize,
    notes: &str,
    media: &Bytes,
) -> reqwest::RequestBuilder {
    let notes = if notes.starts_with('"') { notes.to_owned() } else { json!(notes).to_string() };
    let form = Form::new()
        .part("mediaFile", Part::stream(media.clone()).file_name("media"))
        .part("notesFile", Part::text(notes).file_name("notes"))
        .text("metadata", json!({ "title": TITLE, "mimetype": "audio/mpeg" }).to_string());
    session.request(Method::POST, format!("{}/project/save", deployment.urls()[n % SERVERS])).multipart(form)
}

async fn open(session: &mut Browser, deployment: &Deployment) -> Value {
    let url = format!("{}/home/open?name={TITLE}", deployment.urls()[1]);
    session.get(url).await.unwrap().assert_status(200).json()
}

/// Removes the account while the others save; returns the statuses of their responses.
async fn remove_meanwhile(sessions: &mut [Browser], deployment: &Deployment, media: &Bytes) -> BTreeSet<u16> {
    let [first, others @ ..] = sessions else { panic!("there are several") };
    let served = AtomicUsize::new(0);
    let saves = others.iter_mut().enumerate().map(async |(n, session)| {
        let mut statuses = BTreeSet::new();
        while !statuses.contains(&401) {
            let request = save(session, deployment, n, "too late", media);
            let status = session.send(request).await.unwrap().status;
            served.fetch_add(usize::from(status == 200), Ordering::Relaxed);
            statuses.insert(status);
        }
        statuses
    });
    let url = format!("{}/auth/remove", deployment.urls()[2]);
    let removal = async {
        while served.load(Ordering::Relaxed) < 3 {
            first.get(format!("{}/home/list", deployment.urls()[0])).await.unwrap().assert_status(200);
        }
        first.send(first.request(Method::DELETE, url)).await.unwrap().assert_status(200);
    };
    let (statuses, ()) = tokio::join!(join_all(saves), removal);
    statuses.into_iter().flatten().collect()
}
