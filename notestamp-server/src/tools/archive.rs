//! Reads an archive to import: a folder, or a file in the tar format. Only its regular files are read, and no path of it
//! is used to write anything.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use notestamp_store::archive::{HISTORY, StateFile, TRASH};
use tar::EntryType;

use super::exit::Exit;
use super::failure::Failure;

/// How many files an archive may have: more than an account can have, and few enough to remember.
const FILES_MAX: usize = 4_000_000;

/// The projects of an archive.
#[derive(Debug, Default)]
pub(super) struct Archive {
    pub(super) projects: Vec<ProjectFiles>,
    /// What is left out, and why.
    pub(super) left_out: Vec<(String, String)>,
}

/// The files of a project.
#[derive(Debug, Default)]
pub(super) struct ProjectFiles {
    /// Its folder, for messages.
    pub(super) folder: String,
    pub(super) is_trashed: bool,
    /// The versions, the oldest first, and then the latest state.
    pub(super) states: Vec<StateFiles>,
}

/// The files of a state of a project.
#[derive(Debug, Default)]
pub(super) struct StateFiles {
    /// Its folder, for messages.
    pub(super) folder: String,
    pub(super) metadata: Option<FileAt>,
    pub(super) details: Option<FileAt>,
    pub(super) notes: Option<FileAt>,
    pub(super) media: Option<FileAt>,
}

/// Where the bytes of a file are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FileAt {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The files of an archive, by the names of their folders and their own.
type Files = BTreeMap<Vec<String>, FileAt>;

/// The folders of states, each with its files by their names.
type Folders = BTreeMap<Vec<String>, BTreeMap<String, FileAt>>;

impl Archive {
    /// Finds the projects of an archive.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut archive = Self::default();
        let unreadable = |error: &io::Error| {
            Failure::new(Exit::WrongUse, format!("cannot read {}: {error}", path.display()))
        };
        let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
        let files = match metadata.is_dir() {
            true => archive.files_in_folder(path).map_err(|error| unreadable(&error))?,
            false => files_in_tar(path)?,
        };
        archive.group(without_common_folder(files));
        Ok(archive)
    }

    /// The files of the folders that may be those of states.
    fn files_in_folder(&mut self, root: &Path) -> io::Result<Files> {
        let mut files = Files::new();
        let mut folders = vec![Vec::new()];
        while let Some(names) = folders.pop() {
            let folder = names.iter().fold(root.to_owned(), |path, name| path.join(name));
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let (kind, path) = (entry.file_type()?, entry.path());
                let Ok(name) = entry.file_name().into_string() else {
                    self.leave_out(&path.to_string_lossy(), "its name is not UTF-8");
                    continue;
                };
                let names: Vec<String> = names.iter().cloned().chain([name]).collect();
                match (kind.is_dir(), kind.is_file()) {
                    (true, _) if may_have_states(&names) => folders.push(names),
                    (false, true) => {
                        let size = entry.metadata()?.len();
                        files.insert(names, FileAt { path, offset: 0, size });
                    }
                    (false, false) => {
                        self.leave_out(&names.join("/"), "it is a link, or another file that is not regular");
                    }
                    _ => {}
                }
                if files.len() > FILES_MAX {
                    return Err(io::Error::other("it has too many files"));
                }
            }
        }
        Ok(files)
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out.push((what.to_owned(), why.to_owned()));
    }

    /// Groups the files into states of projects, and assigns the versions to their projects.
    fn group(&mut self, files: Files) {
        let mut folders = Folders::new();
        for (mut names, file) in files {
            if let Some(name) = names.pop() {
                folders.entry(names).or_default().insert(name, file);
            }
        }
        let mut histories: BTreeMap<String, BTreeMap<u64, StateFiles>> = BTreeMap::new();
        let mut latest = Vec::new();
        for (names, files) in folders {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match names[..] {
                [HISTORY, name, revision] => {
                    let Ok(revision) = revision.parse() else { continue };
                    if let Some(state) = self.state_of(&names.join("/"), name, files) {
                        histories.entry(name.to_owned()).or_default().insert(revision, state);
                    }
                }
                [TRASH, name] => {
                    latest.push((name.to_owned(), true, self.state_of(&names.join("/"), name, files)))
                }
                [name] if !name.starts_with('.') => {
                    latest.push((name.to_owned(), false, self.state_of(name, name, files)));
                }
                _ => {}
            }
        }
        // A folder in the trash has a name that no other folder has.
        latest.sort_by_key(|(_, is_trashed, _)| !is_trashed);
        for (name, is_trashed, state) in latest {
            let Some(state) = state else { continue };
            let versions = histories.remove(&name).unwrap_or_default().into_values();
            let folder = state.folder.clone();
            self.projects.push(ProjectFiles {
                folder,
                is_trashed,
                states: versions.chain([state]).collect(),
            });
        }
        for name in histories.keys() {
            self.leave_out(&format!("{HISTORY}/{name}"), "there is no project to these versions");
        }
    }

    /// The state that a folder contains; `name` is the stem of its files. `None` if the folder contains no complete state.
    fn state_of(&mut self, folder: &str, name: &str, files: BTreeMap<String, FileAt>) -> Option<StateFiles> {
        let mut state = StateFiles { folder: folder.to_owned(), ..StateFiles::default() };
        let (mut notes, mut media) = (BTreeMap::new(), BTreeMap::new());
        for (file_name, file) in files {
            match StateFile::of(&file_name) {
                StateFile::Metadata => state.metadata = Some(file),
                StateFile::Details => state.details = Some(file),
                StateFile::Notes => drop(notes.insert(file_name, file)),
                StateFile::Media => drop(media.insert(file_name, file)),
                StateFile::Ignored => {}
            }
        }
        let stem = notes_stem(name, &notes);
        state.notes = stem.as_ref().and_then(|stem| notes.remove(&format!(".{stem}.json")));
        match (&state.metadata, &state.notes) {
            (None, None) => return None,
            (None, Some(_)) => self.leave_out(folder, "it has no .metadata.json"),
            (Some(_), None) => self.leave_out(folder, &format!("it has no notes: .{name}.json")),
            (Some(_), Some(_)) => match media_of(stem.as_deref().unwrap_or(name), media) {
                Ok(media) => return Some(StateFiles { media, ..state }),
                Err(names) => self.leave_out(folder, &format!("several files may be its media: {names}")),
            },
        }
        None
    }
}

/// Whether a folder may have states, or folders that have states.
fn may_have_states(names: &[String]) -> bool {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names[..] {
        [HISTORY | TRASH] | [HISTORY, _] | [TRASH, _] | [HISTORY, _, _] => true,
        [name] => !name.starts_with('.'),
        _ => false,
    }
}

/// An archive of a folder has the name of the folder before all others.
fn without_common_folder(files: Files) -> Files {
    let is_state = |names: &Vec<String>| {
        let (folder, file) = names.split_at(names.len().saturating_sub(1));
        may_have_states(folder) && file.first().is_some_and(|name| StateFile::of(name) == StateFile::Metadata)
    };
    let common = files.keys().next().and_then(|names| names.first().cloned());
    let is_common = |names: &Vec<String>| names.len() > 1 && names.first() == common.as_ref();
    if files.keys().any(is_state) || !files.keys().all(is_common) {
        return files;
    }
    files.into_iter().map(|(mut names, file)| (names.split_off(1), file)).collect()
}

/// The stem of the notes' name: that of the folder, or that of the only file that may be the notes.
fn notes_stem(name: &str, notes: &BTreeMap<String, FileAt>) -> Option<String> {
    if notes.contains_key(&format!(".{name}.json")) {
        return Some(name.to_owned());
    }
    // `._NAME` are files of macOS.
    let mut candidates = notes.keys().filter(|name| !name.starts_with("._"));
    let only = candidates.next().filter(|_| candidates.next().is_none())?;
    only.strip_prefix('.')?.strip_suffix(".json").map(str::to_owned)
}

/// The media of a folder; the names of all that it may be, if they are several.
fn media_of(stem: &str, media: BTreeMap<String, FileAt>) -> Result<Option<FileAt>, String> {
    let is_named =
        |name: &str| name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let (mut named, others): (Vec<_>, Vec<_>) = media.into_iter().partition(|(name, _)| is_named(name));
    let mut candidates = if named.is_empty() { others } else { std::mem::take(&mut named) };
    match candidates.len() {
        0 | 1 => Ok(candidates.pop().map(|(_, file)| file)),
        _ => Err(candidates.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")),
    }
}

/// The regular files of a tar archive. An archive that would write anywhere else is refused as a whole.
fn files_in_tar(path: &Path) -> Result<Files, Failure> {
    let damaged =
        |error: &io::Error| Failure::new(Exit::Incomplete, format!("{} is damaged: {error}", path.display()));
    let file = fs::File::open(path).map_err(|error| damaged(&error))?;
    let len = file.metadata().map_err(|error| damaged(&error))?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut files = Files::new();
    for entry in archive.entries_with_seek().map_err(|error| damaged(&error))? {
        let entry = entry.map_err(|error| damaged(&error))?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refused = |why: &str| {
            let message = format!("{}: the entry {shown:?} is refused: {why}", path.display());
            Failure::new(Exit::Incomplete, message)
        };
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            _ => return Err(refused("it is neither a regular file nor a folder")),
        }
        let names = std::str::from_utf8(&entry.path_bytes())
            .map(names_of)
            .map_err(|_| refused("its name is not UTF-8"))?;
        let names = names.ok_or_else(|| refused("its path leads out of the archive"))?;
        if entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > len) {
            return Err(refused("the archive ends before its end"));
        }
        files.insert(names, FileAt { path: path.to_owned(), offset, size });
        if files.len() > FILES_MAX {
            return Err(refused("the archive has too many files"));
        }
    }
    Ok(files)
}

/// The names in a path; `None` if the path may lead out of the folder that it begins in.
fn names_of(path: &str) -> Option<Vec<String>> {
    if path.starts_with('/') || path.split('/').any(|name| name == "..") {
        return None;
    }
    Some(path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(entries: &[(&str, EntryType, &[u8])]) -> tempfile::NamedTempFile {
        let mut bytes = Vec::new();
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    const FILE: EntryType = EntryType::Regular;

    fn projects(archive: &Archive) -> Vec<(&str, bool, usize)> {
        let shown = |project: &ProjectFiles| project.states.len();
        archive.projects.iter().map(|it| (it.folder.as_str(), it.is_trashed, shown(it))).collect()
    }

    #[test]
    fn files_are_found_in_any_order_and_below_a_common_folder() {
        for prefix in ["", "./", "mine/", "./mine/"] {
            let names = [
                "B/.metadata.json",
                ".history/B/10/.B.json",
                ".history/B/9/.B.json",
                "B/B.md",
                "B/B.mp3",
                ".trash/A~12345678/.A.json",
                ".trash/A~12345678/.metadata.json",
                "B/.B.json",
                ".history/B/10/.metadata.json",
                ".history/B/9/.metadata.json",
                "note.txt",
                "B/.DS_Store",
            ];
            let paths: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
            let entries: Vec<_> = paths.iter().map(|path| (path.as_str(), FILE, &b"x"[..])).collect();
            let archive = Archive::open(tar(&entries).path()).unwrap();
            assert_eq!(projects(&archive), [(".trash/A~12345678", true, 1), ("B", false, 3)], "{prefix}");
            let b = &archive.projects[1].states;
            assert_eq!((b[0].folder.as_str(), b[1].folder.as_str()), (".history/B/9", ".history/B/10"));
            assert!(b[2].media.is_some() && b[1].media.is_none());
            assert_eq!(archive.left_out, []);
        }
    }

    #[test]
    fn what_is_no_whole_project_is_named() {
        let archive = tar(&[
            ("a/.metadata.json", FILE, b"{}"),
            ("b/.b.json", FILE, b"1"),
            ("c/.metadata.json", FILE, b"{}"),
            ("c/.c.json", FILE, b"1"),
            ("c/c.mp3", FILE, b"1"),
            ("c/c.wav", FILE, b"1"),
            (".history/d/1/.metadata.json", FILE, b"{}"),
            (".history/d/1/.d.json", FILE, b"{}"),
        ]);
        let archive = Archive::open(archive.path()).unwrap();
        assert_eq!(projects(&archive), []);
        let named: Vec<_> = archive.left_out.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(named, ["a", "b", "c", ".history/d"]);
    }

    #[test]
    fn an_entry_that_leads_elsewhere_is_refused_by_its_name() {
        for (path, kind) in [
            ("/etc/passwd", FILE),
            ("../x/.metadata.json", FILE),
            ("a/../../b", FILE),
            ("a/link", EntryType::Symlink),
            ("a/hard", EntryType::Link),
            ("a/device", EntryType::Char),
            ("a/pipe", EntryType::Fifo),
            ("/", EntryType::Directory),
        ] {
            let refused = Archive::open(tar(&[("a/.metadata.json", FILE, b"{}"), (path, kind, b"")]).path());
            let failure = refused.unwrap_err();
            assert!(failure.message.contains(&format!("{path:?} is refused")), "{}", failure.message);
            assert_eq!(failure.exit, Exit::Incomplete);
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_is_damaged() {
        let whole = tar(&[("a/.metadata.json", FILE, &[b'x'; 2_000])]);
        for len in [511, 700, 2_000] {
            let file = fs::File::options().write(true).open(whole.path()).unwrap();
            file.set_len(len).unwrap();
            assert!(Archive::open(whole.path()).is_err(), "{len}");
        }
        fs::write(whole.path(), [b'x'; 2_000]).unwrap();
        assert!(Archive::open(whole.path()).is_err());
    }
}
