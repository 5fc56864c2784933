// Ten thousand devices on one screen and one device on a page; ids and texts that mean harm are texts.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { createHmac } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const mqtt = require("mqtt");

const DEVICES = 10_000;
const AT_ONCE = 100;
const CONNECTED = 60;
// What the grammar of ids lets through.
const HOSTILE = "a'%22(x)*?=$@!";
const SCRIPT = "<img src=x onerror=document.title='owned'>";
const LIVES_S = 3600;
const READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const DATA_READER = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";

function signature(host, key, policy) {
  const until = Math.floor(Date.now() / 1000) + LIVES_S;
  const place = encodeURIComponent(host);
  const signed = createHmac("sha256", Buffer.from(key, "base64")).update(`${place}\n${until}`).digest("base64");
  const name = policy ? `&skn=${policy}` : "";
  return `SharedAccessSignature sr=${place}&sig=${encodeURIComponent(signed)}&se=${until}${name}`;
}

// A CA that holds for long, and a device's certificate of it that does not: { authority, leaf: { key, cert } }.
function certificates(id) {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "certificates-"));
  const openssl = (...words) => execFileSync("openssl", words, { cwd: place, stdio: "ignore" });
  const request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const read = (name) => fs.readFileSync(path.join(place, name));
  try {
    openssl(...request, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Line 9", "-days", "3650");
    openssl(...request, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", `/CN=${id}`);
    fs.writeFileSync(path.join(place, "leaf.ext"), "extendedKeyUsage=clientAuth\n");
    const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "20", "-extfile", "leaf.ext"];
    openssl("x509", "-req", "-in", "leaf.csr", ...by, "-out", "leaf.pem");
    return { authority: read("ca.pem"), leaf: { key: read("leaf.key"), cert: read("leaf.pem") } };
  } finally {
    fs.rmSync(place, { recursive: true });
  }
}

// Connects with a key or a certificate, or fails with the hub's refusal.
function connects(world, id, key, certificate = {}) {
  const host = world.env.HUBWARD_HUB_HOST;
  const client = mqtt.connect(`mqtts://${host}:${world.env.HUBWARD_MQTT_PORT}`, {
    clientId: id,
    username: `${host}/${id}/?api-version=2021-04-12`,
    ...(key ? { password: signature(`${host}/devices/${id}`, key) } : certificate),
    ca: world.ca,
    reconnectPeriod: 0,
    rejectUnauthorized: true,
    // Names and ids are those of the hub, and none of them is a host's.
    checkServerIdentity: () => undefined,
  });
  return new Promise((done, fail) => {
    client.once("connect", () => done(client));
    client.once("error", (it) => {
      client.end(true);
      fail(new Error(`${id}: ${it.message}`));
    });
  });
}

const ordered = (names) => [...names].sort();

// Frame times while something happens, in ms.
function frames(page, count) {
  return page.evaluate(
    (wanted) =>
      new Promise((done) => {
        const all = [];
        let last = performance.now();
        requestAnimationFrame(function frame(now) {
          all.push(now - last);
          last = now;
          if (all.length < wanted) requestAnimationFrame(frame);
          else done(all.slice(1).sort((a, b) => a - b));
        });
      }),
    count,
  );
}

exports.walk = async (page, world) => {
  const host = world.env.HUBWARD_HUB_HOST;
  const fields = Object.fromEntries(
    world.env.HUBWARD_HUB_CONNECTION_STRING.split(";").map((it) => [it.slice(0, it.indexOf("=")), it.slice(it.indexOf("=") + 1)]),
  );
  const token = signature(host, fields.SharedAccessKey, fields.SharedAccessKeyName);
  const ask = async (method, path, body, expected = 200) => {
    const told = await world.call(method, `https://${host}${path}?api-version=2021-04-12`, { token, body });
    assert.equal(told.status, expected, `${method} ${path}: ${JSON.stringify(told.body)}`);
    return told.body;
  };

  const named = (number) => `line-${1 + Math.floor(number / 1000)}-pump-${String(number % 1000).padStart(3, "0")}`;
  const key = Buffer.alloc(32, 7).toString("base64");
  const keys = { type: "sas", symmetricKey: { primaryKey: key, secondaryKey: Buffer.alloc(32, 8).toString("base64") } };
  for (let from = 0; from < DEVICES; from += AT_ONCE) {
    const some = Array.from({ length: AT_ONCE }, (_, at) => ({
      id: named(from + at),
      importMode: "create",
      status: (from + at) % 97 === 96 ? "disabled" : "enabled",
      authentication: keys,
    }));
    await ask("POST", "/devices", some);
  }
  await ask("PUT", `/devices/${encodeURIComponent(HOSTILE)}`, { deviceId: HOSTILE, authentication: keys });
  const hostile = `/twins/${encodeURIComponent(HOSTILE)}`;
  await ask("PATCH", hostile, { tags: { place: SCRIPT }, properties: { desired: { rate: 5, text: SCRIPT } } });

  const clients = [];
  for (let at = 0; at < CONNECTED; at += 1) clients.push(await connects(world, named(2430 + at), key));
  const refused = [named(5000), named(5001), named(5002)];
  for (const id of [...refused, "line-50-pump-1"]) await assert.rejects(connects(world, id, Buffer.alloc(32, 9).toString("base64")));
  const own = await connects(world, HOSTILE, key);
  clients.push(own);

  try {
    await world.signIn(page);
    const at = (more) => `${world.origin}/console/at${world.hubScope}?view=devices${more}`;

    // The map: all of them, and what the table says is the same.
    await page.goto(at(""));
    await page.getByText("With a key.").waitFor();
    // The device that first start made, and the hostile one.
    const all = DEVICES + 2;
    await page.locator("#fleet-says", { hasText: `${all.toLocaleString("en-US")} devices` }).waitFor();
    const legend = async (name) =>
      Number((await page.locator(`.legend a[data-state="${name}"] [data-count]`).innerText()).replaceAll(/\D/g, ""));
    assert.deepEqual(
      [await legend(""), await legend("connected"), await legend("disabled"), await legend("refused")],
      [all, CONNECTED + 1, Math.floor(DEVICES / 97), refused.length + 1],
    );
    assert.equal(await legend("disconnected"), all - (CONNECTED + 1) - Math.floor(DEVICES / 97));
    await world.shot("devices");

    // It stays smooth while the pointer runs over it.
    const box = await page.locator("#fleet-map").boundingBox();
    const sampled = frames(page, 120);
    for (let step = 0; step < 60; step += 1) {
      await page.mouse.move(box.x + ((step * 37) % box.width), box.y + ((step * 13) % box.height));
    }
    const times = await sampled;
    console.log(
      `devices: ${all} on the map, frame time median ${times[60].toFixed(1)} ms, longest ${times.at(-1).toFixed(1)} ms`,
    );
    const redrawn = await page.evaluate(() => {
      const begun = performance.now();
      for (let round = 0; round < 10; round += 1) dispatchEvent(new Event("resize"));
      return (performance.now() - begun) / 10;
    });
    console.log(`devices: the whole map is drawn in ${redrawn.toFixed(1)} ms`);

    // The legend filters the map and the table.
    await page.locator('.legend a[data-state="connected"]').click();
    await page.locator("#fleet-says", { hasText: `${CONNECTED + 1} of` }).waitFor();
    const rows = page.locator("#devices-table tbody tr");
    await page.locator('.pages a[href*="state=connected"]', { hasText: "Next page" }).click();
    await rows.nth(CONNECTED + 1 - 50 - 1).waitFor();
    assert.equal(await rows.count(), CONNECTED + 1 - 50);
    await world.shot("devices-connected");
    await page.goto(at("&state=refused"));
    await rows.first().waitFor();
    assert.deepEqual(await rows.locator("th").allInnerTexts(), ordered(refused));
    assert.equal(await page.locator(".strangers li code").innerText(), "line-50-pump-1");
    // One click from the refusal.
    await rows.first().getByRole("link", { name: "Why?" }).click();
    await page.getByRole("heading", { level: 1, name: /refused at the authentication gate/ }).waitFor();

    // By its id, a namesake's beginning included; and by keyboard.
    await page.goto(at(""));
    await page.getByLabel("Ids that begin with").fill("line-1-pump-00");
    await page.getByRole("button", { name: "Find" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#devices-table tbody tr").length === 10);
    await page.goto(at(""));
    await page.locator("#fleet-says", { hasText: "devices" }).waitFor();
    await page.locator("#fleet-map").focus();
    await page.keyboard.press("ArrowRight");
    await page.locator("#fleet-says", { hasText: HOSTILE }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();

    // The device: what it reports and sends is text, whatever it is.
    const topic = `devices/${HOSTILE}/messages/events/`;
    own.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", JSON.stringify({ rate: 4, seen: SCRIPT }));
    const pressure = (bar) => own.publish(topic, JSON.stringify({ bar, "<i>": 1 + (bar % 3) }), { qos: 1 });
    for (let bar = 0; bar < 40; bar += 1) pressure(4 + Math.sin(bar / 4));
    while ((await ask("GET", hostile)).properties.reported.rate !== 4) await page.reload();
    await page.reload();
    await page.locator("#telemetry tbody tr").nth(19).waitFor();
    own.publish(`${topic}${encodeURIComponent("<b>")}=${encodeURIComponent(SCRIPT)}`, SCRIPT, { qos: 1 });
    await page.locator("#telemetry tbody tr", { hasText: `<b>=${SCRIPT}` }).waitFor();
    pressure(7);
    await page.locator(".series strong", { hasText: /^7$/ }).waitFor();
    await page.locator('tr[data-twin="differs"]', { hasText: "rate" }).waitFor();
    await page.locator('tr[data-twin="own"]', { hasText: SCRIPT }).waitFor();
    assert.equal(await page.locator("main img, main td b, .series i").count(), 0);
    assert.ok(!(await page.title()).includes("owned"));
    await world.shot("device");

    // What is desired is written as a patch of the version that was looked at, and of no other.
    const press = (name) => page.getByRole("button", { name, exact: true }).click();
    const desired = page.getByLabel("Desired properties, whole");
    await page.getByText("Change what is desired, or the tags").click();
    await desired.fill('{"rate": 6}');
    await press("Write the twin");
    await page.getByText("The twin is changed.").waitFor();
    const twin = await ask("GET", hostile);
    assert.deepEqual([twin.properties.desired.rate, twin.properties.desired.text], [6, undefined]);
    assert.equal(twin.tags.place, SCRIPT);
    await page.getByText("Change what is desired, or the tags").click();
    await ask("PATCH", hostile, { properties: { desired: { rate: 7 } } });
    await desired.fill('{"rate": 8}');
    world.expectsRefusals = true;
    await press("Write the twin");
    await page.getByRole("alert").waitFor();
    assert.equal(await desired.inputValue(), '{"rate": 8}');
    assert.equal((await ask("GET", hostile)).properties.desired.rate, 7);

    // A method that nobody answers, and one that the device answers.
    const device = page.getByLabel("Call the method");
    await device.fill("<b>restart");
    await press("Call");
    await page.getByRole("alert").filter({ hasText: "not connected, or has not registered" }).waitFor();
    await new Promise((done) => own.subscribe("$iothub/methods/POST/#", done));
    own.on("message", (name, payload) => {
      const call = /^\$iothub\/methods\/POST\/[^/]+\/\?\$rid=(.+)$/.exec(name);
      if (call) own.publish(`$iothub/methods/res/207/?$rid=${call[1]}`, JSON.stringify({ said: SCRIPT, got: JSON.parse(payload) }));
    });
    world.expectsRefusals = false;
    await page.goto(`${world.origin}/console/at${world.hubScope}?view=device&device=${encodeURIComponent(HOSTILE)}`);
    await device.fill("restart");
    await page.getByLabel("with this payload").fill('{"delay": 5}');
    await press("Call");
    await page.locator(".answer", { hasText: "207" }).waitFor();
    assert.match(await page.locator(".answer pre").innerText(), /"delay": 5/);
    assert.equal(await page.locator("main img").count(), 0);
    await world.shot("device-method");

    // A message, the keys where somebody asks for them, and nowhere else.
    const got = new Promise((done) => {
      own.on("message", (name, body) => name.includes("/messages/devicebound/") && done(String(body)));
    });
    await new Promise((done) => own.subscribe(`devices/${HOSTILE}/messages/devicebound/#`, done));
    await page.getByLabel("Send it the message").fill(SCRIPT);
    await press("Send");
    await page.getByText("The message waits for the device").waitFor();
    assert.equal(await got, SCRIPT);
    assert.ok(!(await page.content()).includes(key));
    await press("Show the keys");
    await page.locator("#keys", { hasText: key }).waitFor();
    assert.ok(!page.url().includes(encodeURIComponent(key)));
    await page.getByRole("link", { name: "Hide them" }).click();
    await page.getByRole("button", { name: "Show the keys" }).waitFor();

    // Disabled, it is thrown out; its story tells, and so does the map.
    await page.getByLabel("Reason to disable it").fill(`stolen ${SCRIPT}`);
    await press("Disable");
    await page.getByText("The device is disabled.").waitFor();
    while ((await page.locator('tr[data-event="disconnected"]').count()) === 0) await page.reload();
    assert.equal((await ask("GET", `/devices/${encodeURIComponent(HOSTILE)}`)).status, "disabled");
    await page.getByText(`stolen ${SCRIPT}`).first().waitFor();
    await world.shot("device-disabled");
    const print = execFileSync(world.hubward, ["device", "story", HOSTILE], {
      env: { ...process.env, ...world.env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    assert.match(String(print), /disconnected/);
    await press("Enable");
    await page.getByText("The device is enabled.").waitFor();

    // A form without this session's text does nothing.
    const jar = (await page.context().cookies()).map((it) => `${it.name}=${it.value}`).join("; ");
    const forged = await world.call("POST", page.url(), {
      form: { forgery: "x", act: "status", status: "disabled" },
      headers: { cookie: jar, origin: world.origin },
    });
    assert.equal(forged.status, 403);
    assert.equal((await ask("GET", `/devices/${encodeURIComponent(HOSTILE)}`)).status, "enabled");

    // Who may read the hub and its devices, and list no keys, looks as themselves: what no role opens is not shown.
    const upn = "ben@plant.example";
    const made = await world.call("POST", `${world.origin}/v1.0/users`, {
      token: await world.token("https://graph.microsoft.com"),
      body: {
        accountEnabled: true,
        displayName: "Ben",
        mailNickname: "ben",
        userPrincipalName: upn,
        passwordProfile: { password: "Right-Pass-1", forceChangePasswordNextSignIn: false },
      },
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const management = await world.token("https://management.azure.com");
    for (const [name, role] of [READER, DATA_READER].entries()) {
      const given = await world.call(
        "PUT",
        `${world.origin}${world.hubScope}/providers/Microsoft.Authorization/roleAssignments/11111111-1111-4111-8111-11111111111${name}?api-version=2022-04-01`,
        {
          token: management,
          body: {
            properties: {
              principalId: made.body.id,
              principalType: "User",
              roleDefinitionId: `/subscriptions/${world.subscription}/providers/Microsoft.Authorization/roleDefinitions/${role}`,
            },
          },
        },
      );
      assert.equal(given.status, 201, JSON.stringify(given.body));
    }
    world.expectsRefusals = true;
    const other = await world.open();
    await world.signIn(other, upn, "Right-Pass-1");
    await other.goto(at("&state=disabled"));
    await other.getByText("As yourself.").waitFor();
    await other.locator("#fleet-says", { hasText: `of ${all.toLocaleString("en-US")} devices` }).waitFor();
    await other.getByText("Who was refused lately is not shown").waitFor();
    await world.shot("devices-as-oneself", other);
    await other.locator("#devices-table tbody a").first().click();
    await other.getByText("opens to keys alone, as in Azure").waitFor();
    await other.getByRole("button", { name: "Enable", exact: true }).click();
    await other.getByRole("link", { name: "Why? Show the decision" }).first().click();
    await other.getByRole("heading", { level: 1, name: /refused at the access gate/ }).waitFor();
    await other.close();
    world.expectsRefusals = false;

    // A device of a CA: which rung leads to it, and how long each holds.
    const { authority, leaf } = certificates("line-9-robot-1");
    const uploaded = await world.call(
      "PUT",
      `${world.origin}${world.hubScope}/certificates/line9?api-version=2023-06-30`,
      { token: management, body: { properties: { certificate: authority.toString("base64"), isVerified: true } } },
    );
    assert.ok(uploaded.status < 300, JSON.stringify(uploaded.body));
    await ask("PUT", "/devices/line-9-robot-1", {
      deviceId: "line-9-robot-1",
      authentication: { type: "certificateAuthority" },
    });
    const robot = await connects(world, "line-9-robot-1", null, leaf);
    clients.push(robot);
    await page.goto(`${world.origin}/console/at${world.hubScope}?view=device&device=line-9-robot-1`);
    // Its story is written a moment after it is let in.
    while ((await page.locator(".used").count()) === 0) await page.reload();
    const rungs = page.locator(".ladder li");
    await rungs.filter({ hasText: "CA line9" }).getByText("used last").waitFor();
    assert.deepEqual(
      await rungs.evaluateAll((shown) => shown.map((it) => it.dataset.left)),
      ["long", "soon"],
    );
    await page.locator("#telemetry .none").waitFor();
    await world.shot("device-certificate");
  } finally {
    for (const client of clients) client.end(true);
  }
};
