/** `serve` as OpenAI's own client sees it, and by the commands of its page. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Running, servingLab, startServer } from "./lab.ts";
import { OpenAI, type OpenAIClient } from "./openai-client.ts";

setDefaultTimeout(120_000);
const { folder, run } = servingLab();
let server: Running;
let client: OpenAIClient;
beforeAll(async () => {
  server = await startServer(["model=a/", "b/"], folder);
  if (OpenAI) client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  const { err } = await server.stop();
  if (OpenAI) expect(err).toContain(", 1 dropped, 0 failed");
});

const messages = [{ role: "user", content: "1+" }];
const BODY = { model: "model", messages, max_tokens: 12, seed: 3 };

test.skipIf(!OpenAI)("lists models and completes (skipped where openai is not installed)", async () => {
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["model", "b"]);
  const body = { model: "b", prompt: "12+", max_tokens: 10, seed: 1 };
  const whole = await client.completions.create(body);
  const parts: string[] = [];
  let tokens = 0;
  const stream = await client.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
  for await (const { choices, usage } of stream) {
    if (choices[0]) parts.push(choices[0].text);
    tokens += usage?.completion_tokens ?? 0;
  }
  expect(parts.length).toBeGreaterThan(3);
  expect(parts.join("")).toBe(whole.choices[0]!.text);
  expect(tokens).toBe(whole.usage!.completion_tokens);
});

test.skipIf(!OpenAI)("chats as `sample --chat` does, whole and in a stream", async () => {
  const argv = ["a/", "1+", "--chat", "-m", "12", "-t", "1", "--seed", "3", "--samples", "2", "--json", "-q"];
  const lines = (await run("sample", ...argv)).text.trim().split("\n");
  const texts: string[] = lines.map((line) => JSON.parse(line).text);
  const { choices, usage } = await client.chat.completions.create({ ...BODY, n: 2 });
  expect(choices.map(({ message }) => message.content)).toEqual(texts);
  expect(choices.map(({ message }) => message.role)).toEqual(["assistant", "assistant"]);
  const heard = ["", ""];
  let told = 0;
  const ends: (string | null)[] = [];
  const asked = { ...BODY, n: 2, stream: true as const, stream_options: { include_usage: true } };
  for await (const { choices: parts, usage: sum } of await client.chat.completions.create(asked)) {
    for (const { index, delta, finish_reason } of parts) {
      heard[index] += delta.content ?? "";
      if (finish_reason) ends[index] = finish_reason;
    }
    told += sum?.completion_tokens ?? 0;
  }
  expect(heard).toEqual(texts);
  expect(ends).toEqual(choices.map(({ finish_reason }) => finish_reason));
  expect(told).toBe(usage.completion_tokens);
});

test.skipIf(!OpenAI)("tells log-probabilities of what it says", async () => {
  const { choices } = await client.chat.completions.create({ ...BODY, logprobs: true, top_logprobs: 2 });
  const content = choices[0]!.logprobs!.content;
  expect(content.length).toBeGreaterThan(2);
  for (const { logprob, top_logprobs } of content) {
    expect(logprob).toBeLessThan(0);
    expect(top_logprobs.length).toBe(2);
  }
});

test.skipIf(!OpenAI)("errors are the client's own kinds of them", async () => {
  /** What a client's promise, which is no plain one, rejects with. */
  const failure = async (body: object) => {
    try {
      return await client.chat.completions.create({ ...BODY, ...body });
    } catch (error) {
      return error;
    }
  };
  expect(await failure({ model: "other" })).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  expect(await failure({ messages: [{ role: "user", content: 5 }] })).toMatchObject({ status: 400 });
});

test.skipIf(!OpenAI)("what a client breaks off is not written to its end", async () => {
  const long = { ...BODY, max_tokens: 60, stream: true as const };
  const stream = await client.chat.completions.create(long);
  for await (const _ of stream) break;
  stream.controller.abort();
  const after = await client.chat.completions.create(BODY);
  expect(after.choices[0]!.message.content).toBeString();
});

test.skipIf(!Bun.which("curl"))("the page's requests are answered (skipped where there is no curl)", async () => {
  const page = readFileSync(join(import.meta.dir, "../../../docs/serve.md"), "utf8");
  const lines = [...page.matchAll(/^ {4}(curl .*)$/gm)].map(([, line]) => line!);
  expect(lines.length).toBe(4);
  for (const line of lines) {
    const here = line.replaceAll("http://127.0.0.1:8000", server.url);
    const { stdout, exitCode } = Bun.spawnSync(["bash", "-c", here]);
    expect([exitCode, JSON.parse(stdout.toString()).error]).toEqual([0, undefined]);
  }
});
