// Who may do what: the graph and what lights up in it, both questions, giving and taking a role, the time before, and
// a matrix where there are too many; then identities of a hub.
"use strict";

const assert = require("node:assert/strict");

const READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const DATA_READER = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
const LIST_KEYS = "Microsoft.Devices/IotHubs/listkeys/action";
const HOSTILE = "<img src=x onerror=\"document.title='owned'\">";

exports.walk = async (page, world) => {
  const graph = await world.token("https://graph.microsoft.com");
  const arm = await world.token("https://management.azure.com");
  const call = async (method, path, body, token = arm) => {
    const told = await world.call(method, `${world.origin}${path}`, { token, body });
    assert.ok(told.status < 300, `${method} ${path}: ${JSON.stringify(told.body)}`);
    return told.body;
  };
  const made = (set, body) => call("POST", `/v1.0/${set}`, body, graph);
  const person = (name) =>
    made("users", {
      displayName: name,
      mailNickname: name,
      userPrincipalName: `${name}@hubward.internal`,
      accountEnabled: true,
      passwordProfile: { password: `Xy-7-secret-4-all`, forceChangePasswordNextSignIn: false },
    });
  const group = (name) => made("groups", { displayName: name, mailNickname: "g", mailEnabled: false, securityEnabled: true });
  const joins = (into, who) =>
    call("POST", `/v1.0/groups/${into.id}/members/$ref`, { "@odata.id": `${world.origin}/v1.0/directoryObjects/${who.id}` }, graph);
  const authorization = "providers/Microsoft.Authorization";
  let number = 0;
  const assign = (scope, role, who) => {
    number += 1;
    const name = `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
    return call("PUT", `${scope}/${authorization}/roleAssignments/${name}?api-version=2022-04-01`, {
      properties: {
        roleDefinitionId: `/${authorization}/roleDefinitions/${role}`,
        principalId: who.id,
      },
    });
  };

  // A person in a group in a group, which reads; a person who reads data itself.
  const [ana, ben, crew, plant] = [await person("ana"), await person("ben"), await group("crew"), await group("plant")];
  await joins(crew, ana);
  await joins(plant, crew);
  await assign(world.group, READER, plant);
  await assign(world.hubScope, DATA_READER, ben);
  await call("PUT", `${world.hubScope}/${authorization}/denyAssignments/00000000-0000-4000-8000-0000000000aa?api-version=2022-04-01`, {
    properties: {
      denyAssignmentName: "no keys for the crew",
      permissions: [{ actions: [LIST_KEYS] }],
      principals: [{ id: crew.id, type: "Group" }],
    },
  });

  await world.signIn(page);
  await page.goto(`${world.origin}/console/access`);
  await page.waitForURL("**/console/at/?view=access");
  const picture = page.getByRole("group", { name: "Who holds which role where" });
  const node = (name) => picture.getByRole("link", { name, exact: true });
  await node("ana, person").waitFor();
  await world.shot("access");

  // Whoever is chosen lights the whole way: the groups, the role, the place and what lies below it, and nothing else.
  await page.goto(`${world.origin}/console/at${world.hubScope}?view=access`);
  await node("ana, person").click();
  const lit = () => picture.locator("a[data-lit]").evaluateAll((all) => all.map((it) => it.getAttribute("aria-label")));
  await page.waitForFunction(() => document.querySelector(".graph[data-lit]"));
  const way = await lit();
  for (const it of ["ana, person", "crew, group", "plant, group", "Reader, role", "no keys for the crew, denies"]) {
    assert.ok(way.includes(it), `${it} is not among ${way}`);
  }
  assert.ok(way.some((it) => it.startsWith(world.hub)), `${way}`);
  assert.ok(!way.includes("ben, person") && !way.includes("IoT Hub Data Reader, role"), `${way}`);
  const rows = page.locator("#access table").last().locator("tbody tr");
  assert.equal(await rows.count(), 2);
  await world.shot("access-lit");

  // Threat 63: a name that is a script is a name; and what does not fit is heard whole.
  const application = await made("applications", { displayName: HOSTILE });
  const hostile = await made("servicePrincipals", { appId: application.appId });
  await assign(world.hubScope, READER, hostile);
  await page.reload();
  await picture.getByRole("link", { name: HOSTILE }).waitFor();
  // The same without the script, by the address alone; and by keyboard.
  await page.reload();
  assert.deepEqual(await lit(), way);
  await node("ana, person").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector(".graph[data-lit]"));
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "ana, person");

  // Both questions, answered by the gates.
  await page.getByLabel("Who can do this here?").fill("Microsoft.Devices/IotHubs/devices/read");
  await page.getByRole("button", { name: "Who can?" }).click();
  const answer = page.locator(".answer");
  await answer.getByRole("row").filter({ hasText: "ben" }).waitFor();
  assert.ok((await lit()).includes("ben, person"));
  await world.shot("access-who-can");
  await page.getByLabel("What can somebody do here?").selectOption({ label: "ben (person)" });
  await page.getByRole("button", { name: "What can they do?" }).click();
  await page.getByRole("heading", { name: "What ben can do here" }).waitFor();
  await answer.getByRole("row").filter({ hasText: "Microsoft.Devices/IotHubs/devices" }).first().waitFor();
  await world.shot("access-what-can");

  // S2-13, S3-16: a role is given to a hub's own identity, found under the hub's name, and taken again.
  const at = `${world.origin}/console/at${world.hubScope}?view=identity`;
  await page.goto(at);
  await page.getByLabel("On", { exact: true }).check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "Show what it may do" }).waitFor();
  const hub = await call("GET", `${world.hubScope}?api-version=2021-07-02`);
  assert.equal(hub.identity.type, "SystemAssigned");
  await page.getByText(hub.identity.principalId).waitFor();
  await page.goto(`${world.origin}/console/at${world.group}?view=access`);
  await page.getByLabel("Choose from").selectOption({ label: "All system-assigned managed identities" });
  await page.getByRole("button", { name: "List" }).click();
  await page.waitForURL("**members=system**");
  const members = page.getByLabel("To whom");
  assert.deepEqual(
    await members.locator("optgroup").evaluateAll((all) => all.map((it) => it.label).sort()),
    ["All system-assigned managed identities: IoT hubs", "All system-assigned managed identities: Provisioning services"],
  );
  await members.selectOption({ label: world.hub });
  await page.getByLabel("Which role", { exact: true }).selectOption({ label: "Reader" });
  await page.getByRole("button", { name: "Give the role" }).click();
  await node(`${world.hub}, system-assigned identity`).waitFor();
  await page.getByRole("status").filter({ hasText: `gave Reader to ${world.hub}` }).waitFor();

  // A person gets one by the same form.
  await page.getByLabel("Choose from").selectOption({ label: "People" });
  await page.getByRole("button", { name: "List" }).click();
  await page.waitForURL("**members=users**");
  await page.getByLabel("To whom").selectOption({ label: "ben (ben@hubward.internal)" });
  await page.getByLabel("Which role", { exact: true }).selectOption({ label: "Reader" });
  await page.getByRole("button", { name: "Give the role" }).click();
  await page.getByRole("status").filter({ hasText: "gave Reader to ben at hubward-rg" }).waitFor();
  await page.locator("summary[aria-label='Take away Reader from ben at hubward-rg']").click();
  await page.getByRole("button", { name: "Take Reader from ben at hubward-rg" }).click();
  await page.getByRole("status").filter({ hasText: "took Reader from ben" }).waitFor();

  // The time before: the slider goes back, names the change, and holds what was held.
  const slider = page.getByLabel("As it was after change");
  await slider.focus();
  // Before ben's came and went, and before the identity's came.
  for (let at = 0; at < 3; at += 1) await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((name) => !document.querySelector(`.graph a[aria-label="${name}, system-assigned identity"]`), world.hub);
  assert.equal(await page.evaluate(() => document.activeElement.id), "at");
  await world.shot("access-before");
  for (let at = 0; at < 3; at += 1) await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.getElementById("at").value === document.getElementById("at").max);
  await node(`${world.hub}, system-assigned identity`).waitFor();
  await page.locator(`summary[aria-label='Take away Reader from ${world.hub} at hubward-rg']`).click();
  await page.getByRole("button", { name: `Take Reader from ${world.hub}` }).click();
  await page.getByRole("status").filter({ hasText: `took Reader from ${world.hub}` }).waitFor();
  assert.equal(await node(`${world.hub}, system-assigned identity`).count(), 0);

  // Who may not give roles is told so, one click from the decision.
  const other = await world.open();
  await world.signIn(other, "ana@hubward.internal", "Xy-7-secret-4-all");
  await other.goto(`${world.origin}/console/at${world.group}?view=access`);
  await other.getByLabel("Which role", { exact: true }).selectOption({ label: "Owner" });
  await other.getByLabel("To whom").selectOption({ label: "ana (ana@hubward.internal)" });
  world.expectsRefusals = true;
  await other.getByRole("button", { name: "Give the role" }).click();
  await other.getByRole("alert").getByText("Refused: AuthorizationFailed").waitFor();
  await world.shot("access-refused", other);
  await other.getByRole("link", { name: "Why? Show the decision" }).click();
  await other.getByRole("heading", { level: 1, name: /refused at the access gate/ }).waitFor();
  await other.close();
  world.expectsRefusals = false;

  // S3-09: a user-assigned identity is chosen, selected, and removed.
  const identities = `${world.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities`;
  await call("PUT", `${identities}/router?api-version=2023-01-31`, { location: "westus" });
  await page.goto(at);
  await page.getByLabel(/User-assigned managed identities/).selectOption({ index: 0 });
  await page.getByRole("button", { name: "Select" }).click();
  await page.getByRole("button", { name: "Remove router" }).waitFor();
  const both = await call("GET", `${world.hubScope}?api-version=2021-07-02`);
  assert.equal(both.identity.type, "SystemAssigned, UserAssigned");
  await world.shot("identity");
  await page.getByRole("button", { name: "Remove router" }).click();
  await page.getByText("None is attached.").waitFor();
  await page.getByLabel("Off", { exact: true }).check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForFunction(() => document.querySelector("input[value=off]").checked);
  assert.equal((await call("GET", `${world.hubScope}?api-version=2021-07-02`)).identity.type, "None");

  // Above 200 principals, roles and places: a matrix in its place, in which a name is looked for.
  for (let at = 0; at < 205; at += 1) {
    const app = await made("applications", { displayName: `line-${at}` });
    await assign(world.hubScope, DATA_READER, await made("servicePrincipals", { appId: app.appId }));
  }
  await page.goto(`${world.origin}/console/at${world.hubScope}?view=access`);
  const matrix = page.getByRole("region", { name: "Matrix of principals and places" });
  await matrix.waitFor();
  await page.getByLabel("Whose name holds").fill("line-20");
  await page.getByRole("button", { name: "Look" }).click();
  await page.waitForURL("**find=line-20**");
  // line-20 and line-200 to line-204.
  assert.equal(await matrix.locator("tbody tr").count(), 6);
  await world.shot("access-matrix");
  // What is lit of so many is a picture again.
  await matrix.getByRole("link", { name: "line-200", exact: true }).click();
  await node("line-200, application").waitFor();
  assert.deepEqual((await lit()).length, 3);
  await matrix.waitFor();
  assert.ok(!(await page.title()).includes("owned"));
};
