// Mission story 4 in the browser: who would break without keys is named, keys are switched off, and it is they who break.
"use strict";

const assert = require("node:assert/strict");
const { createHmac, randomUUID } = require("node:crypto");
const { Client } = require("azure-iothub");

const GROUP_KEY = Buffer.alloc(32, 7).toString("base64");
const SERVICE = "2021-10-01";
const DEVICE = "2021-06-01";

function signature(resource, key, policy) {
  const expiry = Math.floor(Date.now() / 1000) + 3600;
  const text = encodeURIComponent(resource);
  const mac = createHmac("sha256", Buffer.from(key, "base64")).update(`${text}\n${expiry}`).digest("base64");
  return `SharedAccessSignature sr=${text}&sig=${encodeURIComponent(mac)}&se=${expiry}&skn=${policy}`;
}

// A provisioning service as the walk sees it, with an enrollment group whose key is known.
async function service(world, scope) {
  const shown = await world.call("GET", `${world.origin}${scope}?api-version=2025-02-01-preview`, { token: world.arm });
  const { serviceOperationsHostName, deviceProvisioningHostName, idScope } = shown.body.properties;
  const keys = await world.call("POST", `${world.origin}${scope}/listkeys?api-version=2025-02-01-preview`, { token: world.arm });
  const owner = keys.body.value.find((it) => it.keyName === "provisioningserviceowner");
  const token = signature(serviceOperationsHostName, owner.primaryKey, owner.keyName);
  const body = {
    enrollmentGroupId: "pumps",
    attestation: { type: "symmetricKey", symmetricKey: { primaryKey: GROUP_KEY, secondaryKey: GROUP_KEY } },
  };
  const url = `https://${serviceOperationsHostName}/enrollmentGroups/pumps?api-version=${SERVICE}`;
  const made = await world.call("PUT", url, { token, body });
  assert.equal(made.status, 200, JSON.stringify(made.body));
  return { host: deviceProvisioningHostName, idScope };
}

// What becomes of a device that registers.
async function registers(world, { host, idScope }, id) {
  const key = createHmac("sha256", Buffer.from(GROUP_KEY, "base64")).update(id).digest("base64");
  const at = `https://${host}/${idScope}/registrations/${id}`;
  const token = signature(`${idScope}/registrations/${id}`, key, "registration");
  const begun = await world.call("PUT", `${at}/register?api-version=${DEVICE}`, { token, body: { registrationId: id } });
  assert.equal(begun.status, 202, JSON.stringify(begun.body));
  for (let tries = 0; tries < 60; tries += 1) {
    const told = await world.call("GET", `${at}/operations/${begun.body.operationId}?api-version=${DEVICE}`, { token });
    if (told.body.status !== "assigning") return told.body.registrationState;
    await new Promise((done) => setTimeout(done, 500));
  }
  throw new Error(`${id} is neither assigned nor refused`);
}

exports.walk = async (page, world) => {
  world.arm = await world.token("https://management.azure.com");
  const devices = `${world.group}/providers/Microsoft.Devices`;
  const list = await world.call("GET", `${world.origin}${devices}/provisioningServices?api-version=2025-02-01-preview`, { token: world.arm });
  const byIdentity = await service(world, list.body.value[0].id);
  const linked = `${devices}/provisioningServices/by-key`;
  const owner = world.env.HUBWARD_HUB_CONNECTION_STRING;
  const body = {
    location: "westus",
    sku: { name: "S1", capacity: 1 },
    properties: { iotHubs: [{ connectionString: owner, location: "westus" }] },
  };
  const made = await world.call("PUT", `${world.origin}${linked}?api-version=2025-02-01-preview`, { token: world.arm, body });
  assert.ok(made.status < 300, JSON.stringify(made.body));
  const byKey = await service(world, linked);
  assert.equal((await registers(world, byKey, "pump-1")).status, "assigned");

  // A service that is connected with a key, over AMQP.
  const client = Client.fromConnectionString(owner);
  await client.open();
  const cut = new Promise((done) => client.on("disconnect", done));
  await new Promise((done, fail) => client.getFeedbackReceiver((error) => (error ? fail(error) : done())));
  // And one that reads a device with one, over HTTPS.
  const [, host, policy, key] = /HostName=([^;]+);SharedAccessKeyName=([^;]+);SharedAccessKey=(.+)$/.exec(owner);
  const url = `https://${host}/devices/pump-1?api-version=2021-04-12`;
  const reads = () => world.call("GET", url, { token: signature(host, key, policy) });
  assert.equal((await reads()).status, 200);

  await world.signIn(page);
  await page.goto(`${world.origin}/console/at${world.hubScope}?view=keys`);
  await page.getByRole("link", { name: "Deny, after a review" }).click();
  await page.getByRole("heading", { name: "Who would break" }).waitFor();
  const review = await page.locator("main").innerText();
  for (const named of ["by-key", policy, "amqp"]) assert.ok(review.includes(named), `${named} is not named: ${review}`);
  assert.equal((await reads()).status, 200, "a review changes nothing");
  await world.shot("keys-off-review");
  await page.getByLabel(/Type the name/).fill(world.hub);
  await page.getByRole("button", { name: "Deny shared access policies" }).click();
  await page.locator(".switch[data-keys=deny]").waitFor();

  await cut;
  const refused = await reads();
  assert.equal(refused.status, 401);
  assert.match(JSON.stringify(refused.body), /since .+ by /);
  const failed = await registers(world, byKey, `pump-${randomUUID()}`);
  assert.equal(failed.status, "failed");
  assert.match(failed.errorMessage, /Unauthorized/);
  assert.equal((await registers(world, byIdentity, "pump-3")).status, "assigned");

  // From the refusal to its cause in one click.
  await page.goto(`${world.origin}/console/refusals`);
  const row = page.getByRole("row").filter({ hasText: "authentication" }).filter({ hasText: "devices/write" }).first();
  await row.getByRole("link", { name: "Why?" }).click();
  await page.getByText("disableLocalAuth").first().waitFor();
  await world.shot("keys-off-refused");
};
