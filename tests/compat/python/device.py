"""A device with the unmodified client over MQTT, told what to do line by line.

    DEVICE_CONNECTION_STRING=... python device.py CA_FILE

Reads commands from standard input, each a line: `connect`, `send TEXT`, `twin`, `disconnect`. Answers each with a line
of JSON: {ok: true, connected: BOOL}, or {error: {name, message}}. Ends with its input.
"""

import json
import os
import sys

from azure.iot.device import IoTHubDeviceClient, Message


def message(text):
    made = Message(text)
    made.content_type = "application/json"
    made.content_encoding = "utf-8"
    made.custom_properties["level"] = "3,2 & more"
    return made


def main(ca_file):
    with open(ca_file) as file:
        authority = file.read()
    client = IoTHubDeviceClient.create_from_connection_string(
        os.environ["DEVICE_CONNECTION_STRING"], server_verification_cert=authority
    )
    for line in sys.stdin:
        command, _, text = line.rstrip("\n").partition(" ")
        try:
            if command == "connect":
                client.connect()
            elif command == "send":
                client.send_message(message(text))
            elif command == "twin":
                client.get_twin()
            elif command == "disconnect":
                client.disconnect()
            else:
                raise ValueError(f"no such command: {command}")
            print(json.dumps({"ok": True, "connected": client.connected}), flush=True)
        except Exception as error:  # whatever the client raises is what a user would see
            cause = str(error.__cause__ or error)
            print(json.dumps({"error": {"name": type(error).__name__, "message": cause}}), flush=True)
    client.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 2 or "DEVICE_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: DEVICE_CONNECTION_STRING=... python device.py CA_FILE")
    main(sys.argv[1])
