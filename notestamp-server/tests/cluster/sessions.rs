//! A primary that was replaced while it was stopped, and does not know it: no ended session is served from its stale
//! data.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use notestamp_server::config::REQUEST_TIME_MAX;
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use super::alone;
use super::deployment::{Deployment, Places};
use super::http::{ACCESS, Browser, NoResponse, Rules, SLACK, ServerResponse};
use super::mongodb::ReplicaSet;

const SERVERS: usize = 3;
const SESSIONS: usize = 4;
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_session_ended_at_the_new_primary_is_refused_at_the_old_one_too() {
    let _alone = alone().await;
    let set = ReplicaSet::start(3).await;
    let start = |records, count| {
        // A refresh needs a write, which a former primary cannot do.
        Deployment::start_with(Places { records, ..Places::fresh() }, count, "15m", "warn")
    };
    let deployment = start(set.url(), SERVERS);
    let unavailable_time_max = Some(REQUEST_TIME_MAX + SLACK);
    let rules = Arc::new(Rules { unavailable_time_max, ..Rules::default() });
    let urls = deployment.urls();
    let credentials =
        json!({ "username": "somebody@example.org", "password": "correct horse battery staple" });
    let post = async |path: &str| {
        let mut session = Browser::new(&rules);
        let request = session.request(Method::POST, format!("{}/auth/{path}", urls[0])).json(&credentials);
        while session.send(request.try_clone().unwrap()).await.is_err() {}
        session
    };
    post("register").await;

    for _ in 0..ROUNDS {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(post("signin").await);
        }
        let primary = set.primary(&[]).await;
        // One more server, which polls the nodes so rarely that it does not notice the new primary.
        let records = set.url() + "&serverMonitoringMode=poll&heartbeatFrequencyMS=60000";
        let deaf = start(records, 1);
        let urls = [&urls[..], &deaf.urls()[..]].concat();
        // So that each server has enough connections.
        for url in &urls {
            for response in join_all(sessions.clone().iter_mut().map(async |it| get(it, url).await)).await {
                response.unwrap().assert_status(200);
            }
        }
        set.signal(primary, "STOP");
        set.primary(&[primary]).await;
        join_all(sessions.iter().map(async |session| {
            let mut session = session.clone();
            let url = format!("{}/auth/signout", urls[0]);
            while session.send(session.request(Method::DELETE, url.clone())).await.is_err() {}
        }))
        .await;

        let thieves = sessions.iter().flat_map(|session| [session.clone(), session.without(ACCESS)]);
        let thieves: Vec<_> =
            thieves.flat_map(|thief| urls.iter().map(move |url| (thief.clone(), url))).collect();
        let attempts = thieves.into_iter().map(|(mut thief, url)| async move {
            for _ in 0..5 {
                if let Ok(response) = get(&mut thief, url).await {
                    response.assert_status(401);
                }
            }
        });
        let resume = async {
            // Most of the attempts have begun by then, and some wait for the old primary.
            sleep(Duration::from_millis(100)).await;
            set.signal(primary, "CONT");
        };
        tokio::join!(join_all(attempts), resume);
        deaf.stop();
    }
    deployment.stop();
}

async fn get(session: &mut Browser, url: &str) -> Result<ServerResponse, NoResponse> {
    session.get(format!("{url}/auth/user")).await
}
