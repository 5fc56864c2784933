"""Blobs with the unmodified client, told what to do line by line.

    BLOB_CONNECTION_STRING=... python blobs.py
    BLOB_URL=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... python blobs.py

Reads commands from standard input, each a line of JSON: [NAME, ARGUMENT...], NAME a function of this file. Answers each with a
line of JSON: {ok: RESULT}, or {error: {status, code, message}}. Ends with its input.
"""

import datetime
import json
import os
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_blob_sas,
    generate_container_sas,
)

# So that a few megabytes go and come in blocks and ranges.
SMALL = {
    "max_single_put_size": 1 << 20,
    "max_block_size": 1 << 20,
    "max_single_get_size": 1 << 20,
    "max_chunk_get_size": 1 << 20,
}


def connect():
    if "BLOB_CONNECTION_STRING" in os.environ:
        return BlobServiceClient.from_connection_string(os.environ["BLOB_CONNECTION_STRING"], **SMALL)
    env = os.environ
    credential = ClientSecretCredential(
        env["AZURE_TENANT_ID"],
        env["AZURE_CLIENT_ID"],
        env["AZURE_CLIENT_SECRET"],
        authority=env["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
    )
    return BlobServiceClient(env["BLOB_URL"], credential=credential, **SMALL)


SERVICE = connect()


def expiry(seconds):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


def pattern(size):
    return bytes(it * 7 % 251 for it in range(1024)) * (size // 1024)


def make(container):
    SERVICE.create_container(container)


def drop(container):
    SERVICE.delete_container(container)


def containers():
    return [it.name for it in SERVICE.list_containers()]


def upload(container, name, text, overwrite=False, metadata=None):
    settings = ContentSettings(content_type="text/plain")
    blob = SERVICE.get_blob_client(container, name)
    blob.upload_blob(
        text.encode(), overwrite=overwrite, metadata=metadata, content_settings=settings, validate_content=True
    )


def read(container, name):
    return SERVICE.get_blob_client(container, name).download_blob().readall().decode()


def upload_large(container, name, size):
    blob = SERVICE.get_blob_client(container, name)
    blob.upload_blob(pattern(size), overwrite=True, max_concurrency=4)
    back = blob.download_blob(max_concurrency=4).readall()
    committed, waiting = blob.get_block_list("all")
    return {"same": back == pattern(size), "blocks": len(committed), "waiting": len(waiting)}


def properties(container, name):
    it = SERVICE.get_blob_client(container, name).get_blob_properties()
    return {"size": it.size, "type": it.content_settings.content_type, "metadata": it.metadata}


def names(container, prefix=None, page=None):
    client = SERVICE.get_container_client(container)
    pages = client.list_blobs(name_starts_with=prefix, results_per_page=page).by_page()
    return [[it.name for it in page] for page in pages]


def walk(container):
    return [it.name for it in SERVICE.get_container_client(container).walk_blobs()]


def append(container, name, texts):
    blob = SERVICE.get_blob_client(container, name)
    blob.create_append_blob()
    for it in texts:
        blob.append_block(it.encode())
    return blob.download_blob().readall().decode()


def delete(container, name):
    SERVICE.get_blob_client(container, name).delete_blob()


def signed(container, name, permissions, seconds):
    """An address of a blob, signed with the account's key or, of who has none, with a user delegation key."""
    sign = {"permission": BlobSasPermissions.from_string(permissions), "expiry": expiry(seconds)}
    if "BLOB_CONNECTION_STRING" in os.environ:
        sign["account_key"] = SERVICE.credential.account_key
    else:
        start = expiry(-60)
        sign["user_delegation_key"] = SERVICE.get_user_delegation_key(start, expiry(3600))
    sas = generate_blob_sas(SERVICE.account_name or "plantblobs", container, name, **sign)
    return f"{SERVICE.get_blob_client(container, name).url}?{sas}"


def signed_container(container, permissions):
    sas = generate_container_sas(
        SERVICE.account_name,
        container,
        account_key=SERVICE.credential.account_key,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=expiry(3600),
    )
    return f"{SERVICE.get_container_client(container).url}?{sas}"


def read_at(address):
    return BlobClient.from_blob_url(address).download_blob().readall().decode()


def write_at(address, text):
    BlobClient.from_blob_url(address).upload_blob(text.encode(), overwrite=True)


def names_at(address):
    return [it.name for it in ContainerClient.from_container_url(address).list_blobs()]


def main():
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"ok": globals()[name](*arguments)}
        except HttpResponseError as error:
            code = getattr(error, "error_code", None)
            answer = {"error": {"status": error.status_code, "code": code, "message": str(error)}}
        except Exception as error:  # the test sees what it did not expect
            answer = {"error": {"status": 0, "code": type(error).__name__, "message": str(error)}}
        print(json.dumps(answer), flush=True)


main()
