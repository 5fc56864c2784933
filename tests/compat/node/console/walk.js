// Walks screens of the console in Chromium, as a person would: node walk.js WORLD_JSON MODULE...
//
// After each picture the page is looked over by axe, and whatever the browser complained of fails the walk. Pictures
// are kept in `world.pictures`, in light and dark.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const https = require("node:https");
const path = require("node:path");
const { chromium } = require("playwright-core");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SERIOUS = ["serious", "critical"];

// A call of the public API outside the browser: { status, body, headers }.
function call(world, method, url, { token, body, form, headers = {} } = {}) {
  const sent = form ? new URLSearchParams(form).toString() : body === undefined ? undefined : JSON.stringify(body);
  const kind = form ? "application/x-www-form-urlencoded" : "application/json";
  const all = { ...headers };
  if (sent !== undefined) all["content-type"] = kind;
  if (token) all.authorization = token.startsWith("SharedAccessSignature") ? token : `Bearer ${token}`;
  return new Promise((done, fail) => {
    const request = https.request(url, { method, headers: all, ca: world.ca }, (response) => {
      const chunks = [];
      response.on("data", (it) => chunks.push(it));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        let told = text;
        try {
          told = JSON.parse(text);
        } catch {}
        done({ status: response.statusCode, body: told, headers: response.headers });
      });
    });
    request.on("error", fail);
    request.end(sent);
  });
}

// A token of an application for an audience; of the administrator's, where none is named.
async function token(
  world,
  audience,
  client = world.env.HUBWARD_ADMIN_APP_ID,
  secret = world.env.HUBWARD_ADMIN_SECRET,
) {
  const url = `${world.origin}/${world.env.HUBWARD_TENANT_ID}/oauth2/v2.0/token`;
  const form = {
    grant_type: "client_credentials",
    client_id: client,
    client_secret: secret,
    scope: `${audience}/.default`,
  };
  const told = await call(world, "POST", url, { form });
  assert.equal(told.status, 200, JSON.stringify(told.body));
  return told.body.access_token;
}

// Signs a person in at the form that the console shows.
async function signIn(page, world, user = world.user, password = world.password) {
  await page.goto(`${world.origin}/console`);
  await page.getByLabel("Name", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname.startsWith("/console") && !url.pathname.startsWith("/console/signed-"));
}

// What axe finds on a page, but for what is not serious.
async function looked(page, name) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter((it) => SERIOUS.includes(it.impact));
  const told = serious.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(told, [], `axe on ${name}`);
}

async function walk(world, name) {
  const browser = await chromium.launch({ executablePath: world.chromium, args: ["--no-sandbox"] });
  const complaints = [];
  // In a context of its own, as another person at another browser.
  world.open = async (options = {}) => {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    const page = await context.newPage();
    page.on("pageerror", (it) => complaints.push(`${page.url()}: ${it.message}`));
    page.on("console", (it) => {
      // A page that says that something was refused is answered with that status.
      const isStatus = /^Failed to load resource: the server responded with a status of 4\d\d/.test(it.text());
      if (it.type() === "error" && !(isStatus && world.expectsRefusals)) complaints.push(`${page.url()}: ${it.text()}`);
    });
    return page;
  };
  world.signIn = (page, user, password) => signIn(page, world, user, password);
  world.call = (method, url, options) => call(world, method, url, options);
  world.token = (...what) => token(world, ...what);
  try {
    const page = await world.open();
    world.shot = async (title, shown = page) => {
      for (const scheme of ["light", "dark"]) {
        await shown.emulateMedia({ colorScheme: scheme });
        await looked(shown, `${title}, ${scheme}`);
        await shown.screenshot({ path: path.join(world.pictures, `${title}-${scheme}.png`) });
      }
      await shown.emulateMedia({ colorScheme: "light" });
    };
    await require(`./${name}.js`).walk(page, world);
    assert.deepEqual(complaints, [], "what the browser complained of");
  } finally {
    await browser.close();
  }
}

const world = JSON.parse(process.argv[2]);
world.ca = fs.readFileSync(world.env.HUBWARD_CA_FILE);
fs.mkdirSync(world.pictures, { recursive: true });
(async () => {
  for (const name of process.argv.slice(3)) await walk(world, name);
})().catch((it) => {
  console.error(it);
  process.exit(1);
});
