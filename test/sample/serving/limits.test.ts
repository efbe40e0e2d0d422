/**
 * `serve` among clients that are hostile, slow or many: each is refused by its own status, and the others are served.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ask, type Running, readJson, servingLab, startServer } from "./lab.ts";

setDefaultTimeout(120_000);
const { folder, run } = servingLab();
/** With INGOT_TEST_LONG=1 what takes long runs too. */
const LONG = process.env.INGOT_TEST_LONG === "1";
const KEY = "sesame-sesame";
const SECRET = "12+3 open sesame";
const withKey = { authorization: `Bearer ${KEY}` };
let server: Running;
beforeAll(async () => {
  writeFileSync(join(folder, "key.txt"), `${KEY}\n`);
  writeFileSync(join(folder, "odd.txt"), "two words\n");
  const limits = "--max-body 2000 --body-timeout 0.4 --queue 4 --timeout 1.5 --batch-size 1 --max-tokens 64";
  const argv = `a/ --api-key-file key.txt ${limits} --log served.log -v`.split(" ");
  server = await startServer(argv, folder);
});
const complete = (body: unknown, headers: Record<string, string> = withKey) =>
  ask(server.url, "/v1/completions", body, headers);
const BODY = { model: "a", prompt: SECRET, max_tokens: 4, seed: 1 };
const isServed = async () => expect((await complete(BODY)).status).toBe(200);

/** All that comes back over a connection of its own, until it is closed. */
function raw(...parts: readonly string[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { hostname, port } = new URL(server.url);
  let out = "";
  const socket = connect(Number(port), hostname, () => {
    for (const part of parts) socket.write(part);
  });
  socket.on("data", (data) => {
    out += data;
  });
  socket.on("close", () => resolve(out));
  socket.on("error", () => resolve(out));
  return promise;
}
const HEAD = `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${KEY}\r\nContent-Type: application/json\r\n`;

test("asks for a key, and tells nothing without it", async () => {
  const wrong: Record<string, string>[] = [{}, { authorization: "Bearer wrong" }, { authorization: KEY }];
  for (const headers of wrong) {
    const { status, body } = await complete(BODY, headers);
    expect([status, body.error.code]).toEqual([401, "invalid_api_key"]);
    expect((await fetch(`${server.url}/v1/models`, { headers })).status).toBe(401);
  }
  expect(await readJson(`${server.url}/health`)).toEqual({ status: "ok" });
  await isServed();
});

test("reads no body that is too large, told or not", async () => {
  const large = { ...BODY, prompt: "1".repeat(3000) };
  expect((await complete(large)).status).toBe(413);
  const chunk = `${(5000).toString(16)}\r\n${"1".repeat(5000)}\r\n0\r\n\r\n`;
  expect(await raw(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, chunk)).toStartWith("HTTP/1.1 413");
  const told = await raw(`${HEAD}Content-Length: 99999999\r\n\r\n`);
  expect([told.slice(0, 12), told.includes('"code":"request_too_large"')]).toEqual(["HTTP/1.1 413", true]);
  await isServed();
});

test("waits for no slow body", async () => {
  const answer = await raw(`${HEAD}Content-Length: 100\r\n\r\n`, '{"model":');
  expect(answer).toStartWith("HTTP/1.1 408");
  expect(answer).toContain('"code":"request_timeout"');
  await isServed();
});

test.skipIf(!LONG)("waits for no slow head (12 s by Bun's own clock of connections)", async () => {
  expect(await raw("POST /v1/completions HTTP/1.1\r\nHost:")).toBe("");
  await isServed();
});

test.each([
  ['{"model": "a", "prompt"', 400],
  ["[]", 400],
  ["null", 400],
  ['{"prompt": "1", "prompt": "2"}', 400],
  [`${"[".repeat(70)}${"]".repeat(70)}`, 400],
  ['{"model": {"__proto__": 1}}', 400],
  ['{"model": "a", "prompt": {"length": 3}}', 400],
  ['{"model": "a", "prompt": [[[1]]]}', 400],
  ['{"model": "a", "prompt": [1.5]}', 400],
  ['{"model": "a", "prompt": "1", "seed": 1e400}', 400],
  ['{"model": "../../etc/passwd", "prompt": "1"}', 404],
])("answers %p in OpenAI's form", async (text, status) => {
  const found = await complete(text);
  expect([found.status, Object.keys(found.body.error)]).toEqual([status, ["message", "type", "param", "code"]]);
});

test("takes no forms, no other ways, no pages of other sites", async () => {
  const form = await complete("prompt=1", { ...withKey, "content-type": "application/x-www-form-urlencoded" });
  expect(form.status).toBe(415);
  expect((await complete(BODY, { ...withKey, origin: "http://example.org" })).status).toBe(403);
  expect((await complete(BODY, { ...withKey, host: "example.org" })).status).toBe(403);
  for (const [method, path, status] of [
    ["GET", "/v1/completions", 405],
    ["DELETE", "/v1/models", 405],
    ["POST", "/v1/other", 404],
    ["GET", "/v1/models/%E0%A4%A", 404],
    ["GET", "/../../etc/passwd", 404],
  ] as const) {
    const response = await fetch(`${server.url}${path}`, { method, headers: withKey });
    expect([path, response.status]).toEqual([path, status]);
  }
});

test("refuses what would wait in a full queue, ends what takes too long, and goes on", async () => {
  const long = complete({ ...BODY, max_tokens: 64, n: 200, seed: 2, logprobs: 0 });
  await Bun.sleep(200);
  const full = await complete(BODY);
  expect([full.status, full.body.error.code, full.headers.get("retry-after")]).toEqual([429, "queue_full", "1"]);
  const late = await long;
  expect([late.status, late.body.error.code]).toEqual([504, "timeout"]);
  await isServed();
});

test("a signal ends streams with an event, the server with the signal's code, and no text was written down", async () => {
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { ...withKey, "content-type": "application/json" },
    body: JSON.stringify({ ...BODY, max_tokens: 64, n: 60, stream: true }),
  });
  const reader = response.body!.getReader();
  await reader.read();
  const { code, err } = await server.stop("SIGINT");
  expect([code, err.includes("request failed")]).toEqual([130, false]);
  expect(err).toContain(", 0 failed");
  const log = readFileSync(join(folder, "served.log"), "utf8");
  expect(log).toContain('"refused"');
  for (const word of [KEY, SECRET, "sesame"]) expect([word, `${err}${log}`.includes(word)]).toEqual([word, false]);
});

afterAll(() => server.stop());

test.each([
  [["a/", "a/"], "two models are called a"],
  [["a/", "b/", "--with", "a/"], "--with is for one model"],
  [["a/", "--cascade", "a/,b/"], "--cascade names all models"],
  [[], "no model"],
  [["a/", "--api-key-file", "odd.txt"], "odd.txt holds no key"],
  [["a/", "--api-key-file", "nowhere"], "nowhere cannot be read"],
  [["a/", "--host", "203.0.113.9", "--port", "1"], "203.0.113.9:1 cannot be had"],
] as const)("serve %p is refused", async (argv, message) => {
  const { code, err } = await run("serve", ...argv);
  expect([code, err.includes(message)]).toEqual([2, true]);
});
