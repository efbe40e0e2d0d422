/** The gradient noise scale: what the partial sums of a step say of signal and noise, and the figures of a real run. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PartialNorm, signalAndNoise } from "../../../src/run/training/noise-scale.ts";
import { runScript } from "../../support/command.ts";
import { normals } from "../../support/random.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-noise-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("gradients with a known mean and known noise: both are found in the mean, whatever the shares", () => {
  const [size, repeats] = [50, 3000];
  const mean = normals(1, size).map((x) => 0.2 * x);
  const signal = mean.reduce((sum, x) => sum + x * x, 0);
  const deviation = 1.5;
  const counts = [2, 5, 1, 4];
  const total = counts.reduce((a, b) => a + b);
  const sums = { signal: 0, noise: 0 };
  for (let t = 0; t < repeats; t++) {
    const sofar = new Float64Array(size);
    const partial: PartialNorm[] = [];
    let seen = 0;
    for (const [k, count] of counts.entries()) {
      // The sum of the gradients of `count` examples, over all that count in the step.
      const noise = normals(7 * t + 1000 * k + 5, size);
      for (let i = 0; i < size; i++) sofar[i]! += (count * mean[i]! + Math.sqrt(count) * deviation * noise[i]!) / total;
      seen += count;
      partial.push({ share: seen / total, norm: Math.sqrt(sofar.reduce((sum, x) => sum + x * x, 0)) });
    }
    const found = signalAndNoise(partial, total)!;
    sums.signal += found.signal / repeats;
    sums.noise += found.noise / repeats;
  }
  expect(Math.abs(sums.signal / signal - 1)).toBeLessThan(0.1);
  expect(Math.abs(sums.noise / (size * deviation ** 2) - 1)).toBeLessThan(0.03);
});

test("equal micro-batches are all signal, opposite ones all noise, and one says nothing", () => {
  const equal = signalAndNoise(
    [
      { share: 0.5, norm: 1.5 },
      { share: 1, norm: 3 },
    ],
    8,
  )!;
  expect([equal.signal, equal.noise]).toEqual([9, 0]);
  // Two micro-batches g and -g of 4 examples each: the whole is 0, half of g is 1.
  const opposite = signalAndNoise(
    [
      { share: 0.5, norm: 1 },
      { share: 1, norm: 0 },
    ],
    8,
  )!;
  expect([opposite.signal, opposite.noise]).toEqual([-4, 32]);
  expect(signalAndNoise([{ share: 1, norm: 2 }], 8)).toBeUndefined();
});

test("a run logs it, changes nothing by it, and refuses it where there is one micro-batch", async () => {
  const at = (name: string) => join(folder, name);
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 2 }));
  const rows = Array.from({ length: 64 }, (_, i) => ({
    x: [Math.sin(i), Math.cos(3 * i)],
    label: i % 3 === 0 ? 1 : 0,
  }));
  writeFileSync(at("rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const asked = "--init mlp.json --data rows.jsonl --batch-size 4 --steps 6 --lr 1e-2 --save-every 0 -q";
  const run = (more: string) => runScript("train", `${asked} ${more}`.split(" "), folder);
  const measured = await run("--accumulate 4 --log-noise-scale --log noise.log -o noisy/");
  expect([measured.code, measured.err]).toEqual([0, expect.anything()]);
  await run("--accumulate 4 -o plain/");
  const steps = readFileSync(at("noise.log"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step");
  expect(steps.length).toBe(6);
  for (const { gradient_signal: signal, gradient_noise: noise, grad_norm: norm, counted } of steps)
    expect(Math.abs((signal + noise / counted) / norm ** 2 - 1)).toBeLessThan(1e-4);
  expect(steps.at(-1).noise_scale).toBeGreaterThan(0);
  const bytes = (name: string) => readFileSync(at(`${name}/model.safetensors`)).subarray(-100);
  expect(bytes("noisy").equals(bytes("plain"))).toBe(true);
  const refused = await run("--log-noise-scale -o one/");
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("--accumulate 2")]);
}, 60_000);
