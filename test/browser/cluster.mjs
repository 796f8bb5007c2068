// The map of a cluster, as virtctl map serves it.
import { act, ask, equal, holds, shot } from "./stage.mjs";

const url = process.env.MAP_URL;

// forgive drops what the browser itself says of answers, with the status that is meant.
function forgive(complaints, status) {
  const meant = c => c.startsWith("Failed to load resource") && c.includes(status);
  complaints.splice(0, complaints.length, ...complaints.filter(c => !meant(c)));
}

await act(async (page, complaints) => {
  await page.goto(url);
  await page.waitForSelector(".host svg");
  await page.waitForFunction(() => document.getElementById("connection").textContent === "live");
  equal(await page.locator(".host").count(), Number(process.env.HOSTS), "hosts");
  await shot(page, "placement-map");

  // A VM that waits says why.
  await page.click('.pending[data-vm="shop/warehouse-1"]');
  await page.waitForSelector("#why");
  const why = await page.locator("#details").innerText();
  for (const said of ["waits for a host", "need 48 vCPUs in one cell", "HostNUMA", "numa none instead of single-cell"]) {
    holds(why.toLowerCase().includes(said.toLowerCase()), `the reason does not say ${said}: ${why}`);
  }
  await shot(page, "placement-map-waits");
  await page.keyboard.press("Escape");
  await page.locator("#details").waitFor({ state: "hidden" });

  // A VM that is created appears on its host, without anything being loaded again.
  await page.evaluate(() => { window.sameDocument = true; });
  await ask("create late-1");
  const late = page.locator('rect[data-vm="shop/late-1"]').first();
  await page.fill("#vm", "late-1");
  await late.waitFor();
  // It is drawn at the next frame which hosts have the VM looked for.
  await page.waitForFunction(() => document.querySelectorAll(".host").length === 1);
  const host = await page.locator(".host").first().getAttribute("data-host");
  await late.click();
  await page.locator("#details .scores li.here").waitFor();
  holds((await page.locator("#details .scores li.here").innerText()).includes(host), "the VM's host is not named");
  await shot(page, "placement-map-vm");

  // It is deleted, and gone from the map.
  await ask("delete late-1");
  await page.waitForFunction(() => document.getElementById("details").textContent.includes("It is gone"));
  // The page asks why of what changes, and of what goes that may be too late.
  forgive(complaints, "404");
  await page.fill("#vm", "");
  await page.waitForFunction(() => !document.querySelector('rect[data-vm="shop/late-1"]'));
  holds(await page.evaluate(() => window.sameDocument), "the page was loaded anew");

  // A tab out of sight does not follow, and misses nothing.
  const sight = hidden => page.evaluate(hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await sight(true);
  await ask("create meanwhile-1");
  await page.waitForTimeout(2000);
  equal(await page.locator('rect[data-vm="shop/meanwhile-1"]').count(), 0, "what a tab out of sight has heard");
  await sight(false);
  await page.fill("#vm", "meanwhile-1");
  await page.locator('rect[data-vm="shop/meanwhile-1"]').first().waitFor();

  // vm-scheduler is killed and comes back: so does the map.
  equal(complaints, [], "the page complains");
  await ask("restart");
  await page.waitForFunction(() => document.getElementById("connection").textContent === "live", null, { timeout: 120000 });
  await ask("create late-2");
  await page.keyboard.press("Escape");
  await page.fill("#vm", "late-2");
  await page.locator('rect[data-vm="shop/late-2"]').first().waitFor();
  // The browser says so itself that nobody answered meanwhile.
  forgive(complaints, "");
}).catch(e => { console.error(e); process.exitCode = 1; });

if (process.env.SHOTS) {
  await act(async page => {
    await page.goto(url);
    await page.waitForSelector(".host svg");
    await page.selectOption("#order", "full");
    await page.locator('.host').nth(1).locator(".title").click();
    await shot(page, "placement-map-host-dark");
  }, { colorScheme: "dark" });
}
process.exit();
