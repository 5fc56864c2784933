//! The Blob service of storage accounts, at the account's own address.

use super::row::{act, bare, blob, service};
use super::{Body, Effect, Op, Operation, Right};
use crate::action::ActionName;

const READ_CONTAINERS: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/read")];
const WRITE_CONTAINERS: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/write")];
const DELETE_CONTAINERS: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/delete")];
const DELEGATE: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action")];
const READ: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read")];
const WRITE: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write")];
const DELETE: &[ActionName] =
    &[act("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete")];

const BLOB: &str = "/{account}/{container}/{blob}";

const fn of_file(row: Operation) -> Operation {
    Operation { body: Body::File, ..row }
}

pub(super) const ROWS: &[Operation] = &[
    service(
        Op::ListBlobContainers,
        READ_CONTAINERS,
        &[Right::ListBlobs],
        Effect::Reads,
        &[blob("GET", "/{account}?comp=list")],
        "Lists the containers of a storage account",
    ),
    Operation {
        body: Body::Raw,
        ..service(
            Op::GetUserDelegationKey,
            DELEGATE,
            &[],
            Effect::Reads,
            &[blob("POST", "/{account}?restype=service&comp=userdelegationkey")],
            "Gets a key that signs addresses of blobs as the caller",
        )
    },
    bare(service(
        Op::CreateBlobContainer,
        WRITE_CONTAINERS,
        &[Right::CreateBlobs, Right::WriteBlobs],
        Effect::ChangesFacts,
        &[blob("PUT", "/{account}/{container}?restype=container")],
        "Creates a container",
    )),
    service(
        Op::GetBlobContainer,
        READ_CONTAINERS,
        &[Right::ReadBlobs],
        Effect::Reads,
        &[
            blob("GET", "/{account}/{container}?restype=container"),
            blob("HEAD", "/{account}/{container}?restype=container"),
        ],
        "Shows a container",
    ),
    bare(service(
        Op::DeleteBlobContainer,
        DELETE_CONTAINERS,
        &[Right::DeleteBlobs],
        Effect::ChangesFacts,
        &[blob("DELETE", "/{account}/{container}?restype=container")],
        "Deletes a container and every blob in it",
    )),
    service(
        Op::ListBlobs,
        READ,
        &[Right::ListBlobs],
        Effect::Reads,
        &[blob("GET", "/{account}/{container}?restype=container&comp=list")],
        "Lists the blobs of a container",
    ),
    of_file(service(
        Op::PutBlob,
        WRITE,
        &[Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", BLOB)],
        "Puts a blob in the place of what is there",
    )),
    // What a call to put a blob is judged by where there is none of the name.
    of_file(service(
        Op::CreateBlob,
        WRITE,
        &[Right::CreateBlobs, Right::WriteBlobs],
        Effect::Writes,
        &[],
        "Makes a new blob",
    )),
    of_file(service(
        Op::AppendBlock,
        WRITE,
        &[Right::AddBlobs, Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", "/{account}/{container}/{blob}?comp=appendblock")],
        "Appends to a blob",
    )),
    of_file(service(
        Op::PutBlock,
        WRITE,
        &[Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", "/{account}/{container}/{blob}?comp=block")],
        "Keeps a block for a blob",
    )),
    of_file(service(
        Op::PutBlockList,
        WRITE,
        &[Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", "/{account}/{container}/{blob}?comp=blocklist")],
        "Makes a blob of blocks",
    )),
    service(
        Op::GetBlockList,
        READ,
        &[Right::ReadBlobs],
        Effect::Reads,
        &[blob("GET", "/{account}/{container}/{blob}?comp=blocklist")],
        "Lists the blocks of a blob",
    ),
    service(
        Op::GetBlob,
        READ,
        &[Right::ReadBlobs],
        Effect::Reads,
        &[blob("GET", BLOB)],
        "Reads a blob",
    ),
    service(
        Op::GetBlobProperties,
        READ,
        &[Right::ReadBlobs],
        Effect::Reads,
        &[
            blob("HEAD", BLOB),
            blob("GET", "/{account}/{container}/{blob}?comp=metadata"),
            blob("HEAD", "/{account}/{container}/{blob}?comp=metadata"),
        ],
        "Shows what a blob is, without its bytes",
    ),
    bare(service(
        Op::SetBlobProperties,
        WRITE,
        &[Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", "/{account}/{container}/{blob}?comp=properties")],
        "Sets the headers that go with a blob",
    )),
    bare(service(
        Op::SetBlobMetadata,
        WRITE,
        &[Right::WriteBlobs],
        Effect::Writes,
        &[blob("PUT", "/{account}/{container}/{blob}?comp=metadata")],
        "Sets the metadata of a blob",
    )),
    bare(service(
        Op::DeleteBlob,
        DELETE,
        &[Right::DeleteBlobs],
        Effect::Writes,
        &[blob("DELETE", BLOB)],
        "Deletes a blob",
    )),
];
