/** How an adapter begins where that depends on the data: rows of the training data go through the base. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type {
  BegunFactors,
  DataInit,
  InputInit,
  LayerInputs,
  MeasuredInit,
} from "../../model/adapters/adapter-init.ts";
import { expectBeginnable, weightOf } from "../../model/adapters/lora/taken-out.ts";
import { type Target, targetModules } from "../../model/adapters/targets.ts";
import type { ParameterSpec } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { hostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../tensor/linear-algebra/truncated-svd.ts";
import { type InputScatter, inputScatter } from "../gram/input-scatter.ts";
import { type LayerMeasure, layerCovariances, layerGradients } from "./adapter-measures.ts";
import { readBatches } from "./batch-source.ts";
import type { Opened, RunContext } from "./technique.ts";

/** Which adapter begins so. */
export interface InputsWanted {
  readonly init: Bound<DataInit>;
  readonly rank: number;
  /** s of B A. */
  readonly scale: number;
  readonly targets: readonly string[] | undefined;
}

type Planned = ReadonlyMap<string, BegunFactors>;

/** What gives how every layer that is adapted begins, on the base without an adapter. */
export type MeasureInputs = (base: Model, wanted: InputsWanted) => Promise<Planned>;

/** The first batches of a training, of so many rows or all that there are. */
export type FirstBatches = (rows: number, flag: string) => Promise<Batch[]>;

/** Batches of a source in its order, until there are enough rows or the data begin again. */
export async function firstBatches(
  next: () => Promise<{ readonly batch: Batch; readonly epoch: number }>,
  rows: number,
): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let read = 0, first = true; read < rows; first = false) {
    const { batch, epoch } = await next();
    if (epoch > 0 && !first) break;
    batches.push(batch);
    read += batch.rows;
  }
  return batches;
}

/**
 * On the first rows that --data gives to training, in its order, as many as the method asks for. Throws UserError where
 * there is no --data.
 */
export const measuringData = (context: Pick<RunContext, "options" | "signal" | "info">, opened: Opened) =>
  measuring(context, opened.architecture.parameters(opened.config), async (rows, flag) => {
    const { options } = context;
    if (!options.data)
      throw new UserError(
        `${flag} measures on the rows of --data, and there is none`,
        "choose another way to begin, or leave it out",
      );
    const source = await readBatches(options, opened);
    return firstBatches(async () => source.next(), rows);
  });

/** On the batches that are given. */
export const measuring =
  (
    { signal, info }: Pick<RunContext, "signal" | "info">,
    specs: readonly ParameterSpec[],
    batches: FirstBatches,
  ): MeasureInputs =>
  async (base, wanted) => {
    const targets = targetModules(specs, wanted.targets);
    const { init } = wanted;
    for (const target of targets) expectBeginnable(target, init, false);
    const flag = `--adapter-init ${init.method.name}`;
    if (isOfInputs(init)) {
      const { rows, components } = init.method.asks(wanted.rank, init.values);
      const modules = targets.map(({ module }) => module);
      const layers = await layersOf(base, await batches(rows, flag), { wanted: modules, components, signal });
      return planOf(layers, init, { rank: wanted.rank, flag, info });
    }
    const { method, values } = init as Bound<MeasuredInit>;
    const read = await batches(method.asks(wanted.rank, values).rows, flag);
    const measures = method.needs === "gradient" ? layerGradients : layerCovariances;
    return begunOf(base, measures(base, read, { targets, signal, flag }), { ...wanted, method, values });
  };

const isOfInputs = (init: Bound<DataInit>): init is Bound<InputInit> => init.method.needs === "inputs";

/** The plan of all layers. Throws UserError where no layer gets a rank. */
function planOf(
  layers: readonly LayerInputs[],
  { method, values }: Bound<InputInit>,
  { rank, flag, info }: { readonly rank: number; readonly flag: string; readonly info: (text: string) => void },
): Planned {
  const planned = method.plan({ layers, rank, values });
  const ranks = [...planned.values()].map(({ a }) => a.rows);
  if (ranks.length === 0)
    throw new UserError(
      `${flag}: what the layers read does not vary over these rows`,
      "give more rows whose loss counts",
    );
  const dropped = layers.length - ranks.length;
  info(
    `${flag}: ranks ${Math.min(...ranks)} to ${Math.max(...ranks)} on ${ranks.length} layers` +
      (dropped > 0 ? `; ${dropped} have none and stay as they are` : ""),
  );
  return planned;
}

/** Each layer from its weight and what was measured of it; one matrix after another is on the host. */
async function begunOf(
  base: Model,
  measures: AsyncGenerator<LayerMeasure>,
  { method, values, rank, scale }: Bound<MeasuredInit> & Pick<InputsWanted, "rank" | "scale">,
): Promise<Planned> {
  const { gpu } = base;
  const found = new Map<string, BegunFactors>();
  for await (const { target, measured } of measures) {
    const weight = await weightOf(gpu, weightAt(base, target), target);
    found.set(target.module, await method.begin({ weight, rank, scale, gpu, values, measured }));
  }
  return found;
}

function weightAt(base: Model, { module }: Target) {
  const weight = base.parameters.get(`${module}.weight`);
  if (weight) return weight;
  throw unmeasured(module);
}

const unmeasured = (module: string) =>
  new UserError(
    `what ${module} reads cannot be measured`,
    "choose other modules in --lora-targets, or another --adapter-init",
  );

/** Principal components of what the wanted modules read, in their order. Throws UserError for values not finite. */
export async function layersOf(
  base: Model,
  batches: readonly Batch[],
  how: { readonly wanted: readonly string[]; readonly components: number; readonly signal: AbortSignal },
): Promise<LayerInputs[]> {
  const { wanted, components, signal } = how;
  const chosen = new Set(wanted);
  const found = new Map<string, LayerInputs>();
  for await (const scatter of inputScatter(base, batches, { only: (module) => chosen.has(module), signal })) {
    const own = await componentsOf(base, scatter, components);
    for (const module of scatter.modules) found.set(module, { module, ...own });
  }
  return wanted.map((module) => {
    const own = found.get(module);
    if (own) return own;
    throw unmeasured(module);
  });
}

async function componentsOf({ gpu }: Model, { modules, width, values }: InputScatter, most: number) {
  let total = 0;
  for (let i = 0; i < width; i++) total += values[i * width + i]!;
  if (!Number.isFinite(total) || values.some((x) => !Number.isFinite(x)))
    throw new UserError(
      `what ${modules[0]} reads is not finite`,
      "the model's own weights are not finite, or these rows are not for it",
      1,
    );
  if (!(total > 0)) return { s: new Float64Array(0), components: hostMatrix(0, width), total: 0 };
  const { s, left } = await truncatedSvd({ rows: width, columns: width, values }, most, async () => gpu);
  return { s: s.map(Math.sqrt), components: left, total };
}
