/** `train boost`: a perceptron of one hidden layer, built by boosting; the fits need no GPU. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { saveModel } from "../../model/save.ts";
import { describeModel } from "../../run/open-model.ts";
import { start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { type BoostedBlock, type BoostingRows, boosted, type Fused } from "../layers/boosting.ts";
import type { BOOST } from "../layers/boosting-options.ts";

/** Units of the one hidden layer. Throws UserError for another network. */
function unitsOf(json: Readonly<Record<string, unknown>>, ref: string): number {
  const { model_type: type, hidden_sizes: sizes, hidden_act: act } = json;
  if (type === "mlp" && act === "sigmoid" && Array.isArray(sizes) && sizes.length === 1 && sizes[0] > 0)
    return Number(sizes[0]);
  throw new UserError(
    `train boost builds perceptrons of one hidden layer of sigmoids, and ${ref} describes another model`,
    'give {"model_type": "mlp", "input_size": 16, "hidden_sizes": [100], "num_labels": 4, "hidden_act": "sigmoid"}',
  );
}

function rowsOf(examples: readonly Example[], outputs: number, isClasses: boolean): BoostingRows {
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  const inputs = numbers[0]?.x.length ?? 0;
  const x = new Float64Array(numbers.length * inputs);
  const y = new Float64Array(numbers.length * outputs);
  for (const [row, { x: own, label, y: wanted }] of numbers.entries()) {
    x.set(own, row * inputs);
    if (isClasses) y[row * outputs + label] = 1;
    else y.set(wanted ?? [], row * outputs);
  }
  return { x, y, count: numbers.length, inputs, outputs, isClasses };
}

/** Tensors of the model, by name. */
const tensorsOf = ({ w, b, v, c }: Fused): Readonly<Record<string, Float64Array>> => ({
  "layers.0.weight": w,
  "layers.0.bias": b,
  "classifier.weight": v,
  "classifier.bias": c,
});

export async function boost(context: Context<typeof BOOST>): Promise<Outcome> {
  const { options, seed, out, progress, signal } = context;
  const warn = (text: string) => context.warn(text);
  const begun = await start({ init: options.init, model: undefined, seed, warn });
  context.onExit(() => begun.close());
  const units = unitsOf(begun.json, options.init);
  const described = await describeModel(begun, {}, warn);
  const { examples: reader, sizes } = described;
  const examples = await loadExamples(groupsOf(options.data, "--data", options.columns), {
    ...reader,
    takesNumbers: true,
  });
  if (examples.length === 0) throw new UserError("--data has no rows", "give rows of x and label");
  const isClasses = reader.predicts === undefined;
  const rows = rowsOf(examples, sizes.outputs, isClasses);
  const blocks = Math.ceil(units / options.block);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await begun.load(gpu);
  const shape = [...model.parameters.keys()].sort().join();
  if (shape !== "classifier.bias,classifier.weight,layers.0.bias,layers.0.weight")
    throw new UserError(`${options.init} has more than two layers: ${shape}`, "leave out norms and further heads");
  if (context.dryRun) {
    context.print(`${blocks} blocks of ${options.block} units on ${rows.count} rows`);
    context.json({ blocks, units, rows: rows.count });
    return {};
  }
  progress.start({ total: blocks, unit: "blocks" });
  const found: BoostedBlock[] = [];
  const { net } = await boosted(rows, { ...options, units, fitRate: options.fit_rate, seed }, async (block) => {
    found.push(block);
    context.log.event("block", { ...block });
    progress.advance(1);
    await Bun.sleep(0); // lets Ctrl-C through
    signal.throwIfAborted();
  });
  progress.done();
  for (const [name, values] of Object.entries(tensorsOf(net)))
    model.parameters.get(name)!.write(Float32Array.from(values));
  const step = { script: "train boost", version: context.version, options: context.chosen, seed };
  const data = options.data.map((ref) => ({ ref, role: "data" }));
  const lineage = lineageOf(step, [], warn, [...begun.others, ...data]);
  const bytes = await saveModel(model, out, { files: described.files, lineage });
  model.free();
  const loss = found.at(-1)!.loss;
  context.json({ blocks, units, rows: rows.count, loss, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `${units} units, loss ${loss.toFixed(4)}`,
  };
}
