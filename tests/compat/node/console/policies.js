// Policies from the bench to the assignment and its revisions; keys shown, made anew and switched off; and which way the
// console takes to a hub's data for an Owner, a Reader with a data role, and somebody with a data role alone.
"use strict";

const assert = require("node:assert/strict");
const { createHmac, randomUUID } = require("node:crypto");

const NAME = "custom-security-policy-v2";
const DENY = { if: { field: "type", equals: "Microsoft.Devices/IotHubs/devices" }, then: { effect: "deny" } };
const ALLOW = {
  if: { allOf: [DENY.if, { field: "identity.serviceName", equals: "Device Provisioning Service" }] },
  then: { effect: "allow" },
};
const PASSWORD = "Correct-horse-7-battery";

const at = (world, scope, view = "") => `${world.origin}/console/at${scope}${view && `?view=${view}`}`;
const draft = (rules) => JSON.stringify({ displayName: NAME, mode: "All", policyRule: rules }, null, 2);

// A device made with a key, so that a call is on record.
async function recorded(world) {
  const said = world.env.HUBWARD_HUB_CONNECTION_STRING;
  const field = (name) => said.match(new RegExp(`(?:^|;)${name}=([^;]*)`))[1];
  const [host, policy, key] = ["HostName", "SharedAccessKeyName", "SharedAccessKey"].map(field);
  const until = Math.floor(Date.now() / 1000) + 600;
  const hmac = createHmac("sha256", Buffer.from(key, "base64")).update(`${host}\n${until}`).digest("base64");
  const token = `SharedAccessSignature sr=${host}&sig=${encodeURIComponent(hmac)}&se=${until}&skn=${policy}`;
  const url = `https://${host}/devices/recorded?api-version=2021-04-12`;
  const told = await world.call("PUT", url, { token, body: { deviceId: "recorded" } });
  assert.equal(told.status, 200, JSON.stringify(told.body));
  return policy;
}

// S0-21, S0-22, S0-18: the verdict while typing, a fault on its line, and a revision for each save.
async function bench(page, world) {
  await page.goto(`${world.origin}/console/policies`);
  await page.getByLabel("Name", { exact: true }).fill(NAME);
  await page.getByRole("button", { name: "Open the bench" }).click();
  await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
  const sheet = page.getByLabel("The definition's properties");
  const verdict = page.locator("#verdict");

  const faulty = draft([{ if: { field: "nonsense", equals: 1 }, then: { effect: "deny" } }]);
  await sheet.fill(faulty);
  await verdict.getByText("This cannot be meant").waitFor();
  const line = faulty.split("\n").findIndex((it) => it.includes("nonsense")) + 1;
  assert.equal(await page.locator("#gutter .fault").innerText(), String(line));
  await world.shot("bench-fault");
  await sheet.fill("{ \"policyRule\": [");
  await verdict.getByText(/EOF|expected/).waitFor();

  await sheet.fill(draft([DENY]));
  await verdict.getByText("With this draft: refused, today allowed").waitFor();
  await verdict.locator("[data-code=StopsProvisioning]").waitFor();
  // Which calls on record would go another way: the one that was made with a key.
  const flip = verdict.locator("#flips tbody tr").filter({ hasText: world.policy });
  await flip.waitFor();
  assert.match(await flip.innerText(), /refused[\s\S]*recorded/);
  await world.shot("bench");
  const unwritten = await world.call("GET", `${world.origin}${world.definition}?api-version=2021-06-01`, { token: world.arm });
  assert.equal(unwritten.status, 404, "a draft is written nowhere");
  await page.getByRole("button", { name: "Save as a new revision" }).click();
  await page.waitForURL("**#revisions");
  await page.locator(".revisions summary").getByText("created").waitFor();
}

// Without scripts the same page says the same.
async function bare(world) {
  const page = await world.open({ javaScriptEnabled: false });
  await world.signIn(page);
  await page.goto(at(world, world.definition, "bench"));
  await page.getByLabel("The definition's properties").fill(draft([DENY]));
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByText("With this draft: refused, today allowed").waitFor();
  await page.locator("#flips tbody tr").filter({ hasText: world.policy }).waitFor();
}

// S0-20: what is assigned to a hub, and from where.
async function assign(page, world) {
  await page.goto(at(world, world.hubScope, "policies"));
  await page.getByText("Assign a policy here").click();
  await page.getByLabel("Policy", { exact: true }).selectOption({ label: NAME });
  await page.getByLabel("Name of the assignment").fill("v2");
  await page.getByLabel("Enforced").selectOption("Default");
  await page.getByRole("button", { name: "Assign", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "v2" }).waitFor();
  const device = async () => {
    const url = `https://${world.env.HUBWARD_HUB_HOST}/devices/pump-${randomUUID()}?api-version=2021-04-12`;
    const deviceId = decodeURIComponent(new URL(url).pathname.split("/").pop());
    return (await world.call("PUT", url, { token: await world.token("https://iothubs.azure.net"), body: { deviceId } })).status;
  };
  assert.ok([401, 403].includes(await device()), "the policy counts at once");
  await page.getByRole("button", { name: "Only note from now on" }).click();
  await page.getByText("nobody is refused").waitFor();
  await page.getByText("changed properties.enforcementMode").waitFor();
  await page.getByRole("button", { name: "Enforce from now on" }).click();
  await page.getByText("Revision 3").waitFor();
  await world.shot("assignment");

  // The exception before the deny, on the bench; then its difference.
  await page.goto(at(world, world.definition, "bench"));
  const sheet = page.getByLabel("The definition's properties");
  await page.locator("#verdict").getByText("With this draft: refused as it is today").waitFor();
  await sheet.fill(draft([DENY, ALLOW]));
  await page.locator("#verdict [data-code=NeverReached]").waitFor();
  await sheet.fill(draft([ALLOW, DENY]));
  await page.locator("#verdict").getByText("With this draft: allowed, today refused").waitFor();
  await page.getByRole("button", { name: "Save as a new revision" }).click();
  await page.waitForURL("**#revisions");
  const newest = page.locator(".revisions > li").first();
  assert.match(await newest.innerText(), /Revision 2 by /);
  assert.match(await newest.innerText(), /policyRule/);
  await world.shot("definition");

  await page.goto(at(world, world.hubScope, "policies"));
  const row = page.getByRole("row").filter({ hasText: "v2" }).first();
  assert.match(await row.innerText(), /allow[\s\S]*deny[\s\S]*here[\s\S]*yes/);
  await world.shot("hub-policies");
}

// Threat 63: a policy whose name is a script is a policy.
async function hostile(page, world) {
  const evil = "\"><img src=x onerror=\"document.title='owned'\">";
  const id = `/subscriptions/${world.subscription}/providers/Microsoft.Authorization/policyDefinitions/evil`;
  const body = { properties: { displayName: evil, mode: "All", policyRule: DENY } };
  const told = await world.call("PUT", `${world.origin}${id}?api-version=2021-06-01`, { token: world.arm, body });
  assert.equal(told.status, 201, JSON.stringify(told.body));
  await page.goto(`${world.origin}/console/policies`);
  await page.getByText(evil).first().waitFor();
  await page.goto(at(world, id, "bench"));
  await page.locator("#verdict").getByText(/With this draft/).waitFor();
  await page.getByLabel("The definition's properties").fill(draft([DENY]).replace(NAME, evil.replaceAll('"', '\\"')));
  await page.locator("#verdict h3").first().waitFor();
  assert.ok(!(await page.title()).includes("owned"));
}

// S2-50, S2-53, S2-54: who would break, who keeps access, least privilege, the switch with its warning.
async function keys(page, world) {
  await page.goto(at(world, world.hubScope, "me"));
  await page.locator("[data-way=keys]").waitFor();
  await page.getByText("Whoever may list keys reaches everything in this hub").waitFor();
  await world.shot("me-owner");

  await page.goto(at(world, world.hubScope, "keys"));
  const policy = page.getByRole("row").filter({ hasText: "iothubowner" });
  assert.ok(!/SharedAccessKey=/.test(await page.content()), "keys are shown when they are asked for");
  await policy.getByRole("button", { name: /Show keys/ }).click();
  const shown = await policy.locator(".opened code").allInnerTexts();
  assert.match(shown[1], new RegExp(`^HostName=${world.env.HUBWARD_HUB_HOST}.*;SharedAccessKeyName=iothubowner;`));
  await world.shot("keys");
  await policy.getByText("New key").click();
  await policy.getByRole("button", { name: "Make a new secondary key" }).click();
  await page.getByRole("heading", { name: "Connect using shared access policies" }).waitFor();
  await policy.getByRole("button", { name: /Show keys/ }).click();
  const renewed = await policy.locator(".opened code").allInnerTexts();
  assert.equal(renewed[0], shown[0], "the primary key stays");
  assert.notEqual(renewed[2], shown[2], "the secondary key is another");

  await page.getByRole("link", { name: "Deny, after a review" }).click();
  await page.getByText("At once, everybody who uses a key loses access").waitFor();
  await page.getByRole("heading", { name: "Who would break" }).waitFor();
  await page.getByRole("table", { name: "Who signs with which policy" }).getByText(world.policy).waitFor();
  await world.shot("keys-review");
  world.expectsRefusals = true;
  await page.getByLabel(/Type the name/).fill(`${world.hub}0`);
  await page.getByRole("button", { name: "Deny shared access policies" }).click();
  await page.getByText("Nothing was changed").waitFor();
  world.expectsRefusals = false;
  await page.getByLabel(/Type the name/).fill(world.hub);
  await page.getByRole("button", { name: "Deny shared access policies" }).click();
  await page.locator(".switch[data-keys=deny]").waitFor();

  // S2-56, X-21: keys may be listed and do not count, so the console goes on as the person, and says so.
  await page.goto(at(world, world.hubScope, "me"));
  await page.locator("[data-way=entra]").getByText("they are switched off").waitFor();
  await world.shot("me-owner-keys-off");
  await page.goto(at(world, world.hubScope, "keys"));
  await page.getByRole("button", { name: "Allow" }).click();
  await page.locator(".switch[data-keys=allow]").waitFor();
}

// A provisioning service has policies of its own.
async function provisioning(page, world) {
  const list = await world.call("GET", `${world.origin}${world.group}/resources?api-version=2021-04-01`, { token: world.arm });
  const dps = list.body.value.find((it) => /provisioningServices$/i.test(it.type)).id;
  await page.goto(at(world, dps, "keys"));
  const policy = page.getByRole("row").filter({ hasText: "provisioningserviceowner" });
  await policy.getByRole("button", { name: /Show keys/ }).click();
  assert.match((await policy.locator(".opened code").allInnerTexts())[1], /^HostName=.+;SharedAccessKeyName=provisioningserviceowner;/);
  await page.getByRole("link", { name: "Deny, after a review" }).click();
  await page.getByText("Devices register as before").waitFor();
  await page.getByLabel(/Type the name/).fill(dps.split("/").pop());
  await page.getByRole("button", { name: "Deny shared access policies" }).click();
  await page.locator(".switch[data-keys=deny]").waitFor();
  await page.getByRole("button", { name: "Allow" }).click();
  await page.locator(".switch[data-keys=allow]").waitFor();
}

// Somebody with these roles at the hub, signed in at a browser of their own.
async function person(world, name, roles) {
  const graph = await world.token("https://graph.microsoft.com");
  const domain = world.user.split("@")[1];
  const upn = `${name}@${domain}`;
  const body = {
    accountEnabled: true,
    displayName: name,
    mailNickname: name,
    userPrincipalName: upn,
    passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: false },
  };
  const made = await world.call("POST", `${world.origin}/v1.0/users`, { token: graph, body });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const list = `${world.origin}/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01`;
  const all = await world.call("GET", list, { token: world.arm });
  for (const role of roles) {
    const found = all.body.value.find((it) => it.properties.roleName === role);
    const url = `${world.origin}${world.hubScope}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}?api-version=2022-04-01`;
    const properties = { roleDefinitionId: found.id, principalId: made.body.id, principalType: "User" };
    const told = await world.call("PUT", url, { token: world.arm, body: { properties } });
    assert.equal(told.status, 201, JSON.stringify(told.body));
  }
  const page = await world.open();
  await world.signIn(page, upn, PASSWORD);
  return page;
}

// S2-56 to S2-59, mission story 5: which way is taken for whom.
async function people(world) {
  const reader = await person(world, "reader", ["Reader", "IoT Hub Data Reader"]);
  await reader.goto(at(world, world.hubScope, "me"));
  await reader.locator("[data-way=entra]").getByText("You may not list the keys").waitFor();
  const says = async (what) => (await reader.getByRole("row").filter({ hasText: what }).innerText()).split("\t")[1].trim();
  assert.equal(await says("See devices"), "yes");
  assert.equal(await says("Make and change devices"), "no");
  assert.equal(await says("List the keys"), "no");
  assert.match(await reader.getByRole("table").last().innerText(), /IoT Hub Data Reader/);
  await world.shot("me-reader", reader);
  world.expectsRefusals = true;
  await reader.goto(at(world, world.hubScope, "keys"));
  await reader.getByText("does not have it, on purpose").waitFor();
  assert.ok(!/SharedAccessKey=/.test(await reader.content()));

  const contributor = await person(world, "data", ["IoT Hub Data Contributor"]);
  for (const view of ["", "me"]) {
    await contributor.goto(at(world, world.hubScope, view));
    await contributor.getByRole("heading", { name: "Add Reader" }).waitFor();
    await contributor.getByText(`--role Reader --assignee data@`).waitFor();
  }
  await world.shot("me-data-role-alone", contributor);
  world.expectsRefusals = false;

  const properties = { properties: { disableLocalAuth: true } };
  const url = `${world.origin}${world.hubScope}?api-version=2023-06-30`;
  const told = await world.call("PATCH", url, { token: world.arm, body: properties });
  assert.ok(told.status < 300, JSON.stringify(told.body));
  const full = await person(world, "contributor", ["Contributor"]);
  await full.goto(at(world, world.hubScope, "me"));
  await full.locator("[data-way=entra]").getByText("they are switched off").waitFor();
  await world.shot("me-contributor-keys-off", full);
}

exports.walk = async (page, world) => {
  world.arm = await world.token("https://management.azure.com");
  world.definition = `/subscriptions/${world.subscription}/providers/Microsoft.Authorization/policyDefinitions/${NAME}`;
  await world.signIn(page);
  world.policy = await recorded(world);
  await bare(world);
  await bench(page, world);
  await assign(page, world);
  await hostile(page, world);
  await keys(page, world);
  await provisioning(page, world);
  await people(world);
};
