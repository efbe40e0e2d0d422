/** `distill cache` with a teacher behind an OpenAI-style API, and a student that learns from what it wrote. */
import { afterAll, expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { TeacherCache } from "../../src/run/teachers/teacher-cache.ts";
import { SMALL, Workshop } from "./distill-models.ts";

const shop = await Workshop.make();
await shop.model("bytes", { ...SMALL, vocab_size: 264 }, 3);
const alphabet = [..."abcdefghijklmnop"];
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const { prompt } = (await request.json()) as { prompt: string };
    const tokens = [...prompt, alphabet[0]!];
    const top = { [alphabet[3]!]: Math.log(0.6), [alphabet[5]!]: Math.log(0.3) };
    const logprobs = {
      tokens,
      token_logprobs: tokens.map((token) => top[token] ?? Math.log(0.001)),
      top_logprobs: tokens.map(() => top),
    };
    return Response.json({ choices: [{ logprobs }] });
  },
});
afterAll(() => {
  server.stop(true);
  shop.close();
});
const line = `--teacher-url http://127.0.0.1:${server.port}/v1 --student bytes --tokenizer byte --data texts.jsonl`;

test("is written down in the student's tokens, and taught from", async () => {
  shop.write(
    "texts.jsonl",
    [5, 9, 13].map((length) => ({ text: alphabet.slice(2, 2 + length).join("") })),
  );
  const made = await shop.distill(`cache ${line} --model large --top-logprobs 2 --json -o api.safetensors`);
  expect(made.code).toBe(0);
  expect(JSON.parse(made.text)).toMatchObject({ rows: 3, k: 2 });
  const cache = await TeacherCache.open(shop.at("api.safetensors"));
  const bytes = byteTokenizer();
  const ids = Int32Array.of(...bytes.encode("cdefg"), bytes.eos!);
  const sequence = { ids, labels: ids, group: 0, place: "texts.jsonl:1" };
  // Of d, e, f and g the first and the third are among what may follow, the others have a thousandth; what ends the
  // text is in the tail, whose tenth all other outputs share.
  const loss = -(Math.log(0.6) + Math.log(0.3) + 2 * Math.log(0.001) + Math.log(0.1 / 262)) / 5;
  expect(cache.lossOf(sequence)).toBeCloseTo(loss, 5);
  cache.close();
  const taught = await shop.distill(
    "--cache api.safetensors --student bytes --tokenizer byte --method kd --data texts.jsonl --steps 2 -q -o taught/",
  );
  expect(taught.err).toBe("");
  expect(taught.code).toBe(0);
});

test.each([
  ["", "--teacher-url needs --model and --student"],
  ["--model large --teacher first-teacher", "--teacher-url and --teacher both say what is asked"],
])("refuses %p", async (more, message) => {
  const { err, code } = await shop.distill(`cache ${line}${more && ` ${more}`} -o refused.safetensors`);
  expect(err).toContain(`distill: ${message}`);
  expect(code).toBe(2);
});
