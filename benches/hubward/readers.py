"""Reads all that partitions of a hub hold with the unmodified client: azure-eventhub.

    EVENT_HUB_CONNECTION_STRING=... python readers.py CA_FILE PARTITION...

Prints how many events there were, and when it began to read and ended, in seconds since 1970.
"""

import os
import sys
import threading
import time

from azure.eventhub import EventHubConsumerClient

# As many events at most in one call of ours, and as many asked for ahead; the client's own limits are 300.
BATCH = 1000
PREFETCH = 3000


def read(ca_file, partition, ends):
    client = EventHubConsumerClient.from_connection_string(
        os.environ["EVENT_HUB_CONNECTION_STRING"], consumer_group="$Default", connection_verify=ca_file
    )
    about = client.get_partition_properties(partition)
    if about["is_empty"]:
        return
    last, first = about["last_enqueued_sequence_number"], about["beginning_sequence_number"]
    done = threading.Event()

    def take(context, events):
        if events and events[-1].sequence_number >= last:
            done.set()

    options = {"partition_id": partition, "starting_position": "-1", "max_batch_size": BATCH, "prefetch": PREFETCH}
    began = time.time()
    threading.Thread(target=lambda: client.receive_batch(take, **options), daemon=True).start()
    done.wait()
    ends.append((last - first + 1, began, time.time()))
    client.close()


def main(ca_file, partitions):
    ends = []
    readers = [threading.Thread(target=read, args=(ca_file, it, ends)) for it in partitions]
    for it in readers:
        it.start()
    for it in readers:
        it.join()
    counts, begins, all_ends = zip(*ends)
    print(sum(counts), min(begins), max(all_ends))


if __name__ == "__main__":
    if len(sys.argv) < 3 or "EVENT_HUB_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: EVENT_HUB_CONNECTION_STRING=... python readers.py CA_FILE PARTITION...")
    main(sys.argv[1], sys.argv[2:])
