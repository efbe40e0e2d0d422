/** `evaluate permutation`: an ensemble learns a permutation exactly, and the mean of its weights does not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";

setDefaultTimeout(120_000); // the machine may be busy

const SCRIPT = join(import.meta.dir, "../../scripts/evaluate.ts");

async function evaluate(line: string) {
  const child = Bun.spawn(["bun", SCRIPT, ...line.split(" ")], { stdout: "pipe", stderr: "pipe" });
  const [text, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { text, err, code };
}

test("the mean of outputs rises to every bit of every input, the mean of weights does not", async () => {
  const line = "permutation --k 4 --models 8 --width 2048 --json -q";
  const { text, code } = await evaluate(line);
  expect(code).toBe(0);
  const found = JSON.parse(text);
  expect(found).toMatchObject({ k: 4, width: 2048, models: 8, told: 15, infinite: { bits: 1, inputs: 1 } });
  expect(found.outputs.map(({ networks }: { networks: number }) => networks)).toEqual([1, 2, 4, 8]);
  expect(found.outputs[0].bits).toBeLessThan(0.95);
  expect(found.outputs.at(-1)).toEqual({ networks: 8, bits: 1, inputs: 1 });
  expect(found.weights.inputs).toBeLessThan(0.5);
  expect((await evaluate(line)).text).toBe(text);
});

test("a dry run says what it takes; what cannot be is refused by name", async () => {
  const dry = await evaluate("permutation --k 16 -n");
  expect([dry.code, dry.text]).toEqual([0, "64 networks of 131072 weights on 16 rows, 3000 inputs to tell\n"]);
  for (const [line, message] of [
    ["permutation --k 1", "--k"],
    ["permutation --k 40", "--k"],
    ["permutation --models 0", "--models"],
    ["permutation model/", "model/"],
    ["permutation --k 8 --models 1 --width 2", "it did not learn its rows"],
  ] as const) {
    const { code, err } = await evaluate(line);
    expect([line, code === 0, err]).toEqual([line, false, expect.stringContaining(message)]);
  }
});
