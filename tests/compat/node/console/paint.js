// How long a page takes until something of it is seen, with nothing kept by the browser. Prints a line for each page.
"use strict";

const ROUNDS = 15;

exports.walk = async (page, world) => {
  await world.signIn(page);
  const token = await world.token("https://iothubs.azure.net");
  const url = `https://${world.env.HUBWARD_HUB_HOST}/devices/pump-7?api-version=2021-04-12`;
  const refused = await world.call("GET", url, { token });
  const decision = refused.headers["x-ms-request-id"];
  const browser = await page.context().newCDPSession(page);
  await browser.send("Network.setCacheDisabled", { cacheDisabled: true });
  for (const path of ["", "/pulse", "/refusals", `/decisions/${decision}`]) {
    const times = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await page.goto(`${world.origin}/console${path}`);
      const paint = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
      times.push(await paint.jsonValue());
    }
    times.sort((a, b) => a - b);
    const name = path.split("/")[1] || "overview";
    console.log(`first paint of ${name}: median ${times[7].toFixed(0)} ms, longest ${times[ROUNDS - 1].toFixed(0)} ms`);
  }
};
