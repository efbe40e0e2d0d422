/** CLIP towers on the command lines: tuned with a head, merged by name, measured with the head of each data set. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import type { Json } from "../../src/model/architecture.ts";
import { textsOf, towerOf, writeImages, writeTensors } from "../support/clip.ts";
import { runShell } from "../support/command.ts";
import { tensorBytes } from "../support/multimodal.ts";
import { TINY_EXAMPLES } from "../support/tiny-models.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-clip-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const run = (line: string) => runShell(line, folder);
const HEAD = "zeroshot_head.safetensors";

beforeAll(async () => {
  const { num_labels: _, ...config } = TINY_EXAMPLES.clip_vision_model as Record<string, unknown>;
  const tower = await towerOf(TINY_EXAMPLES.clip_vision_model as Json, 3);
  for (const [name, classes] of [
    ["four", 4],
    ["two", 2],
  ] as const) {
    await writeTensors(at(`${name}.safetensors`), new Map([["weight", textsOf(classes, 7, classes)]]));
    const head = await Bun.file(at(`${name}.safetensors`)).bytes();
    await writeTensors(at(`base-${name}/`), tower, { "config.json": JSON.stringify(config), [HEAD]: head });
    writeImages(at(`${name}.jsonl`), 24, classes);
    const line = `$TRAIN base-${name} --data ${name}.jsonl --batch-size 8 --steps 40 --lr 0.01 -q -o tuned-${name}/`;
    expect((await run(line)).err).toBe("");
  }
});

const accuracy = async (line: string): Promise<number> => {
  const { text, err, code } = await run(`$EVALUATE ${line} --metric accuracy --json -q`);
  expect([err, code]).toEqual(["", 0]);
  return Number(/"value":\s*([\d.]+)/.exec(text)?.[1]);
};

test("a tower learns the classes of its head, whose file stays as it was", async () => {
  for (const name of ["four", "two"]) {
    expect(await accuracy(`base-${name} --data ${name}.jsonl`)).toBeLessThan(0.8);
    expect(await accuracy(`tuned-${name} --data ${name}.jsonl`)).toBe(1);
    expect(await Bun.file(at(`tuned-${name}/${HEAD}`)).bytes()).toEqual(
      await Bun.file(at(`${name}.safetensors`)).bytes(),
    );
  }
});

test("towers merge by name, and --zeroshot-head measures the result with the head of each data set", async () => {
  const merged = await run("$MERGE tuned-four tuned-two --method linear -q -o merged/");
  expect([merged.err, merged.code]).toEqual(["", 0]);
  const whole = await openPlain(at("merged"));
  const own = await openPlain(at("tuned-four"));
  expect([...whole.tensors.keys()].sort()).toEqual([...own.tensors.keys()].sort());
  whole.close();
  own.close();
  for (const [name, least] of [
    ["four", 1 / 4],
    ["two", 1 / 2],
  ] as const)
    expect(await accuracy(`merged --zeroshot-head ${name}.safetensors --data ${name}.jsonl`)).toBeGreaterThanOrEqual(
      least,
    );
  // The tower that was tuned for four classes carries their head; two classes need the other one.
  const plain = await run("$EVALUATE tuned-four --data two.jsonl --metric accuracy --zeroshot-head two.safetensors -q");
  expect(plain.code).toBe(0);
});

test("an adapter trains on it, and a stream carries tower and head", async () => {
  const line = "$TRAIN base-two --data two.jsonl --batch-size 8 --steps 3 --lora --lora-rank 2 -q -o adapter/";
  expect((await run(line)).err).toBe("");
  expect(await accuracy("base-two+adapter --data two.jsonl")).toBeGreaterThan(0);
  const piped = await run("$MERGE tuned-two tuned-two --method linear -q > piped.safetensors");
  expect(piped.code).toBe(0);
  expect(await accuracy("piped.safetensors --data two.jsonl")).toBe(1);
  const one = await openPlain(at("piped.safetensors"));
  const other = await openPlain(at("tuned-two"));
  for (const name of other.tensors.keys()) expect(await tensorBytes(one, name)).toEqual(await tensorBytes(other, name));
  one.close();
  other.close();
});

test("mistakes say what is missing", async () => {
  const bare = await run(
    `mkdir bare && cp tuned-two/model.safetensors tuned-two/config.json bare && $EVALUATE bare --data two.jsonl --metric accuracy`,
  );
  expect(bare.code).toBe(2);
  const lost = await run("$EVALUATE tuned-two --data two.jsonl --metric accuracy --zeroshot-head none.safetensors");
  expect(lost.err).toContain("evaluate: --zeroshot-head none.safetensors cannot be read");
  const labels = await run("$EVALUATE tuned-two --data four.jsonl --metric accuracy");
  expect(labels.code).toBe(2);
  expect(labels.err).toContain("label");
});
