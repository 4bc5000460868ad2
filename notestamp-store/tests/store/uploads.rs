//! Uploads in progress: the quota applies to each of them, and to all of an account together.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use notestamp_store::{Error, Result, Save};

use crate::fixture::{Fixture, account, media};

const CHUNK: usize = 1 << 10;
const QUOTA: u64 = 100 * CHUNK as u64;

async fn with_quota(it: Fixture) -> Fixture {
    it.with(|settings| settings.quota_bytes_max = Some(QUOTA)).await
}

/// Uploads this many chunks of new media; returns how many of them were taken.
async fn upload(save: &mut Save, chunks: usize) -> (usize, Result<()>) {
    let taken = AtomicUsize::new(0);
    let bytes = media(7, CHUNK);
    let body = stream::iter(0..chunks).map(|_| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok::<Bytes, std::io::Error>(bytes.clone())
    });
    let written = save.write_media(body).await;
    (taken.load(Ordering::Relaxed), written)
}

pub async fn an_upload_ends_as_soon_as_it_exceeds_the_quota(it: Fixture) -> Fixture {
    let it = with_quota(it).await;
    it.draft("some").media(&media(1, 20 * CHUNK)).save().await;
    let mut save = it.store.begin_save(it.owner).await.unwrap();
    let (taken, refused) = upload(&mut save, 1_000).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded { max: QUOTA })), "{refused:?}");
    // The notes and the record of the first project take a part of the quota too.
    assert_eq!(taken, 79);
    it
}

pub async fn uploads_in_progress_share_what_is_left_of_the_quota(it: Fixture) -> Fixture {
    let it = with_quota(it).await;
    let mut first = it.store.begin_save(it.owner).await.unwrap();
    assert!(matches!(upload(&mut first, 70).await, (70, Ok(()))));
    let mut second = it.store.begin_save(it.owner).await.unwrap();
    let (taken, refused) = upload(&mut second, 1_000).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
    assert_eq!(taken, 31);

    let other = account(&it.store, "bob@example.org").await;
    let mut of_another = it.store.begin_save(other).await.unwrap();
    assert!(matches!(upload(&mut of_another, 70).await, (70, Ok(()))));

    drop((first, second));
    let mut third = it.store.begin_save(it.owner).await.unwrap();
    assert!(matches!(upload(&mut third, 100).await, (100, Ok(()))));
    it
}

pub async fn media_that_the_account_has_may_be_uploaded_again_at_the_quota(it: Fixture) -> Fixture {
    let it = with_quota(it).await;
    let large = media(1, 90 * CHUNK);
    it.draft("first").media(&large).save().await;
    it.draft("first").media(&large).save().await;
    it.draft("second").media(&large).save().await;
    it
}
