"""A device with the unmodified client, told what to do line by line.

    DEVICE_CONNECTION_STRING=... python device.py CA_FILE mqtt|mqtt-ws

Where the string says `x509=true`, DEVICE_CERTIFICATE and DEVICE_KEY name files of PEM. `model=ID` at its end is the model
that the device says it follows.

Reads commands from standard input, each a line: `connect`, `send TEXT`, `upload NAME TEXT`, `twin`, `report JSON`,
`listen`, `next`, `disconnect`. Answers each with a line of JSON: {ok: true, connected: BOOL, ...}, or {error: {name, message}}. After
`listen`, `next` tells what the device was told, or after a second null: a message, a change of desired properties, or a
method, which it answers by itself with status 200 and what it was called with. Ends with its input.
"""

import json
import os
import queue
import sys

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse, X509
from azure.storage.blob import BlobClient

NEXT_S = 1


def message(text):
    made = Message(text)
    made.content_type = "application/json"
    made.content_encoding = "utf-8"
    made.custom_properties["level"] = "3,2 & more"
    return made


def listen(client, heard):
    def method(request):
        heard.put({"method": request.name, "payload": request.payload})
        answer = {"heard": request.payload}
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, answer))

    def received(message):
        own = dict(message.custom_properties)
        heard.put({"message": message.data.decode(), "id": message.message_id, "properties": own})

    client.on_method_request_received = method
    client.on_twin_desired_properties_patch_received = lambda patch: heard.put({"desired": patch})
    if isinstance(client, IoTHubDeviceClient):
        client.on_message_received = received


def upload(client, ca_file, name, text):
    at = client.get_storage_info_for_blob(name)
    url = "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**at)
    with BlobClient.from_blob_url(url, connection_verify=ca_file) as blob:
        blob.upload_blob(text, overwrite=True)
    client.notify_blob_upload_status(at["correlationId"], True, 200, "uploaded")
    return at["blobName"]


def following(heard):
    try:
        return heard.get(timeout=NEXT_S)
    except queue.Empty:
        return None


def made(connection_string, **options):
    connection_string, _, model = connection_string.partition(";model=")
    if model:
        options["product_info"] = model
    parts = dict(part.split("=", 1) for part in connection_string.split(";"))
    kind = IoTHubModuleClient if "ModuleId" in parts else IoTHubDeviceClient
    if parts.get("x509") != "true":
        return kind.create_from_connection_string(connection_string, **options)
    if "ModuleId" in parts:
        options["module_id"] = parts["ModuleId"]
    own = X509(os.environ["DEVICE_CERTIFICATE"], os.environ["DEVICE_KEY"])
    return kind.create_from_x509_certificate(own, parts["HostName"], parts["DeviceId"], **options)


def main(ca_file, transport):
    with open(ca_file) as file:
        authority = file.read()
    connection_string = os.environ["DEVICE_CONNECTION_STRING"]
    websockets = transport == "mqtt-ws"
    client = made(connection_string, server_verification_cert=authority, websockets=websockets)
    heard = queue.Queue()
    for line in sys.stdin:
        command, _, text = line.rstrip("\n").partition(" ")
        try:
            told = {}
            if command == "connect":
                client.connect()
            elif command == "send":
                client.send_message(message(text))
            elif command == "upload":
                told["blob"] = upload(client, ca_file, *text.split(" ", 1))
            elif command == "twin":
                told["twin"] = client.get_twin()
            elif command == "report":
                client.patch_twin_reported_properties(json.loads(text))
            elif command == "listen":
                listen(client, heard)
            elif command == "next":
                told["heard"] = following(heard)
            elif command == "disconnect":
                client.disconnect()
            else:
                raise ValueError(f"no such command: {command}")
            print(json.dumps({"ok": True, "connected": client.connected, **told}), flush=True)
        except Exception as error:  # whatever the client raises is what a user would see
            cause = str(error.__cause__ or error)
            print(json.dumps({"error": {"name": type(error).__name__, "message": cause}}), flush=True)
    client.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 3 or "DEVICE_CONNECTION_STRING" not in os.environ:
        sys.exit("usage: DEVICE_CONNECTION_STRING=... python device.py CA_FILE mqtt|mqtt-ws")
    main(sys.argv[1], sys.argv[2])
