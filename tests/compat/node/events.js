// Reads a hub's events with the unmodified client: @azure/event-hubs.
//
//   EVENT_HUB_CONNECTION_STRING=... node events.js COUNT
//
// Prints a line of JSON with what the hub says of itself, then one for each event, until it has COUNT of them.
'use strict';

const { EventHubConsumerClient } = require('@azure/event-hubs');

const PATIENCE_MS = 60000;

async function main(count) {
    const client = new EventHubConsumerClient('$Default', process.env.EVENT_HUB_CONNECTION_STRING);
    const about = await client.getEventHubProperties();
    const ends = {};
    for (const it of about.partitionIds) {
        ends[it] = (await client.getPartitionProperties(it)).lastEnqueuedSequenceNumber;
    }
    console.log(JSON.stringify({ name: about.name, ends }));
    const heard = [];
    let done;
    const all = new Promise((resolve) => (done = resolve));
    const processEvents = async (events, context) => {
        for (const it of events) {
            const device = it.systemProperties['iothub-connection-device-id'];
            // The client reads JSON where the message says that it is some.
            const body = typeof it.body === 'string' ? it.body : JSON.stringify(it.body);
            const newest = context.lastEnqueuedEventProperties.sequenceNumber;
            heard.push({ body, device, properties: it.properties, sequence: it.sequenceNumber, newest });
        }
        if (heard.length >= count) done();
    };
    const processError = async (error) => done(error);
    const options = { startPosition: { offset: '-1' }, trackLastEnqueuedEventProperties: true };
    const subscription = client.subscribe({ processEvents, processError }, options);
    const failed = await Promise.race([all, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
    await subscription.close();
    await client.close();
    heard.forEach((it) => console.log(JSON.stringify(it)));
    process.exit(failed ? 1 : 0);
}

const count = Number(process.argv[2]);
if (!count || !process.env.EVENT_HUB_CONNECTION_STRING) {
    console.error('usage: EVENT_HUB_CONNECTION_STRING=... node events.js COUNT');
    process.exit(2);
}
main(count);
