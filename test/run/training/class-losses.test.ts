/** Mixup and the contrastive loss of classifiers, against float64 and through the script. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackExamples } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { classifierConfig } from "../../../src/model/decoder-classifier.ts";
import { describeConfig } from "../../../src/model/description.ts";
import { Model } from "../../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { Programs } from "../../../src/run/programs.ts";
import { classLosses } from "../../../src/run/training/class-losses.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { FIRST, fillMixedEmbeddings, mixedEmbeddings, placesOf } from "../../../src/run/training/mixed-embeddings.ts";
import { betaDraw, mixture } from "../../../src/run/training/mixup.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_ENCODERS, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

test.each([0.2, 1, 3])("shares of Beta(%p, %p) have its mean and variance", (beta) => {
  const draws = Array.from({ length: 4000 }, (_, i) => betaDraw(new Random(1, i), beta));
  const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
  const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
  expect(draws.every((x) => x >= 0 && x <= 1)).toBe(true);
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.03);
  expect(Math.abs(variance - 1 / (4 * (2 * beta + 1)))).toBeLessThan(0.01);
});

test("a mixture is a function of the seed and the rows; beta near 0 mixes hardly", () => {
  const of = (places: readonly string[], seed: number) => mixture(places, 6, { beta: 0.5, seed });
  expect(of(["a", "b"], 1)).toEqual(of(["a", "b"], 1));
  expect(of(["a", "b"], 1)).not.toEqual(of(["b", "a"], 1));
  expect(of(["a", "b"], 1)).not.toEqual(of(["a", "b"], 2));
  const { shares } = mixture(["a"], 50, { beta: 1e-4, seed: 1 });
  expect(shares.filter((share) => share > 0.01 && share < 0.99).length).toBeLessThan(3);
});

describe("losses", () => {
  const [N, D, K] = [5, 4, 3];
  const labels = [0, 1, 0, 2, 1];
  const net = { model_type: "mlp", input_size: D, hidden_sizes: [6], num_labels: K };
  const x = normals(3, N * D);
  const batch = stackExamples(
    labels.map((label, i) => ({
      ...{ x: Float32Array.from(x.subarray(D * i, D * (i + 1))), shape: [D], label, place: `rows:${i}` },
    })),
  );

  /** The metrics of an objective on the batch, and what the head reads and says of it in float64. */
  async function measured(options: Parameters<typeof classLosses>[1]) {
    const gpu = await sharedGpu();
    const model = await Model.fresh(gpu, net, "net", { seed: 2 });
    const objective = crossEntropyObjective(model, { classes: classLosses(model, options, 7) });
    const programs = new Programs(gpu);
    const { program } = await programs.get("loss", (rec) => {
      for (const [name, value] of Object.entries(objective.record(rec, batch, "").metrics)) rec.output(name, value);
    });
    objective.fill(program, batch, N, "");
    program.run();
    const loss = (await program.read("loss"))[0]!;
    const contrast = options.contrastive > 0 ? (await program.read("contrastive_loss"))[0]! : 0;
    programs.free();
    const weights = new Map<string, Float64Array>();
    for (const [name, { buffer, size }] of model.parameters)
      weights.set(name, Float64Array.from(await gpu.readFloats(buffer, size)));
    const [first, last] = [...weights.keys()].filter((name) => name.endsWith("weight"));
    const layer = (input: readonly number[], name: string, out: number): number[] => {
      const [w, b] = [weights.get(name)!, weights.get(name.replace("weight", "bias"))!];
      return Array.from({ length: out }, (_, j) =>
        input.reduce((sum, value, i) => sum + value * w[j * input.length + i]!, b[j]!),
      );
    };
    const hidden = labels.map((_, i) =>
      layer([...batch.x.subarray(D * i, D * (i + 1))], first!, 6).map((h) => Math.max(0, h)),
    );
    const read = (row: readonly number[]) => layer(row, first!, 6).map((h) => Math.max(0, h));
    return { loss, contrast, hidden, read, logits: (h: readonly number[]) => layer(h, last!, K) };
  }
  const MIXED = {
    mixup: 0.7,
    mixup_keep: 0,
    mixup_at: "embedding",
    contrastive: 0,
    contrastive_temperature: 0.1,
  } as const;
  const nll = (z: readonly number[], label: number) => Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0)) - z[label]!;

  test("of mixed rows: both labels by their shares", async () => {
    const { loss, hidden, logits } = await measured({ ...MIXED, mixup_keep: 0, mixup_at: "head" });
    const { partners, shares } = mixture(batch.places, N, { beta: 0.7, seed: 7 });
    const losses = labels.map((label, i) => {
      const [j, share] = [partners[i]!, shares[i]!];
      const z = logits(hidden[i]!.map((h, c) => share * h + (1 - share) * hidden[j]![c]!));
      return share * nll(z, label) + (1 - share) * nll(z, labels[j]!);
    });
    expect(loss).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / N, 5);
  });

  test("of mixed inputs: what the head says of the mixture, by both labels", async () => {
    const { loss, read, logits } = await measured({ ...MIXED, mixup_keep: 0, mixup_at: "embedding" });
    const { partners, shares } = mixture(batch.places, N, { beta: 0.7, seed: 7 });
    const losses = labels.map((label, i) => {
      const [j, share] = [partners[i]!, shares[i]!];
      const row = Array.from({ length: D }, (_, k) => share * x[D * i + k]! + (1 - share) * x[D * j + k]!);
      const z = logits(read(row));
      return share * nll(z, label) + (1 - share) * nll(z, labels[j]!);
    });
    expect(loss).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / N, 5);
  });

  test("contrast of rows of a class, beside the labels' cross-entropy", async () => {
    const found = await measured({ ...MIXED, mixup: 0, contrastive: 0.5, contrastive_temperature: 0.3 });
    const { hidden, logits } = found;
    const unit = hidden.map((h) => h.map((value) => value / Math.hypot(...h)));
    const likeness = (i: number, j: number) => unit[i]!.reduce((sum, value, c) => sum + value * unit[j]![c]!, 0) / 0.3;
    const contrasts = labels.map((label, i) => {
      const others = labels.flatMap((_, j) => (j === i ? [] : [j]));
      const positives = others.filter((j) => labels[j] === label);
      const all = Math.log(others.reduce((sum, j) => sum + Math.exp(likeness(i, j)), 0));
      return positives.reduce((sum, j) => sum + (all - likeness(i, j)) / positives.length, 0);
    });
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / N;
    expect(found.contrast).toBeCloseTo(0.5 * mean(contrasts), 5);
    expect(found.loss).toBeCloseTo(mean(labels.map((label, i) => nll(logits(hidden[i]!), label))) + found.contrast, 5);
  });
});

test("texts of two lengths: the longer one's tokens stay whole where the other has none, and padding is not mixed", () => {
  const lengths = [3, 1];
  const pairing = { partners: Int32Array.of(1, 0), shares: Float32Array.of(0.75, 0.25) };
  const { places, own, others } = placesOf(pairing, 4, (row, at) => at < lengths[row]!);
  expect([...places]).toEqual([4, 5, 6, 7, 0, 1, 2, 3]);
  expect([...own]).toEqual([0.75, 1, 1, 0.75, 0.25, 0, 0, 0.25]);
  expect([...others]).toEqual([0.25, 0, 0, 0.25, 0.75, 1, 1, 0.75]);
});

const TEXTS = [
  { ids: [5, 6, 7], label: 0 },
  { ids: [8], label: 1 },
  { ids: [9, 4], label: 1 },
];

async function jsonOf(name: string): Promise<Json> {
  const vit = { model_type: "vit", image_size: 4, patch_size: 2, num_channels: 1, hidden_size: 8 };
  if (name === "vit")
    return { ...vit, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16, num_labels: 2 };
  const decoder = TINY_TEXT[name];
  if (!decoder) return TINY_ENCODERS[name]!;
  const { architecture } = await describeConfig(decoder, name);
  return classifierConfig(decoder, architecture, { head: "sequence", labels: 2, padding: 1 });
}

test.each(["bert", "distilbert", "roberta", "vit", "llama"])(
  "%s: a row that is mixed with itself stays, and by a share of 0 it is its partner",
  async (name) => {
    const gpu = await sharedGpu();
    const json = await jsonOf(name);
    const model = await Model.fresh(gpu, json, name, { seed: 2 });
    const examples = TEXTS.map(({ ids, label }, i) => ({
      ...(name === "vit"
        ? { x: normals(i, 16), shape: [1, 4, 4] }
        : { tokens: { ids: Int32Array.from(ids), types: new Int32Array(ids.length) } }),
      ...{ label, place: `rows:${i}`, group: 0 },
    }));
    const batch = stackExamples(examples as never);
    const programs = new Programs(gpu);
    const { program } = await programs.get("two", (rec) => {
      const inputs = recordInputs(rec, batch);
      rec.output(
        "mixed",
        model.record(rec, inputs, { replace: (name, x) => (name === FIRST ? mixedEmbeddings(rec, x) : x) }).hidden,
      );
      rec.output("plain", model.record(rec, inputs).hidden);
    });
    const ask = async (partners: readonly number[], shares: readonly number[]) => {
      fillInputs(program, batch);
      fillMixedEmbeddings(program, batch, { partners: Int32Array.from(partners), shares: Float32Array.from(shares) });
      program.run();
      return [await program.read("mixed"), await program.read("plain")] as const;
    };
    const close = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      for (let i = 0; i < a.length; i++) expect(a[i]!).toBeCloseTo(b[i]!, 5);
    };
    const [alone, plain] = await ask([0, 1, 2], [0.3, 0.6, 0.5]);
    close(alone, plain);
    // A share of 0 of a row no longer than its partner is the partner; of 1, itself.
    const [swapped] = await ask([0, 0, 0], [1, 0, 0]);
    const width = plain.length / 3;
    for (const row of [0, 1, 2])
      close(swapped.slice(row * width, (row + 1) * width), (await ask([0, 1, 2], [1, 1, 1]))[0].slice(0, width));
    const [mixed] = await ask([1, 0, 0], [0.5, 0.5, 0.5]);
    close(mixed.slice(0, width), mixed.slice(width, 2 * width)); // halves of two are halves of the same two
    expect(Math.hypot(...mixed.slice(0, width).map((value, i) => value - plain[i]!))).toBeGreaterThan(1e-3);
    programs.free();
    model.free();
  },
);

describe("through the script", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-mixup-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const rows = Array.from({ length: 24 }, (_, i) => {
    const x = [...normals(50 + i, 4)].map((value) => Number(value.toFixed(3)));
    return { x: x.map((value, j) => (j === i % 3 ? value + 2 : value)), label: i % 3 };
  });
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(
    join(folder, "net.json"),
    JSON.stringify({ model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 3 }),
  );
  const train = (options: string, out: string) => {
    const line = `--init net.json --data rows.jsonl --batch-size 8 --lr 0.02 -q ${options} -o ${out}`;
    return runScript("train", line.split(" "), folder);
  };
  const bytes = (out: string) => readFileSync(join(folder, out));

  test("both losses train, and 0 changes nothing", async () => {
    const line = "--steps 6 --mixup 0.4 --contrastive 0.5";
    expect((await train(`${line} --mixup-at embedding`, "inner.safetensors")).err).toBe("");
    expect((await train(line, "whole.safetensors")).err).toBe("");
    expect((await train("--steps 6", "plain.safetensors")).err).toBe("");
    expect((await train("--steps 6 --mixup 0 --contrastive 0", "none.safetensors")).err).toBe("");
    const body = (file: Buffer) => file.subarray(8 + Number(file.readBigUInt64LE(0)));
    expect(body(bytes("none.safetensors"))).toEqual(body(bytes("plain.safetensors")));
    const [whole, inner, plain] = ["whole", "inner", "plain"].map((name) => body(bytes(`${name}.safetensors`)));
    expect(whole).not.toEqual(plain);
    expect(inner).not.toEqual(plain);
    expect(inner).not.toEqual(whole);
  });

  test("what has no classes is refused", async () => {
    writeFileSync(join(folder, "text.jsonl"), `${JSON.stringify({ input_ids: [1, 2, 3] })}\n`);
    const llama = { model_type: "llama", vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1 };
    writeFileSync(join(folder, "lm.json"), JSON.stringify({ ...llama, num_attention_heads: 1 }));
    const line = "--init lm.json --data text.jsonl --steps 1 -q -o lm.safetensors";
    for (const option of ["--mixup 0.2", "--contrastive 1"]) {
      const { err, code } = await runScript("train", `${line} ${option}`.split(" "), folder);
      expect(code).toBe(2);
      expect(err).toContain(`${option.split(" ")[0]} is for classifiers`);
    }
  });
});
