// A real browser that a test in Go directs: it is told what to look at on the command
// line, asks for what is to happen meanwhile, and ends with an error or without.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// ask has the test do something, and waits until it is done.
export async function ask(what) {
  process.stdout.write(`ask ${what}\n`);
  const { value, done } = await answers.next();
  if (done || value !== "done") throw new Error(`${what}: ${done ? "the test has ended" : value}`);
}

// tell gives the test a figure.
export function tell(name, value) { process.stdout.write(`tell ${name} ${value}\n`); }

export function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

export function holds(is, what) { if (!is) throw new Error(what); }

// act opens a page and runs the scene. Whatever the page complains of is an error.
export async function act(scene, { colorScheme = "light", width = 1360, height = 860 } = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // Chromium has no sandbox for root.
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  });
  try {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme });
    const complaints = [];
    page.on("pageerror", e => complaints.push(e.message));
    page.on("console", m => { if (m.type() === "error") complaints.push(m.text()); });
    page.on("request", r => { if (new URL(r.url()).origin !== new URL(process.env.MAP_URL).origin) complaints.push(`asks for ${r.url()}`); });
    page.setDefaultTimeout(60000);
    try {
      await scene(page, complaints);
    } catch (e) {
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/failed.png` });
      throw e;
    }
    equal(complaints, [], "the page complains");
  } finally {
    await browser.close();
  }
}

// shot makes a picture where the test wants pictures.
export async function shot(page, name) {
  if (!process.env.SHOTS) return;
  await page.waitForTimeout(400);
  await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
}
