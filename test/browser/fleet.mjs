// A fleet of many hosts and VMs, with names and messages that try to be more than text.
import { act, ask, equal, holds, shot, tell } from "./stage.mjs";

const url = process.env.MAP_URL, hosts = Number(process.env.HOSTS);

await act(async page => {
  await page.goto(url);
  await page.waitForFunction(n => document.querySelectorAll(".host").length === n && performance.getEntriesByName("drawn").length, hosts);
  await page.waitForFunction(() => document.getElementById("connection").textContent === "live");
  const figures = await page.evaluate(() => ({
    page_bytes: performance.getEntriesByType("resource").filter(r => !r.name.includes("/state")).reduce((n, r) => n + r.encodedBodySize, 0),
    state_bytes_gzip: performance.getEntriesByType("resource").find(r => r.name.endsWith("/state")).encodedBodySize,
    state_bytes: performance.getEntriesByType("resource").find(r => r.name.endsWith("/state")).decodedBodySize,
    first_paint_ms: Math.round(performance.getEntriesByName("first-contentful-paint")[0].startTime),
    fleet_drawn_ms: Math.round(performance.getEntriesByName("drawn")[0].startTime),
    elements: document.querySelectorAll("*").length,
  }));
  for (const [name, value] of Object.entries(figures)) tell(name, value);
  if (process.env.SHOTS) {
    await page.fill("#host", "host-");
    await page.fill("#vm", "vm-");
    await shot(page, "placement-map-fleet");
    await page.fill("#host", "");
    await page.fill("#vm", "");
  }

  // What a change costs: of one VM, and of 500 at once.
  const cost = async (change, waiting) => {
    await page.evaluate(() => performance.clearMeasures());
    await ask(change);
    await page.waitForFunction(n => document.getElementById("summary").textContent.includes(`${n} waiting`), waiting);
    await page.waitForTimeout(1500);
    return page.evaluate(() => {
      const sum = name => performance.getEntriesByName(name).reduce((n, m) => n + m.duration, 0);
      return (sum("take") + sum("draw")).toFixed(1);
    });
  };
  tell("one_change_ms", await cost("lose 0 1", 101));
  tell("500_changes_ms", await cost("lose 1 500", 601));
  await page.selectOption("#view", "cells");
  await page.waitForSelector('.host rect.vm');
  tell("one_change_cells_ms", await cost("lose 501 1", 602));
  tell("elements_cells", await page.evaluate(() => document.querySelectorAll("*").length));
  await page.evaluate(() => { document.querySelector("main").scrollTop = 20000; });
  await page.waitForFunction(() => { const main = document.querySelector("main").getBoundingClientRect(); return [...document.querySelectorAll(".host")].filter(c => { const r = c.getBoundingClientRect(); return r.bottom > main.top && r.top < main.bottom; }).every(c => c.querySelector("svg")); });
  await page.evaluate(() => { document.querySelector("main").scrollTop = 0; });

  // What users write is text.
  const markup = '<img src=x onerror="window.hacked=1">';
  await page.fill("#host", markup);
  await page.waitForFunction(() => document.querySelectorAll(".host").length === 1);
  equal(await page.locator(".host .name").textContent(), markup, "a host's name");
  await page.locator(".host .title").click();
  await page.locator("#details .head").waitFor();
  holds((await page.locator("#details").innerText()).includes(markup), "the host's notes are not shown");
  await page.keyboard.press("Escape");
  await page.fill("#host", "");
  await page.fill("#vm", markup);
  await page.waitForFunction(() => document.querySelectorAll(".pending").length === 1);
  await page.locator(".pending").click();
  await page.waitForSelector("#why");
  const said = await page.locator("#details").innerText();
  equal(said.split(markup).length > 5, true, "messages, reasons, hosts and changes of the details");
  for (const summary of await page.locator("#details summary").all()) await summary.click();
  equal(await page.locator("img, script:not([src]), iframe, object").count(), 0, "elements that users wrote");
  equal(await page.evaluate(() => window.hacked ?? 0), 0, "scripts that users wrote");
  await page.keyboard.press("Escape");
  await page.fill("#vm", "");

  // By keyboard, and for who hears the page.
  await page.locator('.host[tabindex="0"]').focus();
  const at = () => page.evaluate(() => document.activeElement.dataset.host);
  const first = await at();
  await page.keyboard.press("ArrowRight");
  const second = await at();
  await page.keyboard.press("ArrowDown");
  const below = await at();
  holds(new Set([first, second, below]).size === 3, `arrow keys lead from ${first} to ${second} to ${below}`);
  await page.keyboard.press("ArrowUp");
  equal(await at(), second, "up again");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#details:not([hidden]) #details-title");
  equal(await page.locator("#details-title").textContent(), second, "the host that Enter shows");
  equal(await page.evaluate(() => document.activeElement.id), "details", "where the focus is");
  await page.keyboard.press("Escape");
  equal(await at(), second, "where Escape leads back to");
  await page.keyboard.press("/");
  equal(await page.evaluate(() => document.activeElement.id), "vm", "where / leads");
  const label = await page.locator(".host").nth(1).getAttribute("aria-label");
  holds(/: ready, \d+ VMs?, \d+% of 64 vCPUs used, .* of memory free/.test(label), `a host is heard as ${label}`);
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select")].filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length)).length);
  equal(unnamed, 0, "controls without a name");
  holds((await page.locator("#news").textContent()).length > 0, "changes are not told to who hears the page");
}).catch(e => { console.error(e); process.exitCode = 1; });
process.exit();
