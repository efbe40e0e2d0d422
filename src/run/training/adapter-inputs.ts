/** How an adapter begins where that depends on what layers read: rows of the training data go through the base. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { InputInit, LayerInputs } from "../../model/adapters/adapter-init.ts";
import { targetModules } from "../../model/adapters/targets.ts";
import type { Model } from "../../model/model.ts";
import type { HostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import { hostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../tensor/linear-algebra/truncated-svd.ts";
import { type InputScatter, inputScatter } from "../gram/input-scatter.ts";
import { readBatches } from "./batch-source.ts";
import type { Opened, RunContext } from "./technique.ts";

/** Which adapter begins so. */
export interface InputsWanted {
  readonly init: Bound<InputInit>;
  readonly rank: number;
  readonly targets: readonly string[] | undefined;
}

/** What gives A of every layer that is adapted, on the base without an adapter. */
export type MeasureInputs = (base: Model, wanted: InputsWanted) => Promise<ReadonlyMap<string, HostMatrix>>;

/**
 * On the first rows that --data gives to training, in its order, as many as the method asks for. Throws UserError where
 * there is no --data.
 */
export const measuringData =
  ({ options, signal, info }: Pick<RunContext, "options" | "signal" | "info">, opened: Opened): MeasureInputs =>
  async (base, { init: { method, values }, rank, targets }) => {
    if (!options.data)
      throw new UserError(
        `--adapter-init ${method.name} measures on the rows of --data, and there is none`,
        "choose another way to begin, or leave it out",
      );
    const { components, rows } = method.asks(rank, values);
    const source = await readBatches(options, opened);
    const batches: Batch[] = [];
    for (let read = 0, first = true; read < rows; first = false) {
      const { batch, epoch } = await source.next();
      if (epoch > 0 && !first) break;
      batches.push(batch);
      read += batch.rows;
    }
    const wanted = targetModules(opened.architecture.parameters(opened.config), targets).map(({ module }) => module);
    const layers = await layersOf(base, batches, { wanted, components, signal });
    const planned = method.plan({ layers, rank, values });
    const ranks = [...planned.values()].map((a) => a.rows);
    if (ranks.length === 0)
      throw new UserError(
        `--adapter-init ${method.name}: what the layers read does not vary over these rows`,
        "give more rows whose loss counts",
      );
    const dropped = wanted.length - ranks.length;
    info(
      `--adapter-init ${method.name}: ranks ${Math.min(...ranks)} to ${Math.max(...ranks)} on ${ranks.length} layers` +
        (dropped > 0 ? `; ${dropped} have none and stay as they are` : ""),
    );
    return planned;
  };

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
    throw new UserError(
      `what ${module} reads cannot be measured`,
      "choose other modules in --lora-targets, or another --adapter-init",
    );
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
