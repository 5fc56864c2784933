"""MSAL, which signs a person in: by a code of the browser, and by a device code. A line of JSON each way."""

import json
import os
import sys

import msal


def told(**what):
    print(json.dumps(what), flush=True)


def heard():
    return json.loads(sys.stdin.readline())


client = msal.PublicClientApplication(
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    authority=os.environ["AUTHORITY"],
    instance_discovery=False,
)
scopes = ["https://management.azure.com/.default"]

flow = client.initiate_auth_code_flow(scopes, redirect_uri="http://localhost:8400", response_mode="query")
told(uri=flow["auth_uri"])
answer = client.acquire_token_by_auth_code_flow(flow, heard())
told(answer=answer)
again = client.acquire_token_silent(scopes, account=client.get_accounts()[0], force_refresh=True)
told(answer=again)

flow = client.initiate_device_flow(scopes)
told(flow=flow)
told(answer=client.acquire_token_by_device_flow(flow))
