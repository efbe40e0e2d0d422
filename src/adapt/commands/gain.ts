/** `adapt gain`: gains of a model's channels for unlabelled rows of a new kind, as an adapter of IA3's form. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import type { Batch } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { measureGramMatrices } from "../../run/gram/gram-matrices.ts";
import { measureInputMeans } from "../../run/gram/input-means.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { channelGains, type GainLayer, type InputMoments } from "../gain/closed-form.ts";
import type { GAIN } from "../options.ts";

type GainContext = Context<typeof GAIN>;

/** First layers of networks of two, whose channels are the inner ones. */
const INNER = /(^|\.)(up_proj|mlp\.c_fc|fc1|dense_h_to_4h|lin1|intermediate\.dense)$|^layers\.\d+$/;
const PREFIX = "base_model.model.";
const PART = ".ia3_l";

/** The layers whose channels get gains, by module. */
const gained = (model: Model): string[] =>
  (model.adapter?.tensors() ?? []).flatMap(({ name }) =>
    name.startsWith(PREFIX) && name.endsWith(PART) ? [name.slice(PREFIX.length, -PART.length)] : [],
  );

/** What the layers read on some batches. */
async function momentsOf(
  model: Model,
  batches: readonly Batch[],
  modules: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Map<string, InputMoments>> {
  const only = (module: string) => modules.has(module);
  const means = await measureInputMeans(model, batches, { only, signal });
  using grams = await measureGramMatrices(model, batches, { only, signal });
  const found = new Map<string, InputMoments>();
  for (const { name, shape, buffer, start } of grams.matrices()) {
    const module = name.replace(/@in-first$/, "").replace(/\.weight$/, "");
    const values = await model.gpu.readFloats(buffer, shape[0]! * shape[1]!, 4 * start);
    const gram = Float64Array.from(values, (sum) => sum * grams.share);
    found.set(module, { gram, mean: means.get(module)! });
  }
  return found;
}

/** A layer's weight as (out, in), and its bias. */
async function layerOf(gpu: Gpu, model: Model, module: string): Promise<GainLayer> {
  const parameter = model.parameters.get(`${module}.weight`)!;
  const [first = 0, second = 0] = parameter.shape;
  const values = await gpu.readFloats(parameter.buffer, parameter.size);
  const turned = model.isInFirst(parameter);
  const [out, into] = turned ? [second, first] : [first, second];
  const at = (i: number) => (turned ? values[(i % into) * out + Math.floor(i / into)]! : values[i]!);
  const bias = model.parameters.get(`${module}.bias`);
  return {
    out,
    into,
    weight: Float64Array.from(values, (_, i) => at(i)),
    bias: bias && Float64Array.from(await gpu.readFloats(bias.buffer, bias.size)),
  };
}

/** A layer's gains in numbers. */
interface Told {
  readonly module: string;
  readonly least: number;
  readonly mean: number;
  readonly most: number;
}

/** Sets the gains of all layers. Throws UserError where a layer gives nothing. */
async function setGains(
  context: GainContext,
  gpu: Gpu,
  model: Model,
  batches: { readonly known: readonly Batch[]; readonly now: readonly Batch[] },
): Promise<Told[]> {
  const { options, signal } = context;
  const modules = gained(model);
  const picked = new Set(modules);
  const known = await momentsOf(model, batches.known, picked, signal);
  const now = await momentsOf(model, batches.now, picked, signal);
  const told: Told[] = [];
  for (const module of modules) {
    const layer = await layerOf(gpu, model, module);
    const gains = channelGains(layer, { known: known.get(module)!, now: now.get(module)! }, options);
    if (!gains)
      throw new UserError(`${module} gives nothing but zeros on the rows, and has no gains`, "leave it out: --targets");
    model
      .adapter!.tensors()
      .find(({ name }) => name === PREFIX + module + PART)!
      .write(Float32Array.from(gains));
    const [least, most] = [gains.reduce((a, b) => Math.min(a, b)), gains.reduce((a, b) => Math.max(a, b))];
    told.push({ module, least, mean: gains.reduce((a, b) => a + b) / gains.length, most });
    context.progress.advance(1);
  }
  return told;
}

export async function adaptGain(context: GainContext): Promise<Outcome> {
  const { options, out, args, seed } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name one");
  const files = [...options.data, ...options.reference].map((data) => data.slice(data.indexOf("=") + 1));
  refuseInputs(out, [ref, ...files]);
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint } = opened;
  context.onExit(() => checkpoint.close());
  const read = async (data: readonly string[], flag: string) => {
    const groups = groupsOf(data, flag, options.columns);
    // Labels are not looked at.
    const reader = { ...opened, examples: { ...opened.examples, unlabelled: true } };
    return readBatches(groups, reader, options.batch_size);
  };
  const [now, known] = [await read(options.data, "--data"), await read(options.reference, "--reference")];
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const type = bindDefaults(await loadMethod("adapter", "ia3"), { feedforward_modules: [] });
  const inner = [...checkpoint.tensors.keys()].flatMap((name) => {
    const module = name.replace(/\.weight$/, "");
    return name.endsWith(".weight") && INNER.test(module) ? [module] : [];
  });
  const targets = options.targets ?? inner;
  if (targets.length === 0)
    throw new UserError(`${ref} has no layers that are known to be the first of two`, "name some: --targets");
  const adapter = { type, targets, seed, base: ref };
  const model = await Model.load(gpu, checkpoint, { dtype: "f32", adapter });
  const layers = gained(model).length;
  if (context.dryRun) {
    context.print(`gains of ${layers} layers, from ${now.rows} new rows and ${known.rows} known ones`);
    context.json({ layers, rows: now.rows, reference_rows: known.rows, out });
    return {};
  }
  context.progress.start({ total: layers, unit: "layers" });
  const told = await setGains(context, gpu, model, { known: known.batches, now: now.batches });
  context.progress.done();
  const step = { script: "adapt gain", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  const bytes = await saveModel(model, out, { files: new Map(), lineage });
  model.free();
  for (const { module, least, mean, most } of told)
    context.info(`${module}: gains ${least.toFixed(3)} to ${most.toFixed(3)}, mean ${mean.toFixed(3)}`);
  context.json({ layers: told, rows: now.rows, reference_rows: known.rows, out, bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})` };
}
