"""Sends to an event hub and reads it with the unmodified client, azure-eventhub, told what to do line by line.

    EVENT_HUB_CONNECTION_STRING=... python event_hub.py CA_FILE EVENT_HUB
    EVENT_HUBS_HOST=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... \\
        python event_hub.py CA_FILE EVENT_HUB

Commands are lines of JSON: ["send", [TEXT, ...], {"key": ..., "partition": ..., "properties": {...}}] and
["read", COUNT, GROUP]. Answers each with a line of JSON: {ok: RESULT}, or {error: TEXT}. Ends with its input.
"""

import json
import logging
import os
import sys
import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.identity import ClientSecretCredential, DefaultAzureCredential

PATIENCE_S = 60
logging.disable(logging.CRITICAL)


def made(kind, ca_file, event_hub, **others):
    options = {"eventhub_name": event_hub, "connection_verify": ca_file, "retry_total": 0, **others}
    string = os.environ.get("EVENT_HUB_CONNECTION_STRING")
    if string:
        return kind.from_connection_string(string, **options)
    tenant = os.environ.get("AZURE_TENANT_ID")
    authority = os.environ.get("AZURE_AUTHORITY_HOST")
    if os.environ.get("AZURE_CLIENT_SECRET"):
        credential = ClientSecretCredential(
            tenant,
            os.environ["AZURE_CLIENT_ID"],
            os.environ["AZURE_CLIENT_SECRET"],
            authority=authority,
            disable_instance_discovery=True,
        )
    else:
        credential = DefaultAzureCredential()
    return kind(os.environ["EVENT_HUBS_HOST"], credential=credential, **options)


def send(stage, texts, options=None):
    options = options or {}
    with made(EventHubProducerClient, *stage) as client:
        batch = client.create_batch(partition_id=options.get("partition"), partition_key=options.get("key"))
        for text in texts:
            event = EventData(text)
            event.properties = options.get("properties", {})
            batch.add(event)
        client.send_batch(batch)
        return client.get_partition_ids()


def plain(text):
    return text.decode() if isinstance(text, bytes) else text


def read(stage, count, group):
    client = made(EventHubConsumerClient, *stage, consumer_group=group)
    heard, failed, done = [], [], threading.Event()

    def take(context, event):
        own = {plain(key): plain(value) for key, value in event.properties.items()}
        told = {"body": event.body_as_str(), "properties": own, "partition": context.partition_id}
        told["sequence"], told["key"] = event.sequence_number, plain(event.partition_key)
        told["system"] = {plain(key): str(plain(value)) for key, value in event.system_properties.items()}
        heard.append(told)
        if len(heard) >= count:
            done.set()

    def fail(_, error):
        failed.append(str(error))
        done.set()

    options = {"starting_position": "-1", "on_error": fail}
    threading.Thread(target=lambda: client.receive(take, **options), daemon=True).start()
    done.wait(PATIENCE_S)
    client.close()
    if failed:
        raise RuntimeError(failed[0])
    return heard


def main(ca_file, event_hub):
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            result = {"send": send, "read": read}[name]((ca_file, event_hub), *arguments)
            print(json.dumps({"ok": result}), flush=True)
        except Exception as error:  # Whatever the client raises is what a user would see.
            print(json.dumps({"error": str(error)}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
