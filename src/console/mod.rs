//! The web console: files in the program, served on the admin listener at `/` and below `/console/`.
//!
//! Nothing is built and nothing comes from elsewhere: the files are those of this folder (README.md tells how a page is made), and
//! all that they do, they do by the REST API. They hold no secret, so they need no login.

use std::{io::Write as _, sync::OnceLock};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA256, digest};

/// What the page may do: load what is here, talk to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// What is worked out of a file when the first one is asked for.
struct Prepared {
    etag: Option<HeaderValue>,
    gzip: Option<Vec<u8>>,
}

macro_rules! files {
    ($($kind:ident $name:literal,)*) => {
        &[$(File { name: $name, kind: $kind, bytes: include_bytes!($name) },)*]
    };
}

/// All of them, the page first.
static FILES: &[File] = files! {
    HTML "index.html",
    STYLE "keystead.css",
    STYLE "vendor/pico.css",
    SVG "icon.svg",
    SCRIPT "theme.js",
    SCRIPT "main.js",
    SCRIPT "api.js",
    SCRIPT "chart.js",
    SCRIPT "csr.js",
    SCRIPT "dialogs.js",
    SCRIPT "format.js",
    SCRIPT "icons.js",
    SCRIPT "route.js",
    SCRIPT "session.js",
    SCRIPT "table.js",
    SCRIPT "ui.js",
    SCRIPT "view.js",
    SCRIPT "words.js",
    SCRIPT "vendor/preact.js",
    SCRIPT "vendor/hooks.js",
    SCRIPT "vendor/htm.js",
    SCRIPT "pages/adapters.js",
    SCRIPT "pages/adapter.js",
    SCRIPT "pages/approvals.js",
    SCRIPT "pages/audit.js",
    SCRIPT "pages/certificates.js",
    SCRIPT "pages/connect.js",
    SCRIPT "pages/connecting.js",
    SCRIPT "pages/identities.js",
    SCRIPT "pages/keys.js",
    SCRIPT "pages/live.js",
    SCRIPT "pages/overview.js",
    SCRIPT "pages/rootkeys.js",
    SCRIPT "pages/server.js",
};

/// In the order of [`FILES`].
static PREPARED: OnceLock<Vec<Prepared>> = OnceLock::new();

/// `/` and `/console/…`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| serve("index.html", &headers)))
        .route("/console/{*name}", get(async |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers)))
}

fn serve(name: &str, asked: &HeaderMap) -> Response {
    let prepared = PREPARED.get_or_init(|| FILES.iter().map(|file| Prepared::of(file.bytes)).collect());
    let Some((file, prepared)) = FILES.iter().zip(prepared).find(|(file, _)| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let has = |name: HeaderName, value: &str| {
        let lines = asked.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|one| one.trim().split(';').next() == Some(value))
    };
    let mut headers = HeaderMap::new();
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    // Kept, but asked for each time: after an update no browser mixes old files with new ones.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(etag) = &prepared.etag {
        headers.insert(header::ETAG, etag.clone());
        if etag.to_str().is_ok_and(|etag| has(header::IF_NONE_MATCH, etag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
    }
    match &prepared.gzip {
        Some(gzip) if has(header::ACCEPT_ENCODING, "gzip") => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (headers, gzip.as_slice()).into_response()
        }
        _ => (headers, file.bytes).into_response(),
    }
}

impl Prepared {
    fn of(bytes: &[u8]) -> Self {
        let sum: String = digest(&SHA256, bytes).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(bytes).and_then(|()| encoder.finish()).ok();
        // Weak: the bytes differ by their encoding.
        Self {
            etag: HeaderValue::try_from(format!("W/\"{sum}\"")).ok(),
            gzip: gzip.filter(|gzip| gzip.len() < bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn asked(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// Every file of the folder that a browser would load.
    fn in_folder(folder: &Path, below: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                in_folder(&entry.path(), &format!("{name}/"), found);
            } else if [".html", ".css", ".js", ".svg"].iter().any(|end| name.ends_with(end)) {
                found.push(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut there = Vec::new();
        in_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), "", &mut there);
        let mut served: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        there.sort_unstable();
        served.sort_unstable();
        assert_eq!(there, served);
    }

    fn named(name: &str) -> &'static File {
        FILES.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// A script and all that it imports, by name.
    fn with_imports(name: &str, loaded: &mut Vec<String>) {
        if loaded.iter().any(|one| one == name) {
            return;
        }
        loaded.push(name.to_owned());
        let text = std::str::from_utf8(named(name).bytes).unwrap();
        for import in
            text.split("from \"").chain(text.split("from\"")).skip(1).filter_map(|rest| rest.split('"').next())
        {
            let folder = Path::new(name).parent().unwrap();
            let inner = import.strip_prefix("./").map(|rest| folder.join(rest).to_str().unwrap().to_owned());
            let outer = import.strip_prefix("../").map(str::to_owned);
            if let Some(file) = inner.or(outer) {
                with_imports(&file, loaded);
            }
        }
    }

    #[test]
    fn a_whole_page_stays_below_200_kilobytes() {
        let sent: usize = FILES.iter().filter_map(|file| Prepared::of(file.bytes).gzip).map(|gzip| gzip.len()).sum();
        println!("everything: {sent} bytes as sent");
        assert!(sent < 100_000, "everything: {sent} bytes as sent");
        let pages = FILES.iter().filter(|file| file.name.starts_with("pages/"));
        for page in pages {
            let mut loaded: Vec<String> =
                ["index.html", "keystead.css", "vendor/pico.css", "icon.svg", "theme.js"].map(str::to_owned).into();
            with_imports("main.js", &mut loaded);
            with_imports(page.name, &mut loaded);
            let whole: usize = loaded.iter().map(|name| named(name).bytes.len()).sum();
            println!("{}: {whole} bytes", page.name);
            assert!(whole < 200_000, "{}: {whole} bytes in {loaded:?}", page.name);
        }
    }

    #[test]
    fn no_file_holds_what_the_policy_forbids() {
        for file in FILES {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for bad in ["dangerouslySetInnerHTML:", "eval(", "new Function", "unsafe-inline", "document.write"] {
                assert!(!text.contains(bad), "{}: {bad}", file.name);
            }
            if file.kind == HTML {
                let inline = text
                    .split("<script")
                    .skip(1)
                    .any(|rest| !rest.starts_with(" src=") && !rest.starts_with(" type=\"module\" src="));
                assert!(
                    !inline && !text.contains("<style") && !text.contains(" style=") && !text.contains(" on"),
                    "{}",
                    file.name
                );
            }
        }
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn answers_with_gzip_or_nothing_new_where_the_browser_says_so() {
        let plain = serve("main.js", &asked(&[]));
        assert_eq!((plain.status(), plain.headers().get("content-encoding")), (StatusCode::OK, None));
        assert_eq!(plain.headers()["content-security-policy"], POLICY);
        let etag = plain.headers()["etag"].to_str().unwrap().to_owned();
        let packed = serve("main.js", &asked(&[("accept-encoding", "br;q=1, gzip;q=0.8")]));
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let same = serve("main.js", &asked(&[("if-none-match", &etag)]));
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        let other = serve("main.js", &asked(&[("if-none-match", "W/\"0\"")]));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn serves_nothing_else() {
        for name in ["README.md", "mod.rs", "vendor/LICENSE-preact", "../mod.rs", "", "main.js/"] {
            assert_eq!(serve(name, &asked(&[])).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
