// Sends to a queue and a topic and receives from them with the unmodified client: @azure/service-bus.
//
//   SERVICE_BUS_CONNECTION_STRING=... node bus.js QUEUE TOPIC SUBSCRIPTION
//
// Prints what came of each step, as lines of JSON.
'use strict';

const { ServiceBusClient } = require('@azure/service-bus');

const WAIT = { maxWaitTimeInMs: 10000 };

function say(step, what) {
    console.log(JSON.stringify([step, what]));
}

function told(message) {
    return [message.body, message.deliveryCount, message.applicationProperties || {}];
}

async function take(receiver, count) {
    // A call answers what there is, once something is.
    const all = [];
    while (all.length < count) {
        const came = await receiver.receiveMessages(count - all.length, WAIT);
        if (!came.length) break;
        all.push(...came);
    }
    return all;
}

async function main(queue, topic, subscription) {
    const retryOptions = { maxRetries: 0 };
    const client = new ServiceBusClient(process.env.SERVICE_BUS_CONNECTION_STRING, { retryOptions });
    let sender = client.createSender(queue);
    await sender.sendMessages({ body: 'one', applicationProperties: { level: '3' }, subject: 'pump' });
    const batch = await sender.createMessageBatch();
    batch.tryAddMessage({ body: 'two' });
    batch.tryAddMessage({ body: 'three' });
    await sender.sendMessages(batch);
    await sender.close();

    let receiver = client.createReceiver(queue);
    const [one, two, three] = await take(receiver, 3);
    say('received', [...[one, two, three].map(told), one.subject, Number(one.sequenceNumber)]);
    const before = one.lockedUntilUtc;
    say('renewed', (await receiver.renewMessageLock(one)) >= before);
    await receiver.completeMessage(one);
    await receiver.abandonMessage(two);
    await receiver.deadLetterMessage(three, { deadLetterReason: 'broken', deadLetterErrorDescription: 'no JSON' });
    try {
        await receiver.deferMessage((await take(receiver, 1))[0]);
    } catch (error) {
        say('deferred', error.message);
    }
    await receiver.close();

    receiver = client.createReceiver(queue, { subQueueType: 'deadLetter' });
    const [dead] = await take(receiver, 1);
    say('dead', [dead.body, dead.deadLetterReason, dead.deadLetterErrorDescription]);
    await receiver.completeMessage(dead);
    await receiver.close();

    receiver = client.createReceiver(queue, { receiveMode: 'receiveAndDelete' });
    say('peeked', (await receiver.peekMessages(5)).map((it) => it.body));
    say('empty', (await receiver.receiveMessages(1, { maxWaitTimeInMs: 1000 })).map((it) => it.body));
    await receiver.close();

    sender = client.createSender(topic);
    await sender.sendMessages({ body: 'to all' });
    await sender.close();
    receiver = client.createReceiver(topic, subscription);
    const [it] = await take(receiver, 1);
    say('copied', told(it));
    await receiver.completeMessage(it);
    await receiver.close();
    try {
        await client.createSender('nothing').sendMessages({ body: 'x' });
    } catch (error) {
        say('missing', error.code);
    }
    await client.close();
}

if (process.argv.length !== 5 || !process.env.SERVICE_BUS_CONNECTION_STRING) {
    console.error('usage: SERVICE_BUS_CONNECTION_STRING=... node bus.js QUEUE TOPIC SUBSCRIPTION');
    process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
    console.error(error);
    process.exit(1);
});
