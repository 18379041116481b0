// What pages may do in a real browser: whose pages may call the API, how a page says who it is, and that no name
// which resolves to loopback opens a door. Starts a `trackops dev` of its own, on which everybody needs a key.
//
//   node browser.mjs <trackops> <chromium>

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const LIMIT_MS = 60_000;

const [program, browserPath] = process.argv.slice(2);
assert.ok(program && browserPath, "node browser.mjs <trackops> <chromium>");

const ORDER = {
  customerId: "7f6c0c9e-6f0e-4a53-9d3f-2b1d6a2c9a10",
  currency: "EUR",
  items: [{ sku: "PIZZA-MARGHERITA", quantity: 1, unitPrice: 950 }],
  address: { street: "Torstr. 1", city: "Berlin", postalCode: "10119", country: "DE" },
};

/** A port that is free now. */
async function freePort() {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Waits until `look` gives something. */
async function until(what, look) {
  const end = Date.now() + LIMIT_MS;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
}

const folder = mkdtempSync(join(tmpdir(), "trackops-browser-"));
const data = join(folder, "data");
const makeKey = (...more) =>
  execFileSync(program, ["keys", "create", "--data-dir", data, "--name", "browser", ...more], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).match(/tk_\S+/)[0];

const port = await freePort();
// The pages of both come from the same server: only their names differ.
const pages = createServer((_, answer) => {
  answer.setHeader("content-type", "text/html");
  answer.end("<!DOCTYPE html><title>A shop</title>");
}).listen(0, "127.0.0.1");
await new Promise((done) => pages.once("listening", done));
const friend = `http://friend.example:${pages.address().port}`;
const stranger = `http://stranger.example:${pages.address().port}`;
const api = `http://127.0.0.1:${port}`;

const service = makeKey("--role", "service");
const doomed = makeKey("--role", "service");
const operator = makeKey("--role", "operator");
let said = "";
const dev = spawn(program, ["dev", "--data-dir", data, "--listen", `127.0.0.1:${port}`], {
  env: { ...process.env, TRACKOPS_AUTH: "required", TRACKOPS_CORS_ALLOWED_ORIGINS: friend },
});
for (const output of [dev.stdout, dev.stderr]) output.on("data", (text) => (said += text));

const bearer = { authorization: `Bearer ${service}`, "content-type": "application/json" };
const asService = (path, options = {}) => fetch(api + path, { ...options, headers: bearer });
const placed = async () => (await (await asService("/api/v1/orders?limit=200")).json()).items.length;

let browser;
try {
  await until("dev is ready", () => fetch(`${api}/readyz`).then((answer) => answer.ok, () => false));
  const answer = await asService("/api/v1/orders", { method: "POST", body: JSON.stringify(ORDER) });
  assert.equal(answer.status, 201);
  const order = await answer.json();

  browser = await chromium.launch({
    executablePath: browserPath,
    args: [
      "--no-sandbox",
      "--host-resolver-rules=MAP friend.example 127.0.0.1, MAP stranger.example 127.0.0.1, MAP rebound.example 127.0.0.1",
      // A newer Chromium asks the user before a page may reach loopback. Here the server has to refuse by itself.
      "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    ],
  });
  const context = await browser.newContext();

  /** A page at `url`, with what its console complains of. */
  async function open(url) {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    const opened = await page.goto(url, { waitUntil: "load" });
    return { page, complaints, status: opened.status() };
  }

  const tests = {
    async "a page of an allowed origin places an order and reads its headers"() {
      const { page } = await open(friend);
      const found = await page.evaluate(
        async ([api, headers, order]) => {
          const sent = { ...headers, "idempotency-key": "of-a-page" };
          const answer = await fetch(`${api}/api/v1/orders`, { method: "POST", headers: sent, body: JSON.stringify(order) });
          const names = ["etag", "location"].map((name) => answer.headers.get(name));
          return { status: answer.status, names };
        },
        [api, bearer, ORDER],
      );
      assert.equal(found.status, 201);
      assert.equal(found.names[0], '"1"');
      assert.match(found.names[1], /^\/api\/v1\/orders\//);
    },

    async "a page of another origin neither changes nor reads anything"() {
      const { page } = await open(stranger);
      const before = await placed();
      const outcomes = await page.evaluate(
        async ([api, headers, order]) => {
          const url = `${api}/api/v1/orders`;
          const body = JSON.stringify(order);
          const tries = [
            fetch(url, { headers }),
            fetch(url, { method: "POST", headers, body }),
            fetch(url, { method: "POST", body }),
          ];
          // The browser sends this one, and shows no answer.
          const blind = fetch(url, { method: "POST", mode: "no-cors", body }).then((answer) => answer.type);
          const ended = await Promise.allSettled([...tries, blind]);
          return ended.map((it) => it.value ?? "refused");
        },
        [api, bearer, ORDER],
      );
      assert.deepEqual(outcomes, ["refused", "refused", "refused", "opaque"]);
      assert.equal(await placed(), before);
    },

    async "a page of another origin opens no socket"() {
      for (const [origin, expected] of [[friend, "open"], [stranger, "closed"]]) {
        const { page } = await open(origin);
        const outcome = await page.evaluate(socketOutcome, [api, service]);
        assert.equal(outcome, expected, origin);
      }
    },

    async "a socket says who it is by a subprotocol, and is closed when its key is revoked"() {
      const { page } = await open(friend);
      const found = await page.evaluate(
        async ([api, key, operator, id]) => {
          const encoded = btoa(key).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
          const socket = new WebSocket(`${api.replace("http", "ws")}/api/v1/track`, ["trackops.v1", `trackops.bearer.${encoded}`]);
          const messages = [];
          socket.onmessage = (message) => messages.push(JSON.parse(message.data));
          const closed = new Promise((done) => (socket.onclose = (event) => done(event.code)));
          await new Promise((done, fail) => ([socket.onopen, socket.onerror] = [done, fail]));
          const wait = async (type) => {
            for (let tries = 0; tries < 500; tries++) {
              const found = messages.find((message) => message.type === type);
              if (found) return found;
              await new Promise((done) => setTimeout(done, 20));
            }
            throw new Error(`no ${type} among ${JSON.stringify(messages)}`);
          };
          socket.send(JSON.stringify({ type: "subscribe", orderId: id }));
          const snapshot = await wait("snapshot");
          socket.send(JSON.stringify({ type: "authenticate", token: `${key}x` }));
          const refused = await wait("error");
          socket.send(JSON.stringify({ type: "authenticate", token: key }));
          const revoked = await fetch(`${api}/admin/v1/keys/${key.split("_")[1]}/revoke`, {
            method: "POST",
            headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
          });
          return {
            protocol: socket.protocol,
            id: snapshot.order.id,
            refused: refused.problem.code,
            revoked: revoked.status,
            code: await closed,
          };
        },
        [api, doomed, operator, order.id],
      );
      assert.deepEqual(found, {
        protocol: "trackops.v1",
        id: order.id,
        refused: "unauthorized",
        revoked: 200,
        code: 4401,
      });
    },

    async "an event stream follows a tracking link without any other credential"() {
      const { page } = await open(friend);
      const found = await page.evaluate(
        async ([api, path, id]) => {
          const first = (url) =>
            new Promise((done) => {
              const stream = new EventSource(url);
              stream.addEventListener("snapshot", (event) => done(JSON.parse(event.data)) ?? stream.close());
              stream.onerror = () => stream.readyState === EventSource.CLOSED && done("refused");
            });
          return [await first(api + path), await first(`${api}/api/v1/orders/${id}/events`)];
        },
        [api, `/api/v1/tracking/${order.trackingUrl.split("/").pop()}/events`, order.id],
      );
      assert.equal(typeof found[0], "object", "the link's stream begins with a snapshot");
      assert.equal(JSON.stringify(found[0]).includes("Torstr"), false);
      assert.equal(found[1], "refused");
    },

    async "a name that resolves to loopback is none of the server's"() {
      const rebound = await open(`http://rebound.example:${port}/api/v1/orders`);
      assert.equal(rebound.status, 421);
      const there = await rebound.page.evaluate(
        async (headers) => {
          const answer = await fetch("/api/v1/orders", { headers });
          return [answer.status, (await answer.json()).code];
        },
        bearer,
      );
      assert.deepEqual(there, [421, "misdirected-request"]);
    },

    async "the pages for people show themselves under their own policy"() {
      const docs = await open(`${api}/docs/`);
      await docs.page.waitForSelector("text=Place an order", { timeout: LIMIT_MS });
      assert.deepEqual(docs.complaints, []);
      const problem = await open(`${api}/problems/illegal-step`);
      assert.equal(await problem.page.textContent("code"), "illegal-step");
      await problem.page.click("text=All problems");
      await problem.page.waitForSelector("text=precondition-failed", { timeout: LIMIT_MS });
      assert.deepEqual(problem.complaints, []);
    },
  };

  for (const [name, test] of Object.entries(tests)) {
    let timer;
    const late = new Promise((_, fail) => (timer = setTimeout(fail, LIMIT_MS, new Error("too slow"))));
    await Promise.race([test(), late]).finally(() => clearTimeout(timer));
    console.log(`ok    ${name}`);
  }
  assert.equal([service, doomed, operator].some((key) => said.includes(key)), false, "a key is in the log");
} catch (error) {
  console.error(said.split("\n").slice(-40).join("\n"));
  throw error;
} finally {
  await browser?.close();
  pages.close();
  dev.kill("SIGTERM");
  await new Promise((done) => (dev.exitCode === null ? dev.once("exit", done) : done()));
  rmSync(folder, { recursive: true, force: true });
}

/** Whether a socket opens; runs in the page. */
function socketOutcome([api, key]) {
  const encoded = btoa(key).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const socket = new WebSocket(`${api.replace("http", "ws")}/api/v1/track`, ["trackops.v1", `trackops.bearer.${encoded}`]);
  return new Promise((done) => {
    socket.onopen = () => done("open");
    socket.onclose = () => done("closed");
  });
}
