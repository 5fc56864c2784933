"""Registers devices of one enrollment group with the unmodified client.

    GROUP_KEY=BASE64 python register.py TRANSPORT HOST ID_SCOPE REGISTRATION_ID...

TRANSPORT is mqtt or mqtt-ws. In place of a key, DEVICE_CERTIFICATE and DEVICE_KEY may name the files of PEM that one
device shows.

Prints one line of JSON for each, in the order asked for: {status, assignedHub, deviceId}, or
{error: {name, message, code}} with the service's own words. The client keeps these from its caller and puts
them into its log, so they are read from there. Decides nothing: a registration that is refused is a line like
any other.
"""

import ast
import base64
import hashlib
import hmac
import json
import logging
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from azure.iot.device import X509, ProvisioningDeviceClient

AT_ONCE = 20


class Heard(logging.Handler):
    """What the service said of each registration, as the client logs it."""

    PAYLOAD = re.compile(r"Received payload:(b'.*'|b\".*\") on topic:", re.DOTALL)

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.states = {}

    def emit(self, record):
        found = self.PAYLOAD.search(record.getMessage())
        if found:
            state = json.loads(ast.literal_eval(found[1])).get("registrationState") or {}
            self.states[state.get("registrationId")] = state


def device_key(group_key, registration_id):
    """A device's own key: HMAC-SHA256 of its registration id under the group's key."""
    digest = hmac.new(base64.b64decode(group_key), registration_id.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def register(transport, host, id_scope, group_key, heard, registration_id):
    common = {
        "provisioning_host": host,
        "registration_id": registration_id,
        "id_scope": id_scope,
        "websockets": transport == "mqtt-ws",
    }
    if group_key:
        key = device_key(group_key, registration_id)
        client = ProvisioningDeviceClient.create_from_symmetric_key(symmetric_key=key, **common)
    else:
        x509 = X509(cert_file=os.environ["DEVICE_CERTIFICATE"], key_file=os.environ["DEVICE_KEY"])
        client = ProvisioningDeviceClient.create_from_x509_certificate(x509=x509, **common)
    try:
        result = client.register()
        state = result.registration_state
        return {"status": result.status, "assignedHub": state.assigned_hub, "deviceId": state.device_id}
    except Exception as error:  # whatever the client raises is what a user would see
        state = heard.states.get(registration_id, {})
        message = state.get("errorMessage", f"{error}: {error.__cause__!r}")
        return {"error": {"name": type(error).__name__, "message": message, "code": state.get("errorCode")}}


def main(transport, host, id_scope, *registration_ids):
    group_key = os.environ.get("GROUP_KEY")
    heard = Heard()
    log = logging.getLogger("azure.iot.device")
    log.setLevel(logging.DEBUG)
    log.addHandler(heard)
    log.propagate = False
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(
            lambda it: register(transport, host, id_scope, group_key, heard, it), registration_ids
        )
        for outcome in outcomes:
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 5 or not {"GROUP_KEY", "DEVICE_KEY"} & os.environ.keys():
        sys.exit("usage: GROUP_KEY=BASE64 python register.py TRANSPORT HOST ID_SCOPE REGISTRATION_ID...")
    main(*sys.argv[1:])
