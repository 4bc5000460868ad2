//! Compares the database and the bucket at any moment, with code that is independent of the product.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadConcern, TransactionOptions};
use mongodb::{Client, Database};

use super::bucket::Prefix;

pub struct Ledger<'a> {
    client: Client,
    database: Database,
    prefix: &'a Prefix,
}

/// A row of the ledger.
#[derive(Clone, Debug)]
struct Row {
    kind: String,
    namespace: Option<String>,
    state: String,
    digest: Option<Vec<u8>>,
    size: Option<u64>,
    references: u64,
}

/// All records at one moment.
struct Snapshot {
    rows: BTreeMap<String, Row>,
    projects: Vec<Document>,
    /// The versions, and the projects in the trash.
    kept: Vec<Document>,
    users: Vec<Document>,
    /// How many records of removed accounts are left.
    remains: usize,
}

impl<'a> Ledger<'a> {
    pub async fn open(url: &str, prefix: &'a Prefix) -> Self {
        let client = Client::with_uri_str(url).await.unwrap();
        let database = client.default_database().unwrap();
        Self { client, database, prefix }
    }

    /// Under any load: asserts that no reference is dangling, that equal media is stored once, that all counts are
    /// correct, and that each object in the bucket has a row in the ledger.
    pub async fn assert_sound(&self) {
        let before = self.snapshot().await;
        before.assert_consistent();
        let first_listing = self.prefix.list().await;
        let after = self.snapshot().await;
        after.assert_consistent();
        let second_listing = self.prefix.list().await;

        // Ids and paths are never reused: so a row that is live before and after was live in between, and an object
        // that exists before and after existed in between.
        for (id, row) in &before.rows {
            if row.state == "live" && after.rows.get(id).is_some_and(|row| row.state == "live") {
                assert_eq!(first_listing.get(&row.path(id)).copied(), row.size, "{id}: {row:?}");
            }
        }
        let known: BTreeSet<_> = after.rows.iter().map(|(id, row)| row.path(id)).collect();
        for path in first_listing.keys().filter(|path| second_listing.contains_key(*path)) {
            assert!(known.contains(path), "the ledger does not know {path}");
        }
    }

    /// After a sweep, without load: asserts that exactly the objects to which projects, versions and the trash refer are
    /// stored.
    pub async fn assert_at_rest(&self) {
        let snapshot = self.snapshot().await;
        snapshot.assert_consistent();
        for (id, row) in &snapshot.rows {
            assert!(row.state == "live" && row.references > 0, "{id}: {row:?}");
        }
        let rows = snapshot.rows.iter().map(|(id, row)| (row.path(id), row.size.unwrap()));
        assert_eq!(self.prefix.list().await, rows.collect());
        assert_eq!(snapshot.remains, 0, "of removed accounts");
    }

    /// Asserts that the records and the bucket are empty.
    pub async fn assert_empty(&self) {
        let snapshot = self.snapshot().await;
        assert!(snapshot.rows.is_empty() && snapshot.projects.is_empty() && snapshot.users.is_empty());
        assert!(snapshot.kept.is_empty());
        assert_eq!(self.prefix.list().await, BTreeMap::new());
    }

    /// Drops the database.
    pub async fn drop(self) {
        self.database.drop().await.unwrap();
    }

    async fn snapshot(&self) -> Snapshot {
        let mut session = self.client.start_session().await.unwrap();
        let options = TransactionOptions::builder().read_concern(ReadConcern::snapshot()).build();
        session.start_transaction().with_options(options).await.unwrap();
        let mut found = Vec::new();
        for name in ["objects", "projects", "versions", "trash", "users", "removed_users"] {
            let collection = self.database.collection::<Document>(name);
            let mut cursor = collection.find(doc! {}).session(&mut session).await.unwrap();
            found.push(cursor.stream(&mut session).try_collect::<Vec<_>>().await.unwrap());
        }
        session.commit_transaction().await.unwrap();
        let [rows, projects, mut kept, trash, users, removed] = <[_; 6]>::try_from(found).unwrap();
        kept.extend(trash);
        let rows = rows.iter().map(|row| (id(&row["_id"]), Row::of(row))).collect();
        Snapshot { rows, projects, kept, users, remains: removed.len() }
    }
}

/// What an account uses: its count of projects, and the sizes of the objects that these and its other records refer to.
#[derive(Default)]
struct Used {
    projects: u64,
    shown: BTreeMap<String, u64>,
    kept: BTreeMap<String, u64>,
}

impl Snapshot {
    fn assert_consistent(&self) {
        let mut references = BTreeMap::<String, u64>::new();
        let mut usage = BTreeMap::<String, Used>::new();
        let shown = self.projects.iter().map(|project| (project, true));
        for (project, is_shown) in shown.chain(self.kept.iter().map(|state| (state, false))) {
            let used = usage.entry(id(&project["owner"])).or_default();
            used.projects += u64::from(is_shown);
            for kind in ["notes", "media"] {
                let Ok(referred) = project.get_document(kind) else { continue };
                let object = id(&referred["object"]);
                let Some(row) = self.rows.get(&object) else { panic!("{kind} of {project} have no row") };
                let size = unsigned(&referred["size"]);
                assert_eq!((row.kind.as_str(), row.state.as_str()), (kind, "live"), "{project}: {row:?}");
                assert_eq!(row.size, Some(size), "{project}: {row:?}");
                if kind == "media" {
                    assert_eq!(row.digest, bytes(referred.get("digest")), "{project}: {row:?}");
                    assert_eq!(row.namespace, namespace(referred), "{project}: {row:?}");
                }
                let sizes = if is_shown { &mut used.shown } else { &mut used.kept };
                sizes.insert(object.clone(), size);
                *references.entry(object).or_default() += 1;
            }
        }
        let mut contents = BTreeSet::new();
        for (id, row) in self.rows.iter().filter(|(_, row)| row.state == "live") {
            assert_eq!(row.references, references.get(id).copied().unwrap_or(0), "{id}: {row:?}");
            if row.kind == "media" {
                assert!(contents.insert((&row.namespace, &row.digest)), "stored twice: {row:?}");
            }
        }
        for user in &self.users {
            let Used { projects, shown, mut kept } = usage.remove(&id(&user["_id"])).unwrap_or_default();
            kept.retain(|object, _| !shown.contains_key(object));
            let counted = user.get_document("usage").unwrap();
            let counted = ["projects", "bytes", "kept_bytes"].map(|name| unsigned(&counted[name]));
            let expected = [projects, shown.values().sum(), kept.values().sum()];
            assert_eq!(counted, expected, "{}", user["_id"]);
        }
    }
}

impl Row {
    fn of(document: &Document) -> Self {
        Self {
            kind: document.get_str("kind").unwrap().to_owned(),
            namespace: namespace(document),
            state: document.get_str("state").unwrap().to_owned(),
            digest: bytes(document.get("digest")),
            size: document.get("size").filter(|size| **size != Bson::Null).map(unsigned),
            references: unsigned(&document["references"]),
        }
    }

    /// The path of its bytes.
    fn path(&self, id: &str) -> String {
        format!("{}/{}/{id}", self.kind, self.namespace.as_deref().unwrap_or("shared"))
    }
}

fn namespace(document: &Document) -> Option<String> {
    document.get("namespace").filter(|namespace| **namespace != Bson::Null).map(id)
}

fn id(value: &Bson) -> String {
    bytes(Some(value)).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(value: Option<&Bson>) -> Option<Vec<u8>> {
    match value {
        Some(Bson::Binary(binary)) => Some(binary.bytes.clone()),
        None | Some(Bson::Null) => None,
        other => panic!("no bytes: {other:?}"),
    }
}

fn unsigned(value: &Bson) -> u64 {
    value.as_i64().or(value.as_i32().map(i64::from)).unwrap().try_into().unwrap()
}
