"""A service with the unmodified client, told what to do line by line.

    HUB_CONNECTION_STRING=... python service.py
    HUB_HOST=... python service.py    (by the managed identity that the environment leads to)
    HUB_HOST=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... python service.py

Reads commands from standard input, each a line of JSON: [NAME, ARGUMENT...], NAME a method of one of the client's
managers of HTTPS. Answers each with a line of JSON: {ok: RESULT}, or {error: {name, message, said}}. Ends with its input.
"""

import json
import os
import sys

from azure.identity import ClientSecretCredential, DefaultAzureCredential
from azure.iot.hub import (
    DigitalTwinClient,
    IoTHubConfigurationManager,
    IoTHubHttpRuntimeManager,
    IoTHubJobManager,
    IoTHubRegistryManager,
)
from azure.iot.hub.iothub_registry_manager import QueryResult
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from azure.iot.hub.protocol import models

MANAGERS = [
    IoTHubRegistryManager,
    IoTHubConfigurationManager,
    IoTHubJobManager,
    IoTHubHttpRuntimeManager,
    DigitalTwinClient,
]
# What stands for one of the client's models: {"job": {...}} for a JobRequest.
MODELS = {
    "job": "JobRequest",
    "entry": "ExportImportDevice",
    "configuration": "Configuration",
    "content": "ConfigurationContent",
    "queries": "ConfigurationQueriesTestInput",
}


def argument(it):
    """What the client wants as an object of its own: {"twin": {...}}, {"method": {...}} or {"query": TEXT}."""
    if isinstance(it, dict) and "twin" in it:
        properties = TwinProperties(desired=it["twin"].get("desired"))
        return Twin(tags=it["twin"].get("tags"), properties=properties)
    if isinstance(it, dict) and "method" in it:
        return CloudToDeviceMethod(**it["method"])
    if isinstance(it, dict) and "query" in it:
        return QuerySpecification(query=it["query"])
    if isinstance(it, list):
        return [argument(each) for each in it]
    for key, name in MODELS.items():
        if isinstance(it, dict) and list(it) == [key]:
            return getattr(models, name).deserialize(it[key])
    return it


def shown(it):
    if it is None or isinstance(it, (str, int, float, bool, dict)):
        return it
    if isinstance(it, list):
        return [shown(each) for each in it]
    if isinstance(it, QueryResult):
        return {"type": it.type, "next": it.continuation_token, "items": shown(it.items)}
    # What a model has no name for, as the columns of a query, it keeps beside the rest.
    return {**it.serialize(keep_readonly=True), **(it.additional_properties or {})}


def managers():
    """All of them by a key; those that take one by a token of whoever signs in."""
    environment = os.environ
    if "HUB_CONNECTION_STRING" in environment:
        return [it.from_connection_string(environment["HUB_CONNECTION_STRING"]) for it in MANAGERS]
    if "AZURE_CLIENT_SECRET" in environment:
        credential = ClientSecretCredential(
            environment["AZURE_TENANT_ID"],
            environment["AZURE_CLIENT_ID"],
            environment["AZURE_CLIENT_SECRET"],
            authority=environment["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
        )
    else:
        credential = DefaultAzureCredential()
    return [it.from_token_credential(environment["HUB_HOST"], credential) for it in MANAGERS]


def main():
    all_managers = managers()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            manager = next(it for it in all_managers if hasattr(it, name))
            result = getattr(manager, name)(*[argument(it) for it in arguments])
            print(json.dumps({"ok": shown(result)}), flush=True)
        except Exception as error:  # whatever the client raises is what a user would see
            # The client's own text has the status alone: what the server said is in its response.
            said = getattr(getattr(error, "response", None), "text", None)
            told = {"name": type(error).__name__, "message": str(error), "said": said}
            print(json.dumps({"error": told}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 1 or not {"HUB_CONNECTION_STRING", "HUB_HOST"} & set(os.environ):
        sys.exit("usage: HUB_CONNECTION_STRING=... python service.py")
    main()
