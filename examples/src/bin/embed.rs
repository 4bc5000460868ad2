//! Embeds the store in a program of its own, without a server: one folder, with SQLite for the records and local files
//! for notes and media.
//!
//! ```sh
//! cargo run -p notestamp-examples --bin embed
//! ```

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt, stream};
use notestamp_store::records::SqliteRecords;
use notestamp_store::{
    BlobStore, BlobUrl, CheckReport, Clock, Durability, Email, ListQuery, Metadata, Notes, ObjectKind,
    PasswordHash, Project, SaveRequest, Store, StoreSettings, SystemClock, Title, UserId,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recording = examples.join("media/recording.mp3");
    let notes = tokio::fs::read(examples.join("media/notes.json")).await?;
    let folder = tempfile::tempdir()?;

    let store = open(folder.path()).await?;
    println!("opened a store in {}", folder.path().display());

    // Whoever embeds the store says who is who: of a password it keeps the hash, and nobody signs in here.
    let owner =
        store.create_account(Email::parse("ada@example.org")?, PasswordHash::new("!".to_owned())).await?.id;

    let first = save(&store, owner, "A first lecture", &recording, &notes).await?;
    let media = first.media.ok_or("the recording was saved with it")?;
    println!("saved \"{}\" with {} bytes of media, SHA-256 {}", title(&first), media.size, media.digest);

    let listed = store.list_projects(owner, &ListQuery::default()).await?.projects;
    println!("listed {:?}", listed.iter().map(title).collect::<Vec<_>>());
    assert_eq!(listed, std::slice::from_ref(&first));

    let opened = store.open_project(owner, &first.metadata.title).await?;
    println!("opened it: {} bytes of notes, revision {}", opened.notes.len(), opened.project.revision);
    assert_eq!(opened.notes, notes, "byte for byte");

    let range = store.read_media(&first, &media, Some(20_000..30_000)).await?;
    let range = range.try_collect::<Vec<Bytes>>().await?.concat();
    println!("read {} bytes out of the middle of its media", range.len());
    assert_eq!(range, tokio::fs::read(&recording).await?[20_000..30_000]);

    let second = save(&store, owner, "The same lecture again", &recording, &notes).await?;
    assert_eq!(second.media, first.media, "equal bytes are one object");
    assert_eq!(bytes_in(&folder.path().join("media"))?, media.size);
    println!("saved it under a second title: the media folder still holds {} bytes", media.size);

    store.delete_project(owner, &first.metadata.title).await?;
    store.sweep().await?;
    assert_eq!(bytes_in(&folder.path().join("media"))?, media.size);
    println!("deleted the first one: the media is still there, for the second");

    store.delete_project(owner, &second.metadata.title).await?;
    let swept = store.sweep().await?;
    println!("deleted the second one: the sweep took {} object away", swept.doomed);
    assert_eq!(bytes_in(&folder.path().join("media"))?, 0);
    assert_eq!(store.check().await?, CheckReport::default(), "nothing is missing, and nothing left over");

    store.close().await?;
    println!("closed it");
    Ok(())
}

async fn open(folder: &Path) -> Result<Store, Box<dyn Error>> {
    let durability = Durability::Full;
    let metadata = SqliteRecords::open(folder.join("metadata.db"), durability).await?;
    let notes = BlobUrl::folder(folder.join("notes"))?;
    let notes = BlobStore::open(ObjectKind::Notes, &notes, durability).await?;
    let media = BlobUrl::folder(folder.join("media"))?;
    let media = BlobStore::open(ObjectKind::Media, &media, durability).await?;
    // Media that no project refers to is spared for an hour otherwise, in case that somebody saves it again.
    let settings = StoreSettings { sweep_grace: Duration::ZERO, ..StoreSettings::default() };
    Ok(Store::builder(Arc::new(metadata), notes, media).settings(settings).open().await?)
}

async fn save(
    store: &Store,
    owner: UserId,
    title: &str,
    recording: &Path,
    notes: &[u8],
) -> Result<Project, Box<dyn Error>> {
    let mut metadata = Metadata::new(Title::parse(title)?, SystemClock.now());
    metadata.kind = "audio".to_owned();
    metadata.mimetype = "audio/mpeg".to_owned();

    // Dropped before it is committed, a save leaves nothing behind.
    let mut save = store.begin_save(owner);
    save.write_media(pieces(File::open(recording).await?)).await?;
    Ok(save.commit(SaveRequest::new(metadata, Notes::parse(notes.to_vec())?)).await?)
}

/// A file piece by piece: however large it is, it takes no more memory than one.
fn pieces(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    const PIECE_BYTES: usize = 64 << 10;
    stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    })
}

fn title(project: &Project) -> &str {
    project.metadata.title.as_str()
}

/// The bytes of all files in a folder and in those below it.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
