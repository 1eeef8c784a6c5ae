//! The repository itself: documents that name files name ones that exist, and files that grow long are pointed out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Lines of code, tests apart, from which a file is worth a second look.
const LONG: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the documentation.
fn documents() -> impl Iterator<Item = String> {
    let listed = ["docs", "docs/hsm"].into_iter().flat_map(|folder| {
        let pages = fs::read_dir(root().join(folder)).unwrap().map(|page| page.unwrap().file_name());
        let pages = pages.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
        pages.map(move |name| format!("{folder}/{name}"))
    });
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"].map(str::to_owned).into_iter().chain(listed)
}

/// Words between backquotes that are paths of the repository.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        let first = word.split('/').next().unwrap_or_default();
        let folders = ["kmip", "hal", "pkcs11-fixtures", "src", "tests", "benches", "config", "docs", "fuzz"];
        word.contains('/') && folders.contains(&first) && !word.contains(['*', ' ', '…'])
    })
}

#[test]
fn documents_name_files_that_exist() {
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        for path in paths_in(&text) {
            assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let path = root().join(&document);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{document} links to {link}, which does not exist");
        }
    }
}

#[test]
fn long_files_are_printed_for_a_second_look() {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output();
    let listing = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for path in listing.lines().filter(|path| !path.starts_with("tests/") && !is_table(Path::new(path))) {
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        if code > LONG {
            println!("{path}: {code} lines");
        }
    }
}

/// Tables of the protocol are as long as the specification makes them.
fn is_table(path: &Path) -> bool {
    let tables = ["tags.rs", "enums.rs", "masks.rs", "attributes.rs", "payloads.rs"];
    path.starts_with("kmip/src") && tables.iter().any(|table| path.ends_with(table))
}
