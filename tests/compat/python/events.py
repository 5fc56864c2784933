"""Reads a hub's events with the unmodified client: azure-eventhub.

    EVENT_HUB_CONNECTION_STRING=... python events.py CA_FILE COUNT

Prints a line of JSON with what the hub says of itself, then one for each event, until it has COUNT of them.
"""

import json
import os
import sys
import threading

from azure.eventhub import EventHubConsumerClient


def main(ca_file, count):
    client = EventHubConsumerClient.from_connection_string(
        os.environ["EVENT_HUB_CONNECTION_STRING"], consumer_group="$Default", connection_verify=ca_file
    )
    about = client.get_eventhub_properties()
    ids = about["partition_ids"]
    ends = {it: client.get_partition_properties(it)["last_enqueued_sequence_number"] for it in ids}
    print(json.dumps({"name": about["eventhub_name"], "ends": ends}), flush=True)
    heard, done = [], threading.Event()

    def take(context, event):
        # The client says the names of properties as bytes.
        properties = {key.decode(): value.decode() for key, value in event.properties.items()}
        device = event.system_properties[b"iothub-connection-device-id"].decode()
        told = {"body": event.body_as_str(), "device": device, "properties": properties}
        told["sequence"], told["newest"] = event.sequence_number, context.last_enqueued_event_properties["sequence_number"]
        heard.append(told)
        if len(heard) >= count:
            done.set()

    options = {"starting_position": "-1", "track_last_enqueued_event_properties": True}
    threading.Thread(target=lambda: client.receive(take, **options), daemon=True).start()
    done.wait(60)
    client.close()
    for it in heard:
        print(json.dumps(it))


if __name__ == "__main__":
    if len(sys.argv) != 3 or "EVENT_HUB_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: EVENT_HUB_CONNECTION_STRING=... python events.py CA_FILE COUNT")
    main(sys.argv[1], int(sys.argv[2]))
