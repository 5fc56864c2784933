// A service with the unmodified client, told what to do line by line.
//
//   HUB_CONNECTION_STRING=... node service.js
//   HUB_HOST=... node service.js    (by the managed identity that the environment leads to)
//   HUB_HOST=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... node service.js
//
// Reads commands from standard input, each a line of JSON: [NAME, ARGUMENT...], NAME a method of one of its clients. Answers each with a line of JSON: {ok: RESULT}, or {error: {name, message, said}}. Ends with its input.
'use strict';

const { createInterface } = require('node:readline');
const { ClientSecretCredential, DefaultAzureCredential } = require('@azure/identity');
const { Client, JobClient, Registry } = require('azure-iothub');

// The client takes times as dates.
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

async function call(clients, name, args) {
    const client = clients.find((it) => typeof it[name] === 'function');
    if (!client) throw new Error(`no such call: ${name}`);
    const result = await client[name](...args);
    // A query's first page.
    if (typeof result?.next === 'function') return (await result.next()).result;
    return result?.responseBody ?? result?.result ?? result ?? null;
}

// By a key, or by a token of whoever signs in.
function made(kind) {
    const { env } = process;
    if (env.HUB_CONNECTION_STRING) return kind.fromConnectionString(env.HUB_CONNECTION_STRING);
    if (!env.AZURE_CLIENT_SECRET) return kind.fromTokenCredential(env.HUB_HOST, new DefaultAzureCredential());
    const credential = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
        authorityHost: env.AZURE_AUTHORITY_HOST,
        disableInstanceDiscovery: true,
    });
    return kind.fromTokenCredential(env.HUB_HOST, credential);
}

async function main() {
    const clients = [Registry, JobClient, Client].map(made);
    for await (const line of createInterface({ input: process.stdin })) {
        const [name, ...args] = JSON.parse(line, (_, it) => (TIME.test(it) ? new Date(it) : it));
        try {
            const result = await call(clients, name, args);
            // A twin holds the registry that it came from, and some results what HTTP said.
            const isPlain = (key) => !key.startsWith('_') && key !== 'response';
            console.log(JSON.stringify({ ok: result }, (key, value) => (isPlain(key) ? value : undefined)));
        } catch (error) {
            // Whatever the client throws is what a user would see.
            console.log(JSON.stringify({ error: { name: error.name, message: error.message, said: error.responseBody } }));
        }
    }
    process.exit(0);
}

if (!process.env.HUB_CONNECTION_STRING && !process.env.HUB_HOST) {
    console.error('usage: HUB_CONNECTION_STRING=... node service.js');
    process.exit(2);
}
main();
