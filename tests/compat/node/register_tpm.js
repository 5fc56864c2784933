// Registers one device with its TPM, with the unmodified client.
//
//   node register_tpm.js TRANSPORT HOST ID_SCOPE REGISTRATION_ID ENDORSEMENT_FILE STORAGE_FILE
//
// TRANSPORT is one of https, amqp and amqp-ws: the client has no TPM over MQTT. The files are PEM: the private keys of a
// TPM in software. Prints one line of JSON: {status, assignedHub, deviceId}, with the key that the TPM holds then as
// `key`; or {error: {name, message}}.
'use strict';

const { createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, constants, privateDecrypt } =
    require('node:crypto');
const { readFileSync } = require('node:fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Amqp, AmqpWs } = require('azure-iot-provisioning-device-amqp');
const { Http } = require('azure-iot-provisioning-device-http');

const TRANSPORTS = { https: Http, amqp: Amqp, 'amqp-ws': AmqpWs };

const hash = (bytes) => createHash('sha256').update(bytes).digest();
const sized = (bytes) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);

// The parts of a text in which each stands behind its length, and what follows the last.
function parts(bytes, count) {
    const found = [];
    for (let at = 0; found.length < count; ) {
        const end = at + 2 + bytes.readUInt16BE(at);
        found.push(bytes.subarray(at + 2, end));
        at = end;
        found.rest = bytes.subarray(at);
    }
    return found;
}

function derived(key, label, context, bits) {
    const number = (it) => Buffer.from([0, 0, it >> 8, it & 255]);
    const text = Buffer.concat([number(1), Buffer.from(`${label}\0`), context, number(bits)]);
    return createHmac('sha256', key).update(text).digest().subarray(0, bits / 8);
}

function decrypted(key, text) {
    return createDecipheriv('aes-128-cfb', key, Buffer.alloc(16)).update(text);
}

// Opens what is encrypted and authenticated under a seed.
function opened(seed, name, bytes) {
    const [tag, ...none] = parts(bytes, 1);
    const text = bytes.subarray(2 + tag.length);
    const key = derived(seed, 'INTEGRITY', Buffer.alloc(0), 256);
    if (none.length || !createHmac('sha256', key).update(text).update(name).digest().equals(tag)) {
        throw new Error('the integrity is broken');
    }
    return decrypted(derived(seed, 'STORAGE', name, 128), text);
}

// A TPM in software: TPM2_ActivateCredential, TPM2_Import and TPM2_HMAC, as far as this client needs them.
class Tpm {
    static ENDORSEMENT =
        '0001000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa' +
        '00060080004300100800000000000100';
    static STORAGE = '0001000b00030472000000060080004300100800000000000100';

    constructor(registrationId, endorsement, storage) {
        this.registrationId = registrationId;
        this.endorsement = createPrivateKey(readFileSync(endorsement));
        this.storage = createPrivateKey(readFileSync(storage));
    }

    area(template, key) {
        const modulus = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).n, 'base64url');
        return Buffer.concat([Buffer.from(template, 'hex'), modulus]);
    }

    getEndorsementKey(callback) {
        callback(null, sized(this.area(Tpm.ENDORSEMENT, this.endorsement)));
    }

    getStorageRootKey(callback) {
        callback(null, sized(this.area(Tpm.STORAGE, this.storage)));
    }

    getRegistrationId(callback) {
        callback(null, this.registrationId);
    }

    seed(key, label, secret) {
        const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(`${label}\0`) };
        return privateDecrypt({ key, ...oaep }, secret);
    }

    activateIdentityKey(sent, callback) {
        const [credential, credentialSecret, duplicate, duplicateSecret, area] = parts(sent, 5);
        const name = (it) => Buffer.concat([Buffer.from([0, 11]), hash(it)]);
        const storage = name(this.area(Tpm.STORAGE, this.storage));
        const seed = this.seed(this.endorsement, 'IDENTITY', credentialSecret);
        const [wrapping] = parts(opened(seed, storage, credential), 1);
        const under = this.seed(this.storage, 'DUPLICATE', duplicateSecret);
        const inner = decrypted(wrapping, opened(under, name(area), duplicate));
        const [integrity, sensitive] = parts(inner, 2);
        if (!hash(Buffer.concat([sized(sensitive), name(area)])).equals(integrity)) {
            throw new Error('the inner integrity is broken');
        }
        [, , this.key] = parts(sensitive.subarray(2), 3);
        callback(null);
    }

    signWithIdentity(text, callback) {
        callback(null, createHmac('sha256', this.key).update(text).digest());
    }
}

async function main([transport, host, idScope, registrationId, ...files]) {
    if (!TRANSPORTS[transport] || files.length !== 2) {
        throw new Error('usage: node register_tpm.js TRANSPORT HOST ID_SCOPE REGISTRATION_ID FILE FILE');
    }
    const security = new Tpm(registrationId, ...files);
    // Over AMQP the client does not call back where its TPM is refused: it stops.
    process.once('beforeExit', () => {
        console.log(JSON.stringify({ error: { name: 'NeverAnswered', message: 'the client stopped without a word' } }));
    });
    const client = ProvisioningDeviceClient.create(host, idScope, new TRANSPORTS[transport](), security);
    const said = (it) => {
        process.removeAllListeners('beforeExit');
        console.log(JSON.stringify(it));
    };
    try {
        // With a TPM the client hands over the whole answer.
        const result = await client.register();
        const { assignedHub, deviceId } = result.registrationState ?? result;
        said({ status: result.status, assignedHub, deviceId, key: security.key.toString('base64') });
    } catch (error) {
        const message = error.result?.registrationState?.errorMessage ?? error.responseBody ?? error.message;
        said({ error: { name: error.name, message } });
    }
}

main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
});
