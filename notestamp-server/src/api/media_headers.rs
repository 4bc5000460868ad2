//! The `Content-Type` and `Content-Disposition` of media: whether a browser shows or saves it.

use notestamp_store::{ContentType, MediaType, Title};
use poem::http::HeaderValue;

use super::file_name::file_name;
use crate::http::content_disposition::{self, Disposition};

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

/// Returns whether a browser may show media of this type in place; if not, it is an attachment.
pub(crate) fn is_inline(media_type: &MediaType) -> bool {
    is_played(media_type) || INLINE.contains(&media_type.essence())
}

/// Returns whether it is audio or video. An XML type is neither, whatever it claims: browsers show `audio/x+xml` as a
/// document, which may run scripts.
pub(crate) fn is_played(media_type: &MediaType) -> bool {
    let essence = media_type.essence();
    (essence.starts_with("audio/") || essence.starts_with("video/")) && !essence.ends_with("+xml")
}

/// The `Content-Type` that media is served with: its own, or `application/octet-stream` for an attachment, which no
/// page can load as a script or a style sheet either.
///
/// `mimetype` is the media type as it was saved. Its parameters, such as the codecs of a recording, are served too.
pub(crate) fn content_type(mimetype: &str) -> HeaderValue {
    let Some(given) = ContentType::parse(mimetype).filter(|given| is_inline(given.media_type())) else {
        return HeaderValue::from_static("application/octet-stream");
    };
    let whole = Some(given.to_string()).filter(|text| text.is_ascii() && text.len() <= MEDIA_TYPE_BYTES_MAX);
    HeaderValue::from_str(whole.as_deref().unwrap_or(given.media_type().essence()))
        .expect("a media type is made of tokens and of quoted texts without control characters")
}

/// The `Content-Disposition` of a project's media, with a file name made of the project's title. Media of a type that
/// browsers do not show safely is always an attachment.
pub(crate) fn content_disposition(asked: Disposition, title: &Title, media_type: &MediaType) -> HeaderValue {
    let disposition = if is_inline(media_type) { asked } else { Disposition::Attachment };
    content_disposition::content_disposition(disposition, &file_name(title, media_type))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The file name in a `filename*` parameter.
    fn decoded(disposition: &HeaderValue) -> String {
        let (_, encoded) = disposition.to_str().unwrap().split_once("filename*=UTF-8''").unwrap();
        let query = format!("n={}", encoded.replace('+', "%2B").replace('&', "%26"));
        url::form_urlencoded::parse(query.as_bytes()).next().unwrap().1.into_owned()
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

    proptest! {
        #[test]
        fn any_title_makes_a_header_that_names_one_file(
            text in prop_oneof!["\\PC{1,255}", "[./\\\\\"\u{202e} a]{1,255}", any::<String>()],
        ) {
            let Ok(title) = Title::parse(&text) else { return Ok(()) };
            let media_type = MediaType::parse("audio/mpeg");
            let value = content_disposition(Disposition::Inline, &title, &media_type);
            let text = value.to_str().unwrap();
            prop_assert_eq!(text.matches('"').count(), 2);
            prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(decoded(&value), file_name(&title, &media_type));
        }
    }
}
