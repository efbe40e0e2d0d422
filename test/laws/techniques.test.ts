/**
 * The laws that attacks and probes claim, on tiny models that were never trained, each under its own quick settings.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { open } from "../../src/checkpoint/open.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import type { Task } from "../../src/data/task.ts";
import { type Findings, TECHNIQUE_LAWS, type Technique, type TechniqueLaw } from "../../src/evaluate/technique.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import type { OptionSpec } from "../../src/method/options.ts";
import { loadMethod, loadMethods, methodNames } from "../../src/method/registry.ts";
import { method as mixer } from "../../src/model/adapters/methods/lora-mixer.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { ModelLoader } from "../../src/run/measuring/loaded-model.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_DUO, TINY_EXAMPLES, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-technique-laws-"));
const techniques = [...(await loadMethods("attack")), ...(await loadMethods("probe"))];
const NAMES = ["first", "second", "gold"] as const;
const checkpoints = new Map<string, Checkpoint>();
const GROUP = { name: "forget", path: join(folder, "rows.jsonl") };
const EXAMPLES = { name: "forget", path: join(folder, "examples.jsonl") };
const SHOP = { name: "forget", path: join(folder, "shop.jsonl") };
/**
 * What comes before the name of a classifier, of a model under an adapter with routers, of one with a tokenizer, of a
 * mixture of experts, and of experts for several tasks.
 */
const [CLASSIFIER, ROUTED, SPEAKING, SPARSE, HOME] = ["classifier-", "routed-", "speaking-", "sparse-", "home-"];
const { input_size, num_labels } = TINY_EXAMPLES.mlp!;
const HOME_JSON: Json = { model_type: "mlp-home", num_tasks: 1, input_size: input_size!, num_labels: num_labels! };
/** Names of classifiers whose units are switched begin with it. */
const SWITCHED = "switched-";
/** Names of denoisers begin with it. */
const NOISY = "noisy-";
const NOISY_JSON: Json = { model_type: "denoiser", input_size: input_size!, num_labels: 2, hidden_size: 8 };
/** Names of classifiers whose inputs are clustered begin with it. */
const CLUSTERED = "clustered-";
/** Names of decoders with two sizes of feed-forward networks begin with it. */
const TWO_SIZES = "two-sizes-";

const COMPETING = [`a=0`, `b=1-${Number(TINY_EXAMPLES.mlp!.input_size) - 1}`];

/** What single techniques need beside models and rows. */
interface Needs {
  readonly before?: string;
  readonly general?: string;
  readonly group?: typeof GROUP;
  /** A second group of rows. */
  readonly compares?: true;
  /** Settings in the place of quick ones. */
  readonly settings?: Readonly<Record<string, unknown>>;
}
const NEEDS: Readonly<Record<string, Needs>> = {
  "group-parity": { compares: true },
  "cluster-routes": { before: CLUSTERED },
  "compliance-gap": {
    before: SPEAKING,
    group: SHOP,
    settings: { compliance_gap_samples: 1, compliance_gap_tokens: 1, compliance_gap_draws: 4 },
  },
  "hindsight-gap": { before: SPEAKING, group: SHOP },
  // Two of its four ways of learning.
  "forgetting-paradigm": { settings: { forgetting_paradigm_kl: 0, forgetting_paradigm_attempts: 0 } },
  "adapter-routes": { before: ROUTED },
  // Of the classifier's inputs, all.
  "compute-oracle": { before: TWO_SIZES },
  competition: { settings: { competition_sources: COMPETING } },
  "dynamic-width": { before: SWITCHED },
  "expert-collapse": { before: HOME },
  "expert-degradation": { before: HOME },
  "expert-underfitting": { before: HOME },
  "expert-load": { before: SPARSE },
  "expert-plan": { before: SPARSE, settings: { expert_plan_workers: 2, expert_plan_rows: 1, expert_plan_lambda: 1 } },
  "prune-regime": { settings: { prune_regime_densities: [0.5], prune_regime_points: 3, prune_regime_epochs: 1 } },
  "lbl-gap": { before: SPARSE },
  pathway: { before: SPARSE },
  "layer-range": { general: "layer_range_general" },
  "number-format": { settings: { number_format_names: "int8,mxfp4" } },
  "ability-scaling": {
    compares: true,
    settings: {
      ...{ ability_scaling_fractions: [1], ability_scaling_ways: ["alone", "mixed"] },
      ...{ ability_scaling_epochs: 1, ability_scaling_held: 0.5 },
    },
  },
  "early-signal": {
    settings: {
      ...{ early_signal_batches: [2], early_signal_rates: [1e-3, 2e-3, 4e-3] },
      ...{ early_signal_rows: 6, early_signal_held: 0.5 },
    },
  },
  "finetune-scaling": {
    settings: { finetune_scaling_sizes: [1, 2], finetune_scaling_seeds: 1, finetune_scaling_held: 0.5 },
  },
  "mixing-law": { compares: true, settings: { mixing_law_drawn: 0, mixing_law_steps: 3, mixing_law_held: 0.5 } },
  "stability-gap": {
    settings: { stability_gap_new: "forget", stability_gap_steps: 12, stability_gap_every: 4, stability_gap_held: 0.5 },
  },
  rewarm: {
    settings: {
      ...{ rewarm_old: "forget", rewarm_new: "forget", rewarm_warmups: [0], rewarm_peaks: [1] },
      ...{ rewarm_steps: 3, rewarm_held: 0.5 },
    },
  },
  prune: { general: "prune_group", settings: { prune_shares: [0.1], prune_blocks: 1, original: undefined } },
  hdc: { general: "hdc_new", settings: { hdc_bits: 256 } },
  "energy-distance": { before: NOISY, group: EXAMPLES, settings: { energy_distance_rows: 12 } },
};

beforeAll(async () => {
  for (const [seed, name] of NAMES.entries()) {
    const model = await made(name, TINY_TEXT.llama!, seed);
    // The rows are what the first model says by itself: it knows them all.
    if (name === "first") await writeRows(model);
    model.free();
    (await made(`${CLASSIFIER}${name}`, TINY_EXAMPLES.mlp!, seed)).free();
    (await made(`${SWITCHED}${name}`, { ...TINY_EXAMPLES.mlp, dynamic_width: { mass: 0.5 } }, seed)).free();
    (await made(`${CLUSTERED}${name}`, { ...TINY_EXAMPLES.mlp, cluster_route: { clusters: 2 } }, seed)).free();
    await routed(name, seed);
    (await made(`${SPARSE}${name}`, TINY_EXPERTS.mixtral!, seed)).free();
    (await made(`${TWO_SIZES}${name}`, TINY_DUO, seed)).free();
    (await made(`${HOME}${name}`, HOME_JSON, seed)).free();
    (await made(`${NOISY}${name}`, NOISY_JSON, seed)).free();
    (await made(`${SPEAKING}${name}`, { ...TINY_TEXT.llama!, vocab_size: 264 }, seed, byteTokenizer().files)).free();
  }
  const rows = Array.from({ length: 12 }, (_, i) => ({
    x: Array.from({ length: Number(TINY_EXAMPLES.mlp!.input_size) }, (_, j) => Math.sin(i + 3 * j)),
    label: i % 2,
  }));
  const shop = (await loadMethod("task", "shop")) as Task;
  const advice = shop.open({ seed: 0, split: "train" }, bindDefaults(shop).values);
  writeFileSync(SHOP.path, Array.from({ length: 12 }, (_, i) => `${JSON.stringify(advice.row(i))}\n`).join(""));
  writeFileSync(EXAMPLES.path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
});

/** A fresh model, and its checkpoint under a name. */
async function made(
  name: string,
  json: Json,
  seed: number,
  more: ReadonlyMap<string, Uint8Array> = new Map(),
): Promise<Model> {
  const model = await Model.fresh(gpu, json, name, { seed });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))], ...more]);
  await saveModel(model, join(folder, `${name}/`), { files, lineage: [] });
  checkpoints.set(name, await open(join(folder, name)));
  return model;
}

/** The model under an adapter with routers. */
async function routed(name: string, seed: number): Promise<void> {
  const type = bindDefaults(mixer, { adapter_rank: 2, mixer_experts: 3 });
  const adapter = { type, seed: seed + 1, targets: ["q_proj"] };
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, name, { seed, adapter });
  await saveModel(model, join(folder, `${ROUTED}${name}/`), { files: new Map(), lineage: [] });
  model.free();
  const ref = `${join(folder, name)}+${join(folder, `${ROUTED}${name}`)}`;
  checkpoints.set(`${ROUTED}${name}`, await open(ref, { live: true }));
}

afterAll(() => {
  for (const checkpoint of checkpoints.values()) checkpoint.close();
  rmSync(folder, { recursive: true, force: true });
});

async function writeRows(model: Model): Promise<void> {
  const generator = new Generator(model);
  const prompts = Array.from({ length: 6 }, (_, i) => [i + 1, 2 * i + 7, 40 - i]);
  const answers = await generator.complete(prompts, { ...GREEDY, maxTokens: 3, stop: [], batch: 6 });
  generator.free();
  const rows = prompts.map((prompt, i) => {
    const ids = [...prompt, ...answers[i]!];
    return { input_ids: ids, labels: ids.map((id, at) => (at < prompt.length ? -100 : id)) };
  });
  writeFileSync(GROUP.path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

/** A value that costs little: the default, but for counts. */
const quick = ({ type, default: value }: OptionSpec): unknown =>
  type.includes("integer") && type.endsWith("[]") ? [2, 4] : typeof value === "number" && value > 4 ? 4 : value;

async function findings(
  technique: Technique,
  candidates: readonly string[],
  seed = 0,
  heard = { totals: [] as number[], done: 0 },
): Promise<Findings> {
  const {
    general,
    settings: own = {},
    before = technique.task === "classifier" ? CLASSIFIER : "",
  } = NEEDS[technique.name] ?? {};
  const settings = Object.fromEntries(
    Object.entries(technique.options).map(([name, spec]) => [name, own[name] ?? quick(spec)]),
  );
  if (general !== undefined) settings[general] = "general";
  const names = technique.metrics ?? ["probability"];
  const metrics = await Promise.all(names.map(async (name) => bindDefaults(await loadMethod("metric", name))));
  const options = { dtype: "keep", batch_size: 4, max_tokens: 4 } as const;
  const signal = new AbortController().signal;
  const progress = {
    start: ({ total }: { total: number }) => void heard.totals.push(total),
    advance(rows: number) {
      heard.done += rows;
    },
  };
  const loader = new ModelLoader({ gpu, metrics, options, signal, progress, warn: () => {} });
  const { group = technique.task === "classifier" ? EXAMPLES : GROUP, compares } = NEEDS[technique.name] ?? {};
  const of = (name: string) => checkpoints.get(before + name)!;
  const known = of("first");
  return technique.run({
    values: bindDefaults(technique, settings).values,
    metrics,
    groups: general === undefined && !compares ? [group] : [group, { ...group, name: "general" }],
    forget: group.name,
    holdout: "holdout",
    candidates: candidates.map(of),
    gold: of("gold"),
    mixed: () => undefined,
    named: Object.fromEntries((technique.models ?? []).map((name) => [name, known])),
    quantize: undefined,
    seed,
    signal,
    loader,
  });
}

const rowsOf = ({ json }: Findings, name: string) => json.rows.filter(({ model }) => model.endsWith(name));

const CHECKS: Readonly<Record<TechniqueLaw, (technique: Technique) => Promise<void>>> = {
  async reproducible(technique) {
    expect(await findings(technique, ["first", "second"])).toEqual(await findings(technique, ["first", "second"]));
  },
  async companions(technique) {
    const both = await findings(technique, ["second", "first"]);
    for (const name of ["first", "second"]) {
      const own = rowsOf(await findings(technique, [name]), name);
      expect(own.length).toBeGreaterThan(0);
      expect(rowsOf(both, name)).toEqual(own);
    }
  },
};

describe.each(techniques.map((technique) => [technique.name, technique] as const))("%s", (name, technique) => {
  test.each(claimed(technique.laws).map((law) => [TECHNIQUE_LAWS[law], law] as const))("%s", (_, law) =>
    CHECKS[law](technique),
  );

  test("has options that begin with its name, but for those that name models", () => {
    const own = Object.keys(technique.options).filter((option) => !(technique.models ?? []).includes(option));
    for (const option of own) expect(option).toStartWith(`${name.replaceAll("-", "_")}_`);
  });

  test("says how much there is to do, once and before any of it, and does as much", async () => {
    const heard = { totals: [] as number[], done: 0 };
    await findings(technique, ["second", "first"], 0, heard);
    expect(heard.totals).toEqual([heard.done]);
    expect(heard.done).toBeGreaterThan(10);
  });

  test("names metrics that there are", () => {
    for (const metric of technique.metrics ?? []) expect(methodNames("metric")).toContain(metric);
  });
});
