"""Registers one device with its certificate, with the unmodified client over MQTT.

    python register_x509.py HOST ID_SCOPE REGISTRATION_ID CERTIFICATE_FILE KEY_FILE mqtt|mqtt-ws

Prints one line of JSON: {status, assignedHub, deviceId}, or {error: {name, message}}. Decides nothing: a registration
that is refused is a line like any other.
"""

import json
import sys

from azure.iot.device import X509, ProvisioningDeviceClient


def main(host, id_scope, registration_id, certificate_file, key_file, transport):
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=host,
        registration_id=registration_id,
        id_scope=id_scope,
        x509=X509(cert_file=certificate_file, key_file=key_file),
        websockets=transport == "mqtt-ws",
    )
    try:
        result = client.register()
        state = result.registration_state
        said = {"status": result.status, "assignedHub": state.assigned_hub, "deviceId": state.device_id}
    except Exception as error:  # whatever the client raises is what a user would see
        said = {"error": {"name": type(error).__name__, "message": f"{error}: {error.__cause__!r}"}}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit("usage: python register_x509.py HOST ID_SCOPE REGISTRATION_ID CERTIFICATE_FILE KEY_FILE TRANSPORT")
    main(*sys.argv[1:])
