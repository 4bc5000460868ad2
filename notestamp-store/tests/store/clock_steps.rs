//! The civil clock is set while a session is refreshed: that ends no session, and prolongs no grace period.

use std::time::Duration;

use notestamp_store::{Clock as _, Session, Store, StoreSettings, TokenId, User};

use super::fixture::Fixture;

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A session that was rotated once and confirmed, and its first refresh token.
struct Rotated {
    user: User,
    session: Session,
    replaced: TokenId,
}

impl Rotated {
    async fn new(it: &Fixture) -> Self {
        let user = it.store.find_account(it.owner).await.unwrap().unwrap();
        let first = it.store.start_session(&user, "a browser").await.unwrap().unwrap();
        let rotated = it.store.refresh_session(user.id, first.id, first.current, 0).await.unwrap().unwrap();
        let session = it.store.use_session(user.id, first.id, 1).await.unwrap().unwrap();
        assert_eq!((session.current, session.confirmed), (rotated.current, true));
        Self { user, session, replaced: first.current }
    }

    /// Presents the replaced token to a store, with rotation and without: whether it is valid.
    async fn is_replaced_token_valid_at(&self, store: &Store) -> bool {
        let (user, session) = (self.user.id, self.session.id);
        let refreshed = store.refresh_session(user, session, self.replaced, 0).await.unwrap();
        let used = store.use_refresh_token(user, session, self.replaced, 0).await.unwrap();
        assert_eq!(refreshed.is_some(), used.is_some());
        for found in refreshed.iter().chain(&used) {
            assert_eq!(found.current, self.session.current, "the successor is the same");
        }
        refreshed.is_some()
    }

    async fn is_open(&self, it: &Fixture) -> bool {
        it.store.find_open_session(self.session.id).await.unwrap().is_some()
    }
}

pub async fn a_clock_that_is_set_ahead_makes_no_replay(it: Fixture) -> Fixture {
    let other = it.parts.open(StoreSettings::default(), &it.clock).await;
    let session = Rotated::new(&it).await;
    it.clock.step_to(it.clock.now().after(MONTH));
    for store in [&it.store, &other] {
        assert!(session.is_replaced_token_valid_at(store).await, "no time has passed");
    }
    it.clock.advance(Session::GRACE - Duration::from_millis(1));
    assert!(session.is_replaced_token_valid_at(&it.store).await);
    assert!(session.is_open(&it).await);
    it.clock.advance(Duration::from_millis(1));
    assert!(!session.is_replaced_token_valid_at(&it.store).await);
    assert!(!session.is_open(&it).await, "now it is a replay");
    it
}

pub async fn a_clock_that_is_set_back_prolongs_no_grace(it: Fixture) -> Fixture {
    let session = Rotated::new(&it).await;
    it.clock.step_to(it.clock.now().before(MONTH));
    assert!(session.is_replaced_token_valid_at(&it.store).await, "no time has passed");
    it.clock.advance(Session::GRACE);
    assert!(!session.is_replaced_token_valid_at(&it.store).await);
    assert!(!session.is_open(&it).await, "it is a replay");
    it
}

pub async fn a_rotation_by_another_process_is_judged_by_the_clock_as_far_as_it_can_be_believed(
    it: Fixture,
) -> Fixture {
    let other = it.parts.open(StoreSettings::default(), &it.clock).await;
    let session = Rotated::new(&it).await;
    // The clock is set back, so it does not tell how long ago the rotation was.
    let before = it.clock.now();
    it.clock.step_to(before.before(MONTH));
    assert!(!session.is_replaced_token_valid_at(&other).await, "no grace of a month");
    assert!(session.is_open(&it).await, "and no replay either");
    it.clock.step_to(before);
    assert!(session.is_replaced_token_valid_at(&other).await);
    it.clock.advance(Session::GRACE);
    assert!(!session.is_replaced_token_valid_at(&other).await);
    assert!(!session.is_open(&it).await, "by a clock that nobody has set, it is a replay");
    it
}

pub async fn the_use_of_a_session_is_written_down_once_an_hour(it: Fixture) -> Fixture {
    let session = Rotated::new(&it).await;
    let (user, id) = (session.user.id, session.session.id);
    let mut expected = session.session.last_used;
    for minute in 1..=130 {
        it.clock.advance(Duration::from_secs(60));
        let used = it.store.use_session(user, id, 1).await.unwrap().unwrap();
        let refreshed =
            it.store.use_refresh_token(user, id, session.session.current, 1).await.unwrap().unwrap();
        if minute % 60 == 0 {
            expected = it.clock.now();
        }
        let found = it.store.find_open_session(id).await.unwrap().unwrap();
        assert_eq!([used.last_used, refreshed.last_used, found.last_used], [expected; 3], "minute {minute}");
    }
    it
}
