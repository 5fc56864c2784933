//! Is the tree in order? Who imports whom, where the one gate is called, which rows are done, and whether
//! the pages that are written from tables are fresh.
//!
//! Reads files and runs nothing. Where a page is stale, `HUBWARD_BLESS=1 cargo test --test tidy` writes it.

#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/limits_page.rs"]
mod limits_page;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/role_page.rs"]
mod role_page;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/status.rs"]
mod status;

/// Fails with every fault at once, one a line: whoever mends one wants to see them all.
fn expect_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}\n", faults.join("\n  "));
}
