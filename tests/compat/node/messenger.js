// A service with the unmodified client, which speaks AMQP to devices, told what to do line by line.
//
//   HUB_CONNECTION_STRING=... node messenger.js
//
// Reads commands from standard input, each a line: `connect`, `send DEVICE TEXT`, `feedback`, `file`. Answers each with a line
// of JSON: {ok: true, ...}, or {error: {name, message}}. `feedback` and `file` wait for the next and complete it. Ends with its
// input.
'use strict';

const { createInterface } = require('node:readline');
const { Client } = require('azure-iothub');
const { Message } = require('azure-iot-common');

const PATIENCE_MS = 30000;

function next(receiver) {
    return new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error('nothing came')), PATIENCE_MS).unref();
        receiver.once('errorReceived', reject);
        receiver.once('message', (it) => {
            receiver.complete(it, (error) => (error ? reject(error) : resolve(JSON.parse(it.data.toString()))));
        });
    });
}

async function run(client, state, command, device, text) {
    switch (command) {
        case 'connect':
            await client.open();
            return {};
        case 'send': {
            const message = new Message(text);
            message.messageId = text;
            message.ack = 'full';
            await client.send(device, message);
            return {};
        }
        case 'feedback':
            state.receiver ??= await new Promise((resolve, reject) => {
                client.getFeedbackReceiver((error, it) => (error ? reject(error) : resolve(it)));
            });
            return { feedback: await next(state.receiver) };
        case 'file':
            state.files ??= await new Promise((resolve, reject) => {
                client.getFileNotificationReceiver((error, it) => (error ? reject(error) : resolve(it)));
            });
            return { file: await next(state.files) };
        default:
            throw new Error(`no such command: ${command}`);
    }
}

async function main() {
    const client = Client.fromConnectionString(process.env.HUB_CONNECTION_STRING);
    const state = {};
    for await (const line of createInterface({ input: process.stdin })) {
        const [command, device, ...rest] = line.split(' ');
        try {
            const told = await run(client, state, command, device, rest.join(' '));
            console.log(JSON.stringify({ ok: true, ...told }));
        } catch (error) {
            // Whatever the client throws is what a user would see.
            console.log(JSON.stringify({ error: { name: error.name, message: error.message } }));
        }
    }
    process.exit(0);
}

if (!process.env.HUB_CONNECTION_STRING) {
    console.error('usage: HUB_CONNECTION_STRING=... node messenger.js');
    process.exit(2);
}
main();
