//! Secrets do not appear in logs or responses, at any level of logging and with any failure.

use std::collections::BTreeSet;
use std::str;
use std::sync::Arc;

use futures_util::future::join_all;
use notestamp_server::config::REQUEST_TIME_MAX;
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use super::bucket::Prefix;
use super::deployment::{ACCESS_TTL, Deployment, KEY, Places};
use super::http::{ACCESS, Browser, NoResponse, Rules, SLACK};
use super::mongodb::{Credentials, ReplicaSet};
use super::outages::{BUCKET_TIME_MAX, NOTICE_TIME_MAX};
use super::relay::{Relay, Way};
use super::{alone, variable};

const DATABASE: Credentials = Credentials { user: "the-database-user", password: "the-database-password" };
const EMAIL: &str = "the-address@example.org";
const PASSWORD: &str = "the password of somebody";
const NOTES: &str = "the notes of somebody";
const TITLE: &str = "the-title";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn no_secret_is_in_the_log_or_in_a_response_during_any_outage() {
    let _alone = alone().await;
    let set = ReplicaSet::with_access_control(DATABASE).await;
    let endpoint = variable("NOTESTAMP_TEST_S3_ENDPOINT");
    let relay = Relay::to(&endpoint).await;
    let places = Places { records: set.url(), prefix: Prefix::fresh(&endpoint), endpoint: relay.endpoint() };
    let log_filter = "debug,notestamp_server=trace,notestamp_store=trace";
    let deployment = Deployment::start_with(places, 2, ACCESS_TTL, log_filter);
    let unavailable_time_max = Some(REQUEST_TIME_MAX.max(BUCKET_TIME_MAX) + SLACK);
    let rules = Arc::new(Rules { unavailable_time_max, ..Rules::default() });
    let mut browser = Browser::new(&rules);
    let urls = deployment.urls();

    post(&mut browser, &urls[0], "register").await.unwrap();
    post(&mut browser, &urls[0], "signin").await.unwrap();
    save(&mut browser, &urls[0]).await.unwrap();
    let mut secrets = BTreeSet::new();
    use_all(&mut browser, &urls, &mut secrets).await.unwrap();
    for way in [Way::Failing, Way::Closed, Way::Silent] {
        relay.set(way);
        use_all(&mut browser, &urls, &mut secrets).await.unwrap_err();
    }
    relay.set(Way::Open);
    set.signal(0, "STOP");
    use_all(&mut browser, &urls, &mut secrets).await.unwrap_err();
    set.signal(0, "CONT");
    set.kill(0);
    use_all(&mut browser, &urls, &mut secrets).await.unwrap_err();
    let start = deployment.try_start();
    assert!(!start.status.success());
    set.restart(0);
    let recover = async { while use_all(&mut browser, &urls, &mut secrets).await.is_err() {} };
    timeout(NOTICE_TIME_MAX, recover).await.unwrap();

    let mut log = deployment.log();
    assert!(log.contains("request refused temporarily") && log.contains("hyper"), "it is all there");
    log.extend([start.stdout, start.stderr].iter().map(|said| str::from_utf8(said).unwrap()));
    secrets.extend(
        [DATABASE.password, &variable("AWS_SECRET_ACCESS_KEY"), KEY, EMAIL, PASSWORD, NOTES]
            .map(str::to_owned),
    );
    secrets.extend(rules.cookies.lock().unwrap().iter().cloned());
    let refusals = rules.refusals.lock().unwrap();
    assert!(refusals.len() > 5);
    for text in log.lines().chain(refusals.iter().map(|body| str::from_utf8(body).unwrap())) {
        let found = secrets.iter().find(|secret| text.contains(*secret));
        assert_eq!(found, None, "{text}");
    }
    deployment.stop();
}

/// Performs all operations with secrets at all servers, and collects these secrets.
async fn use_all(
    browser: &mut Browser,
    urls: &[String],
    secrets: &mut BTreeSet<String>,
) -> Result<(), NoResponse> {
    let signed_in = post(browser, &urls[0], "signin").await;
    let outcomes = join_all(urls.iter().map(async |url| {
        let (mut one, mut another) = (browser.clone(), browser.clone());
        let mut refreshing = browser.without(ACCESS);
        tokio::join!(
            wrong_password(browser, url),
            refreshing.get(format!("{url}/home/list")),
            save(&mut one, url),
            read(&mut another, url),
        )
    }));
    let mut outcome = signed_in;
    for (refused, refreshed, saved, read) in outcomes.await {
        let read = read.map(|signatures| secrets.extend(signatures));
        outcome = outcome.and(refused).and(refreshed.map(drop)).and(saved).and(read);
    }
    outcome
}

async fn post(browser: &mut Browser, url: &str, path: &str) -> Result<(), NoResponse> {
    let credentials = json!({ "username": EMAIL, "password": PASSWORD });
    let request = browser.request(Method::POST, format!("{url}/auth/{path}")).json(&credentials);
    browser.send(request).await.map(drop)
}

async fn wrong_password(browser: &Browser, url: &str) -> Result<(), NoResponse> {
    let credentials = json!({ "username": EMAIL, "password": format!("not {PASSWORD}") });
    let request = browser.request(Method::POST, format!("{url}/auth/signin")).json(&credentials);
    browser.clone().send(request).await.map(|response| drop(response.assert_status(401)))
}

async fn save(browser: &mut Browser, url: &str) -> Result<(), NoResponse> {
    let form = Form::new()
        .part("mediaFile", Part::bytes(vec![7; 9_000_000]).file_name("media"))
        .text("content", json!(NOTES).to_string())
        .text("metadata", json!({ "title": TITLE, "mimetype": "audio/mpeg" }).to_string());
    let request = browser.request(Method::POST, format!("{url}/home/upload")).multipart(form);
    browser.send(request).await.map(|response| drop(response.assert_status(200)))
}

/// Reads media by a signed URL of the server and by a presigned URL of the bucket; returns their signatures.
async fn read(browser: &mut Browser, url: &str) -> Result<Vec<String>, NoResponse> {
    let opened = browser.get(format!("{url}/project/get/{TITLE}")).await?.assert_status(200).json();
    let own: Url = opened["src"].as_str().unwrap().parse().unwrap();
    let player = Client::builder().redirect(Policy::none()).build().unwrap();
    let response = player.get(own.clone()).header("sec-fetch-dest", "audio").send().await.unwrap();
    if response.status() != 307 {
        assert_eq!(response.status(), 503);
        return Err(NoResponse);
    }
    let theirs: Url = response.headers()["location"].to_str().unwrap().parse().unwrap();
    let mut found = Vec::new();
    for url in [own, theirs] {
        let signatures = url.query_pairs().filter(|(name, _)| name.to_lowercase().contains("sig"));
        let signatures = signatures.map(|(_, value)| value.into_owned()).filter(|value| value.len() > 20);
        let signatures: Vec<_> = signatures.collect();
        assert!(!signatures.is_empty(), "{url}");
        found.extend(signatures);
    }
    Ok(found)
}
