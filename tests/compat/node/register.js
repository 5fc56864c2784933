// Registers devices of one enrollment group at once, with the unmodified client.
//
//   GROUP_KEY=BASE64 node register.js TRANSPORT HOST ID_SCOPE REGISTRATION_ID...
//
// TRANSPORT is one of https, mqtt, mqtt-ws, amqp and amqp-ws. In place of a key, DEVICE_CERTIFICATE and DEVICE_KEY may
// name the files of PEM that one device shows.
//
// Prints one line of JSON for each, in the order asked for: {status, assignedHub, deviceId}, or
// {error: {name, message, code}} with the service's own words where the client passes them on.
// Decides nothing: a registration that is refused is a line like any other.
'use strict';

const { createHmac } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Amqp, AmqpWs } = require('azure-iot-provisioning-device-amqp');
const { Http } = require('azure-iot-provisioning-device-http');
const { Mqtt, MqttWs } = require('azure-iot-provisioning-device-mqtt');
const { X509Security } = require('azure-iot-security-x509');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');

const TRANSPORTS = { https: Http, mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs };

// A device's own key: HMAC-SHA256 of its registration id under the group's key.
function deviceKey(groupKey, registrationId) {
    return createHmac('sha256', Buffer.from(groupKey, 'base64')).update(registrationId).digest('base64');
}

function securityOf(registrationId, groupKey) {
    if (groupKey) {
        return new SymmetricKeySecurityClient(registrationId, deviceKey(groupKey, registrationId));
    }
    const read = (name) => readFileSync(process.env[name], 'utf-8');
    return new X509Security(registrationId, { cert: read('DEVICE_CERTIFICATE'), key: read('DEVICE_KEY') });
}

async function register(transport, host, idScope, groupKey, registrationId) {
    const security = securityOf(registrationId, groupKey);
    const client = ProvisioningDeviceClient.create(host, idScope, new TRANSPORTS[transport](), security);
    try {
        const { status, assignedHub, deviceId } = await client.register();
        return { status, assignedHub, deviceId };
    } catch (error) {
        // The client's own message is "registration failed" whatever happened. What the service said is
        // in `result` where a registration failed, in `responseBody` where a request did.
        const state = error.result?.registrationState;
        // Over AMQP a refusal says why in its description.
        const message = state?.errorMessage ?? error.responseBody ?? error.description ?? error.message;
        return { error: { name: error.name, message, code: state?.errorCode ?? error.code } };
    }
}

async function main([transport, host, idScope, ...registrationIds], groupKey) {
    if (!(groupKey || process.env.DEVICE_KEY) || registrationIds.length === 0 || !TRANSPORTS[transport]) {
        throw new Error('usage: GROUP_KEY=BASE64 node register.js TRANSPORT HOST ID_SCOPE REGISTRATION_ID...');
    }
    const all = registrationIds.map((it) => register(transport, host, idScope, groupKey, it));
    for (const outcome of await Promise.all(all)) {
        console.log(JSON.stringify(outcome));
    }
}

main(process.argv.slice(2), process.env.GROUP_KEY).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
});
