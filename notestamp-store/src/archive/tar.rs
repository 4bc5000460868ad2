//! The tar format (POSIX.1-2001, pax), written piece by piece, so that an archive can be streamed.

use std::fmt::Write as _;

use tar::{EntryType, Header};

use crate::clock::Timestamp;

/// The unit of the format: headers and contents fill whole blocks.
const BLOCK: usize = 512;

/// The longest name in a header without extension.
const NAME_BYTES_MAX: usize = 100;

/// What comes before the content of a file: its header, and before that its path, if that is long or not ASCII.
pub fn tar_header(path: &str, size: u64, modified: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * BLOCK);
    if path.len() > NAME_BYTES_MAX || !path.is_ascii() {
        let record = pax_record("path", path);
        let header = header("pax-path", record.len() as u64, modified, EntryType::XHeader);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(record.as_bytes());
        bytes.extend_from_slice(tar_padding(record.len() as u64));
    }
    // Programs that do not know the extension see an ASCII name that is cut off.
    let ascii: String =
        path.chars().map(|c| if c.is_ascii() { c } else { '_' }).take(NAME_BYTES_MAX).collect();
    bytes.extend_from_slice(header(&ascii, size, modified, EntryType::Regular).as_bytes());
    bytes
}

/// What comes after the content of a file of this size.
pub fn tar_padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let used = (size % BLOCK as u64) as usize;
    if used == 0 { &[] } else { &ZEROS[used..] }
}

/// The end of an archive.
pub fn tar_end() -> &'static [u8] {
    &[0; 2 * BLOCK]
}

fn header(name: &str, size: u64, modified: Timestamp, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    if let Some(old) = header.as_ustar_mut() {
        // Written as it is: the library's own function refuses the names that it takes for unsafe.
        old.name[..name.len()].copy_from_slice(name.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    // A size of 8 GiB or more is written in binary, which every common program reads.
    header.set_size(size);
    header.set_mtime(u64::try_from(modified.as_secs()).unwrap_or(0));
    header.set_cksum();
    header
}

/// `LENGTH KEY=VALUE` and a line feed, where the length counts its own digits too.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    let mut record = String::with_capacity(length);
    let _ = writeln!(record, "{length} {key}={value}");
    record
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_library_reads_what_is_written() {
        let long = format!("{}/é/{}", "a".repeat(199), "b".repeat(200));
        let files = [("a/b.json", &b"{}"[..]), (&long, b""), ("ü/x", &[7; 512]), ("last", &[1; 513])];
        let modified = Timestamp::from_millis(1_709_294_400_000);
        let mut archive = Vec::new();
        for (path, content) in files {
            archive.extend(tar_header(path, content.len() as u64, modified));
            archive.extend_from_slice(content);
            archive.extend_from_slice(tar_padding(content.len() as u64));
        }
        archive.extend_from_slice(tar_end());
        let mut archive = tar::Archive::new(&archive[..]);
        let mut read = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 1_709_294_400);
            let (path, mut content) =
                (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            read.push((path, content));
        }
        assert_eq!(read, files.map(|(path, content)| (path.to_owned(), content.to_vec())));
    }

    #[test]
    fn a_size_beyond_the_octal_field_is_kept() {
        let size = 40 << 30;
        let written = tar_header("big", size, Timestamp::from_millis(0));
        assert_eq!(Header::from_byte_slice(&written).size().unwrap(), size);
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        for len in [1, 88, 89, 90, 91, 92, 980, 990, 995] {
            let record = pax_record("path", &"x".repeat(len));
            assert!(record.starts_with(&format!("{} path=", record.len())), "{len}");
        }
    }
}
