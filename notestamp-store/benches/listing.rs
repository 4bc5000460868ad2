//! The cost of a page of projects: the first and the last, in each order, with a search and a filter, in an account of
//! ten projects and in one of a hundred thousand. Each is shown as a ratio to the first page of the small account.
//!
//! `cargo bench -p notestamp-store --all-features --bench listing`; MongoDB is measured too if
//! `NOTESTAMP_TEST_MONGODB_URL` is set (`eval "$(scripts/services start)"`).

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on may panic")]

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use notestamp_store::protocol::{NewNotes, SaveCommit, Written};
use notestamp_store::records::{RecordStore, SqliteRecords};
use notestamp_store::{
    Cursor, Digest, Durability, Email, ListQuery, Metadata, Namespace, Object, ObjectId, ObjectKind, Order,
    OsRandom, PasswordHash, Precondition, ProjectId, Sort, Start, Timestamp, Title, User, UserId,
};
use tokio::time::Instant;

const FEW: usize = 10;
const MANY: usize = 100_000;
const PAGE: NonZeroUsize = NonZeroUsize::new(20).unwrap();
const ROUNDS: usize = 40;
const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_123);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteRecords::open(&folder.path().join("db"), Durability::Relaxed).await.unwrap();
    let (few, many) = (account(&store, "few").await, account(&store, "many").await);
    save(&store, few, FEW).await;
    save(&store, many, MANY).await;
    println!("\nSQLite");
    measure(&store, few, many).await;
    store.close().await.unwrap();

    #[cfg(feature = "mongodb")]
    mongodb::measure().await;
}

/// Prints the time of each kind of page, the median of some rounds, as a ratio to the same page of a small account.
async fn measure(store: &dyn RecordStore, few: UserId, many: UserId) {
    let last = |sort: Sort| match sort {
        // The cursor of the last page of twenty.
        Sort::Saved => Cursor::Saved(21),
        Sort::LastModified => {
            Cursor::LastModified(NOW.after(Duration::from_secs(20)), ProjectId::from_bytes([0; 16]))
        }
        Sort::Title => {
            let title = Title::parse(&title(MANY - 21)).unwrap();
            Cursor::Title(title.folded(), title)
        }
    };
    let page = |sort| ListQuery { start: Start::First(sort), limit: Some(PAGE), ..ListQuery::default() };
    let search = |text: &str| Some(text.to_owned());
    let mut kinds = Vec::new();
    for sort in [Sort::Saved, Sort::LastModified, Sort::Title] {
        kinds.push((format!("{sort:?}, first"), page(sort)));
        kinds.push((format!("{sort:?}, last"), ListQuery { start: Start::After(last(sort)), ..page(sort) }));
        let kind = Some("pdf".to_owned());
        kinds.push((
            format!("{sort:?}, of a type, last"),
            ListQuery { kind, start: Start::After(last(sort)), ..page(sort) },
        ));
        kinds.push((
            format!("{sort:?}, searched, all match"),
            ListQuery { search: search("lecture"), ..page(sort) },
        ));
        kinds.push((
            format!("{sort:?}, searched, one matches"),
            ListQuery { search: search("No. 00777"), ..page(sort) },
        ));
        kinds.push((
            format!("{sort:?}, searched, none matches"),
            ListQuery { search: search("absent"), ..page(sort) },
        ));
        kinds.push((
            format!("{sort:?}, searched, two letters, none"),
            ListQuery { search: search("qz"), ..page(sort) },
        ));
    }
    let by_offset = |skip| ListQuery { skip, ..page(Sort::LastModified) };
    kinds.push(("LastModified, last by offset".to_owned(), by_offset(MANY - 20)));
    kinds.push(("LastModified, middle by offset".to_owned(), by_offset(MANY / 2)));
    println!("{:<44} {:>10} {:>10} {:>8}", "page", "of few", "of many", "ratio");
    for (name, query) in kinds {
        assert_eq!(
            query.order(),
            if query.sort() == Sort::Title { Order::Ascending } else { Order::Descending }
        );
        let (small, large) = (median(store, few, &query).await, median(store, many, &query).await);
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        println!("{name:<44} {small:>10.1?} {large:>10.1?} {ratio:>8.2}");
    }
}

async fn median(store: &dyn RecordStore, owner: UserId, query: &ListQuery) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        store.list_projects(owner, query).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    times[ROUNDS / 2]
}

async fn account(store: &dyn RecordStore, name: &str) -> UserId {
    let email = Email::parse(&format!("{name}@example.org")).unwrap();
    let user = User::new(UserId::generate(NOW, &OsRandom), email, PasswordHash::new("$argon2id$…"), NOW);
    store.create_user(&user).await.unwrap();
    user.id
}

fn title(n: usize) -> String {
    format!("Lecture No. {n:05} on the history of notes")
}

/// The metadata of the project with this number.
fn metadata(n: usize) -> Metadata {
    let saved = NOW.after(Duration::from_secs(n as u64));
    let mut metadata = Metadata::new(Title::parse(&title(n)).unwrap(), saved);
    metadata.kind = if n.is_multiple_of(2) { "audio" } else { "pdf" }.to_owned();
    metadata
}

/// Saves this many projects; their notes exist only in the ledger.
async fn save(store: &dyn RecordStore, owner: UserId, count: usize) {
    let saves = stream::iter(0..count).map(|n| async move {
        let home = Namespace::Owner(owner);
        let notes = Object::reserve(ObjectId::generate(NOW, &OsRandom), ObjectKind::Notes, home, NOW);
        store.reserve(std::slice::from_ref(&notes)).await?;
        let commit = SaveCommit {
            caller: owner.into(),
            new_id: ProjectId::generate(NOW, &OsRandom),
            metadata: metadata(n),
            precondition: Precondition::None,
            notes: NewNotes::Written(Written { object: notes.id, digest: Digest::of(b"[]"), size: 2 }),
            checks: Vec::new(),
            media: None,
            namespace: home,
            restores: None,
            history: None,
            quota_bytes_max: None,
            projects_max: u64::MAX,
            now: NOW,
        };
        store.commit_save(&commit).await
    });
    saves.buffered(256).try_for_each(|_| async { Ok(()) }).await.unwrap();
}

#[cfg(feature = "mongodb")]
mod mongodb {
    use std::collections::BTreeSet;

    use ::mongodb::bson::{Document, Uuid, doc, oid::ObjectId};
    use notestamp_store::records::{MongoDbRecords, RecordStore};

    use super::{FEW, MANY, account, save, title};

    pub async fn measure() {
        let Ok(server) = std::env::var("NOTESTAMP_TEST_MONGODB_URL") else {
            println!("\nMongoDB: left out, for NOTESTAMP_TEST_MONGODB_URL is not set");
            return;
        };
        let name = format!("notestamp_bench_{}", ObjectId::new());
        let client = ::mongodb::Client::with_uri_str(&server).await.unwrap();
        let (before, options) = server.split_once("/?").unwrap_or((&server, ""));
        let store = MongoDbRecords::open(&format!("{before}/{name}?{options}")).await.unwrap();
        let (few, many) = (account(&store, "few").await, account(&store, "many").await);
        save(&store, few, FEW).await;
        save(&store, many, 1).await;
        multiply(&client.database(&name)).await;
        println!("\nMongoDB");
        super::measure(&store, few, many).await;
        store.close().await.unwrap();
        client.database(&name).drop().await.unwrap();
    }

    /// Copies the only project of the second account many times, because saving them one after the other is slow.
    async fn multiply(database: &::mongodb::Database) {
        let projects = database.collection::<Document>("projects");
        let one = projects
            .find_one(doc! { "save": 1, "owner": owner_of_one(database).await })
            .await
            .unwrap()
            .unwrap();
        let first =
            one.get_document("by_last_modified").unwrap().get_datetime("at").unwrap().timestamp_millis();
        let copies: Vec<_> = (1..MANY).map(|n| copy(&one, n, first)).collect();
        for some in copies.chunks(5_000) {
            projects.insert_many(some).await.unwrap();
        }
    }

    async fn owner_of_one(database: &::mongodb::Database) -> ::mongodb::bson::Bson {
        let users = database.collection::<Document>("users");
        users.find_one(doc! { "email": "many@example.org" }).await.unwrap().unwrap().remove("_id").unwrap()
    }

    /// The same values as in a save.
    fn ngrams(title: &str) -> BTreeSet<String> {
        let of = |text: String| {
            let chars: Vec<char> = text.chars().collect();
            let windows = |length| chars.windows(length).map(String::from_iter).collect::<Vec<_>>();
            (1..=3).flat_map(windows).collect::<Vec<_>>()
        };
        of(title.to_owned()).into_iter().chain(of(title.to_lowercase())).collect()
    }

    fn copy(one: &Document, n: usize, first: i64) -> Document {
        let at = ::mongodb::bson::DateTime::from_millis(first + n as i64 * 1_000);
        let (id, title) = (Uuid::new(), title(n));
        let mut copy = one.clone();
        copy.insert("_id", id);
        copy.insert("by_last_modified", doc! { "at": at, "id": id });
        copy.insert("by_title", doc! { "folded": title.to_lowercase(), "title": &title });
        copy.insert("grams", ngrams(&title).into_iter().collect::<Vec<_>>());
        copy.insert("title", title);
        copy.insert("type", if n.is_multiple_of(2) { "audio" } else { "pdf" });
        copy.insert("save", n as i64 + 1);
        copy.get_document_mut("notes").unwrap().insert("object", Uuid::new());
        copy
    }
}
