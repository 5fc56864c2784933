//! Export: every identity with its twin, a line of JSON each, devices before modules.

use super::Cursor;
use super::run::{Stop, Work};
use super::storage::Storage;
use crate::control::unread;
use crate::devices::configurations;
use crate::devices::identity::Device;
use crate::devices::registry::parse;
use model::json::set;
use serde_json::{Value, json};
use store::{Scan, Table, tables};

/// How many identities are read at once.
const PAGE: usize = 200;
/// A block is written once it has so many bytes.
const BLOCK_BYTES: usize = 4 << 20;
const TABLES: [Table; 2] = [tables::DEVICES, tables::MODULES];
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn run(work: &mut Work) -> Result<(), Stop> {
    let wanted = work.transfer.wanted.clone();
    let mut storage = Storage::of(&work.env, &work.hub, &wanted.shows, &wanted.output).await?;
    let mut cursor = work.transfer.cursor.clone();
    let mut total = 0;
    for table in TABLES {
        total += work.env.store.count(&work.shard, table).await.map_err(|it| unread(&it))?;
    }
    let mut block = String::new();
    let mut at = cursor.clone();
    while let Some(table) = TABLES.get(at.table) {
        let scan = Scan { prefix: String::new(), after: at.after.clone(), limit: PAGE };
        let page = work.env.store.scan(&work.shard, *table, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            block.push_str(&line(&parse(key, document)?, wanted.excludes_keys).to_string());
            block.push('\n');
            at.lines += 1;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => at.after = Some(key.clone()),
            Some(_) | None => (at.table, at.after) = (at.table + 1, None),
        }
        if block.len() >= BLOCK_BYTES || (at.table == TABLES.len() && !block.is_empty()) {
            put(&mut storage, at.blocks, std::mem::take(&mut block)).await?;
            at.blocks += 1;
            at.percent = (at.lines * 99).checked_div(total).unwrap_or(99).min(99);
            cursor = Cursor { pending: String::new(), ..at.clone() };
            work.reached(&cursor).await?;
        }
    }
    if let Some(blob) = &wanted.configurations {
        configured(work, &mut storage, blob).await?;
    }
    let put = storage.blobs.put_list(&storage.blob, TEXT, 0..cursor.blocks).await;
    put.map(drop).map_err(|it| storage.failed(&it))
}

async fn put(storage: &mut Storage, number: u32, block: String) -> Result<(), Stop> {
    let put = storage.blobs.put_block(&storage.blob, number, block.into()).await;
    put.map_err(|it| storage.failed(&it))
}

/// The configurations of the hub, in a blob of their own; there are no more than a hundred.
async fn configured(work: &Work, storage: &mut Storage, blob: &str) -> Result<(), Stop> {
    let mut text = String::new();
    for it in configurations::exported(&work.env, &work.shard).await? {
        text.push_str(&it.to_string());
        text.push('\n');
    }
    let put = storage.blobs.put(blob, TEXT, text.into()).await;
    put.map(drop).map_err(|it| storage.failed(&it))
}

/// An identity as imports read it. Keys that stay at home are `null`.
fn line(device: &Device, excludes_keys: bool) -> Value {
    let mut authentication = device.authentication.clone();
    if excludes_keys && authentication.get("symmetricKey").is_some_and(Value::is_object) {
        let none = json!({ "primaryKey": null, "secondaryKey": null });
        set(&mut authentication, "symmetricKey", none);
    }
    let mut all = json!({ "id": device.device_id, "eTag": device.etag() });
    match &device.module_id {
        Some(module) => {
            set(&mut all, "moduleId", json!(module));
            set(&mut all, "managedBy", json!(device.managed_by()));
        }
        None => {
            set(&mut all, "status", json!(device.status));
            set(&mut all, "statusReason", json!(device.status_reason));
            set(&mut all, "capabilities", device.capabilities.clone());
        }
    }
    set(&mut all, "authentication", authentication);
    set(&mut all, "twinETag", json!(device.twin.etag()));
    set(&mut all, "tags", json!(device.twin.tags()));
    set(&mut all, "properties", device.twin.properties());
    all
}
