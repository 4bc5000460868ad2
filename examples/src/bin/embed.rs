//! Keeps a project with a recording in a program of one's own: SQLite and a local folder, no server.
//!
//! `cargo run -p notestamp-examples --bin embed`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use notestamp_store::metadata::SqliteMetadata;
use notestamp_store::{
    BlobStore, BlobUrl, Durability, Email, ListQuery, Metadata, Notes, ObjectKind, PasswordHash, SaveRequest,
    Store, StoreSettings, SystemClock, Title,
};
use tokio_util::io::ReaderStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await?;

    // An account owns projects. How its owner proves who they are is this program's matter.
    let email = Email::parse("ada@example.org")?;
    let owner = store.create_account(email, PasswordHash::new("not used here")).await?.id;

    // The recording streams from the disk to its place; memory does not grow with it.
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/recording.mp3");
    let save = |title: &'static str| {
        let (store, recording) = (&store, &recording);
        async move {
            let mut save = store.begin_save(owner);
            save.write_media(ReaderStream::new(tokio::fs::File::open(recording).await?)).await?;
            let mut metadata = Metadata::new(Title::parse(title)?, notestamp_store::Clock::now(&SystemClock));
            metadata.kind = "audio".to_owned();
            metadata.mimetype = "audio/mpeg".to_owned();
            let notes = Notes::parse(r#"[{"text": "She begins", "at": 1.5}]"#)?;
            let project = save.commit(SaveRequest::new(metadata, notes)).await?;
            println!("saved {title:?} as revision {}", project.revision);
            Ok::<_, Box<dyn Error>>(project)
        }
    };
    save("A first lecture").await?;
    save("The same again").await?;

    // Two projects, one file: what the account uses counts it once.
    let usage = store.find_account(owner).await?.ok_or("the account is there")?.usage;
    let size = tokio::fs::metadata(&recording).await?.len();
    println!("{} projects use {} bytes; the recording has {size}", usage.projects, usage.bytes);
    assert!(usage.projects == 2 && usage.bytes < 2 * size);

    for project in store.list_projects(owner, &ListQuery::default()).await?.projects {
        println!("there is {:?}", project.metadata.title.as_str());
    }

    // What was saved comes back byte for byte, and a player can ask for any part of it.
    let title = Title::parse("A first lecture")?;
    let opened = store.open_project(owner, &title).await?;
    assert_eq!(opened.notes, r#"[{"text": "She begins", "at": 1.5}]"#);
    let media = opened.project.media.ok_or("it was saved with media")?;
    let part: Vec<_> =
        store.read_media(&opened.project, &media, Some(1_000..2_000)).await?.try_collect().await?;
    assert_eq!(part.concat(), tokio::fs::read(&recording).await?[1_000..2_000]);
    println!("read the notes, and bytes 1,000 to 1,999 of the media");

    // The file goes when nothing refers to it any more, and a sweep has passed.
    store.delete_project(owner, &title).await?;
    store.delete_project(owner, &Title::parse("The same again")?).await?;
    let swept = store.sweep().await?;
    println!("deleted both projects, and with them {} object(s) in a sweep", swept.deleted);
    assert_eq!(store.check().await?, notestamp_store::CheckReport::default());
    store.close().await?;
    Ok(())
}

async fn open(folder: &Path) -> Result<Store, Box<dyn Error>> {
    let metadata = SqliteMetadata::open(folder.join("notestamp.sqlite"), Durability::Full).await?;
    let blobs = |kind, name: &str| {
        let url = BlobUrl::folder(folder.join(name));
        async move { Ok::<_, Box<dyn Error>>(BlobStore::open(kind, &url?, Durability::Full).await?) }
    };
    let notes = blobs(ObjectKind::Notes, "notes").await?;
    let media = blobs(ObjectKind::Media, "media").await?;
    // Nothing is spared here, so that the sweep below shows something.
    let settings = StoreSettings { sweep_grace: std::time::Duration::ZERO, ..StoreSettings::default() };
    Ok(Store::builder(Arc::new(metadata), notes, media).settings(settings).open().await?)
}
