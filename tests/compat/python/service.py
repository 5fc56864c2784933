"""A service with the unmodified client, told what to do line by line.

    HUB_CONNECTION_STRING=... python service.py

Reads commands from standard input, each a line of JSON: [NAME, ARGUMENT...], NAME a method of the client's registry
manager. Answers each with a line of JSON: {ok: RESULT}, or {error: {name, message, said}}. Ends with its input.
"""

import json
import os
import sys

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.iothub_registry_manager import QueryResult
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties


def argument(it):
    """What the client wants as an object of its own: {"twin": {...}}, {"method": {...}} or {"query": TEXT}."""
    if isinstance(it, dict) and "twin" in it:
        properties = TwinProperties(desired=it["twin"].get("desired"))
        return Twin(tags=it["twin"].get("tags"), properties=properties)
    if isinstance(it, dict) and "method" in it:
        return CloudToDeviceMethod(**it["method"])
    if isinstance(it, dict) and "query" in it:
        return QuerySpecification(query=it["query"])
    return it


def shown(it):
    if it is None or isinstance(it, (str, int, float, bool)):
        return it
    if isinstance(it, list):
        return [shown(each) for each in it]
    if isinstance(it, QueryResult):
        return {"type": it.type, "next": it.continuation_token, "items": shown(it.items)}
    # What a model has no name for, as the columns of a query, it keeps beside the rest.
    return {**it.serialize(keep_readonly=True), **(it.additional_properties or {})}


def main():
    registry = IoTHubRegistryManager.from_connection_string(os.environ["HUB_CONNECTION_STRING"])
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            result = getattr(registry, name)(*[argument(it) for it in arguments])
            print(json.dumps({"ok": shown(result)}), flush=True)
        except Exception as error:  # whatever the client raises is what a user would see
            # The client's own text has the status alone: what the server said is in its response.
            said = getattr(getattr(error, "response", None), "text", None)
            told = {"name": type(error).__name__, "message": str(error), "said": said}
            print(json.dumps({"error": told}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 1 or "HUB_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: HUB_CONNECTION_STRING=... python service.py")
    main()
