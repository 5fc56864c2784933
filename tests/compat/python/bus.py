"""Sends to a queue and a topic and receives from them with the unmodified client: azure-servicebus.

    SERVICE_BUS_CONNECTION_STRING=... python bus.py CA_FILE QUEUE TOPIC SUBSCRIPTION

Prints what came of each step, as lines of JSON.
"""

import json
import os
import sys

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue

WAIT_S = 10


def say(step, what):
    print(json.dumps([step, what]), flush=True)


def told(message):
    properties = {key.decode(): value.decode() for key, value in (message.application_properties or {}).items()}
    return [str(message), message.delivery_count, properties]


def take(receiver, count):
    # A call answers what there is, once something is.
    all = []
    while len(all) < count:
        came = receiver.receive_messages(max_message_count=count - len(all), max_wait_time=WAIT_S)
        if not came:
            break
        all += came
    return all


def main(ca_file, queue, topic, subscription):
    client = ServiceBusClient.from_connection_string(
        os.environ["SERVICE_BUS_CONNECTION_STRING"], connection_verify=ca_file, retry_total=0
    )
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("one", application_properties={"level": "3"}, subject="pump"))
        batch = sender.create_message_batch()
        batch.add_message(ServiceBusMessage("two"))
        batch.add_message(ServiceBusMessage("three"))
        sender.send_messages(batch)
    with client.get_queue_receiver(queue) as receiver:
        one, two, three = take(receiver, 3)
        say("received", [told(it) for it in (one, two, three)] + [one.subject, one.sequence_number])
        before = one.locked_until_utc
        say("renewed", receiver.renew_message_lock(one) >= before)
        receiver.complete_message(one)
        receiver.abandon_message(two)
        receiver.dead_letter_message(three, reason="broken", error_description="no JSON")
        try:
            receiver.defer_message(take(receiver, 1)[0])
        except Exception as error:
            say("deferred", str(error))
    with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        dead = take(receiver, 1)[0]
        say("dead", [told(dead)[0], dead.dead_letter_reason, dead.dead_letter_error_description])
        receiver.complete_message(dead)
    with client.get_queue_receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        say("peeked", [str(it) for it in receiver.peek_messages(max_message_count=5)])
        say("empty", [str(it) for it in receiver.receive_messages(max_wait_time=1)])
    with client.get_topic_sender(topic) as sender:
        sender.send_messages(ServiceBusMessage("to all"))
    with client.get_subscription_receiver(topic, subscription) as receiver:
        it = take(receiver, 1)[0]
        say("copied", told(it))
        receiver.complete_message(it)
    try:
        # A sender of this client says no reason: it sends before it reads that its link is refused.
        with client.get_queue_receiver("nothing") as receiver:
            receiver.receive_messages(max_wait_time=WAIT_S)
    except Exception as error:
        say("missing", type(error).__name__)
    client.close()


if __name__ == "__main__":
    if len(sys.argv) != 5 or "SERVICE_BUS_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: SERVICE_BUS_CONNECTION_STRING=... python bus.py CA_FILE QUEUE TOPIC SUBSCRIPTION")
    main(*sys.argv[1:])
