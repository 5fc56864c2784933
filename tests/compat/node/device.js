// A device with the unmodified client, told what to do line by line.
//
//   DEVICE_CONNECTION_STRING=... node device.js CA_FILE mqtt|mqtt-ws|amqp|amqp-ws|http
//
// Where the string says `x509=true`, DEVICE_CERTIFICATE and DEVICE_KEY name files of PEM.
//
// Reads commands from standard input, each a line: `connect`, `send TEXT`, `upload NAME TEXT`, `twin`, `report JSON`,
// `listen`, `next`, `disconnect`. Answers each with a line of JSON: {ok: true, ...}, or {error: {name, message}}. After `listen`, `next`
// tells what the device was told, or after a second null: a message, a change of desired properties, or a method,
// which it answers by itself with status 200 and what it was called with. Ends with its input.
'use strict';

const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { Readable } = require('node:stream');
const { Client, Message } = require('azure-iot-device');

const TRANSPORTS = {
    mqtt: () => require('azure-iot-device-mqtt').Mqtt,
    'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
    amqp: () => require('azure-iot-device-amqp').Amqp,
    'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
    http: () => require('azure-iot-device-http').Http,
};

const NEXT_MS = 1000;

// What the device was told and nobody asked for yet.
class Heard {
    #told = [];
    #bell = () => {};

    put(it) {
        this.#told.push(it);
        this.#bell();
    }

    async next() {
        if (this.#told.length === 0) {
            await new Promise((resolve) => {
                this.#bell = resolve;
                setTimeout(resolve, NEXT_MS);
            });
        }
        return this.#told.shift() ?? null;
    }
}

function message(text) {
    const made = new Message(text);
    made.contentType = 'application/json';
    made.contentEncoding = 'utf-8';
    made.properties.add('level', '3,2 & more');
    return made;
}

async function listen(client, twin, heard, methods) {
    client.on('message', (it) => {
        const properties = Object.fromEntries(it.properties.propertyList.map(({ key, value }) => [key, value]));
        heard.put({ message: it.data.toString(), id: it.messageId, properties });
        client.complete(it, () => {});
    });
    for (const name of methods) {
        client.onDeviceMethod(name, (request, response) => {
            heard.put({ method: request.methodName, payload: request.payload });
            response.send(200, { heard: request.payload }, () => {});
        });
    }
    // The first call brings the whole, later ones what was changed.
    if (twin) twin.on('properties.desired', (desired) => heard.put({ desired }));
}

async function run(client, heard, state, command, text) {
    switch (command) {
        case 'connect':
            await client.open();
            return {};
        case 'send':
            await client.sendEvent(message(text));
            return {};
        case 'upload': {
            const [name, ...rest] = text.split(' ');
            const body = Buffer.from(rest.join(' '));
            await client.uploadToBlob(name, Readable.from([body]), body.length);
            return { blob: name };
        }
        case 'twin': {
            state.twin ??= await client.getTwin();
            const { desired, reported } = state.twin.properties;
            return { twin: JSON.parse(JSON.stringify({ desired, reported })) };
        }
        case 'report':
            state.twin ??= await client.getTwin();
            await new Promise((resolve, reject) => {
                const done = (error) => (error ? reject(error) : resolve());
                state.twin.properties.reported.update(JSON.parse(text), done);
            });
            return {};
        case 'listen':
            await listen(client, state.twin, heard, text.split(',').filter(Boolean));
            return {};
        case 'next':
            return { heard: await heard.next() };
        case 'disconnect':
            await client.close();
            return {};
        default:
            throw new Error(`no such command: ${command}`);
    }
}

async function main(caFile, transport) {
    const made = Client.fromConnectionString(process.env.DEVICE_CONNECTION_STRING, TRANSPORTS[transport]());
    const { DEVICE_CERTIFICATE, DEVICE_KEY } = process.env;
    const own = DEVICE_CERTIFICATE && {
        cert: readFileSync(DEVICE_CERTIFICATE, 'utf8'),
        key: readFileSync(DEVICE_KEY, 'utf8'),
    };
    // Over HTTPS the client says that options are set only where one of them is how often to look for messages.
    const http = transport === 'http' ? { http: { receivePolicy: { interval: 1 } } } : {};
    await made.setOptions({ ca: readFileSync(caFile, 'utf8'), ...own, ...http });
    const [heard, state] = [new Heard(), {}];
    for await (const line of createInterface({ input: process.stdin })) {
        const [command, ...rest] = line.split(' ');
        try {
            const told = await run(made, heard, state, command, rest.join(' '));
            console.log(JSON.stringify({ ok: true, ...told }));
        } catch (error) {
            // Whatever the client throws is what a user would see.
            console.log(JSON.stringify({ error: { name: error.name, message: error.message } }));
        }
    }
    process.exit(0);
}

const [caFile, transport] = process.argv.slice(2);
if (!TRANSPORTS[transport] || !process.env.DEVICE_CONNECTION_STRING) {
    console.error('usage: DEVICE_CONNECTION_STRING=... node device.js CA_FILE mqtt|mqtt-ws|amqp|amqp-ws|http');
    process.exit(2);
}
main(caFile, transport);
