//! A replayed refresh token ends the session; a second tab and a lost response do not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::TestServer;
use crate::harness::{ACCESS, ADA, Client, REFRESH};
use crate::token::{self, KEY};

const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const GRACE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Uses the refresh token, as after a long pause.
async fn refresh(client: &Client) {
    client.drop_cookie(ACCESS);
    client.get("/home/list").await.assert_status(200).assert_refreshes();
}

/// Asserts that the refresh token is refused.
async fn assert_refused(client: &Client) {
    client.drop_cookie(ACCESS);
    client.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
}

/// Asserts that both tokens are refused.
async fn assert_out(client: &Client) {
    client.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    assert_refused(client).await;
}

#[apply(api_test_in_threads)]
async fn a_hundred_requests_at_once_with_an_expired_access_token_get_one_successor() {
    let server = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let sibling = server.sibling().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL);
    for _ in 0..3 {
        let tabs: Vec<_> = (0..100).map(|n| if n % 2 == 0 { ada.twin() } else { ada.at(&sibling) }).collect();
        let responses = join_all(tabs.iter().map(|tab| tab.get("/home/list"))).await;
        for response in responses {
            response.assert_status(200).assert_refreshes();
        }
        let successors: BTreeSet<_> = tabs.iter().map(|tab| tab.cookie(REFRESH)).collect();
        assert_eq!(successors.len(), 1, "one successor");
        assert!(!successors.contains(&ada.cookie(REFRESH)));
        for tab in &tabs {
            tab.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
        }
        // One of the tabs continues; the other tabs share its cookies.
        ada.set_cookie(ACCESS, &tabs[0].cookie(ACCESS));
        ada.set_cookie(REFRESH, &tabs[0].cookie(REFRESH));
        server.advance(ACCESS_TTL);
    }
}

#[apply(api_test)]
async fn a_lost_response_never_ends_the_session() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL);
    let lost = ada.twin();
    refresh(&lost).await;
    for pause in [GRACE, DAY, 28 * DAY] {
        server.advance(pause);
        let again = ada.twin();
        refresh(&again).await;
        assert_eq!(again.cookie(REFRESH), lost.cookie(REFRESH), "it is the same successor after {pause:?}");
    }
    refresh(&ada).await;
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
}

#[apply(api_test)]
async fn a_token_two_generations_old_revokes_the_session_on_every_server() {
    let server = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let sibling = server.sibling().await;
    for (thief_at, victim_at) in [(&server, &sibling), (&sibling, &server), (&server, &server)] {
        let ada = server.visitor();
        ada.register(ADA).await;
        ada.sign_in(ADA).await.assert_status(200);
        let thief = ada.at(thief_at);
        refresh(&ada).await;
        refresh(&ada).await;
        // Not even a second later.
        assert_refused(&thief).await;
        assert_out(&ada.at(victim_at)).await;
        assert_out(&ada).await;
    }
}

#[apply(api_test)]
async fn a_thief_and_the_victim_cannot_both_continue() {
    let server = TestServer::spawn().await;
    for victim_first in [true, false] {
        let victim = server.visitor();
        victim.register(ADA).await;
        victim.sign_in(ADA).await.assert_status(200);
        let thief = victim.twin();
        let (first, second) = if victim_first { (&victim, &thief) } else { (&thief, &victim) };
        assert!(turns_until_refused(&server, [first, second]).await < 3, "they take turns for ever");
        for somebody in [&victim, &thief] {
            assert_out(somebody).await;
        }
    }
}

/// Counts how often both clients are served if each refreshes its expired access token and uses the new tokens.
async fn turns_until_refused(server: &TestServer, both: [&Client; 2]) -> usize {
    for turn in 0..10 {
        server.advance(ACCESS_TTL);
        for somebody in both {
            for _ in 0..2 {
                if somebody.get("/home/list").await.status == 401 {
                    return turn;
                }
            }
            server.advance(GRACE);
        }
    }
    usize::MAX
}

#[apply(api_test)]
async fn other_sessions_outlive_a_replay() {
    let server = TestServer::spawn().await;
    let (ada, elsewhere) = (server.ada().await, server.visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    let thief = ada.twin();
    refresh(&ada).await;
    refresh(&ada).await;
    assert_refused(&thief).await;
    assert_out(&ada).await;
    elsewhere.get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn a_clock_that_is_set_makes_no_thief_of_a_second_tab_and_no_longer_grace() {
    const STEP: Duration = Duration::from_secs(10 * 60);
    for is_ahead in [true, false] {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        let (tab, thief) = (ada.twin(), ada.twin());
        refresh(&ada).await;
        ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
        if is_ahead {
            server.set_clock_ahead(STEP);
        } else {
            server.set_clock_back(STEP);
        }
        refresh(&tab).await;
        assert_eq!(tab.cookie(REFRESH), ada.cookie(REFRESH));
        server.advance(GRACE);
        assert_refused(&thief).await;
        assert_out(&ada).await;
    }
}
