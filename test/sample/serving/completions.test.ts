/** `serve`: completions, judged texts, errors, and answers that do not depend on what is asked beside them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ask, type Running, readJson, servingLab, startServer } from "./lab.ts";

setDefaultTimeout(120_000);
const { folder, run } = servingLab();
let server: Running;
beforeAll(async () => {
  server = await startServer(["a/", "second=b/", "--max-tokens", "32", "--batch-size", "3"], folder);
});
afterAll(async () => {
  const { code, err } = await server.stop();
  expect([code, err.includes("failed: ")]).toEqual([143, false]);
});
const complete = (body: object) => ask(server.url, "/v1/completions", body);
const textOf = async (body: object) => (await complete(body)).body.choices[0].text as string;

test("what it serves is listed, and it says that it is well", async () => {
  const list = await readJson(`${server.url}/v1/models`);
  expect(list.data.map(({ id }: { id: string }) => id)).toEqual(["a", "second"]);
  expect(await readJson(`${server.url}/v1/models/second`)).toMatchObject({ id: "second", object: "model" });
  expect(await readJson(`${server.url}/health`)).toEqual({ status: "ok" });
});

test("writes what `sample` writes for the same seed, whatever is asked beside it", async () => {
  const sampled = await run(
    "sample",
    "a/",
    "12+",
    "-m",
    "12",
    "-t",
    "1",
    "--samples",
    "2",
    "--seed",
    "5",
    "--json",
    "-q",
  );
  const texts = sampled.text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).text as string);
  const body = { model: "a", prompt: "12+", max_tokens: 12, seed: 5, n: 2 };
  const alone = (await complete(body)).body.choices.map(({ text }: { text: string }) => text);
  expect(alone).toEqual(texts);
  const bodies = Array.from({ length: 12 }, (_, i) => ({
    ...{ model: i % 2 ? "a" : "second", prompt: "12+30".slice(0, 1 + (i % 5)), max_tokens: 3 + i, seed: i },
    ...(i % 3 === 0 && { temperature: 0 }),
  }));
  const each: string[] = [];
  for (const one of bodies) each.push(await textOf(one));
  const [together, again] = await Promise.all([Promise.all(bodies.map(textOf)), complete(body)]);
  expect(together).toEqual(each);
  expect(again.body.choices.map(({ text }: { text: string }) => text)).toEqual(texts);
  expect(new Set(each).size).toBeGreaterThan(9);
});

test("without a seed, draws follow from the number of the request", async () => {
  const body = { model: "a", prompt: "12+", max_tokens: 24 };
  expect(await textOf(body)).not.toBe(await textOf(body));
});

test("judges a text by its tokens as evaluate does, and says whether each was the likeliest", async () => {
  const evaluated = await run("evaluate", "a/", "--data", "rows.jsonl", "--metric", "loss", "--json", "-q");
  const loss = JSON.parse(evaluated.text).rows[0].value as number;
  const ids = [...new TextEncoder().encode("12+30=42")];
  const { body } = await complete({
    model: "a",
    prompt: [ids, ids],
    max_tokens: 1,
    temperature: 0,
    logprobs: 1,
    echo: true,
  });
  const [{ text, logprobs }, second] = body.choices;
  expect(second.logprobs).toEqual(logprobs);
  expect(text).toStartWith("12+30=42");
  expect(logprobs.tokens.slice(0, 8)).toEqual([..."12+30=42"]);
  expect(logprobs.text_offset.slice(0, 8)).toEqual([...ids.keys()]);
  // One token was written: an end token is told too, so that what clients cut off is that one.
  expect(logprobs.tokens.length).toBe(9);
  const { token_logprobs: logs, top_logprobs: top } = logprobs;
  expect([logs[0], top[0]]).toEqual([null, null]);
  // The row of evaluate ends with the end token, which the prompt has not.
  const { body: ended } = await complete({ model: "a", prompt: [...ids, 258], max_tokens: 0, logprobs: 0, echo: true });
  const all = ended.choices[0].logprobs.token_logprobs.slice(1) as number[];
  expect(all.reduce((sum, x) => sum - x, 0) / all.length).toBeCloseTo(loss, 3);
  // All logits on the host say the same as losses and best guesses.
  const { body: more } = await complete({ model: "a", prompt: ids, max_tokens: 0, logprobs: 3, echo: true });
  const whole = more.choices[0].logprobs;
  for (let i = 1; i < ids.length; i++) {
    expect(whole.token_logprobs[i]).toBeCloseTo(logs[i], 4);
    const values = (of: object) => Object.values(of) as number[];
    expect(Math.max(...values(whole.top_logprobs[i]))).toBeCloseTo(Math.max(...values(top[i])), 4);
    expect(values(whole.top_logprobs[i]).length).toBeWithin(3, 5);
  }
});

test("ends at a stop text, and counts tokens", async () => {
  const whole = await textOf({ model: "a", prompt: "12+", max_tokens: 12, seed: 5 });
  const stop = whole.slice(3, 4);
  const { body } = await complete({ model: "a", prompt: "12+", max_tokens: 12, seed: 5, stop: [stop] });
  const [{ text, finish_reason }] = body.choices;
  expect([text, finish_reason]).toEqual([whole.slice(0, whole.indexOf(stop)), "stop"]);
  const { prompt_tokens, completion_tokens, total_tokens } = body.usage;
  expect([prompt_tokens, total_tokens]).toEqual([3, 3 + completion_tokens]);
});

test.each([
  [{ model: "c", prompt: "1" }, 404, "model", "there is no model"],
  [{ prompt: "1" }, 400, "model", "is missing"],
  [{ model: "a" }, 400, "prompt", "prompt should be"],
  [{ model: "a", prompt: [[1, -1]] }, 400, "prompt", "a list of tokens"],
  [{ model: "a", prompt: [264] }, 400, "prompt", "token 264 is outside the vocabulary of 264"],
  [{ model: "a", prompt: "1".repeat(96) }, 400, "prompt", "96 tokens, and the model 96 positions"],
  [{ model: "a", prompt: "1".repeat(6145) }, 400, "prompt", "6145 characters, and the model 96 positions"],
  [{ model: "a", prompt: "1", max_tokens: 33 }, 400, "max_tokens", "this server gives up to 32"],
  [{ model: "a", prompt: "1", max_tokens: 0 }, 400, "max_tokens", "no echo"],
  [{ model: "a", prompt: "1", temperature: "hot" }, 400, "temperature", "should be a number"],
  [{ model: "a", prompt: "1", n: 1000 }, 400, "n", "from 1 to 256"],
  [{ model: "a", prompt: "1", stop: [""] }, 400, "stop", "none that is empty"],
  [{ model: "a", prompt: "1", logit_bias: { 5: 100 } }, 400, "logit_bias", "not supported"],
  [{ model: "a", prompt: "1", tempreature: 1 }, 400, "tempreature", "unknown field"],
])("refuses %j", async (body, status, param, message) => {
  const found = await complete(body);
  expect([found.status, found.body.error.param, found.body.error.type]).toEqual([
    status,
    param,
    "invalid_request_error",
  ]);
  expect(found.body.error.message).toContain(message);
});
