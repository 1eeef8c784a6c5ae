//! The audit log of the real program: one chain of a server and commands beside it, whole after kills, verified, searched and
//! exported from the command line.

mod commands;
mod intent;
mod kill;

use std::{collections::HashSet, path::Path};

use keystead::audit::{
    Query, Record, export,
    verify::{Evidence, Report, verify},
};

/// The records of requests and administration, oldest first.
pub fn records(dir: &Path) -> Vec<Record> {
    let mut found = Vec::new();
    export(&dir.join("audit/audit.jsonl"), &Query::default(), |_, record| {
        found.push(record.clone());
        true
    })
    .unwrap();
    found
}

/// The chain of the log in a data directory, which must be whole.
pub fn whole(dir: &Path) -> Report {
    let report = verify(&Evidence::of_folder(&dir.join("audit")).unwrap()).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    report
}

/// The objects of successful operations of this name.
pub fn objects(records: &[Record], operation: &str) -> HashSet<String> {
    let done = records.iter().filter(|record| record.operation == operation && record.outcome == "success");
    done.filter_map(|record| record.object).map(|id| id.to_string()).collect()
}
