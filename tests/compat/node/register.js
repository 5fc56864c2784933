// Registers devices of one enrollment group at once, with the unmodified client over HTTPS.
//
//   GROUP_KEY=BASE64 node register.js HOST ID_SCOPE REGISTRATION_ID...
//
// Prints one line of JSON for each, in the order asked for: {status, assignedHub, deviceId}, or
// {error: {name, message, code}} with the service's own words where the client passes them on.
// Decides nothing: a registration that is refused is a line like any other.
'use strict';

const { createHmac } = require('node:crypto');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');

// A device's own key: HMAC-SHA256 of its registration id under the group's key.
function deviceKey(groupKey, registrationId) {
    return createHmac('sha256', Buffer.from(groupKey, 'base64')).update(registrationId).digest('base64');
}

async function register(host, idScope, groupKey, registrationId) {
    const security = new SymmetricKeySecurityClient(registrationId, deviceKey(groupKey, registrationId));
    const client = ProvisioningDeviceClient.create(host, idScope, new Http(), security);
    try {
        const { status, assignedHub, deviceId } = await client.register();
        return { status, assignedHub, deviceId };
    } catch (error) {
        // The client's own message is "registration failed" whatever happened. What the service said is
        // in `result` where a registration failed, in `responseBody` where a request did.
        const state = error.result?.registrationState;
        const message = state?.errorMessage ?? error.responseBody ?? error.message;
        return { error: { name: error.name, message, code: state?.errorCode ?? error.code } };
    }
}

async function main([host, idScope, ...registrationIds], groupKey) {
    if (!groupKey || registrationIds.length === 0) {
        throw new Error('usage: GROUP_KEY=BASE64 node register.js HOST ID_SCOPE REGISTRATION_ID...');
    }
    const all = registrationIds.map((it) => register(host, idScope, groupKey, it));
    for (const outcome of await Promise.all(all)) {
        console.log(JSON.stringify(outcome));
    }
}

main(process.argv.slice(2), process.env.GROUP_KEY).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
});
