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

// What comes is completed, and kept until somebody asks for it.
class Heard {
    #told = [];
    #waiting = null;

    constructor(receiver) {
        const tell = (it) => {
            const waiting = this.#waiting;
            this.#waiting = null;
            if (waiting) waiting(it);
            else this.#told.push(it);
        };
        receiver.on('errorReceived', (error) => tell({ error }));
        receiver.on('message', (it) => {
            receiver.complete(it, (error) => tell(error ? { error } : { body: JSON.parse(it.data.toString()) }));
        });
    }

    async next() {
        const told =
            this.#told.shift() ??
            (await new Promise((resolve) => {
                this.#waiting = resolve;
                setTimeout(() => resolve({ error: new Error('nothing came') }), PATIENCE_MS).unref();
            }));
        if (told.error) throw told.error;
        return told.body;
    }
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
            state.feedback ??= await new Promise((resolve, reject) => {
                client.getFeedbackReceiver((error, it) => (error ? reject(error) : resolve(new Heard(it))));
            });
            return { feedback: await state.feedback.next() };
        case 'file':
            state.files ??= await new Promise((resolve, reject) => {
                client.getFileNotificationReceiver((error, it) => (error ? reject(error) : resolve(new Heard(it))));
            });
            return { file: await state.files.next() };
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
