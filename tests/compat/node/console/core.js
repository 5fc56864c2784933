// From signing in over a refusal to its cause, and what the pages let nobody do.
"use strict";

const assert = require("node:assert/strict");

exports.walk = async (page, world) => {
  // Nobody is signed in: every page leads to the form, and back to where one wanted to go.
  await page.goto(`${world.origin}/console/pulse`);
  await page.getByLabel("Name", { exact: true }).fill(world.user);
  await page.getByLabel("Password", { exact: true }).fill("wrong-Password-1");
  world.expectsRefusals = true;
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  await world.shot("sign-in");
  await page.getByLabel("Password", { exact: true }).fill(world.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/console/pulse");
  world.expectsRefusals = false;

  await page.goto(`${world.origin}/console`);
  await page.getByRole("link", { name: world.hub }).waitFor();
  await world.shot("overview");

  // The administrator's application holds no data role: the hub refuses it, and the refusal is one click from its cause.
  const token = await world.token("https://iothubs.azure.net");
  const url = `https://${world.env.HUBWARD_HUB_HOST}/devices/pump-7?api-version=2021-04-12`;
  for (let at = 0; at < 3; at += 1) {
    const refused = await world.call("PUT", url, { token, body: { deviceId: "pump-7" } });
    assert.equal(refused.status, 401);
  }
  await page.goto(`${world.origin}/console/refusals`);
  const row = page.getByRole("row").filter({ hasText: "Microsoft.Devices/IotHubs/devices/write" });
  await row.waitFor();
  assert.match(await row.innerText(), /access/);
  await world.shot("refusals");
  await row.getByRole("link", { name: "Why?" }).click();
  await page.getByRole("heading", { level: 1, name: /refused at the access gate/ }).waitFor();
  const gates = page.getByRole("list", { name: "Gates" }).locator("> li");
  assert.deepEqual(
    await gates.evaluateAll((all) => all.map((it) => it.dataset.verdict)),
    ["allow", "allow", "deny", "unasked"],
  );
  const change = page.locator(".changes pre").first();
  assert.match(await change.innerText(), /az role assignment create/);
  await world.shot("decision");
  await page.getByRole("button", { name: "Ask the gates" }).click();
  await page.getByRole("heading", { level: 2, name: "It would be refused" }).waitFor();
  await world.shot("ask");

  // Threat 63: a caller whose name is a script is a name.
  const name = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
  const graph = await world.token("https://graph.microsoft.com");
  const made = async (path, body) => {
    const told = await world.call("POST", `${world.origin}/v1.0/${path}`, { token: graph, body });
    assert.ok(told.status < 300, JSON.stringify(told.body));
    return told.body;
  };
  const application = await made("applications", { displayName: name });
  await made("servicePrincipals", { appId: application.appId });
  const secret = await made(`applications/${application.id}/addPassword`, {});
  const hostile = await world.token("https://iothubs.azure.net", application.appId, secret.secretText);
  assert.equal((await world.call("GET", url, { token: hostile })).status, 401);
  await page.goto(`${world.origin}/console/refusals`);
  await page.getByText(name).first().waitFor();
  // The part that keeps itself up to date shows it likewise.
  await world.call("GET", url, { token: hostile });
  await page.waitForFunction(() => document.querySelector("#refusals").dataset.shown);
  await page.getByRole("row").filter({ hasText: name }).getByRole("link", { name: "Why?" }).click();
  await page.getByText(name).first().waitFor();
  assert.ok(!(await page.title()).includes("owned"));

  // A whole error message holds the id.
  await page.goto(`${world.origin}/console`);
  await page.getByLabel(/Tracking id/).fill("Tracking ID:3f0c0f5e-1111-4222-8333-444455556666-G:0");
  world.expectsRefusals = true;
  await page.getByRole("button", { name: "Why?" }).click();
  await page.waitForURL("**/decisions/3f0c0f5e-1111-4222-8333-444455556666");
  await page.getByText("no decision is kept").waitFor();
  world.expectsRefusals = false;

  // The river moves while calls come, and a reader of the table sees the same.
  await page.goto(`${world.origin}/console/pulse`);
  const until = Date.now() + 2500;
  while (Date.now() < until) await world.call("GET", url, { token });
  await page.waitForFunction(() => document.querySelector(".spill[d]:not([d=''])"));
  await world.shot("pulse");
  const times = await page.evaluate(
    () =>
      new Promise((done) => {
        const all = [];
        let last = performance.now();
        requestAnimationFrame(function frame(now) {
          all.push(now - last);
          last = now;
          if (all.length < 60) requestAnimationFrame(frame);
          else done(all.sort((a, b) => a - b));
        });
      }),
  );
  console.log(`pulse: frame time median ${times[30].toFixed(1)} ms, longest ${times[59].toFixed(1)} ms`);

  // By keyboard alone: the first stop skips to the content.
  await page.goto(`${world.origin}/console`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");

  // Threat 64: a form without this session's text changes nothing, and neither does one from another site.
  const jar = (await page.context().cookies()).map((it) => `${it.name}=${it.value}`).join("; ");
  const own = { cookie: jar, origin: world.origin };
  const out = `${world.origin}/console/sign-out`;
  for (const headers of [own, { cookie: jar, origin: "https://evil.example" }, { cookie: jar }]) {
    const forged = await world.call("POST", out, { form: { forgery: "x" }, headers });
    assert.equal(forged.status, 403);
  }
  assert.equal((await world.call("GET", out, { headers: own })).status, 404);
  // Threat 65: nothing frames a page.
  const shown = await world.call("GET", `${world.origin}/console`, { headers: own });
  assert.equal(shown.status, 200);
  assert.match(shown.headers["content-security-policy"], /frame-ancestors 'none'/);
  assert.equal(shown.headers["x-frame-options"], "DENY");
  assert.equal(shown.headers["cache-control"], "no-store");

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out").waitFor();
  const gone = await world.call("GET", `${world.origin}/console`, { headers: own });
  assert.equal(gone.status, 303);
};
