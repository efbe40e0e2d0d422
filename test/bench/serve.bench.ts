/**
 * 1000 requests to `serve` from 32 connections: whether any is lost or answered otherwise than when it is asked alone,
 * what memory the server takes over the time, and how long it takes. Needs Linux for the memory.
 *
 *   bun test/bench/serve.bench.ts [REQUESTS] [CONNECTIONS] [BATCH]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, makeModels, startServer } from "../sample/serving/lab.ts";

const [requests = 1000, connections = 32, batch = 8] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "ingot-serve-bench-"));
await makeModels(folder);
const argv = ["a/", "b/", "--batch-size", String(batch), "--queue", "1000"];
const server = await startServer(argv, folder);

/** Megabytes of the server. */
const memory = (): number => {
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
};

/** The request of a number: no two are the same. */
function bodyOf(i: number): { path: string; body: object } {
  const model = i % 2 ? "a" : "b";
  const sampling = { model, max_tokens: 4 + (i % 29), seed: i, temperature: i % 5 === 0 ? 0 : 1 };
  const text = `${i}+${(7 * i) % 1000}=`;
  if (i % 4 === 0)
    return { path: "/v1/chat/completions", body: { ...sampling, messages: [{ role: "user", content: text }] } };
  if (i % 4 === 1) return { path: "/v1/completions", body: { ...sampling, prompt: text, logprobs: 1, echo: true } };
  return { path: "/v1/completions", body: { ...sampling, prompt: text, n: 1 + (i % 3) } };
}

interface Found {
  readonly texts: readonly string[];
  /** Of the tokens, where they were asked for. */
  readonly logs: readonly number[];
}

/** What an answer says: its texts and log-probabilities. */
async function answerOf(i: number): Promise<Found> {
  const { path, body } = bodyOf(i);
  const { status, body: found } = await ask(server.url, path, body);
  if (status !== 200) throw new Error(`request ${i}: ${status} ${JSON.stringify(found)}`);
  return {
    texts: found.choices.map(
      (one: { text?: string; message?: { content: string } }) => one.text ?? one.message?.content,
    ),
    logs: (found.choices[0].logprobs?.token_logprobs ?? []).slice(1),
  };
}

const alone: Found[] = [];
const before = performance.now();
for (let i = 0; i < requests; i++) alone.push(await answerOf(i));
const aloneSeconds = (performance.now() - before) / 1000;
const warm = memory();

const together: Found[] = [];
const memories: number[] = [];
let next = 0;
const began = performance.now();
const worker = async () => {
  for (let i = next++; i < requests; i = next++) {
    together[i] = await answerOf(i);
    if (i % 100 === 99) memories.push(memory());
  }
};
await Promise.all(Array.from({ length: connections }, worker));
const seconds = (performance.now() - began) / 1000;

const lost = alone.filter((_, i) => together[i] === undefined).length;
const other = alone.filter(({ texts }, i) => !Bun.deepEquals(texts, together[i]?.texts)).length;
const gap = alone.reduce(
  (most, { logs }, i) =>
    logs.reduce((a, x, at) => Math.max(a, Math.abs(x - (together[i]?.logs[at] ?? Number.NaN))), most),
  0,
);
const distinct = new Set(alone.map(({ texts }) => JSON.stringify(texts))).size;
console.log(`${requests} requests, ${distinct} answers that differ from each other`);
console.log(`one after the other: ${aloneSeconds.toFixed(1)} s, ${(requests / aloneSeconds).toFixed(0)} a second`);
console.log(
  `${connections} connections, batches of ${batch}: ${seconds.toFixed(1)} s, ${(requests / seconds).toFixed(0)} a second`,
);
console.log(`lost ${lost}, other than alone ${other}, log-probabilities apart by at most ${gap}`);
console.log(`memory in MB: ${warm} after those alone, then every 100 requests ${memories.join(" ")}`);
const { err } = await server.stop();
console.log(err.trim().split("\n").slice(-2).join("\n"));
rmSync(folder, { recursive: true, force: true });
process.exitCode = lost + other > 0 ? 1 : 0;
