//! A primary that was replaced while it stood still, and does not know it: nobody whose session has ended is served by
//! what it remembers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use notestamp_store::metadata::MongoDbMetadata;
use reqwest::Method;
use serde_json::json;

use super::alone;
use super::deployment::{Deployment, Places};
use super::http::{ACCESS, Browser, Rules, SLACK};
use super::mongodb::ReplicaSet;

const SERVERS: usize = 3;
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn who_signed_out_at_the_new_primary_is_out_at_the_old_one_too() {
    let _alone = alone().await;
    let set = ReplicaSet::start(3).await;
    let deployment = Deployment::start(Places { metadata: set.url(), ..Places::fresh() }, SERVERS);
    let away_time_max = Some(MongoDbMetadata::TIME_MAX + SLACK);
    let rules = Arc::new(Rules { away_time_max, ..Rules::default() });
    let urls = deployment.urls();
    let credentials =
        json!({ "username": "somebody@example.org", "password": "correct horse battery staple" });
    let post = async |path: &str| {
        let mut session = Browser::new(&rules);
        let request = session.request(Method::POST, format!("{}/auth/{path}", urls[0])).json(&credentials);
        session.send(request).await.unwrap();
        session
    };
    post("register").await;

    for _ in 0..ROUNDS {
        let mut sessions = Vec::new();
        for _ in 0..6 {
            sessions.push(post("signin").await);
        }
        // So that every server has connections to the primary of now.
        for url in &urls {
            join_all(
                sessions
                    .clone()
                    .iter_mut()
                    .map(async |session| session.get(format!("{url}/home/list")).await),
            )
            .await;
        }
        let primary = set.primary(&[]).await;
        set.signal(primary, "STOP");
        set.primary(&[primary]).await;
        for session in &sessions {
            let sign_out = session.request(Method::DELETE, format!("{}/auth/signout", urls[0]));
            let mut signing_out = session.clone();
            while signing_out.send(sign_out.try_clone().unwrap()).await.is_err() {}
        }
        let thieves = sessions.iter().flat_map(|session| [session.clone(), session.without(ACCESS)]);
        let thieves: Vec<_> =
            thieves.flat_map(|thief| urls.iter().map(move |url| (thief.clone(), url))).collect();
        let attempts = thieves.into_iter().map(|(mut thief, url)| async move {
            for _ in 0..10 {
                if let Ok(answer) = thief.get(format!("{url}/auth/user")).await {
                    answer.assert_status(401);
                }
            }
        });
        let resume = async {
            // Some of the attempts are on their way by then.
            tokio::time::sleep(Duration::from_millis(5)).await;
            set.signal(primary, "CONT");
        };
        tokio::join!(join_all(attempts), resume);
    }
    deployment.stop();
}
