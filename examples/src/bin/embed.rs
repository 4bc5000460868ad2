//! Uses the store in a program without a server: one folder, with SQLite for the records and local files for notes and
//! media.
//!
//! ```sh
//! cargo run -p notestamp-examples --bin embed
//! ```

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt, stream};
use notestamp_store::{
    CheckReport, Clock, Durability, Email, ListQuery, Metadata, Notes, PasswordHash, Project, SaveRequest,
    Store, StoreSettings, SystemClock, Title, UserId,
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

    // The embedding program authenticates users. The store keeps only the hash of a password; no user signs in here.
    let owner =
        store.create_account(Email::parse("ada@example.org")?, PasswordHash::new("!".to_owned())).await?.id;

    let first = save(&store, owner, "A first lecture", &recording, &notes).await?;
    let media = first.media.ok_or("the recording was saved with it")?;
    println!("saved \"{}\" with {} bytes of media, SHA-256 {}", title(&first), media.size, media.digest);

    let listed = store.list_projects(owner, &ListQuery::default()).await?.projects;
    println!("listed {:?}", listed.iter().map(title).collect::<Vec<_>>());
    assert_eq!(listed, std::slice::from_ref(&first));

    let opened = store.open_project(owner, &first.metadata.title).await?;
    println!(
        "opened the first project: {} bytes of notes, revision {}",
        opened.notes.len(),
        opened.project.revision
    );
    assert_eq!(opened.notes, notes, "byte for byte");

    let range = store.read_media(&first, &media, Some(20_000..30_000)).await?;
    let range = range.try_collect::<Vec<Bytes>>().await?.concat();
    println!("read {} bytes from the middle of its media", range.len());
    assert_eq!(range, tokio::fs::read(&recording).await?[20_000..30_000]);

    let second = save(&store, owner, "The same lecture again", &recording, &notes).await?;
    assert_eq!(second.media, first.media, "equal bytes are one object");
    // Each account's media is in a folder of its own. Beside these, there is one small file that says whose store it is.
    let media_folder = folder.path().join("media").join(owner.to_string());
    assert_eq!(bytes_in(&media_folder)?, media.size);
    println!(
        "saved the same recording under a second title: the media folder still contains {} bytes",
        media.size
    );

    store.delete_project(owner, &first.metadata.title).await?;
    store.sweep().await?;
    assert_eq!(bytes_in(&media_folder)?, media.size);
    println!("deleted the first project: the second project still has the media");

    store.delete_project(owner, &second.metadata.title).await?;
    let swept = store.sweep().await?;
    println!("deleted the second project: the sweep deleted {} object", swept.doomed);
    assert_eq!(bytes_in(&media_folder)?, 0);
    assert_eq!(
        store.check().await?,
        CheckReport::default(),
        "no bytes are missing, and none are unaccounted for"
    );

    store.close().await?;
    println!("closed the store");
    Ok(())
}

async fn open(folder: &Path) -> Result<Store, notestamp_store::Error> {
    // By default, a deleted project stays in the trash for 30 days, and then its media for a grace period of one hour,
    // during which it can be saved again cheaply. Here, a deletion is final, and the next sweep deletes the bytes.
    // With the default settings, `Store::in_folder(folder)` is enough.
    let settings = StoreSettings { trash: None, sweep_grace: Duration::ZERO, ..StoreSettings::default() };
    Store::builder_in_folder(folder, Durability::Full).await?.settings(settings).open().await
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

    // A save that is dropped before its commit leaves no objects behind.
    let mut save = store.begin_save(owner).await?;
    save.write_media(pieces(File::open(recording).await?)).await?;
    Ok(save.commit(SaveRequest::new(metadata, Notes::parse(notes.to_vec())?)).await?)
}

/// Reads a file in pieces, so that memory does not grow with its size.
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

/// The total size of all files in a folder and its subfolders.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
