/**
 * Losses of preferences and their gradients against TRL's, on given logits: DPO with all its forms, divergences and
 * weights, ORPO, CPO, SimPO and KTO. test/golden/align has the values.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { preferenceBatch } from "../../src/align/preferences/batches.ts";
import type { PreferenceGiven, PreferenceMethod } from "../../src/align/preferences/contract.ts";
import { preferenceObjective } from "../../src/align/preferences/objective.ts";
import type { Item } from "../../src/align/preferences/rows.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { targetsOf } from "../../src/data/targets.ts";
import { type Bound, bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { lossOfLogits } from "./stand-in.ts";

const FOLDER = join(import.meta.dir, "../golden/align");
const gpu = await sharedGpu();

interface Case {
  readonly loss_type: string;
  readonly loss: number;
  readonly grad: string;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly [setting: string]: unknown;
}
type Files = Record<string, { readonly kind: string; readonly cases: readonly Case[] }>;
const files: Files = await Bun.file(join(FOLDER, "cases.json")).json();

interface Rows {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

async function tensorsOf(name: string): Promise<Record<string, Rows>> {
  const checkpoint = await openPlain(join(FOLDER, `${name}.safetensors`));
  const found: Record<string, Rows> = {};
  for (const [key, entry] of checkpoint.tensors) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found[key] = {
      shape: entry.shape,
      data: entry.dtype === "F32" ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer),
    };
  }
  checkpoint.close();
  return found;
}

/** The rows of a file as sequences, and where each of their positions stands in it. */
class GoldenRows {
  readonly length: number;
  readonly width: number;
  readonly sequences;
  readonly #places: readonly (readonly number[])[];

  constructor(tensors: Record<string, Rows>, prefix = "") {
    const [rows, length, width] = tensors[`${prefix}logits`]!.shape as [number, number, number];
    [this.length, this.width] = [length, width];
    const mask = tensors[`${prefix}completion_mask`]!.data;
    const ids = tensors[`${prefix}input_ids`]!.data;
    const attention = tensors[`${prefix}attention_mask`]?.data;
    const places = Array.from({ length: rows }, (_, row) =>
      Array.from({ length }, (_, t) => row * length + t).filter((at) => attention === undefined || attention[at] === 1),
    );
    this.#places = places;
    this.sequences = places.map((own, row) => ({
      ids: Int32Array.from(own, (at) => ids[at]!),
      labels: Int32Array.from(own, (at) => (mask[at] === 1 ? ids[at]! : -100)),
      group: 0,
      place: `row ${row}`,
    }));
  }

  /** Values of the file (rows, length, width) at the places of a batch of rows of `length` positions. */
  spread(values: ArrayLike<number>, length: number): Float32Array {
    const all = new Float32Array(this.#places.length * length * this.width);
    this.#each(length, (from, to) => {
      for (let v = 0; v < this.width; v++) all[to + v] = values[from + v]!;
    });
    return all;
  }

  /** The way back. */
  gathered(values: ArrayLike<number>, length: number): Float32Array {
    const all = new Float32Array(this.#places.length * this.length * this.width);
    this.#each(length, (to, from) => {
      for (let v = 0; v < this.width; v++) all[to + v] = values[from + v]!;
    });
    return all;
  }

  #each(length: number, act: (from: number, to: number) => void): void {
    for (const [row, own] of this.#places.entries())
      for (const [t, at] of own.entries()) act(at * this.width, (row * length + t) * this.width);
  }
}

/** -log probability of each target under rows of logits, in f64; 0 where there is none. */
const nllOf = (logits: Float32Array, targets: Int32Array, width: number): Float32Array =>
  Float32Array.from(targets, (target, i) => {
    if (target < 0) return 0;
    const row = logits.subarray(i * width, (i + 1) * width);
    const most = Math.max(...row);
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most - row[target]!;
  });

/** Our method and settings for a case of TRL's. */
async function chosenFor(
  one: Case,
): Promise<{ chosen: Bound<PreferenceMethod>; pairLosses: PreferenceGiven["pairLosses"] }> {
  const { loss_type: type, beta } = one;
  const bound = async (name: string, given: Record<string, unknown>) =>
    bindDefaults(await loadMethod("align", name), { beta, ...given }) as Bound<PreferenceMethod>;
  if (type === "kto")
    return { chosen: await bound("kto", pick(one, ["desirable_weight", "undesirable_weight"])), pairLosses: [] };
  if (type === "apo_zero_unpaired") return { chosen: await bound("kto", { kto_anchor: "zero" }), pairLosses: [] };
  if (type === "orpo") return { chosen: await bound("orpo", {}), pairLosses: [] };
  if (type.startsWith("cpo/")) {
    const form = type.slice(4);
    const given = pick(one, ["label_smoothing"]);
    const weight = { cpo_alpha: one.cpo_alpha ?? (form === "simpo" ? 0 : 1) };
    if (form === "simpo")
      return {
        chosen: await bound("simpo", { gamma: one.simpo_gamma, alpha_reward: one.alpha ?? 0, ...given, ...weight }),
        pairLosses: [],
      };
    return { chosen: await bound("cpo", { cpo_loss: form, ...given, ...weight }), pairLosses: [] };
  }
  const weights = (one.weights as number[] | undefined) ?? [];
  const pairLosses = await Promise.all(
    type.split("+").map(async (name, i) => ({
      ...bindDefaults(await loadMethod("pair-loss", name), pick(one, ["label_smoothing"])),
      weight: weights[i] ?? 1,
    })),
  );
  const divergence = {
    reverse_kl: "reverse-kl",
    forward_kl: "forward-kl",
    js_divergence: "js",
    alpha_divergence: "alpha",
  };
  const f = one.f as keyof typeof divergence | undefined;
  return {
    chosen: await bound("dpo", {
      ...(f ? { divergence: divergence[f] } : {}),
      ...(one.falpha === undefined ? {} : { divergence_alpha: one.falpha }),
      ...(one.ld_alpha === undefined ? {} : { tail_weight: one.ld_alpha }),
      wpo: one.wpo === true,
    }),
    pairLosses,
  };
}

const pick = (one: Case, names: readonly string[]) =>
  Object.fromEntries(names.filter((name) => one[name] !== undefined).map((name) => [name, one[name]]));

const nameOf = ({ metrics: _, loss: __, grad: ___, ...settings }: Case) =>
  Object.entries(settings)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const LOGGED = {
  "rewards/chosen": "reward_chosen",
  "rewards/rejected": "reward_rejected",
  "rewards/margins": "margin",
  "rewards/accuracies": "accuracy",
} as const;

for (const [file, { kind, cases }] of Object.entries(files).filter(([name]) => !name.startsWith("policy")))
  describe(file, async () => {
    const tensors = await tensorsOf(file);
    const rows = new GoldenRows(tensors);
    const kl = kind === "kto" ? new GoldenRows(tensors, "kl_") : undefined;
    const half = rows.sequences.length / 2;
    const items: Item[] = kl
      ? rows.sequences.map((first, i) => ({
          first,
          second: kl.sequences[i]!,
          wanted: tensors.desirable!.data[i] === 1,
        }))
      : rows.sequences.slice(0, half).map((first, i) => ({ first, second: rows.sequences[half + i]!, wanted: true }));
    const batch = preferenceBatch(items, [...items.keys()], 0);
    const { length } = batch.tokens;
    const spread = (name: string) => {
      const own = rows.spread(tensors[name]!.data, length);
      return kl ? Float32Array.from([...own, ...kl.spread(tensors[`kl_${name}`]!.data, length)]) : own;
    };
    const logits = spread("logits");
    const targets = targetsOf(batch.tokens);
    const reference = tensors.ref_logits ? nllOf(spread("ref_logits"), targets, rows.width) : undefined;

    for (const one of cases)
      test(nameOf(one), async () => {
        const { chosen, pairLosses } = await chosenFor(one);
        const { metrics, gradient } = await lossOfLogits(gpu, {
          ...{ logits, width: rows.width, batch, tokens: batch.tokens, values: { reward_mean: 0 } },
          objective: (model) =>
            preferenceObjective({
              ...{ model, chosen, pairLosses, recompute: false },
              reference: reference ? ({ of: () => reference } as never) : undefined,
            }),
        });
        expect(Math.abs(metrics.loss! - one.loss)).toBeLessThan(Math.max(2e-6, 2e-5 * Math.abs(one.loss)));
        const wanted = tensors[one.grad]!.data;
        const own = rows.gathered(gradient, length);
        const largest = worst(wanted, new Float32Array(wanted.length));
        expect(worst(own, wanted)).toBeLessThan(1e-5 * largest + 1e-7);
        if (typeof one.kl === "number" && one.loss_type === "kto") expect(metrics.kl).toBeCloseTo(one.kl, 5);
        for (const [theirs, ours] of Object.entries(LOGGED))
          if (one.metrics?.[theirs] !== undefined) expect(metrics[ours]).toBeCloseTo(one.metrics[theirs]!, 4);
      });
  });
