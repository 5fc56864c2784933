"""Imports and exports with the unmodified client, as the documentation of managed identities has them.

    HUB_CONNECTION_STRING=... INPUT=... OUTPUT=... IDENTITY=... python transfers.py

INPUT and OUTPUT are addresses of containers without a signature, IDENTITY the id of a user-assigned identity. Writes a
line of JSON for each job once it has ended: {type, status, failureReason, identity}.
"""

import json
import os
import time

from azure.iot.hub import IoTHubJobManager
from azure.iot.hub.protocol.models import JobProperties, ManagedIdentity

iothub_job_manager = IoTHubJobManager(os.environ["HUB_CONNECTION_STRING"])


def ended(result):
    while True:
        job = iothub_job_manager.get_import_export_job(result.job_id)
        if job.status in ("completed", "failed", "cancelled"):
            identity = job.identity and job.identity.user_assigned_identity
            told = {"type": job.type, "status": job.status, "identity": identity}
            print(json.dumps({**told, "failureReason": job.failure_reason}), flush=True)
            return
        time.sleep(0.05)


# Create an export job
result = iothub_job_manager.create_import_export_job(JobProperties(
    type="export",
    output_blob_container_uri=os.environ["OUTPUT"],
    storage_authentication_type="identityBased",
    exclude_keys_in_export=True,
    identity=ManagedIdentity(
        user_assigned_identity=os.environ["IDENTITY"]
    )
))
ended(result)

# Create an import job
result = iothub_job_manager.create_import_export_job(JobProperties(
    type="import",
    input_blob_container_uri=os.environ["INPUT"],
    output_blob_container_uri=os.environ["OUTPUT"],
    storage_authentication_type="identityBased",
    identity=ManagedIdentity(
        user_assigned_identity=os.environ["IDENTITY"]
    )
))
ended(result)
print(json.dumps({"known": len(iothub_job_manager.get_import_export_jobs())}), flush=True)
