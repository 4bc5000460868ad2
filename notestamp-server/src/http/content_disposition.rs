//! `Content-Disposition` (RFC 6266) and `Content-Type` of media: whether a browser shows or saves it, and the file
//! name.

use notestamp_store::{ContentType, MediaType, Title};
use poem::http::HeaderValue;

/// The longest file name, in bytes: the limit of common file systems.
const FILE_NAME_BYTES_MAX: usize = 255;

/// The longest media type that is served with its parameters, in bytes: proxies refuse very large headers.
const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// The media types that a browser may show under our origin, besides those of [`is_played`].
///
/// None of them runs scripts. SVG does, so it is not here.
const INLINE: [&str; 9] = [
    "application/pdf",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/x-icon",
];

/// The extensions of common media types; the first of a type is the one that file names get.
const EXTENSIONS: [(&str, &str); 35] = [
    ("application/ogg", "ogg"),
    ("application/pdf", "pdf"),
    ("audio/aac", "aac"),
    ("audio/aiff", "aiff"),
    ("audio/flac", "flac"),
    ("audio/m4a", "m4a"),
    ("audio/midi", "mid"),
    ("audio/mp3", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/ogg", "oga"),
    ("audio/ogg", "opus"),
    ("audio/opus", "opus"),
    ("audio/wav", "wav"),
    ("audio/wave", "wav"),
    ("audio/webm", "weba"),
    ("audio/webm", "webm"),
    ("audio/x-flac", "flac"),
    ("audio/x-m4a", "m4a"),
    ("audio/x-wav", "wav"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/jpeg", "jpeg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("video/mp4", "mp4"),
    ("video/mp4", "m4v"),
    ("video/mpeg", "mpeg"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-matroska", "mkv"),
];

/// Returns whether a browser may show media of this type in place; if not, it is an attachment.
pub fn is_inline(media_type: &MediaType) -> bool {
    is_played(media_type) || INLINE.contains(&media_type.essence())
}

/// Returns whether it is audio or video. An XML type is neither, whatever it claims: browsers show `audio/x+xml` as a
/// document, which may run scripts.
pub fn is_played(media_type: &MediaType) -> bool {
    let essence = media_type.essence();
    (essence.starts_with("audio/") || essence.starts_with("video/")) && !essence.ends_with("+xml")
}

/// The `Content-Type` that media is served with: its own, or `application/octet-stream` for an attachment, which no
/// page can load as a script or a style sheet either.
///
/// `mimetype` is the media type as it was saved. Its parameters, such as the codecs of a recording, are served too.
pub fn content_type(mimetype: &str) -> HeaderValue {
    let Some(given) = ContentType::parse(mimetype).filter(|given| is_inline(given.media_type())) else {
        return HeaderValue::from_static("application/octet-stream");
    };
    let whole = Some(given.to_string()).filter(|text| text.is_ascii() && text.len() <= MEDIA_TYPE_BYTES_MAX);
    HeaderValue::from_str(whole.as_deref().unwrap_or(given.media_type().essence()))
        .expect("a media type is made of tokens and of quoted texts without control characters")
}

/// What a browser should do with media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Show it in place, if browsers show its type safely.
    Inline,
    /// Save it as a file.
    Attachment,
}

/// The `Content-Disposition` of a project's media, with a file name made of the project's title.
///
/// The file name is given twice: in ASCII for old clients, and encoded by RFC 8187 for all others.
pub fn content_disposition(asked: Disposition, title: &Title, media_type: &MediaType) -> HeaderValue {
    let disposition = match asked {
        Disposition::Inline if is_inline(media_type) => "inline",
        Disposition::Inline | Disposition::Attachment => "attachment",
    };
    let name = file_name(title.as_str(), media_type);
    let (fallback, encoded) = (ascii_fallback(&name), percent_encoded(&name));
    HeaderValue::try_from(format!("{disposition}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"))
        .expect("both file names are visible ASCII")
}

/// A file name that is valid in every common file system, and that cannot be displayed as another one.
fn file_name(title: &str, media_type: &MediaType) -> String {
    let extensions = || EXTENSIONS.iter().filter(|(of, _)| *of == media_type.essence()).map(|(_, it)| *it);
    let safe: String = title.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
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
        _ if is_reserved(stem) => format!("_{stem}{extension}"),
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

/// Returns whether Windows treats a name as a device, whatever its extension.
fn is_reserved(stem: &str) -> bool {
    let base = stem.split('.').next().unwrap_or(stem).trim_end().to_ascii_uppercase();
    match base.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" => true,
        _ => ["COM", "LPT"].iter().any(|device| {
            base.strip_prefix(device).is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']))
        }),
    }
}

/// The file name for clients that do not know `filename*`. Some of them decode `%`, so it is replaced too.
fn ascii_fallback(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii() && c != '%' { c } else { '_' }).collect()
}

/// `value-chars` of RFC 8187, 3.2.1.
fn percent_encoded(name: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn name(title: &str, media_type: &str) -> String {
        file_name(Title::parse(title).unwrap().as_str(), &MediaType::parse(media_type))
    }

    /// The file name in a `filename*` parameter.
    fn decoded(disposition: &HeaderValue) -> String {
        let (_, encoded) = disposition.to_str().unwrap().split_once("filename*=UTF-8''").unwrap();
        let query = format!("n={}", encoded.replace('+', "%2B").replace('&', "%26"));
        url::form_urlencoded::parse(query.as_bytes()).next().unwrap().1.into_owned()
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
    fn the_header_has_both_forms_of_the_name() {
        let title = Title::parse("Ünïcode \"100%\" 🎧").unwrap();
        assert_eq!(
            content_disposition(Disposition::Inline, &title, &MediaType::parse("audio/mpeg")),
            "inline; filename=\"_n_code _100__ _.mp3\"; \
             filename*=UTF-8''%C3%9Cn%C3%AFcode%20_100%25_%20%F0%9F%8E%A7.mp3"
        );
    }

    #[test]
    fn only_types_without_scripts_are_shown_inline() {
        let disposition = |media_type| {
            let parsed = MediaType::parse(media_type);
            let value = content_disposition(Disposition::Inline, &Title::parse("t").unwrap(), &parsed);
            let (kind, _) = value.to_str().unwrap().split_once(';').unwrap();
            (kind.to_owned(), content_type(media_type))
        };
        for inline in ["audio/mpeg", "audio/x-unheard-of", "video/mp4", "image/png", "application/pdf"] {
            assert_eq!(disposition(inline), ("inline".to_owned(), HeaderValue::from_static(inline)));
        }
        let octets = HeaderValue::from_static("application/octet-stream");
        for other in
            ["image/svg+xml", "text/html", "text/javascript", "application/xhtml+xml", "", "multipart/x"]
        {
            assert_eq!(disposition(other), ("attachment".to_owned(), octets.clone()), "{other}");
        }
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
            let value = content_disposition(Disposition::Inline, &title, &MediaType::parse(media_type));
            let text = value.to_str().unwrap();
            prop_assert_eq!(text.matches('"').count(), 2);
            prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            let name = decoded(&value);
            prop_assert!(!name.is_empty() && name.len() <= FILE_NAME_BYTES_MAX);
            prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
            prop_assert!(!name.chars().any(is_unsafe), "{}", name);
        }
    }

    #[test]
    fn a_download_is_an_attachment_for_any_type() {
        let title = Title::parse("Lecture").unwrap();
        let value = content_disposition(Disposition::Attachment, &title, &MediaType::parse("audio/mpeg"));
        assert_eq!(value, "attachment; filename=\"Lecture.mp3\"; filename*=UTF-8''Lecture.mp3");
    }
    #[test]
    fn a_well_formed_media_type_is_served_with_its_parameters() {
        let long = format!("audio/webm;codecs={}", "o".repeat(300));
        for (saved, served) in [
            ("audio/webm;codecs=opus", "audio/webm;codecs=opus"),
            (" Audio/WebM; Codecs=Opus ", "audio/webm; codecs=Opus"),
            ("video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"", "video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\""),
            ("application/pdf;version=1.7", "application/pdf;version=1.7"),
            ("image/png; a=b; c=d", "image/png; a=b; c=d"),
            ("audio/webm;", "audio/webm"),
            ("audio/webm; codecs", "application/octet-stream"),
            ("audio/webm;codecs=avc1, mp4a", "application/octet-stream"),
            ("audio/webm;codecs=\"opus", "application/octet-stream"),
            ("audio/webm;codecs=a\r\nX-Evil: 1", "application/octet-stream"),
            ("audio/webm;codecs=\"a\r\nX-Evil: 1\"", "application/octet-stream"),
            ("audio/webm;codecs=\"é\"", "audio/webm"),
            (&long, "audio/webm"),
            ("text/html;charset=utf-8", "application/octet-stream"),
            ("image/svg+xml;x=audio/webm", "application/octet-stream"),
            ("application/octet-stream;x=y", "application/octet-stream"),
            ("audio/x+xml", "application/octet-stream"),
            ("video/webm;codecs=vp8,opus", "video/webm;codecs=\"vp8,opus\""),
            ("audio/wav;,text/html", "application/octet-stream"),
            ("nonsense;codecs=opus", "application/octet-stream"),
        ] {
            assert_eq!(content_type(saved), served, "{saved:?}");
        }
    }
}
