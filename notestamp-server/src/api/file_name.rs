//! The names of the files that users save media as.

use notestamp_store::archive::is_device_name;
use notestamp_store::{MediaType, Title};

/// The longest file name, in bytes: the limit of common file systems.
const FILE_NAME_BYTES_MAX: usize = 255;

/// A file name that is valid in every common file system, and that cannot be displayed as another one.
pub(crate) fn file_name(title: &Title, media_type: &MediaType) -> String {
    let extensions = || media_type.extensions();
    let safe: String = title.as_str().chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    // Windows removes dots and spaces at the end; a dot at the start hides a file, or means a directory.
    let safe = safe.trim_matches(['.', ' ']);
    let named = safe.rsplit_once('.').filter(|(stem, extension)| {
        !stem.is_empty() && extensions().any(|known| known.eq_ignore_ascii_case(extension))
    });
    let (stem, extension) = match (named, extensions().next()) {
        (Some((stem, extension)), _) => (stem, format!(".{extension}")),
        (None, Some(extension)) => (safe, format!(".{extension}")),
        (None, None) => (safe, String::new()),
    };
    // One byte is kept for the underscore before a reserved name.
    let stem = truncated(stem, FILE_NAME_BYTES_MAX - extension.len() - 1).trim_end_matches(['.', ' ']);
    match stem {
        "" => format!("media{extension}"),
        _ if is_device_name(stem) => format!("_{stem}{extension}"),
        _ => format!("{stem}{extension}"),
    }
}

/// The longest prefix of `text`, in whole characters, that fits into `bytes_max` bytes.
fn truncated(text: &str, bytes_max: usize) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= bytes_max).last();
    &text[..end.unwrap_or(0)]
}

/// Returns whether a character has a meaning to some file system or shell, controls a terminal, or reverses the writing
/// direction, so that `3pm.exe` would be displayed as `exe.mp3`.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn name(title: &str, media_type: &str) -> String {
        file_name(&Title::parse(title).unwrap(), &MediaType::parse(media_type))
    }

    #[test]
    fn the_extension_comes_from_the_media_type() {
        assert_eq!(name("Lecture 1", "audio/mpeg"), "Lecture 1.mp3");
        assert_eq!(name("Lecture 1", "application/pdf"), "Lecture 1.pdf");
        assert_eq!(name("Lecture 1", "application/octet-stream"), "Lecture 1");
        assert_eq!(name("v1.2", "audio/mpeg"), "v1.2.mp3");
    }

    #[test]
    fn an_existing_extension_is_not_repeated() {
        assert_eq!(name("song.MP3", "audio/mpeg"), "song.MP3");
        assert_eq!(name("photo.jpeg", "image/jpeg"), "photo.jpeg");
        assert_eq!(name("song.mp3", "audio/flac"), "song.mp3.flac");
        assert_eq!(name(".mp3", "audio/mpeg"), "mp3.mp3");
    }

    #[test]
    fn no_title_makes_a_name_outside_its_directory() {
        assert_eq!(name("..", "audio/mpeg"), "media.mp3");
        assert_eq!(name("...", "text/plain"), "media");
        assert_eq!(name("../../etc/passwd", "text/plain"), "_.._etc_passwd");
        assert_eq!(name("a\\b:c*d?e\"f<g>h|i\tj", "text/plain"), "a_b_c_d_e_f_g_h_i_j");
    }

    #[test]
    fn a_device_name_of_windows_is_changed() {
        assert_eq!(name("con", "audio/mpeg"), "_con.mp3");
        assert_eq!(name("LPT1.x", "audio/mpeg"), "_LPT1.x.mp3");
        assert_eq!(name("concert", "audio/mpeg"), "concert.mp3");
    }

    #[test]
    fn control_characters_for_the_text_direction_are_replaced() {
        assert_eq!(name("\u{202e}3pm.exe", "application/pdf"), "_3pm.exe.pdf");
        assert_eq!(name("שלום", "audio/mpeg"), "שלום.mp3");
    }

    #[test]
    fn the_longest_title_fits_a_file_system() {
        let long = name(&"🎧".repeat(Title::CHARS_MAX), "audio/mpeg");
        assert!(long.len() <= FILE_NAME_BYTES_MAX && long.ends_with("🎧.mp3"), "{long}");
    }

    proptest! {
        #[test]
        fn any_title_makes_a_safe_file_name(
            text in prop_oneof!["\\PC{1,255}", "[./\\\\\"\u{202e} a]{1,255}", any::<String>()],
            media_type in prop::sample::select(vec!["audio/mpeg", "text/html", "application/pdf"]),
        ) {
            let Ok(title) = Title::parse(&text) else { return Ok(()) };
            let name = file_name(&title, &MediaType::parse(media_type));
            prop_assert!(!name.is_empty() && name.len() <= FILE_NAME_BYTES_MAX);
            prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
            prop_assert!(!name.chars().any(is_unsafe), "{}", name);
        }
    }
}
