//! File names that contain a hash of the file's content.

/// Returns whether a file name contains a hash of the content, as bundlers write it: `index-BQhKzOq1.js` (Vite),
/// `main.8f3a2b1c.chunk.css` (webpack), `chunk-A3XKZ7QP.js` (esbuild). Such a file never changes.
///
/// A wrong yes would keep an old file in browsers for a year, a wrong no costs one request: so in doubt it is no.
pub(super) fn is_hashed(name: &str) -> bool {
    let mut parts = name.split('.');
    let stem = parts.next().unwrap_or_default();
    let mut parts: Vec<&str> = parts.collect();
    // The extension is no hash.
    parts.pop();
    // Before the first dot, a hash follows a dash. Vite's hashes may contain a dash themselves.
    let of_stem = stem.char_indices().filter(|(_, char)| *char == '-').map(|(at, _)| &stem[at + 1..]);
    of_stem.chain(parts).any(is_hash)
}

/// The length of the hashes of Vite, esbuild and Parcel.
const SHORT: usize = 8;

fn is_hash(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    if is_hex {
        let has_letter = !bytes.iter().all(u8::is_ascii_digit);
        return bytes.len() >= SHORT && has_digit && has_letter;
    }
    // Base 64 or base 32: words have no digits and few capitals inside.
    let is_base64 = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    let capitals = bytes.iter().skip(1).filter(|byte| byte.is_ascii_uppercase()).count();
    bytes.len() == SHORT && is_base64 && capitals >= 2
}

#[cfg(test)]
mod tests {
    use super::is_hashed;

    #[test]
    fn names_by_bundlers_are_hashed_and_others_are_not() {
        for name in [
            "index-BQhKzOq1.js",
            "index-DtRfGxWq.css",
            "vendor-B-9hKzO1.js",
            "main.8f3a2b1c.js",
            "main.8f3a2b1c.chunk.css",
            "2.0a1b2c3d4e5f60718293.js",
            "chunk-A3XKZ7QP.js",
            "logo.6ce24c58.svg",
            "inter-latin-400-normal-C38fXH4l.woff2",
        ] {
            assert!(is_hashed(name), "{name}");
        }
        for name in [
            "index.html",
            "index.js",
            "main.js",
            "manifest.webmanifest",
            "service-worker.js",
            "some-component.js",
            "new_project.js",
            "my-Component.js",
            "a-jsxRuntime.js",
            "photo-20261128.png",
            "release-12345678.txt",
            "my-deadbeef.js",
            "my.fa-brands.css",
            "robots.txt",
            "BQhKzOq1",
            "",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}
