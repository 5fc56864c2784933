// Sends to an event hub and reads it with the unmodified client, @azure/event-hubs, told what to do line by line.
//
//   EVENT_HUB_CONNECTION_STRING=... node event_hub.js EVENT_HUB
//   EVENT_HUBS_HOST=... AZURE_AUTHORITY_HOST=... AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=... \
//       node event_hub.js EVENT_HUB
//
// Commands are lines of JSON: ["send", [TEXT, ...], {key, partition, properties}] and ["read", COUNT, GROUP]. Answers
// each with a line of JSON: {ok: RESULT}, or {error: TEXT}. Ends with its input.
'use strict';

const { createInterface } = require('node:readline');
const { EventHubConsumerClient, EventHubProducerClient } = require('@azure/event-hubs');
const { ClientSecretCredential, DefaultAzureCredential } = require('@azure/identity');

const PATIENCE_MS = 60000;
const { env } = process;
const eventHub = process.argv[2];
const options = { retryOptions: { maxRetries: 0 } };

function credential() {
    if (!env.AZURE_CLIENT_SECRET) return new DefaultAzureCredential();
    return new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
        authorityHost: env.AZURE_AUTHORITY_HOST,
        disableInstanceDiscovery: true,
    });
}

// Where it is, and how it is opened: the arguments that both clients end with.
function place() {
    if (env.EVENT_HUB_CONNECTION_STRING) return [env.EVENT_HUB_CONNECTION_STRING, eventHub, options];
    return [env.EVENT_HUBS_HOST, eventHub, credential(), options];
}

async function send(texts, { key, partition, properties } = {}) {
    const client = new EventHubProducerClient(...place());
    try {
        const batch = await client.createBatch({ partitionKey: key, partitionId: partition });
        for (const body of texts) batch.tryAdd({ body, properties });
        await client.sendBatch(batch);
        return await client.getPartitionIds();
    } finally {
        await client.close();
    }
}

async function read(count, group) {
    const client = new EventHubConsumerClient(group, ...place());
    const heard = [];
    let done, fail;
    const all = new Promise((resolve, reject) => ([done, fail] = [resolve, reject]));
    const processEvents = async (events, context) => {
        for (const it of events) {
            const body = typeof it.body === 'string' ? it.body : JSON.stringify(it.body);
            const { properties, sequenceNumber: sequence, partitionKey: key } = it;
            const system = it.systemProperties ?? {};
            heard.push({ body, properties, partition: context.partitionId, sequence, key, system });
        }
        if (heard.length >= count) done();
    };
    const processError = async (error) => fail(error);
    const subscription = client.subscribe({ processEvents, processError }, { startPosition: { offset: '-1' } });
    try {
        await Promise.race([all, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS).unref())]);
    } finally {
        await subscription.close();
        await client.close();
    }
    return heard;
}

async function main() {
    for await (const line of createInterface({ input: process.stdin })) {
        const [name, ...args] = JSON.parse(line);
        try {
            console.log(JSON.stringify({ ok: await { send, read }[name](...args) }));
        } catch (error) {
            // Whatever the client throws is what a user would see.
            console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
        }
    }
    process.exit(0);
}

if (!eventHub) {
    console.error('usage: EVENT_HUB_CONNECTION_STRING=... node event_hub.js EVENT_HUB');
    process.exit(2);
}
main();
