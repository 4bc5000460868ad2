//! Cursors for clients that page by offset.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use notestamp_store::{Cursor, Digest, ListQuery, SessionId, Start};

/// How many cursors are kept at least before the oldest are forgotten; there may be twice as many.
const REMEMBERED_MIN: usize = 10_000;

/// Remembers, for each session, the cursor at which a page ended, so that the next page continues right after it.
///
/// Clients of this dialect request a page by its offset: how many projects come before it. If the server counted from
/// the start each time, a page would repeat a project for each one saved meanwhile, skip one for each deleted, and cost
/// more the larger the offset is. Where no cursor is known (forgotten, or made by another process), the server counts.
#[derive(Debug, Default)]
pub(crate) struct OffsetCursors(Mutex<Generations>);

/// Two generations of cursors: when `latest` is full, it replaces `before`, which is forgotten.
#[derive(Debug, Default)]
struct Generations {
    latest: HashMap<Digest, Cursor>,
    before: HashMap<Digest, Cursor>,
}

impl OffsetCursors {
    /// Returns the query that continues where the session's previous page ended, or `query` itself if that is unknown.
    pub(crate) fn resume(&self, session: SessionId, query: &ListQuery) -> ListQuery {
        let key = key(session, query, query.skip);
        let places = self.lock();
        match places.latest.get(&key).or_else(|| places.before.get(&key)) {
            Some(place) => ListQuery { start: Start::After(place.clone()), skip: 0, ..query.clone() },
            None => query.clone(),
        }
    }

    /// Remembers the cursor at which a page ended; `next_offset` is the offset of the next page.
    pub(crate) fn remember(&self, session: SessionId, query: &ListQuery, next_offset: usize, place: Cursor) {
        let mut places = self.lock();
        if places.latest.len() >= REMEMBERED_MIN {
            places.before = mem::take(&mut places.latest);
        }
        places.latest.insert(key(session, query, next_offset), place);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of a listing and an offset in it. A digest, because it is short even if the searched text is long.
fn key(session: SessionId, query: &ListQuery, offset: usize) -> Digest {
    let listing = (session, &query.search, &query.contains, &query.kind, query.sort(), query.order(), offset);
    Digest::of(format!("{listing:?}").as_bytes())
}

#[cfg(test)]
mod tests {
    use notestamp_store::Order;

    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn page(skip: usize) -> ListQuery {
        ListQuery { skip, ..ListQuery::default() }
    }

    #[test]
    fn a_cursor_belongs_to_one_session_listing_and_offset() {
        let places = OffsetCursors::default();
        places.remember(session(1), &page(0), 20, Cursor::Saved(7));
        let resumed = places.resume(session(1), &page(20));
        assert_eq!((resumed.after(), resumed.skip), (Some(&Cursor::Saved(7)), 0));

        let of_type = ListQuery { kind: Some("pdf".to_owned()), ..page(20) };
        let searched = ListQuery { contains: Some("text".to_owned()), ..page(20) };
        let reversed = ListQuery { order: Some(Order::Ascending), ..page(20) };
        for (session, query) in [
            (session(2), page(20)),
            (session(1), page(19)),
            (session(1), of_type),
            (session(1), searched),
            (session(1), reversed),
        ] {
            let counted = places.resume(session, &query);
            assert_eq!((counted.after(), counted.skip), (None, query.skip), "{query:?}");
        }
    }

    #[test]
    fn only_a_bounded_number_of_the_latest_cursors_is_kept() {
        let places = OffsetCursors::default();
        for n in 0..3 * REMEMBERED_MIN {
            places.remember(session(1), &page(0), n, Cursor::Saved(n as u64));
        }
        let knows = |n: usize| places.resume(session(1), &page(n)).after().is_some();
        assert!((2 * REMEMBERED_MIN..3 * REMEMBERED_MIN).all(knows));
        assert!(!(0..REMEMBERED_MIN).any(knows));
    }
}
