/** A teacher behind an OpenAI-style API: what is sent, what is kept, and what is refused, with a server of its own. */
import { afterAll, describe, expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { apiUrl } from "../../src/distill/api-request.ts";
import { type ApiForm, apiTeacher } from "../../src/distill/api-teacher.ts";
import { isObject, type Json } from "../../src/json.ts";
import { NOTHING } from "../../src/run/teachers/teacher-cache.ts";

const bytes = byteTokenizer();
const OUTPUTS = 264;
const K = 4;

/** A made-up model: what may follow a token, as five bytes with these probabilities. */
const SHARES = [0.4, 0.25, 0.15, 0.1, 0.06];
const nextOf = (id: number) => SHARES.map((share, i) => [97 + ((id + 3 * i) % 26), share] as const);
const chanceOf = (before: number, id: number) => nextOf(before).find(([next]) => next === id)?.[1] ?? 0.04 / 259;

/** How the server fails, and what it was asked. */
const server = {
  failures: [] as number[],
  bodies: [] as Json[],
  headers: [] as (string | null)[],
  slow: false,
  change: (answer: Record<string, Json>): Record<string, Json> => answer,
};

function echoed(prompt: string, k: number): Json {
  const ids = [...bytes.encode(prompt)].filter((id) => id < 256);
  const all = [0, ...ids]; // something before the text, of which nothing is said
  const texts = ids.map((id) => String.fromCharCode(id));
  const topOf = (before: number) =>
    Object.fromEntries(
      nextOf(before)
        .slice(0, k)
        .map(([id, share]) => [String.fromCharCode(id), Math.log(share)]),
    );
  const chosen = nextOf(ids.at(-1)!)[0]!;
  return {
    tokens: [...texts, String.fromCharCode(chosen[0])],
    token_logprobs: [...ids.map((id, i) => Math.log(chanceOf(all[i]!, id))), Math.log(chosen[1])],
    top_logprobs: [...ids.map((_, i) => topOf(all[i]!)), topOf(ids.at(-1)!)],
  };
}

function byIds(ids: readonly number[], k: number): Json {
  return ids.map((id, i): Json => {
    if (i === 0) return null;
    const top = nextOf(ids[i - 1]!).slice(0, k);
    const all = top.some(([next]) => next === id) ? top : [...top, [id, chanceOf(ids[i - 1]!, id)] as const];
    return Object.fromEntries(
      all.map(([next, share]) => [
        String(next),
        { logprob: Math.log(share), decoded_token: next < 256 ? String.fromCharCode(next) : "" },
      ]),
    );
  });
}

const listening = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const body = (await request.json()) as Record<string, Json>;
    server.bodies.push(body);
    server.headers.push(request.headers.get("authorization"));
    if (server.slow) await Bun.sleep(400);
    const status = server.failures.shift();
    if (status) return Response.json({ error: { message: `no luck ${status}` } }, { status });
    const choice: Json = Array.isArray(body.prompt)
      ? { prompt_logprobs: byIds(body.prompt as number[], Number(body.prompt_logprobs)) }
      : { logprobs: echoed(String(body.prompt), Number(body.logprobs)) };
    return Response.json(server.change({ choices: [choice] }));
  },
});
afterAll(() => listening.stop(true));

const rowOf = (text: string, from = 1): Sequence => {
  const ids = Int32Array.from([...bytes.encode(text)].filter((id) => id < 256));
  return { ids, labels: ids.map((id, t) => (t < from ? -100 : id)), group: 0, place: "rows.jsonl:1" };
};
const ask = (
  form: ApiForm,
  rows: readonly Sequence[],
  given: { timeout?: number; retries?: number; key?: string } = {},
) => {
  const url = apiUrl(`http://127.0.0.1:${listening.port}/v1/`);
  const { timeout = 5, retries = 0, key } = given;
  const api = { url, host: "server", model: "large", key, keyVariable: "SOME_KEY", timeout, retries };
  const signal = new AbortController().signal;
  return apiTeacher({ api: { ...api, signal }, form, tokenizer: bytes, outputs: OUTPUTS, k: K }).say(rows);
};

describe.each(["echo", "prompt-logprobs"] as const)("%s", (form) => {
  test("keeps the k likeliest of every token, the mass of the rest, and the mean loss of the labels", async () => {
    const row = rowOf("hello", 2);
    const [said] = await ask(form, [row]);
    let loss = 0;
    for (let t = 0; t < row.ids.length - 1; t++) {
      const all = new Map(nextOf(row.ids[t]!).slice(0, K));
      const own = row.ids[t + 1]!;
      const chance = chanceOf(row.ids[t]!, own);
      // What came is known besides: it is kept where it is among the k likeliest.
      const four = [...all, ...(all.has(own) ? [] : [[own, chance] as const])].sort((a, b) => b[1] - a[1]).slice(0, K);
      expect([...said!.ids.subarray(t * K, (t + 1) * K)]).toEqual(four.map(([id]) => id).sort((a, b) => a - b));
      const mass = four.reduce((sum, [, share]) => sum + share, 0);
      expect(Math.exp(said!.tail[t]!)).toBeCloseTo(1 - mass, 5);
      for (const [id, share] of four) {
        const at = said!.ids.subarray(t * K, (t + 1) * K).indexOf(id);
        expect(said!.logProbs[t * K + at]!).toBeCloseTo(Math.log(share), 5);
      }
      if (t >= 1) loss -= Math.log(chance);
    }
    expect(said!.loss).toBeCloseTo(loss / (row.ids.length - 2), 5);
  });

  test("several rows are asked about at once, and given in their order", async () => {
    const rows = ["abc", "wxyz", "no"].map((text) => rowOf(text));
    const said = await ask(form, rows);
    expect(said.map(({ tail }) => tail.length)).toEqual([2, 3, 1]);
    expect(said[1]).toEqual((await ask(form, [rows[1]!]))[0]!);
  });

  test("tokens that are not the student's are refused, with the row", async () => {
    server.change = (answer) => {
      const text = JSON.stringify(answer)
        .replaceAll('"e"', '"he"')
        .replace('"decoded_token":"e"', '"decoded_token":"he"');
      const value = JSON.parse(text);
      return isObject(value) ? value : answer;
    };
    await expect(ask(form, [rowOf("hello")])).rejects.toThrow('rows.jsonl:1: token 1 is "e" here and "he" there');
    server.change = () => ({ choices: [{}] });
    await expect(ask(form, [rowOf("hello")])).rejects.toThrow("server gave no");
    server.change = (answer) => answer;
  });
});

describe("requests", () => {
  const row = rowOf("hi");

  test("name the model, and send the key as a bearer token", async () => {
    await ask("echo", [row], { key: "secret" });
    expect(server.bodies.at(-1)).toEqual({
      ...{ model: "large", prompt: "hi", max_tokens: 1, echo: true, logprobs: K, temperature: 0 },
    });
    expect(server.headers.at(-1)).toBe("Bearer secret");
    await ask("prompt-logprobs", [row]);
    expect(server.headers.at(-1)).toBe(null);
    expect(server.bodies.at(-1)).toMatchObject({ prompt: [104, 105], prompt_logprobs: K });
  });

  test("that may pass are sent again, as often as --retries says", async () => {
    server.failures.push(503, 429);
    const before = server.bodies.length;
    await ask("echo", [row], { retries: 2 });
    expect(server.bodies.length - before).toBe(3);
    server.failures.push(500, 500);
    await expect(ask("echo", [row], { retries: 1 })).rejects.toThrow("server answered 500: no luck 500, 2 times");
  });

  test.each([
    [401, "server answered 401: no luck 401", "set SOME_KEY to a key"],
    [404, "server answered 404: no luck 404", "--model large"],
    [400, "server answered 400: no luck 400", "see --api"],
  ])("that are refused with %d are not sent again, and say why", async (status, message, hint) => {
    server.failures.push(status);
    const before = server.bodies.length;
    const failed = await ask("echo", [row], { retries: 3 }).catch((error) => error);
    expect(failed.message).toBe(message);
    expect(failed.hint).toContain(hint);
    expect(server.bodies.length - before).toBe(1);
  });

  test("without an answer in time are given up", async () => {
    server.slow = true;
    const failed = await ask("echo", [row], { timeout: 0.1 }).catch((error) => error);
    server.slow = false;
    expect(failed.message).toBe("no answer from server in 0.1 s");
  });

  test("go to an address, without a key in it", () => {
    expect(() => apiUrl("localhost:8000")).toThrow("is no address");
    expect(() => apiUrl("http://me:key@localhost/v1")).toThrow("has a name or a key in it");
  });
});

test("probabilities above 1 are refused; a row with too few entries has others that are as good as 0", async () => {
  server.change = (answer) => JSON.parse(JSON.stringify(answer).replaceAll(String(Math.log(0.4)), "-0.0001"));
  await expect(ask("echo", [rowOf("ab")])).rejects.toThrow("the probabilities of token 1 sum to");
  server.change = (answer) => {
    const value = JSON.parse(JSON.stringify(answer));
    for (const top of value.choices[0].logprobs.top_logprobs)
      for (const key of Object.keys(top).slice(1)) delete top[key];
    return value;
  };
  const [said] = await ask("echo", [rowOf("ab")]);
  server.change = (answer) => answer;
  expect([...said!.logProbs].filter((value) => value === Math.fround(NOTHING)).length).toBeGreaterThanOrEqual(2);
  expect(new Set(said!.ids).size).toBe(K);
});
