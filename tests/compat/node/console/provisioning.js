// From enrollments to hubs: counts by what became of registrations, the failed ones one click from the policy that
// refused them, and the three sections of the diagnosis.
"use strict";

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");

const GROUP_KEY = Buffer.alloc(32, 7);
const DEVICES = "Microsoft.Devices/IotHubs/devices";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

// A shared access signature for ten minutes.
function signed(resource, key, policy) {
  const where = encodeURIComponent(resource);
  const until = Math.floor(Date.now() / 1000) + 600;
  const signature = hmac(key, `${where}\n${until}`).toString("base64");
  return `SharedAccessSignature sr=${where}&sig=${encodeURIComponent(signature)}&se=${until}&skn=${policy}`;
}

exports.walk = async (page, world) => {
  const host = world.env.HUBWARD_DPS_HOST;
  const scope = world.env.HUBWARD_DPS_ID_SCOPE;
  const arm = await world.token("https://management.azure.com");
  const call = async (method, url, token, body) => {
    const told = await world.call(method, url, { token, body });
    assert.ok(told.status < 300, `${method} ${url}: ${JSON.stringify(told.body)}`);
    return told.body;
  };
  const manage = (method, path, body) => call(method, `${world.origin}${path}`, arm, body);
  const all = await manage("GET", `${world.group}/providers/Microsoft.Devices/provisioningServices?api-version=2022-02-05`);
  const dps = all.value[0].id;
  const view = `${world.origin}/console/at${dps}?view=provisioning`;
  const keys = await manage("POST", `${dps}/listkeys?api-version=2022-02-05`, {});
  const own = signed(host, Buffer.from(keys.value[0].primaryKey, "base64"), keys.value[0].keyName);
  const symmetric = (key) => ({
    type: "symmetricKey",
    symmetricKey: { primaryKey: key.toString("base64"), secondaryKey: Buffer.alloc(32, 8).toString("base64") },
  });
  const put = (path, body) => call("PUT", `https://${host}/${path}?api-version=2021-10-01`, own, body);

  await world.signIn(page);
  await put("enrollmentGroups/line-7", { enrollmentGroupId: "line-7", attestation: symmetric(GROUP_KEY) });
  await put("enrollmentGroups/idle", { enrollmentGroupId: "idle", attestation: symmetric(Buffer.alloc(32, 6)), allocationPolicy: "static" });
  const single = Buffer.alloc(32, 9);
  await put("enrollments/gauge-1", { registrationId: "gauge-1", attestation: symmetric(single) });

  const register = async (id, key) => {
    const sas = signed(`${scope}/registrations/${id}`, key, "registration");
    const path = `https://${host}/${scope}/registrations/${id}`;
    const begun = await call("PUT", `${path}/register?api-version=2021-06-01`, sas, { registrationId: id });
    for (;;) {
      const now = await call("GET", `${path}/operations/${begun.operationId}?api-version=2021-06-01`, sas);
      if (now.status !== "assigning") return now.registrationState;
      await new Promise((done) => setTimeout(done, 100));
    }
  };
  const derived = (id) => hmac(GROUP_KEY, id);
  for (let at = 0; at < 6; at += 1) assert.equal((await register(`pump-${at}`, derived(`pump-${at}`))).status, "assigned");
  assert.equal((await register("gauge-1", single)).status, "assigned");

  await page.goto(view);
  const row = (name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
  const counts = async (name) => (await row(name).getByRole("cell").allInnerTexts()).slice(1).map(Number);
  assert.deepEqual(await counts("Group line-7"), [6, 0, 0, 0, 0]);
  assert.deepEqual(await counts("Individual enrollments"), [1, 0, 0, 0, 0]);
  assert.deepEqual(await counts("Group idle"), [0, 0, 0, 0, 0]);
  assert.deepEqual(await page.locator(".sections > li").evaluateAll((it) => it.map((one) => one.dataset.mark)), ["pass", "pass", "pass"]);
  await page.locator("[data-way=keys]").waitFor();
  await world.shot("provisioning");

  // A policy denies what the service writes: the failure is named, and a click from the decision.
  const authorization = `${world.hubScope}/providers/Microsoft.Authorization`;
  const definition = `/subscriptions/${world.subscription}/providers/Microsoft.Authorization/policyDefinitions/no-new-devices`;
  await manage("PUT", `${definition}?api-version=2023-04-01`, {
    properties: { mode: "All", policyRule: { if: { field: "type", equals: DEVICES }, then: { effect: "deny" } } },
  });
  await manage("PUT", `${authorization}/policyAssignments/no-new-devices?api-version=2023-04-01`, {
    properties: { policyDefinitionId: definition },
  });
  for (const id of ["pump-7", "pump-8"]) assert.equal((await register(id, derived(id))).status, "failed");
  await page.goto(view);
  assert.deepEqual(await counts("Group line-7"), [6, 0, 0, 0, 2]);
  assert.deepEqual(await page.locator(".sections > li").evaluateAll((it) => it.map((one) => one.dataset.mark)), ["pass", "pass", "fail"]);
  await world.shot("provisioning-refused");
  await page.getByRole("link", { name: "Failed: 2" }).click();
  await row("pump-8").getByRole("link", { name: "Why?" }).click();
  await page.getByRole("heading", { level: 1, name: /refused at the policy gate/ }).waitFor();
  await page.getByText("no-new-devices").first().waitFor();

  // The service's own identity is on from the start, and nothing that needs it lets it be switched off.
  await page.goto(`${world.origin}/console/at${dps}?view=identity`);
  await page.getByLabel("Off", { exact: true }).check();
  world.expectsRefusals = true;
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor();
  await world.shot("identity-refused");
  world.expectsRefusals = false;
  const kept = await manage("GET", `${dps}?api-version=2022-02-05`);
  assert.equal(kept.identity.type, "SystemAssigned");
};
