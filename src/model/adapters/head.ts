/**
 * The head of a classifier beside an adapter: trained and saved whole, as PEFT does it with `modules_to_save`, since a
 * head is new where a classifier is made of a pretrained encoder.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Json } from "../architecture.ts";
import { heldValues } from "./held-values.ts";
import type { LiveAdapter } from "./live-adapter.ts";

const PREFIX = "base_model.model.";

/** Whether a tensor belongs to one of these modules. */
export const isOfHead = (name: string, modules: readonly string[] = []): boolean =>
  modules.some((module) => name.startsWith(`${module}.`));

/** A new adapter with copies of the weights of modules, in f32, that are trained; those of a head are among them. */
export async function withHead(
  gpu: Gpu,
  adapter: LiveAdapter,
  parameters: ReadonlyMap<string, Parameter>,
  modules: readonly string[],
  hasHead: boolean,
): Promise<LiveAdapter> {
  if (modules.length === 0) return adapter;
  const whole = new Map<string, Parameter>();
  for (const [name, parameter] of parameters) {
    if (!isOfHead(name, modules)) continue;
    const copy = new Parameter(gpu, PREFIX + name, parameter.shape);
    if (!gpu.dry) copy.write(await heldValues(gpu, parameter));
    whole.set(name, copy);
  }
  const config = { ...(JSON.parse(adapter.config) as Json), modules_to_save: modules };
  if (hasHead) Object.assign(config, { task_type: "SEQ_CLS" });
  return adapter.withWhole(whole, `${JSON.stringify(config, null, 2)}\n`);
}
