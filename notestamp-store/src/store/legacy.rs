//! Moves in from the original Node backend: takes over its accounts and their projects.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt as _;
use mongodb::bson::Bson;
use tokio::sync::mpsc;

use crate::clock::Timestamp;
use crate::domain::{
    Digest, Email, LastModified, Metadata, Notes, PasswordHash, Precondition, Project, Title, User, UserId,
};
use crate::error::{Error, Result, error_chain};
use crate::legacy::{LegacyProject, LegacySource, LegacyUser, SourceObject, document_titles, is_bcrypt};

use super::{SaveRequest, Store};

/// The hash of an account whose hash cannot be read: no password matches it.
const NO_PASSWORD: &str = "!";

/// The recorded value of a project that was taken with all that it has.
const COMPLETE: &str = "complete";

/// The beginning of the recorded value of a project whose media was missing; its title here follows.
const WITHOUT_MEDIA: &str = "without media: ";

/// What an import reports while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LegacyEvent {
    /// How many accounts are done.
    Progress {
        /// Those that are done.
        done: u64,
        /// All.
        total: u64,
    },
    /// Something that was broken in the source, or cannot be taken.
    Finding(LegacyFinding),
}

/// Something that was broken in the source, or cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegacyFinding {
    /// Its kind.
    pub name: LegacyFindingName,
    /// The id of the account in the source.
    pub account: Option<String>,
    /// The title of the project, as it was typed.
    pub title: Option<String>,
    /// The key of the object in the bucket.
    pub key: Option<String>,
    /// The fault in the source, and how the import handled it.
    pub detail: String,
    /// Whether nothing is left out because of it.
    pub is_settled: bool,
}

/// The kind of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LegacyFindingName {
    /// An address that is invalid here.
    InvalidAddress,
    /// Two accounts whose addresses are one address here.
    CollidingAddress,
    /// A password hash that is no bcrypt hash.
    UnreadableHash,
    /// A project that is no valid project here.
    InvalidProject,
    /// Two titles that are one title here.
    CollidingTitle,
    /// A project without notes.
    MissingNotes,
    /// Notes that are not JSON.
    UnreadableNotes,
    /// A project without its media.
    MissingMedia,
    /// An object that belongs to no project.
    Orphan,
}

impl LegacyFindingName {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAddress => "invalid address",
            Self::CollidingAddress => "colliding address",
            Self::UnreadableHash => "unreadable hash",
            Self::InvalidProject => "invalid project",
            Self::CollidingTitle => "colliding title",
            Self::MissingNotes => "missing notes",
            Self::UnreadableNotes => "unreadable notes",
            Self::MissingMedia => "missing media",
            Self::Orphan => "orphan",
        }
    }
}

/// What an import did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LegacyReport {
    /// The accounts that were taken over.
    pub accounts: u64,
    /// The projects that were taken over.
    pub projects: u64,
    /// The projects that an earlier import has taken over.
    pub known: u64,
    /// What could not be taken.
    pub left_out: u64,
}

/// An import in progress.
struct LegacyImport<'a> {
    store: &'a Store,
    source: &'a LegacySource,
    events: &'a mpsc::Sender<LegacyEvent>,
    report: LegacyReport,
    /// The keys in the bucket that the projects of each user of the source may have.
    claimed: HashMap<String, HashSet<String>>,
}

/// A user of the source whose projects are being taken.
struct Owner<'a> {
    user: &'a LegacyUser,
    account: UserId,
    /// The keys that the notes of each project may have.
    keys: Vec<HashSet<String>>,
    /// The titles here of the projects that have been taken.
    titles: HashSet<Title>,
}

impl Store {
    /// Takes over the accounts of the original backend with their projects: what no earlier import has taken. The source
    /// is only read. An interrupted import can be repeated; what has been deleted here since does not come back.
    ///
    /// - Passwords stay as bcrypt hashes; the caller of the store verifies them.
    /// - Two accounts whose addresses are one address here are never merged: the second one is left out.
    /// - A title that is taken becomes `TITLE (2)`. Notes that are not JSON are kept as one JSON text.
    ///
    /// # Errors
    /// If the source or a backend does not respond. What is broken in the source is no error, but an event.
    pub async fn import_legacy(
        &self,
        source: &LegacySource,
        events: &mpsc::Sender<LegacyEvent>,
    ) -> Result<LegacyReport> {
        let (report, claimed) = (LegacyReport::default(), HashMap::new());
        let mut import = LegacyImport { store: self, source, events, report, claimed };
        let ids = source.user_ids().await?;
        let total = ids.len() as u64;
        for (done, id) in (0..).zip(&ids) {
            // If the receiver of the events is gone, its owner drops this future.
            let _ = events.send(LegacyEvent::Progress { done, total }).await;
            import.take_user(id).await?;
        }
        import.find_orphans().await?;
        Ok(import.report)
    }
}

impl LegacyImport<'_> {
    async fn find_record(&self, key: &str) -> Result<Option<String>> {
        self.store.shared.records.find_import(key).await
    }

    async fn record(&self, key: &str, value: &str) -> Result<()> {
        self.store.shared.records.record_import(key, value).await
    }

    async fn report(&mut self, finding: LegacyFinding) {
        self.report.left_out += u64::from(!finding.is_settled);
        let _ = self.events.send(LegacyEvent::Finding(finding)).await;
    }

    async fn take_user(&mut self, id: &Bson) -> Result<()> {
        let Some(user) = self.source.find_user(id).await? else { return Ok(()) };
        self.claim_keys(&user);
        let Some(account) = self.account_of(&user).await? else { return Ok(()) };
        let keys = document_titles(&user.projects).map(|title| notes_keys(&user.id, title)).collect();
        let mut owner = Owner { user: &user, account, keys, titles: HashSet::new() };
        // The last saved project is the first in the source, and is the last one to be saved here.
        for project in user.projects.iter().rev() {
            self.take_project(&mut owner, project).await?;
        }
        Ok(())
    }

    /// The account here that a user has; `None` if it is left out, or has been removed here.
    async fn account_of(&mut self, user: &LegacyUser) -> Result<Option<UserId>> {
        let (planned_key, created_key) = (format!("user/{}", user.id), format!("account/{}", user.id));
        let is_created = self.find_record(&created_key).await?.is_some();
        let planned: Option<UserId> = self.find_record(&planned_key).await?.and_then(|id| id.parse().ok());
        if let Some(id) = planned.filter(|_| is_created) {
            return Ok(self.store.find_account(id).await?.map(|account| account.id));
        }
        let finding = |name, detail: String| LegacyFinding {
            name,
            account: Some(user.id.clone()),
            title: None,
            key: None,
            detail,
            is_settled: false,
        };
        let email = match Email::parse(&user.email) {
            Ok(email) => email,
            Err(error) => {
                self.report(finding(LegacyFindingName::InvalidAddress, error.to_string())).await;
                return Ok(None);
            }
        };
        let shared = &self.store.shared;
        let now = shared.clock.now();
        let id = planned.unwrap_or_else(|| UserId::generate(now, &*shared.random));
        // The id is recorded first: so an interrupted import recognizes the account that it has created.
        self.record(&planned_key, &id.to_string()).await?;
        let hash = if is_bcrypt(&user.password) { &user.password } else { NO_PASSWORD };
        let account = User::new(id, email.clone(), PasswordHash::new(hash), user.created.unwrap_or(now));
        match shared.records.create_user(&account).await {
            Ok(()) => self.report.accounts += 1,
            Err(Error::EmailTaken) => {
                let taken = self.store.find_account_by_email(&email).await?;
                if taken.is_none_or(|taken| taken.id != id) {
                    let detail =
                        "another account has this address here; accounts are never merged".to_owned();
                    self.report(finding(LegacyFindingName::CollidingAddress, detail)).await;
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
        self.record(&created_key, "").await?;
        if hash == NO_PASSWORD {
            let detail = "no password matches; set one with `account set-password`".to_owned();
            self.report(finding(LegacyFindingName::UnreadableHash, detail)).await;
        }
        Ok(Some(id))
    }

    async fn take_project(&mut self, owner: &mut Owner<'_>, project: &Bson) -> Result<()> {
        let typed = project.as_document().and_then(|project| project.get_str("title").ok());
        let project = match LegacyProject::of(project) {
            Ok(project) => project,
            Err(error) => {
                let finding = (LegacyFindingName::InvalidProject, error.to_string(), false);
                self.report_project(owner, typed, finding).await;
                return Ok(());
            }
        };
        let record = format!("project/{}/{}", owner.user.id, project.typed_title);
        let Some(recorded) = self.find_record(&record).await? else {
            return self.take_new(owner, &project, &record).await;
        };
        owner.titles.insert(project.metadata.title.clone());
        self.report.known += 1;
        let Some(title) = recorded.strip_prefix(WITHOUT_MEDIA) else { return Ok(()) };
        if self.add_media(owner, &project, &Title::parse(title)?).await? {
            return self.record(&record, COMPLETE).await;
        }
        let detail = "its media is still not in the bucket".to_owned();
        self.report_project(owner, typed, (LegacyFindingName::MissingMedia, detail, false)).await;
        Ok(())
    }

    /// Takes a project that no earlier import has taken.
    async fn take_new(&mut self, owner: &mut Owner<'_>, project: &LegacyProject, record: &str) -> Result<()> {
        use LegacyFindingName as Name;
        let typed = Some(project.typed_title.as_str());
        let Some((notes_key, notes, modified)) = self.notes_of(owner.user, project).await? else {
            let detail = "its notes are not in the bucket, so it is not taken".to_owned();
            self.report_project(owner, typed, (Name::MissingNotes, detail, false)).await;
            return Ok(());
        };
        let media = self.media_of(owner, project, &notes_key).await?;
        let is_complete = media.is_some() || !project.expects_media();
        let unreadable = notes.as_ref().ok().and_then(|(_, why)| why.clone());
        let saved = match notes {
            Ok((notes, _)) => self.save(owner, project, notes, modified, media).await,
            Err(error) => Err(error),
        };
        let title = match saved {
            Ok(title) => title,
            Err(error @ (Error::Unavailable { .. } | Error::Backend { .. } | Error::Full { .. })) => {
                return Err(error);
            }
            Err(error) => {
                let detail = format!("it is not taken: {}", error_chain(&error));
                self.report_project(owner, typed, (Name::InvalidProject, detail, false)).await;
                return Ok(());
            }
        };
        let value =
            if is_complete { COMPLETE.to_owned() } else { format!("{WITHOUT_MEDIA}{}", title.as_str()) };
        self.record(record, &value).await?;
        self.report.projects += 1;
        if let Some(why) = unreadable {
            let detail = format!("{why}; they are kept as one JSON text");
            self.report_project(owner, typed, (Name::UnreadableNotes, detail, true)).await;
        }
        if title != project.metadata.title {
            let detail = format!("its title is taken, so it is {:?} here", title.as_str());
            self.report_project(owner, typed, (Name::CollidingTitle, detail, true)).await;
        }
        if !is_complete {
            let detail = "its media is not in the bucket; the rest is taken".to_owned();
            self.report_project(owner, typed, (Name::MissingMedia, detail, false)).await;
        }
        owner.titles.insert(title);
        Ok(())
    }

    async fn report_project(
        &mut self,
        owner: &Owner<'_>,
        title: Option<&str>,
        (name, detail, is_settled): (LegacyFindingName, String, bool),
    ) {
        let (account, title) = (Some(owner.user.id.clone()), title.map(str::to_owned));
        self.report(LegacyFinding { name, account, title, key: None, detail, is_settled }).await;
    }

    /// Adds the media that an earlier import has not found; returns whether nothing is missing any more.
    async fn add_media(&self, owner: &Owner<'_>, project: &LegacyProject, title: &Title) -> Result<bool> {
        let Some(there) = self.store.shared.records.find_project(owner.account, title).await? else {
            return Ok(true);
        };
        if there.media.is_some() {
            return Ok(true);
        }
        let notes = format!("{}/{}.stmp", owner.user.id, project.typed_title);
        let notes = match self.source.find(&notes).await? {
            Some(_) => notes,
            None => format!("{}/{}", owner.user.id, project.typed_title),
        };
        let Some(media) = self.media_of(owner, project, &notes).await? else { return Ok(false) };
        let opened = self.store.open_project(owner.account, title).await?;
        let mut save = self.store.begin_save(owner.account).await?;
        save.write_media(media.into_stream()).await?;
        let precondition = Precondition::OneOf(vec![opened.project.revision]);
        let request = SaveRequest::new(opened.project.metadata, Notes::parse(opened.notes)?);
        save.commit(SaveRequest { precondition, ..request }).await?;
        Ok(true)
    }

    /// The key of a project's notes, the notes and their time; the notes as one JSON text if they are not JSON, and why.
    async fn notes_of(
        &self,
        user: &LegacyUser,
        project: &LegacyProject,
    ) -> Result<Option<(String, Result<(Notes, Option<String>)>, Timestamp)>> {
        let title = &project.typed_title;
        let keys = [format!("{}/{title}.stmp", user.id), format!("{}/{title}", user.id)];
        let Some(object) = self.source.find_first(&keys).await? else { return Ok(None) };
        let (key, modified) = (object.key.clone(), object.modified);
        let bytes = match object.read(self.store.settings().notes_bytes_max).await {
            Ok(bytes) => bytes,
            Err(error @ Error::TooLarge { .. }) => return Ok(Some((key, Err(error), modified))),
            Err(error) => return Err(error),
        };
        let notes = match Notes::parse(bytes.clone()) {
            Ok(notes) => Ok((notes, None)),
            Err(why) => {
                let text = serde_json::to_string(&String::from_utf8_lossy(&bytes)).expect("a text is JSON");
                Notes::parse(text).map(|notes| (notes, Some(why.to_string()))).map_err(Error::from)
            }
        };
        Ok(Some((key, notes, modified)))
    }

    /// The media of a project, under any of the keys that the original has used for media.
    async fn media_of(
        &self,
        owner: &Owner<'_>,
        project: &LegacyProject,
        notes_key: &str,
    ) -> Result<Option<SourceObject>> {
        let own = notes_keys(&owner.user.id, &project.typed_title);
        // The notes of another project may have the key that the media of this one could have.
        let is_of_another = |key: &String| !own.contains(key) && owner.keys.iter().any(|it| it.contains(key));
        let mut candidates = media_keys(&owner.user.id, project);
        candidates.retain(|key| key != notes_key && !is_of_another(key));
        self.source.find_first(&candidates).await
    }

    /// Saves a project, under another title if its own is taken; returns its title. An interrupted import may have saved
    /// it already.
    async fn save(
        &self,
        owner: &Owner<'_>,
        project: &LegacyProject,
        notes: Notes,
        modified: Timestamp,
        media: Option<SourceObject>,
    ) -> Result<Title> {
        let mut metadata = project.metadata.clone();
        metadata.last_modified = LastModified::at(modified);
        let (original, digest) = (metadata.title.clone(), Digest::of(notes.as_bytes()));
        for number in 2.. {
            let is_taken = owner.titles.contains(&metadata.title);
            match self.store.shared.records.find_project(owner.account, &metadata.title).await? {
                None if !is_taken => break,
                Some(there) if !is_taken && self.is_saved(&there, &metadata, digest).await? => {
                    return Ok(metadata.title);
                }
                _ => metadata.title = original.numbered(number),
            }
        }
        let title = metadata.title.clone();
        let mut save = self.store.begin_save(owner.account).await?.at(Some(modified.min(self.store.now())));
        if let Some(media) = media {
            save.write_media(media.into_stream()).await?;
        }
        let request = SaveRequest::new(metadata, notes);
        save.commit(SaveRequest { precondition: Precondition::Absent, ..request }).await?;
        Ok(title)
    }

    /// Whether a project is the one that an interrupted import has saved.
    async fn is_saved(&self, there: &Project, metadata: &Metadata, notes: Digest) -> Result<bool> {
        let found = &there.metadata;
        if found.last_modified != metadata.last_modified || found.kind != metadata.kind {
            return Ok(false);
        }
        let row = self.store.shared.records.find_object(there.notes.object).await?;
        Ok(row.and_then(|row| row.content).is_some_and(|(digest, _)| digest == notes))
    }

    /// Notes which keys the projects of a user may have, for the search for orphans.
    fn claim_keys(&mut self, user: &LegacyUser) {
        let mut claimed = HashSet::new();
        for project in &user.projects {
            match LegacyProject::of(project) {
                Ok(project) => {
                    claimed.extend(notes_keys(&user.id, &project.typed_title));
                    claimed.extend(media_keys(&user.id, &project));
                }
                Err(_) => {
                    let title = project.as_document().and_then(|project| project.get_str("title").ok());
                    claimed.extend(title.into_iter().flat_map(|title| notes_keys(&user.id, title)));
                }
            }
        }
        self.claimed.insert(user.id.clone(), claimed);
    }

    /// Reports the objects that belong to no project.
    async fn find_orphans(&mut self) -> Result<()> {
        let mut keys = self.source.keys();
        while let Some(key) = keys.try_next().await? {
            let owner = key.split('/').next().unwrap_or_default();
            if self.claimed.get(owner).is_some_and(|claimed| claimed.contains(&key)) {
                continue;
            }
            let account = self.claimed.contains_key(owner).then(|| owner.to_owned());
            let detail = match account {
                Some(_) => "no project of the account has this object",
                None => "no account has this object",
            };
            let detail = detail.to_owned();
            let (name, key) = (LegacyFindingName::Orphan, Some(key));
            self.report(LegacyFinding { name, account, title: None, key, detail, is_settled: true }).await;
        }
        Ok(())
    }
}

/// The keys that the notes of a project may have.
fn notes_keys(user: &str, title: &str) -> HashSet<String> {
    [format!("{user}/{title}.stmp"), format!("{user}/{title}")].into()
}

/// The keys that the media of a project may have, the most likely first.
fn media_keys(user: &str, project: &LegacyProject) -> Vec<String> {
    let title = &project.typed_title;
    let subtype = project.metadata.mimetype.split('/').nth(1).filter(|subtype| !subtype.is_empty());
    let subtypes = subtype.into_iter().chain(["pdf", "undefined"]);
    let mut keys: Vec<_> = subtypes.map(|subtype| format!("{user}/{title}.{subtype}")).collect();
    keys.push(format!("{user}/{title}"));
    keys
}
