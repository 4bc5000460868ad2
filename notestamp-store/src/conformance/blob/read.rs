//! A read yields exactly the requested bytes, or an error.

use futures_util::TryStreamExt;

use super::fixture::{assert_corrupt, content, object, owner, read, save};
use crate::blob::BlobStore;
use crate::error::Error;

/// Any range within an object yields the same bytes as a slice of it.
pub async fn every_range_equals_the_slice(store: &BlobStore) {
    const READ: usize = 256 << 10;
    let bytes = content(2 * READ + 5);
    save(store, owner(1), object(1), &bytes, bytes.len()).await;
    let edges = [0, 1, READ - 1, READ, READ + 1, 2 * READ, bytes.len() - 1, bytes.len()];
    for (at, start) in edges.into_iter().enumerate() {
        for end in edges.into_iter().skip(at) {
            let range = Some(start as u64..end as u64);
            let stream = store.read(owner(1), object(1), bytes.len() as u64, range).await;
            let stream = stream.expect("the range lies in the object");
            let chunks: Vec<_> = stream.try_collect().await.expect("the range is read");
            assert!(chunks.concat() == bytes[start..end], "{start}..{end}");
        }
    }
}

/// A range beyond the end of the object is the caller's mistake, and is refused.
pub async fn a_range_beyond_the_end_is_refused(store: &BlobStore) {
    store.put(owner(1), object(1), content(10)).await.expect("it is put");
    #[expect(clippy::reversed_empty_ranges, reason = "such a range is what is to be refused")]
    for range in [0..11, 10..11, 11..11, 5..4] {
        let refused = store.read(owner(1), object(1), 10, Some(range.clone())).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{range:?}");
    }
}

/// A read of an absent object fails before the first byte, also if the range is empty.
pub async fn a_missing_object_is_an_error(store: &BlobStore) {
    for (size, range) in [(10, None), (10, Some(2..5)), (10, Some(3..3)), (0, None)] {
        assert_corrupt(store.read(owner(1), object(1), size, range).await);
    }
    assert_corrupt(read(store, owner(1), object(1), 10).await);
}

/// A read of an object of another size than expected fails before the first byte.
pub async fn an_object_of_another_size_is_an_error(store: &BlobStore) {
    store.put(owner(1), object(1), content(10)).await.expect("it is put");
    for (size, range) in
        [(9, None), (11, None), (0, None), (9, Some(2..5)), (20, Some(2..15)), (20, Some(15..16))]
    {
        assert_corrupt(store.read(owner(1), object(1), size, range).await);
    }
}

/// An object is found only by its id and namespace together.
pub async fn an_object_is_read_in_its_own_namespace_only(store: &BlobStore) {
    store.put(owner(1), object(1), content(10)).await.expect("it is put");
    assert_corrupt(read(store, owner(2), object(1), 10).await);
}
