"""Registers devices of one enrollment group with the unmodified client over MQTT.

    GROUP_KEY=BASE64 python register.py HOST ID_SCOPE REGISTRATION_ID...

Prints one line of JSON for each, in the order asked for: {status, assignedHub, deviceId}, or
{error: {name, message, code}} with the service's own words where the client passes them on.
Decides nothing: a registration that is refused is a line like any other.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from azure.iot.device import ProvisioningDeviceClient

AT_ONCE = 5


def device_key(group_key, registration_id):
    """A device's own key: HMAC-SHA256 of its registration id under the group's key."""
    digest = hmac.new(base64.b64decode(group_key), registration_id.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def register(host, id_scope, group_key, registration_id):
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=host,
        registration_id=registration_id,
        id_scope=id_scope,
        symmetric_key=device_key(group_key, registration_id),
    )
    try:
        result = client.register()
        state = result.registration_state
        if result.status == "assigned":
            return {"status": result.status, "assignedHub": state.assigned_hub, "deviceId": state.device_id}
        return {"error": {"name": result.status, "message": state.error_message, "code": state.error_code}}
    except Exception as error:  # whatever the client raises is what a user would see
        cause = error.__cause__ or error
        return {"error": {"name": type(error).__name__, "message": str(cause), "code": None}}
    finally:
        client.shutdown()


def main(host, id_scope, *registration_ids):
    group_key = os.environ["GROUP_KEY"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(lambda it: register(host, id_scope, group_key, it), registration_ids):
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 4 or "GROUP_KEY" not in os.environ:
        sys.exit("usage: GROUP_KEY=BASE64 python register.py HOST ID_SCOPE REGISTRATION_ID...")
    main(*sys.argv[1:])
