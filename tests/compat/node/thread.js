// The pipeline of the thread, whose four pieces are read as they stand. What they take for granted is given to them:
// ids, a pause, somebody to alarm, and `ClientSecretCredential`. Azure's names lead to the server here and nowhere else.
'use strict';

const dns = require('dns');
const fs = require('fs');
const path = require('path');

const names = new Set(['management.azure.com', 'login.microsoftonline.com']);
const lookup = dns.lookup;
dns.lookup = (name, options, done) => {
  const [how, then] = typeof options === 'function' ? [{}, options] : [options || {}, done];
  if (!names.has(name)) return lookup(name, options, done);
  const address = process.env.HUBWARD_ADDRESS;
  if (how.all) return then(null, [{ address, family: 4 }]);
  return then(null, address, 4);
};

const { ClientSecretCredential } = require('@azure/identity');

const piece = (name) => fs.readFileSync(path.join(process.env.THREAD, name), 'utf8');
const alarms = [];
const slept = [];
const given = {
  ClientSecretCredential,
  tenantId: process.env.AZURE_TENANT_ID,
  clientId: process.env.AZURE_CLIENT_ID,
  clientSecret: process.env.AZURE_CLIENT_SECRET,
  subscriptionId: process.env.SUBSCRIPTION,
  resourceGroup: process.env.GROUP,
  hubName: process.env.HUB,
  alertSecurityTeam: (title, rate) => alarms.push([title, rate]),
  // Nobody waits for what is only counted.
  sleep: async (ms) => { slept.push(ms); },
};
const pieces = ['ingestion.js', 'batches.js', 'retry.js', 'metrics.js'].map(piece).join('\n');
const wanted = '{ SecurityPolicyIngestion, batchPolicyUpdates, updateWithRetry, logPolicyUpdate, metrics, uses }';
// They call the method of the class as if it were a function of its own.
const glue = 'let pipeline; const uses = (it) => { pipeline = it; };'
  + 'const updateSecurityPolicy = (id, policy) => pipeline.updateSecurityPolicy(id, policy);';
const thread = new Function(...Object.keys(given), `${pieces}\n${glue}\nreturn ${wanted};`)(...Object.values(given));

const sent = { fetches: 0, statuses: {} };
const fetched = globalThis.fetch;
globalThis.fetch = async (...all) => {
  sent.fetches += 1;
  const response = await fetched(...all);
  sent.statuses[response.status] = (sent.statuses[response.status] || 0) + 1;
  return response;
};

// Named one by one, or as many as are counted.
const devices = process.env.COUNT
  ? Array.from({ length: Number(process.env.COUNT) }, (_, at) => ({ id: `pump-${at}` }))
  : (process.env.DEVICES || '').split(',').map((id) => ({ id }));
const policies = Object.fromEntries(devices.map(({ id }) => [id, { properties: { maxKeyAgeDays: 90 } }]));

const steps = {
  // Every device's policy in batches; what the promise of all says.
  async batches() {
    return thread.batchPolicyUpdates(devices, policies).then(() => 'done', (error) => error.message);
  },
  // One device's, with retries, and counted.
  async retried() {
    return thread.updateWithRetry(devices[0].id, { properties: {} })
      .then(() => { thread.logPolicyUpdate(true); return 'done'; },
        (error) => { thread.logPolicyUpdate(false, error); return error.message; });
  },
  // The same as if the error had a status.
  async retriedWithStatus() {
    const pipeline = new thread.SecurityPolicyIngestion();
    pipeline.tokenCache = process.env.OLD_TOKEN;
    pipeline.tokenExpiry = Date.now() + 3600000;
    thread.uses({
      updateSecurityPolicy: (id, policy) => pipeline.updateSecurityPolicy(id, policy)
        .catch((error) => { error.status = Number(error.message.split(' ').pop()); throw error; }),
    });
    const said = await steps.retried();
    return { said, isSameToken: pipeline.tokenCache === process.env.OLD_TOKEN };
  },
  // The same batches with a new token for each update, as the thread's second answer advises.
  async fresh() {
    const pipeline = new thread.SecurityPolicyIngestion();
    thread.uses({
      updateSecurityPolicy: (id, policy) => {
        pipeline.tokenCache = null;
        return pipeline.updateSecurityPolicy(id, policy);
      },
    });
    return steps.batches();
  },
  // Whether a token that is as good as over is given out.
  async margin() {
    const pipeline = new thread.SecurityPolicyIngestion();
    pipeline.tokenCache = 'about to end';
    pipeline.tokenExpiry = Date.now() + 1000;
    return (await pipeline.getAccessToken()) === 'about to end';
  },
};

thread.uses(new thread.SecurityPolicyIngestion());
steps[process.argv[2]]().then((said) => {
  const { metrics } = thread;
  console.log(JSON.stringify({ said, sent, alarms, slept, metrics }));
}).catch((error) => { console.error(error); process.exit(1); });
